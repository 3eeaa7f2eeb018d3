"""A report of a curriculum as one HTML file: pictures, settings, counters, epochs, alerts.

Nothing in it is loaded from elsewhere, and it has no script: it can be mailed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from redis_curriculum.reporting.plots import DRAWINGS, drawing, saved
from redis_curriculum.reporting.portrait import Portrait

MOST_LABELS: Final = 200
"""Rows in the table of labels: those drawn most."""
_COUNTS: Final = ("samples", "completions", "failures", "evictions", "created")
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(26rem,1fr));gap:1rem}
img{width:100%}table{border-collapse:collapse;font-size:.85rem}
td,th{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #e4e4e4}
td:first-child,th:first-child{text-align:left;overflow-wrap:anywhere}
.wide{overflow-x:auto}.alert{color:#a33}
"""


def report_page(found: Portrait, facts: Mapping[str, object]) -> str:
    """Return the page; ``facts`` (versions, the server) stand in its first table.

    Raises:
        MissingLibraryError: Matplotlib is missing.
    """
    when = datetime.fromtimestamp(found.now_ms / 1000, UTC).isoformat(" ", "seconds")
    config = {key: value for key, value in found.config.items() if not isinstance(value, dict)}
    nested = {key: value for key, value in found.config.items() if isinstance(value, dict)}
    flat = {f"{key}.{name}": v for key, inner in nested.items() for name, v in inner.items()}
    body = [
        f"<h1>{escape(found.name)}</h1>",
        _facts({**facts, "read at": when, "epoch": found.reports[-1].epoch}),
        "<h2>Pictures</h2>",
        f"<div class=pictures>{''.join(_image(found, title) for title in DRAWINGS)}</div>",
        *_alerts(found),
        "<h2>Figures of the whole pool</h2>",
        _facts({name: f"{value:.6g}" for name, value in found.figures.items()}),
        *_labels(found),
        *_epochs(found),
        "<h2>Settings</h2>",
        _facts({name: json.dumps(value) for name, value in {**config, **flat}.items()}),
    ]
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        f"<title>{escape(found.name)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _image(found: Portrait, title: str) -> str:
    data = base64.b64encode(saved(drawing(found, title), "svg")).decode()
    return f'<img alt="{escape(title)}" src="data:image/svg+xml;base64,{data}">'


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    lines = (
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<div class=wide><table><tr>{head}</tr>{''.join(lines)}</table></div>"


def _facts(facts: Mapping[str, object]) -> str:
    return _table(("", ""), facts.items())


def _alerts(found: Portrait) -> list[str]:
    items = [
        f"<li class=alert>epoch {report.epoch}: {escape(str(alert))}</li>"
        for report in found.reports
        for alert in report.alerts
    ]
    return ["<h2>Alerts</h2>", f"<ul>{''.join(items)}</ul>"] if items else []


def _labels(found: Portrait) -> list[str]:
    census = found.census
    tasks, chance = census.by_label(), census.by_label(census.probabilities)
    success, progress = (
        census.of_labels(name) for name in ("success_rate_ema", "learning_progress")
    )
    rows = [
        (
            label,
            f"{tasks[i]:.0f}",
            f"{chance[i]:.4f}",
            f"{success[i]:.3f}",
            f"{progress[i]:.4f}",
            *(census.counts[what].get(label, 0) for what in _COUNTS),
        )
        for i, label in enumerate(census.labels)
    ]
    rows.sort(key=lambda row: (-census.counts["samples"].get(str(row[0]), 0), str(row[0])))
    note = f" (the {MOST_LABELS} of {len(rows):,} drawn most)" if len(rows) > MOST_LABELS else ""
    headings = ("label", "tasks", "probability", "success", "progress", *_COUNTS)
    return [f"<h2>Labels{note}</h2>", _table(headings, rows[:MOST_LABELS])]


def _epochs(found: Portrait) -> list[str]:
    rows = (
        (
            report.epoch,
            "-" if report.step is None else report.step,
            *(report.totals[what] for what in _COUNTS),
        )
        for report in found.reports
    )
    return ["<h2>Epochs</h2>", _table(("epoch", "step", *_COUNTS), rows)]
