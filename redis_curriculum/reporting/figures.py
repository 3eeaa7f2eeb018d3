"""The same pictures by Bokeh: interactive, for a page in the browser.

Needs the extra ``dashboard``. Bokeh draws texts on a canvas and escapes them in tooltips, so a
label with HTML in it stays a text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from redis_curriculum._values.libraries import imported
from redis_curriculum.reporting.plots import DRAWINGS, LINES, ROWS, occupancy
from redis_curriculum.reporting.portrait import COLOURS, PIPELINE, Curves, Floats, Portrait, short


def figures(found: Portrait) -> dict[str, Any]:
    """Return each picture by its title: ``bokeh.plotting.figure`` objects, of one use each.

    Raises:
        MissingLibraryError: Bokeh is missing.
    """
    return {title: draw(title, found) for title, draw in _DRAWN.items()}


def page(found: Portrait) -> str:
    """Return a page of HTML with all pictures, which needs no other file and no network."""
    embed, resources = (
        imported("bokeh.embed", "dashboard"),
        imported("bokeh.resources", "dashboard"),
    )
    layouts = imported("bokeh.layouts", "dashboard")
    grid = layouts.gridplot(
        list(figures(found).values()), ncols=2, sizing_mode="stretch_width", merge_tools=False
    )
    return str(embed.file_html(grid, resources.INLINE, title=found.name))


def _figure(title: str, **options: Any) -> Any:
    plotting = imported("bokeh.plotting", "dashboard")
    made = plotting.figure(title=title, height=320, tools="pan,wheel_zoom,reset,save", **options)
    made.toolbar.logo = None
    return made


def _hover(figure: Any, *tooltips: tuple[str, str]) -> None:
    figure.add_tools(imported("bokeh.models", "dashboard").HoverTool(tooltips=list(tooltips)))


def _lines(title: str, curves: Curves, values: Floats) -> Any:
    models = imported("bokeh.models", "dashboard")
    value = imported("bokeh.core.properties", "dashboard").value
    figure = _figure(title, x_axis_label=f"{curves.unit} since the first point")
    items = []
    for column, (label, colour) in enumerate(zip(curves.labels, curves.colours, strict=True)):
        data = {"x": curves.x, "y": values[:, column], "label": [label] * len(curves.x)}
        source = models.ColumnDataSource(data)
        drawn = [figure.line("x", "y", source=source, color=colour, line_width=2)]
        drawn.append(figure.scatter("x", "y", source=source, color=colour, size=3))
        items.append(models.LegendItem(label=value(short(label)), renderers=drawn))
    figure.add_layout(models.Legend(items=items, click_policy="hide"), "right")
    figure.y_range = models.Range1d(0.0, 1.05 * float(np.nanmax(values, initial=0.1)))
    _hover(figure, ("label", "@label"), (curves.unit, "@x{0.0}"), ("value", "@y{0.000}"))
    return figure


def _probability(title: str, found: Portrait) -> Any:
    curves = found.curves.shown(LINES)
    return _lines(title, curves, curves.probability)


def _success(title: str, found: Portrait) -> Any:
    curves = found.curves.shown(LINES)
    return _lines(title, curves, curves.success_rate)


def _heat(title: str, found: Portrait) -> Any:
    models = imported("bokeh.models", "dashboard")
    curves = found.curves.shown(ROWS)
    times, labels = len(curves.time_ms), [short(label) for label in curves.labels]
    places = np.arange(len(labels))
    step = np.diff(curves.x, prepend=curves.x[:1] - 1.0) if times else curves.x
    figure = _figure(title, x_axis_label=f"{curves.unit} since the first point")
    mapper = models.LinearColorMapper(
        palette="Viridis256", low=0.0, high=float(np.nanmax(curves.probability, initial=1e-9))
    )
    data = {
        "left": np.repeat(curves.x - step, len(labels)),
        "right": np.repeat(curves.x, len(labels)),
        "bottom": np.tile(-places - 1.0, times),
        "top": np.tile(-places - 0.0, times),
        "value": curves.probability.ravel(),
        "label": list(curves.labels) * times,
    }
    fill = {"field": "value", "transform": mapper}
    figure.quad("left", "right", "top", "bottom", source=data, fill_color=fill, line_color=None)
    _name_rows(figure, labels)
    figure.add_layout(models.ColorBar(color_mapper=mapper), "right")
    _hover(figure, ("label", "@label"), ("probability", "@value{0.000}"))
    return figure


def _name_rows(figure: Any, labels: list[str]) -> None:
    """Rows are numbers, for two labels may have the same short name."""
    figure.yaxis.ticker = [-place - 0.5 for place in range(len(labels))]
    figure.yaxis.major_label_overrides = {-p - 0.5: label for p, label in enumerate(labels)}
    figure.ygrid.visible = False


def _pool(title: str, found: Portrait) -> Any:
    names, known, fresh = occupancy(found, ROWS)
    figure = _figure(title, x_axis_label="tasks")
    places = -np.arange(len(names)) - 0.5
    data = {"y": places, "known": known, "all": known + fresh, "fresh": fresh, "label": names}
    source = imported("bokeh.models", "dashboard").ColumnDataSource(data)
    figure.hbar("y", 0.8, "known", source=source, color=COLOURS[0])
    figure.hbar("y", 0.8, "all", "known", source=source, color="#c5d7ea")
    _name_rows(figure, [short(name) for name in names])
    _hover(figure, ("label", "@label"), ("judged", "@known"), ("fresh", "@fresh"))
    return figure


def _progress(title: str, found: Portrait) -> Any:
    values = found.census.of_tasks("learning_progress")
    counts, edges = np.histogram(values[~np.isnan(values)], bins=30)
    figure = _figure(title, x_axis_label="learning progress", y_axis_label="tasks")
    data = {"left": edges[:-1], "right": edges[1:], "top": counts}
    figure.quad("left", "right", "top", 0, source=data, color=COLOURS[0], line_color="white")
    _hover(figure, ("from", "@left{0.0000}"), ("to", "@right{0.0000}"), ("tasks", "@top"))
    return figure


def _pipeline(title: str, found: Portrait) -> Any:
    names = list(PIPELINE)
    values = [found.figures[PIPELINE[name]] for name in names]
    figure = _figure(title, x_range=names, y_range=(0, 1.1), y_axis_label="Gini coefficient")
    figure.line(names, values, color=COLOURS[0], line_width=2)
    figure.scatter(names, values, color=COLOURS[0], size=7)
    figure.xaxis.major_label_orientation = 0.5
    _hover(figure, ("Gini coefficient", "@y{0.000}"))
    return figure


_DRAWN: Final[dict[str, Callable[[str, Portrait], Any]]] = dict(
    zip(
        DRAWINGS,
        (_probability, _success, _heat, _pool, _progress, _pipeline),
        strict=True,
    )
)
