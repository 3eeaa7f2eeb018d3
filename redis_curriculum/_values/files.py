"""Files that are written whole, or not at all."""

from __future__ import annotations

import secrets
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its place, then put it there, over what stands there.

    Nobody reads a part of it. The name beside is random, and nothing that has it is opened.

    Raises:
        OSError: It cannot be written; nothing is left.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with beside.open("xb") as file:
            file.write(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
