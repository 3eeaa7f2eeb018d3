"""Draws of a label by its weight, then of any of its tasks.

Labels stand in a sorted set by weight, labels with few results in another. A label is found without
a pass over them by composition and rejection: those whose weights lie in (2**(e-1), 2**e] are a
group; a group is drawn by 2**e times its number of labels, then one of its labels, which is
accepted with weight / 2**e, more than one half. So the cost does not grow with the number of
labels. The few labels that the cap holds back are taken out first and drawn by themselves.

Source: A. Slepoy, A. P. Thompson and S. J. Plimpton 2008, "A constant-time kinetic Monte Carlo
algorithm for simulation of large biochemical reaction networks", J. Chem. Phys. 128, 205101.

The twins are ``lua/draws/label_first``; both agree bit for bit, so the order of every
floating-point operation is part of the contract.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from redis_curriculum._sampling.pool import Parts, Pool, Positions
from redis_curriculum._sampling.quotas import members_of
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum.scorers.base import Floats
from redis_curriculum.scorers.drawing import LabelFirstDraws

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


def fixed(score: float, places: float = PLACES) -> int:
    """Return a score as a whole number of 1 / places."""
    return math.floor(score * places + 0.5)


class Ranked:
    """A sorted set of labels, highest first, and its groups; ``cut`` takes labels from its top."""

    def __init__(
        self, scores: Floats, among: NDArray[np.bool_], names: Sequence[str], *, is_young: bool
    ) -> None:
        chosen = np.flatnonzero(among).tolist()
        values = scores.tolist()
        # As Redis has them, in reverse: by score, then by the name's bytes.
        chosen.sort(key=lambda i: (values[i], names[i].encode()), reverse=True)
        self.labels: list[int] = chosen
        self.scores = [values[i] for i in chosen]
        self.start = 0
        """How many were taken from the top."""
        self.unit = 1.0
        """The mass of score 1."""
        self._places = 1.0 if is_young else PLACES
        self._mass = sum(fixed(score, self._places) for score in self.scores)
        counts = Counter(group_at(score, is_young=is_young) for score in self.scores)
        self.groups = {math.ldexp(1.0, exponent_at(i)): n for i, n in sorted(counts.items())}
        """The 2**e of each group, from above, to its number of labels."""
        self.envelope = 0.0
        """The sum of 2**e over all labels."""
        for top, count in self.groups.items():
            self.envelope += count * top

    def __len__(self) -> int:
        """The number of labels, those that were taken too."""
        return len(self.scores)

    @property
    def mass(self) -> float:
        """The sum of the labels' masses."""
        return self._mass / self._places * self.unit

    def cut(self, share: Callable[[float], float], most: float) -> list[int]:
        """Take out the labels whose share of the draws is above ``most``."""
        taken: list[int] = []
        for top in self.groups:
            while self.groups[top]:
                score = self.scores[self.start]
                if share(score * self.unit) <= most:
                    return taken
                taken.append(self.labels[self.start])
                self._mass -= fixed(score, self._places)
                self.groups[top] -= 1
                self.start += 1
                self.envelope -= top
        return taken


class Standing:
    """Where the labels that have tasks stand, and what each is drawn by.

    Labels whose share is cut by the cap are few; the others are drawn as if they were alone.
    """

    def __init__(self, pool: Pool, scorer: LabelFirstDraws) -> None:
        self.tasks_of = np.bincount(pool.label_index, minlength=len(pool.labels))
        mass = self.tasks_of.astype(np.float64)
        if scorer.label_mass == "equal":
            mass = np.ones(len(mass))
        present = self.tasks_of > 0
        results = np.nan_to_num(pool.label_statistics["completion_count"], nan=0.0)
        is_judged = present & (results >= scorer.least_count)
        weights = scorer.weights(pool.label_statistics)
        self.judged = Ranked(weights * mass, is_judged, pool.labels, is_young=False)
        self.young = Ranked(mass, present & ~is_judged, pool.labels, is_young=True)
        if len(self.young) and len(self.judged):
            self.young.unit = float(weights[is_judged].max())
        self.weights = np.where(is_judged, weights, self.young.unit)
        self._masses = np.where(is_judged, weights * mass, mass * self.young.unit)
        labels, total = len(self.judged) + len(self.young), self._mass
        self._base = (scorer.floor if total > 0 else 1.0) / max(labels, 1)
        self._share_of_mass = (1 - scorer.floor) / total if total > 0 else 0.0
        self.most = scorer.cap + (1 - scorer.cap) / max(labels, 1)
        self.capped = self.judged.cut(self._share, self.most)
        self.capped += self.young.cut(self._share, self.most)
        self.any_part = self._base * (labels - len(self.capped))
        """The share of the floor over the labels that are not capped."""
        self.weighed_part = self._share_of_mass * self._mass
        """The share of their weights."""

    @property
    def _mass(self) -> float:
        return self.judged.mass + self.young.mass

    def _share(self, mass: float) -> float:
        return self._base + self._share_of_mass * mass

    @property
    def parts(self) -> Floats:
        """Each label's part of the draws as the scripts compute it, shape (m,)."""
        whole = self.most * len(self.capped) + self.any_part + self.weighed_part
        uncut = self._base + self._share_of_mass * self._masses
        found: Floats = np.minimum(uncut, self.most) / max(whole, 5e-324)
        return found

    @property
    def shares(self) -> Floats:
        """Each label's share of the draws, shape (m,); 0 for labels without tasks."""
        uncut = self._base + self._share_of_mass * self._masses
        found: Floats = np.where(self.tasks_of > 0, np.minimum(uncut, self.most), 0.0)
        return found / max(float(found.sum()), 5e-324)


def distribution(pool: Pool, scorer: LabelFirstDraws) -> Floats:
    """Return the probability of every task, aligned with ``pool.task_ids``; it sums to 1.

    The formula stands at ``LabelFirstDraws``; a label's tasks share its part equally.
    """
    standing = Standing(pool, scorer)
    each = standing.shares / np.maximum(standing.tasks_of, 1)
    return each[pool.label_index]


def label_parts(pool: Pool, scorer: LabelFirstDraws) -> Floats:
    """Return each label's part of the draws, shape (m,)."""
    return Standing(pool, scorer).parts


def pool_weights(pool: Pool, scorer: LabelFirstDraws) -> Floats:
    """Return the weight of each task's label, shape (n,)."""
    return Standing(pool, scorer).weights[pool.label_index]


class Pick:
    """One call's draws; where the labels stand is computed once for all of them."""

    is_spent = False

    def __init__(
        self,
        pool: Pool,
        parts: Parts,  # noqa: ARG002 - all draws share the form
        scorer: LabelFirstDraws,
        stream: RandomStream,
        count: int,  # noqa: ARG002
    ) -> None:
        self._pool, self._stream = pool, stream
        self._standing = Standing(pool, scorer)
        self._members: dict[int, Positions] = {}

    def one(self) -> int | None:
        """Return the position of one drawn task; None: the groups are wrong."""
        standing, stream = self._standing, self._stream
        cut_part = standing.most * len(standing.capped)
        v = stream.uniform() * (cut_part + standing.any_part + standing.weighed_part)
        label: int | None
        if v < cut_part:
            place = min(math.floor(v / standing.most), len(standing.capped) - 1)
            label = standing.capped[place]
        elif v < cut_part + standing.any_part:
            label = self._any()
        else:
            label = self._weighed()
        if label is None:
            return None
        return self.member_of(label)

    def member_of(self, label: int) -> int:
        """Return the position of any task of a label."""
        if label not in self._members:
            self._members[label] = members_of(self._pool, label)
        members = self._members[label]
        return int(members[self._stream.index(len(members))])

    def _any(self) -> int:
        judged, young = self._standing.judged, self._standing.young
        rest = len(judged) - judged.start
        place = self._stream.index(rest + len(young) - young.start)
        if place < rest:
            return judged.labels[judged.start + place]
        return young.labels[young.start + place - rest]

    def _weighed(self) -> int | None:
        judged, young = self._standing.judged, self._standing.young
        for _ in range(MOST_TRIALS):
            v = self._stream.uniform() * (judged.envelope + young.envelope * young.unit)
            if v < judged.envelope:
                label = self._weighed_of(judged, v)
            else:
                label = self._weighed_of(young, (v - judged.envelope) / young.unit)
            if label is not None:
                return label
        return None

    def _weighed_of(self, ranked: Ranked, v: float) -> int | None:
        start, stream = ranked.start, self._stream
        for top, count in ranked.groups.items():
            if v < count * top:
                place = start + stream.index(count)
                accepted = stream.uniform() * top < ranked.scores[place]
                return ranked.labels[place] if accepted else None
            v, start = v - count * top, start + count
        return None
