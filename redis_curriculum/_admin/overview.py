"""What is on a server: its curricula, one's state, tasks, labels and workers. For people to read.

Reads only. Nobody is registered as a worker, nothing is filled, no generator is built: this works
where the curriculum's own classes cannot be imported. Rows are read in bounded chunks, so they
belong to one moment only where nobody writes.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from redis_curriculum._admin.names import candidates
from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import COUNTS, PARTS, SCHEMA, Keys
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.requirements import require_schema
from redis_curriculum._protocol.stored import number
from redis_curriculum._store.read import own_pool
from redis_curriculum._store.store import Store, stored_config
from redis_curriculum._wire.urls import Address
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.errors import (
    CurriculumNotFoundError,
    KeyTypeError,
    MalformedStateError,
    PermissionDeniedError,
    ScriptError,
)


@dataclass(frozen=True, slots=True)
class CurriculumRow:
    """One curriculum of a server; what another schema hides is None."""

    name: str
    schema: int | None = None
    generation: int | None = None
    epoch: int | None = None
    created_ms: int | None = None
    tasks: int | None = None
    capacity: int | None = None
    labels: int | None = None
    live_workers: int | None = None
    problem: str | None = None
    """What of it cannot be read."""


@dataclass(frozen=True, slots=True)
class Status:
    """One curriculum's state in numbers."""

    name: str
    schema: int
    generation: int
    created_ms: int
    epoch: int
    tasks: int
    capacity: int
    parts: dict[str, int]
    """Tasks in fresh, learning and ripe."""
    labels: int
    inactive_labels: int
    live_workers: int
    expired_workers: int
    counters: dict[str, int]
    """Lifetime: each of ``COUNTS``, and ``late``: results that came after their task had gone."""
    epoch_counters: dict[str, int]
    snapshot_running: bool
    generator_trouble: str | None
    """Why the pool is not refilled: what the task generator said last; None: it makes tasks."""
    own: dict[str, dict[str, float]]
    """What the algorithm keeps of the whole pool, such as the number of the current pass."""
    config: dict[str, Any]


def attach(server: Server, settings: WorkerSettings) -> Plan[Store]:
    """Read what a store needs; one round trip.

    Raises:
        CurriculumNotFoundError: There is none of that name.
        UnsupportedServerError: Its keys are of another schema.
    """
    keys = server.keys
    words = ("HMGET", keys.meta, "schema", "generation", "config", "config_version")
    schema, generation, config, version = yield from server.command(*words)
    if schema is None:
        raise CurriculumNotFoundError(keys.name)
    require_schema(keys.name, schema)
    current = number(keys, "generation", generation)
    stored = stored_config(keys, config)
    store = Store(server.at(current), stored, settings, playing=False)
    store.configure(stored, number(keys, "config_version", version))
    return store


def curricula(address: Address, deadline_s: float) -> Plan[list[CurriculumRow]]:
    """List a server's curricula by name; those that this user may not read are left out.

    Some nine round trips each. Walks over no keys, unless the index of names is not complete.
    """
    rows = []
    for name in (yield from candidates(address, deadline_s)):
        try:
            row = yield from _row(Server(Keys(name, key_prefix=address.prefix), deadline_s))
        except (KeyTypeError, PermissionDeniedError):
            continue
        except (MalformedStateError, ScriptError) as error:  # ScriptError: it is no UTF-8
            row = CurriculumRow(name, problem=str(error))
        rows += [row] if row else []
    return rows


def _row(server: Server) -> Plan[CurriculumRow | None]:
    keys = server.keys
    words = ("HMGET", keys.meta, "schema", "generation", "epoch", "created_ms", "config")
    found = yield from server.command(*words)
    if found[0] is None:
        return None
    schema, generation, epoch, created_ms = (
        number(keys, field, text, 0) for field, text in zip(words[2:-1], found[:-1], strict=True)
    )
    row = CurriculumRow(keys.name, schema, generation, epoch, created_ms)
    if schema != SCHEMA:
        return row
    server = server.at(generation)
    sizes = yield from _parts(server)
    labels = yield from server.command("HLEN", server.keys.labels)
    live, _ = yield from _workers(server)
    capacity = _capacity(keys, found[4])
    tasks = sum(sizes.values())
    return replace(row, tasks=tasks, capacity=capacity, labels=labels, live_workers=live)


def _capacity(keys: Keys, config: str | None) -> int:
    """Read no more of a config than is shown: its classes may be missing here."""
    with suppress(ValueError, TypeError, LookupError):
        capacity = json.loads(config or "")["num_active_tasks"]
        if isinstance(capacity, int):
            return capacity
    raise MalformedStateError(keys.name, "meta.config", config)


def _parts(server: Server) -> Plan[dict[str, int]]:
    sizes = {}
    for part in PARTS:
        sizes[part] = yield from server.command("ZCARD", f"{server.keys.pool}{part}")
    return sizes


def _workers(server: Server) -> Plan[tuple[int, int]]:
    """Live ones, and those whose lease has ended."""
    now = yield from server.now_ms()
    live = yield from server.command("ZCOUNT", server.keys.workers, now, "+inf")
    known = yield from server.command("ZCARD", server.keys.workers)
    return live, max(0, known - live)


def _total(server: Server, key: str) -> Plan[int]:
    return sum((yield from server.scan_counts(key)).values())


def status(store: Store) -> Plan[Status]:
    """Read one curriculum's state; some 25 round trips, more with many labels."""
    server, keys = store.server, store.server.keys
    words = ("HMGET", keys.meta, "generator_trouble", "created_ms", "epoch", "late_count")
    trouble, *found = yield from server.command(*words)
    fields = ("created_ms", "epoch", "late_count")
    created_ms, epoch, late = (
        number(keys, field, text, 0) for field, text in zip(fields, found, strict=True)
    )
    parts = yield from _parts(server)
    live, expired = yield from _workers(server)
    counters, epoch_counters = {}, {}
    for what in COUNTS:
        counters[what] = yield from _total(server, keys.count(what))
        epoch_counters[what] = yield from _total(server, keys.epoch(epoch, what))
    return Status(
        name=keys.name,
        schema=SCHEMA,
        generation=keys.generation,
        created_ms=created_ms,
        epoch=epoch,
        tasks=sum(parts.values()),
        capacity=store.config.num_active_tasks,
        parts=parts,
        labels=(yield from server.command("HLEN", keys.labels)),
        inactive_labels=(yield from server.command("ZCARD", keys.inactive)),
        live_workers=live,
        expired_workers=expired,
        counters={**counters, "late": late},
        epoch_counters=epoch_counters,
        snapshot_running=bool((yield from server.command("EXISTS", keys.snapshot))),
        generator_trouble=trouble,
        own=(yield from own_pool(store)),
        config=store.config.model_dump(mode="json"),
    )
