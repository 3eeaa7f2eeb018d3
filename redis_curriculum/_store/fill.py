"""Create tasks until the pool is full, or in place of evicted ones.

Indices are reserved first, then the generator makes their tasks, then these go into the pool.
Nobody waits meanwhile: other workers reserve other indices, and draws go on from the pool.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from typing import Any, Final

from redis_curriculum._protocol.plan import Plan, Sleep, Wait
from redis_curriculum._store.calls import Call, T, Write
from redis_curriculum._store.contracts import CREATE, REPLACE, RESERVE
from redis_curriculum._store.making import PATIENCE_S
from redis_curriculum._store.store import Store
from redis_curriculum._store.text import message_of
from redis_curriculum.errors import (
    ConfigChangedError,
    GeneratorError,
    GeneratorWarning,
    IndexTakenError,
)

POLL_S: Final = 0.05
_BETWEEN_ROWS_S: Final = 60.0


@dataclass(slots=True)
class Supplied(Call[T]):
    """A call that may put new tasks into the pool on its way."""

    waits_until: float = field(default=0.0, init=False, compare=False, repr=False)
    """When it no longer waits for a generator, or for other workers."""

    def begin_waiting(self, store: Store) -> None:
        """Note for how long this call, or its repetition, may wait."""
        longest_s = max(store.settings.retry_deadline_s, PATIENCE_S)
        self.waits_until = time.monotonic() + longest_s

    def supplying(
        self, store: Store, missing: int, wanted: int = 0, *, patient: bool
    ) -> Plan[Write | None]:
        """Return the next write on the way to new tasks; None where there is none for now.

        Args:
            store: Whose generator makes them.
            missing: How many tasks the pool lacks.
            wanted: How many draws shall be new tasks, in place of evicted ones.
            patient: Wait for a slow generator, too.
        """
        maker, chunk = store.maker, store.settings.chunk
        if maker.batch is None:
            if maker.is_resting and not patient:
                return None
            size = maker.size(min(wanted or missing, chunk), store.config)
            purpose, most = "replace" if wanted else "fill", store.config.most_tasks
            return Write(store.script(RESERVE), [size, purpose, "", most])
        batch = maker.batch
        if not batch.making.done():
            until = self.waits_until if patient else maker.hurries_from
            yield Wait(batch.making, max(0.0, until - time.monotonic()))
        made = maker.made()
        if made is None:
            return None
        head = [batch.version, batch.first, made.through]
        if wanted and made.specs:
            return Write(store.script(REPLACE), [*head, *made.specs])
        trouble = message_of(made.trouble.message) if made.trouble else ""
        return Write(store.script(CREATE), [*head, trouble, *made.specs])

    def reload(self, store: Store) -> Plan[None]:
        """Take over changed settings; what was made by the former ones is dropped."""
        yield from store.reload()
        batch = store.maker.batch
        if batch and batch.version != store.config_version:
            store.maker.batch = None

    def take_reserved(self, store: Store, write: Write, reply: list[Any]) -> bool:
        """Begin to make tasks for what was reserved, if it was any; the write is done."""
        _, first, count, _, is_complete = reply
        if count:
            store.worker.remember(write, [count, write.args[1], first, write.args[3]])
            store.maker.begin(store.config, store.config_version, first, count)
        elif is_complete:
            store.maker.rest()
        self.write = None
        return bool(count)

    def take_created(self, store: Store, write: Write, missing: int) -> None:
        """Note what the generator could do; the write is done, its tasks are in the pool.

        Raises:
            GeneratorError: It makes no more tasks, and the pool is empty.
        """
        trouble = store.maker.end(write.args[1])
        size = store.config.num_active_tasks - missing
        if trouble and size > 0:
            _warn(store, size, trouble)
        self.write = None
        if trouble and size <= 0:
            raise trouble


@dataclass(slots=True)
class Filling(Supplied[None]):
    """Create tasks until the pool is full; others may do so at the same time."""

    missing: int
    is_patient: bool
    """Whether to wait for a slow generator, and for others."""

    def begin_waiting(self, store: Store) -> None:
        """Note for how long it may wait; a table has an end, so it is put in as a whole."""
        Supplied.begin_waiting(self, store)
        if store.config.most_tasks:
            self.waits_until = max(self.waits_until, time.monotonic() + _BETWEEN_ROWS_S)

    def take_created(self, store: Store, write: Write, missing: int) -> None:
        """Note what the generator could do; more may come, so the waiting begins anew."""
        Supplied.take_created(self, store, write, missing)
        if store.config.most_tasks:
            self.begin_waiting(store)

    def steps(self, store: Store) -> Plan[None]:
        """Two round trips a chunk."""
        self.begin_waiting(store)
        while self.missing > 0 and store.can_generate:
            if self.write is None:
                self.write = yield from self.supplying(store, self.missing, patient=self.is_patient)
            if self.write is None:
                return
            write = self.write
            try:
                reply = yield from store.worker.send(self)
            except IndexTakenError:
                store.maker.batch = None
                continue
            except ConfigChangedError:
                yield from self.reload(store)
                continue
            if write.script.name == RESERVE.name:
                self.missing = reply[3]
                if not self.take_reserved(store, write, reply) and self.missing:
                    if not self._waits_for_others(store):
                        return
                    yield Sleep(POLL_S)
            else:
                self.missing = reply[2]
                self.take_created(store, write, self.missing)
                if store.maker.is_resting:
                    return

    def _waits_for_others(self, store: Store) -> bool:
        """Whether what others make may still come; a table may have no more rows."""
        in_time = time.monotonic() < self.waits_until
        return self.is_patient and in_time and not store.maker.is_resting


def _warn(store: Store, size: int, trouble: GeneratorError) -> None:
    if not store.maker.has_warned:
        store.maker.has_warned = True
        warnings.warn(
            f"curriculum {store.server.keys.name!r} plays on with {size} of"
            f" {store.config.num_active_tasks} tasks: {trouble}",
            GeneratorWarning,
            stacklevel=2,
        )
