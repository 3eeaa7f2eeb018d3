"""Create tasks until the pool is full, or in place of evicted ones."""

from __future__ import annotations

from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store.contracts import CREATE
from redis_curriculum._store.generate import new_tasks
from redis_curriculum._store.once import Argument
from redis_curriculum._store.store import Store
from redis_curriculum.errors import IndexTakenError


def fill(store: Store, next_index: int) -> Plan[None]:
    """Create tasks until the pool is full; others may do so at the same time."""
    missing = store.config.num_active_tasks
    while missing:
        try:
            args = creating(store, missing, next_index)
            _, _, next_index, missing = yield from store.worker.write(store.script(CREATE), args)
        except IndexTakenError as taken:
            next_index = taken.next_index


def creating(store: Store, missing: int, next_index: int) -> list[Argument]:
    """Arguments that create up to a chunk of tasks."""
    specs = new_tasks(store.config, next_index, min(missing, store.settings.chunk))
    return [store.config_version, next_index, *specs]


def replacing(store: Store, count: int, next_index: int) -> list[Argument]:
    """Arguments that evict up to ``count`` tasks of low progress and draw new ones instead."""
    return [store.config_version, next_index, *new_tasks(store.config, next_index, count)]
