"""What a field means when a curriculum is resumed or attached to."""

from __future__ import annotations

from typing import Any

from redis_curriculum._values.fields import STRUCTURAL, Resume
from redis_curriculum._values.models import FrozenModel
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers.registry import family, kinds


def resume_rule(field: str) -> Resume:
    """Return what a dotted field of ``CurriculumConfig`` means at resume.

    Raises:
        KeyError: There is no such field.
        InvalidInputError: It is no text.
    """
    if not isinstance(field, str):
        raise InvalidInputError("field", "a text", field)
    top, _, name = field.partition(".")
    if top != "algorithm" or not name:
        return _mark(CurriculumConfig, top)
    models = [model for model in map(family, kinds()) if name in model.model_fields]
    if not models:
        raise KeyError(field)
    return _mark(models[0], name)


def _rule(field: str, algorithm: type[FrozenModel]) -> Resume:
    """As ``resume_rule``, for curricula of one family: others may mean another by the name."""
    top, _, name = field.partition(".")
    return _mark(algorithm, name) if top == "algorithm" and name else _mark(CurriculumConfig, top)


def _mark(model: type[FrozenModel], name: str) -> Resume:
    return next(mark for mark in model.model_fields[name].metadata if isinstance(mark, Resume))


def structural_differences(
    saved: CurriculumConfig, given: CurriculumConfig
) -> list[tuple[str, Any, Any]]:
    """Return (dotted field, saved, given) of all structural fields that differ."""
    algorithm = type(saved.algorithm)
    return [
        difference
        for difference in saved.differences(given)
        if _rule(difference[0], algorithm) is STRUCTURAL
    ]
