"""Text for a stream that cannot show every character."""

from __future__ import annotations

from typing import TextIO


def shown_on(stream: TextIO, text: str) -> str:
    r"""Return the text, with escapes for all but ASCII if the stream's encoding lacks some of it.

    On an ASCII stream ``é`` becomes ``\xe9``. A stream without an encoding takes any text.
    """
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return text.encode("ascii", "backslashreplace").decode()
    return text
