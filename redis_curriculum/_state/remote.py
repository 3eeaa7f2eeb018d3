"""Snapshots at the URLs that fsspec knows: ``s3://bucket/run.rcs``, ``gs://``, ``memory://``.

A snapshot is made whole in memory, then written within a transaction of fsspec: what is there at
the end is the older object or the newer one. Whatever a store raises becomes a ``SnapshotError``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from redis_curriculum._state.file import KEEP
from redis_curriculum._values.libraries import imported
from redis_curriculum._values.rules import validate_flag
from redis_curriculum.errors import (
    CurriculumError,
    InvalidInputError,
    SnapshotError,
    without_password,
)

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?:://|::)")
_LOCAL: Final = re.compile(r"(?:file|local)://")


def place_of(path: object) -> Remote | str | os.PathLike[str] | object:
    """Return what a path names: something remote, else the path, without ``file://``."""
    if not isinstance(path, str) or not _URL.match(path):
        return path
    if _LOCAL.match(path) and "::" not in path:
        return _LOCAL.sub("", path, count=1)
    return Remote(path)


@dataclass(frozen=True, slots=True)
class Remote:
    """One object at a URL. Its methods block."""

    url: str

    def check(self, *, overwrite: object, keep: object) -> int:
        """Say how many older objects are to be kept, if the object may be written.

        Raises:
            InvalidInputError: An argument is none, or fsspec does not know the URL.
            SnapshotError: Something stands there.
        """
        number = int(KEEP.require(keep, "keep"))
        is_to_replace = validate_flag(overwrite, "overwrite") or number > 0
        with self._opened("written") as (fs, path):
            if fs.isdir(path):
                raise SnapshotError(f"{without_password(self.url)} is a directory")
            if not is_to_replace and fs.exists(path):
                raise SnapshotError(
                    f"{without_password(self.url)} exists; overwrite=True (--overwrite) replaces it"
                )
        return number

    def write(self, data: bytes, *, overwrite: object, keep: object) -> None:
        """Put the object in place, entirely or not at all; the older ones are copied aside.

        Raises:
            SnapshotError: It cannot be written; the object that was there stays.
        """
        number = self.check(overwrite=overwrite, keep=keep)  # again: it has taken some time
        with self._opened("written") as (fs, path):
            for n in range(number, 0, -1):
                older = f"{path}.{n - 1}" if n > 1 else path
                if fs.exists(older):
                    fs.cp_file(older, f"{path}.{n}")
            with fs.transaction, fs.open(path, "wb") as file:
                file.write(data)

    def read(self) -> bytes:
        """Return the whole object.

        Raises:
            SnapshotError: It cannot be read.
        """
        with self._opened("read") as (fs, path):
            return bytes(fs.cat_file(path))

    @contextmanager
    def _opened(self, what: str) -> Iterator[tuple[Any, str]]:
        """A file system of our own, since a transaction takes in all that is written by it."""
        core = imported("fsspec.core", "fsspec")
        try:
            yield core.url_to_fs(self.url, skip_instance_cache=True)
        except CurriculumError:
            raise
        except ValueError as error:
            if "rotocol not known" in str(error):
                raise InvalidInputError("path", f"a path or URL ({error})", self.url) from error
            raise self._failed(what, error) from error
        except Exception as error:  # stores raise what they like
            raise self._failed(what, error) from error

    def _failed(self, what: str, error: Exception) -> SnapshotError:
        said = str(error) or type(error).__name__
        if isinstance(error, FileNotFoundError):  # some stores say no more than the name
            said = f"no such file ({said})"
        return SnapshotError(
            f"{without_password(self.url)} cannot be {what}: {without_password(said)}"
        )
