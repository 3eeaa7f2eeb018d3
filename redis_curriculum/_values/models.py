"""The frozen model base, whose mistakes are ``InvalidInputError`` however it is built."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Never, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from redis_curriculum.errors import InvalidInputError


class FrozenModel(BaseModel):
    """A frozen model whose mistakes are ``InvalidInputError``, however it is built.

    ``model_copy(update=...)`` is checked like construction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def __init__(self, /, *given: Never, **data: Any) -> None:
        if given:
            name, field = type(self).__name__, next(iter(type(self).model_fields), "field")
            raise InvalidInputError(name, f"made with names of fields: {name}({field}=...)", given)
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise config_error(error, type(self)) from None

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """As pydantic's.

        Raises:
            InvalidInputError: A field broke a rule.
        """
        _require_names(obj)
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise config_error(error, cls) from None

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """As pydantic's.

        Raises:
            InvalidInputError: A field broke a rule, or the text is not JSON.
        """
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError as error:
            raise config_error(error, cls) from None

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; fields in ``update`` pass the same checks as at construction.

        Raises:
            InvalidInputError: ``update`` is no mapping of fields, or a field broke a rule.
        """
        if update is None:
            return super().model_copy(deep=deep)
        if not isinstance(update, Mapping):
            raise InvalidInputError("update", "a mapping of field names to values", update)
        _require_names(update)
        if not update:
            return super().model_copy(deep=deep)
        return type(self)(**{**dict(self), **update})


def _require_names(fields: object) -> None:
    """Refuse keys that cannot be names of fields; pydantic takes them for arguments."""
    for name in fields if isinstance(fields, Mapping) else ():
        if not isinstance(name, str):
            raise InvalidInputError("every name of a field", "a text", name)


def config_error(error: ValidationError, model: type[BaseModel] | None = None) -> InvalidInputError:
    """Return the most telling of pydantic's complaints as one readable error.

    Such as ``ema_timescale must be in (0, 1], got 1.5``. ``model`` helps with misspelt field names.
    """
    complaints = error.errors(include_url=False)
    first = next((e for e in complaints if e["type"] == "extra_forbidden"), complaints[0])
    cause = first.get("ctx", {}).get("error")
    field = _path(first["loc"])
    if isinstance(cause, InvalidInputError):  # from a nested model, or a rule over several fields
        field = ".".join(part for part in (field, cause.field) if part)
        field = field.replace("..", ".").replace(".[", "[")
        return InvalidInputError(field, cause.rule, cause.value)
    if first["type"] == "missing":
        return InvalidInputError(field, "given", None)
    return InvalidInputError(field or error.title, _rule(first, model), first["input"])


_RULES = {
    "bool_type": "True or False",
    "string_type": "a text",
    "too_short": "non-empty",
}


def _rule(first: Any, model: type[BaseModel] | None) -> str:
    """What the value must be, in our words where pydantic's do not read well."""
    context = first.get("ctx", {})
    match first["type"]:
        case "value_error":
            rule = str(context["error"])
        case "extra_forbidden":
            names = list(model.model_fields) if model else []
            near = difflib.get_close_matches(str(first["loc"][-1]), names, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            rule = f"a field of {model.__name__ if model else 'the model'}{hint}"
        case "literal_error":
            rule = str(context["expected"])
        case "union_tag_invalid":
            rule = f"of kind {context['expected_tags']}"
        case kind:
            rule = _RULES.get(kind, str(first["msg"]).removeprefix("Input should be "))
    return rule


def _path(loc: tuple[int | str, ...]) -> str:
    """``("entries", 0, 1)`` as ``entries[0][1]``; the union's tags are left out."""
    tags = {"single", "buckets", "weighted", "custom", "table"}
    tags |= {"learning_progress", "discrete_random"}
    path = ""
    for i, part in enumerate(loc):
        if isinstance(part, int):
            path += f"[{part}]"
        elif i == 0 or part not in tags:
            path += f".{part}" if path else part
    return path


# True while a stored config is read: whoever created it was warned, the workers need not be.
reading_stored: ContextVar[bool] = ContextVar("reading_stored", default=False)
