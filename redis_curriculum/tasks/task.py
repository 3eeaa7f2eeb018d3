"""A task, what a generator makes of an id, and the rules for labels and params."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Protocol, runtime_checkable

from pydantic import BeforeValidator

from redis_curriculum._values.rules import canonical_json, plain_json, validate_label
from redis_curriculum.errors import InvalidInputError

MAX_PARAMS_BYTES = 64 * 1024


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


def check_params(value: object) -> dict[str, Any]:
    """Return params as plain JSON; for pydantic, hence ``ValueError``."""
    if not isinstance(value, Mapping):
        raise ValueError("a JSON object")  # noqa: TRY004 - pydantic wants it
    params: dict[str, Any] = plain_json(dict(value), field="")
    return params


def check_label(value: object) -> str:
    """Return a label that keeps the rules; for pydantic."""
    return validate_label(value, field="")


Params = Annotated[dict[str, Any], BeforeValidator(check_params)]
Label = Annotated[str, BeforeValidator(check_label)]


def plain_params(params: object) -> dict[str, Any]:
    """Return params as plain JSON.

    Raises:
        InvalidInputError: They are not a JSON object.
    """
    if not isinstance(params, dict):
        raise InvalidInputError("params", "a JSON object (a dict)", params)
    plain: dict[str, Any] = plain_json(params, field="params")
    return plain


def encode_params(params: dict[str, Any]) -> str:
    """Return params as canonical JSON: sorted keys, no blanks, floats that read back the same.

    Raises:
        InvalidInputError: They are not a JSON object, or take more than 64 KiB of UTF-8.
    """
    return encode_plain(plain_params(params))


def encode_plain(params: dict[str, Any]) -> str:
    """Return params that are plain JSON already as canonical JSON.

    Raises:
        InvalidInputError: They take more than 64 KiB of UTF-8.
    """
    text = canonical_json(params)
    size = len(text.encode())
    if size > MAX_PARAMS_BYTES:
        raise InvalidInputError("params", f"at most {MAX_PARAMS_BYTES} bytes of JSON", size)
    return text
