"""Draw tasks by learning progress: the rule of the system that this library replaces.

Learning progress is the gap of a fast and a slow average, reweighted in favour of early progress.

Source: Kanitscheider et al. 2021, "Multi-task curriculum learning in a complex, visual,
hard-exploration domain: Minecraft". The twin is ``lua/scorers/learning_progress.lua``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from redis_curriculum._values.fields import (
    STRUCTURAL,
    TUNABLE,
    Count,
    Flag,
    Fraction,
    Inside,
    Rate,
)
from redis_curriculum._values.models import reading_stored
from redis_curriculum.errors import ConfigWarning, InvalidInputError
from redis_curriculum.scorers.base import Floats, Number
from redis_curriculum.scorers.drawing import SigmoidDraws
from redis_curriculum.scorers.statistics import BASIC, Holder, Statistic, Statistics, ema

NO_REWEIGHTING = 0.5
"""The ``early_progress_amplification`` at which R is the identity."""


class LearningProgressConfig(SigmoidDraws):
    """Draws tasks by learning progress.

    The defaults let learning progress be reached: a task is scored after 10 completions and
    evicted after 20 at the earliest, and 2 % of calls replace a task, so that new tasks ask for
    0.02 x 10 = 20 % of the draws, below the 25 % that under-sampled tasks get.
    """

    STATISTICS: ClassVar[tuple[Statistic, ...]] = (
        *BASIC,
        Statistic("ema_squared", "EMA of the squared score, rate task_tracker_ema_alpha."),
        Statistic("p_fast", "Fast EMA of the mastery: the score above the random baseline."),
        Statistic("p_slow", "Slow EMA of the mastery."),
        Statistic("p_true", "Fast EMA of the score itself."),
        Statistic("random_baseline", "The first score, at most 0.75.", is_optional=True),
        Statistic("learning_progress", "How fast the performance changes, or how much it varies."),
    )
    INDEXED_BY: ClassVar[tuple[str, ...] | None] = (
        "min_samples_for_lp",
        "min_presentations_for_eviction",
        "pooling",
        "performance_bonus_weight",
    )
    DRAWN_BY: ClassVar[tuple[str, ...] | None] = ("learning_progress", "p_true")

    kind: Annotated[Literal["learning_progress"], STRUCTURAL] = "learning_progress"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    ema_timescale: Annotated[Rate, STRUCTURAL] = Field(
        default=0.1, description="Rate of the fast EMA of performance per completion."
    )
    slow_timescale_factor: Annotated[Inside, STRUCTURAL] = Field(
        default=0.2,
        description="Slow rate over fast rate; 1 would make learning progress always 0.",
    )
    use_bidirectional: Annotated[Flag, STRUCTURAL] = Field(
        default=True,
        description="Learning progress is the gap of two EMAs; False: the standard deviation.",
    )
    use_baseline_normalization: Annotated[Flag, STRUCTURAL] = Field(
        default=False,
        description="Measure mastery above the first score. Off: one score is a noisy baseline,"
        " and whatever falls below it would look like no change at all.",
    )
    early_progress_amplification: Annotated[Inside, STRUCTURAL] = Field(
        default=0.5,
        description="Below 0.5 progress at low performance counts for more; 0.5 is neutral.",
    )
    min_samples_for_lp: Annotated[Count, TUNABLE] = Field(
        default=10, description="Completions from which a task is eligible."
    )
    min_presentations_for_eviction: Annotated[Count, TUNABLE] = Field(
        default=20,
        description="Completions from which a task may be evicted; at least min_samples_for_lp.",
    )
    performance_bonus_weight: Annotated[Fraction, TUNABLE] = Field(
        default=0.0, description="Weight of p_true beside learning progress."
    )
    eviction_threshold_percentile: Annotated[Rate, TUNABLE] = Field(
        default=0.4,
        description="Fraction of the pool, lowest progress first, within which a task must rank"
        " to be evicted. Under-sampled tasks without progress take part of these ranks.",
    )
    replacement_rate: Annotated[Fraction, TUNABLE] = Field(
        default=0.02, description="Probability that a draw tries to replace a task first."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.min_presentations_for_eviction < self.min_samples_for_lp:
            rule = f"at least min_samples_for_lp ({self.min_samples_for_lp})"
            value = self.min_presentations_for_eviction
            raise InvalidInputError("min_presentations_for_eviction", rule, value)
        wanted = self.replacement_rate * self.min_samples_for_lp
        if wanted > self.exploration_share and not reading_stored.get():
            warnings.warn(
                "replacements outrun what under-sampled tasks can absorb:"
                f" replacement_rate {self.replacement_rate:g} x min_samples_for_lp"
                f" {self.min_samples_for_lp} = {wanted:g} of all draws, but exploration_share is"
                f" {self.exploration_share:g}; few tasks will become eligible",
                ConfigWarning,
                stacklevel=3,
            )
        return self

    # --- the rule --------------------------------------------------------------------------------

    def fold(self, of: Statistics, score: float) -> dict[str, float]:
        """Return the statistics after one more completion; the formulas of DESIGN section 5."""
        found = super().fold(of, score)
        fast_rate = self.ema_timescale
        slow_rate = fast_rate * self.slow_timescale_factor
        baseline = of.get("random_baseline")
        if not of.get("completion_count") and self.use_baseline_normalization:
            baseline = min(score, 0.75)
        tracker_rate, squared = self.task_tracker_ema_alpha, score * score
        found["ema_squared"] = ema(of.get("ema_squared"), tracker_rate, squared)
        mastery = self._mastery(score, baseline)
        found["p_fast"] = ema(of.get("p_fast"), fast_rate, mastery)
        found["p_slow"] = ema(of.get("p_slow"), slow_rate, mastery)
        found["p_true"] = ema(of.get("p_true"), fast_rate, score)
        if baseline is not None:
            found["random_baseline"] = baseline
        found["learning_progress"] = self._progress(found)
        return found

    def _mastery(self, score: float, baseline: float | None) -> float:
        if baseline is None or not self.use_baseline_normalization:
            return score
        return max(score - baseline, 0.0) / max(1 - baseline, 1e-10)

    def _progress(self, of: Statistics) -> float:
        if self.use_bidirectional:
            early = self.early_progress_amplification
            return abs(reweight(of["p_fast"], early) - reweight(of["p_slow"], early))
        return math.sqrt(max(0.0, of["ema_squared"] - of["reward_ema"] * of["reward_ema"]))

    def first(self, name: str, mean: float) -> float:
        """Return no progress, no spread, and the mean for every average."""
        return {"learning_progress": 0.0, "ema_squared": mean * mean}.get(name, mean)

    def rank(self, of: Statistics) -> float:
        """Return the task's own learning progress."""
        return of.get("learning_progress", 0.0)

    def weight(self, of: Statistics) -> float:
        """Return learning progress plus the performance bonus."""
        return self._weigh(of.get("learning_progress", 0.0), of.get("p_true", 0.0))

    def weights(self, columns: Mapping[str, Floats]) -> Floats:
        """Return the weights of many tasks or labels, shape (n,)."""
        progress = np.nan_to_num(columns["learning_progress"], nan=0.0)
        return self._weigh(progress, np.nan_to_num(columns["p_true"], nan=0.0))

    def ranks(self, columns: Mapping[str, Floats]) -> Floats:
        """Return the ranks of many tasks, shape (n,)."""
        return np.nan_to_num(columns["learning_progress"], nan=0.0)

    def _weigh(self, progress: Number, p_true: Number) -> Number:
        if self.performance_bonus_weight == 0:
            return progress
        return progress + self.performance_bonus_weight * p_true

    @property
    def fresh_until(self) -> int:
        """``min_samples_for_lp``."""
        return self.min_samples_for_lp

    @property
    def ripe_from(self) -> int:
        """``min_presentations_for_eviction``."""
        return self.min_presentations_for_eviction

    @property
    def replacement(self) -> float:
        """``replacement_rate``."""
        return self.replacement_rate

    @property
    def evictable_share(self) -> float:
        """``eviction_threshold_percentile``."""
        return self.eviction_threshold_percentile

    @property
    def weight_is_rank(self) -> bool:
        """Whether a task's own weight is its rank: then the sorted sets are in order of it."""
        return self.performance_bonus_weight == 0

    def names(self, holder: Holder) -> tuple[str, ...]:
        """Return the names of the statistics; there is a baseline only where one is used."""
        found = super().names(holder)
        if self.use_baseline_normalization:
            return found
        return tuple(name for name in found if name != "random_baseline")

    @property
    def aliases(self) -> Mapping[str, str]:
        """Without a baseline, averages of the same rate are the same number."""
        if self.use_baseline_normalization:
            return {}
        if self.task_tracker_ema_alpha != self.ema_timescale:
            return {"p_true": "p_fast"}
        return {"p_true": "p_fast", "reward_ema": "p_fast"}

    @classmethod
    def layouts(cls) -> Sequence[Self]:
        """With a baseline; without one, with one rate for all averages and with two."""
        return (
            cls(use_baseline_normalization=True),
            cls(ema_timescale=0.1, task_tracker_ema_alpha=0.1),
            cls(ema_timescale=0.1, task_tracker_ema_alpha=0.2),
        )

    # --- presets ---------------------------------------------------------------------------------

    @classmethod
    def stable(cls, **overrides: Any) -> Self:
        """For noisy scores: half the rates, twice the results before a task is judged.

        Replacements are half as frequent, so new tasks ask for the same 20 % of draws.
        """
        preset = {
            "task_tracker_ema_alpha": 0.05,
            "ema_timescale": 0.05,
            "min_samples_for_lp": 20,
            "min_presentations_for_eviction": 40,
            "replacement_rate": 0.01,
            "z_score_amplification": 5.0,
        }
        return cls(**{**preset, **overrides})

    @classmethod
    def fast_learning(cls, **overrides: Any) -> Self:
        """For agents that learn a task in tens of episodes: twice the rates, half the waiting.

        Replacements are twice as frequent, so new tasks ask for the same 20 % of draws.
        """
        preset = {
            "task_tracker_ema_alpha": 0.2,
            "ema_timescale": 0.2,
            "min_samples_for_lp": 5,
            "min_presentations_for_eviction": 10,
            "replacement_rate": 0.04,
            "z_score_amplification": 15.0,
        }
        return cls(**{**preset, **overrides})

    @classmethod
    def arena_legacy(cls, **overrides: Any) -> Self:
        """The replaced system's choices, as near as the rules allow; for comparison only.

        It replaced a task on every call for which there was a candidate and judged tasks by
        their own, very slow, EMAs; hence this preset warns. It evicted from 5 completions on,
        which the rules refuse: here 10.
        """
        preset = {
            "task_tracker_ema_alpha": 0.02,
            "ema_timescale": 0.001,
            "use_baseline_normalization": True,
            "min_presentations_for_eviction": 10,
            "pooling": "task",
            "exploration": "bonus",
            "rand_task_rate": 0.01,
            "replacement_rate": 1.0,
        }
        return cls(**{**preset, **overrides})


def reweight(p: float, early: float) -> float:
    """R(p): stretch low performance so that early progress counts for more.

    ``R(p) = p (1 - th) / (p + th (1 - 2 p))`` maps [0, 1] onto itself, rising; th = ``early`` in
    (0, 1) is the performance that becomes one half. 0.5 is the identity.
    """
    p = min(max(p, 0.0), 1.0)
    if early == NO_REWEIGHTING:
        return p
    return p * (1 - early) / (p + early * (1 - 2 * p))
