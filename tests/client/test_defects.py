"""What the replaced system did wrong and this one must not: one test a line of the design's list.

Numbers are the list's. Where it is short, the wrong way stands beside the right one and must fail.
"""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.config import ConfigWarning, CurriculumConfig, LearningProgressConfig
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.tasks import Buckets, Outcome, Single, Task, TaskSpec
from redis_curriculum.tasks.ids import label_hash
from tests.harness import Harness, commands_run, connect, text_config
from tests.model import Spec
from tests.processes import all_together, in_background, in_processes
from tests.servers import RunningServer
from tests.whole import assert_whole, records, total

SCORER = LearningProgressConfig()
TWO_KINDS = Buckets(label="{kind}", buckets={"kind": ["steady", "rising"], "seed": [1, 2, 3]})


def config_of(**fields: Any) -> CurriculumConfig:
    """A small pool that keeps its tasks, unless told otherwise."""
    algorithm = {"replacement_rate": 0.0, "min_samples_for_lp": 2} | fields.pop("algorithm", {})
    algorithm.setdefault("min_presentations_for_eviction", 4)
    defaults: dict[str, Any] = {"task_generator": TWO_KINDS, "num_active_tasks": 10}
    return CurriculumConfig(**defaults | fields, algorithm=LearningProgressConfig(**algorithm))


class Serial:
    """Labels each task differently, so that a stale label would be seen."""

    def generate(self, task_id: int) -> TaskSpec:
        return TaskSpec(f"label of {task_id}", {})


# --- the table -----------------------------------------------------------------------------------


def test_2_1_freed_slots_keep_no_stale_labels(server: RunningServer, url: str, name: str) -> None:
    config = config_of(task_generator=Serial())
    with Curriculum.open(url, name, config) as curriculum:
        first = set(curriculum.task_ids())
        ever = set(first)
        for _ in range(5):
            for task_id in curriculum.task_ids()[:4]:
                curriculum.update_many([(task_id, 0.3)] * 3)
                curriculum.evict(task_id)
                assert curriculum.task_ids(f"label of {task_id}") == []
                assert f"label of {task_id}" not in curriculum.labels()
            curriculum.get_task()
            fresh = set(curriculum.task_ids()) - ever
            assert len(fresh) == 4, "ids are never used again"
            ever |= fresh
        assert curriculum.labels() == {f"label of {id_}": 1 for id_ in curriculum.task_ids()}
        with server.client() as client:
            stored = {record.task_id for record in records(client, Keys(name), SCORER)}
            assert stored == set(curriculum.task_ids())
        assert_whole(server, curriculum)


_HASHES = """
import sys
from redis_curriculum.tasks.ids import label_hash
print([label_hash(label) for label in sys.argv[1:]], [hash(label) for label in sys.argv[1:]])
"""


def test_2_2_label_hash_is_the_same_in_every_process(url: str, name: str) -> None:
    labels = ["maze-9x9", "ä", "a", "label with spaces"]
    printed = [
        subprocess.run(
            [sys.executable, "-c", _HASHES, *labels],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    first, second = ([part.strip("[") for part in text.split("]")] for text in printed)
    assert first[0] == second[0] == str([label_hash(label) for label in labels]).strip("[]")
    assert first[1] != second[1], "the language's own hash would have failed"
    assert label_hash("a") == 0xCA978112CA1BBDCA & (2**53 - 1), "SHA-256 of 'a' begins so"
    with Curriculum.open(url, name, config_of(task_generator=Single(label="ä"))) as curriculum:
        record = curriculum.get_task_stats(curriculum.task_ids()[0])
        assert record is not None
        assert record.label_hash == label_hash("ä")


def relabel(url: str, name: str, task_id: int, label: str) -> None:
    with Curriculum.open(url, name) as curriculum:
        all_together()
        curriculum.set_label(task_id, label)


def test_2_3_labels_of_other_workers_tasks_are_visible(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        before = curriculum.labels()
        ids = curriculum.task_ids()[:3]
        in_processes(relabel, [(url, name, id_, f"by-{i}") for i, id_ in enumerate(ids)])
        assert before.keys().isdisjoint(f"by-{i}" for i in range(3))
        for i, task_id in enumerate(ids):
            assert curriculum.task_ids(f"by-{i}") == [task_id]


def play_for_ever(url: str, name: str) -> None:
    with Curriculum.open(url, name) as curriculum:
        tasks = curriculum.get_tasks(20)
        while True:
            tasks = curriculum.next_tasks([(task.task_id, 0.5) for task in tasks], 20).tasks


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_3_1_nobody_waits_for_a_dead_or_stopped_worker(
    server: RunningServer, url: str, name: str, how: int
) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        child = in_background(play_for_ever, url, name)
        try:
            with server.client() as client:
                while total(client, Keys(name).count("samples")) < 500:
                    assert child.is_alive()
                    time.sleep(0.01)
            os.kill(child.pid, how)
            for _ in range(30):
                task = curriculum.next_task()
                assert curriculum.update_task_performance(task.task_id, 1) is Outcome.APPLIED
        finally:
            child.kill()
            child.join()
        assert_whole(server, curriculum)
        assert curriculum.check() == []


def test_3_2_a_worker_that_dies_leaves_nothing(server: RunningServer, url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum, server.client() as client:
        curriculum.get_task()
        keys = Keys(name)
        before = set(client.scan_iter())
        died = [Curriculum.open(url, name) for _ in range(5)]
        for handle in died:
            handle.get_task()
        left = {keys.worker(handle.worker_id) for handle in died}
        assert set(client.scan_iter()) - before == left
        client.zadd(keys.workers, dict.fromkeys((h.worker_id for h in died), 1), xx=True)
        with Curriculum.open(url, name) as other:
            other.get_task()
        assert set(client.scan_iter()) == before
        assert client.zrange(keys.workers, 0, -1) == [curriculum.worker_id]


def test_4_1_tasks_without_progress_are_counted(url: str, name: str) -> None:
    """By hand: four eligible tasks, two of them flat; one label of two stands still."""
    algorithm = {"min_samples_for_lp": 2, "pooling": "task"}
    config = config_of(num_active_tasks=6, algorithm=algorithm)
    with Curriculum.open(url, name, config) as curriculum:
        a, b, c, d, under_sampled, _ = curriculum.task_ids()
        assert curriculum.stats()["num_zeros_lp_dist"] == 0, "none is eligible"
        curriculum.update_many([(a, 0.5), (a, 0.5), (b, 0.0), (b, 0.0)])
        curriculum.update_many([(c, 0.5), (c, 1.0), (d, 1.0), (d, 0.9), (under_sampled, 0.5)])
        assert curriculum.stats()["num_zeros_lp_dist"] == 2, "a and b"
        curriculum.update_task_performance(b, 1.0)
        assert curriculum.stats()["num_zeros_lp_dist"] == 1
    with Curriculum.open(url, f"{name}-2", config_of(num_active_tasks=20)) as curriculum:
        rising, steady = curriculum.task_ids("rising"), curriculum.task_ids("steady")
        curriculum.update_many([(i, 1.0) for i in steady] * 2)
        curriculum.update_many([(i, n / 2) for n in range(2) for i in rising])
        assert curriculum.stats()["num_zeros_lp_dist"] == len(steady), "drawn by the label's"
    weights = 1 / (1 + np.exp(-10 * np.array([-1.0, 0.0, 1.0])))
    assert int((weights == 0).sum()) == 0, "the wrong way: a sigmoid's weight is never 0"


def test_4_2_the_distribution_is_normalised_over_eligible_tasks_only(url: str, name: str) -> None:
    config = config_of(
        num_active_tasks=40,
        algorithm={"rand_task_rate": 0.0, "exploration_share": 0.25, "pooling": "task"},
    )
    with Curriculum.open(url, name, config) as curriculum:
        ids = curriculum.task_ids()
        eligible, under_sampled = ids[:32], ids[32:]
        for i, task_id in enumerate(eligible):
            curriculum.update_many([(task_id, 0.0), (task_id, i / 32)])
        distribution = curriculum.distribution()
        assert sum(distribution.values()) == pytest.approx(1, abs=1e-12)
        assert sum(distribution[i] for i in under_sampled) == pytest.approx(0.25)
        assert sum(distribution[i] for i in eligible) == pytest.approx(0.75)
        scores = {i: (r.learning_progress or 0) for i in ids if (r := curriculum.get_task_stats(i))}
        over_all = sum(scores[i] for i in eligible) / sum(s + 0.1 for s in scores.values())
        assert over_all != pytest.approx(0.75, abs=0.1), "normalised over all: another mass"
        drawn = Counter(task.task_id for task in curriculum.get_tasks(2000))
        assert sum(drawn[i] for i in under_sampled) == pytest.approx(500, abs=5 * 19.4)


def end_episodes(url: str, name: str, episodes: int) -> int:
    """Play, and take every fifth task out; return how many went."""
    with Curriculum.open(url, name) as curriculum:
        all_together()
        gone = 0
        task = curriculum.get_task()
        for i in range(episodes):
            if i % 5 == 4:
                gone += curriculum.evict(task.task_id) is Outcome.APPLIED
            task = curriculum.next_task((task.task_id, 0.5))
            curriculum.stats() if i % 25 == 0 else None
        return gone


def test_5_1_evictions_of_an_epoch_are_all_there_at_its_end(url: str, name: str) -> None:
    """The replaced system's counters were zeroed by whoever read them first."""
    with Curriculum.open(url, name, config_of()) as curriculum:
        for _ in range(2):
            gone = sum(in_processes(end_episodes, [(url, name, 100)] * 3))
            seen = curriculum.epoch_report()
            report = curriculum.end_epoch()
            assert report.totals["evictions"] == gone > 0
            assert seen is not None
            assert seen.evictions == report.evictions


def play_with_a_broken_kind(url: str, name: str, episodes: int) -> int:
    """An environment that cannot build one kind of task; return how many failed."""
    with Curriculum.open(url, name) as curriculum:
        all_together()
        failed = 0
        for _ in range(episodes):
            task = curriculum.get_task()
            if task.params["seed"] == 3:
                curriculum.report_failure(task.task_id, ValueError("seed 3 has no exit"))
                failed += 1
            else:
                curriculum.update_task_performance(task.task_id, 0.5)
        return failed


def test_5_2_a_broken_task_disappears_from_the_pool(
    server: RunningServer, url: str, name: str
) -> None:
    config = config_of(num_active_tasks=12, algorithm={"max_consecutive_failures": 2})
    with Curriculum.open(url, name, config) as curriculum:
        broken = {i for i in curriculum.task_ids() if TWO_KINDS.generate(i).params["seed"] == 3}
        assert broken
        failed = in_processes(play_with_a_broken_kind, [(url, name, 150)] * 2)
        assert broken.isdisjoint(curriculum.task_ids())
        quarantine = curriculum.quarantine()
        assert broken <= set(quarantine)
        assert set(quarantine.values()) == {"ValueError: seed 3 has no exit"}
        assert all(TWO_KINDS.generate(i).params["seed"] == 3 for i in quarantine)
        assert len(curriculum.task_ids()) == 12, "each was replaced"
        report, late = curriculum.end_epoch(), curriculum.stats()["num_late_updates"]
        assert report.totals["failures"] + late == sum(failed)
        assert report.totals["evictions"] == len(quarantine)
        assert curriculum.check() == []
        assert_whole(server, curriculum)


# --- found while reading and running it ----------------------------------------------------------


def test_a_first_success_after_fifty_failures_is_progress(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        task_id = curriculum.task_ids()[0]
        curriculum.update_many([(task_id, 0.0)] * 50)
        record = curriculum.get_task_stats(task_id)
        assert record is not None
        assert (record.p_fast, record.p_slow, record.learning_progress) == (0, 0, 0)
        curriculum.update_task_performance(task_id, 1.0)
        record = curriculum.get_task_stats(task_id)
        assert record is not None
        assert record.learning_progress is not None
        assert record.learning_progress == pytest.approx(0.1 - 0.02)
    fast = slow = 0.0
    for score in [0.0] * 50 + [1.0]:  # the wrong way: zero means unset
        fast = score if fast == 0 else fast + 0.1 * (score - fast)
        slow = score if slow == 0 else slow + 0.02 * (score - slow)
    assert abs(fast - slow) == 0


def test_task_id_zero_works(server: RunningServer, url: str, name: str) -> None:
    hypers = LearningProgressConfig(
        replacement_rate=0, min_samples_for_lp=1, min_presentations_for_eviction=1
    )
    config = text_config(hypers, num_active_tasks=1)
    with connect(server) as client:
        harness = Harness(client, name, config)
        harness.create([(0, "zero", {"n": 0})])
        harness.leave()
    with Curriculum.open(url, name) as curriculum:
        assert curriculum.task_ids() == curriculum.task_ids("zero") == [0]
        assert curriculum.get_task() == Task(0, "zero", {"n": 0})
        assert curriculum.update_task_performance(0, 0.0) is Outcome.APPLIED
        assert curriculum.next_task((0, 0.5)).task_id == 0
        assert curriculum.distribution() == {0: 1.0}
        record = curriculum.get_task_stats(0)
        assert record is not None
        assert (record.task_id, record.completion_count, record.sample_count) == (0, 2, 2)
        assert_whole(server, curriculum)
        assert curriculum.set_label(0, "null") is Outcome.APPLIED
        assert curriculum.evict(0) is Outcome.APPLIED
        assert curriculum.get_task_stats(0) is None


def test_a_sample_is_counted_once(server: RunningServer, url: str, name: str) -> None:
    config = config_of(num_active_tasks=5)
    with Curriculum.open(url, name, config) as curriculum:
        handed: Counter[int] = Counter()
        task = curriculum.get_task()
        handed[task.task_id] += 1
        for count in (1, 7, 300):
            tasks = curriculum.get_tasks(count)
            handed.update(task.task_id for task in tasks)
            curriculum.update_many([(task.task_id, 0.5) for task in tasks])
        task = curriculum.next_task((task.task_id, 0.5))
        handed[task.task_id] += 1
        found = [curriculum.get_task_stats(task_id) for task_id in curriculum.task_ids()]
        assert {r.task_id: r.sample_count for r in found if r} == dict(handed)
        with server.client() as client:
            assert total(client, Keys(name).count("samples")) == handed.total() == 310


def test_workers_of_one_pickled_handle_draw_different_tasks(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(num_active_tasks=200)) as curriculum:
        dumped = pickle.dumps(curriculum)
        drawn = []
        for _ in range(4):
            with pickle.loads(dumped) as worker:
                drawn.append(tuple(task.task_id for task in worker.get_tasks(10)))
        assert len(set(drawn)) == 4
    stream = pickle.dumps(random.Random(0))  # the wrong way: the stream travels with the handle
    assert pickle.loads(stream).random() == pickle.loads(stream).random()


def test_a_late_result_changes_no_task(server: RunningServer, url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum, server.client() as client:
        keys = Keys(name)
        gone = curriculum.task_ids()[2]
        curriculum.update_task_performance(gone, 0.5)
        curriculum.evict(gone)
        curriculum.get_task()  # another takes its place
        before = {r.task_id: r for r in records(client, keys, SCORER)}
        progress = client.hgetall(keys.progress(TWO_KINDS.generate(gone).label))
        assert curriculum.update_task_performance(gone, 1.0) is Outcome.EVICTED
        assert curriculum.update_many([(gone, 1.0)] * 2) == [Outcome.EVICTED] * 2
        assert {r.task_id: r for r in records(client, keys, SCORER)} == before
        assert gone not in curriculum.task_ids()
        assert client.hgetall(keys.progress(TWO_KINDS.generate(gone).label)) == progress
        assert int(client.hget(keys.meta, "late_count")) == 3, "counted, not dropped in silence"
        assert_whole(server, curriculum)


@pytest.mark.filterwarnings("ignore::redis_curriculum.errors.ConfigWarning")
@pytest.mark.parametrize("preset", ["default", "stable", "fast_learning", "arena_legacy"])
def test_presets_are_validated_like_any_config(url: str, name: str, preset: str) -> None:
    make = getattr(LearningProgressConfig, preset)
    with pytest.raises(InvalidInputError, match=r"ema_timescale must be in \(0, 1\], got 1\.5"):
        make(ema_timescale=1.5)
    with pytest.raises(InvalidInputError, match="min_presentations_for_eviction"):
        make(min_samples_for_lp=50, min_presentations_for_eviction=49)
    with pytest.raises(InvalidInputError, match="no_such_field"):
        make(no_such_field=1)
    config = CurriculumConfig(task_generator=TWO_KINDS, num_active_tasks=4, algorithm=make())
    with Curriculum.open(url, name, config) as curriculum:
        for _ in range(30):
            tasks = curriculum.get_tasks(4)
            curriculum.update_many([(task.task_id, 0.5) for task in tasks])
        assert curriculum.check() == []


def test_the_legacy_preset_says_what_it_does() -> None:
    with pytest.warns(ConfigWarning, match="outrun"):
        LearningProgressConfig.arena_legacy()


def test_a_full_pool_is_said_and_loses_no_task(server: RunningServer, name: str) -> None:
    hypers = LearningProgressConfig(
        min_samples_for_lp=1, min_presentations_for_eviction=1, eviction_threshold_percentile=1
    )
    with connect(server) as client:
        harness = Harness(client, name, text_config(hypers, num_active_tasks=3))
        specs: list[Spec] = [(100 + i, "a", {}) for i in range(5)]
        _, created, missing = harness.create(specs)
        assert (created, missing) == (3, 0)
        assert harness.reserve(1)[1] == 3, "the rest keeps its numbers"
        _, created, missing = harness.create(specs[3:])
        assert (created, missing) == (0, 0)
        harness.record([(101, 0.5)])
        reply = harness.replace(specs[3:])
        assert (reply.ids, reply.missing) == ([103], 0), "room was made"
        assert sorted(r.task_id for r in records(client, harness.keys, harness.hypers)) == [
            100,
            102,
            103,
        ]


@pytest.mark.parametrize("score", [-0.001, 1.001, float("nan"), float("inf"), -1, 2])
def test_scores_outside_the_range_are_refused(url: str, name: str, score: float) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        task_id = curriculum.task_ids()[0]
        with pytest.raises(InvalidInputError, match="score must be"):
            curriculum.update_task_performance(task_id, score)
        record = curriculum.get_task_stats(task_id)
        assert record is not None
        assert record.completion_count == 0


@pytest.mark.parametrize("pooling", ["label", "task"])
def test_the_cost_of_eviction_does_not_grow_with_the_pool(
    server: RunningServer, url: str, name: str, pooling: str
) -> None:
    costs = []
    for size in (30, 1000):
        config = config_of(
            num_active_tasks=size,
            algorithm={
                "pooling": pooling,
                "replacement_rate": 1.0,
                "min_samples_for_lp": 1,
                "min_presentations_for_eviction": 1,
                "exploration_share": 1.0,
            },
        )
        with Curriculum.open(url, f"{name}-{size}", config) as curriculum:
            curriculum.update_many([(task_id, 0.5) for task_id in curriculum.task_ids()])
            curriculum.get_task()
            before = commands_run(server)
            tasks = [curriculum.get_task() for _ in range(5)]
            costs.append((commands_run(server) - before) / len(tasks))
            evicted = size - sum(
                1
                for i in curriculum.task_ids()
                if (r := curriculum.get_task_stats(i)) and r.completion_count
            )
            assert evicted == 6, "each of them was a replacement"
    assert costs[0] == pytest.approx(costs[1], rel=0.1)
    assert costs[1] < 100, "far below one command a task"


def test_the_default_settings_use_learning_progress(url: str, name: str) -> None:
    config = CurriculumConfig(task_generator=TWO_KINDS, num_active_tasks=20, seed=5)
    with Curriculum.open(url, name, config) as curriculum:
        task, episodes, drawn = curriculum.get_task(), 2000, Counter[str]()
        for episode in range(episodes):
            rising = task.label == "rising"
            score = episode / episodes if rising else 0.5
            task = curriculum.next_task((task.task_id, score))
            drawn[task.label] += episode >= episodes // 2
        found = [curriculum.get_task_stats(task_id) for task_id in curriculum.task_ids()]
        eligible = [r for r in found if r and r.completion_count >= 10]
        assert len(eligible) >= 10, "tasks live long enough to be judged"
        part = sum(r.label == "rising" for r in found if r) / len(found)
        assert drawn["rising"] / drawn.total() > part + 0.15
        distribution = curriculum.distribution()
        mass = sum(distribution[r.task_id] for r in found if r and r.label == "rising")
        assert mass > part + 0.15
