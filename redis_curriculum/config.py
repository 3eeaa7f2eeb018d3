"""Every setting: what a curriculum is, how it learns and draws, how a handle talks to Redis.

All models are frozen and checked once, whatever builds them; unknown fields are refused. Beside
each field of a curriculum stands what it means for resuming: STRUCTURAL fields say what the stored
numbers mean and must match, TUNABLE ones may be changed by name (``with_overrides``).
"""

from __future__ import annotations

import difflib
import enum
import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, model_validator

from redis_curriculum.errors import InvalidInputError
from redis_curriculum.tasks import (
    Generator,
    Params,
    TaskGenerator,
    bind_generator,
    custom_generators,
)
from redis_curriculum.validation import (
    FrozenModel,
    In,
    canonical_json,
    parse_json_object,
    validate_name,
)

__all__ = [
    "ConfigWarning",
    "CurriculumConfig",
    "DiscreteRandomConfig",
    "LearningProgressConfig",
    "Resume",
    "WorkerSettings",
    "resume_rule",
    "structural_differences",
]


class ConfigWarning(UserWarning):
    """A config that is valid but will hardly do what is wanted; the message has the arithmetic."""


class Resume(enum.Enum):
    """What a field means when a curriculum is resumed or attached to."""

    STRUCTURAL = "structural"
    TUNABLE = "tunable"


STRUCTURAL, TUNABLE = Resume.STRUCTURAL, Resume.TUNABLE

Flag = Annotated[bool, Field(strict=True)]
Fraction = Annotated[float, In("[0, 1]")]
Rate = Annotated[float, In("(0, 1]")]
Inside = Annotated[float, In("(0, 1)")]
Count = Annotated[int, In("[1, 1000000]")]

# True while a stored config is read: whoever created it was warned, the workers need not be.
_reading_stored: ContextVar[bool] = ContextVar("reading_stored", default=False)


class _Tracking(FrozenModel):
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


class LearningProgressConfig(_Tracking):
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
        if wanted > self.exploration_share and not _reading_stored.get():
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


class DiscreteRandomConfig(_Tracking):
    """Draws every task of the pool with the same probability and replaces none.

    The statistics are kept all the same: this is the baseline to compare a curriculum with.
    """

    kind: Annotated[Literal["discrete_random"], STRUCTURAL] = "discrete_random"

    @cached_property
    def hypers(self) -> LearningProgressConfig:
        """What the store runs with: learning progress is tracked, draws are uniform."""
        fields = self.model_dump(exclude={"kind"})
        return LearningProgressConfig(**fields, rand_task_rate=1.0, replacement_rate=0.0)


Algorithm = Annotated[LearningProgressConfig | DiscreteRandomConfig, Discriminator("kind")]


def _check_score_range(value: object) -> object:
    if not isinstance(value, (tuple, list)) or len(value) != 2:  # noqa: PLR2004
        raise ValueError("a pair (low, high)")
    return tuple(value)


def _check_ordered(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] < value[1]:
        raise ValueError("a pair (low, high) with low < high")
    return value


Finite = Annotated[float, In("[-1e300, 1e300]")]  # so that high - low is finite too
ScoreRange = Annotated[
    tuple[Finite, Finite], BeforeValidator(_check_score_range), AfterValidator(_check_ordered)
]


class CurriculumConfig(FrozenModel):
    """All that a curriculum is: its tasks, its pool, its algorithm. Stored with it."""

    task_generator: Annotated[Generator, TUNABLE] = Field(
        description="Makes a task from its id: Single, Buckets, WeightedSet, Custom, or any"
        " object with generate(task_id), which is stored as Custom."
    )
    num_active_tasks: Annotated[Annotated[int, In("[1, 2**20]")], TUNABLE] = Field(
        default=256, description="Capacity of the pool, in tasks."
    )
    seed: Annotated[Annotated[int, In("[0, 2**63)")], STRUCTURAL] = Field(
        default=0, description="Decides the task ids and the first state of the random stream."
    )
    algorithm: Annotated[Algorithm, TUNABLE] = Field(
        default=LearningProgressConfig(), description="The hyperparameters."
    )
    score_range: Annotated[ScoreRange, STRUCTURAL] = Field(
        default=(0.0, 1.0), description="(lowest, highest) raw score; mapped to [0, 1]."
    )
    invariants: Annotated[Params, TUNABLE] = Field(
        default_factory=dict,
        description="Params that every generated task has, with exactly these values.",
    )
    epochs_retained: Annotated[Annotated[int, In("[1, 10000]")], TUNABLE] = Field(
        default=100, description="Closed epochs whose counters are kept."
    )
    labels_retained: Annotated[Count, TUNABLE] = Field(
        default=10_000, description="Labels without active tasks whose statistics are kept."
    )
    events_retained: Annotated[Count, TUNABLE] = Field(
        default=10_000, description="Entries kept in the event stream, about."
    )

    def to_json(self) -> str:
        """Return the config as canonical JSON; floats read back to the same bits."""
        return canonical_json(self.model_dump())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote. A stored config does not warn again.

        Raises:
            InvalidInputError: The text is not JSON, or a field is unknown or breaks a rule.
        """
        fields = parse_json_object(text, field="config")
        token = _reading_stored.set(True)
        try:
            return cls.model_validate(fields)
        finally:
            _reading_stored.reset(token)

    def sha256(self) -> str:
        """Return the SHA-256 of ``to_json`` as 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def differences(self, other: CurriculumConfig) -> list[tuple[str, Any, Any]]:
        """Return (dotted field, own value, other's value) of all that differs, in field order."""
        return list(_differences(self.model_dump(), other.model_dump(), ""))

    def normalize_score(self, raw: object) -> float:
        """Map a raw score to [0, 1]; NumPy scalars are accepted, the result is a Python float.

        Raises:
            InvalidInputError: It is not an int or float within ``score_range``.
        """
        low, high = self.score_range
        score = float(raw) if isinstance(raw, (np.floating, np.integer)) else raw
        if isinstance(score, bool) or not isinstance(score, (int, float)):
            raise InvalidInputError("score", f"a number in [{low:g}, {high:g}]", raw)
        if not low <= score <= high:  # NaN is not either
            raise InvalidInputError("score", f"in [{low:g}, {high:g}]", raw)
        return min((score - low) / (high - low) + 0.0, 1.0)  # + 0.0: no negative zero

    def with_overrides(self, overrides: Mapping[str, Any]) -> Self:
        """Return a copy with fields replaced by name, checked like any config.

        Args:
            overrides: Field names, bare (``replacement_rate``) or dotted
                (``algorithm.replacement_rate``), to values. A text is read as JSON where it is
                JSON, so that a command line can pass numbers.

        Raises:
            InvalidInputError: A name is unknown or ambiguous, or a value breaks a rule.
        """
        if not isinstance(overrides, Mapping):
            raise InvalidInputError("overrides", "a mapping of field names to values", overrides)
        fields = dict(self)
        algorithm = self.algorithm.model_dump()
        for name, value in overrides.items():
            field = self._resolve(name)
            if field.startswith("algorithm."):
                algorithm[field.removeprefix("algorithm.")] = _from_text(value)
                fields["algorithm"] = algorithm
            else:
                fields[field] = _from_text(value)
        if algorithm["kind"] != self.algorithm.kind:  # settings the other kind has not are dropped
            given = {self._resolve(name).removeprefix("algorithm.") for name in overrides}
            known = given | _fields_of_kind(algorithm["kind"])
            fields["algorithm"] = {k: v for k, v in algorithm.items() if k in known}
        return type(self)(**fields)

    def bind(self, generator: TaskGenerator) -> Self:
        """Return a copy in which ``generator`` stands for the Custom generators of its class.

        Raises:
            InvalidInputError: No generator of the config is of its class.
        """
        return self.model_copy(
            update={"task_generator": bind_generator(self.task_generator, generator)}
        )

    def unbound_generators(self) -> list[str]:
        """Return the import paths of generators that must be passed at open."""
        customs = custom_generators(self.task_generator)
        return [custom.path for custom in customs if not custom.is_bound]

    def _resolve(self, name: str) -> str:
        """Return the one dotted field that a bare or dotted name means."""
        own = list(type(self).model_fields)
        dotted = own + [f"algorithm.{field}" for field in type(self.algorithm).model_fields]
        found = [field for field in dotted if name in (field, field.rpartition(".")[2])]
        if len(found) == 1:
            return found[0]
        if name in found:
            return name
        bare = [field.rpartition(".")[2] for field in dotted]
        near = found or difflib.get_close_matches(name, [*dotted, *bare], 3)
        hint = f" (did you mean {' or '.join(near)}?)" if near else ""
        raise InvalidInputError("override", f"the name of one field{hint}", name)


def _fields_of_kind(kind: object) -> set[str]:
    models = (LearningProgressConfig, DiscreteRandomConfig)
    return {
        name for m in models if m.model_fields["kind"].default == kind for name in m.model_fields
    }


def _from_text(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _differences(own: Any, other: Any, field: str) -> Iterator[tuple[str, Any, Any]]:
    """Compare dumps leaf by leaf; objects of another kind or with other keys as a whole."""
    if isinstance(own, dict) and isinstance(other, dict):
        prefix = f"{field}." if field else ""
        if own.get("kind") != other.get("kind"):
            yield f"{prefix}kind", own.get("kind"), other.get("kind")
            return
        if own.keys() == other.keys():
            for key in own:
                yield from _differences(own[key], other[key], f"{prefix}{key}")
            return
    if canonical_json(own) != canonical_json(other):
        yield field, own, other


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


def _check_worker_id(value: object) -> object:
    return None if value is None else validate_name(value, field="")


class WorkerSettings(FrozenModel):
    """How one handle talks to Redis. Not stored with the curriculum; each handle has its own."""

    worker_id: Annotated[str | None, BeforeValidator(_check_worker_id)] = Field(
        default=None, description="Name of the worker; None: a fresh random one."
    )
    lease_ms: Annotated[int, In("[1000, 86400000]")] = Field(
        default=300_000, description="Milliseconds without a call after which it counts as dead."
    )
    timeout_s: Annotated[float, In("(0, 3600]")] = Field(
        default=5.0, description="Seconds to wait for a connection or a reply."
    )
    retry_deadline_s: Annotated[float, In("[0, 86400]")] = Field(
        default=30.0, description="Seconds during which a failed call is retried; 0: never."
    )
    replay_buffer: Annotated[int, In("[0, 1000000]")] = Field(
        default=1024, description="Last writes kept, to replay what a failover lost."
    )
    chunk: Annotated[int, In("[1, 1000]")] = Field(
        default=100, description="Items per script call; larger batches are split."
    )
