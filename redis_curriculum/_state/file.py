"""Where a snapshot is written: beside its target, flushed, renamed; older ones rotate."""

from __future__ import annotations

import errno
import glob
import gzip
import hashlib
import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, TypeAlias

from redis_curriculum._state.format import COUNTED, FIRST_FIELDS, EndLine, known
from redis_curriculum._values.files import can_be_replaced, open_regular
from redis_curriculum._values.models import FrozenModel
from redis_curriculum._values.rules import In, validate_flag
from redis_curriculum.errors import InvalidInputError, SnapshotError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

KEEP: Final = In("[0, 1000]")
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
"""A name at which something stands, be it a link, is refused."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (tasks done, tasks in all)."""


def checked_progress(progress: Progress | None) -> Progress | None:
    """Return the callback, if it is one."""
    if progress is not None and not callable(progress):
        raise InvalidInputError("progress", "a function of (done, total), or None", progress)
    return progress


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """What was written."""

    path: Any
    """The ``Path`` of the file; the URL, a ``str``, of what is not a file."""
    tasks: int
    labels: int
    size: int
    """Bytes of the file."""
    sha256: str
    """Of its lines."""


def _sync(folder: Path) -> None:
    """Flush the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Target:
    """Where the snapshot goes: written beside, flushed to disk, renamed; older ones rotate.

    Only regular files are replaced or rotated, and names that lead to one or to nothing. The new
    file may be read and written by its owner alone.
    """

    def __init__(self, path: Path, *, overwrite: bool, keep: int) -> None:
        self.path, self._keep = path, int(KEEP.require(keep, "keep"))
        validate_flag(overwrite, "overwrite")
        try:
            self._check(overwrite=overwrite)
        except OSError as error:  # a name that is too long, a folder that nobody may enter
            raise SnapshotError(f"the file cannot be written: {error}") from error
        self._beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")

    def _check(self, *, overwrite: bool) -> None:
        if "\0" in str(self.path):
            raise OSError(errno.EINVAL, "embedded null character")
        if self.path.is_dir():
            raise SnapshotError(f"{self.path} is a directory")
        if not self.path.parent.is_dir():
            raise SnapshotError(f"{self.path.parent} is not a directory")
        for path in (self.path, *(self._numbered(n) for n in range(1, self._keep + 1))):
            if not can_be_replaced(path):
                raise SnapshotError(f"{path} is a directory, a device or a pipe; it stays")
        if os.path.lexists(self.path) and not (overwrite or self._keep):
            raise SnapshotError(f"{self.path} exists; overwrite=True (--overwrite) replaces it")

    def writing(self) -> Writer:
        """Open the file beside the target; leaving it well puts it in place."""
        self._clear_away()
        try:
            raw = os.fdopen(os.open(self._beside, _NEW, 0o600), "wb")
            if fcntl:
                with suppress(OSError):  # a file system without locks keeps what the dead leave
                    fcntl.flock(raw, fcntl.LOCK_EX)
            if not self._beside.exists():  # another exporter saw it before it was locked
                raw.close()
                return self.writing()
        except OSError as error:
            raise SnapshotError(f"{self.path} cannot be written: {error}") from error
        return Writer(raw, self)

    def _clear_away(self) -> None:
        """Remove what exporters to the same path wrote before they were killed: none holds it."""
        if fcntl is None:  # who is alive cannot be told
            return
        own = re.compile(rf"\.{re.escape(self.path.name)}\.[0-9a-f]{{8}}\.tmp")
        for left in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.tmp"):
            if own.fullmatch(left.name) and not left.is_symlink():
                with suppress(OSError), open_regular(left) as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    left.unlink()

    def commit(self) -> None:
        """Rename it to the target, so that a crash leaves the old file or the new one."""
        self._check(overwrite=True)  # again: it has taken some time
        if self._keep and self.path.exists():
            for n in range(self._keep, 1, -1):
                older = self._numbered(n - 1)
                if older.exists():
                    older.replace(self._numbered(n))
            self._keep_as(self._numbered(1))
        self._beside.replace(self.path)
        if os.name == "posix":
            _sync(self.path.parent)

    def discard(self) -> None:
        """Leave nothing."""
        with suppress(OSError):
            self._beside.unlink()

    def _keep_as(self, kept: Path) -> None:
        """Give the file a second name, so that it has the first until the new one takes it."""
        kept.unlink(missing_ok=True)
        try:
            kept.hardlink_to(self.path)
        except OSError:  # this file system has one name for a file
            self.path.replace(kept)

    def _numbered(self, n: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{n}")


class Lines:
    """Writes a snapshot's lines to an open file, gzipped; counts and hashes them."""

    def __init__(self, raw: BinaryIO) -> None:
        self._file = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)
        self.sha256 = hashlib.sha256()
        self.counts: Counter[str] = Counter()

    def add(self, line: FrozenModel, *, hashed: bool = True) -> None:
        """Write one line; what is None is left out."""
        fields = known(line)
        fields = {name: fields[name] for name in FIRST_FIELDS if name in fields} | fields
        text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n"
        raw = text.encode()
        self._file.write(raw)
        if hashed:
            self.sha256.update(raw)
            self.counts[fields["type"]] += 1

    def finish(self) -> None:
        """Write the closing line."""
        counted = {field: self.counts[kind] for kind, field in COUNTED.items()}
        closing = EndLine.model_validate({**counted, "sha256": self.sha256.hexdigest()})
        self.add(closing, hashed=False)

    def close(self) -> None:
        """End the gzip stream; the file stays open."""
        self._file.close()

    def info(self, path: Path | str, size: int) -> SnapshotInfo:
        """Say what was written, and where."""
        return SnapshotInfo(
            path=path,
            tasks=self.counts["task"],
            labels=self.counts["label"],
            size=size,
            sha256=self.sha256.hexdigest(),
        )


class Writer(Lines):
    """Writes the lines beside a target, which is replaced when all went well."""

    def __init__(self, raw: BinaryIO, target: Target) -> None:
        super().__init__(raw)
        self._raw, self._target = raw, target

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        done = False
        with self._raw:  # open, and so locked, until it has its name
            try:
                if kind is None:
                    self.close()
                    self._raw.flush()
                    os.fsync(self._raw.fileno())
                    self._target.commit()
                    done = True
            finally:
                if not done:
                    with suppress(OSError):  # else it would write when it is collected
                        self.close()
                    self._target.discard()
