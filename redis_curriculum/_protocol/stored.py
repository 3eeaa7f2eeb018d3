"""Numbers that are stored as text, and that somebody may have overwritten."""

from __future__ import annotations

from redis_curriculum._protocol.keys import Keys
from redis_curriculum.errors import MalformedStateError

_MOST_DIGITS = 16


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
