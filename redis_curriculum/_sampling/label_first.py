"""Draws of a label by its weight, then of any of its tasks: ``DebiasedProgressConfig``'s way.

Labels stand in a sorted set by weight, labels with few results in another. A label is found without
a pass over them by composition and rejection: those whose weights lie in (2**(e-1), 2**e] are a
group; a group is drawn by 2**e times its number of labels, then one of its labels, which is
accepted with weight / 2**e, more than one half. So the cost does not grow with the number of
labels, and no sum has to be kept of more than the number of labels in each group; the sum of all
weights serves the cap alone.

Source: A. Slepoy, A. P. Thompson and S. J. Plimpton 2008, "A constant-time kinetic Monte Carlo
algorithm for simulation of large biochemical reaction networks", J. Chem. Phys. 128, 205101.

The twins are ``lua/draws/label_first``; both agree bit for bit, so the order of every
floating-point operation is part of the contract.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from redis_curriculum._sampling.pool import Parts, Pool, Positions
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum.scorers.base import Floats
from redis_curriculum.scorers.debiased_progress import DebiasedProgressConfig

MOST_TRIALS = 1024
PLACES = 4294967296.0
"""A sum is kept in whole numbers of 2**-32: floats added and removed one at a time drift."""

JUDGED_HIGH, JUDGED_GROUPS = 21, 55
"""Groups of the judged labels: e = 21 (2**20 tasks of weight 1) down to -33 and all below."""
YOUNG_HIGH, YOUNG_GROUPS = 20, 21
"""Groups of the young labels: e = 20 (2**20 tasks) down to 0."""
FORMAT = f">qq{JUDGED_GROUPS + YOUNG_GROUPS}I"
"""The string ``groups``: the two sums, then the number of labels in each group."""


def group_at(score: float, *, is_young: bool) -> int:
    """Return the position of a score's group among the counts, 0 for e = 21 of the judged."""
    mantissa, exponent = math.frexp(score)
    group = exponent - 1 if mantissa == 0.5 else exponent  # noqa: PLR2004 - of a power of two
    if is_young:
        return JUDGED_GROUPS + YOUNG_HIGH - group
    return min(JUDGED_HIGH - group, JUDGED_GROUPS - 1) if score else JUDGED_GROUPS - 1


def exponent_at(position: int) -> int:
    """Return the e of the group at a position among the counts."""
    if position < JUDGED_GROUPS:
        return JUDGED_HIGH - position
    return JUDGED_GROUPS + YOUNG_HIGH - position


def fixed(score: float) -> int:
    """Return a judged label's score as a whole number of 2**-32."""
    return math.floor(score * PLACES + 0.5)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A sorted set of labels, highest first, and the sum of its scores."""

    labels: Positions
    scores: list[float]
    total: float
    groups: dict[float, int]
    """The 2**e of each group, from above, to its number of labels."""
    envelope: float
    """The sum of 2**e over all labels."""

    @classmethod
    def of(
        cls, scores: Floats, among: NDArray[np.bool_], names: Sequence[str], *, is_young: bool
    ) -> Ranked:
        """Return those ``among`` all labels in Redis's reversed order: by score, then by bytes."""
        chosen = np.flatnonzero(among).tolist()
        values = scores.tolist()
        chosen.sort(key=lambda i: (values[i], names[i].encode()), reverse=True)
        ranked = [values[i] for i in chosen]
        total = sum(ranked) if is_young else float(sum(map(fixed, ranked))) / PLACES
        counts = Counter(group_at(score, is_young=is_young) for score in ranked)
        groups = {math.ldexp(1.0, exponent_at(i)): n for i, n in sorted(counts.items())}
        envelope = 0.0
        for top, count in groups.items():
            envelope += count * top
        return cls(np.array(chosen, dtype=np.intp), ranked, total, groups, envelope)

    def __len__(self) -> int:
        """The number of labels."""
        return len(self.scores)


class Standing:
    """Where the labels that have tasks stand, and what each is drawn by."""

    def __init__(self, pool: Pool, scorer: DebiasedProgressConfig) -> None:
        self.tasks_of = np.bincount(pool.label_index, minlength=len(pool.labels))
        mass = self.tasks_of.astype(np.float64)
        if scorer.label_mass == "equal":
            mass = np.ones(len(mass))
        present = self.tasks_of > 0
        results = np.nan_to_num(pool.label_statistics["completion_count"], nan=0.0)
        is_judged = present & (results >= scorer.least_count)
        weights = scorer.weights(pool.label_statistics)
        self.judged = Ranked.of(weights * mass, is_judged, pool.labels, is_young=False)
        is_young = present & ~is_judged
        self.young = Ranked.of(mass, is_young, pool.labels, is_young=True)
        self.unit = 1.0
        if len(self.young) and len(self.judged):
            self.unit = float(weights[is_judged].max())
        self.weights = np.where(is_judged, weights, self.unit)
        self.count = len(self.judged) + len(self.young)
        total = self.judged.total + self.young.total * self.unit
        self.floor, self._share_of_mass = 1.0, 0.0
        if total > 0:
            self.floor, self._share_of_mass = scorer.floor, (1 - scorer.floor) / total
        self.most = scorer.cap + (1 - scorer.cap) / max(self.count, 1)

    def share(self, mass: float) -> float:
        """Return a label's share of the draws before the cap."""
        return self.floor / self.count + self._share_of_mass * mass

    @cached_property
    def shares(self) -> Floats:
        """Each label's share of the draws, shape (m,); 0 for labels without tasks."""
        found = np.zeros(len(self.tasks_of))
        for ranked, unit in ((self.judged, 1.0), (self.young, self.unit)):
            masses = np.array(ranked.scores) * unit
            found[ranked.labels] = np.minimum(self.share(masses), self.most)  # type: ignore[arg-type]
        return found / found.sum() if self.count else found


def distribution(pool: Pool, scorer: DebiasedProgressConfig) -> Floats:
    """Return the probability of every task, aligned with ``pool.task_ids``; it sums to 1.

    The formula stands at ``DebiasedProgressConfig``; a label's tasks share its part equally.
    """
    standing = Standing(pool, scorer)
    each = standing.shares / np.maximum(standing.tasks_of, 1)
    return each[pool.label_index]


def pool_weights(pool: Pool, scorer: DebiasedProgressConfig) -> Floats:
    """Return the weight of each task's label, shape (n,)."""
    return Standing(pool, scorer).weights[pool.label_index]


def chances(pool: Pool, scorer: DebiasedProgressConfig) -> Floats:
    """Return the probability of each eligible task, in the pool's order."""
    return distribution(pool, scorer)[pool.eligible(scorer)]


class Pick:
    """One call's draws; where the labels stand is computed once for all of them."""

    def __init__(
        self,
        pool: Pool,
        parts: Parts,  # noqa: ARG002 - all draws share the form
        scorer: DebiasedProgressConfig,
        stream: RandomStream,
        count: int,  # noqa: ARG002
    ) -> None:
        self._pool, self._stream = pool, stream
        self._standing = Standing(pool, scorer)
        self._refused = 0
        self._members: dict[int, Positions] = {}

    @property
    def is_spent(self) -> bool:
        """Whether the cap has refused so many that the rest is left to the next call."""
        return self._refused >= MOST_TRIALS

    def one(self) -> int | None:
        """Return the position of one drawn task, None when the trials ran out."""
        standing, stream = self._standing, self._stream
        for _ in range(MOST_TRIALS):
            floor = standing.floor
            is_any = floor == 1 or (floor > 0 and stream.uniform() < floor)
            found = self._any() if is_any else self._weighed()
            if found is None:
                return None
            label, mass = found
            share = standing.share(mass)
            if share <= standing.most or stream.uniform() * share < standing.most:
                members = self._members_of(label)
                return int(members[stream.index(len(members))])
            self._refused += 1
        return None

    def _any(self) -> tuple[int, float]:
        standing = self._standing
        place = self._stream.index(standing.count)
        if place < len(standing.judged):
            return int(standing.judged.labels[place]), standing.judged.scores[place]
        place -= len(standing.judged)
        return int(standing.young.labels[place]), standing.young.scores[place] * standing.unit

    def _weighed(self) -> tuple[int, float] | None:
        judged, young, unit = self._standing.judged, self._standing.young, self._standing.unit
        for _ in range(MOST_TRIALS):
            v = self._stream.uniform() * (judged.envelope + young.envelope * unit)
            if v < judged.envelope:
                found = self._weighed_of(judged, v)
            else:
                found = self._weighed_of(young, (v - judged.envelope) / unit)
                found = found and (found[0], found[1] * unit)
            if found:
                return found
        return None

    def _weighed_of(self, ranked: Ranked, v: float) -> tuple[int, float] | None:
        start, stream = 0, self._stream
        for top, count in ranked.groups.items():
            if v < count * top:
                place = start + stream.index(count)
                score = ranked.scores[place]
                accepted = stream.uniform() * top < score
                return (int(ranked.labels[place]), score) if accepted else None
            v, start = v - count * top, start + count
        return None

    def _members_of(self, label: int) -> Positions:
        """Return the positions of a label's tasks, by the id's text as bytes."""
        if label not in self._members:
            members = np.flatnonzero(self._pool.label_index == label)
            order = np.argsort(self._pool.task_ids[members].astype("S20"), kind="stable")
            self._members[label] = members[order]
        return self._members[label]
