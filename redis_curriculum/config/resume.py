"""What a field means when a curriculum is resumed or attached to."""

from __future__ import annotations

from typing import Any

from redis_curriculum._values.fields import STRUCTURAL, Resume
from redis_curriculum._values.models import FrozenModel
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.scorers.learning_progress import LearningProgressConfig
from redis_curriculum.scorers.uniform import DiscreteRandomConfig


def resume_rule(field: str) -> Resume:
    """Return what a dotted field of ``CurriculumConfig`` means at resume.

    Raises:
        KeyError: There is no such field.
    """
    top, _, rest = field.partition(".")
    model: type[FrozenModel] = CurriculumConfig
    name = top
    if top == "algorithm" and rest:
        name = rest
        model = (
            LearningProgressConfig
            if rest in LearningProgressConfig.model_fields
            else (DiscreteRandomConfig)
        )
    return next(mark for mark in model.model_fields[name].metadata if isinstance(mark, Resume))


def structural_differences(
    saved: CurriculumConfig, given: CurriculumConfig
) -> list[tuple[str, Any, Any]]:
    """Return (dotted field, saved, given) of all structural fields that differ."""
    return [
        difference
        for difference in saved.differences(given)
        if resume_rule(difference[0]) is STRUCTURAL
    ]
