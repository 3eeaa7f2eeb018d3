"""How a field is named and a value is read when settings are changed by name."""

from __future__ import annotations

import json

from redis_curriculum.scorers.learning_progress import LearningProgressConfig
from redis_curriculum.scorers.uniform import DiscreteRandomConfig


def fields_of_kind(kind: object) -> set[str]:
    """Return the names of the fields that an algorithm of this kind has."""
    models = (LearningProgressConfig, DiscreteRandomConfig)
    return {
        name for m in models if m.model_fields["kind"].default == kind for name in m.model_fields
    }


def from_text(value: object) -> object:
    """Return what a text says as JSON; the text itself where it is not JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
