"""Make the task of an id, checked; find and bind custom generators within others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from redis_curriculum._values.rules import canonical_json, validate_label
from redis_curriculum.errors import Exhausted, GeneratorError, InvalidInputError
from redis_curriculum.tasks.custom import Custom, fingerprint_of, path_of
from redis_curriculum.tasks.table import Table
from redis_curriculum.tasks.task import TaskGenerator, TaskSpec, encode_plain, plain_params
from redis_curriculum.tasks.weighted import WeightedSet


def custom_generators(generator: object) -> Iterator[Custom | Table]:
    """Every generator within another, in order, that needs code or data of the user."""
    if isinstance(generator, Custom) or (isinstance(generator, Table) and generator.needs_data):
        yield generator
    elif isinstance(generator, WeightedSet):
        for child, _ in generator.entries:
            yield from custom_generators(child)


def fingerprinted(generator: TaskGenerator) -> TaskGenerator:
    """Return a copy in which each Custom has its object's fingerprint, where it had none.

    Raises:
        GeneratorError: An object cannot be built or cannot say.
    """
    if isinstance(generator, Custom) and generator.fingerprint is None and generator.is_bound:
        return generator.with_fingerprint(fingerprint_of(generator.built()))
    if not isinstance(generator, WeightedSet):
        return generator
    entries = [(fingerprinted(child), weight) for child, weight in generator.entries]
    before = [child for child, _ in generator.entries]
    if all(new is old for (new, _), old in zip(entries, before, strict=True)):
        return generator
    return generator.model_copy(update={"entries": entries})


def changed_data(generator: TaskGenerator) -> list[tuple[str, str, str | None]]:
    """Return (field, stored, found) of each Custom whose object now has another fingerprint."""
    return [
        ("task_generator.fingerprint", custom.fingerprint, found)
        for custom in custom_generators(generator)
        if custom.fingerprint is not None and custom.is_bound
        if (found := custom.found_fingerprint()) != custom.fingerprint
    ]


def other_data(
    stored: TaskGenerator, given: TaskGenerator
) -> list[tuple[str, str | None, str | None]]:
    """Return (field, stored, given) of each Custom that is the same but for its fingerprint."""
    both = zip(custom_generators(stored), custom_generators(given), strict=False)
    return [
        ("task_generator.fingerprint", one.fingerprint, other.fingerprint)
        for one, other in both
        if one == other and one.fingerprint != other.fingerprint
    ]


def bind_generator(generator: TaskGenerator, live: TaskGenerator) -> TaskGenerator:
    """Return a copy of ``generator`` in which ``live`` serves every Custom of its class.

    Raises:
        InvalidInputError: There is none.
    """
    path = live.path if isinstance(live, Table) else path_of(live)
    paths = [custom.path for custom in custom_generators(generator)]
    if path not in paths:
        rule = f"of a class that the config names ({', '.join(paths) or 'it names none'})"
        raise InvalidInputError("generator", rule, live)
    return _bound(generator, live, path)


def _bound(generator: TaskGenerator, live: TaskGenerator, path: str) -> TaskGenerator:
    if isinstance(generator, Table) and isinstance(live, Table):
        return generator.bind(live)
    if isinstance(generator, Custom) and generator.path == path:
        return generator.bind(live)
    if not isinstance(generator, WeightedSet):
        return generator
    entries = [(_bound(child, live, path), weight) for child, weight in generator.entries]
    return generator.model_copy(update={"entries": entries})


def bind_as(generator: TaskGenerator, former: TaskGenerator) -> TaskGenerator:
    """Return a copy whose Custom generators without an object use those of equal ones before.

    Their fingerprints stay: they say what data the stored tasks are made of.
    """
    if isinstance(generator, Table) and generator.live is None:
        tables = (c for c in custom_generators(former) if c == generator and c.live is not None)
        return next(tables, generator)
    if isinstance(generator, Custom) and generator.live is None:
        known = (c.live for c in custom_generators(former) if c == generator)
        live = next((live for live in known if live is not None), None)
        return generator if live is None else generator.bind(live)
    if not isinstance(generator, WeightedSet):
        return generator
    entries = [(bind_as(child, former), weight) for child, weight in generator.entries]
    return generator.model_copy(update={"entries": entries})


def build(
    generator: TaskGenerator, task_id: int, invariants: Mapping[str, Any] | None = None
) -> TaskSpec:
    """Make the task of an id and check all that the store relies on; see ``built``."""
    return built(generator, task_id, invariants)[0]


def built(
    generator: TaskGenerator, task_id: int, invariants: Mapping[str, Any] | None = None
) -> tuple[TaskSpec, str]:
    """Make the task of an id and check all that the store relies on; also its params as JSON.

    Args:
        generator: Any object with ``generate(task_id)``.
        task_id: In [0, 2**53).
        invariants: Params that every task must have, with exactly these values.

    Raises:
        Exhausted: The generator raised it: it has no more tasks.
        GeneratorError: The generator raised, or what it returned is not a TaskSpec with a valid
            label and params that are a JSON object of at most 64 KiB and keep the invariants.
    """
    try:
        spec = generator.generate(task_id)
    except Exhausted:
        raise
    except Exception as error:
        message = f"the generator failed for task {task_id}: {type(error).__name__}: {error}"
        raise GeneratorError(message, task_id=task_id) from error
    if not isinstance(spec, TaskSpec):
        message = f"the generator returned {type(spec).__name__} for task {task_id}, not TaskSpec"
        raise GeneratorError(message, task_id=task_id)
    try:
        return checked_spec(spec, invariants)
    except InvalidInputError as error:
        message = f"the generator broke a rule for task {task_id}: {error}"
        raise GeneratorError(message, task_id=task_id) from error


def checked_spec(
    spec: TaskSpec, invariants: Mapping[str, Any] | None = None
) -> tuple[TaskSpec, str]:
    """Check all that the store relies on; return label and plain params, and these as JSON.

    Raises:
        InvalidInputError: The label, the params or an invariant.
    """
    checked = TaskSpec(validate_label(spec.label), plain_params(spec.params))
    text = encode_plain(checked.params)
    for name, value in (invariants or {}).items():
        _check_invariant(checked.params, name, value)
    return checked, text


def _check_invariant(params: Mapping[str, Any], name: str, value: object) -> None:
    rule = f"{canonical_json(value)} in every task (an invariant)"
    if name not in params:
        raise InvalidInputError(f"params.{name}", rule, "nothing")
    if canonical_json(params[name]) != canonical_json(value):  # as JSON, so 1 is not True
        raise InvalidInputError(f"params.{name}", rule, params[name])
