"""Commands about what has happened: ``history``, ``epochs``, ``events``, ``quarantine``."""

from __future__ import annotations

import json as json_
import math
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import typer

from redis_curriculum._store.read import quarantine as quarantine_plan
from redis_curriculum._values.texts import shown_on
from redis_curriculum.cli.output import (
    duration,
    moment,
    number,
    percent,
    print_json,
    print_line,
    print_table,
    say,
)
from redis_curriculum.cli.session import (
    LOOKING,
    WORKING,
    AsJson,
    Name,
    SomeLabels,
    Url,
    labels_of,
    session,
)
from redis_curriculum.reporting import epochs as closed
from redis_curriculum.reporting import events as stream
from redis_curriculum.reporting.history import COLUMNS, History
from redis_curriculum.reporting.history import history as history_plan

_LOOK_S: Final = 1.0
_BARS: Final = "▁▂▃▄▅▆▇█"
_WIDTH: Final = 16
_SHOWN: Final = 20
_COUNTS: Final = ("samples", "completions", "failures", "evictions", "created")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("history")(history)
    app.command("epochs")(epochs)
    app.command("events")(events)
    app.command("quarantine")(quarantine)


def history(
    name: Name,
    *,
    labels: SomeLabels = str(_SHOWN),
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Show how the labels stood over time.

    Each label's curves from the beginning of the curriculum until now, and the latest value.
    --json has every point.
    """
    with session(url) as server:
        found = server.run(history_plan(server.store(name), labels_of(labels)))
    if json:
        columns = {column: _plain(getattr(found, column)) for column in COLUMNS}
        times = {"time_ms": found.time_ms.tolist(), "epoch": found.epoch.tolist()}
        print_json({"labels": found.labels, **times, **columns})
        return
    if not len(found):
        print_line("no history yet: workers add to it while they play")
        return
    span = duration(int(found.time_ms[-1] - found.time_ms[0]))
    say(f"{len(found)} points in {span}, until {moment(int(found.time_ms[-1]))}")
    print_table(
        ("label", "share of draws", ">now", "success", ">now", "progress", ">now"),
        (_curves(found, column) for column in range(len(found.labels))),
    )


def _curves(found: History, column: int) -> Sequence[object]:
    share, success = found.share[:, column], found.success_rate[:, column]
    progress = found.learning_progress[:, column]
    return (
        found.labels[column],
        _curve(share, 1.0),
        "-" if math.isnan(share[-1]) else percent(share[-1]),
        _curve(success, 1.0),
        number(_known(success[-1]), 2),
        _curve(progress, None),
        number(_known(progress[-1])),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _plain(table: Any) -> list[list[float | None]]:
    """An array as lists, None for NaN."""
    return [[None if math.isnan(value) else value for value in row] for row in table.tolist()]


def _curve(values: Any, top: float | None) -> str:
    """A curve of one line, ``top`` at its upper end; a blank where nothing was known."""
    bars = _BARS if shown_on(sys.stdout, _BARS) == _BARS else "01234567"
    count = min(_WIDTH, len(values))
    chosen = [values[(i + 1) * len(values) // count - 1] for i in range(count)]
    known = [value for value in chosen if not math.isnan(value)]
    high = top or max((abs(value) for value in known), default=0.0) or 1.0
    last = len(bars) - 1
    places = (" " if math.isnan(v) else bars[round(last * min(abs(v) / high, 1.0))] for v in chosen)
    return "".join(places)


def epochs(name: Name, *, url: Url = None, json: AsJson = False) -> None:
    """List the closed epochs that are retained, and the current one."""
    with session(url) as server:
        store = server.store(name)
        reports = server.run(closed.epoch_reports(store))
        current = server.run(closed.epoch_report(store))
    reports += [current] if current else []
    if json:
        print_json(reports)
        return
    print_table(
        ("epoch", "ended", ">time", ">step", *(f">{what}" for what in _COUNTS), "alerts"),
        (
            (
                report.epoch,
                "-" if report.ended_ms is None else moment(report.ended_ms),
                _length(report),
                "-" if report.step is None else report.step,
                *(report.totals[what] for what in _COUNTS),
                ", ".join(sorted({str(alert.kind) for alert in report.alerts})),
            )
            for report in reports
        ),
    )


def _length(report: closed.EpochReport) -> str:
    return "-" if report.ended_ms is None else duration(report.ended_ms - report.started_ms)


def events(
    name: Name,
    *,
    count: Annotated[int, typer.Option(metavar="N", help="How many of the latest.")] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C; a line for each.")
    ] = False,
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Show the latest events: what came and went.

    With --follow new events are printed as they come; --json then prints a document for each.
    """
    with session(url, WORKING if follow else LOOKING) as server:
        store = server.store(name)
        found = server.run(stream.events(store, count))
        if json and not follow:
            print_json(found)
            return
        _print_events(found, json=json)
        last = found[-1].event_id if found else "0-0"
        while follow:
            time.sleep(_LOOK_S)
            found = server.run(stream.events_since(store, last))
            _print_events(found, json=json)
            last = found[-1].event_id if found else last


def _print_events(found: Iterable[stream.Event], *, json: bool) -> None:
    for event in found:
        if json:
            print_json(event)
            continue
        known = {field: value for field, value in event.fields.items() if value is not None}
        texts = (f"{field}={_text(value)}" for field, value in known.items())
        print_line(f"{moment(event.ms)}  {event.kind:<12} {' '.join(texts)}")
    sys.stdout.flush()


def _text(value: object) -> str:
    return value if isinstance(value, str) else json_.dumps(value)


def quarantine(name: Name, *, url: Url = None, json: AsJson = False) -> None:
    """List tasks that were taken out for failing."""
    with session(url) as server:
        found = server.run(quarantine_plan(server.store(name)))
    if json:
        print_json([{"task_id": task_id, "error": text} for task_id, text in found.items()])
    elif found:
        print_table(("task", "error"), found.items())
    else:
        print_line("no task is in quarantine")
