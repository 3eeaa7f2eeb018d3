"""Every task and every label as a row, or as columns; read in bulk, 500 in a round trip.

Rows are of one moment only where nobody writes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from redis_curriculum._protocol.keys import COUNTS
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.records import TaskRecord
from redis_curriculum._store import read
from redis_curriculum._store.store import Store
from redis_curriculum.scorers.base import Scorer

Columns = dict[str, NDArray[Any]]

_WHOLE: Final = ("task_id", "label_hash", "created_ms", "sample_count", "completion_count")
_COUNTED: Final = ("failure_count", "consecutive_failures")
_OBJECTS: Final = ("label", "params", "last_error")


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """One label: its tasks, its chance to be drawn next, its statistics; None means never.

    What is kept depends on the family of the algorithm: ``statistics`` has it by name, and each
    name is an attribute too, such as ``record.learning_progress``.
    """

    label: str
    tasks: int
    """How many tasks of it are in the pool."""
    probability: float
    """That the next draw takes a task of it."""
    statistics: Mapping[str, float | None]
    """Every statistic that the family keeps of a label."""
    counters: Mapping[str, int]
    """Over the curriculum's life: completions, samples, evictions, failures, created."""

    def __getattr__(self, name: str) -> float | None:
        """Return a statistic of the family."""
        if name != "statistics" and name in self.statistics:
            return self.statistics[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def fields(self) -> dict[str, Any]:
        """Return everything by name, the statistics among the others."""
        own = {name: getattr(self, name) for name in self.__slots__ if name != "statistics"}
        return {**own, **self.statistics}


def tasks(store: Store) -> Plan[list[tuple[TaskRecord, float]]]:
    """Every task's record and its probability to be drawn next, most likely first."""
    chances = yield from read.distribution(store)
    records = yield from read.read(store, list(chances))
    rows = [(record, chances[record.task_id]) for record in records if record]
    return sorted(rows, key=lambda row: (-row[1], row[0].task_id))


def columns(store: Store) -> Plan[Columns]:
    """The same, an array for each field, by task id; see ``Curriculum.records``."""
    rows = yield from tasks(store)
    rows.sort(key=lambda row: row[0].task_id)
    found = _columns([record for record, _ in rows], store.config.algorithm)
    return found | {"probability": np.array([chance for _, chance in rows], dtype=np.float64)}


def _columns(records: list[TaskRecord], scorer: Scorer) -> Columns:
    found: Columns = {}
    for name in (*_WHOLE, *_COUNTED):
        found[name] = np.array([getattr(record, name) for record in records], dtype=np.int64)
    for name in _OBJECTS:
        found[name] = _objects(getattr(record, name) for record in records)
    for name in ("last_score", "weight"):
        found[name] = np.array([getattr(record, name) for record in records], dtype=np.float64)
    for name in scorer.names("task"):
        if name not in found:
            of_all = [record.statistics[name] for record in records]
            found[name] = np.array(of_all, dtype=np.float64)
    return found


def _objects(values: Iterable[Any]) -> NDArray[Any]:
    """An array of objects, shape (n,), whatever the objects are."""
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array


def label_records(store: Store) -> Plan[dict[str, LabelRecord]]:
    """Every label, active ones first, the most likely on top; those without tasks are inactive."""
    server, keys = store.server, store.server.keys
    active = yield from read.labels(store)
    inactive = (yield from server.scan("ZSCAN", keys.inactive))[::2]
    known = [*active, *sorted(set(inactive) - active.keys())]
    chances = yield from read.distribution(store)
    table, names = yield from read.numbers(store, "task", (), list(chances))
    there = ~np.isnan(table[:, 0])  # others may have gone, or come, between two calls
    shares = np.array(list(chances.values()))[there]
    sums = np.bincount(table[there, 0].astype(np.intp), shares, len(names))
    chance = dict(zip(names, sums.tolist(), strict=True))
    of_label = store.config.algorithm.names("label")
    statistics, _ = yield from read.numbers(store, "label", of_label, known)
    counts = {}
    for what in COUNTS:
        counts[what] = yield from server.scan_counts(keys.count(what))
    rows = [
        LabelRecord(
            label=label,
            tasks=active.get(label, 0),
            probability=chance.get(label, 0.0),
            counters={what: found.get(label, 0) for what, found in counts.items()},
            statistics={
                name: None if math.isnan(value) else value
                for name, value in zip(of_label, row[:-1], strict=True)
            },
        )
        for label, row in zip(known, statistics.tolist(), strict=True)
    ]
    rows.sort(key=lambda row: (row.tasks == 0, -row.probability, row.label))
    return {row.label: row for row in rows}
