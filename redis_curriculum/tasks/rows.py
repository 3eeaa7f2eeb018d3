"""Where the rows of a table come from: numbers, a data set in memory, a file."""

from __future__ import annotations

import hashlib
import importlib
import os
import threading
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, Final

from redis_curriculum._values.files import open_regular
from redis_curriculum._values.rules import (
    TASK_ID_LIMIT,
    In,
    canonical_json,
    parse_json_object,
    plain_json,
    validate_path,
)
from redis_curriculum.errors import GeneratorError, InvalidInputError

Row = Mapping[str, Any]
Stored = int | tuple[int, int, int] | str | None
"""What a config keeps of the rows: a number, (start, stop, step), a path; None: nothing."""

COMPUTED: Final = "rows-sha256:"
"""What a fingerprint begins with that was computed from the rows."""
IN_MEMORY: Final = (
    "the rows of this table were in the memory of the program that created it; pass the table as"
    " generator= when opening"
)
_NUMBER: Final = In("[1, 2**53)")
_SAMPLED: Final = 1000
"""So many rows of a data set are part of its fingerprint."""
_BATCH: Final = 1024


class Rows(ABC):
    """Rows by their position, which begins at 0."""

    TRAVELS: ClassVar[bool] = True
    """Whether a row's columns become the params of its task, if nobody says which of them."""

    stored: Stored = None
    columns: Sequence[str] | None = None
    """Columns to read; None: all."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def row(self, position: int) -> Row:
        """Return one row; an empty one where rows have no columns."""

    def number(self, position: int) -> int:
        """Return a row's own number: the id of its task, where no column is the key."""
        return position

    def index_of(self, number: int) -> int | None:
        """Return the position of a row's own number; None: there is no such row."""
        return number if number < len(self) else None

    @abstractmethod
    def fingerprint(self) -> str | None:
        """Return a text that changes with the rows; None: the config has them all."""


class Numbers(Rows):
    """Rows that are numbers."""

    TRAVELS = False

    def __init__(self, numbers: range, stored: Stored) -> None:
        self._numbers, self.stored = numbers, stored

    def __len__(self) -> int:
        return len(self._numbers)

    def row(self, position: int) -> Row:  # noqa: ARG002 - a number has no columns
        """Return no columns."""
        return {}

    def number(self, position: int) -> int:
        """Return the number at that position."""
        return self._numbers[position]

    def index_of(self, number: int) -> int | None:
        """Return the position of a number."""
        return self._numbers.index(number) if number in self._numbers else None

    def fingerprint(self) -> None:
        """Return nothing: the config has them all."""


class InMemory(Rows):
    """A list of params, or a data set of another library (``len`` and ``[index]``)."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self._is_list = isinstance(rows, (list, tuple))
        self.TRAVELS = self._is_list  # type: ignore[misc]

    def __len__(self) -> int:
        try:
            return len(self._rows)
        except Exception as error:
            raise InvalidInputError("rows", "a data set whose len() works", error) from error

    def row(self, position: int) -> Row:
        """Return one row; what is no mapping has no columns.

        Raises:
            InvalidInputError: The data set raises an exception for it, which is its cause.
        """
        try:
            found = self._rows[position]
            if isinstance(found, Mapping):
                return found if isinstance(found, dict) else dict(found)
        except Exception as error:
            rule = "a row that the data set returns"
            raise InvalidInputError(f"rows[{position}]", rule, error) from error
        if self._is_list:
            raise InvalidInputError(f"rows[{position}]", "params (a dict)", found)
        return {}

    def fingerprint(self) -> str:
        """Return the hash of all rows of a list; of a data set, of up to 1,000 evenly spaced."""
        count = len(self)
        step = 1 if self._is_list else max(1, count // _SAMPLED)
        found = hashlib.sha256(str(count).encode())
        for position in range(0, count, step):
            given = self.row(position)
            try:
                row = plain_json(dict(given), field=f"rows[{position}]")
            except InvalidInputError:
                if self._is_list:
                    raise
                continue  # such as a picture: it does not travel
            found.update(canonical_json(row).encode())
        return f"{COMPUTED}{found.hexdigest()}"


class JsonLines(Rows):
    """A file with one JSON object a line; 8 bytes a row are kept in memory."""

    def __init__(self, path: str) -> None:
        self.stored = path
        self._file: int | None = None
        self._starts = array("Q")
        hashed, at = hashlib.sha256(), 0
        with open_regular(Path(path)) as file:
            for line in file:
                hashed.update(line)
                if line.strip():
                    self._starts.append(at)
                at += len(line)
        self._fingerprint = f"{COMPUTED}{hashed.hexdigest()}"
        self._end = at

    def __len__(self) -> int:
        return len(self._starts)

    def row(self, position: int) -> Row:
        """Read and parse one line."""
        if self._file is None:
            self._file = os.open(str(self.stored), os.O_RDONLY)
        start = self._starts[position]
        after = position + 1
        end = self._starts[after] if after < len(self._starts) else self._end
        data = os.pread(self._file, end - start, start)  # no shared position: safe after a fork
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise InvalidInputError(f"rows[{position}]", "UTF-8", data[:80]) from None
        return parse_json_object(text.strip(), field=f"rows[{position}]")

    def fingerprint(self) -> str:
        """Return the hash of the file as it was when it was opened."""
        return self._fingerprint

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_file": None}

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            os.close(self._file)  # type: ignore[arg-type]


class Parquet(Rows):
    """A Parquet file, read in batches of 1,024 rows; in the order of the rows it is read once."""

    def __init__(self, path: str) -> None:
        self.stored = path
        self._open()

    def _open(self) -> None:
        self._parquet = _pyarrow().ParquetFile(str(self.stored))
        groups = self._parquet.metadata
        sizes = (groups.row_group(i).num_rows for i in range(groups.num_row_groups))
        self._ends = list(accumulate(sizes))
        self._lock = threading.Lock()
        self._batches: Any = iter(())
        self._reach = 0
        self._start, self._rows = 0, list[Row]()

    def __len__(self) -> int:
        return int(self._parquet.metadata.num_rows)

    def row(self, position: int) -> Row:
        """Return one row; the batch that holds it stays in memory."""
        with self._lock:
            if not self._start <= position < self._reach:
                self._go_to_group(bisect_right(self._ends, position))
            while position >= self._start + len(self._rows):
                self._start += len(self._rows)
                self._rows = next(self._batches).to_pylist()
                self._reach = self._start + len(self._rows) + _BATCH
            return self._rows[position - self._start]

    def _go_to_group(self, group: int) -> None:
        groups = list(range(group, len(self._ends)))
        self._batches = self._parquet.iter_batches(_BATCH, groups, self.columns)
        self._start, self._rows = self._ends[group - 1] if group else 0, []

    def fingerprint(self) -> str:
        """Return the hash of the file."""
        return hash_of(str(self.stored))

    def __getstate__(self) -> dict[str, Any]:
        return {"stored": self.stored, "columns": self.columns}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()


def hash_of(path: str) -> str:
    """Return the SHA-256 of a file as a fingerprint."""
    try:
        with open_regular(Path(path)) as file:
            return f"{COMPUTED}{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        message = f"the rows of a table are not here: {path}: {error.strerror}"
        raise GeneratorError(message) from error


def _pyarrow() -> Any:
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError:
        message = "a Parquet file needs pyarrow: pip install 'redis-curriculum[parquet]'"
        raise GeneratorError(message) from None


_FILES: Final[dict[str, type[JsonLines | Parquet]]] = {
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".parquet": Parquet,
}


def rows_of(given: object) -> Rows:
    """Return the rows that a user means.

    Raises:
        InvalidInputError: It is nothing that has rows, or it has none.
        GeneratorError: It is a Parquet file, and pyarrow is not installed.
    """
    found = _rows_of(given)
    if not len(found):
        raise InvalidInputError("rows", "at least one row", given)
    return found


def _rows_of(given: object) -> Rows:
    if isinstance(given, range):
        if given and not 0 <= min(given) <= max(given) < TASK_ID_LIMIT:
            raise InvalidInputError("rows", "a range within [0, 2**53)", given)
        return Numbers(given, (given.start, given.stop, given.step))
    if isinstance(given, (str, os.PathLike)):
        return file_of(given)
    is_bytes = isinstance(given, (bytes, bytearray, Mapping))
    if hasattr(given, "__len__") and hasattr(given, "__getitem__") and not is_bytes:
        return InMemory(given)
    if isinstance(given, float) or not hasattr(given, "__index__"):
        rule = (
            "a number, a range, a list of params, a path that ends in .jsonl, .ndjson or"
            " .parquet, or a data set with len() and [index]"
        )
        raise InvalidInputError("rows", rule, given)
    number = int(_NUMBER.require(given, "rows"))
    return Numbers(range(number), number)


def file_of(given: object) -> Rows:
    """Open a file of rows.

    Raises:
        InvalidInputError: Its name does not say which kind it is, or it cannot be read.
        GeneratorError: It is a Parquet file, and pyarrow is not installed.
    """
    path = validate_path(given, "rows")
    kind = _FILES.get(path.suffix.lower())
    if kind is None:
        raise InvalidInputError("rows", "a path that ends in .jsonl, .ndjson or .parquet", given)
    try:
        open_regular(path).close()
        return kind(str(path))
    except OSError as error:
        rule = f"a file that can be read ({error.strerror})"
        raise InvalidInputError("rows", rule, given) from error
    except ValueError as error:  # pyarrow's errors of a damaged file
        raise InvalidInputError("rows", f"a Parquet file ({error})", given) from error


def stored_rows(stored: Stored) -> Rows:
    """Return the rows that a stored config names.

    Raises:
        InvalidInputError: The file cannot be read.
        GeneratorError: The rows were in the memory of a program; or as ``file_of``.
    """
    if stored is None:
        raise GeneratorError(IN_MEMORY)
    if isinstance(stored, str):
        return file_of(stored)
    return rows_of(range(*stored) if isinstance(stored, tuple) else stored)
