"""Read records, ids, labels and columns of numbers, in bounded chunks."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import isfinite
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from redis_curriculum._protocol.keys import PARTS
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.records import FIELDS, STATS, TaskRecord
from redis_curriculum._protocol.stored import decoded, field, field_of, ids, malformed, number, text
from redis_curriculum._sampling.draw import distribution as distribution_of
from redis_curriculum._sampling.pool import Pool
from redis_curriculum._store.store import Store
from redis_curriculum._values.rules import validate_label, validate_task_id
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers.base import Floats, Scorer
from redis_curriculum.scorers.own import OwnValues
from redis_curriculum.scorers.statistics import ROUNDING, Holder
from redis_curriculum.tasks.ids import label_hash

_READ_CHUNK: Final = 500


def read(store: Store, task_ids: Sequence[int]) -> Plan[list[TaskRecord | None]]:
    """Read whole records; None where a task is not in the pool. One round trip for 500."""
    records: list[TaskRecord | None] = []
    for start in range(0, len(task_ids), _READ_CHUNK):
        chunk = task_ids[start : start + _READ_CHUNK]
        words = [("HMGET", store.server.keys.task(task_id), *FIELDS) for task_id in chunk]
        rows = yield from _rows(store, words)
        records += [_record(store, *one) for one in zip(chunk, rows, strict=True)]
    return records


def _rows(store: Store, words: Sequence[tuple[str, ...]]) -> Plan[list[list[Any]]]:
    """Read keys of this generation, which still is the current one afterwards."""
    of_generation = ("HGET", store.server.keys.meta, "generation")
    *rows, found = yield from store.server.commands([*words, of_generation])
    store.check_generation(found and decoded(found))
    return rows


def _record(store: Store, task_id: int, values: list[bytes | None]) -> TaskRecord | None:
    raw = {name: x for name, x in zip(FIELDS, values, strict=True) if x is not None}
    if not raw:
        return None
    scorer, key = store.config.algorithm, store.server.keys.task(task_id)
    stats = raw.pop(STATS, None)
    fields: dict[str, Any] = {name: decoded(data) for name, data in raw.items()}
    fields |= {} if stats is None else _statistics(scorer, "task", key, stats)
    try:
        hashed = label_hash(field(fields, "label", text))
        return TaskRecord.parse(task_id, hashed, fields, scorer.names("task"))
    except InvalidInputError as error:
        raise malformed(key, error.field, error.value) from None


def _statistics(scorer: Scorer, holder: Holder, key: str, data: bytes) -> dict[str, float]:
    """The statistics that a field ``stats`` holds.

    Raises:
        MalformedStateError: They have another length, or one is out of its range.
    """
    try:
        found = scorer.unpacked(holder, data)
    except struct.error:
        raise malformed(key, STATS, data) from None
    if not found:  # each is NaN
        raise malformed(key, STATS, data)
    try:
        for statistic in scorer.STATISTICS:
            if statistic.name in scorer.names(holder):
                statistic.check(found)
    except InvalidInputError as error:
        raise malformed(key, f"{STATS}, {error.field},", error.value) from None
    return found


def read_one(store: Store, task_id: object) -> Plan[TaskRecord | None]:
    """Read one record."""
    (record,) = yield from read(store, [validate_task_id(task_id)])
    return record


def task_ids(store: Store, label: object = None) -> Plan[list[int]]:
    """Ids of the pool's tasks, or of a label's, ascending."""
    server = store.server
    while True:
        if label is not None:
            key = server.keys.label(validate_label(label))
            found = ids(key, (yield from server.scan("SSCAN", key)))
        else:
            found = []
            for part in PARTS:  # tasks only move forward, so none is missed
                key = f"{server.keys.pool}{part}"
                found += ids(key, (yield from server.scan("ZSCAN", key))[::2])
        if (yield from _is_as_before(store)):
            return sorted(set(found))


def labels(store: Store) -> Plan[dict[str, int]]:
    """Label to number of its active tasks, sorted by label."""
    found = yield from store.server.scan_counts(store.server.keys.labels)
    yield from _is_as_before(store)
    return dict(sorted(found.items()))


def quarantine(store: Store) -> Plan[dict[int, str]]:
    """Ids of tasks that were taken out for failing, ascending, with their last messages."""
    key = store.server.keys.quarantine
    found = yield from store.server.scan_hash(key)
    return dict(sorted(zip(ids(key, found), found.values(), strict=True)))


def numbers(
    store: Store, holder: Holder, fields: Sequence[str], names: Sequence[str | int]
) -> Plan[tuple[NDArray[np.float64], list[str]]]:
    """Read numeric fields of many tasks or labels. One round trip for 500.

    Returns:
        An array of shape (len(names), len(fields) + 1), NaN where absent, whose last column
        holds the index of a task's label among the labels, which are the second item.
    """
    key = store.server.keys.task if holder == "task" else store.server.keys.progress
    places = _places(store.config.algorithm, holder)
    texts = [field for field in fields if field not in places]
    table, found = np.empty((len(names), len(fields) + 1)), dict[bytes, int]()
    for start in range(0, len(names), _READ_CHUNK):
        keys = [key(str(name)) for name in names[start : start + _READ_CHUNK]]
        words = [("HMGET", each, "label", STATS, *texts) for each in keys]
        labels, stats, *columns = zip(*(yield from _rows(store, words)), strict=True)
        rows = table[start : start + _READ_CHUNK]
        packed = _unpacked(store.config.algorithm, holder, keys, stats)
        of_text = {name: _numbers(keys, name, x) for name, x in zip(texts, columns, strict=True)}
        for i, name in enumerate(fields):
            rows[:, i] = packed[:, places[name]] if name in places else of_text[name]
        nowhere = float("nan")
        rows[:, -1] = [
            nowhere if label is None else found.setdefault(label, len(found)) for label in labels
        ]
    return table, [label.decode(errors="replace") for label in found]


def _places(scorer: Scorer, holder: Holder) -> dict[str, int]:
    """Statistics by name to where they are in the field ``stats``."""
    stored = scorer.stored(holder)
    places = {name: stored.index(name) for name in stored}
    places |= {name: places[of] for name, of in scorer.aliases.items() if of in places}
    places.pop("completion_count")  # a task has that before its first result too, as a text
    return places


def _unpacked(
    scorer: Scorer, holder: Holder, keys: list[str], stats: Sequence[bytes | None]
) -> Floats:
    """The fields ``stats`` of some keys, a row each; NaN where there is none."""
    stored = scorer.stored(holder)
    absent = b"\xff" * 8 * len(stored)  # of doubles that are NaN
    for key, data in zip(keys, stats, strict=True):
        if data is not None and len(data) != len(absent):
            raise malformed(key, STATS, data)
    joined = b"".join(absent if data is None else data for data in stats)
    rows = np.frombuffer(joined, dtype="<f8").reshape(-1, len(stored))
    by_name = {statistic.name: statistic for statistic in scorer.STATISTICS}
    low = np.array([by_name[name].low for name in stored]) - ROUNDING
    high = np.array([by_name[name].high for name in stored]) + ROUNDING
    given = np.array([data is not None for data in stats], dtype=bool)
    unlikely = given & ~((rows >= low) & (rows <= high)).all(axis=1)
    for i in np.flatnonzero(unlikely).tolist():
        _statistics(scorer, holder, keys[i], stats[i] or b"")  # an optional one may be absent
    return rows


def _numbers(keys: list[str], name: str, texts: Sequence[bytes | None]) -> Floats:
    """A field of some keys, as numbers; NaN where there is none."""
    try:
        found = np.array([b"nan" if text is None else text for text in texts]).astype(np.float64)
        if np.isfinite(found[[text is not None for text in texts]]).all():
            return found
    except ValueError:
        pass
    key, text = next((k, t) for k, t in zip(keys, texts, strict=True) if t and not _is_finite(t))
    raise malformed(key, name, text.decode(errors="replace"))


def _is_finite(text: bytes) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def pool(store: Store) -> Plan[Pool]:
    """Read the numbers that draws depend on."""
    known = yield from task_ids(store)
    scorer = store.config.algorithm
    of_task, of_label = scorer.drawn_by("task"), scorer.drawn_by("label")
    tasks, labels_of = yield from numbers(store, "task", (*of_task, "weight"), known)
    of_labels, _ = yield from numbers(store, "label", of_label, labels_of)
    of_pool = yield from pool_statistics(store)
    there = ~np.isnan(tasks[:, -1])
    *columns, weights, label_index = tasks[there].T
    return Pool(
        task_ids=np.array(known, dtype=np.int64)[there],
        statistics=dict(zip(of_task, columns, strict=True)),
        label_index=label_index.astype(np.intp),
        label_statistics=dict(zip(of_label, of_labels.T[:-1], strict=True)),
        labels=labels_of,
        numbers=of_pool,
        task_weights=set_weights(weights),
        own=(yield from own_values(store, np.array(known, dtype=np.int64)[there], labels_of)),
    )


def set_weights(column: Floats) -> Floats | None:
    """Return weights of tasks, NaN where a record has none; None: nobody has set one."""
    return None if np.isnan(column).all() else np.nan_to_num(column, nan=1.0)


def own_values(store: Store, ids: NDArray[np.int64], labels: Sequence[str]) -> Plan[OwnValues]:
    """Read what the keys of the family's own hold, of these tasks and labels and of the pool."""
    found: dict[str, dict[Any, Any]] = {"task": {}, "label": {}, "text": {}}
    for key in store.config.algorithm.OWN:
        if not key.is_text and not key.is_sorted:
            continue
        at, name = f"{store.server.keys.pool}{key.stem}", key.name
        if key.is_sorted:
            flat = yield from store.server.scan("ZSCAN", at)
            texts = dict(zip(flat[::2], flat[1::2], strict=True))
        else:
            texts = yield from store.server.scan_hash(at)
        of = {"task": ids.tolist(), "label": labels, "pool": sorted(texts)}[key.holder]
        if key.is_text:
            found["text"][name] = {one: texts[str(one)] for one in of if str(one) in texts}
            continue
        numbers = {one: field_of(at, texts, str(one), float) for one in of if str(one) in texts}
        column = [numbers.get(one, np.nan) for one in of]
        found[key.holder][name] = np.array(column, dtype=np.float64)
    return OwnValues(found["task"], found["label"], (yield from own_pool(store)), found["text"])


def own_pool(store: Store) -> Plan[dict[str, dict[str, float]]]:
    """Read the numbers of the whole pool in the keys of the family's own."""
    found = {}
    for key in store.config.algorithm.OWN:
        if key.holder == "pool" and not key.is_text:
            at = f"{store.server.keys.pool}{key.stem}"
            texts = yield from store.server.scan_hash(at)
            found[key.name] = {name: field_of(at, texts, name, float) for name in sorted(texts)}
    return found


def pool_statistics(store: Store) -> Plan[dict[str, float]]:
    """Read what the family keeps of the whole pool; one round trip, none where it keeps nothing."""
    scorer, key = store.config.algorithm, store.server.keys.statistics
    if not scorer.names("pool"):
        return {}
    ((data,),) = yield from _rows(store, [("HMGET", key, STATS)])
    return {} if data is None else _statistics(scorer, "pool", key, data)


def distribution(store: Store) -> Plan[dict[int, float]]:
    """Every task's probability; sums to 1, or to 0 where every task has weight 0."""
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
    if number(store.server.keys, "config_version", version) != store.config_version:
        yield from store.reload()
    store.unindexed = unindexed
    return before == (store.config_version, unindexed)
