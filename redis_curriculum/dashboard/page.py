"""What one browser shows of one curriculum."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np
from bokeh.document import Document
from bokeh.models import ColumnDataSource, InlineStyleSheet
from bokeh.models.widgets.markups import Div

from redis_curriculum._client.looking import TaskRecord, record_of
from redis_curriculum.dashboard import tables
from redis_curriculum.dashboard.feed import Feed, Reading
from redis_curriculum.dashboard.figures import COLORS, MOST_LINES, Lines, Scatter, most_drawn, plain
from redis_curriculum.errors import CurriculumError, without_password
from redis_curriculum.reporting.view import rates

TEMPLATE: Final = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
_POINTS: Final = 600
_RATES: Final = {
    "completions": "episodes",
    "samples": "draws",
    "failures": "failures",
    "evictions": "evictions",
}
_STYLE: Final = """
:host { color: inherit; }
table { border-collapse: collapse; }
td, th { padding: 1px 10px 1px 0; text-align: left; vertical-align: top; }
.bad { color: var(--bad); font-weight: 600; } a { color: var(--link); }
"""


def text(name: str, **more: Any) -> Div:
    """A piece of HTML in the page's colours; what is put into it must be escaped."""
    sheet = InlineStyleSheet(css=_STYLE)
    return Div(name=name, sizing_mode="stretch_width", stylesheets=[sheet], **more)


def facts_table(rows: Iterable[tuple[str, object]]) -> str:
    """Names and values as HTML, escaped."""
    lines = (f"<tr><th>{escape(name)}</th><td>{escape(str(x))}</td></tr>" for name, x in rows)
    return f"<table>{''.join(lines)}</table>"


class Page:
    """One curriculum, live.

    Args:
        doc: The document of one browser.
        feed: Whose readings are shown.
        name: The curriculum's name.
        where: The server's URL, without password.
        pool: Threads for what this page asks.
    """

    def __init__(
        self, doc: Document, feed: Feed, name: str, where: str, pool: ThreadPoolExecutor
    ) -> None:
        self.doc, self.feed, self.name, self.where = doc, feed, name, where
        self._pool = pool
        self.head = text("head")
        self.scatter = Scatter()
        self.lines = [
            Lines("probability of the next draw", "probability", legend=True),
            Lines("learning progress", "learning_progress", legend=True),
            Lines("success rate", "success_rate", legend=True),
        ]
        self.labels, self.events = tables.labels(), tables.events()
        self.tables = [self.labels, tables.workers(), self.events, tables.epochs()]
        self.record = text("record", text="Click on a task of the pool, or on one of the events.")
        self._trail = Trail()
        self._reading: Reading | None = None
        self._silent_since: datetime | None = None
        self._task_id: int | None = None
        self.labels.source.selected.on_change("indices", self._choose_labels)
        self.scatter.source.selected.on_change("indices", self._choose_dot)
        self.events.source.selected.on_change("indices", self._choose_event)

    def open(self, extra: Mapping[str, Any], headings: Mapping[str, str]) -> None:
        """Put everything into the document, and begin to show."""
        parts: dict[str, Any] = {
            "head": self.head,
            "probability": self.lines[0].figure,
            "success": self.lines[2].figure,
            "progress": self.lines[1].figure,
            "labels": self.labels.widget,
            "pool": self.scatter.figure,
            "record": self.record,
            "trail": self._trail.figure,
            "workers": self.tables[1].widget,
            "events": self.events.widget,
            "epochs": self.tables[3].widget,
            **extra,
        }
        for name, part in parts.items():
            part.name = name
            self.doc.add_root(part)
        names = {
            "labels": "labels (select some to draw their lines)",
            "record": "one task",
            "workers": "workers",
            "events": "events",
            "epochs": "epochs",
        }
        self.doc.title = f"{self.name}: curriculum"
        self.doc.template = TEMPLATE  # type: ignore[assignment]  # Bokeh takes a text too
        self.doc.template_variables.update(headings={**names, **headings}, whole=["head"])
        self.doc.on_session_destroyed(lambda _: self.feed.leave(self._tell))
        if self.feed.latest is not None:
            self.show(self.feed.latest)
        self.feed.listen(self._tell)

    def _tell(self, found: Reading | CurriculumError) -> None:
        """Take a reading, in the feed's thread."""
        self.doc.add_next_tick_callback(partial(self.show, found))

    def show(self, found: Reading | CurriculumError) -> None:
        """Show a reading, or since when there is none."""
        if isinstance(found, CurriculumError):
            self._silent_since = self._silent_since or datetime.now().astimezone()
            since = self._silent_since.strftime("%H:%M:%S")
            why = escape(without_password(str(found)))
            line = f"<div class='bad'>no reading since {since}: {why}</div>"
            self.head.text = f"{self._title()}{line}"
            return
        self._silent_since, self._reading = None, found
        self.head.text = f"{self._title()}{_state(found)}"
        for table in self.tables:
            table.show(found)
        self._draw(found)
        if self._task_id is not None:
            self._ask(self._task_id)

    def _title(self) -> str:
        others = "<a href='?list=1'>all curricula</a>"
        return f"<b>{escape(self.name)}</b> on {escape(self.where)} &middot; {others}<br>"

    def _draw(self, reading: Reading) -> None:
        names = [str(label) for label in self.labels.chosen][:MOST_LINES] or most_drawn(reading)
        colors = dict(zip(names, COLORS, strict=False))
        for lines in self.lines:
            lines.show(reading, colors)
        self.scatter.show(reading, colors)

    def _choose_labels(self, attr: str, old: object, new: object) -> None:  # noqa: ARG002
        if self._reading is not None:
            self._draw(self._reading)

    def _choose_dot(self, attr: str, old: object, new: object) -> None:  # noqa: ARG002
        if self.scatter.chosen is not None:
            self._choose(self.scatter.chosen)

    def _choose_event(self, attr: str, old: object, new: object) -> None:  # noqa: ARG002
        chosen = set(self.events.chosen)
        found = self._reading.view.events if self._reading else []
        for event in found:
            if event.event_id in chosen and isinstance(event.fields.get("task_id"), int):
                self._choose(event.fields["task_id"])
                self.scatter.choose(self._task_id)

    def _choose(self, task_id: int) -> None:
        if task_id != self._task_id:
            self._task_id = task_id
            self._trail.clear(task_id)
            self._ask(task_id)

    def _ask(self, task_id: int) -> None:
        """Read a record in a thread; the page goes on."""

        def read() -> None:
            try:
                found: TaskRecord | CurriculumError | None = record_of(self.feed.details, task_id)
            except CurriculumError as error:
                found = error
            self.doc.add_next_tick_callback(partial(self._show_record, task_id, found))

        self._pool.submit(read)

    def _show_record(self, task_id: int, found: TaskRecord | CurriculumError | None) -> None:
        if task_id != self._task_id:
            return
        if isinstance(found, CurriculumError):
            self.record.text = f"<span class='bad'>{escape(without_password(str(found)))}</span>"
            return
        reading = self._reading
        seen = (
            [e for e in reading.view.events if e.fields.get("task_id") == task_id]
            if reading
            else []
        )
        happened = [
            (
                tables.clock(event.ms),
                f"{event.kind} {tables.facts(event.fields, without=('task_id',))}",
            )
            for event in seen
        ]
        if found is None:
            gone = f"task {task_id} is not in the pool"
            self.record.text = f"{gone}<br>{facts_table(happened)}"
            return
        fields = found.fields()
        fields["params"] = json.dumps(found.params)
        fields["created_ms"] = f"{found.created_ms} ({tables.clock(found.created_ms)})"
        shown = [(name, "-" if value is None else value) for name, value in fields.items()]
        self.record.text = facts_table([*shown, *happened])
        if reading is not None:
            self._trail.show(reading, found)


def _state(reading: Reading) -> str:
    """Sizes, rates, and what is wrong, as HTML."""
    view = reading.view
    live = sum(row.live for row in view.workers)
    rate = rates(reading.before, view)
    shown = [f"{rate[what]:,.1f} {title}/s" for what, title in _RATES.items() if rate]
    sizes = (
        f"{len(view.census.pool):,} of {view.capacity:,} tasks, {len(view.census.labels):,} labels,"
        f" {live} workers, epoch {view.census.epoch}, {tables.clock(view.now_ms)}"
    )
    wrong = [str(alert) for alert in view.report.alerts]
    wrong += [f"generator: {view.trouble}"] if view.trouble else []
    more = [f"and {len(wrong) - 5} more alerts"] if len(wrong) > 5 else []  # noqa: PLR2004 - lines
    lines = [f"<div class='bad'>{escape(line)}</div>" for line in wrong[:5] + more]
    return f"{sizes}<br>{', '.join(shown) or 'rates come with the next reading'}{''.join(lines)}"


class Trail:
    """How one task has done since it was chosen, and its label over the whole history."""

    def __init__(self) -> None:
        self.figure = plain("one task", height=260, time=True)
        self.task, self.label = (ColumnDataSource({"x": [], "y": []}) for _ in range(2))
        made = {"line_width": 2, "color": COLORS[0]}
        self.figure.line("x", "y", source=self.label, legend_label="success of its label", **made)
        made["color"] = COLORS[3]
        self.figure.line("x", "y", source=self.task, legend_label="success of the task", **made)
        self.figure.scatter("x", "y", source=self.task, color=COLORS[3], size=5)
        self.figure.y_range.start, self.figure.y_range.end = 0, 1.05
        legend = self.figure.legend[0]
        legend.background_fill_color = legend.border_line_color = None
        legend.label_text_color, legend.location = "#888888", "top_left"
        self._points: deque[tuple[int, float]] = deque(maxlen=_POINTS)

    def clear(self, task_id: int) -> None:
        """Begin with another task."""
        self.figure.title.text = f"task {task_id} since it was chosen"
        self._points.clear()
        self.task.data = self.label.data = {"x": [], "y": []}

    def show(self, reading: Reading, record: TaskRecord) -> None:
        """Add what is known now."""
        success = record.statistics.get("success_rate_ema")
        value = float("nan") if success is None else float(success)
        if not self._points or self._points[-1][0] != reading.view.now_ms:
            self._points.append((reading.view.now_ms, value))
            x, y = zip(*self._points, strict=True)
            self.task.data = {"x": list(x), "y": list(y)}
        past = reading.history
        if record.label in past.labels:
            column = past.success_rate[:, past.labels.index(record.label)]
            self.label.data = {"x": past.time_ms.astype(np.float64), "y": column}


__all__ = ["TEMPLATE", "Page", "facts_table", "text"]
