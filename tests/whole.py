"""Every index of a curriculum against what its records alone say; for tests without a model."""

from __future__ import annotations

from typing import Any

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import PARTS, Keys
from redis_curriculum._protocol.records import TaskRecord
from redis_curriculum.scorers import Scorer
from redis_curriculum.tasks.ids import label_hash
from tests.harness import Server, connect, raw
from tests.invariants import stored_label_sets, stored_sums
from tests.model import ModelCurriculum, ModelTask
from tests.statistics import Progress


def assert_whole(server: Server, curriculum: Curriculum) -> None:
    """Indices, sums and counters agree with the records; none is written meanwhile."""
    with connect(server) as client:
        generation = client.hget(Keys(curriculum.name).meta, "generation")
        keys = Keys(curriculum.name, int(generation))
        model = _from_records(client, keys, curriculum)
        _assert_indices(client, keys, model)
        _assert_counts(client, keys, model)


def records(client: Any, keys: Keys, scorer: Scorer) -> list[TaskRecord]:
    """Every record there is, found by its key and not by an index."""
    found = client.scan_iter(keys.task("*"), count=10_000)
    return [_record(client, key, int(key.removeprefix(keys.task(""))), scorer) for key in found]


def _record(client: Any, key: str, task_id: int, scorer: Scorer) -> TaskRecord:
    fields = client.hgetall(key)
    statistics = scorer.unpacked("task", raw(fields["stats"])) if "stats" in fields else {}
    texts = {name: repr(value) for name, value in statistics.items() if name not in fields}
    names = scorer.names("task")
    return TaskRecord.parse(task_id, label_hash(fields["label"]), fields | texts, names)


def _from_records(client: Any, keys: Keys, curriculum: Curriculum) -> ModelCurriculum:
    config = curriculum.config
    scorer = config.algorithm
    model = ModelCurriculum(scorer, config.num_active_tasks, config.seed)
    for record in records(client, keys, scorer):
        assert record.label_hash == label_hash(record.label)
        progress = Progress(record.last_score, **record.statistics)
        task = ModelTask(record.task_id, record.label, record.params, progress)
        task.sample_count = record.sample_count
        model.tasks[record.task_id] = task
    stem = keys.progress("")
    for key in client.scan_iter(f"{stem}*", count=10_000):
        fields = client.hgetall(key)
        if "stats" in fields:
            statistics = scorer.unpacked("label", raw(fields["stats"]))
            score = float(fields["last_score"])
            model.labels[key.removeprefix(stem)] = Progress(score, **statistics)
    return model


def _assert_indices(client: Any, keys: Keys, model: ModelCurriculum) -> None:
    indices = model.indices()
    for part in PARTS:
        stored = client.zrange(keys.pool + part, 0, -1, withscores=True)
        assert [(int(task_id), lp) for task_id, lp in stored] == getattr(indices, part), part
    assert stored_sums(client, keys) == indices.sums
    stem = keys.label("")
    sets = {
        key.removeprefix(stem): {int(task_id) for task_id in client.smembers(key)}
        for key in client.scan_iter(f"{stem}*", count=10_000)
    }
    assert sets == indices.label_sets
    active = {label: int(count) for label, count in client.hgetall(keys.labels).items()}
    assert active == {label: len(ids) for label, ids in sets.items()}
    assert not set(client.zrange(keys.inactive, 0, -1)) & set(active)
    kept = stored_label_sets(client, keys)
    for label in {*model.labels, *active}:
        eligible = int(client.hget(keys.progress(label), "eligible_count") or 0)
        if eligible:
            kept[label] = {"eligible_count": eligible}
    assert kept == indices.kept
    stem = keys.members("")
    members = {
        key.removeprefix(stem): set(map(int, client.zrange(key, 0, -1)))
        for key in client.scan_iter(f"{stem}*", count=10_000)
    }
    assert members == indices.members


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
