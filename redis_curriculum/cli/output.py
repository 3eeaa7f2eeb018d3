"""How results are printed: tables for people, JSON for programs, one line for what went wrong."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from redis_curriculum._values.texts import shown_on

_WIDE: Final = 10_000
"""Columns where nobody watches: a row stays a line, for grep and awk."""

_LEAST_WIDTH: Final = 12
"""Of a column of texts, which is folded where it is wider than the terminal has room for."""


def printable(text: object) -> str:
    """A text on one line in which nothing can steer a terminal."""
    line = "; ".join(part.strip() for part in str(text).splitlines() if part.strip())
    line = line.replace(":; ", ": ")  # what a heading announces
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)


def say(text: str) -> None:
    """Print one line to standard error."""
    sys.stderr.write(f"redis-curriculum: {printable(text)}\n")
    sys.stderr.flush()


def print_json(data: object) -> None:
    """Print one JSON document on one line; floats read back to the same bits."""
    sys.stdout.write(f"{json.dumps(data, default=_plain, allow_nan=False)}\n")


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings; a column whose heading begins with ``>`` is right-aligned.

    In a terminal that is too narrow, the last columns are left out, which a line says.
    """
    console = console_of_stdout()
    cells = [[_cell(cell) for cell in row] for row in rows]
    count = len(columns)
    table = _table(console, columns, cells)
    while count > 1 and _least_width(console, table) > console.width:
        count -= 1
        table = _table(console, columns[:count], cells)
    _print(console, table)
    if count < len(columns):
        left_out = ", ".join(heading.removeprefix(">") for heading in columns[count:])
        say(f"no room for {left_out}: --json has all, and so has a wider terminal")


def _table(console: Console, columns: Sequence[str], cells: Sequence[Sequence[Text]]) -> Table:
    table = Table(box=SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for i, heading in enumerate(columns):
        right = heading.startswith(">")
        widest = max((row[i].cell_len for row in cells), default=0)
        table.add_column(
            heading.removeprefix(">"),
            justify="right" if right else "left",
            no_wrap=right or not console.is_terminal,
            overflow="fold",
            min_width=min(widest, _LEAST_WIDTH),
        )
    for row in cells:
        table.add_row(*row[: len(columns)])
    return table


def _least_width(console: Console, table: Table) -> int:
    return table.__rich_measure__(console, console.options.update(width=_WIDE)).minimum


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one a line."""
    console = console_of_stdout()
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(Text(name), _cell(value))
    _print(console, table)


def _cell(value: object) -> Text:
    """A cell as wide as it will be: with an escape for what standard output cannot show."""
    return Text(shown_on(sys.stdout, printable(value)))


def _print(console: Console, table: Table) -> None:
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        sys.stdout.write(f"{line.rstrip()}\n")


def print_line(text: object) -> None:
    """Print one line; what standard output cannot show is escaped."""
    sys.stdout.write(f"{shown_on(sys.stdout, printable(text))}\n")


def console_of_stdout() -> Console:
    """A console that folds nothing where standard output is a pipe or a file."""
    wide = {} if sys.stdout.isatty() else {"width": _WIDE}
    return Console(file=sys.stdout, highlight=False, **wide)  # type: ignore[arg-type]


@contextmanager
def progress_bar(what: str) -> Iterator[Any]:
    """A bar on standard error while it is a terminal; yields the callback (done, total)."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


def number(value: float | None, digits: int = 4) -> str:
    """A float for a table; ``-`` for never."""
    return "-" if value is None else f"{value:.{digits}f}"


def percent(share: float) -> str:
    """A probability for a table."""
    return f"{100 * share:.2f} %"


def moment(ms: int) -> str:
    """A time of the server's clock, as local time with its distance from UTC."""
    try:
        local = datetime.fromtimestamp(ms / 1000, UTC).astimezone()
    except (OverflowError, OSError, ValueError):  # no year that a calendar has
        return f"{ms} ms"
    return local.isoformat(sep=" ", timespec="seconds")


def duration(ms: int) -> str:
    """A time span, in its largest unit."""
    seconds = abs(ms) / 1000
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
