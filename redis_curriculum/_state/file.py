"""Where a snapshot is written: beside its target, flushed, renamed; older ones rotate."""

from __future__ import annotations

import glob
import gzip
import hashlib
import json
import os
import secrets
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self, TypeAlias

from redis_curriculum._state.format import COUNTED, FIRST_FIELDS, EndLine, known
from redis_curriculum._values.models import FrozenModel
from redis_curriculum._values.rules import In, validate_flag
from redis_curriculum.errors import InvalidInputError, SnapshotError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_KEEP: Final = In("[0, 1000]")

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

    path: Path
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
    """Where the snapshot goes: written beside, flushed to disk, renamed; older ones rotate."""

    def __init__(self, path: Path, *, overwrite: bool, keep: int) -> None:
        self.path, self._keep = path, int(_KEEP.require(keep, "keep"))
        validate_flag(overwrite, "overwrite")
        try:
            is_there, is_directory = path.exists(), path.is_dir()
        except OSError as error:  # a name that is too long, a folder that nobody may enter
            raise SnapshotError(f"the file cannot be written: {error}") from error
        if is_directory:
            raise SnapshotError(f"{path} is a directory")
        if not path.parent.is_dir():
            raise SnapshotError(f"{path.parent} is not a directory")
        if is_there and not (overwrite or keep):
            raise SnapshotError(f"{path} exists; overwrite=True (--overwrite) replaces it")
        self._beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")

    def writing(self) -> Writer:
        """Open the file beside the target; leaving it well puts it in place."""
        self._clear_away()
        try:
            raw = self._beside.open("xb")
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
        for left in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.tmp"):
            with suppress(OSError), left.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()

    def commit(self) -> None:
        """Rename it to the target, so that a crash leaves the old file or the new one."""
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

    def info(self, writer: Writer) -> SnapshotInfo:
        """Say what was written."""
        return SnapshotInfo(
            path=self.path,
            tasks=writer.counts["task"],
            labels=writer.counts["label"],
            size=self.path.stat().st_size,
            sha256=writer.sha256.hexdigest(),
        )

    def _keep_as(self, kept: Path) -> None:
        """Give the file a second name, so that it has the first until the new one takes it."""
        kept.unlink(missing_ok=True)
        try:
            kept.hardlink_to(self.path)
        except OSError:  # this file system has one name for a file
            self.path.replace(kept)

    def _numbered(self, n: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{n}")


class Writer:
    """Counts and hashes the lines it writes."""

    def __init__(self, raw: BinaryIO, target: Target) -> None:
        self._raw, self._target = raw, target
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        done = False
        with self._raw:  # open, and so locked, until it has its name
            try:
                if kind is None:
                    self._file.close()
                    self._raw.flush()
                    os.fsync(self._raw.fileno())
                    done = True
            finally:
                if not done:
                    self._target.discard()
            if done:
                self._target.commit()
