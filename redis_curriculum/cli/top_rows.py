"""The rows of ``top``: what a view shows, sorted and filtered."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from redis_curriculum.cli.output import duration, printable
from redis_curriculum.reporting.view import View, label_rates, rates

MOST_POINTS: Final = 32
"""So many readings are in a small history."""
BARS: Final = "▁▂▃▄▅▆▇█"

Key = str | int


@dataclass(frozen=True, slots=True)
class Column:
    """One column; it sorts by its values (without a title: not), and shows them as text."""

    title: str
    width: int
    """In columns of the terminal; 0: whatever is left."""
    show: Callable[[Any], str] = str
    right: bool = True
    descends: bool = True
    """The largest first, where it is sorted by this column."""
    least: int = 0
    """Shown where the table is at least so wide."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in their order, those that the filter leaves out left out."""

    keys: Sequence[Key]
    """What each row is about."""
    row: Callable[[int], Sequence[Any]]
    """The values of one row."""
    total: int
    """How many rows there are, filtered or not."""


class Memory:
    """Earlier readings, as far as small histories need them."""

    def __init__(self) -> None:
        self.before: View | None = None
        self.now: View | None = None
        self.rates: dict[str, deque[float]] = {}
        self.labels: dict[str, tuple[deque[float], deque[float]]] = {}
        """By label: probabilities and success rates."""
        self._moved: dict[str, tuple[int, int]] = {}
        """By worker: its sequence number, and when that was first seen, ms."""

    def add(self, view: View) -> None:
        """Take in a new reading."""
        self.before, self.now = self.now, view
        for what, rate in rates(self.before, view).items():
            self.rates.setdefault(what, _points()).append(rate)
        kept = {}
        for label, chance, success in _of_labels(view, "probability", "success_rate_ema"):
            histories = self.labels.get(label) or (_points(), _points())
            histories[0].append(chance)
            histories[1].append(success)
            kept[label] = histories
        self.labels = kept
        moved = {}
        for row in view.workers:
            sequence, seen_ms = self._moved.get(row.worker_id, (None, 0))
            moved[row.worker_id] = (
                row.sequence,
                seen_ms if sequence == row.sequence else view.now_ms,
            )
        self._moved = moved

    def lag_ms(self, worker_id: str) -> int:
        """How long ago a worker's last write was seen, at least."""
        assert self.now is not None  # noqa: S101 - called for a row of it
        return self.now.now_ms - self._moved[worker_id][1]


def _points() -> deque[float]:
    return deque(maxlen=MOST_POINTS)


def _of_labels(view: View, *names: str) -> list[tuple[Any, ...]]:
    """Each label with tasks, and statistics of it."""
    census = view.census
    columns = [
        census.by_label(census.probabilities) if name == "probability" else census.of_labels(name)
        for name in names
    ]
    return list(zip(census.labels, *(column.tolist() for column in columns), strict=True))


def spark(values: Sequence[float], width: int) -> str:
    """A history as bars from 0 to its largest value; a gap where nothing is known."""
    latest = list(values)[-width:]
    top = max((value for value in latest if not math.isnan(value)), default=0.0) or 1.0
    return "".join(_bar(value / top) for value in latest).rjust(width)


def _bar(share: float) -> str:
    return " " if math.isnan(share) else BARS[min(7, max(0, int(share * 8)))]


def _number(digits: int) -> Callable[[float], str]:
    return lambda value: "-" if math.isnan(value) else f"{value:,.{digits}f}"


def rate(value: float | None) -> str:
    """A number of events a second, in about four characters."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _text(title: str, width: int = 0, **more: Any) -> Column:
    return Column(title, width, printable, right=False, descends=False, **more)


def _history() -> Column:
    return Column("", 8, lambda values: spark(values, 8), right=False)


_LABELS: Final = (
    _text("label"),
    Column("prob.", 7, _percent),
    _history(),
    Column("progress", 9, _number(4)),
    Column("success", 8, _number(2)),
    _history(),
    Column("draws/s", 8, rate),
    Column("tasks", 7, _number(0), least=100),
    Column("results", 11, _number(0), least=100),
    Column("failures", 9, _number(0), least=100),
)
_TASKS: Final = (
    Column("task", 16, descends=False),
    _text("label"),
    Column("prob.", 8, _percent),
    Column("progress", 9, _number(4)),
    Column("success", 8, _number(2)),
    Column("draws", 7, _number(0)),
    Column("results", 8, _number(0), least=90),
    Column("age", 7, duration, least=90),
)
_WORKERS: Final = (
    _text("worker"),
    _text("host", 14, least=60),
    _text("pid", 8, least=80),
    Column("lease", 8, lambda ms: duration(ms) if ms >= 0 else "expired", descends=False),
    Column("lag", 6, duration),
    Column("writes", 9, _number(0)),
)
_EVENTS: Final = (
    Column("ago", 6, duration, descends=False),
    _text("event", 11),
    _text("what"),
)
COLUMNS: Final = {"labels": _LABELS, "tasks": _TASKS, "workers": _WORKERS, "events": _EVENTS}


def table(memory: Memory, what: str, sort: str, *, reverse: bool, text: str) -> Table:
    """Return one of the four tables.

    ``text`` filters: a part of a label (``=`` before it: the whole label), of an id, of an event.
    """
    assert memory.now is not None  # noqa: S101 - there is a first reading
    descends = next(c.descends for c in COLUMNS[what] if c.title == sort) != reverse
    if what == "tasks":
        return _tasks(memory.now, sort, descends=descends, text=text)
    keys, rows = {"labels": _labels, "workers": _workers, "events": _events}[what](memory)
    kept = [i for i, row in enumerate(rows) if _matches(text, row)]
    at = next(i for i, column in enumerate(COLUMNS[what]) if column.title == sort)
    kept.sort(key=lambda i: _order(rows[i][at], descends=descends), reverse=descends)
    return Table([keys[i] for i in kept], lambda at: rows[kept[at]], len(rows))


def _matches(text: str, row: Sequence[Any]) -> bool:
    words = [str(cell).casefold() for cell in row if isinstance(cell, str)]
    if text.startswith("="):
        return text[1:].casefold() in words
    return any(text.casefold() in word for word in words)


def _order(value: Any, *, descends: bool) -> Any:
    """What is not known comes last, either way."""
    if isinstance(value, float) and math.isnan(value):
        return -math.inf if descends else math.inf
    return value


def _labels(memory: Memory) -> tuple[list[Key], list[list[Any]]]:
    assert memory.now is not None  # noqa: S101 - there is a first reading
    view = memory.now
    draws = label_rates(memory.before, view, "samples")
    counts = view.census.counts
    tasks = view.census.by_label().tolist()
    names = ("probability", "learning_progress", "success_rate_ema")
    rows: list[list[Any]] = []
    for (label, chance, progress, success), size in zip(
        _of_labels(view, *names), tasks, strict=True
    ):
        chances, successes = memory.labels[label]
        drawn = draws.get(label, 0.0 if draws else math.nan)
        row = [label, chance, chances, progress, success, successes, drawn, size]
        rows.append([*row, *(counts[what].get(label, 0) for what in ("completions", "failures"))])
    return [row[0] for row in rows], rows


def _tasks(view: View, sort: str, *, descends: bool, text: str) -> Table:
    """The same by arrays: there may be many thousands."""
    census = view.census
    columns: dict[str, NDArray[Any]] = {
        "task": census.pool.task_ids,
        "label": np.array(census.labels, dtype=object)[census.pool.label_index],
        "prob.": census.probabilities,
        "progress": census.of_tasks("learning_progress"),
        "success": census.of_tasks("success_rate_ema"),
        "draws": census.sample_count,
        "results": census.pool.completion_count,
        "age": census.age_ms,
    }
    kept = np.arange(len(census.pool))
    if text:
        fits = np.array([_matches(text, [label]) for label in census.labels], dtype=bool)
        ids = np.char.find(census.pool.task_ids.astype(str), text) >= 0
        kept = kept[fits[census.pool.label_index] | ids]
    by = columns[sort][kept]
    if sort == "label":  # by its place among the sorted labels
        by = census.pool.label_index[kept]
    by = np.nan_to_num(by.astype(np.float64), nan=-np.inf if descends else np.inf)
    order = kept[np.argsort(-by if descends else by, kind="stable")]
    return Table(
        census.pool.task_ids[order].tolist(),
        lambda at: [column[order[at]] for column in columns.values()],
        len(census.pool),
    )


def _workers(memory: Memory) -> tuple[list[Key], list[list[Any]]]:
    assert memory.now is not None  # noqa: S101 - there is a first reading
    rows: list[list[Any]] = [
        [
            *(row.worker_id, row.host, str(row.pid), row.lease_left_ms),
            *(memory.lag_ms(row.worker_id), row.sequence),
        ]
        for row in memory.now.workers
    ]
    return [row[0] for row in rows], rows


def _events(memory: Memory) -> tuple[list[Key], list[list[Any]]]:
    assert memory.now is not None  # noqa: S101 - there is a first reading
    now_ms, found = memory.now.now_ms, memory.now.events
    rows = [[now_ms - event.ms, event.kind, _facts(event.fields)] for event in found]
    return [event.event_id for event in found], rows


def _facts(fields: Mapping[str, Any]) -> str:
    """What is known of an event, the shortest facts first."""
    known = {name: value for name, value in fields.items() if value not in (None, "")}
    texts = [f"{name} {_short(value)}" for name, value in known.items()]
    return ", ".join(texts)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
