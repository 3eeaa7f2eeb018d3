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
            _, _, next_index, missing = yield from store.worker.write(CREATE, args)
        except IndexTakenError as taken:
            next_index = taken.next_index


def creating(store: Store, missing: int, next_index: int) -> list[Argument]:
    """Arguments that create up to a chunk of tasks."""
    config = store.config
    threshold = config.algorithm.hypers.success_threshold
    specs = new_tasks(config, next_index, min(missing, store.settings.chunk))
    return [threshold, config.events_retained, config.num_active_tasks, next_index, *specs]


def replacing(store: Store, count: int, next_index: int) -> list[Argument]:
    """Arguments that evict up to ``count`` tasks of low progress and draw new ones instead."""
    config, hypers = store.config, store.config.algorithm.hypers
    return [
        *store.pooled,
        hypers.eviction_threshold_percentile,
        hypers.success_threshold,
        config.labels_retained,
        config.events_retained,
        config.num_active_tasks,
        next_index,
        *new_tasks(config, next_index, count),
    ]
