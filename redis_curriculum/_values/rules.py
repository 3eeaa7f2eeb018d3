"""The rules that values must keep.

Every rule raises ``InvalidInputError`` with field, rule and value before anything is sent.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import numpy as np
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from redis_curriculum.errors import InvalidInputError

TASK_ID_LIMIT = 2**53
MAX_LABEL_BYTES = 200
MAX_JSON_DEPTH = 64
INT64 = (-(2**63), 2**63 - 1)

NAME = r"[A-Za-z0-9_.\-=,/+@~\[\]]{1,128}"
"""What a curriculum or a worker may be called, as a regular expression. No braces: they are the
hash tag of a cluster. No colon: it divides a key."""
_NAME = re.compile(NAME)
_KEY_PREFIX = re.compile(r"[A-Za-z0-9_.\-=,/+@~:]{0,128}")
_LABEL_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def validate_name(name: object, *, field: str = "name") -> str:
    """Return ``name`` if it may name a curriculum or a worker.

    Raises:
        InvalidInputError: It is not 1 to 128 characters of ``A-Z a-z 0-9 _ . - = , / + @ ~ [ ]``.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        rule = "1 to 128 of the characters A-Z a-z 0-9 _ . - = , / + @ ~ [ ]"
        raise InvalidInputError(field, rule, name)
    return str.__str__(name)


def validate_key_prefix(prefix: object, *, field: str) -> str:
    """Return ``prefix`` if every key of a curriculum may begin with it; it may be empty.

    Raises:
        InvalidInputError: It is not up to 128 characters of ``A-Z a-z 0-9 _ . - = , / + @ ~ :``.
            Braces would decide the slot in a cluster; ``* ? [ ]`` are patterns of an ACL.
    """
    if not isinstance(prefix, str) or not _KEY_PREFIX.fullmatch(prefix):
        rule = "up to 128 of the characters A-Z a-z 0-9 _ . - = , / + @ ~ :"
        raise InvalidInputError(field, rule, prefix)
    return str.__str__(prefix)


def validate_label(label: object, *, field: str = "label") -> str:
    """Return ``label`` if it may label a task.

    Raises:
        InvalidInputError: It is not a text of 1 to 200 bytes of UTF-8, or it holds control
            characters (C0, DEL, C1) or lone surrogates.
    """
    if not isinstance(label, str):
        raise InvalidInputError(field, "a text", label)
    if _LABEL_FORBIDDEN.search(label):
        raise InvalidInputError(field, "free of control characters and lone surrogates", label)
    if not 1 <= len(label.encode()) <= MAX_LABEL_BYTES:
        raise InvalidInputError(field, f"1 to {MAX_LABEL_BYTES} bytes of UTF-8", label)
    return str.__str__(label)


def validate_task_id(task_id: object, *, field: str = "task_id") -> int:
    """Return ``task_id`` as a Python int; NumPy integers are accepted, 0 is valid.

    Raises:
        InvalidInputError: It is not an integer in [0, 2**53).
    """
    if isinstance(task_id, (int, np.integer)) and not isinstance(task_id, bool):
        number = int(task_id)
        if 0 <= number < TASK_ID_LIMIT:
            return number
    raise InvalidInputError(field, "an integer in [0, 2**53)", task_id)


def validate_flag(value: object, field: str) -> bool:
    """Return ``value`` if it is True or False: the text "no" would be true.

    Raises:
        InvalidInputError: It is anything else.
    """
    if not isinstance(value, bool):
        raise InvalidInputError(field, "True or False", value)
    return value


def validate_path(path: object, field: str) -> Path:
    """Return ``path`` if it can name a file: a text or an ``os.PathLike`` of one.

    Raises:
        InvalidInputError: It is anything else, or it holds a character that no file name may hold.
    """
    try:
        text = os.fspath(path)  # type: ignore[call-overload]
        if isinstance(text, str) and b"\0" not in os.fsencode(text):
            return Path(text)
    except (TypeError, ValueError):
        pass
    raise InvalidInputError(field, "the path of a file", path)


def plain_json(value: object, *, field: str, depth: int = 0) -> Any:
    """Return a deep copy of a JSON value in plain Python types.

    Tuples become lists, NumPy scalars and subclasses of the plain types their plain equals.

    Raises:
        InvalidInputError: Something in it is not JSON: another type, NaN or infinity, an integer
            beyond 64 bits, a key that is not a text, a lone surrogate, more than 64 levels.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (dict, list, tuple)):
        if depth >= MAX_JSON_DEPTH:
            raise InvalidInputError(field, f"at most {MAX_JSON_DEPTH} levels deep", "...")
        return _plain_container(value, field, depth + 1)
    return _plain_scalar(value, field)


def _plain_container(value: Mapping[object, object] | Any, field: str, depth: int) -> Any:
    if isinstance(value, dict):
        copy = {}
        for key, item in value.items():
            if not isinstance(key, str) or _SURROGATE.search(key):
                raise InvalidInputError(f"every key of {field}", "a text", key)
            copy[str.__str__(key)] = plain_json(item, field=f"{field}.{key}", depth=depth)
        return copy
    return [plain_json(item, field=f"{field}[{i}]", depth=depth) for i, item in enumerate(value)]


def _plain_scalar(value: object, field: str) -> str | int | float:
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise InvalidInputError(field, "free of lone surrogates", value)
        return str.__str__(value)
    if isinstance(value, int):
        if not INT64[0] <= value <= INT64[1]:
            raise InvalidInputError(field, "an integer of at most 64 bits", value)
        return int.__int__(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(field, "finite", value)
        return float.__float__(value)
    raise InvalidInputError(field, "JSON (null, boolean, number, text, list or object)", value)


def canonical_json(value: object) -> str:
    """Return plain JSON as text: sorted keys, no blanks, floats that read back the same."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def parse_json_object(text: str, *, field: str) -> dict[str, Any]:
    """Read one JSON object, refusing what ``plain_json`` refuses and duplicate keys.

    Raises:
        InvalidInputError: The text is not one JSON object within those rules.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise InvalidInputError(field, "free of duplicate keys", [key for key, _ in pairs])
        return found

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except InvalidInputError:
        raise
    except (ValueError, TypeError, RecursionError):  # ValueError: also an int of 5,000 digits
        raise InvalidInputError(field, "a JSON object", text) from None
    if not isinstance(value, dict):
        raise InvalidInputError(field, "a JSON object", text)
    plain: dict[str, Any] = plain_json(value, field=field)
    return plain


class In:
    """``Annotated[float, In("(0, 1]")]``: a number in that interval; the text is the rule.

    Bools, texts, NaN and infinities are no numbers; NumPy scalars are. Where the annotated type
    is ``int``, only integers pass; where it allows None, None passes.
    """

    def __init__(self, interval: str) -> None:
        low, high = interval[1:-1].split(", ")
        self.interval = interval
        self.low, self.high = _bound(low), _bound(high)
        self.open_low, self.open_high = interval[0] == "(", interval[-1] == ")"

    def __repr__(self) -> str:
        """As written."""
        return f"In({self.interval!r})"

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Check before pydantic does, so that its coercions never apply."""
        types = get_args(source) or (source,)

        def check(value: object) -> object:
            if value is None and NoneType in types:
                return None
            return self.check(value, integer=float not in types)

        return core_schema.no_info_before_validator_function(check, handler(source))

    def check(self, value: object, *, integer: bool) -> int | float:
        """Return the value as a plain number, or raise ValueError with the rule."""
        if isinstance(value, np.generic):
            value = value.item()
        kind = "an integer" if integer else "a number"
        kinds = int if integer else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise ValueError(f"{kind} in {self.interval}")  # noqa: TRY004 - pydantic wants it
        above = self.low < value if self.open_low else self.low <= value
        below = value < self.high if self.open_high else value <= self.high
        if not (above and below):  # NaN fails both
            raise ValueError(f"in {self.interval}")
        return value

    def require(self, value: object, field: str, *, integer: bool = True) -> int | float:
        """Return the value as a plain number.

        Raises:
            InvalidInputError: With the field and the rule.
        """
        try:
            return self.check(value, integer=integer)
        except ValueError as error:
            raise InvalidInputError(field, str(error), value) from None


def _bound(text: str) -> int | float:
    base, power, exponent = text.partition("**")
    if power:
        sign = -1 if base[0] == "-" else 1
        return int(sign * abs(int(base)) ** int(exponent))
    try:
        return int(text)
    except ValueError:
        return float(text)
