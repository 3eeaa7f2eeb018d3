"""Generators of one task (``Single``) and of combinations of values (``Buckets``)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from redis_curriculum._values.models import FrozenModel
from redis_curriculum._values.rules import In, plain_json, validate_label
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.tasks.base import BaseGenerator, bits_of, uniform
from redis_curriculum.tasks.task import Label, Params, TaskSpec
from redis_curriculum.tasks.template import filled_in, formatted, template


class Single(BaseGenerator):
    """Always the same task: one label, one set of parameters."""

    kind: Literal["single"] = "single"
    label: Label = Field(description="The label of every task.")
    params: Params = Field(default_factory=dict, description="The parameters of every task.")

    def make(self, task_id: int, place: str) -> TaskSpec:  # noqa: ARG002 - always the same
        """Return the one task."""
        return TaskSpec(self.label, plain_json(self.params, field="params"))


Bound = Annotated[int | float, In("[-2**63, 2**63)")]


class Span(FrozenModel):
    """``Span(low, high)``: uniform integers, both ends included, if both ends are integers.

    Otherwise uniform floats in [low, high].
    """

    low: Bound = Field(description="Smallest value.")
    high: Bound = Field(description="Largest value.")

    def __init__(self, low: float, high: float) -> None:
        super().__init__(low=low, high=high)

    @model_validator(mode="after")
    def _ordered(self) -> Span:
        if self.low > self.high:
            raise InvalidInputError("high", f"at least low ({self.low!r})", self.high)
        return self

    @property
    def is_integer(self) -> bool:
        """Whether integers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def pick(self, bits: int) -> int | float:
        """Map 128 uniform bits to a value."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return self.low + ((bits * (self.high - self.low + 1)) >> 128)
        return min(self.low + (self.high - self.low) * uniform(bits), float(self.high))


def _check_bucket(value: object) -> object:
    if isinstance(value, Span):
        return value
    if isinstance(value, Mapping):
        if set(value) != {"low", "high"}:
            raise ValueError("a list of values or a Span with low and high")
        return Span(**value)
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError("a Span or a list of at least one value")
    return tuple(plain_json(list(value), field=""))


if TYPE_CHECKING:  # a list may be given; it is kept as a tuple
    Bucket = Span | Sequence[Any]
else:
    Bucket = Annotated[Span | tuple[Any, ...], BeforeValidator(_check_bucket)]


class Buckets(BaseGenerator):
    """One independent, uniform choice per bucket; the values become the task's parameters.

    The choices of two tasks are independent, so tasks repeat: a pool of 5,000 of 5,000 combinations
    holds about 3,160 different ones. ``Table`` has each row exactly once.

    ``label`` is a template over the bucket values (``"maze-{size}"``, ``"d{density:.1f}"``, with
    ``{{`` for a brace). A span of floats needs a format in the template, because without one
    every task would be a label of its own.
    """

    kind: Literal["buckets"] = "buckets"
    label: str = Field(description="Label template over the bucket values.", strict=True)
    buckets: dict[str, Bucket] = Field(
        description="Parameter name to its possible values: a list, or a Span.", min_length=1
    )
    params: Params = Field(default_factory=dict, description="Parameters that all tasks share.")

    @model_validator(mode="after")
    def _fits(self) -> Buckets:
        for name in self.buckets:
            plain_json({name: None}, field="buckets")
            if name in self.params:
                raise InvalidInputError("params", "free of the names in buckets", name)
        self._check_template()
        return self

    def _check_template(self) -> None:
        try:
            parts = template(self.label)
        except ValueError as error:
            raise InvalidInputError(
                "label", f"a template such as 'maze-{{size}}' ({error})", self.label
            ) from None
        longest = ""
        for literal, name, spec in parts:
            longest += literal
            if name is not None:
                longest += max(self._texts(name, spec), key=lambda text: len(text.encode()))
        validate_label(longest)

    def _texts(self, name: str, spec: str) -> list[str]:
        """Every text a field of the template can become; of a span, those of its ends."""
        bucket = self.buckets.get(name)
        if bucket is None:
            known = ", ".join(self.buckets)
            raise InvalidInputError("label", f"a template over the buckets {known}", self.label)
        if isinstance(bucket, Span):
            if not bucket.is_integer and not spec:
                rule = f"a template with a format for a span of floats, as {{{name}:.1f}}"
                raise InvalidInputError("label", rule, self.label)
            bucket = (bucket.pick(0), bucket.pick(2**128 - 1))
        try:
            return [formatted(value, spec) for value in bucket]
        except (ValueError, TypeError) as error:
            rule = f"a template that can format {name} ({error})"
            raise InvalidInputError("label", rule, self.label) from None

    @property
    def combinations(self) -> int | None:
        """How many combinations of values there are; None: a span of floats has no number."""
        sizes = []
        for bucket in self.buckets.values():
            if not isinstance(bucket, Span):
                sizes.append(len(bucket))
            elif bucket.is_integer:
                sizes.append(int(bucket.high - bucket.low) + 1)
            else:
                return None
        return math.prod(sizes)

    def labels(self, most: int = 1000) -> set[str] | None:
        """Return every label; None, if there may be more than ``most``."""
        names = {name for _, name, _ in template(self.label) if name is not None}
        values = list[Sequence[Any]]()
        for name in sorted(names):
            bucket = self.buckets[name]
            if isinstance(bucket, Span):
                if not bucket.is_integer or bucket.high - bucket.low >= most:
                    return None
                bucket = range(int(bucket.low), int(bucket.high) + 1)
            values.append(bucket)
        if math.prod(map(len, values)) > most:
            return None
        chosen = (dict(zip(sorted(names), each, strict=True)) for each in product(*values))
        return {filled_in(self.label, each) for each in chosen}

    def make(self, task_id: int, place: str) -> TaskSpec:
        """Choose one value per bucket."""
        values: dict[str, Any] = {}
        for name, bucket in self.buckets.items():
            bits = bits_of(task_id, f"{place}bucket:{name}")
            if isinstance(bucket, Span):
                values[name] = bucket.pick(bits)
            else:
                values[name] = bucket[(bits * len(bucket)) >> 128]
        label = filled_in(self.label, values)
        return TaskSpec(label, plain_json({**self.params, **values}, field="params"))
