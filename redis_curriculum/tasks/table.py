"""A finite set of tasks: each row of a table is exactly one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from redis_curriculum._values.rules import In, validate_label, validate_task_id
from redis_curriculum.errors import Exhausted, GeneratorError, InvalidInputError
from redis_curriculum.tasks.base import BaseGenerator
from redis_curriculum.tasks.held_out import HeldOut, is_held_out
from redis_curriculum.tasks.ids import label_hash
from redis_curriculum.tasks.rows import (
    COMPUTED,
    IN_MEMORY,
    Numbers,
    Row,
    Rows,
    Stored,
    hash_of,
    rows_of,
    stored_rows,
)
from redis_curriculum.tasks.task import TaskSpec, encode_params
from redis_curriculum.tasks.template import filled_in, template

Ids = NDArray[np.int64]

MOST_CHARACTERS: Final = 200
"""Of a fingerprint."""


def _check_names(value: object) -> object:
    if value is None:
        return None
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise ValueError("a list of names of columns")


class Table(BaseGenerator):
    """A finite set of tasks: each row is exactly one, and its id is the row's own.

    The pool holds all rows, unless ``num_active_tasks`` says fewer; then it holds the first ones.
    No row is replaced for its rank. A row that leaves the pool (``remove_tasks``, ``evict``, too
    many failures) does not come back by itself, and training goes on with the others.

    ``rows`` is one of these:

    - A number n: rows 0 to n - 1. A range: its numbers. The params are ``{"row": number}``.
    - A list of params (dicts).
    - A path to JSON Lines (``.jsonl``, ``.ndjson``: one object a line) or to Parquet
      (``.parquet``; needs the extra ``parquet``).
    - Any other object with ``len()`` and ``[index]``, such as a data set of Hugging Face. Then the
      params are ``{"row": index}``, so that large rows stay where they are.

    Every row is checked when the table is made. That takes one pass over the rows; of a file, one
    batch is in memory at a time.

    Only numbers, ranges and paths are stored with the curriculum. Rows in memory are not: other
    processes attach without them and play, since the pool is on the server. What makes tasks
    (``get_eval_tasks``, a pool that is smaller than the table) needs the rows; such a process
    passes an equal table as ``generator=`` when it opens the curriculum.

    Raises:
        InvalidInputError: Rows repeat a key, are not JSON, lack a column, break a rule of labels
            or params; or there are none. The field names the row.
        GeneratorError: The file is Parquet, and pyarrow is not installed.
    """

    kind: Literal["table"] = "table"
    rows: Stored = Field(
        default=None,
        description="The rows: a number, (start, stop, step) of a range, or a path. Null: they were"
        " in memory.",
    )
    label: str = Field(
        default="table",
        description='Label template over the columns and ``row``, such as ``"math-{level}"``.',
        strict=True,
    )
    key: str | None = Field(
        default=None,
        description="Column whose values are the task ids, integers from 0 to 2**53 - 1. A text"
        " counts as a number, ``Table.id_of(text)``. Null: the row's index, or its number.",
    )
    params: Annotated[tuple[str, ...] | None, BeforeValidator(_check_names)] = Field(
        default=None,
        description='Columns that become the params. None of them: ``{"row": index}``. Null: all,'
        " of a list or a file.",
    )
    fingerprint: str | None = Field(
        default=None,
        description="Text that changes with the rows. Null: their SHA-256 is computed; of other"
        " data sets, from 1,000 of them.",
    )
    count: Annotated[int, In("[1, 2**53)")] = Field(
        default=1, description="The number of rows; found out when the table is made."
    )
    _source: Rows | None = PrivateAttr(default=None)
    _found: str | None = PrivateAttr(default=None)
    _ids: Ids | None = PrivateAttr(default=None)
    _order: NDArray[np.intp] | None = PrivateAttr(default=None)
    _held_out: dict[HeldOut, int] = PrivateAttr(default_factory=dict)

    def __init__(
        self,
        rows: object = None,
        *,
        label: str = "table",
        key: str | None = None,
        params: Sequence[str] | None = None,
        fingerprint: str | None = None,
        **stored: Any,
    ) -> None:
        source = None
        if "count" not in stored:  # else it is a stored one, whose rows may not be here
            source = rows_of(rows)
            rows, stored["count"] = source.stored, len(source)
            fingerprint = source.fingerprint() if fingerprint is None else fingerprint
        stored |= {"rows": rows, "label": label, "key": key, "params": params}
        super().__init__(**stored | {"fingerprint": fingerprint})
        if source is not None:
            source.columns = self._columns(source)
            self._source, self._found = source, self.fingerprint
            self._ids = self._checked_ids(source)

    @model_validator(mode="after")
    def _fits(self) -> Table:
        try:
            template(self.label)
        except ValueError as error:
            rule = f"a template such as 'math-{{level}}' ({error})"
            raise InvalidInputError("label", rule, self.label) from None
        said = self.fingerprint
        if said is not None and not (said.isprintable() and 0 < len(said) <= MOST_CHARACTERS):
            rule = f"a text of 1 to {MOST_CHARACTERS} printable characters"
            raise InvalidInputError("fingerprint", rule, said)
        return self

    def __eq__(self, other: object) -> bool:
        """By what is stored, the fingerprint included."""
        return isinstance(other, Table) and self.model_dump() == other.model_dump()

    __hash__ = None  # type: ignore[assignment]

    # --- rows -------------------------------------------------------------------------------------

    @property
    def source(self) -> Rows:
        """The rows; a file is opened here at the first use.

        Raises:
            GeneratorError: They are not in this process, or the file is not as it should be.
        """
        if self._source is None:
            source = stored_rows(self.rows)
            source.columns = self._columns(source)
            if len(source) != self.count:
                raise GeneratorError(f"{self.rows} has {len(source)} rows, not {self.count}")
            self._ids = self._checked_ids(source)
            self._source = source
        return self._source

    def row(self, task_id: int) -> Row:
        """Return the row of a task, as the data set has it.

        Raises:
            InvalidInputError: The table has no task of that id.
            GeneratorError: The rows are not in this process.
        """
        index, source = self.index_of(task_id), self.source
        return {"row": source.number(index)} if isinstance(source, Numbers) else source.row(index)

    def id_at(self, index: int) -> int:
        """Return the task id of the row at an index.

        Raises:
            Exhausted: The table has no row there.
            GeneratorError: The rows are not in this process.
        """
        if not 0 <= index < self.count:
            raise Exhausted(f"the table has {self.count} rows")
        source = self.source
        return source.number(index) if self._ids is None else int(self._ids[index])

    def index_of(self, task_id: int, field: str = "task_id") -> int:
        """Return where the row of a task is.

        Raises:
            InvalidInputError: The table has no task of that id; ``field`` names it.
            GeneratorError: The rows are not in this process.
        """
        number, source = validate_task_id(task_id, field=field), self.source
        if self._ids is None:
            found = source.index_of(number)
        else:
            if self._order is None:
                self._order = np.argsort(self._ids, kind="stable")
            place = int(np.searchsorted(self._ids, number, sorter=self._order))
            at = int(self._order[place]) if place < self.count else -1
            found = at if at >= 0 and self._ids[at] == number else None
        if found is None:
            raise InvalidInputError(field, "the id of a row of the table", task_id)
        return found

    @staticmethod
    def id_of(key: object) -> int:
        """Return the task id that a value of the key column stands for.

        An integer is the id. A text has the low 53 bits of the first 8 bytes of its SHA-256.

        Raises:
            InvalidInputError: It is neither, or the integer is not in [0, 2**53).
        """
        return label_hash(key) if isinstance(key, str) else validate_task_id(key, field="key")

    # --- tasks ------------------------------------------------------------------------------------

    def make(self, task_id: int, place: str) -> TaskSpec:  # noqa: ARG002 - each id is one row
        """Return the task of a row."""
        index, source = self.index_of(task_id), self.source
        row, number = source.row(index), source.number(index)
        where = f"rows[{index}]"
        params = self._params_of(row, where, number, whole=source.TRAVELS)
        return TaskSpec(self._label_of(row, where, number), params)

    def task_of(self, row: Row, field: str) -> tuple[int, TaskSpec]:
        """Return id and task of a row that the table may not have.

        Raises:
            InvalidInputError: The table has no key, or the row breaks a rule; ``field`` names it.
        """
        if self.key is None:
            raise InvalidInputError(field, "a Task or a task id, since the table has no key", row)
        params = self._params_of(row, field, None, whole=True)
        return self._id_in(row, field), TaskSpec(self._label_of(row, field, None), params)

    def labels(self) -> set[str]:
        """Return the labels of all rows; one pass over them."""
        count = self.count if self._names else 1
        return {self._label_at(index) for index in range(count)}

    def held_out(self, rule: HeldOut) -> int:
        """Return how many rows are held out; one pass over the rows for each rule."""
        if rule not in self._held_out:
            self._held_out[rule] = sum(self._is_held_out(rule, i) for i in range(self.count))
        return self._held_out[rule]

    def _is_held_out(self, rule: HeldOut, index: int) -> bool:
        label = "" if isinstance(rule, float) else self._label_at(index)
        return is_held_out(rule, self.id_at(index), label)

    def _label_at(self, index: int) -> str:
        source = self.source
        row = source.row(index) if self._reads_label else {}
        return self._label_of(row, f"rows[{index}]", source.number(index))

    def _params_of(
        self, row: Row, field: str, number: int | None, *, whole: bool
    ) -> dict[str, Any]:
        if self.params is None and whole:
            return dict(row)
        if self.params:
            return {name: _value(row, name, field) for name in self.params}
        return {"row": number}

    def _label_of(self, row: Row, field: str, number: int | None) -> str:
        values = row if "row" in row or number is None else {"row": number, **row}
        try:
            label = filled_in(self.label, values)
        except KeyError as error:
            rule = f"with a column {error}, which the label names"
            raise InvalidInputError(field, rule, sorted(values)) from None
        except (ValueError, TypeError) as error:
            raise InvalidInputError(field, f"as the label formats it ({error})", row) from None
        return validate_label(label, field=f"{field}.label")

    def _id_in(self, row: Row, field: str) -> int:
        assert self.key is not None  # noqa: S101 - the caller knows
        value = _value(row, self.key, field)
        try:
            return self.id_of(value)
        except InvalidInputError as error:
            rule = "a text, or an integer in [0, 2**53)"
            raise InvalidInputError(f"{field}.{self.key}", rule, error.value) from None

    # --- the pass over the rows -------------------------------------------------------------------

    @property
    def _names(self) -> set[str]:
        """The columns that the label names."""
        return {name for _, name, _ in template(self.label) if name is not None}

    @property
    def _reads_label(self) -> bool:
        return not self._names <= {"row"}

    def _columns(self, source: Rows) -> list[str] | None:
        """The columns that are needed; None: all."""
        if self.params is None and source.TRAVELS:
            return None
        named = {*(self.params or ()), *self._names, *([self.key] if self.key else [])}
        return sorted(named - {"row"}) if "row" in named else sorted(named)

    def _checked_ids(self, source: Rows) -> Ids | None:
        """Check every row; return the ids of the keys."""
        if isinstance(source, Numbers):
            for field, value in (("key", self.key), ("params", self.params)):
                if value:
                    raise InvalidInputError(field, "None where the rows are numbers", value)
        is_read = source.columns is None or source.columns
        ids = None if self.key is None else np.empty(self.count, np.int64)
        for index in range(self.count if is_read else 1):
            row, where = source.row(index) if is_read else {}, f"rows[{index}]"
            self._label_of(row, where, source.number(index))
            if ids is not None:
                ids[index] = self._id_in(row, where)
            if source.columns is None or self.params:
                params = self._params_of(row, where, None, whole=True)
                try:
                    encode_params(params)
                except InvalidInputError as error:
                    at = error.field.replace("params", where, 1)
                    raise InvalidInputError(at, error.rule, error.value) from None
        if ids is not None:
            self._check_unique(source, ids)
        return ids

    def _check_unique(self, source: Rows, ids: Ids) -> None:
        order = np.argsort(ids, kind="stable")
        same = np.flatnonzero(np.diff(ids[order]) == 0)
        if len(same):
            first, again = (int(order[same[0] + i]) for i in (0, 1))
            rule = f"another value than in rows[{first}]"
            value = source.row(again)[self.key or ""]
            raise InvalidInputError(f"rows[{again}].{self.key}", rule, value)

    # --- as Custom, the other generator that needs what is not stored -----------------------------

    @property
    def needs_data(self) -> bool:
        """Whether the rows are more than the numbers that the config has."""
        return self.rows is None or isinstance(self.rows, str)

    @property
    def is_bound(self) -> bool:
        """Whether the rows are here, or the config says where."""
        return self._source is not None or self.rows is not None

    @property
    def live(self) -> Table | None:
        """The table itself, if its rows are here."""
        return self if self._source is not None else None

    @property
    def path(self) -> str:
        """What an error calls it."""
        return "redis_curriculum.tasks:Table"

    def built(self) -> Table:
        """Return the table if its rows can be had here.

        Raises:
            GeneratorError: They cannot.
        """
        if self._source is None:
            if self.rows is None:
                raise GeneratorError(IN_MEMORY)
            if isinstance(self.rows, str) and not Path(self.rows).is_file():
                raise GeneratorError(f"the rows of a table are not here: {self.rows}")
        return self

    def bind(self, live: Table) -> Table:
        """Return a copy that uses the rows of another table.

        Raises:
            InvalidInputError: The other one makes other tasks of its rows.
        """
        own = self.model_dump(include={"label", "key", "params"})
        other = live.model_dump(include={"label", "key", "params"})
        if own != other:
            raise InvalidInputError("generator", f"a table with {own}", other)
        bound = self.model_copy()
        bound._source, bound._ids = live.source, live._ids  # noqa: SLF001 - its own class
        bound._found = live.fingerprint  # noqa: SLF001
        return bound

    def found_fingerprint(self) -> str | None:
        """Return the fingerprint of the rows that are here; what is stored, where none can tell.

        Raises:
            GeneratorError: The file cannot be read.
        """
        if self._found is None and isinstance(self.rows, str) and _is_computed(self.fingerprint):
            return hash_of(self.rows)
        return self._found or self.fingerprint


def _value(row: Mapping[str, Any], name: str, field: str) -> Any:
    try:
        return row[name]
    except KeyError:
        raise InvalidInputError(field, f"with a column {name!r}", sorted(map(str, row))) from None


def _is_computed(fingerprint: str | None) -> bool:
    return fingerprint is not None and fingerprint.startswith(COMPUTED)
