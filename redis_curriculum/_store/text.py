"""What went wrong, as one line that can be stored."""

from __future__ import annotations

from typing import Final

from redis_curriculum.errors import InvalidInputError

MOST_ERROR_CHARACTERS: Final = 500


def message_of(error: object) -> str:
    """Return one printable line of at most 500 characters.

    Raises:
        InvalidInputError: It is neither an exception nor a text with something in it.
    """
    if isinstance(error, BaseException):
        text = f"{type(error).__name__}: {_text_of(error)}".removesuffix(": ")
    elif isinstance(error, str):
        text = error
    else:
        raise InvalidInputError("error", "an exception or a text", error)
    text = " ".join(text[: 8 * MOST_ERROR_CHARACTERS].split())
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    if not text:
        raise InvalidInputError("error", "an exception or a text that says something", error)
    if len(text) > MOST_ERROR_CHARACTERS:
        return text[: MOST_ERROR_CHARACTERS - 3] + "..."
    return text


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the failure
        return ""
