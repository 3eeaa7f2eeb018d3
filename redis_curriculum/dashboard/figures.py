"""The figures of a page: lines by label over time, and the pool as a scatter."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, TapTool
from bokeh.plotting import figure
from numpy.typing import NDArray

from redis_curriculum.dashboard.feed import Reading

COLORS: Final = (
    *("#0072b2", "#e69f00", "#009e73", "#d55e00"),
    *("#56b4e9", "#cc79a7", "#b8a800", "#9a9a9a"),
)
"""Okabe and Ito's, which colour-blind readers can tell apart; no black, for dark pages."""
MOST_LINES: Final = len(COLORS)
"""So many labels have a line, where nobody has chosen others."""
OTHERS: Final = "#8886"
_GREY: Final = "#888888"
_LARGEST: Final = 26.0
_SMALLEST: Final = 3.0

Floats = NDArray[np.float64]


def plain(title: str, *, height: int, time: bool = False, **more: Any) -> Any:
    """A figure that can be read on a light page and on a dark one."""
    made: Any = figure(
        title=title,
        height=height,
        sizing_mode="stretch_width",
        x_axis_type="datetime" if time else "linear",
        tools="pan,wheel_zoom,box_zoom,reset",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        **more,
    )
    made.toolbar.autohide = True
    made.toolbar.logo = None
    made.title.text_color = _GREY
    for axis in made.axis:
        axis.axis_label_text_color = axis.major_label_text_color = _GREY
        axis.axis_line_color = axis.major_tick_line_color = _GREY
        axis.minor_tick_line_color = None
    made.grid.grid_line_color = _GREY
    made.grid.grid_line_alpha = 0.2
    return made


class Lines:
    """One statistic of some labels over time: as the history has it, then as it is now."""

    def __init__(self, title: str, name: str, *, legend: bool = False) -> None:
        self.title, self._name = title, name
        self.figure = plain(title, height=260 if legend else 220, time=True)
        empty: Any = {"xs": [], "ys": [], "label": [], "color": []}
        self.source = ColumnDataSource(empty)
        lines = self.figure.multi_line(
            "xs", "ys", color="color", line_width=2, source=self.source, legend_field="label"
        )
        lines.nonselection_glyph = None
        self.figure.add_tools(HoverTool(tooltips=[("label", "@label")], renderers=[lines]))
        self.figure.y_range.start = 0
        self._dress(self.figure.legend[0], shown=legend)

    def _dress(self, legend: Any, *, shown: bool) -> None:
        legend.visible = shown
        legend.background_fill_color = legend.border_line_color = None
        legend.label_text_color = _GREY
        legend.label_text_font_size = "11px"
        legend.orientation, legend.ncols = "horizontal", 4
        legend.spacing = legend.padding = 2
        self.figure.add_layout(legend, "above")

    def show(self, reading: Reading, chosen: dict[str, str]) -> None:
        """Draw the chosen labels (label to colour)."""
        past, census = reading.history, reading.view.census
        times = np.append(past.time_ms, reading.view.now_ms).astype(np.float64)
        now = dict(zip(census.labels, now_of(reading, self._name).tolist(), strict=True))
        column = {label: i for i, label in enumerate(past.labels)}
        # Of a large pool nothing but the draws is kept.
        name = "probability_or_share" if self._name == "probability" else self._name
        table: Floats = getattr(past, name)
        nothing = np.full(len(past.time_ms), np.nan)
        earlier = [table[:, column[name]] if name in column else nothing for name in chosen]
        self.source.data = {
            "xs": [times] * len(chosen),
            "ys": [
                np.append(values, now.get(label, np.nan))
                for label, values in zip(chosen, earlier, strict=True)
            ],
            "label": list(chosen),
            "color": list(chosen.values()),
        }


def now_of(reading: Reading, name: str) -> Floats:
    """A statistic of each label with tasks, as the latest reading has it."""
    census = reading.view.census
    if name == "probability":
        return census.by_label(census.probabilities)
    return census.of_labels({"success_rate": "success_rate_ema"}.get(name, name))


def most_drawn(reading: Reading) -> list[str]:
    """The labels that have been drawn most lately: since the middle of the history, or ever."""
    past, counts = reading.history, reading.view.census.counts["samples"]
    earlier = {}
    if len(past):
        middle = past.samples[len(past) // 2]
        earlier = dict(zip(past.labels, np.nan_to_num(middle).tolist(), strict=True))
    drawn = {
        label: counts.get(label, 0) - earlier.get(label, 0) for label in reading.view.census.labels
    }
    return sorted(sorted(drawn, key=lambda label: (-drawn[label], label))[:MOST_LINES])


class Scatter:
    """The pool: each task's success against its progress, as large as it is likely."""

    def __init__(self) -> None:
        self.figure = plain(
            "the pool: each task, as large as it is likely to be drawn",
            height=420,
            output_backend="webgl",
        )
        self.figure.xaxis.axis_label = "learning progress"
        self.figure.yaxis.axis_label = "success rate"
        columns = ("task", "label", "x", "y", "size", "color", "probability", "results")
        self.source = ColumnDataSource({name: [] for name in columns})
        dots = self.figure.scatter(
            "x", "y", size="size", color="color", alpha=0.6, line_color=None, source=self.source
        )
        dots.selection_glyph = dots.glyph.clone(line_color="#d00000", line_width=3, fill_alpha=1.0)
        dots.nonselection_glyph = dots.glyph
        tips = [
            ("task", "@task"),
            ("label", "@label"),
            ("probability", "@probability{0.0000%}"),
            ("success", "@y{0.00}"),
            ("progress", "@x{0.0000}"),
            ("results", "@results"),
        ]
        self.figure.add_tools(HoverTool(tooltips=tips), TapTool())
        self._task_ids: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def show(self, reading: Reading, chosen: dict[str, str]) -> None:
        """Draw the tasks that have results; the others have no place."""
        census = reading.view.census
        p = census.probabilities
        share = np.sqrt(p / p.max()) if len(p) and p.max() > 0 else np.zeros(len(p))
        colors = np.array([chosen.get(label, OTHERS) for label in census.labels], dtype=object)
        labels = np.array(census.labels, dtype=object)
        moving: dict[str, Any] = {
            "x": census.of_tasks("learning_progress"),
            "y": census.of_tasks("success_rate_ema"),
            "size": _SMALLEST + (_LARGEST - _SMALLEST) * share,
            "probability": p,
            "results": census.pool.completion_count,
            "color": colors[census.pool.label_index].tolist(),
        }
        if np.array_equal(self._task_ids, census.pool.task_ids):
            self.source.patch({name: [(slice(None), x)] for name, x in moving.items()})
            return
        # Ids are texts: a browser's numbers hold 53 bits.
        kept = self.chosen
        self._task_ids = census.pool.task_ids
        of_task = labels[census.pool.label_index].tolist()
        self.source.data = {
            "task": list(map(str, self._task_ids.tolist())),
            "label": of_task,
            **moving,
        }
        self.choose(kept)

    @property
    def chosen(self) -> int | None:
        """The id of the task that is selected."""
        at = next(iter(self.source.selected.indices), None)
        return None if at is None or at >= len(self._task_ids) else int(self._task_ids[at])

    def choose(self, task_id: int | None) -> None:
        """Select a task, if it is in the pool."""
        same = self._task_ids == task_id if task_id is not None else np.zeros(0, dtype=bool)
        indices: list[int] = np.flatnonzero(same).tolist()
        if list(self.source.selected.indices) != indices:
            self.source.selected.indices = indices


__all__ = ["COLORS", "MOST_LINES", "Lines", "Scatter", "most_drawn", "now_of", "plain"]
