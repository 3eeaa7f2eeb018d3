"""Commands that look at curricula: ``list``, ``status``, ``tasks``, ``task``, ``labels``, ..."""

from __future__ import annotations

import json as json_
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Final

import typer

from redis_curriculum._admin import overview
from redis_curriculum._protocol.keys import SCHEMA
from redis_curriculum._protocol.records import TaskRecord
from redis_curriculum._state.check import check as check_plan
from redis_curriculum._store.read import read_one
from redis_curriculum._store.workers import workers as workers_plan
from redis_curriculum.cli.output import (
    duration,
    moment,
    number,
    percent,
    print_facts,
    print_json,
    print_line,
    print_table,
    progress_bar,
    say,
)
from redis_curriculum.cli.session import WORKING, AsJson, Name, Url, session
from redis_curriculum.cli.watch import Watchable, follow
from redis_curriculum.errors import TaskNotFoundError
from redis_curriculum.reporting import records
from redis_curriculum.scorers import family

_FIRST: Final = 8
"""So many numbers of the algorithm's own stand in one line."""


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("list")(list_)
    app.command("status", cls=Watchable)(status)
    app.command("tasks")(tasks)
    app.command("task")(task)
    app.command("labels")(labels)
    app.command("workers")(workers)
    app.command("check")(check)


def list_(*, url: Url = None, json: AsJson = False) -> None:
    """List the server's curricula."""
    with session(url) as server:
        rows = server.run(overview.curricula(server.address, server.settings.retry_deadline_s))
    if json:
        print_json(rows)
    else:
        _print_curricula(rows)
    for row in rows:
        if row.problem is not None:
            say(row.problem)
    if any(row.problem is not None for row in rows):
        raise typer.Exit(1)


def _print_curricula(rows: Sequence[overview.CurriculumRow]) -> None:
    print_table(
        ("name", ">tasks", ">capacity", ">labels", ">workers", ">epoch", "created"),
        (
            (
                row.name if row.schema in (None, SCHEMA) else f"{row.name} (schema {row.schema})",
                *("-" if n is None else n for n in (row.tasks, row.capacity, row.labels)),
                *("-" if n is None else n for n in (row.live_workers, row.epoch)),
                "-" if row.created_ms is None else moment(row.created_ms),
            )
            for row in rows
        ),
    )


def status(
    name: Name,
    *,
    watch: Annotated[
        float | None,
        typer.Option(
            metavar="[SECONDS]",
            show_default=False,
            help="Print it every so many seconds (alone: 2), with rates, until Ctrl-C.",
        ),
    ] = None,
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Show one curriculum: pool, workers, counters, settings."""
    with session(url) as server:
        shown = _Shown(server.address.public, json)
        if watch is None:
            shown.show(server.run(overview.status(server.store(name))))
        else:
            follow(lambda: server.run(overview.status(server.store(name))), shown.show, watch)


@dataclass(slots=True)
class _Shown:
    """How a status is printed; from the second one on, with rates."""

    where: str
    as_json: bool
    before: tuple[float, overview.Status] | None = None

    def show(self, found: overview.Status) -> None:
        """Print one, after an empty line if it is not the first."""
        now = time.monotonic()
        if self.as_json:
            print_json({"url": self.where, **asdict(found)})
        elif self.before is None:
            print_facts(_facts(found, self.where))
        else:
            print_line("")
            print_facts([*_facts(found, self.where), ("per second", self._rates(found, now))])
        self.before = now, found

    def _rates(self, found: overview.Status, now: float) -> str:
        assert self.before is not None  # noqa: S101 - asked for the second one
        then, before = self.before
        grown = {what: n - before.counters[what] for what, n in found.counters.items()}
        if min(grown.values()) < 0:
            return "not known: the state was replaced"
        return _counts({what: f"{n / (now - then):.1f}" for what, n in grown.items()})


def _facts(found: overview.Status, where: str) -> list[tuple[str, object]]:
    return [
        ("name", found.name),
        ("server", where),
        ("created", f"{moment(found.created_ms)}, generation {found.generation}"),
        ("tasks", f"{found.tasks} of {found.capacity}: {_counts(found.parts)}"),
        ("labels", f"{found.labels} active, {found.inactive_labels} inactive"),
        ("workers", f"{found.live_workers} live, {found.expired_workers} expired"),
        ("lifetime", _counts(found.counters)),
        (f"epoch {found.epoch}", _counts(found.epoch_counters)),
        ("snapshot", "one is being written" if found.snapshot_running else "none is running"),
        ("algorithm", _algorithm(found.config["algorithm"])),
        *((name, _first_of(numbers)) for name, numbers in found.own.items()),
        *([("generator", found.generator_trouble)] if found.generator_trouble else []),
    ]


def _algorithm(stored: Mapping[str, object]) -> str:
    """Its kind, and what is not as usual; all of its settings are in ``--json``."""
    usual = family(stored["kind"]).default().model_dump(mode="json")
    own = {name: value for name, value in stored.items() if usual.get(name) != value}
    return ", ".join([str(stored["kind"]), _counts(own) or "all settings as usual"])


def _counts(numbers: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in numbers.items())


def _first_of(numbers: Mapping[str, float]) -> str:
    """The first of what may be hundreds: ``number 3``."""
    texts = [f"{name} {value:g}" for name, value in numbers.items()]
    more = len(texts) - _FIRST
    return ", ".join([*texts[:_FIRST], *([f"and {more} more (--json)"] if more > 0 else [])])


class Order(StrEnum):
    """What tasks are listed by: the most first, but for ``task``."""

    PROBABILITY = "probability"
    PROGRESS = "progress"
    SUCCESS = "success"
    SAMPLES = "samples"
    RESULTS = "results"
    FAILURES = "failures"
    TASK = "task"


def tasks(
    name: Name,
    *,
    label: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Only these, such as maze-*.")
    ] = None,
    sort: Annotated[Order, typer.Option(help="The most first.")] = Order.PROBABILITY,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the first N.")] = None,
    url: Url = None,
    json: AsJson = False,
) -> None:
    """List the pool's tasks, the likeliest to be drawn first."""
    with session(url) as server:
        rows = server.run(records.tasks(server.store(name)))
    if label is not None:
        rows = [row for row in rows if fnmatchcase(row[0].label, label)]
    rows.sort(key=lambda row: _place(sort, *row))
    if limit is not None and limit < len(rows):
        say(f"the first {limit} of {len(rows)} tasks by {sort} (--limit)")
        rows = rows[:limit]
    if json:
        print_json([{**record.fields(), "probability": chance} for record, chance in rows])
        return
    print_table(
        ("task", "label", ">samples", ">results", ">success", ">progress", ">probability"),
        (
            (
                record.task_id,
                record.label,
                record.sample_count,
                record.completion_count,
                number(record.statistics.get("success_rate_ema"), 2),
                number(record.statistics.get("learning_progress")),
                percent(chance),
            )
            for record, chance in rows
        ),
    )


def _place(order: Order, record: TaskRecord, chance: float) -> float:
    """Where a task stands; never comes last."""
    values: dict[Order, float | None] = {
        Order.PROBABILITY: chance,
        Order.PROGRESS: record.statistics.get("learning_progress"),
        Order.SUCCESS: record.statistics.get("success_rate_ema"),
        Order.SAMPLES: record.sample_count,
        Order.RESULTS: record.completion_count,
        Order.FAILURES: record.failure_count,
        Order.TASK: -record.task_id,
    }
    value = values[order]
    return math.inf if value is None else -value


def task(
    name: Name,
    task_id: Annotated[int, typer.Argument(metavar="ID", show_default=False)],
    *,
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Show one task's record; - stands for never."""
    with session(url) as server:
        record = server.run(read_one(server.store(name), task_id))
    if record is None:
        raise TaskNotFoundError(task_id)
    fields = record.fields()
    if json:
        print_json(fields)
        return
    fields["params"] = json_.dumps(record.params)
    fields["created_ms"] = f"{record.created_ms} ({moment(record.created_ms)})"
    print_facts((field, "-" if value is None else value) for field, value in fields.items())


def labels(name: Name, *, url: Url = None, json: AsJson = False) -> None:
    """List the labels: chances, learning progress, counts."""
    with session(url) as server:
        rows = server.run(records.label_records(server.store(name))).values()
    if json:
        print_json([row.fields() for row in rows])
        return
    print_table(
        ("label", ">tasks", ">probability", ">progress", ">success", ">samples", ">results"),
        (
            (
                row.label,
                row.tasks,
                percent(row.probability),
                number(row.statistics.get("learning_progress")),
                number(row.statistics.get("success_rate_ema"), 2),
                row.counters["samples"],
                row.counters["completions"],
            )
            for row in rows
        ),
    )


def workers(name: Name, *, url: Url = None, json: AsJson = False) -> None:
    """List the workers and what is left of their leases."""
    with session(url) as server:
        rows = server.run(workers_plan(server.store(name).server))
    if json:
        print_json(rows)
        return
    print_table(
        ("worker", "host", ">pid", ">sequence", "started", ">lease"),
        (
            (
                row.worker_id,
                row.host,
                row.pid,
                row.sequence,
                moment(row.started_ms),
                duration(row.lease_left_ms) if row.live else "expired",
            )
            for row in rows
        ),
    )


def check(
    name: Name,
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="First rebuild every index from the records.")
    ] = False,
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Compare every index with the records.

    Workers may go on meanwhile. Exit code 1 if anything disagrees.
    """
    with session(url, WORKING) as server, progress_bar("check") as progress:
        plan = check_plan(server.store(name), repair=repair, progress=progress)
        problems = server.run(plan)
    if json:
        print_json({"repaired": repair, "problems": problems})
    else:
        for problem in problems or ["every index agrees with the records"]:
            print_line(problem)
    if problems:
        raise typer.Exit(1)
