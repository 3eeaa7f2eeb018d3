"""All that a curriculum is: its tasks, its pool, its algorithm. Stored with it."""

from __future__ import annotations

import difflib
import hashlib
import math
import warnings
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from redis_curriculum._values.fields import STRUCTURAL, TUNABLE, Count
from redis_curriculum._values.models import FrozenModel, reading_stored
from redis_curriculum._values.rules import In, canonical_json, parse_json_object
from redis_curriculum.config.differences import leaf_differences
from redis_curriculum.config.overrides import from_text
from redis_curriculum.errors import ConfigWarning, InvalidInputError
from redis_curriculum.scorers.debiased_progress import DebiasedProgressConfig
from redis_curriculum.scorers.quotas import falls_short
from redis_curriculum.scorers.registry import Algorithm, family
from redis_curriculum.tasks.buckets import Buckets, Single
from redis_curriculum.tasks.build import (
    bind_as,
    bind_generator,
    checked_spec,
    custom_generators,
    fingerprinted,
)
from redis_curriculum.tasks.held_out import HeldOutRule, check_held_out, is_held_out
from redis_curriculum.tasks.ids import task_id_at
from redis_curriculum.tasks.table import Table
from redis_curriculum.tasks.task import Params, TaskGenerator
from redis_curriculum.tasks.weighted import AnyGenerator


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


_COARSE: Final = 0.001
"""Steps of so many scores, and more, are warned of."""
_FEW_COMBINATIONS: Final = 100
"""A pool holds all of fewer combinations soon."""


def _training_rows(table: Table, rule: Any) -> int:
    """How many rows are not held out; all, where they are not in this process."""
    if rule is None or (table.needs_data and table.live is None):
        return table.count
    return table.count - table.held_out(rule)


def _check_rows(table: Table, invariants: Mapping[str, Any]) -> None:
    """Check that the task of each row keeps the invariants; one pass over the rows."""
    for index in range(table.count):
        spec = table.generate(table.id_at(index))
        try:
            checked_spec(spec, invariants)
        except InvalidInputError as error:
            field = f"rows[{index}].{error.field}"
            raise InvalidInputError(field, error.rule, error.value) from None


def _labels_of(generator: object) -> set[str]:
    """Every label that tasks may have; none, where that is not known."""
    if isinstance(generator, Single):
        return {generator.label}
    if isinstance(generator, Buckets):
        return generator.labels() or set()
    if isinstance(generator, Table) and (generator.live or not generator.needs_data):
        return generator.labels()
    return set()


def _warn_of_repetition(generator: Buckets, size: int) -> None:
    """Warn of a pool that looks as if it were to hold every combination once."""
    count = generator.combinations
    if count is None or count < _FEW_COMBINATIONS or size < 0.9 * count:
        return
    distinct = -count * math.expm1(size * math.log1p(-1 / count))
    if count - distinct >= 1:
        warnings.warn(
            f"num_active_tasks is {size}, and the Buckets have {count} combinations, each task one"
            f" of them at random: the pool holds about {distinct:.0f} different ones; use Table for"
            " each exactly once",
            ConfigWarning,
            stacklevel=4,
        )


class CurriculumConfig(FrozenModel):
    """All that a curriculum is: its tasks, its pool, its algorithm. Stored with it."""

    task_generator: Annotated[AnyGenerator, TUNABLE] = Field(
        description="Makes a task from its id: Single, Buckets, WeightedSet, Table, Custom, or any"
        " object with generate(task_id), which is stored as Custom."
    )
    num_active_tasks: Annotated[Annotated[int, In("[1, 2**20]")], TUNABLE] = Field(
        default=256,
        description="Tasks that the generator keeps in the pool; of a Table, if it is not given:"
        " all rows that are not held out.",
    )
    seed: Annotated[Annotated[int, In("[0, 2**63)")], STRUCTURAL] = Field(
        default=0, description="Decides the task ids and the first state of the random stream."
    )
    algorithm: Annotated[Algorithm, TUNABLE] = Field(
        default=DebiasedProgressConfig(), description="The hyperparameters."
    )
    score_range: Annotated[ScoreRange, STRUCTURAL] = Field(
        default=(0.0, 1.0), description="(lowest, highest) raw score; mapped to [0, 1]."
    )
    invariants: Annotated[Params, TUNABLE] = Field(
        default_factory=dict,
        description="Params that every generated task has, with exactly these values.",
    )
    held_out: Annotated[HeldOutRule | None, BeforeValidator(check_held_out), STRUCTURAL] = Field(
        default=None,
        description="Tasks that training never gets: a share of all by their ids, such as 0.1, or"
        ' patterns of labels, such as "maze-13*".',
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

    @model_validator(mode="before")
    @classmethod
    def _takes_the_whole_table(cls, fields: object) -> object:
        if not isinstance(fields, Mapping) or "num_active_tasks" in fields:
            return fields
        table = fields.get("task_generator")
        try:
            rule = check_held_out(fields.get("held_out"))
            if isinstance(table, Mapping) and table.get("kind") == "table":  # of a file
                table = Table.model_validate(table)
        except ValueError:
            return fields  # the field itself says so
        if not isinstance(table, Table):
            return fields
        size = max(1, _training_rows(table, rule))
        return {**fields, "task_generator": table, "num_active_tasks": size}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        generator, size = self.task_generator, self.num_active_tasks
        if reading_stored.get():
            return self
        if isinstance(generator, Table):
            rows = _training_rows(generator, self.held_out)
            if not rows:
                rule = f"a rule that leaves some of the {generator.count} rows to train on"
                raise InvalidInputError("held_out", rule, self.held_out)
            if self.held_out is not None and rows == generator.count and generator.live:
                rule = f"a rule that holds out some of the {rows} rows"
                raise InvalidInputError("held_out", rule, self.held_out)
            if size > rows:
                rule = f"at most {rows}, the number of rows to train on"
                raise InvalidInputError("num_active_tasks", rule, size)
            if self.invariants and generator.live:
                _check_rows(generator, self.invariants)
        elif isinstance(generator, Buckets):
            _warn_of_repetition(generator, size)
        if quotas := self.algorithm.label_share:
            total = falls_short(quotas, self._labels())
            if total is not None:
                rule = "of greatest shares that sum to at least 1, as they cover every label"
                raise InvalidInputError("algorithm.label_share", rule, total)
        return self

    def _labels(self) -> set[str]:
        """Every label that training may get; none, where that is not known."""
        labels = _labels_of(self.task_generator)
        if isinstance(self.held_out, tuple):
            return {label for label in labels if not self.holds_out(0, label)}
        return labels

    @model_validator(mode="after")
    def _resolves(self) -> Self:
        low, high = self.score_range
        step = (high - low) / 2**40
        if step >= _COARSE and not reading_stored.get():
            warnings.warn(
                f"score_range is {high - low:g} wide: learning progress, in scores, is known in"
                f" steps of {step:.2g} (2**-40 of it); narrow it to what scores can be",
                ConfigWarning,
                stacklevel=3,
            )
        return self

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
        token = reading_stored.set(True)
        try:
            return cls.model_validate(fields)
        finally:
            reading_stored.reset(token)

    def sha256(self) -> str:
        """Return the SHA-256 of ``to_json`` as 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def differences(self, other: CurriculumConfig) -> list[tuple[str, Any, Any]]:
        """Return (dotted field, own value, other's value) of all that differs, in field order."""
        if not isinstance(other, CurriculumConfig):
            raise InvalidInputError("other", "a CurriculumConfig", other)
        return list(leaf_differences(self.model_dump(), other.model_dump(), ""))

    def task_id_at(self, index: int) -> int:
        """Return the id of the task that the generator makes at an index, from 0.

        Raises:
            Exhausted: A table has no row there.
            GeneratorError: The rows of the table are not in this process.
        """
        if isinstance(self.task_generator, Table):
            return self.task_generator.id_at(index)
        return task_id_at(self.seed, index)

    @property
    def most_tasks(self) -> int:
        """How many tasks the generator can make; 0: any number."""
        return self.task_generator.count if isinstance(self.task_generator, Table) else 0

    def holds_out(self, task_id: int, label: str) -> bool:
        """Whether training never gets that task."""
        return is_held_out(self.held_out, task_id, label)

    @property
    def asks_for(self) -> tuple[str, ...]:
        """Names of the numbers that each result brings beside its score; most algorithms: none."""
        return tuple(one.name for one in self.algorithm.reported)

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
            field = self.field_named(name)
            if field.startswith("algorithm."):
                algorithm[field.removeprefix("algorithm.")] = from_text(value)
                fields["algorithm"] = algorithm
            else:
                fields[field] = from_text(value)
        if algorithm["kind"] != self.algorithm.kind:  # settings the other kind has not are dropped
            given = {self.field_named(name).removeprefix("algorithm.") for name in overrides}
            known = given | family(algorithm["kind"]).model_fields.keys()
            fields["algorithm"] = {k: v for k, v in algorithm.items() if k in known}
        return type(self)(**fields)

    def bind(self, generator: TaskGenerator) -> Self:
        """Return a copy in which ``generator`` stands for the Custom generators of its class.

        Raises:
            InvalidInputError: No generator of the config is of its class.
        """
        return self._made_by(bind_generator(self.task_generator, generator))

    def with_fingerprint(self) -> Self:
        """Return a copy whose Custom generators have the fingerprints of their objects' data.

        Raises:
            GeneratorError: An object cannot be built or cannot say.
        """
        found = fingerprinted(self.task_generator)
        if found is self.task_generator:
            return self
        return self._made_by(found)

    def makes_as(self, other: CurriculumConfig) -> bool:
        """Whether it makes the same task of every id."""
        own = (self.task_generator, self.invariants)
        return own == (other.task_generator, other.invariants)

    def bind_as(self, former: CurriculumConfig) -> Self:
        """Return a copy that uses the user's objects as ``former`` does, where it names them."""
        return self._made_by(bind_as(self.task_generator, former.task_generator))

    def _made_by(self, generator: TaskGenerator) -> Self:
        """Return a copy with other objects for the generator.

        No setting changes. So what somebody who had not the rows of a table has set is not refused.
        """
        token = reading_stored.set(True)
        try:
            return self.model_copy(update={"task_generator": generator})
        finally:
            reading_stored.reset(token)

    def unbound_generators(self) -> list[str]:
        """Return the import paths of generators that must be passed at open."""
        customs = custom_generators(self.task_generator)
        return [custom.path for custom in customs if not custom.is_bound]

    def field_named(self, name: str) -> str:
        """Return the one dotted field that a bare or dotted name means.

        Raises:
            InvalidInputError: There is none, or more than one.
        """
        if not isinstance(name, str):
            raise InvalidInputError("override", "the name of one field", name)
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
