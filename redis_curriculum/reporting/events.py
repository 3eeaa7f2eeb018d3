"""The latest events of a curriculum: what its stream holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.records import pairs
from redis_curriculum._store.store import Store
from redis_curriculum._values.rules import In

_COUNT: Final = In("[1, 1000000]")
_CHUNK: Final = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the event stream."""

    event_id: str
    """The stream's own, such as ``1764112345678-0``; they ascend."""
    ms: int
    """By the server's clock."""
    kind: str
    """``created``, ``added``, ``removed``, ``evicted``, ``failed``, ``quarantined``,
    ``weighted``, ``configured``, ``epoch``, ``restored``, ``migrated`` or ``generator_trouble``."""
    fields: Mapping[str, Any]
    """What is known of it by name, such as ``task_id`` and ``label``; None means never."""


def events(store: Store, count: object) -> Plan[list[Event]]:
    """Read the latest entries, the oldest of them first; see ``Curriculum.events``."""
    return (yield from _latest(store, int(_COUNT.require(count, "count")), "-"))


def events_since(store: Store, event_id: str) -> Plan[list[Event]]:
    """Read the entries that came after one, the oldest of them first. One round trip per 1,000."""
    return (yield from _latest(store, 1_000_000, f"({event_id}"))


def _latest(store: Store, left: int, begin: str) -> Plan[list[Event]]:
    found: list[Event] = []
    end = "+"
    while left > 0:
        words = ("XREVRANGE", store.server.keys.events, end, begin, "COUNT", min(left, _CHUNK))
        entries = yield from store.server.command(*words)
        found += [_event(entry_id, flat) for entry_id, flat in entries]
        left -= len(entries)
        if len(entries) < _CHUNK:
            break
        end = f"({found[-1].event_id}"
    return found[::-1]


def _event(entry_id: str, flat: list[str]) -> Event:
    fields: dict[str, Any] = dict(pairs(flat))
    kind = fields.pop("event", "")
    for name, read in _READ.items():
        if name in fields:
            with suppress(ValueError):  # somebody has added an event of their own
                fields[name] = read(fields[name]) if fields[name] else None
    return Event(entry_id, int(entry_id.partition("-")[0]), kind, fields)


_READ: Final[dict[str, Callable[[str], Any]]] = {
    "task_id": int,
    "first_task_id": int,
    "count": int,
    "epoch": int,
    "generation": int,
    "from_schema": int,
    "config_version": int,
    "pid": int,
    "learning_progress": float,
    "changes": json.loads,
    "forced": json.loads,
}
