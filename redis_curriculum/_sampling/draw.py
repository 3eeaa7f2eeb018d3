"""Exact draws without a pass over the pool: the reference that the scripts equal bit for bit.

A family says by ``Scorer.DRAW`` how its weights become draws; each way is a module of this room and
a folder of ``lua/draws``. What they share is here: replacements, and the end of a call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from redis_curriculum._sampling import (
    by_state,
    label_first,
    passes,
    quotas,
    sigmoid,
    uniform,
    weighted,
)
from redis_curriculum._sampling.pool import Parts, Pool, count_evictable
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum.errors import EmptyPoolError
from redis_curriculum.scorers.base import Draw, Floats, Scorer
from redis_curriculum.scorers.own import OwnPick


@dataclass(frozen=True, slots=True)
class Draws:
    """What one call for draws returns.

    Attributes:
        task_ids: The tasks drawn, in order; a task may appear more than once.
        wanted_replacements: How many of the draws are to be served by new tasks instead.
        short: Whether the call gave up early; ask again for the rest. Draws by sigmoid give up on
            eligible tasks alone and so favour the others, but hardly ever: where t trials are
            expected (``sigmoid.expected_trials``), once in ``exp(1024 / t)`` of their draws.
    """

    task_ids: list[int]
    wanted_replacements: int
    short: bool


class Pick(Protocol):
    """The draws of one call, one by one."""

    @property
    def is_spent(self) -> bool:
        """Whether the rest is left to the next call."""
        ...

    def one(self) -> int | None:
        """Return the position of one drawn task; None: none was found in bounded time."""
        ...


class _Distinct:
    """Picks that differ, as long as the repeated ones are within bounds."""

    def __init__(self, pick: Pick, most_repeats: int) -> None:
        self._pick, self._left = pick, most_repeats
        self._seen = set[int]()

    @property
    def is_spent(self) -> bool:
        return self._pick.is_spent

    def one(self) -> int | None:
        position = self._pick.one()
        while position in self._seen:
            if self._left == 0 or self._pick.is_spent:
                return None
            self._left -= 1
            position = self._pick.one()
        if position is not None:
            self._seen.add(position)
        return position


def most_repeats(count: int) -> int:
    """Return how many repeated picks a call for ``count`` distinct tasks may draw again."""
    return 64 + 4 * count


class _Way(NamedTuple):
    """One way to draw; its functions take the scorer whose ``DRAW`` names it."""

    weights: Callable[[Pool, Any], Floats]
    chances: Callable[[Pool, Any], Floats] | None
    """None: the probabilities of the eligible tasks."""
    distribution: Callable[[Pool, Any], Floats]
    pick: Callable[[Pool, Parts, Any, RandomStream, int], Pick]
    label_parts: Callable[[Pool, Any], Floats]
    """Each label's part of the draws, for quotas."""
    taken: Callable[[Any, int], bool] | None = None
    """Takes a pick and a position that it has drawn: notes it; False: it may not be handed out."""


_WAYS: Final[dict[Draw, _Way]] = {
    "by_state": _Way(
        *(by_state.pool_weights, None, by_state.distribution),
        *(by_state.Pick, quotas.part_of_tasks),
    ),
    "label_first": _Way(
        *(label_first.pool_weights, None, label_first.distribution),
        *(label_first.Pick, label_first.label_parts),
    ),
    "passes": _Way(
        *(uniform.pool_weights, None, passes.distribution),
        *(passes.Pick, quotas.part_of_tasks, passes.Pick.taken),
    ),
    "sigmoid": _Way(
        *(sigmoid.pool_weights, sigmoid.chances, sigmoid.distribution),
        *(sigmoid.Pick, quotas.part_of_tasks),
    ),
    "uniform": _Way(
        *(uniform.pool_weights, uniform.chances, uniform.distribution),
        *(uniform.Pick, quotas.part_of_tasks),
    ),
}


def _way(scorer: Scorer) -> _Way:
    draws = scorer.DRAW
    if isinstance(draws, str):
        return _WAYS[draws]

    def pick(pool: Pool, parts: Parts, scorer: Scorer, stream: RandomStream, count: int) -> OwnPick:
        del parts
        return draws.pick(pool, scorer, stream, count)

    ways = (uniform.pool_weights, None, draws.distribution, pick, quotas.part_of_tasks)
    return _Way(*ways, taken=lambda pick, position: pick.taken(position))


def pool_weights(pool: Pool, scorer: Scorer) -> Floats:
    """Return the weight that each task is drawn by, its own or its label's, shape (n,)."""
    return _way(scorer).weights(pool, scorer)


def chances(pool: Pool, scorer: Scorer) -> Floats:
    """Return what the weights of the eligible tasks become, before it is divided by its sum."""
    way = _way(scorer)
    if way.chances is None:
        return way.distribution(pool, scorer)[pool.eligible(scorer)]
    return way.chances(pool, scorer)


def distribution(pool: Pool, scorer: Scorer) -> Floats:
    """Return the probability of every task, aligned with ``pool.task_ids``; it sums to 1.

    An empty pool has an empty distribution. Where every task has weight 0, all are 0.
    """
    found = _way(scorer).distribution(pool, scorer)
    if pool.task_weights is not None:
        return weighted.distribution(pool, pool.task_weights, scorer, found)
    return _shares(pool, scorer).distribution(pool, found) if scorer.label_share else found


def _shares(pool: Pool, scorer: Scorer) -> quotas.Shares:
    return quotas.Shares(pool, scorer, _way(scorer).label_parts(pool, scorer))


def draw(
    pool: Pool, scorer: Scorer, stream: RandomStream, count: int, *, distinct: bool = False
) -> Draws:
    """Draw ``count`` tasks, independently and with replacement, by ``distribution``.

    Distinct ones are drawn without replacement: a repeated pick is drawn again. After
    ``most_repeats`` of them the call ends short, and ``choose_distinct`` has the rest.

    Raises:
        EmptyPoolError: There is no task, or there are fewer than ``count`` that are to differ.
    """
    if len(pool) < (count if distinct else 1):
        raise EmptyPoolError(f"the pool has {len(pool)} tasks to draw from")
    parts = pool.parts(scorer)
    way = _way(scorer)
    own = pick = way.pick(pool, parts, scorer, stream, count)
    if pool.task_weights is not None:
        pick = weighted.WeightedPick(pool.task_weights, scorer, pick, stream, count)
    elif scorer.label_share:
        member_of = pick.member_of if isinstance(pick, label_first.Pick) else None
        shares = _shares(pool, scorer)
        pick = quotas.QuotaPick(pool, parts, shares, pick, stream, member_of=member_of)
    if distinct:
        pick = _Distinct(pick, most_repeats(count))
    task_ids: list[int] = []
    wanted = 0
    for _ in range(count):
        if pick.is_spent:  # decided before the draw begins, so that it favours no task
            return Draws(task_ids, wanted, short=True)
        tries = scorer.replacement > 0 and stream.uniform() < scorer.replacement
        if tries and wanted < count_evictable(pool, parts, scorer, wanted + 1):
            wanted += 1
            continue
        position = pick.one()
        while position is not None and way.taken and not way.taken(own, position):
            position = pick.one()
        if position is None:
            return Draws(task_ids, wanted, short=True)
        task_ids.append(int(pool.task_ids[position]))
    return Draws(task_ids, wanted, short=False)


def choose_distinct(
    pool: Pool, scorer: Scorer, rng: np.random.Generator, count: int, *, without: Collection[int]
) -> list[int]:
    """Choose up to ``count`` further tasks without replacement, in one pass over the pool.

    One after the other by ``distribution`` among those left, ``without`` those drawn before. Each
    task gets a time Exp(1) / probability; the smallest times in order are such draws (Efraimidis
    and Spirakis 2006, "Weighted random sampling with a reservoir"). Tasks of probability 0 come
    last, in random order; those of weight 0 never.
    """
    left = ~np.isin(pool.task_ids, np.fromiter(without, np.int64, len(without)))
    if pool.task_weights is not None:
        left &= pool.task_weights > 0
    wait = rng.exponential(size=int(left.sum()))
    with np.errstate(divide="ignore"):
        time = wait / distribution(pool, scorer)[left]
    order = np.lexsort((wait, time))[:count]
    return [int(task_id) for task_id in pool.task_ids[left][order]]


def choose(pool: Pool, scorer: Scorer, rng: np.random.Generator, count: int) -> list[int]:
    """Choose ``count`` tasks with replacement by ``distribution``, in one pass over the pool.

    None, if no task has a probability.
    """
    found = distribution(pool, scorer)
    if not found.any():
        return []
    return [int(task_id) for task_id in rng.choice(pool.task_ids, count, p=found / found.sum())]
