"""The tables of a page, and their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from bokeh.models import ColumnDataSource, InlineStyleSheet
from bokeh.models.widgets.tables import DataTable, NumberFormatter, StringFormatter, TableColumn

from redis_curriculum.dashboard.feed import Reading
from redis_curriculum.dashboard.figures import now_of
from redis_curriculum.reporting.view import label_rates

Rows = dict[str, Any]

_TITLES: Final = {"probability": "prob."}
_DARK: Final = """
.slick-header-column, .slick-header, .slick-row, .bk-data-table {
  background: transparent !important; color: inherit;
}
.slick-cell { border-color: #8883; color: inherit; }
.slick-row.odd { background: #8881 !important; }
.slick-cell.selected { background: #4a90d955 !important; }
:host { color: inherit; }
"""


class Table:
    """A table whose rows are replaced with each reading; what is selected stays so, by its key."""

    def __init__(
        self,
        columns: Mapping[str, str],
        rows_of: Callable[[Reading], Rows],
        *,
        key: str,
        height: int = 300,
        widths: Mapping[str, int] | None = None,
    ) -> None:
        self._rows_of, self._key = rows_of, key
        self.source = ColumnDataSource({name: [] for name in columns})
        wide = widths or {}
        self.widget = DataTable(
            source=self.source,
            columns=[
                TableColumn(
                    field=name,
                    title=_TITLES.get(name, name),
                    formatter=_form(form),
                    width=wide.get(name, 70),
                )
                for name, form in columns.items()
            ],
            height=height,
            sizing_mode="stretch_width",
            index_position=None,
            stylesheets=[InlineStyleSheet(css=_DARK)],
        )

    def show(self, reading: Reading) -> None:
        """Show a reading."""
        rows = self._rows_of(reading)
        keys = list(rows[self._key])
        kept = set(self.chosen)
        self.source.data = rows  # a patch would not be drawn
        indices = [i for i, key in enumerate(keys) if key in kept]
        if list(self.source.selected.indices) != indices:
            self.source.selected.indices = indices

    @property
    def chosen(self) -> list[Any]:
        """The keys of the selected rows."""
        keys = list(self.source.data[self._key])
        return [keys[at] for at in self.source.selected.indices if at < len(keys)]


def _form(form: str) -> StringFormatter:
    """A text (escaped by the formatter), or a number in that form."""
    if not form:
        return StringFormatter(nan_format="-", null_format="-")
    return NumberFormatter(format=form, text_align="right", nan_format="-", null_format="-")


def labels() -> Table:
    """A row for each label with tasks, the likeliest first."""
    columns = {
        "label": "",
        "probability": "0.00%",
        "progress": "0.0000",
        "success": "0.00",
        "draws/s": "0.0",
        "tasks": "0,0",
        "results": "0,0",
        "failures": "0,0",
    }
    return Table(
        columns, _labels, key="label", height=360, widths={"label": 130, "probability": 80}
    )


def _labels(reading: Reading) -> Rows:
    census = reading.view.census
    chances = now_of(reading, "probability")
    order = np.lexsort((np.arange(len(chances)), -chances))
    at: list[int] = order.tolist()
    names = [census.labels[i] for i in at]
    draws = label_rates(reading.before, reading.view, "samples")
    counts = census.counts
    return {
        "label": names,
        "probability": chances[order],
        "progress": now_of(reading, "learning_progress")[order],
        "success": now_of(reading, "success_rate")[order],
        "draws/s": np.array([draws.get(name, 0.0) for name in names]),
        "tasks": census.by_label()[order],
        "results": np.array([counts["completions"].get(name, 0) for name in names]),
        "failures": np.array([counts["failures"].get(name, 0) for name in names]),
    }


def workers() -> Table:
    """A row for each worker: what is left of its lease, and how many writes it has made."""
    columns = {"worker": "", "host": "", "pid": "", "lease, s": "0", "writes": "0,0"}
    return Table(columns, _workers, key="worker", height=160, widths={"worker": 170, "host": 110})


def _workers(reading: Reading) -> Rows:
    rows = reading.view.workers
    return {
        "worker": [row.worker_id for row in rows],
        "host": [row.host for row in rows],
        "pid": [str(row.pid) for row in rows],
        "lease, s": np.array([row.lease_left_ms / 1000 for row in rows]),
        "writes": np.array([row.sequence for row in rows]),
    }


def events() -> Table:
    """The latest events: what came, went and was changed; the latest first."""
    columns = {"id": "", "time": "", "event": "", "task": "", "what": ""}
    widths = {"time": 70, "event": 75, "task": 145, "what": 230}
    made = Table(columns, _events, key="id", height=300, widths=widths)
    made.widget.columns = made.widget.columns[1:]
    return made


def _events(reading: Reading) -> Rows:
    rows = reading.view.events[::-1]
    return {
        "id": [row.event_id for row in rows],
        "time": [clock(row.ms) for row in rows],
        "event": [row.kind for row in rows],
        "task": [str(row.fields.get("task_id") or "") for row in rows],
        "what": [facts(row.fields, without=("task_id",)) for row in rows],
    }


def epochs() -> Table:
    """A row for each closed epoch, the latest first."""
    columns = {
        "epoch": "0",
        "step": "",
        "ended": "",
        "draws": "0,0",
        "results": "0,0",
        "failures": "0,0",
        "success": "0.00",
        "alerts": "",
    }
    widths = {"epoch": 50, "ended": 75, "alerts": 150}
    return Table(columns, _epochs, key="epoch", height=240, widths=widths)


def _epochs(reading: Reading) -> Rows:
    rows = reading.epochs[::-1]
    return {
        "epoch": [row.epoch for row in rows],
        "step": ["" if row.step is None else f"{row.step:,}" for row in rows],
        "ended": [clock(row.ended_ms or 0) for row in rows],
        "draws": [row.totals["samples"] for row in rows],
        "results": [row.totals["completions"] for row in rows],
        "failures": [row.totals["failures"] for row in rows],
        "success": [_mean(list(row.success_rate.values())) for row in rows],
        "alerts": ["; ".join(map(str, row.alerts)) for row in rows],
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def clock(ms: int) -> str:
    """A time of the server's clock, local, to the second."""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone().strftime("%H:%M:%S")


def facts(fields: Mapping[str, Any], *, without: Sequence[str] = ()) -> str:
    """What is known of an event, in one line."""
    known = {name: value for name, value in fields.items() if value not in (None, "")}
    return ", ".join(f"{name} {value}" for name, value in known.items() if name not in without)


__all__ = ["Table", "clock", "epochs", "events", "labels", "workers"]
