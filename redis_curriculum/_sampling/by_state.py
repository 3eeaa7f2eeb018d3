"""Draws of a state by what the whole pool says of it, then of a task of the state by its weight.

A cell holds the tasks of one state (and of one label, where labels count) in a sorted set by
weight, and the exact sum of their weights as a whole number of 2**-32. A result moves one task from
cell to cell; what a state counts moves no task. A draw chooses a cell by its mass, then a task in
it by composition and rejection, as ``label_first`` does with labels: tasks whose weights lie in
(2**(e-1), 2**e] are a piece, and more than half of the trials in it are accepted.

The twins are ``lua/draws/by_state``; both agree bit for bit, so the order of every floating-point
operation is part of the contract.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from redis_curriculum._sampling.pool import Parts, Pool, Positions
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum.scorers.base import Floats
from redis_curriculum.scorers.drawing import StateDraws

MOST_TRIALS = 1024
PLACES = 4294967296.0
LOWEST = -33
"""Weights up to 2**LOWEST are one piece."""
LABEL_FLOOR = 0.15
LEAST_RESULTS = 20
"""Results from which a label is judged by its own weight."""


def fixed(weight: float) -> int:
    """Return a weight as a whole number of 2**-32."""
    return math.floor(weight * PLACES + 0.5)


class _Row(NamedTuple):
    """A label, and what each of its tasks counts; None: all labels together."""

    label: int | None
    share: float


def _rows(pool: Pool, scorer: StateDraws) -> list[_Row]:
    """Labels by weight, then those with few results, in Redis's order."""
    if scorer.label_factor == "none":
        return [_Row(None, 1.0)]
    tasks_of = np.bincount(pool.label_index, minlength=len(pool.labels)).tolist()
    results = np.nan_to_num(pool.label_statistics["completion_count"], nan=0.0).tolist()
    own = scorer.label_weights(pool.label_statistics).tolist()
    present = [i for i, tasks in enumerate(tasks_of) if tasks]
    order = sorted(present, key=lambda i: pool.labels[i].encode())
    known = sorted((i for i in order if results[i] >= LEAST_RESULTS), key=lambda i: own[i])
    young = [i for i in order if results[i] < LEAST_RESULTS]
    largest, total, found = own[known[-1]] if known else 1.0, 0.0, list[_Row]()
    weights = [own[i] for i in known] + [largest] * len(young)
    for weight in weights:
        total += weight
    for i, weight in zip(known + young, weights, strict=True):
        share = LABEL_FLOOR / len(weights) + (1 - LABEL_FLOOR) * weight / total
        found.append(_Row(i, share / tasks_of[i]))
    return found


class _Cell:
    """The tasks of one state, of one label or of all."""

    def __init__(self, positions: Positions, weights: Floats, ids: Positions) -> None:
        order = np.lexsort((ids[positions].astype("S20"), weights[positions]))[::-1]
        self.tasks = positions[order].tolist()
        self.weights: list[float] = weights[positions][order].tolist()
        self.sum = sum(fixed(weight) for weight in self.weights)
        self.upto = 0.0
        self._pieces: list[tuple[int, int, float]] | None = None
        self._envelope = 0.0

    def one(self, stream: RandomStream) -> int | None:
        """Return the position of one task, by its weight."""
        if self._pieces is None:
            self._pieces = self._cut()
        for _ in range(MOST_TRIALS):
            v = stream.uniform() * self._envelope
            for start, count, top in self._pieces:
                if v < count * top:
                    place = start + stream.index(count)
                    if stream.uniform() * top < self.weights[place]:
                        return int(self.tasks[place])
                    break
                v -= count * top
        return None

    def _cut(self) -> list[tuple[int, int, float]]:
        """Return the first place, the number of tasks and the bound of each piece."""
        pieces, start = list[tuple[int, int, float]](), 0
        positive = sum(weight > 0 for weight in self.weights)
        while start < positive:
            mantissa, exponent = math.frexp(self.weights[start])
            exponent = exponent - 1 if mantissa == 0.5 else exponent  # noqa: PLR2004 - a power of two
            top, below = math.ldexp(1.0, exponent), math.ldexp(1.0, exponent - 1)
            if exponent <= LOWEST:
                top, below = math.ldexp(1.0, LOWEST), 0.0
            count = sum(below < weight for weight in self.weights[start:])
            pieces.append((start, count, top))
            self._envelope += count * top
            start += count
        return pieces


def _factors(pool: Pool, scorer: StateDraws) -> Floats:
    """What each task's weight is multiplied by, shape (n,)."""
    states = scorer.states(pool.statistics).astype(np.intp)
    by_state = [scorer.state_weight(s, pool.numbers) for s in range(scorer.STATES)]
    found: Floats = np.array(by_state)[states]
    shares = np.ones(len(pool.labels))
    for row in _rows(pool, scorer):
        if row.label is not None:
            shares[row.label] = row.share
    return found * shares[pool.label_index]


def pool_weights(pool: Pool, scorer: StateDraws) -> Floats:
    """Return the weight of each task: its own times its state's and its label's, shape (n,)."""
    return scorer.weights(pool.statistics) * _factors(pool, scorer)


def distribution(pool: Pool, scorer: StateDraws) -> Floats:
    """Return the probability of every task, aligned with ``pool.task_ids``; it sums to 1.

    The formula stands at ``StateDraws``.
    """
    if not len(pool):
        return np.zeros(0)
    weights = np.floor(scorer.weights(pool.statistics) * PLACES + 0.5) * _factors(pool, scorer)
    total, n = float(weights.sum()), len(pool)
    if total == 0:
        return np.full(n, 1 / n)
    return scorer.floor / n + (1 - scorer.floor) * (weights / total)


class Pick:
    """One call's draws; the masses of the cells are computed once for all of them."""

    is_spent = False

    def __init__(
        self,
        pool: Pool,
        parts: Parts,
        scorer: StateDraws,
        stream: RandomStream,
        count: int,  # noqa: ARG002 - all draws share the form
    ) -> None:
        self._order, self._stream, self._floor = np.concatenate(parts), stream, scorer.floor
        states, weights = scorer.states(pool.statistics), scorer.weights(pool.statistics)
        by_state = [scorer.state_weight(s, pool.numbers) for s in range(scorer.STATES)]
        self._cells, self._total = list[_Cell](), 0.0
        for row in _rows(pool, scorer):
            of_row = np.ones(len(pool), dtype=np.bool_)
            if row.label is not None:
                of_row = pool.label_index == row.label
            for s in range(scorer.STATES):
                cell = _Cell(np.flatnonzero(of_row & (states == s)), weights, pool.task_ids)
                if cell.sum > 0:
                    self._total += by_state[s] * (cell.sum / PLACES) * row.share
                    cell.upto = self._total
                    self._cells.append(cell)

    def one(self) -> int | None:
        """Return the position of one drawn task; None: none was found in bounded time."""
        stream = self._stream
        if self._total == 0 or stream.uniform() < self._floor:
            return int(self._order[stream.index(len(self._order))])
        v = stream.uniform() * self._total
        for cell in self._cells:
            if v < cell.upto:
                return cell.one(stream)
        return self._cells[-1].one(stream)
