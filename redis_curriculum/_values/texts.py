"""Text for a stream that cannot show every character."""

from __future__ import annotations

from typing import TextIO


def shown_on(stream: TextIO, text: str) -> str:
    r"""Return the text with an escape for each character that the stream's encoding lacks.

    On an ASCII stream ``é`` becomes ``\xe9``. A stream without an encoding takes any text.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
