"""Metrics for Prometheus: typed families with help texts, by its own client library.

Needs the extra ``metrics``. Counters count over the curriculum's life; a restore that goes back
makes them fall, which Prometheus takes for a restart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from redis_curriculum._protocol.keys import COUNTS
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store.store import Store
from redis_curriculum._store.workers import workers
from redis_curriculum._values.libraries import imported
from redis_curriculum.reporting.alerts import AlertKind
from redis_curriculum.reporting.epochs import epoch_report
from redis_curriculum.reporting.labels import Labels, chosen_labels
from redis_curriculum.reporting.stats import Census, figures, read_census

PREFIX: Final = "redis_curriculum_"
_COUNTED: Final = {
    "samples": "Draws of tasks.",
    "completions": "Scores that were applied.",
    "failures": "Failures that were reported.",
    "evictions": "Tasks that left the pool.",
    "created": "Tasks that came into the pool.",
}
_GAUGES: Final = {
    "tasks": ("num_active_tasks", "Tasks in the pool."),
    "eligible_tasks": ("num_eligible_tasks", "Tasks with enough results to be judged."),
    "effective_tasks": ("effective_num_tasks", "How many equally likely tasks the draw is like."),
    "quarantined_tasks": ("num_quarantined", "Ids of tasks that were taken out for failing."),
    "labels": ("num_labels", "Labels with tasks in the pool."),
    "epoch": ("epoch", "The current epoch."),
    "success_rate": ("mean_task_success_rate", "Mean success rate of tasks with results, 0 to 1."),
    "learning_progress": ("mean_learning_progress", "Mean learning progress of such tasks."),
}
"""By name: the figure, and the help text."""
_OF_LABEL: Final = {
    "label_success_rate": ("success_rate_ema", "Success rate (EMA) of a label, 0 to 1."),
    "label_mean_score": ("reward_ema", "Mean score (EMA) of a label, 0 to 1 of score_range."),
    "label_learning_progress": ("learning_progress", "Learning progress of a label."),
}
_GINI: Final = "gini/"


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read of one curriculum for one scrape."""

    name: str
    capacity: int
    live_workers: int
    alerts: Mapping[str, int]
    """Of the current epoch, by kind."""
    census: Census


def reading(store: Store) -> Plan[Reading]:
    """Read a curriculum: about four round trips per 1,000 tasks, and some 30."""
    census = yield from read_census(store)
    report = yield from epoch_report(store)
    rows = yield from workers(store.server, live_only=True)
    kinds = [alert.kind for alert in (report.alerts if report else ())]
    return Reading(
        name=store.server.keys.name,
        capacity=store.config.num_active_tasks,
        live_workers=len(rows),
        alerts={str(kind): kinds.count(kind) for kind in AlertKind},
        census=census,
    )


def families(readings: Sequence[Reading], labels: Labels = None) -> Iterator[Any]:
    """Yield the metric families of some curricula, each once; ``labels`` as in ``stats``.

    Raises:
        MissingLibraryError: The package ``prometheus_client`` is missing.
    """
    core = imported("prometheus_client.core", "metrics")
    whole = {one.name: figures(one.census, 0) for one in readings}
    own = {
        one.name: chosen_labels(labels, one.census.known_labels, one.census.counts["samples"])
        for one in readings
    }
    for name, (figure, text) in _GAUGES.items():
        values = ((one.name, whole[one.name][figure]) for one in readings)
        yield _family(core.GaugeMetricFamily, name, text, ("curriculum",), values)
    capacity = ((one.name, one.capacity) for one in readings)
    yield _family(
        core.GaugeMetricFamily, "capacity", "num_active_tasks.", ("curriculum",), capacity
    )
    live = ((one.name, one.live_workers) for one in readings)
    yield _family(core.GaugeMetricFamily, "live_workers", "Leases that run.", ("curriculum",), live)
    kinds = ((one.name, kind, count) for one in readings for kind, count in one.alerts.items())
    text = "Alerts of the current epoch, by kind."
    yield _family(core.GaugeMetricFamily, "alerts", text, ("curriculum", "kind"), kinds)
    ginis = (
        (one.name, figure.removeprefix(_GINI), value)
        for one in readings
        for figure, value in whole[one.name].items()
        if figure.startswith(_GINI)
    )
    text = "Gini coefficients from the progress to what was played; 0: all equal."
    yield _family(core.GaugeMetricFamily, "gini", text, ("curriculum", "stage"), ginis)
    yield from _counters(core, readings, own)
    yield from _of_labels(core, readings, own)


def _counters(core: Any, readings: Sequence[Reading], own: Mapping[str, set[str]]) -> Iterator[Any]:
    for what in COUNTS:
        totals = ((one.name, sum(one.census.counts[what].values())) for one in readings)
        yield _family(core.CounterMetricFamily, what, _COUNTED[what], ("curriculum",), totals)
        by_label = (
            (one.name, label, one.census.counts[what].get(label, 0))
            for one in readings
            for label in sorted(own[one.name])
        )
        text = f"{_COUNTED[what].rstrip('.')}, by label."
        names = ("curriculum", "label")
        yield _family(core.CounterMetricFamily, f"label_{what}", text, names, by_label)
    late = ((one.name, one.census.late_count) for one in readings)
    text = "Scores and failures of tasks that had left the pool."
    yield _family(core.CounterMetricFamily, "late_updates", text, ("curriculum",), late)


def _of_labels(
    core: Any, readings: Sequence[Reading], own: Mapping[str, set[str]]
) -> Iterator[Any]:
    columns: dict[str, tuple[str, list[Any]]] = {
        "label_tasks": ("Tasks of a label in the pool.", []),
        "label_probability": ("Probability that the next draw takes a task of a label.", []),
        **{name: (text, []) for name, (_, text) in _OF_LABEL.items()},
    }
    for one in readings:
        census = one.census
        tables = {
            "label_tasks": census.by_label(),
            "label_probability": census.by_label(census.probabilities),
            **{name: census.of_labels(statistic) for name, (statistic, _) in _OF_LABEL.items()},
        }
        for name, table in tables.items():
            known = ~np.isnan(table)
            columns[name][1].extend(
                (one.name, label, table[i])
                for i, label in enumerate(census.labels)
                if label in own[one.name] and known[i]
            )
    for name, (text, rows) in columns.items():
        yield _family(core.GaugeMetricFamily, name, text, ("curriculum", "label"), rows)


def _family(
    kind: Any, name: str, text: str, labels: Sequence[str], rows: Iterable[Sequence[Any]]
) -> Any:
    family = kind(f"{PREFIX}{name}", text, labels=labels)
    for *values, number in rows:
        if not math.isnan(number):
            family.add_metric(values, float(number))
    return family
