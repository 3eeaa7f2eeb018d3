"""One moment of a curriculum, read in chunks while workers go on writing.

``begin`` marks the moment. From then on every script that changes a task or a label first copies
what was (``lua/include/moment.lua``); readers take the copy where there is one. So what is read is
the state of one moment, no script reads the pool in one go, and nobody waits. The copies expire if
the reader dies.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import COUNTS, PARTS, Keys
from redis_curriculum._protocol.plan import Plan, Sleep
from redis_curriculum._protocol.records import pairs
from redis_curriculum._protocol.scripts import Contract
from redis_curriculum._protocol.splice import Variant
from redis_curriculum._protocol.stored import field_of, finite, ids, integer, whole
from redis_curriculum._protocol.stored import text as text_of
from redis_curriculum._state.format import FRACTIONS
from redis_curriculum._store.contracts import MOMENT_BEGIN, MOMENT_END, MOMENT_LABELS, MOMENT_TASKS
from redis_curriculum._store.variant import variant_of
from redis_curriculum.errors import (
    CurriculumError,
    SnapshotError,
    SnapshotRunningError,
)
from redis_curriculum.scorers.base import Scorer
from redis_curriculum.scorers.own import OwnKey

T = TypeVar("T")

CHUNK: Final = 100
"""Tasks or labels a call: about 1 ms of the server, well below the 5 ms that may block others."""
_LEASE_MS: Final = 30_000
_LOOK_S: Final = 0.1
_ALWAYS_THERE: Final = "\n"  # the field with which moment_begin makes the copies' keys


@dataclass(frozen=True, slots=True)
class LabelState:
    """A label at the moment."""

    label: str
    """The empty one holds the counts of forgotten labels."""
    active: int
    """Its tasks in the pool."""
    inactive_ms: int | None
    """Since when it has had none."""
    progress: dict[str, str]
    count: dict[str, int]
    epoch: dict[str, int]
    index: dict[str, float]
    """What the draws keep of it; zeros are left out."""
    own: dict[str, float | str]
    """What it has in keys of the family's own."""

    @property
    def is_known(self) -> bool:
        """Whether it has tasks, or is remembered."""
        return bool(self.active) or self.inactive_ms is not None


class Turn:
    """How long an exporter waits until others have ended.

    Args:
        deadline_s: Seconds from now.
    """

    def __init__(self, deadline_s: float) -> None:
        self._until = time.monotonic() + deadline_s

    def wait(self, error: SnapshotError) -> Plan[None]:
        """Wait a little, or raise the error where the time is over."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise error
        yield Sleep(min(_LOOK_S, left))


@dataclass(slots=True)
class Moment:
    """A moment being read; its methods are plans, to be run before its lease of 30 s ends.

    Every call renews the lease.
    """

    server: Server
    scorer: Scorer
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    meta: dict[str, str] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)
    """What the draws keep of all labels; zeros are left out."""
    statistics: dict[str, float] = field(default_factory=dict)
    """Those that the family keeps of the whole pool."""
    own: dict[str, dict[str, float | str]] = field(default_factory=dict)
    """Keys of the family's own that belong to the whole pool."""
    batches: dict[str, str] = field(default_factory=dict)
    """Those that are kept, oldest first: key to the number that was asked for, and the ids."""
    sizes: tuple[int, int, int] = (0, 0, 0)
    """Tasks in fresh, learning and ripe."""
    workers: dict[str, dict[str, str]] = field(default_factory=dict)
    quarantine: dict[int, str] = field(default_factory=dict)
    """Ids of tasks evicted for failing, to their last error."""
    disagreeing: dict[int | str, list[str]] = field(default_factory=dict)
    """Task id or label, among those read, to fields that differ from the packed statistics."""
    started_ms: int = 0
    """The moment, by the server's clock."""

    def begin(self, turn: Turn, *, gives_way: bool = False) -> Plan[None]:
        """Mark the moment. One round trip, and one each 0.1 s while another exporter is at work.

        Args:
            turn: How long others are waited for.
            gives_way: Let an exporter that does not give way begin its own moment. This one is
                lost then.

        Raises:
            SnapshotRunningError: Another exporter is at work, and was until the end.
        """
        begin, found = MOMENT_BEGIN.script(self._variant), None
        while found is None:
            try:
                words = (self.token, _LEASE_MS, int(gives_way))
                found = yield from self.server.run(begin, *words)
            except SnapshotRunningError as error:
                yield from turn.wait(error)
        meta, sums, sizes, workers, now, of_pool, own, batches, quarantined = found
        self.own = {name: self._of_pool(name, pairs(flat)) for name, *flat in own if flat}
        self.batches = pairs(batches)
        self.statistics = {name: float(text) for name, text in pairs(of_pool).items()}
        self.meta, self.sums, self.sizes = pairs(meta), self._sums(pairs(sums)), tuple(sizes)
        messages = pairs(quarantined)
        known = ids(self._keys.quarantine, messages)
        self.quarantine = dict(zip(known, messages.values(), strict=True))
        self.started_ms = int(now)
        self.workers = {
            entry[0]: {"lease_end_ms": entry[1], **_printable(pairs(entry[2:]))}
            for entry in workers
        }

    def _of_pool(self, name: str, texts: dict[str, str]) -> dict[str, float | str]:
        key = self._own[name]
        at = f"{self._keys.pool}{key.stem}"
        return {each: field_of(at, texts, each, _read_as(key)) for each in sorted(texts)}

    def own_of(self, of: int | str, fields: dict[str, str]) -> dict[str, float | str]:
        """Return what a task or label has in keys of the family's own; fields as the scripts say.

        Raises:
            MalformedStateError: A value cannot be read.
        """
        found = dict[str, float | str]()
        for field_name, value in fields.items():
            key = self._own.get(field_name.removeprefix("own:"))
            if key is not None and field_name.startswith("own:"):
                at = f"{self._keys.pool}{key.stem}"
                found[key.name] = field_of(at, {str(of): value}, str(of), _read_as(key))
        return found

    @property
    def _own(self) -> dict[str, OwnKey]:
        return {key.name: key for key in self.scorer.OWN}

    def renew(self) -> Plan[None]:
        """Let the copies live on. One round trip."""
        yield from self._read(MOMENT_TASKS, [])

    def end(self) -> Plan[None]:
        """Stop the copying. One round trip."""
        yield from self.server.run(MOMENT_END, self.token)

    def abandon(self) -> Plan[None]:
        """Stop the copying if the server can be told so; never fails, never retries."""
        with suppress(CurriculumError):  # the lease will end by itself
            yield self.server.request(MOMENT_END, self.token)

    def task_ids(self) -> Plan[list[int]]:
        """Ids to read, ascending; some of them may have been born after the moment."""
        found: set[int] = set()
        names = ("config_version", "unindexed")
        before, now = list[str | None](), [self.meta.get(name) for name in names]
        while before != now:  # else tasks have only moved forward, so none is missed
            before = now
            for part in PARTS:
                key = f"{self._keys.pool}{part}"
                found.update(ids(key, (yield from self.server.scan("ZSCAN", key))[::2]))
            now = yield from self.server.command("HMGET", self._keys.meta, *names)
        copies = (yield from self.server.scan("HSCAN", self._keys.snapshot_tasks))[::2]
        kept = (task_id for task_id in copies if task_id != _ALWAYS_THERE)
        return sorted(found.union(ids(self._keys.snapshot_tasks, kept)))

    def tasks(self, task_ids: Sequence[int]) -> Plan[list[dict[str, str]]]:
        """Read some records, at most ``CHUNK``; those that did not exist are left out."""
        found = yield from self._read(MOMENT_TASKS, task_ids)
        flats = [json.loads(flat or "[]") if isinstance(flat, str) else flat for flat in found]
        for task_id, flat in zip(task_ids, flats, strict=True):
            self._compare(task_id, flat)
        return [
            {"task_id": str(task_id), **pairs(flat)}
            for task_id, flat in zip(task_ids, flats, strict=True)
            if flat
        ]

    def label_names(self) -> Plan[list[str]]:
        """Labels to read, sorted; the first is the nameless one."""
        found = {""}
        found.update((yield from self.server.scan("HSCAN", self._keys.labels))[::2])
        found.update((yield from self.server.scan("ZSCAN", self._keys.inactive))[::2])
        found.update((yield from self.server.scan("HSCAN", self._keys.snapshot_labels))[::2])
        found.discard(_ALWAYS_THERE)
        return sorted(found)

    def labels(self, names: Sequence[str]) -> Plan[list[LabelState]]:
        """Read some labels, at most ``CHUNK``; those that did not exist are left out."""
        found = yield from self._read(MOMENT_LABELS, names)
        texts = [json.loads(text) for text in found]
        for name, state in zip(names, texts, strict=True):
            self._compare(name, state["progress"] or [])
        states = [self._label_state(name, one) for name, one in zip(names, texts, strict=True)]
        return [s for s in states if s.is_known or s.index or s.own or not s.label]

    def epoch_counts(self, epoch: int, what: str) -> Plan[dict[str, int | float]]:
        """Read a closed epoch's counts or figures by label; they change no more."""
        key = self._keys.epoch(epoch, what)
        found = yield from self.server.scan_hash(key)
        fractions = found if what in FRACTIONS else ("spread",) if what == "times" else ()
        return {
            label: field_of(key, found, label, finite if label in fractions else whole)
            for label in found
        }

    def _sums(self, found: dict[str, str]) -> dict[str, int]:
        """What is not stored is 0."""
        sums = {name: field_of(self._keys.sums, found, name, integer) for name in found}
        return {name: amount for name, amount in sums.items() if amount}

    def _label_state(self, label: str, found: dict[str, Any]) -> LabelState:
        keys, key = self._keys, self._keys.progress(label)

        def counts(key: Callable[[str], str], of: dict[str, str]) -> dict[str, int]:
            return {w: field_of(key(w), {label: of[w]}, label, whole) for w in COUNTS if of.get(w)}

        def at(name: str, key: str, read: Callable[[str], T]) -> T | None:
            return field_of(key, {label: found[name]}, label, read) if found.get(name) else None

        # A worker of schema 1 copies a label without an index.
        index = {name: text for name, text in dict(found.get("index") or {}).items() if text}
        # A score of a sorted set is a number, though perhaps not a finite one.
        kept = (
            (name, field_of(key, index, name, whole if name == "eligible_count" else float))
            for name in index
        )
        return LabelState(
            label=label,
            active=at("active", keys.labels, whole) or 0,
            inactive_ms=at("inactive", keys.inactive, lambda text: int(finite(text))),
            progress=pairs(found["progress"] or []),
            count=counts(keys.count, found["count"] or {}),
            epoch=counts(partial(keys.epoch, int(self.meta["epoch"])), found["epoch"] or {}),
            index={name: amount for name, amount in kept if amount},
            own=self.own_of(label, pairs(found.get("own") or [])),
        )

    def _compare(self, of: int | str, flat: Sequence[str]) -> None:
        """Note the names that stand twice, for people and by the packed truth, and differ."""
        truth, names = pairs(flat), flat[::2]
        texts = dict(zip(reversed(names), reversed(flat[1::2]), strict=True))
        differing = [name for name in truth if _differ(texts[name], truth[name])]
        if differing:
            self.disagreeing[of] = differing

    def _read(self, contract: Contract, names: Sequence[str | int]) -> Plan[list[Any]]:
        script = contract.script(self._variant)
        found: list[Any] = yield from self.server.run(script, self.token, _LEASE_MS, *names)
        return found

    @property
    def _variant(self) -> Variant:
        return variant_of(self.scorer)

    @property
    def _keys(self) -> Keys:
        return self.server.keys


def _read_as(key: OwnKey) -> Callable[[str], float | str]:
    return text_of if key.is_text else float


def _differ(text: str, truth: str) -> bool:
    try:
        return text != truth and float(text) != float(truth)
    except ValueError:  # the truth is a number
        return True


def _printable(found: dict[str, str]) -> dict[str, str]:
    """What was no UTF-8 becomes question marks: nobody reads it but people."""
    return {name: text.encode(errors="replace").decode() for name, text in found.items()}
