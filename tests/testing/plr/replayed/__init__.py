"""Prioritized level replay: by the rank of the last surprise, and by how long ago it was drawn.

Source: M. Jiang, E. Grefenstette and T. Rocktaeschel 2021, "Prioritized Level Replay", ICML.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from redis_curriculum.scorers import (
    BASIC,
    STRUCTURAL,
    TUNABLE,
    Fraction,
    OwnDraws,
    OwnKey,
    PoolNumbers,
    Scorer,
    Statistic,
    Statistics,
    Uniforms,
)

PLACE = Path(__file__).parent
MOST_TRIALS = 1024
Floats = NDArray[np.float64]


class Replays(OwnDraws):
    """With the staleness share by draws since the last one, else by 1 / rank."""

    LUA = PLACE / "draws"

    def distribution(self, pool: PoolNumbers, scorer: Any) -> Floats:
        parts, n = pool.parts(scorer), len(pool.task_ids)
        found = np.zeros(n)
        found[np.concatenate((parts.fresh, parts.learning[::-1]))] = 1 / np.arange(1, n + 1)
        found /= found.sum() if n else 1
        stale = draws_of(pool) - last_of(pool)
        if stale.any():
            share = scorer.staleness_share
            found = (1 - share) * found + share * stale / stale.sum()
        return found

    def pick(
        self,
        pool: PoolNumbers,
        scorer: Any,
        stream: Uniforms,
        count: int,  # noqa: ARG002 - all ways share the form
    ) -> Pick:
        return Pick(pool, scorer, stream)


def last_of(pool: PoolNumbers) -> Floats:
    return pool.own.tasks.get("drawn", np.zeros(len(pool.task_ids))).copy()


def draws_of(pool: PoolNumbers) -> float:
    return pool.own.pool.get("draws", {}).get("count", 0.0)


class Pick:
    is_spent = False

    def __init__(self, pool: PoolNumbers, scorer: Any, stream: Uniforms) -> None:
        parts = pool.parts(scorer)
        self.order = np.concatenate((parts.fresh, parts.learning[::-1]))
        self.all = np.concatenate((parts.fresh, parts.learning))
        self.scorer, self.stream = scorer, stream
        self.last, self.draws = last_of(pool), draws_of(pool)

    def one(self) -> int | None:
        most = self.draws - self.last.min()
        if self.stream.uniform() < self.scorer.staleness_share and most > 0:
            for _ in range(MOST_TRIALS):
                position = self.all[self.stream.index(len(self.all))]
                if self.stream.uniform() * most < self.draws - self.last[position]:
                    return int(position)
            return None
        bins, top = 0, 1
        while top <= len(self.order):
            bins, top = bins + 1, 2 * top
        while True:
            low = 2 ** self.stream.index(bins)
            rank = low + self.stream.index(low)
            if rank <= len(self.order) and self.stream.uniform() * rank < low:
                return int(self.order[rank - 1])

    def taken(self, position: int) -> bool:
        self.draws += 1
        self.last[position] = self.draws
        return True


class ReplayedConfig(Scorer):
    """Draws levels that surprised last time, and those that were not drawn for long."""

    STATISTICS = (*BASIC, Statistic("surprise", "The last score less the average before it."))
    DRAWN_BY = ("surprise",)
    LUA = PLACE / "replayed.lua"
    DRAW = Replays()
    OWN = (
        OwnKey("drawn", "The draw that the task was last drawn in.", "task", low=0, first=0),
        OwnKey("draws", "count: all draws.", "pool", low=0),
    )

    kind: Annotated[Literal["replayed"], STRUCTURAL] = "replayed"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    staleness_share: Annotated[Fraction, TUNABLE] = Field(
        default=0.3, description="Share of the draws that goes by staleness."
    )

    def fold(self, of: Statistics, score: float) -> dict[str, float]:
        surprise = abs(score - of.get("reward_ema", 0.0))
        return {**super().fold(of, score), "surprise": surprise}

    def rank(self, of: Statistics) -> float:
        return of.get("surprise", 0.0)
