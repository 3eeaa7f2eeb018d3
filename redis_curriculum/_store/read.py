"""Read records, ids, labels and columns of numbers, in bounded chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from redis_curriculum._protocol.keys import PARTS
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.records import TaskRecord, pairs
from redis_curriculum._sampling.draw import distribution as distribution_of
from redis_curriculum._sampling.pool import Pool
from redis_curriculum._store.contracts import NUMBERS, READ
from redis_curriculum._store.store import Store
from redis_curriculum._values.rules import validate_label, validate_task_id
from redis_curriculum.tasks.ids import label_hash

_READ_CHUNK: Final = 500
_VALUES_PER_READ: Final = 1_400  # well below a millisecond of the server's time


def read(store: Store, task_ids: Sequence[int]) -> Plan[list[TaskRecord | None]]:
    """Read whole records; None where a task is not in the pool."""
    records: list[TaskRecord | None] = []
    for start in range(0, len(task_ids), _READ_CHUNK):
        chunk = task_ids[start : start + _READ_CHUNK]
        reply = yield from store.server.run(store.script(READ), *chunk)
        records += [_record(store, *one) for one in zip(chunk, reply, strict=True)]
    return records


def _record(store: Store, task_id: int, flat: list[str]) -> TaskRecord | None:
    if not flat:
        return None
    fields, names = pairs(flat), store.config.algorithm.names("task")
    return TaskRecord.parse(task_id, label_hash(fields["label"]), fields, names)


def read_one(store: Store, task_id: object) -> Plan[TaskRecord | None]:
    """Read one record."""
    (record,) = yield from read(store, [validate_task_id(task_id)])
    return record


def task_ids(store: Store, label: object = None) -> Plan[list[int]]:
    """Ids of the pool's tasks, or of a label's, ascending."""
    server = store.server
    while True:
        if label is not None:
            found = yield from server.scan("SSCAN", server.keys.label(validate_label(label)))
        else:
            found = []
            for part in PARTS:  # tasks only move forward, so none is missed
                found += (yield from server.scan("ZSCAN", f"{server.keys.pool}{part}"))[::2]
        if (yield from _is_as_before(store)):
            return sorted({int(task_id) for task_id in found})


def labels(store: Store) -> Plan[dict[str, int]]:
    """Label to number of its active tasks, sorted by label."""
    found = yield from store.server.scan_counts(store.server.keys.labels)
    yield from _is_as_before(store)
    return dict(sorted(found.items()))


def quarantine(store: Store) -> Plan[dict[int, str]]:
    """Ids of tasks that were taken out for failing, ascending, with their last messages."""
    found = yield from store.server.scan_hash(store.server.keys.quarantine)
    return dict(sorted((int(task_id), text) for task_id, text in found.items()))


def numbers(
    store: Store, family: str, fields: Sequence[str], names: Sequence[str | int]
) -> Plan[tuple[NDArray[np.float64], list[str]]]:
    """Read numeric fields of many tasks (``task``) or labels (``progress``).

    Returns:
        An array of shape (len(names), len(fields) + 1), NaN where absent, whose last column
        holds the index of a task's label among the labels, which are the second item.
    """
    width = len(fields) + 1
    table, found = np.empty((len(names), width)), dict[str, int]()
    head = (family, len(fields), *fields)
    script = store.script(NUMBERS)
    step = min(max(_VALUES_PER_READ // width, 1), 2 * _READ_CHUNK)
    for start in range(0, len(names), step):
        reply = yield from store.server.run(script, *head, *names[start : start + step])
        rows = table[start : start + step]
        rows[:] = np.array(from_json(reply[0])).reshape(-1, width)
        own = [found.setdefault(label, len(found)) for label in reply[1:]]
        known = ~np.isnan(rows[:, -1])
        rows[known, -1] = np.array(own, dtype=float)[rows[known, -1].astype(np.intp)]
    return table, list(found)


def pool(store: Store) -> Plan[Pool]:
    """Read the numbers that draws depend on."""
    ids = yield from task_ids(store)
    scorer = store.config.algorithm
    of_task, of_label = scorer.drawn_by("task"), scorer.drawn_by("label")
    tasks, labels_of = yield from numbers(store, "task", of_task, ids)
    of_labels, _ = yield from numbers(store, "progress", of_label, labels_of)
    there = ~np.isnan(tasks[:, -1])
    *columns, label_index = tasks[there].T
    return Pool(
        task_ids=np.array(ids, dtype=np.int64)[there],
        statistics=dict(zip(of_task, columns, strict=True)),
        label_index=label_index.astype(np.intp),
        label_statistics=dict(zip(of_label, of_labels.T[:-1], strict=True)),
        labels=labels_of,
    )


def distribution(store: Store) -> Plan[dict[int, float]]:
    """Every task's probability; sums to 1."""
    found = yield from pool(store)
    if not len(found):
        return {}
    probabilities = distribution_of(found, store.config.algorithm)
    return dict(zip(np.asarray(found.task_ids).tolist(), probabilities.tolist(), strict=True))


def _is_as_before(store: Store) -> Plan[bool]:
    """Whether no task can have moved backward since the store was last told of its settings.

    New settings are taken over. They may put every task into another sorted set, at once.

    Raises:
        StaleGenerationError: A restore replaced the state.
    """
    words = ("HMGET", store.server.keys.meta, "generation", "config_version", "unindexed")
    generation, version, unindexed = yield from store.server.command(*words)
    store.check_generation(generation)
    before = (store.config_version, store.unindexed)
    if int(version) != store.config_version:
        yield from store.reload()
    store.unindexed = unindexed
    return before == (store.config_version, unindexed)
