"""What is known of a task: the one list of its fields, and the record they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pydantic_core import from_json


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task as it stands in Redis. None means "never": the hash lacks the field.

    Scores and EMAs lie in [0, 1]; formulas are in ``scorers/statistics.py``.
    """

    task_id: int
    label: str
    label_hash: int
    params: dict[str, Any]
    created_ms: int
    """When the task was created, ms of the server's clock."""
    sample_count: int
    """How often it was drawn."""
    completion_count: int
    """How many results were applied."""
    failure_count: int
    total_score: float
    success_threshold: float
    """A score from here on is a success."""
    last_score: float | None = None
    reward_ema: float | None = None
    ema_squared: float | None = None
    success_rate_ema: float | None = None
    p_fast: float | None = None
    p_slow: float | None = None
    p_true: float | None = None
    random_baseline: float | None = None
    learning_progress: float | None = None
    consecutive_failures: int = 0
    last_error: str | None = None

    @classmethod
    def parse(cls, fields_: Mapping[str, str]) -> TaskRecord:
        """Read a record from its hash; unknown fields (of newer writers) are left out."""
        known = {name: _READ[name](text) for name, text in fields_.items() if name in _READ}
        return cls(**known)


_INTEGERS = {
    "task_id",
    "label_hash",
    "created_ms",
    "sample_count",
    "completion_count",
    "failure_count",
    "consecutive_failures",
}
_READ: dict[str, Any] = {
    field.name: from_json
    if field.name == "params"
    else str
    if field.name in ("label", "last_error")
    else int
    if field.name in _INTEGERS
    else float
    for field in fields(TaskRecord)
}
FIELDS: tuple[str, ...] = tuple(_READ)
"""Names of the record's fields, the same in Redis, in Python and in snapshots."""

PROGRESS_FIELDS: tuple[str, ...] = (
    "completion_count",
    "reward_ema",
    "ema_squared",
    "success_rate_ema",
    "p_fast",
    "p_slow",
    "p_true",
    "learning_progress",
    "total_score",
    "last_score",
    "random_baseline",
)
"""The statistics that a completion changes; a label keeps the same ones (``progress:<label>``)."""


def pairs(flat: list[str]) -> dict[str, str]:
    """Turn Redis's flat list of field, value, ... into a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
