"""Batches of distinct tasks by a key: drawn once, whoever asks, and kept on the server."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from redis_curriculum._protocol.plan import Plan, Sleep
from redis_curriculum._protocol.stored import malformed
from redis_curriculum._store.calls import Argument, Write
from redis_curriculum._store.contracts import BATCH
from redis_curriculum._store.distinct import choosing
from redis_curriculum._store.fill import POLL_S, Filling, Supplied
from redis_curriculum._store.play import IN_VAIN, MOST_IN_VAIN
from redis_curriculum._store.store import Store
from redis_curriculum._values.rules import In, validate_label
from redis_curriculum.errors import EmptyPoolError, InvalidInputError

MOST_BATCHES: Final = 256
"""So many batches are kept at most, the latest."""
MOST_IDS: Final = 2**18
"""And fewer of them if batches are large: of one size, this many ids together."""
BATCH_SIZE: Final = In("[1, 16384]")
_LOOKS_BACK: Final = In("[0, 255]")
_KNOWN: Final = 2
"""Which argument of the script says how many ids are known."""


def keyed_draw(key: object, count: object, skip_right: object, skip_wrong: object) -> KeyedDraw:
    """Draw a batch by its key; see ``Curriculum.get_batch``."""
    name, number = validate_label(key, field="key"), int(BATCH_SIZE.require(count, "count"))
    right = int(_LOOKS_BACK.require(skip_right, "skip_right"))
    wrong = int(_LOOKS_BACK.require(skip_wrong, "skip_wrong"))
    return KeyedDraw(name, number, right, wrong)


@dataclass(slots=True)
class KeyedDraw(Supplied[list[int]]):
    """One batch, which several callers may draw at the same time, each a part."""

    key: str
    count: int
    skip_right: int
    skip_wrong: int
    ids: list[int] = field(default_factory=list, init=False, compare=False)
    """Those that are known."""
    chosen: list[int] = field(default_factory=list, init=False, compare=False)
    """Ids from a pass over the pool, which are to follow them."""
    shortages: int = field(default=0, init=False, compare=False)
    """How many calls in a row have found fewer than they should."""
    in_vain: int = field(default=0, init=False, compare=False)
    """Answers in a row that brought no task, though there are enough."""
    filling: Filling | None = field(default=None, init=False, compare=False)

    def steps(self, store: Store) -> Plan[list[int]]:
        """One round trip a chunk, and those that fill the pool."""
        self.begin_waiting(store)
        while len(self.ids) < self.count:
            if self.write is None:
                if self.shortages > 1 and not self.chosen:
                    left = self.count - len(self.ids)
                    self.chosen = yield from choosing(store, left, self.ids, distinct=True)
                self.write = Write(store.script(BATCH), self._words(store))
            write = self.write
            _, version, size, asked, words = yield from store.worker.send(self)
            self._take(store, write, asked, self._ids_in(store, words))
            self._count_in_vain(write, is_enough=size >= self.count)
            if version != store.config_version:
                yield from self.reload(store)
            if size < self.count and not self.ids:
                yield from self._wait(store, size)
        return self.ids

    def _ids_in(self, store: Store, words: str) -> list[int]:
        try:
            return [int(word) for word in words.split()]
        except ValueError:  # somebody has put something else among the tasks
            self.write = None
            key = f"{store.server.keys.pool}batches"
            raise malformed(key, self.key, words) from None

    def _count_in_vain(self, write: Write, *, is_enough: bool) -> None:
        """End the call after so many answers without a task."""
        is_more = len(self.ids) > int(write.args[_KNOWN])
        self.in_vain = self.in_vain + 1 if is_enough and not is_more else 0
        if self.in_vain == MOST_IN_VAIN:
            self.in_vain = 0
            raise EmptyPoolError(IN_VAIN)

    def _words(self, store: Store) -> list[Argument]:
        # Where too few others are left, what would be passed over is drawn all the same.
        skips = (0, 0) if self.shortages else (self.skip_right, self.skip_wrong)
        retained = min(MOST_BATCHES, MOST_IDS // self.count)
        head = (self.key, self.count, len(self.ids), store.settings.chunk)
        return [*head, *skips, retained, " ".join(map(str, self.chosen))]

    def _take(self, store: Store, write: Write, asked: int, ids: list[int]) -> None:
        """Take an answer over; only the last line counts.

        Raises:
            InvalidInputError: Somebody has asked for another number of tasks by this key.
        """
        if asked != self.count:
            self.write = None
            rule = f"{asked}, as in the first call with the key {self.key!r}"
            raise InvalidInputError("count", rule, self.count)
        added = " ".join(map(str, ids[len(self.ids) :]))
        store.worker.remember(write, [*write.args[:-1], added])
        wished = min(store.settings.chunk, self.count - len(self.ids))
        is_short = not self.chosen and len(ids) < len(self.ids) + wished
        self.is_begun = self.is_begun or bool(ids)
        self.ids, self.chosen, self.shortages, self.write = (
            *(ids, [], self.shortages + 1 if is_short else 0),
            None,
        )

    def _wait(self, store: Store, size: int) -> Plan[None]:
        """Help to fill the pool, or wait until others have filled it; none was drawn.

        Raises:
            InvalidInputError: It will not be large enough, or is not in time.
        """
        self.shortages, most = 0, store.config.num_active_tasks
        in_time = self.count <= most and time.monotonic() < self.waits_until
        if in_time and not store.can_generate:
            yield Sleep(POLL_S)
        elif in_time and not store.maker.is_resting:
            self.filling = self.filling or Filling(most - size, is_patient=True)
            yield from self.filling.steps(store)
            self.filling = None
        else:
            rule = f"at most {size}, the number of tasks that can be drawn, since they are distinct"
            raise InvalidInputError("count", rule, self.count)
