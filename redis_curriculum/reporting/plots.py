"""Pictures by Matplotlib: labels over time, the pool now, selectivity down the pipeline.

Needs the extra ``plot``.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from redis_curriculum._values.libraries import imported
from redis_curriculum.reporting.portrait import (
    COLOURS,
    PIPELINE,
    REST,
    Curves,
    Floats,
    Portrait,
    short,
)

LINES: Final = 8
"""So many labels have a line of their own in a picture."""
ROWS: Final = 24
"""... or a row, or a bar."""
_STYLE: Final = {
    "text.parse_math": False,  # a label may hold dollars
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "axes.edgecolor": "#888888",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "axes.labelcolor": "#555555",
    "legend.frameon": False,
    "svg.hashsalt": "redis-curriculum",
}


def picture(found: Portrait) -> Any:
    """Return all pictures of a curriculum on one page: a ``matplotlib.figure.Figure``.

    Raises:
        MissingLibraryError: Matplotlib is missing.
    """
    return _page(found, list(DRAWINGS), columns=2, title=found.name)


def drawing(found: Portrait, name: str) -> Any:
    """Return one of ``DRAWINGS``, a figure of its own."""
    return _page(found, [name], columns=1, title="")


def saved(figure: Any, kind: str, dpi: int = 150) -> bytes:
    """Return a figure as a file: ``kind`` is "png" or "svg"."""
    matplotlib, file = imported("matplotlib", "plot"), io.BytesIO()
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # of a label's script
        figure.savefig(file, format=kind, dpi=dpi, metadata={"Date": None} if kind == "svg" else {})
    return file.getvalue()


def _page(found: Portrait, names: list[str], *, columns: int, title: str) -> Any:
    figure_of = imported("matplotlib.figure", "plot").Figure
    matplotlib = imported("matplotlib", "plot")
    rows = -(-len(names) // columns)
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # of a label's script
        figure = figure_of(figsize=(7.0 * columns, 3.6 * rows), layout="constrained")
        for place, name in enumerate(names):
            axes = figure.add_subplot(rows, columns, place + 1)
            axes.set_title(name)
            DRAWINGS[name](axes, found)
        if title:
            figure.suptitle(title, x=0.01, ha="left", weight="bold")
        figure.draw_without_rendering()  # while the style holds
    return figure


def _lines(axes: Any, curves: Curves, values: Floats) -> None:
    """A line for each label; dots where a line would have a single point."""
    marker = "o" if len(curves.time_ms) == 1 else None
    lines = []
    for column, colour in enumerate(curves.colours):
        (line,) = axes.plot(curves.x, values[:, column], color=colour, linewidth=1.5, marker=marker)
        lines.append(line)
    axes.set_xlabel(f"{curves.unit} since the first point")
    axes.set_ylim(0.0, 1.05 * float(np.nanmax(values, initial=0.1)))
    names = [f" {short(label)}" for label in curves.labels]  # one with _ in front would be hidden
    if lines:
        axes.legend(lines, names, loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
    else:
        _nothing(axes)


def _probability(axes: Any, found: Portrait) -> None:
    curves = found.curves.shown(LINES)
    _lines(axes, curves, curves.probability)


def _success(axes: Any, found: Portrait) -> None:
    curves = found.curves.shown(LINES)
    _lines(axes, curves, curves.success_rate)


def _heat(axes: Any, found: Portrait) -> None:
    curves = found.curves.shown(ROWS)
    if not len(curves.time_ms):
        _nothing(axes)
        return
    x, rows = curves.x, np.arange(len(curves.labels) + 1)
    left = x[0] - (x[1] - x[0]) if len(x) > 1 else -1.0
    edges = np.concatenate([[left], x])
    top = float(np.nanmax(curves.probability, initial=1e-9))
    mesh = axes.pcolormesh(edges, rows, curves.probability.T, cmap="viridis", vmin=0.0, vmax=top)
    axes.grid(visible=False)
    axes.set_yticks(rows[:-1] + 0.5, [short(label) for label in curves.labels])
    axes.tick_params(axis="y", labelsize=8 if len(rows) < ROWS // 2 else 6, length=0)
    axes.invert_yaxis()
    axes.set_xlabel(f"{curves.unit} since the first point")
    bar = axes.figure.colorbar(mesh, cax=axes.inset_axes((1.02, 0.0, 0.025, 1.0)))
    bar.outline.set_visible(False)


def _progress(axes: Any, found: Portrait) -> None:
    values = found.census.of_tasks("learning_progress")
    known = values[~np.isnan(values)]
    if not len(known):
        _nothing(axes)
        return
    axes.hist(known, bins=30, color=COLOURS[0])
    never = len(values) - len(known)
    axes.set_xlabel("learning progress" + (f" ({never:,} tasks have none yet)" if never else ""))
    axes.set_ylabel("tasks")


def _pool(axes: Any, found: Portrait) -> None:
    names, known, fresh = occupancy(found, ROWS)
    places = np.arange(len(names))
    axes.barh(places, known, color=COLOURS[0], label="with enough results to be judged")
    axes.barh(places, fresh, left=known, color="#c5d7ea", label="fresh")
    axes.set_yticks(places, [short(label) for label in names])
    axes.tick_params(axis="y", labelsize=8 if len(names) < ROWS // 2 else 6, length=0)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("tasks")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=8)


def _pipeline(axes: Any, found: Portrait) -> None:
    values = [found.figures[figure] for figure in PIPELINE.values()]
    places = np.arange(len(values))
    axes.plot(places, values, color=COLOURS[0], marker="o", linewidth=1.5)
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            f"{value:.2f}", (place, value), (0, 7), textcoords="offset points", ha="center"
        )
    axes.set_xticks(places, [name.replace(" ", "\n") for name in PIPELINE])
    axes.set_ylim(0.0, 1.1)
    axes.set_xlim(-0.4, len(values) - 0.6)
    axes.set_ylabel("Gini coefficient")


def _nothing(axes: Any) -> None:
    axes.text(0.5, 0.5, "nothing yet", transform=axes.transAxes, ha="center", color="#888888")


def occupancy(found: Portrait, most: int) -> tuple[list[str], Floats, Floats]:
    """Return labels, those with the most tasks first, their eligible tasks and their fresh ones.

    The mean of the rest is one row, the last.
    """
    census = found.census
    eligible = census.by_label(census.eligible.astype(np.float64))
    fresh = census.by_label() - eligible
    order = np.argsort(-(eligible + fresh), kind="stable")
    names: list[str] = [census.labels[int(i)] for i in order]
    known, new = eligible[order], fresh[order]
    if len(names) > most:
        cut = most - 1
        names = [*names[:cut], f"{REST} ({len(names) - cut:,})"]
        known, new = (np.append(table[:cut], table[cut:].mean()) for table in (known, new))
    return names, known, new


DRAWINGS: Final[dict[str, Callable[[Any, Portrait], None]]] = {
    "Probability to be drawn, by label": _probability,
    "Success rate, by label": _success,
    "Probability of labels over time": _heat,
    "Tasks of the pool, by label": _pool,
    "Learning progress of the tasks": _progress,
    "Inequality from progress to play (0: all equal)": _pipeline,
}
"""Each picture by its title."""
