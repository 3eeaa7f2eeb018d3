"""Every index of a curriculum against what its records alone say; for tests without a model."""

from __future__ import annotations

from typing import Any

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import PARTS, Keys
from redis_curriculum._protocol.records import PROGRESS_FIELDS, TaskRecord
from redis_curriculum._sampling.weights import Sums
from redis_curriculum.scorers.statistics import Progress
from redis_curriculum.tasks.ids import label_hash
from tests.harness import Server, connect
from tests.model import ModelCurriculum, ModelTask


def assert_whole(server: Server, curriculum: Curriculum) -> None:
    """Indices, sums and counters agree with the records; none is written meanwhile."""
    with connect(server) as client:
        generation = client.hget(Keys(curriculum.name).meta, "generation")
        keys = Keys(curriculum.name, int(generation))
        model = _from_records(client, keys, curriculum)
        _assert_indices(client, keys, model)
        _assert_counts(client, keys, model)


def records(client: Any, keys: Keys) -> list[TaskRecord]:
    """Every record there is, found by its key and not by an index."""
    found = client.scan_iter(keys.task("*"), count=10_000)
    return [TaskRecord.parse(client.hgetall(key)) for key in found]


def _from_records(client: Any, keys: Keys, curriculum: Curriculum) -> ModelCurriculum:
    config = curriculum.config
    model = ModelCurriculum(config.algorithm.hypers, config.num_active_tasks, config.seed)
    for record in records(client, keys):
        assert record.label_hash == label_hash(record.label)
        progress = Progress(**{name: getattr(record, name) for name in PROGRESS_FIELDS})
        task = ModelTask(record.task_id, record.label, record.params, progress)
        task.sample_count = record.sample_count
        model.tasks[record.task_id] = task
    stem = keys.progress("")
    for key in client.scan_iter(f"{stem}*", count=10_000):
        numbers = {name: float(text) for name, text in client.hgetall(key).items()}
        numbers.pop("eligible_count", None)
        model.labels[key.removeprefix(stem)] = Progress(**numbers)  # type: ignore[arg-type]
    return model


def _assert_indices(client: Any, keys: Keys, model: ModelCurriculum) -> None:
    indices = model.indices()
    for part in PARTS:
        stored = client.zrange(keys.pool + part, 0, -1, withscores=True)
        assert [(int(task_id), lp) for task_id, lp in stored] == getattr(indices, part), part
    bitfield = client.bitfield(keys.sums)
    for slot in range(4):
        bitfield.get("i64", f"#{slot}")
    assert Sums(*bitfield.execute()) == indices.sums
    stem = keys.label("")
    sets = {
        key.removeprefix(stem): {int(task_id) for task_id in client.smembers(key)}
        for key in client.scan_iter(f"{stem}*", count=10_000)
    }
    assert sets == indices.label_sets
    active = {label: int(count) for label, count in client.hgetall(keys.labels).items()}
    assert active == {label: len(ids) for label, ids in sets.items()}
    assert not set(client.zrange(keys.inactive, 0, -1)) & set(active)
    for label in model.labels:
        eligible = int(client.hget(keys.progress(label), "eligible_count") or 0)
        assert eligible == indices.eligible_counts.get(label, 0), label


def _assert_counts(client: Any, keys: Keys, model: ModelCurriculum) -> None:
    totals = {}
    for what in ("created", "evictions", "samples", "completions", "failures"):
        totals[what] = total(client, keys.count(what))
        assert totals[what] == sum(
            total(client, key)
            for key in client.scan_iter(f"{keys.prefix}epoch:*:{what}", count=10_000)
        ), f"{what}: the epochs add up to the lifetime"
    assert len(model.tasks) == totals["created"] - totals["evictions"] <= model.capacity
    assert sum(task.sample_count for task in model.tasks.values()) <= totals["samples"]
    of_labels = sum(progress.completion_count for progress in model.labels.values())
    of_tasks = sum(task.progress.completion_count for task in model.tasks.values())
    assert of_tasks <= of_labels <= totals["completions"]


def total(client: Any, key: str) -> int:
    """The sum of a hash of counts."""
    return sum(map(int, client.hvals(key)))
