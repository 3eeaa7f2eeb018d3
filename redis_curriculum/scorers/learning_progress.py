"""Draw tasks by learning progress: the rule of the system that this library replaces."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from redis_curriculum._values.fields import STRUCTURAL, TUNABLE, Count, Fraction, Rate
from redis_curriculum._values.models import reading_stored
from redis_curriculum._values.rules import In
from redis_curriculum.errors import ConfigWarning, InvalidInputError
from redis_curriculum.scorers.base import Tracking


class LearningProgressConfig(Tracking):
    """Draws tasks by learning progress.

    The defaults let learning progress be reached: a task is scored after 10 completions and
    evicted after 20 at the earliest, and 2 % of calls replace a task, so that new tasks ask for
    0.02 x 10 = 20 % of the draws, below the 25 % that under-sampled tasks get.
    """

    kind: Annotated[Literal["learning_progress"], STRUCTURAL] = "learning_progress"
    min_samples_for_lp: Annotated[Count, TUNABLE] = Field(
        default=10, description="Completions from which a task is eligible."
    )
    min_presentations_for_eviction: Annotated[Count, TUNABLE] = Field(
        default=20,
        description="Completions from which a task may be evicted; at least min_samples_for_lp.",
    )
    pooling: Annotated[Literal["label", "task"], TUNABLE] = Field(
        default="label", description="Whose progress drives the draw: the label's or the task's."
    )
    exploration: Annotated[Literal["share", "bonus"], TUNABLE] = Field(
        default="share", description="How under-sampled tasks get their part of the draws."
    )
    exploration_share: Annotated[Fraction, TUNABLE] = Field(
        default=0.25, description="'share': least part of draws for under-sampled tasks."
    )
    exploration_bonus: Annotated[Annotated[float, In("(0, 1000]")], TUNABLE] = Field(
        default=0.1, description="'bonus': weight of each under-sampled task."
    )
    rand_task_rate: Annotated[Fraction, TUNABLE] = Field(
        default=0.05,
        description="Part of draws that is uniform over the pool, so that a label whose progress"
        " is nil today is still looked at.",
    )
    progress_smoothing: Annotated[Fraction, TUNABLE] = Field(
        default=0.0, description="Added to every drive; matters at temperature > 0 only."
    )
    performance_bonus_weight: Annotated[Fraction, TUNABLE] = Field(
        default=0.0, description="Weight of p_true beside learning progress."
    )
    temperature: Annotated[Annotated[float, In("[0, 1000]")], TUNABLE] = Field(
        default=0.0, description="0: sigmoid of z-scores; above: sigmoid(drive / temperature)."
    )
    z_score_amplification: Annotated[Annotated[float, In("[0, 100]")], TUNABLE] = Field(
        default=10.0, description="Steepness over z-scores; 0 draws eligible tasks uniformly."
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

    @property
    def hypers(self) -> LearningProgressConfig:
        """What the store runs with: this config itself."""
        return self

    @classmethod
    def default(cls, **overrides: Any) -> Self:
        """The defaults: most environments."""
        return cls(**overrides)

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
