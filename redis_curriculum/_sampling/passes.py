"""Draws of each task once, in random order, then of each once more.

A task's number in the family's own key ``handed_out`` is the pass in which it was handed out last;
0: never. Those below the current pass are left; they stand first in the sorted set. The pass after
the last of them begins with the next draw.

The twins are ``lua/draws/passes``; both agree bit for bit.
"""

from __future__ import annotations

import numpy as np

from redis_curriculum._sampling.pool import Parts, Pool
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum.scorers.base import Floats, Scorer


def _last(pool: Pool) -> Floats:
    return np.nan_to_num(pool.own.tasks.get("handed_out", np.zeros(len(pool))), nan=0.0)


def _number(pool: Pool) -> float:
    return pool.own.pool.get("pass", {}).get("number", 1.0)


def distribution(pool: Pool, scorer: Scorer) -> Floats:  # noqa: ARG001 - all draws share the form
    """Return the probability of every task at the next draw, shape (n,)."""
    is_left = _last(pool) < _number(pool)
    if not is_left.any():  # the next draw begins a pass
        is_left[:] = True
    return is_left / max(int(is_left.sum()), 1)


class Pick:
    """One call's draws."""

    is_spent = False

    def __init__(
        self,
        pool: Pool,
        parts: Parts,  # noqa: ARG002 - all draws share the form
        scorer: Scorer,  # noqa: ARG002
        stream: RandomStream,
        count: int,  # noqa: ARG002
    ) -> None:
        self._ids, self._stream = pool.task_ids.astype("S20"), stream
        self._last, self._number = _last(pool), _number(pool)
        self._left = self._count_left()

    def one(self) -> int:
        """Return the position of one drawn task."""
        self._go_on()
        order = np.lexsort((self._ids, self._last))
        return int(order[self._stream.index(self._left)])

    def taken(self, position: int) -> bool:
        """Note that this task is handed out; False: in this pass it has been."""
        self._go_on()
        if self._last[position] >= self._number:
            return False
        self._last[position] = self._number
        self._left -= 1
        return True

    def _go_on(self) -> None:
        """Begin the next pass, if no task is left in this one."""
        if not self._left:
            self._number += 1
            self._left = self._count_left()

    def _count_left(self) -> int:
        return int((self._last < self._number).sum())
