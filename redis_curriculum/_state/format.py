"""The lines of a snapshot file: one model each, and the migration of older formats.

A snapshot is gzipped JSON Lines, readable without this library: a manifest (config, counters,
random state), then one line per label, closed epoch, quarantined task and task, then a closing line
with the counts and the SHA-256 of all lines before it. Floats are written so that they read back to
the same bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from redis_curriculum._values.models import FrozenModel
from redis_curriculum._values.rules import In, canonical_json
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.tasks.task import Params

FORMAT: Final = 1
MOST_LINE_BYTES: Final = 8 * 2**20
MOST_TASKS: Final = 2**20

Natural = Annotated[int, In("[0, 2**53)")]
Whole = Annotated[int, In("[-2**63, 2**63)")]
Amount = Annotated[float, In("[0, 1e300]")]
Fraction = Annotated[float, In("[0, 1]")]
Average = Annotated[float, In("[0, 1.000001]")]  # of fractions; rounding must not refuse a file
What = Literal["completions", "samples", "evictions", "failures", "created"]
OfEpoch = What | Literal["times", "success", "progress"]


class Manifest(FrozenModel):
    """The first line: everything but the tasks and labels."""

    type: Literal["manifest"] = "manifest"
    format: Natural
    library: str
    """Version that wrote it."""
    redis: str
    """Version of the server."""
    name: str
    created_ms: Natural
    """The moment, by the server's clock."""
    curriculum_created_ms: Natural
    config: dict[str, Any]
    config_sha256: str
    seed: Annotated[int, In("[0, 2**63)")]
    epoch: Natural
    generation: Natural
    next_index: Natural
    random: Annotated[list[Natural], Field(min_length=6, max_length=6)]
    counters: dict[str, Whole]
    forced: list[dict[str, Any]]
    """Notes of restores that overrode structural fields."""
    workers: dict[str, dict[str, str]]


_LEFT_BY_COMPLETIONS: Final = (
    "learning_progress",
    "last_score",
    "reward_ema",
    "ema_squared",
    "success_rate_ema",
    "p_fast",
    "p_slow",
    "p_true",
)


class StatisticsLine(FrozenModel):
    """What completions have left; all absent before the first."""

    completion_count: Natural = 0
    total_score: Amount = 0.0
    last_score: Fraction | None = None
    reward_ema: Average | None = None
    ema_squared: Average | None = None
    success_rate_ema: Average | None = None
    p_fast: Average | None = None
    p_slow: Average | None = None
    p_true: Average | None = None
    random_baseline: Fraction | None = None
    learning_progress: Average | None = None

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        for name in _LEFT_BY_COMPLETIONS:
            value = getattr(self, name)
            if (self.completion_count > 0) != (value is not None):
                raise InvalidInputError(name, "there if and only if there are completions", value)
        return self


class LabelLine(FrozenModel):
    """One label, active or remembered; the empty one holds the counts of forgotten labels."""

    type: Literal["label"] = "label"
    label: str
    active: Natural
    inactive_ms: Natural | None = None
    progress: StatisticsLine
    count: dict[What, Natural]
    epoch: dict[What, Natural]


class EpochLine(FrozenModel):
    """Part of what is kept of a closed epoch."""

    type: Literal["epoch"] = "epoch"
    epoch: Natural
    what: OfEpoch
    counts: dict[str, Natural | Amount]


class QuarantineLine(FrozenModel):
    """A task that was evicted for failing."""

    type: Literal["quarantine"] = "quarantine"
    task_id: Natural
    error: str


class TaskLine(StatisticsLine):
    """One task's record."""

    type: Literal["task"] = "task"
    task_id: Natural
    label: str
    label_hash: Natural
    params: Params
    created_ms: Natural
    sample_count: Natural
    failure_count: Natural
    success_threshold: Fraction
    consecutive_failures: Natural = 0
    last_error: str | None = None


class EndLine(FrozenModel):
    """The last line."""

    type: Literal["end"] = "end"
    labels: Natural
    epochs: Natural
    quarantined: Natural
    tasks: Natural
    sha256: str
    """Of all lines before this one, with their line feeds."""


Line = Manifest | LabelLine | EpochLine | QuarantineLine | TaskLine | EndLine
MODELS: Final[dict[str, type[FrozenModel]]] = {
    "manifest": Manifest,
    "label": LabelLine,
    "epoch": EpochLine,
    "quarantine": QuarantineLine,
    "task": TaskLine,
    "end": EndLine,
}
FIRST_FIELDS: Final = ("type", "task_id", "label")  # so that a person sees at once what a line is
COUNTED: Final = {
    "label": "labels",
    "epoch": "epochs",
    "quarantine": "quarantined",
    "task": "tasks",
}


def known(line: FrozenModel) -> dict[str, Any]:
    """Fields that are not None: absent means never."""
    return {name: value for name, value in line.model_dump().items() if value is not None}


def _from_0(fields: dict[str, Any]) -> dict[str, Any]:
    """Format 0 kept ``hypers`` beside the config, ids under ``id``, no counters, no epochs."""
    renamed = dict(fields)
    match fields.get("type"):
        case "manifest":
            config = dict(renamed.pop("config", {}))
            config["algorithm"] = renamed.pop("hypers", None)
            digest = hashlib.sha256(canonical_json(config).encode()).hexdigest()
            defaults = {"counters": {}, "forced": [], "workers": {}, "config_sha256": digest}
            renamed = {**defaults, **renamed, "config": config, "format": 1}
        case "task":
            renamed["task_id"] = renamed.pop("id", None)
        case "end":
            renamed.setdefault("epochs", 0)
            renamed.setdefault("quarantined", 0)
    return renamed


MIGRATIONS: Final[dict[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {0: _from_0}
