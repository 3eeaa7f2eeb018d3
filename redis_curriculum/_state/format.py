"""The lines of a snapshot file: one model each, and the migration of older formats.

A snapshot is gzipped JSON Lines, readable without this library: a manifest (config, counters,
random state), then one line per label, closed epoch, quarantined task, batch and task, then a
closing line with the counts and the SHA-256 of all lines before it. Floats are written so that they
read back to the same bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, Field

from redis_curriculum._sampling.random_stream import M1, M2
from redis_curriculum._store.keyed import BATCH_SIZE
from redis_curriculum._values.fields import WEIGHT
from redis_curriculum._values.models import FrozenModel
from redis_curriculum._values.rules import In, canonical_json
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers.base import Scorer
from redis_curriculum.scorers.own import MOST_FIELDS
from redis_curriculum.scorers.statistics import Holder
from redis_curriculum.tasks.ids import label_hash
from redis_curriculum.tasks.task import Params

FORMAT: Final = 2
MOST_LINE_BYTES: Final = 8 * 2**20
MOST_TASKS: Final = 2**20
MOST_QUARANTINED: Final = 100_000
MOST_NAMES: Final = 500
"""Labels in one line of an epoch."""
MOST_CHARACTERS: Final = 2_000
"""In the message of a failure."""
MOST_NOTES: Final = 1_000

WHOLE: Final = In("[0, 2**53)")
TALLY: Final = In("[0, 2**40]")
"""A count; those of all labels together stay below 2**63, where Redis stops counting."""
MILLIS: Final = In("[0, 253402300800000)")
"""A time in ms since 1970, before the year 10,000."""
SPREAD: Final = In("[0, 1]")
Natural = Annotated[int, WHOLE]
Tally = Annotated[int, TALLY]
Millis = Annotated[int, MILLIS]
EpochNumber = Annotated[int, In("[0, 2**31)")]
Message = Annotated[str, Field(max_length=MOST_CHARACTERS)]
Amount = Annotated[float, In("[0, 1e300]")]
Statistics = dict[str, Annotated[float, In("[-1e300, 1e300]")]]
"""By name; none before the first result. ``check_statistics`` has the rules."""
Own = dict[str, Annotated[float, In("[-1e300, 1e300]")] | str]
"""Numbers and texts in keys of a family's own; ``check_own`` has the rules."""
Fraction = Annotated[float, In("[0, 1]")]
Counter = Literal["late_count", "reaped_count", "epoch_started_ms"]
"""Fields of ``meta`` that are taken over as they are."""
COUNTERS: Final[tuple[Counter, ...]] = get_args(Counter)
Counted = Counter | Literal["oldest_epoch"]
"""Version 0.1 wrote ``oldest_epoch`` too; a restore goes by the epochs that are in the file."""
What = Literal["completions", "samples", "evictions", "failures", "created"]
OfEpoch = What | Literal["times", "success", "progress"]
FRACTIONS: Final = ("success", "progress")
"""What is kept of an epoch as floats."""


def check_random(state: list[int]) -> list[int]:
    """Return the state of a random stream if it is one that MRG32k3a can have.

    Raises:
        ValueError: A number is not below its modulus, or one of the two recurrences stands still.
    """
    for numbers, modulus in ((state[:3], M1), (state[3:], M2)):
        if not any(numbers) or max(numbers) >= modulus:
            raise ValueError(
                f"three numbers below {M1} and three below {M2}, neither three all of them 0"
            )
    return state


class Manifest(FrozenModel):
    """The first line: everything but the tasks and labels."""

    type: Literal["manifest"] = "manifest"
    format: Natural
    """Version of the file."""
    library: str
    """Version that wrote it."""
    redis: str
    """Version of the server."""
    name: str
    """Of the curriculum."""
    created_ms: Millis
    """The moment, by the server's clock."""
    curriculum_created_ms: Millis
    """When the curriculum was created."""
    config: dict[str, Any]
    """All settings."""
    config_sha256: str
    """Of the settings as canonical JSON."""
    seed: Annotated[int, In("[0, 2**63)")]
    """The config's."""
    epoch: EpochNumber
    """The current one."""
    generation: Natural
    """Of the keys that were read."""
    next_index: Annotated[int, In("[0, 2**52]")]
    """Counter from which the next task id is made."""
    random: Annotated[
        list[Natural], Field(min_length=6, max_length=6), AfterValidator(check_random)
    ]
    """State of the random stream."""
    counters: dict[Counted, Millis]
    """Counts that have no label, and the start of the epoch."""
    forced: Annotated[list[dict[str, Any]], Field(max_length=MOST_NOTES)]
    """Notes of restores that overrode structural fields."""
    workers: dict[str, dict[str, str]]
    """Entry of each worker, by id; for people, a restore does not read it."""
    statistics: Statistics = Field(default_factory=dict)
    """Those that the family of the algorithm keeps of the whole pool; most keep none."""
    own: dict[str, Annotated[Own, Field(max_length=MOST_FIELDS)]] = Field(default_factory=dict)
    """Keys of the family's own that belong to the whole pool, by name."""


class LabelLine(FrozenModel):
    """One label, active or remembered; the empty one holds the counts of forgotten labels."""

    type: Literal["label"] = "label"
    label: str
    """Its name."""
    active: Tally
    """Number of its tasks in the pool."""
    inactive_ms: Millis | None = None
    """When its last task left."""
    statistics: Statistics = Field(default_factory=dict)
    """Those of all its tasks, active or evicted."""
    last_score: Fraction | None = None
    """The latest score."""
    count: dict[What, Tally]
    """Counts over the curriculum's life."""
    epoch: dict[What, Tally]
    """Counts within the current epoch."""
    own: Own = Field(default_factory=dict)
    """What it has in keys of the family's own, by name."""


class EpochLine(FrozenModel):
    """Part of what is kept of a closed epoch."""

    type: Literal["epoch"] = "epoch"
    epoch: EpochNumber
    """Its number, from 0."""
    what: OfEpoch
    """Which part this line holds."""
    counts: Annotated[dict[str, Natural | Amount], Field(min_length=1, max_length=MOST_NAMES)]
    """By label; of ``times``, started_ms, ended_ms and, where known, step and spread."""


class QuarantineLine(FrozenModel):
    """A task that was evicted for failing."""

    type: Literal["quarantine"] = "quarantine"
    task_id: Natural
    """The task."""
    error: Message
    """Message of its last failure."""


class BatchLine(FrozenModel):
    """What was drawn under one key; the oldest batch comes first."""

    type: Literal["batch"] = "batch"
    key: str
    """What it is asked for by."""
    count: Annotated[int, BATCH_SIZE]
    """How many tasks were asked for."""
    task_ids: Annotated[list[Natural], Field(min_length=1)]
    """Those that were drawn so far, in order."""


class TaskLine(FrozenModel):
    """One task's record."""

    type: Literal["task"] = "task"
    task_id: Natural
    """Its id."""
    label: str
    """Its label."""
    params: Params
    """The environment's parameters."""
    created_ms: Millis
    """When it was created, by the server's clock."""
    sample_count: Tally
    """How often it was drawn."""
    failure_count: Tally
    """How many failures were reported."""
    statistics: Statistics = Field(default_factory=dict)
    """By name, as the family of the algorithm keeps them; none before the first result."""
    last_score: Fraction | None = None
    """The latest score."""
    consecutive_failures: Tally = 0
    """Failures since the last result."""
    last_error: Message | None = None
    """Message of the last failure."""
    weight: Annotated[float, WEIGHT] | None = None
    """Factor of its probability that the trainer has set; none: 1."""
    own: Own = Field(default_factory=dict)
    """What it has in keys of the family's own, by name."""


class EndLine(FrozenModel):
    """The last line."""

    type: Literal["end"] = "end"
    labels: Natural
    """Number of label lines."""
    epochs: Natural
    """Number of epoch lines."""
    quarantined: Natural
    """Number of quarantine lines."""
    batches: Natural = 0
    """Number of batch lines."""
    tasks: Natural
    """Number of task lines."""
    sha256: str
    """Of all lines before this one, with their line feeds."""


Line = Manifest | LabelLine | EpochLine | QuarantineLine | BatchLine | TaskLine | EndLine
MODELS: Final[dict[str, type[FrozenModel]]] = {
    "manifest": Manifest,
    "label": LabelLine,
    "epoch": EpochLine,
    "quarantine": QuarantineLine,
    "batch": BatchLine,
    "task": TaskLine,
    "end": EndLine,
}
FIRST_FIELDS: Final = ("type", "task_id", "label")  # so that a person sees at once what a line is
COUNTED: Final = {
    "label": "labels",
    "epoch": "epochs",
    "quarantine": "quarantined",
    "batch": "batches",
    "task": "tasks",
}


def known(line: FrozenModel) -> dict[str, Any]:
    """Fields that say something: what is None is absent, and so are statistics before a result."""
    found = {name: value for name, value in line.model_dump().items() if value is not None}
    return {k: v for k, v in found.items() if v or k not in ("own", "statistics")}


def check_statistics(
    scorer: Scorer,
    holder: Holder,
    statistics: Mapping[str, float],
    last_score: float | None = None,
) -> None:
    """Refuse statistics that the family does not keep, lack one, or lie outside their range.

    Raises:
        InvalidInputError: With the statistic and the rule.
    """
    names = scorer.names(holder)
    for name in statistics:
        if name not in names:
            rule = f"one of {', '.join(names)}" if names else "absent: the family keeps none"
            raise InvalidInputError(f"statistics.{name}", rule, name)
    for statistic in scorer.STATISTICS:
        if statistic.name in names:
            statistic.check(statistics)
    if holder != "pool" and (last_score is None) != (not statistics):
        raise InvalidInputError("last_score", "there if and only if there are results", last_score)


def own_of(
    scorer: Scorer, holder: Holder, found: Mapping[str, Any], *, indices: bool = False
) -> dict[str, Any]:
    """Return what a holder has in keys of the family's own that are no indices, or are."""
    keys = (key for key in scorer.OWN if key.holder == holder and key.is_index == indices)
    return {key.name: found[key.name] for key in keys if key.name in found}


def check_own(scorer: Scorer, holder: Holder, own: Mapping[str, Mapping[str, float | str]]) -> None:
    """Refuse keys that are none of the family's own or follow from others, and wrong values.

    Raises:
        InvalidInputError: With the key and the rule.
    """
    known = {key.name: key for key in scorer.OWN if key.holder == holder and not key.is_index}
    for name, values in own.items():
        if name not in known:
            rule = f"one of {', '.join(known)}" if known else "absent: the family has none"
            raise InvalidInputError(f"own.{name}", rule, name)
        for field, value in values.items():
            if not known[name].allows(value):
                raise InvalidInputError(f"own.{name}.{field}", known[name].rule, value)


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


_STATISTICS_OF_1: Final = (
    "completion_count",
    "total_score",
    "reward_ema",
    "ema_squared",
    "success_rate_ema",
    "p_fast",
    "p_slow",
    "p_true",
    "random_baseline",
    "learning_progress",
)
_UNIFORM_SINCE_2: Final = (
    "kind",
    "task_tracker_ema_alpha",
    "success_threshold",
    "max_consecutive_failures",
    "failure_score",
)


def _from_1(fields: dict[str, Any]) -> dict[str, Any]:
    """Format 1 kept statistics among the other fields, and had another name for uniform draws."""
    renamed = dict(fields)
    match fields.get("type"):
        case "manifest":
            config = config_of_2(_object(fields, "config"))
            digest = hashlib.sha256(canonical_json(config).encode()).hexdigest()
            counters = {k: v for k, v in _object(fields, "counters").items() if k in COUNTERS}
            renamed |= {
                "config": config,
                "config_sha256": digest,
                "format": 2,
                "counters": counters,
            }
        case "task":
            label, found = fields.get("label"), renamed.pop("label_hash", None)
            if isinstance(label, str) and found != label_hash(label):
                raise InvalidInputError("label_hash", f"that of {label!r}", found)
            renamed.pop("success_threshold", None)
            renamed["statistics"] = _statistics_of_1(renamed)
        case "label":
            of_label = _object(fields, "progress")
            renamed.pop("progress", None)
            renamed["last_score"] = of_label.get("last_score")
            renamed["statistics"] = _statistics_of_1(of_label)
    return renamed


def _object(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a copy of a field that is to be an object."""
    found = fields.get(name, {})
    if not isinstance(found, dict):
        raise InvalidInputError(name, "an object", found)
    return dict(found)


def _statistics_of_1(fields: dict[str, Any]) -> dict[str, Any]:
    """Take the statistics out of the fields of a task or label; there are none before a result."""
    found = {name: fields.pop(name, None) for name in _STATISTICS_OF_1}
    known = {name: value for name, value in found.items() if value is not None}
    return known if known.get("completion_count") else {}


def config_of_2(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config of schema and format 1 as it is since 2: uniform draws are a family now."""
    algorithm = config.get("algorithm")
    if not isinstance(algorithm, dict) or algorithm.get("kind") != "discrete_random":
        return config
    kept = {name: algorithm[name] for name in _UNIFORM_SINCE_2 if name in algorithm}
    return {**config, "algorithm": {**kept, "kind": "uniform"}}


MIGRATIONS: Final[dict[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {0: _from_0, 1: _from_1}
