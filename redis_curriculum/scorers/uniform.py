"""Draw every task with the same probability: the baseline to compare a curriculum with."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from redis_curriculum._values.fields import STRUCTURAL
from redis_curriculum.scorers.base import Tracking
from redis_curriculum.scorers.learning_progress import LearningProgressConfig


class DiscreteRandomConfig(Tracking):
    """Draws every task of the pool with the same probability and replaces none.

    The statistics are kept all the same: this is the baseline to compare a curriculum with.
    """

    kind: Annotated[Literal["discrete_random"], STRUCTURAL] = "discrete_random"

    @cached_property
    def hypers(self) -> LearningProgressConfig:
        """What the store runs with: learning progress is tracked, draws are uniform."""
        fields = self.model_dump(exclude={"kind"})
        return LearningProgressConfig(**fields, rand_task_rate=1.0, replacement_rate=0.0)
