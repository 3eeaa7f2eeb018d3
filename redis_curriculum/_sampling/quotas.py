"""Draws under quotas: the least and the greatest share of some labels.

A draw first chooses a label that has a quota, or the others together; then a task of it. Each share
is the label's part of the draws without quotas times one factor, cut to its bounds, so that all
sum to 1. Of draws by sigmoid and of uniform ones that part is the label's part of the tasks, and
its tasks are drawn with equal probability.

The twin is ``lua/include/quotas.lua``; both agree bit for bit, so the order of every floating-point
operation is part of the contract.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from redis_curriculum._sampling.pool import Parts, Pool, Positions
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum.scorers.base import Floats, Scorer

TRIALS = 1024
MOST_LISTED = 1000
"""A label of more tasks is not listed: one of them is found by trials."""


class Pick(Protocol):
    """The draws of one call without quotas."""

    @property
    def is_spent(self) -> bool:
        """Whether the rest is left to the next call."""
        ...

    def one(self) -> int | None:
        """Return the position of one drawn task."""
        ...


@dataclass(slots=True)
class Quota:
    """One label that has a quota, and tasks."""

    label: int
    least: float
    greatest: float
    part: float
    """Of the draws, without quotas."""
    share: float | None = None


class Shares:
    """The shares of the labels that have quotas, in the order of their names' bytes."""

    def __init__(self, pool: Pool, scorer: Scorer, parts: Floats) -> None:
        present = set(np.unique(pool.label_index).tolist())
        names = {pool.labels[i]: i for i in present} if scorer.label_share else {}
        self.quotas = [
            Quota(names[name], *bounds, float(parts[names[name]]))
            for name, bounds in scorer.label_share.items()
            if name in names
        ]
        total = 0.0
        for quota in self.quotas:
            total += quota.part
        has_others = len(present) > len(self.quotas)
        self.rest = max(1 - total, 1e-12) if has_others else 0.0
        """The part of the other labels without quotas; 0: there are none."""
        self._share_out()
        self.total = 0.0
        for quota in self.quotas:
            self.total += quota.share or 0.0

    def _share_out(self) -> None:
        given = 0.0
        for _ in range(len(self.quotas) + 1):
            left = [quota for quota in self.quotas if quota.share is None]
            free = self.rest
            for quota in left:
                free += quota.part
            factor = (1 - given) / free if free > 0 else 0.0
            under = over = 0.0
            for quota in left:
                under += max(quota.least - factor * quota.part, 0.0)
                over += max(factor * quota.part - quota.greatest, 0.0)
            for quota in left:
                share = factor * quota.part
                if under == 0 and over == 0:
                    quota.share = share
                elif under >= over and share < quota.least:
                    quota.share, given = quota.least, given + quota.least
                elif under < over and share > quota.greatest:
                    quota.share, given = quota.greatest, given + quota.greatest

    def distribution(self, pool: Pool, base: Floats, weights: Floats | None = None) -> Floats:
        """Return the probability of every task, from the one without quotas.

        The tasks of a label that has one share its part by their ``weights``, if there are any.
        """
        if not self.quotas:
            return base
        labels = [quota.label for quota in self.quotas]
        is_other = ~np.isin(pool.label_index, labels)
        found: Floats = np.where(is_other, base, 0.0)
        if not found.any():  # they are never drawn without quotas: then any of them
            found = is_other.astype(np.float64)
        if self.rest:
            found *= max(1 - self.total, 0.0) / float(found.sum())
        whole = 1.0 if self.rest else self.total
        within = np.ones(len(pool)) if weights is None else weights
        for quota in self.quotas:
            own = pool.label_index == quota.label
            found[own] = (quota.share or 0.0) / whole * within[own] / float(within[own].sum())
        return found


class QuotaPick:
    """One call's draws under quotas."""

    def __init__(
        self,
        pool: Pool,
        parts: Parts,
        shares: Shares,
        pick: Pick,
        stream: RandomStream,
        *,
        member_of: Callable[[int], int] | None,
    ) -> None:
        self._pool, self._shares, self._pick, self._stream = pool, shares, pick, stream
        self._order = np.concatenate(parts)
        self._has_quota = {quota.label for quota in shares.quotas}
        self._listed: dict[int, Positions] = {}
        self._others: Positions | None = None
        self._member_of = member_of or self._any_member

    @property
    def is_spent(self) -> bool:
        """Whether the rest is left to the next call."""
        return self._pick.is_spent

    def one(self) -> int | None:
        """Return the position of one drawn task."""
        v, upto, shares = self._stream.uniform(), 0.0, self._shares
        if not shares.rest:
            v *= shares.total
        for i, quota in enumerate(shares.quotas, 1):
            upto += quota.share or 0.0
            if v < upto or (not shares.rest and i == len(shares.quotas)):
                return self._member_of(quota.label)
        return self._other()

    def _other(self) -> int | None:
        for i in range(2 * TRIALS):
            position = self._pick.one() if i < TRIALS else self._any()
            if position is None or self._label_of(position) not in self._has_quota:
                return position
        if self._others is None:  # they are few, as no trial has found one
            is_other = ~np.isin(self._pool.label_index, list(self._has_quota))
            self._others = in_order(self._pool, np.flatnonzero(is_other))
        return int(self._others[self._stream.index(len(self._others))])

    def _any(self) -> int:
        return int(self._order[self._stream.index(len(self._order))])

    def _label_of(self, position: int) -> int:
        return int(self._pool.label_index[position])

    def _any_member(self, label: int) -> int:
        if label not in self._listed:
            self._listed[label] = members_of(self._pool, label)
        members = self._listed[label]
        for _ in range(TRIALS if len(members) > MOST_LISTED else 0):
            position = self._any()
            if self._label_of(position) == label:
                return position
        return int(members[self._stream.index(len(members))])


def members_of(pool: Pool, label: int) -> Positions:
    """Return the positions of a label's tasks, by the id's text as bytes."""
    return in_order(pool, np.flatnonzero(pool.label_index == label))


def in_order(pool: Pool, members: Positions) -> Positions:
    """Return some positions by the id's text as bytes."""
    order = np.argsort(pool.task_ids[members].astype("S20"), kind="stable")
    return members[order]


def part_of_tasks(pool: Pool, scorer: Scorer) -> Floats:  # noqa: ARG001 - all ways share the form
    """Return each label's part of the tasks, shape (m,)."""
    return np.bincount(pool.label_index, minlength=len(pool.labels)) / max(len(pool), 1)
