"""Create tasks until the pool is full, or in place of evicted ones."""

from __future__ import annotations

from dataclasses import dataclass

from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store.calls import Argument, Call, Write
from redis_curriculum._store.contracts import CREATE
from redis_curriculum._store.generate import new_tasks
from redis_curriculum._store.store import Store
from redis_curriculum.errors import ConfigChangedError, IndexTakenError


@dataclass(slots=True)
class Filling(Call[None]):
    """Create tasks until the pool is full; others may do so at the same time."""

    next_index: int
    missing: int

    def steps(self, store: Store) -> Plan[None]:
        """One round trip a chunk."""
        while self.missing and store.can_generate:
            if self.write is None:
                args = creating(store, self.missing, self.next_index)
                self.write = Write(store.script(CREATE), args)
            try:
                _, _, next_index, missing = yield from store.worker.send(self)
            except IndexTakenError as taken:
                self.next_index = taken.next_index
            except ConfigChangedError:
                yield from store.reload()
            else:
                self.next_index, self.missing, self.write = next_index, missing, None


def creating(store: Store, missing: int, next_index: int) -> list[Argument]:
    """Arguments that create up to a chunk of tasks."""
    specs = new_tasks(store.config, next_index, min(missing, store.settings.chunk))
    return [store.config_version, next_index, *specs]


def replacing(store: Store, count: int, next_index: int) -> list[Argument]:
    """Arguments that evict up to ``count`` tasks of low progress and draw new ones instead."""
    return [store.config_version, next_index, *new_tasks(store.config, next_index, count)]
