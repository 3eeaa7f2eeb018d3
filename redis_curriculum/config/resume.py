"""What a field means when a curriculum is resumed or attached to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis_curriculum._values.fields import STRUCTURAL, TUNABLE, Resume
from redis_curriculum._values.models import FrozenModel
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.overrides import from_text
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


def tunable_fields(config: CurriculumConfig) -> list[str]:
    """Return the names of the fields that may change while the curriculum lives, in order."""
    models: dict[str, type[FrozenModel]] = {"": type(config), "algorithm.": type(config.algorithm)}
    return [
        prefix + name
        for prefix, model in models.items()
        for name in model.model_fields
        if name != "algorithm" and _mark(model, name) is TUNABLE
    ]


def retuned(config: CurriculumConfig, settings: Mapping[str, Any]) -> CurriculumConfig:
    """Return a copy with tunable fields replaced, as ``with_overrides`` does.

    Raises:
        InvalidInputError: A name is unknown, a value breaks a rule, or a field is structural; then
            the message lists the tunable ones.
    """
    for name, value in settings.items():  # first: a structural field may have rules of its own
        field = config.field_named(name)
        if _rule(field, type(config.algorithm)) is STRUCTURAL and not _is_same(
            config, field, value
        ):
            raise _must_stay(config, field, value)
    changed = config.with_overrides(settings)
    for field, _, given in structural_differences(config, changed):
        raise _must_stay(config, field, given)
    return changed


def _is_same(config: CurriculumConfig, field: str, value: object) -> bool:
    top, _, name = field.partition(".")
    own = getattr(config.algorithm, name) if name else getattr(config, top)
    given = from_text(value)
    return bool(own == (tuple(given) if isinstance(given, list) else given))


def _must_stay(config: CurriculumConfig, field: str, value: object) -> InvalidInputError:
    rule = (
        "as it was when the curriculum was created, since it says what the stored numbers mean"
        f" (tunable are {', '.join(tunable_fields(config))})"
    )
    return InvalidInputError(field, rule, value)
