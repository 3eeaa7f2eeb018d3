"""The whole state on the server against the model's: what is stored, and every index of it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

from redis_curriculum._protocol.keys import COUNTS, LABEL_SETS, PARTS, Keys
from redis_curriculum._store.variant import READABLE
from redis_curriculum.scorers.statistics import Holder
from tests.harness import Harness, raw
from tests.model import ModelCurriculum, ModelTask
from tests.statistics import Progress


def assert_same(harness: Harness, model: ModelCurriculum) -> None:
    """Everything but times, worker entries and events, bit for bit."""
    stored = stored_state(harness)
    expected = expected_state(model, harness.config.epochs_retained)
    for what, value in expected.items():
        assert stored[what] == value, what
    assert stored.keys() == expected.keys()


def expected_state(model: ModelCurriculum, epochs_retained: int = 100) -> dict[str, Any]:
    """What the server must hold, from the model."""
    indices = model.indices()
    state: dict[str, Any] = {
        "random": model.stream.state,
        "late_count": model.late_count,
        "epoch": model.epoch,
        "quarantine": {str(task_id): error for task_id, error in model.quarantine.items()},
        "sums": indices.sums,
        "label sets": indices.label_sets,
        "labels": {label: len(ids) for label, ids in indices.label_sets.items()},
        "inactive": model.known_labels - set(indices.label_sets),
        "kept": indices.kept,
        "members": indices.members,
        "progress": {label: _numbers(progress) for label, progress in model.labels.items()},
        "records": {
            str(task.task_id): {
                "label": task.label,
                "params": task.params,
                "sample_count": task.sample_count,
                "failure_count": task.failure_count,
                **_failing(task),
                **_numbers(task.progress),
                **({} if task.weight == 1 else {"weight": task.weight}),
            }
            for task in model.tasks.values()
        },
        "weights": {str(t.task_id): t.weight for t in model.tasks.values() if t.weight != 1},
    }
    for part in PARTS:
        state[part] = [(str(task_id), score) for task_id, score in getattr(indices, part)]
    for what in COUNTS:
        state[f"count:{what}"] = dict(getattr(model, what))
    epochs = {**model.closed, model.epoch: model.counts_of_epoch()}
    state["epochs"] = {
        f"{epoch}:{what}": dict(count)
        for epoch, counts in epochs.items()
        for what, count in counts.items()
        if count and epoch >= model.epoch - epochs_retained
    }
    return state


def _failing(task: ModelTask) -> dict[str, Any]:
    """What only a task that failed has; a success takes the row away, not the message."""
    found: dict[str, Any] = {}
    if task.consecutive_failures:
        found["consecutive_failures"] = task.consecutive_failures
    if task.last_error is not None:
        found["last_error"] = task.last_error
    return found


def _numbers(progress: Progress) -> dict[str, float]:
    """The statistics that exist; absent means never."""
    found = {"completion_count": 0, **progress.statistics}
    return found if progress.last_score is None else {**found, "last_score": progress.last_score}


def stored_state(harness: Harness) -> dict[str, Any]:
    """The same, from the server; any key that has no place in it fails."""
    client, keys = harness.client, harness.keys
    found = set(client.scan_iter(f"{keys.prefix}*", count=1000))
    single = {keys.meta, keys.workers, keys.events, keys.labels, keys.inactive, keys.sums}
    single |= {
        keys.task_weights,
        keys.quarantine,
        keys.groups,
        *(keys.pool + name for name in LABEL_SETS),
    }
    known = {keys.worker(harness.worker), *single, *(keys.pool + part for part in PARTS)}
    names = ("task", "label", "members", "progress", "count", f"{keys.prefix}epoch")
    families: dict[str, dict[str, str]] = {name: {} for name in names}
    for key in sorted(found - known):
        for family, members in families.items():
            stem = f"{family}:" if family.startswith(keys.prefix) else f"{keys.pool}{family}:"
            if key.startswith(stem):
                members[key.removeprefix(stem)] = key
                break
        else:
            raise AssertionError(f"a key that nothing knows: {key}")
    return {
        "random": harness.stream_state,
        "late_count": int(client.hget(keys.meta, "late_count")),
        "epoch": int(client.hget(keys.meta, "epoch")),
        "quarantine": client.hgetall(keys.quarantine),
        "epochs": {
            member: _counts(harness, key)
            for member, key in families[f"{keys.prefix}epoch"].items()
            if member.rpartition(":")[2] in COUNTS
        },
        "sums": stored_sums(client, keys),
        "members": {
            label: set(map(int, client.zrange(key, 0, -1)))
            for label, key in families["members"].items()
        },
        "label sets": {
            label: {int(task_id) for task_id in client.smembers(key)}
            for label, key in families["label"].items()
        },
        "labels": {k: int(v) for k, v in client.hgetall(keys.labels).items()},
        "inactive": set(client.zrange(keys.inactive, 0, -1)),
        "weights": dict(client.zrange(keys.task_weights, 0, -1, withscores=True)),
        **_stored_tasks(harness, families["task"]),
        **_stored_progress(harness, families["progress"]),
        **{part: client.zrange(keys.pool + part, 0, -1, withscores=True) for part in PARTS},
        **{f"count:{what}": _counts(harness, keys.count(what)) for what in COUNTS},
    }


def stored_sums(client: Any, keys: Keys) -> dict[str, int]:
    """The hash ``sums``, or the numbers of ``groups`` by their places; without zeros."""
    found = {name: int(n) for name, n in client.hgetall(keys.sums).items()}
    packed = raw(client.get(keys.groups) or "")
    numbers = struct.unpack(">qq76I", packed.ljust(16 + 4 * 76, b"\0"))
    found |= {str(place): number for place, number in enumerate(numbers)}
    return {name: number for name, number in found.items() if number}


def stored_label_sets(client: Any, keys: Keys) -> dict[str, dict[str, float]]:
    """Each label's score in each of the sorted sets of labels."""
    found: dict[str, dict[str, float]] = {}
    for name in LABEL_SETS:
        for label, score in client.zrange(keys.pool + name, 0, -1, withscores=True):
            found.setdefault(label, {})[name] = score
    return found


def _counts(harness: Harness, key: str) -> dict[str, int]:
    return {label: int(count) for label, count in harness.client.hgetall(key).items()}


def _stored_tasks(harness: Harness, members: dict[str, str]) -> dict[str, Any]:
    records = {}
    texts: dict[str, Callable[[str], Any]] = {
        "label": str,
        "last_error": str,
        "params": json.loads,
    }
    for task_id, key in members.items():
        fields = harness.client.hgetall(key)
        assert int(fields.pop("created_ms")) > 0
        statistics = _unpacked(harness, "task", fields)
        records[task_id] = {k: texts.get(k, float)(v) for k, v in fields.items()} | statistics
    return {"records": records}


def _unpacked(harness: Harness, holder: Holder, fields: dict[str, str]) -> dict[str, float]:
    """Take the packed statistics out of a hash; what stands beside as text must be the same."""
    if "stats" not in fields:
        return {}
    found = harness.hypers.unpacked(holder, raw(fields.pop("stats")))
    texts = {name: fields[name] for name in READABLE if name in found}
    assert {name: float(text) for name, text in texts.items()} == {n: found[n] for n in texts}
    return dict(found)


def _stored_progress(harness: Harness, members: dict[str, str]) -> dict[str, Any]:
    progress, kept = {}, stored_label_sets(harness.client, harness.keys)
    for label, key in members.items():
        fields = harness.client.hgetall(key)
        statistics = _unpacked(harness, "label", fields)
        numbers = {name: float(text) for name, text in fields.items()}
        count = numbers.pop("eligible_count", 0)
        if count:
            kept.setdefault(label, {})["eligible_count"] = count
        assert set(numbers) <= {*READABLE, "last_score"}
        if statistics:
            progress[label] = numbers | statistics
    return {"progress": progress, "kept": kept}
