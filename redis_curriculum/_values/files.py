"""Files: regular ones are read and replaced, and nothing else is; none is written in part."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from io import BufferedReader
from pathlib import Path
from typing import Final, TextIO

_NO_WAIT: Final = getattr(os, "O_NONBLOCK", 0)
"""A pipe is opened at once, or not at all."""


def open_regular(path: Path) -> BufferedReader:
    """Open a file to be read, if it is one: not a pipe, device or directory, which may block.

    Raises:
        OSError: It is none, or it cannot be opened.
    """
    flags = os.O_RDONLY | _NO_WAIT | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError as error:  # a null character
        raise OSError(errno.EINVAL, str(error)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return os.fdopen(descriptor, "rb")


def open_to_append(path: Path) -> TextIO:
    """Open a text file to be appended to, or a pipe or device that takes text now.

    Raises:
        OSError: It cannot be opened, or is a pipe that nobody reads.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_WAIT
    file = os.fdopen(os.open(path, flags, 0o666), "a", encoding="utf-8")
    if _NO_WAIT:
        os.set_blocking(file.fileno(), True)
    return file


def can_be_replaced(path: Path) -> bool:
    """Whether nothing stands there, or a regular file does: no device, pipe or directory."""
    return not path.exists() or path.is_file()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its place, then put it there, over a file that stands there.

    Nobody reads a part of it. The name beside is random, and nothing that has it is opened.

    Raises:
        OSError: It cannot be written, or something else than a file stands there; nothing is left.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with beside.open("xb") as file:
            file.write(data)
        if not can_be_replaced(path):
            raise OSError(errno.EINVAL, f"{path} is a directory, a device or a pipe; it stays")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
