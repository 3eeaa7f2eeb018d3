"""What is stored as text, and what somebody may have overwritten."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import Any, Final, TypeVar

from redis_curriculum._protocol.keys import Keys
from redis_curriculum.errors import InvalidInputError, MalformedStateError

T = TypeVar("T")
_MOST_DIGITS: Final = 16
_MOST_OF_64_BITS: Final = 20
_GENERATION: Final = re.compile(r"^g\d+:")


def number(keys: Keys, field: str, text: str | None, absent: int | None = None) -> int:
    """Return a whole number in [0, 10**16) that is stored in ``meta``; ``absent`` for none.

    Raises:
        MalformedStateError: It is not one, or there is none and ``absent`` is None.
    """
    if text is None and absent is not None:
        return absent
    if text is None or len(text) > _MOST_DIGITS or not (text.isascii() and text.isdecimal()):
        raise MalformedStateError(keys.name, f"meta.{field}", text)
    return int(text)


def whole(text: str) -> int:
    """Return a count that is stored as text.

    Raises:
        ValueError: It is none.
    """
    if len(text) > _MOST_DIGITS or not (text.isascii() and text.isdecimal()):
        raise ValueError(text)
    return int(text)


def finite(text: str) -> float:
    """Return a number that is stored as text.

    Raises:
        ValueError: It is none, or not finite.
    """
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


def integer(text: str) -> int:
    """Return an integer of 64 bits, of either sign, that is stored as text.

    Raises:
        ValueError: It is none.
    """
    if len(text) > _MOST_OF_64_BITS:
        raise ValueError(text)
    return int(text)


def text(stored: str) -> str:
    """Return a stored text as it is, if it was UTF-8.

    Raises:
        ValueError: It was not; the link has read its bytes as surrogates.
    """
    if not stored.isascii():
        stored.encode()
    return stored


def field(fields: Mapping[str, str], name: str, read: Callable[[str], T]) -> T:
    """Read one field of a record.

    Raises:
        InvalidInputError: It cannot be read, or is not there.
    """
    try:
        return read(fields[name])
    except (ValueError, LookupError, OverflowError, TypeError):
        raise InvalidInputError(name, "as the library stores it", fields.get(name)) from None


def field_of(key: str, fields: Mapping[str, str], name: str, read: Callable[[str], T]) -> T:
    """Read one field of a key.

    Raises:
        MalformedStateError: It cannot be read, or is not there.
    """
    try:
        return field(fields, name, read)
    except InvalidInputError as error:
        raise malformed(key, error.field, error.value) from None


def decoded(data: bytes) -> str:
    """Return the bytes of a reply as the link reads texts: what is no UTF-8 as surrogates."""
    return data.decode(errors="surrogateescape")


def ids(key: str, members: Iterable[str]) -> list[int]:
    """Return the ids of tasks that are members of a key, or names of its fields.

    Raises:
        MalformedStateError: One is none.
    """
    listed = list(members)
    try:
        return [whole(member) for member in listed]
    except ValueError as error:
        raise malformed(key, "member", error.args[0]) from None


def malformed(key: str, name: str, value: Any) -> MalformedStateError:
    """Return the error for a field, by the key that it stands in."""
    stem, _, holder = key.rpartition("}:")
    where = f"{_GENERATION.sub('', holder)}.{name}"
    return MalformedStateError(stem.rpartition("{")[2], where, value)
