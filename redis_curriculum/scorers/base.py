"""What every scorer records of a task, and what it does with failing tasks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from redis_curriculum._values.fields import STRUCTURAL, TUNABLE, Count, Flag, Fraction, Inside, Rate
from redis_curriculum._values.models import FrozenModel
from redis_curriculum._values.rules import In


class Tracking(FrozenModel):
    """What every algorithm records of a task, and what it does with failing ones."""

    task_tracker_ema_alpha: Annotated[Rate, STRUCTURAL] = Field(
        default=0.1,
        description="Rate of reward_ema, ema_squared and success_rate_ema per completion.",
    )
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
    success_threshold: Annotated[Fraction, STRUCTURAL] = Field(
        default=0.5, description="A score from here on counts as a success."
    )
    max_consecutive_failures: Annotated[Count, TUNABLE] = Field(
        default=3, description="Reported failures in a row after which a task is replaced."
    )
    failure_score: Annotated[Annotated[float | None, In("[0, 1]")], TUNABLE] = Field(
        default=None,
        description="Score recorded for a reported failure; None: a failure is not a result.",
    )
