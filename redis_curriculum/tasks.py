"""Tasks, their ids, and the generators that make a task from its id alone.

A generator is a pure function of the task id: the same id gives the same label and params on every
machine, in every process, whatever ``PYTHONHASHSEED`` is. Random choices come from BLAKE2b of the
id and of the place of the choice in the generator, so that they are independent of each other and
never touch a shared stream.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import math
import string
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, cast, runtime_checkable

from pydantic import (
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    PrivateAttr,
    model_validator,
)

from redis_curriculum.errors import CurriculumError, GeneratorError, InvalidInputError
from redis_curriculum.validation import (
    TASK_ID_LIMIT,
    FrozenModel,
    In,
    canonical_json,
    parse_json_object,
    plain_json,
    validate_label,
    validate_task_id,
)

MAX_PARAMS_BYTES = 64 * 1024
MAX_NESTING = 16


@dataclasses.dataclass(frozen=True, slots=True)
class TaskSpec:
    """What a generator makes: a label and the environment's parameters (a JSON object)."""

    label: str
    params: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """One task of the pool, as a worker draws it."""

    task_id: int
    label: str
    params: dict[str, Any]


@runtime_checkable
class TaskGenerator(Protocol):
    """Anything that makes a task from its id, deterministically."""

    def generate(self, task_id: int) -> TaskSpec:
        """Return the task of that id; the same id must always give the same task."""
        ...


# --- randomness from the task id ---------------------------------------------------------------


def _bits(task_id: int, place: str) -> int:
    """128 uniform bits for one choice; ``place`` says which choice of which generator it is."""
    return int.from_bytes(hashlib.blake2b(f"{task_id}:{place}".encode(), digest_size=16).digest())


def _uniform(bits: int) -> float:
    """The top 53 of 128 bits as a double in [0, 1)."""
    return (bits >> 75) * 2.0**-53


# --- generators --------------------------------------------------------------------------------


def _check_params(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("a JSON object")  # noqa: TRY004 - pydantic wants it
    params: dict[str, Any] = plain_json(dict(value), field="")
    return params


def _check_label(value: object) -> str:
    return validate_label(value, field="")


Params = Annotated[dict[str, Any], BeforeValidator(_check_params)]
Label = Annotated[str, BeforeValidator(_check_label)]


class _Generator(FrozenModel):
    """What the generators below share: ``place`` tells a nested one where it stands."""

    def generate(self, task_id: int) -> TaskSpec:
        """Return the task of that id; a pure function of the id.

        Raises:
            InvalidInputError: ``task_id`` is not an integer in [0, 2**53).
            GeneratorError: A user's own generator is missing or cannot be built.
        """
        return self.make(validate_task_id(task_id), "")

    def make(self, task_id: int, place: str) -> TaskSpec:
        """Return the task of that id; ``place`` is the way here from the outermost generator."""
        raise NotImplementedError


class Single(_Generator):
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
        return min(self.low + (self.high - self.low) * _uniform(bits), float(self.high))


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


class Buckets(_Generator):
    """One independent, uniform choice per bucket; the values become the task's parameters.

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
            parts = _template(self.label)
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
            return [_format(value, spec) for value in bucket]
        except (ValueError, TypeError) as error:
            rule = f"a template that can format {name} ({error})"
            raise InvalidInputError("label", rule, self.label) from None

    def make(self, task_id: int, place: str) -> TaskSpec:
        """Choose one value per bucket."""
        values: dict[str, Any] = {}
        for name, bucket in self.buckets.items():
            bits = _bits(task_id, f"{place}bucket:{name}")
            if isinstance(bucket, Span):
                values[name] = bucket.pick(bits)
            else:
                values[name] = bucket[(bits * len(bucket)) >> 128]
        label = "".join(
            literal + ("" if name is None else _format(values[name], spec))
            for literal, name, spec in _template(self.label)
        )
        return TaskSpec(label, plain_json({**self.params, **values}, field="params"))


@lru_cache(maxsize=256)
def _template(text: str) -> tuple[tuple[str, str | None, str], ...]:
    """Parse a label template to (literal, bucket name or None, format).

    Only names are looked up, never attributes or items: templates come from stored configs.
    """
    parts = []
    for literal, name, spec, conversion in string.Formatter().parse(text):
        if conversion or "{" in (spec or "") or (spec or "").endswith("n"):
            raise ValueError("no conversion, no nested field, no locale format")
        parts.append((literal, name, spec or ""))
    return tuple(parts)


def _format(value: object, spec: str) -> str:
    text = format(value, spec)
    if isinstance(value, float) and text == format(-0.0, spec):
        return format(0.0, spec)  # -0.04 and 0.04 share the label "0.0"
    return text


class Custom(_Generator):
    """A user's own generator.

    ``Custom(path="package.module:Name", arguments={...})`` imports the class ``Name`` and calls it
    with ``arguments`` where it is first needed; the class must have a ``generate`` method (nothing
    else is ever called, since the path may come from a stored config).

    ``arguments=None`` marks an object that cannot be rebuilt from its path (it lives in
    ``__main__`` or a function, or its state is not known): the handle that opens such a
    curriculum must pass it as ``generator=``. Its state is not part of the stored config.
    """

    kind: Literal["custom"] = "custom"
    path: str = Field(description="Import path 'package.module:Name' of a class.")
    arguments: Params | None = Field(
        default_factory=dict,
        description="Keyword arguments; None: the object must be passed at open.",
    )
    _instance: TaskGenerator | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _path_is_one(self) -> Custom:
        module, _, name = self.path.partition(":")
        parts = [*module.split("."), *name.split(".")]
        if not all(part.isidentifier() or part == "<locals>" for part in parts):
            raise InvalidInputError("path", "like 'package.module:Name'", self.path)
        return self

    def __eq__(self, other: object) -> bool:
        """By path and arguments: a bound object is not part of the stored config."""
        if not isinstance(other, Custom):
            return NotImplemented
        return (self.path, self.arguments) == (other.path, other.arguments)

    __hash__ = None  # type: ignore[assignment]

    @property
    def is_bound(self) -> bool:
        """Whether ``generate`` can work: an object was passed, or the path says how to build it."""
        return self._instance is not None or self.arguments is not None

    @property
    def live(self) -> TaskGenerator | None:
        """The object that was passed, if one was."""
        return self._instance

    @classmethod
    def of(cls, generator: TaskGenerator) -> Custom:
        """Return the Custom that stands for an object; it keeps the object for this process."""
        return cls(path=_path_of(generator), arguments=_arguments_of(generator)).bind(generator)

    def bind(self, generator: TaskGenerator) -> Custom:
        """Return a copy that uses ``generator``, whose class must be the one of ``path``.

        Raises:
            InvalidInputError: It is of another class.
        """
        if _path_of(generator) != self.path:
            raise InvalidInputError("generator", f"a generator of class {self.path}", generator)
        bound = self.model_copy()
        bound._instance = generator  # noqa: SLF001 - its own class
        return bound

    def make(self, task_id: int, place: str) -> TaskSpec:  # noqa: ARG002 - theirs to choose
        """Ask the user's object."""
        generator = self._instance
        if generator is None:
            if self.arguments is None:
                raise GeneratorError(
                    f"the task generator {self.path} cannot be rebuilt from its path;"
                    " pass it as generator= when opening",
                    task_id=task_id,
                )
            generator = _build_custom(self.path, canonical_json(self.arguments))
        return generator.generate(task_id)


def _path_of(generator: object) -> str:
    return f"{type(generator).__module__}:{type(generator).__qualname__}"


@lru_cache(maxsize=64)
def _build_custom(path: str, arguments: str) -> TaskGenerator:
    target = _import(path)
    if not isinstance(target, type) or not callable(getattr(target, "generate", None)):
        raise GeneratorError(f"{path} is not a class with a generate method")
    generator: TaskGenerator = target(**parse_json_object(arguments, field="arguments"))
    return generator


def _import(path: str) -> object:
    module, _, name = path.partition(":")
    try:
        target: object = importlib.import_module(module)
        for part in name.split("."):
            target = getattr(target, part)
    except Exception as error:
        raise GeneratorError(f"cannot import the task generator {path}: {error}") from error
    return target


def _arguments_of(generator: object) -> dict[str, Any] | None:
    """The keyword arguments that rebuild an object, or None where that cannot be known."""
    kind = type(generator)
    if kind.__module__ == "__main__":
        return None
    try:
        if _import(_path_of(generator)) is not kind:
            return None
        if isinstance(generator, BaseModel):
            return _check_params(generator.model_dump(mode="json"))
        if dataclasses.is_dataclass(generator):
            fields = dataclasses.fields(generator)
            return _check_params({f.name: getattr(generator, f.name) for f in fields if f.init})
    except (CurriculumError, ValueError, TypeError):
        return None
    stateless = kind.__init__ is object.__init__ and not getattr(generator, "__dict__", True)
    return {} if stateless else None


def _check_generator(value: object) -> object:
    """Let a user's own object stand where a generator model is expected."""
    if isinstance(value, (_Generator, Mapping)):
        return value
    if not isinstance(value, type) and callable(getattr(value, "generate", None)):
        return Custom.of(value)  # type: ignore[arg-type]
    raise ValueError("a task generator (Single, Buckets, WeightedSet, or have generate(task_id))")


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


class WeightedSet(_Generator):
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
        point = _uniform(_bits(task_id, f"{place}choice")) * cumulative[-1]
        index = min(bisect_right(cumulative, point), len(cumulative) - 1)
        generator = cast("_Generator", self.entries[index][0])
        spec = generator.make(task_id, f"{place}{index}/")
        label = self.labels[index] if self.labels else None
        if label is None and not self.overrides:
            return spec
        overrides = plain_json(self.overrides, field="overrides")
        return TaskSpec(spec.label if label is None else label, {**spec.params, **overrides})


WeightedSet.model_rebuild()
if not TYPE_CHECKING:  # now that all four exist: other modules cannot resolve the text above
    Generator = Annotated[
        Annotated[Single | Buckets | WeightedSet | Custom, Discriminator("kind")],
        BeforeValidator(_check_generator),
    ]


def _nesting(generator: object) -> int:
    if not isinstance(generator, WeightedSet):
        return 0
    return 1 + max(_nesting(child) for child, _ in generator.entries)


def custom_generators(generator: object) -> Iterator[Custom]:
    """Every Custom within a generator, in order."""
    if isinstance(generator, Custom):
        yield generator
    elif isinstance(generator, WeightedSet):
        for child, _ in generator.entries:
            yield from custom_generators(child)


def bind_generator(generator: TaskGenerator, live: TaskGenerator) -> TaskGenerator:
    """Return a copy of ``generator`` in which ``live`` serves every Custom of its class.

    Raises:
        InvalidInputError: There is none.
    """
    path = _path_of(live)
    paths = [custom.path for custom in custom_generators(generator)]
    if path not in paths:
        rule = f"of a class that the config names ({', '.join(paths) or 'it names none'})"
        raise InvalidInputError("generator", rule, live)
    return _bound(generator, live, path)


def _bound(generator: TaskGenerator, live: TaskGenerator, path: str) -> TaskGenerator:
    if isinstance(generator, Custom) and generator.path == path:
        return generator.bind(live)
    if not isinstance(generator, WeightedSet):
        return generator
    entries = [(_bound(child, live, path), weight) for child, weight in generator.entries]
    return generator.model_copy(update={"entries": entries})


# --- building one task -------------------------------------------------------------------------


def build(
    generator: TaskGenerator, task_id: int, invariants: Mapping[str, Any] | None = None
) -> TaskSpec:
    """Make the task of an id and check all that the store relies on.

    Args:
        generator: Any object with ``generate(task_id)``.
        task_id: In [0, 2**53).
        invariants: Params that every task must have, with exactly these values.

    Raises:
        GeneratorError: The generator raised, or what it returned is not a TaskSpec with a valid
            label and params that are a JSON object of at most 64 KiB and keep the invariants.
    """
    try:
        spec = generator.generate(task_id)
    except Exception as error:
        message = f"the generator failed for task {task_id}: {type(error).__name__}: {error}"
        raise GeneratorError(message, task_id=task_id) from error
    if not isinstance(spec, TaskSpec):
        message = f"the generator returned {type(spec).__name__} for task {task_id}, not TaskSpec"
        raise GeneratorError(message, task_id=task_id)
    try:
        checked = TaskSpec(validate_label(spec.label), _plain_params(spec.params))
        encode_params(checked.params)
        for name, value in (invariants or {}).items():
            _check_invariant(checked.params, name, value)
    except InvalidInputError as error:
        message = f"the generator broke a rule for task {task_id}: {error}"
        raise GeneratorError(message, task_id=task_id) from error
    return checked


def _check_invariant(params: Mapping[str, Any], name: str, value: object) -> None:
    rule = f"{canonical_json(value)} in every task (an invariant)"
    if name not in params:
        raise InvalidInputError(f"params.{name}", rule, "nothing")
    if canonical_json(params[name]) != canonical_json(value):  # as JSON, so 1 is not True
        raise InvalidInputError(f"params.{name}", rule, params[name])


def _plain_params(params: object) -> dict[str, Any]:
    if not isinstance(params, dict):
        raise InvalidInputError("params", "a JSON object (a dict)", params)
    plain: dict[str, Any] = plain_json(params, field="params")
    return plain


def encode_params(params: dict[str, Any]) -> str:
    """Return params as canonical JSON: sorted keys, no blanks, floats that read back the same.

    Raises:
        InvalidInputError: They are not a JSON object, or take more than 64 KiB of UTF-8.
    """
    text = canonical_json(_plain_params(params))
    size = len(text.encode())
    if size > MAX_PARAMS_BYTES:
        raise InvalidInputError("params", f"at most {MAX_PARAMS_BYTES} bytes of JSON", size)
    return text


# --- ids and hashes ----------------------------------------------------------------------------

_MASK64 = 2**64 - 1
_LOW_BITS, _HIGH_BITS = 26, 27
_ROUNDS = 6


def _mix(x: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): 64 bits to 64 bits."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK64
    return x ^ (x >> 31)


@lru_cache(maxsize=64)
def _round_keys(seed: int) -> tuple[tuple[int, int], ...]:
    keys = [_mix((seed + i * 0x9E3779B97F4A7C15) & _MASK64) for i in range(1, _ROUNDS + 1)]
    return tuple(zip(keys[::2], keys[1::2], strict=True))


def task_id_at(seed: int, index: int) -> int:
    """Return the ``index``-th task id of a seed; a bijection of [0, 2**53), a few microseconds.

    A Feistel network over halves of 26 and 27 bits: each round changes one half by a function of
    the other, hence it can be undone and no two indices meet. The values are pinned by a test.

    Raises:
        InvalidInputError: ``index`` is not in [0, 2**53), or ``seed`` not in [0, 2**63).
    """
    if not 0 <= index < TASK_ID_LIMIT:
        raise InvalidInputError("index", "an integer in [0, 2**53)", index)
    if not 0 <= seed < 2**63:
        raise InvalidInputError("seed", "an integer in [0, 2**63)", seed)
    low, high = index & ((1 << _LOW_BITS) - 1), index >> _LOW_BITS
    for high_key, low_key in _round_keys(seed):
        high ^= _mix((low + high_key) & _MASK64) >> (64 - _HIGH_BITS)
        low ^= _mix((high + low_key) & _MASK64) >> (64 - _LOW_BITS)
    return high << _LOW_BITS | low


def label_hash(label: str) -> int:
    """Return the low 53 bits of the first 8 bytes (big-endian) of SHA-256 of the UTF-8 label.

    The same in every process and language, whatever ``PYTHONHASHSEED`` is.
    """
    return int.from_bytes(hashlib.sha256(label.encode()).digest()[:8], "big") & (2**53 - 1)
