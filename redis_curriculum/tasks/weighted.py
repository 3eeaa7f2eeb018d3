"""Several generators by weight, and the type that a config takes."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Discriminator, Field, model_validator

from redis_curriculum._values.rules import In, plain_json
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.tasks.base import BaseGenerator, bits_of, uniform
from redis_curriculum.tasks.buckets import Buckets, Single
from redis_curriculum.tasks.custom import Custom
from redis_curriculum.tasks.table import Table
from redis_curriculum.tasks.task import Label, Params, TaskGenerator, TaskSpec

MAX_NESTING = 16


def _check_generator(value: object) -> object:
    """Let a user's own object stand where a generator model is expected."""
    if isinstance(value, (BaseGenerator, Mapping)):
        return value
    if not isinstance(value, type) and callable(getattr(value, "generate", None)):
        return Custom.of(value)  # type: ignore[arg-type]
    raise ValueError(
        "a task generator (Single, Buckets, WeightedSet, Table, or have generate(task_id))"
    )


if TYPE_CHECKING:  # anything with generate() may be given; it is stored as a Custom
    Generator = TaskGenerator
else:
    Generator = Annotated[
        "Annotated[Single | Buckets | WeightedSet | Custom, Discriminator('kind')]",
        BeforeValidator(_check_generator),
    ]
Weight = Annotated[float, In("(0, 1e300]")]


def _check_entries(value: object) -> object:
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError("a list of at least one (generator, weight)")
    for i, entry in enumerate(value):
        if not isinstance(entry, (list, tuple)) or len(entry) != 2:  # noqa: PLR2004
            raise InvalidInputError(f"[{i}]", "a pair (generator, weight)", entry)
    return value


class WeightedSet(BaseGenerator):
    """``WeightedSet([(generator, weight), ...])``: one of several generators, by weight.

    ``labels`` replaces the label of what each generator makes (None keeps it); ``overrides`` are
    merged over the params of all of them. Sets may be nested.
    """

    kind: Literal["weighted"] = "weighted"
    entries: Annotated[
        tuple[tuple[Generator, Weight], ...],
        BeforeValidator(_check_entries),
    ] = Field(description="(generator, weight) pairs; weights are relative and positive.")
    labels: tuple[Label | None, ...] | None = Field(
        default=None, description="One label (or None: keep) per entry."
    )
    overrides: Params = Field(
        default_factory=dict, description="Params merged over those of every task."
    )

    def __init__(self, entries: Sequence[tuple[Any, float]] = (), **data: Any) -> None:
        data["entries"] = entries
        super().__init__(**data)

    @model_validator(mode="after")
    def _fits(self) -> WeightedSet:
        if self.labels is not None and len(self.labels) != len(self.entries):
            rule = f"one label or None per entry ({len(self.entries)})"
            raise InvalidInputError("labels", rule, self.labels)
        if not math.isfinite(sum(weight for _, weight in self.entries)):
            raise InvalidInputError("entries", "of weights with a finite sum", self.entries)
        if _nesting(self) > MAX_NESTING:
            raise InvalidInputError("entries", f"nested at most {MAX_NESTING} deep", "...")
        return self

    def make(self, task_id: int, place: str) -> TaskSpec:
        """Choose a generator and let it make the task."""
        cumulative = list(accumulate(weight for _, weight in self.entries))
        point = uniform(bits_of(task_id, f"{place}choice")) * cumulative[-1]
        index = min(bisect_right(cumulative, point), len(cumulative) - 1)
        generator = cast("BaseGenerator", self.entries[index][0])
        spec = generator.make(task_id, f"{place}{index}/")
        label = self.labels[index] if self.labels else None
        if label is None and not self.overrides:
            return spec
        overrides = plain_json(self.overrides, field="overrides")
        return TaskSpec(spec.label if label is None else label, {**spec.params, **overrides})


WeightedSet.model_rebuild()
if TYPE_CHECKING:
    AnyGenerator = TaskGenerator
else:
    AnyGenerator = Annotated[
        Annotated[Single | Buckets | WeightedSet | Custom | Table, Discriminator("kind")],
        BeforeValidator(_check_generator),
    ]
"""What a curriculum may have; a table is not part of a set: its rows have ids of their own."""


def _nesting(generator: object) -> int:
    if not isinstance(generator, WeightedSet):
        return 0
    return 1 + max(_nesting(child) for child, _ in generator.entries)
