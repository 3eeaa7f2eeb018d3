"""Many processes and threads on one curriculum: exact counts, and every index whole."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig
from redis_curriculum.tasks import Buckets, Outcome
from redis_curriculum.tasks.ids import task_id_at
from tests.processes import all_together, in_processes
from tests.servers import RunningServer
from tests.whole import assert_whole, total

TASKS = Buckets(label="kind-{kind}", buckets={"kind": [0, 1, 2], "seed": list(range(9))})


def config_of(size: int, **algorithm: Any) -> CurriculumConfig:
    hypers = {"replacement_rate": 0.0, "min_samples_for_lp": 2} | algorithm
    hypers.setdefault("min_presentations_for_eviction", 4)
    return CurriculumConfig(
        task_generator=TASKS,
        num_active_tasks=size,
        seed=3,
        algorithm=LearningProgressConfig(**hypers),
    )


# --- one record ----------------------------------------------------------------------------------


def report(url: str, name: str, task_id: int, scores: list[float]) -> list[Outcome]:
    with Curriculum.open(url, name) as curriculum:
        all_together()
        return [curriculum.update_task_performance(task_id, score) for score in scores]


def test_eight_processes_update_one_task(server: RunningServer, url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(4)) as curriculum:
        task_id = curriculum.task_ids()[0]
        scores = [[(i * 50 + n) % 64 / 64 for n in range(50)] for i in range(8)]
        outcomes = in_processes(report, [(url, name, task_id, own) for own in scores])
        assert outcomes == [[Outcome.APPLIED] * 50] * 8
        record = curriculum.get_task_stats(task_id)
        assert record is not None
        assert record.completion_count == 8 * 50
        assert record.total_score == sum(map(sum, scores)), "sums of 64ths are exact"
        assert_whole(server, curriculum)
        assert curriculum.check() == []


def report_naively(url: str, key: str, count: int) -> None:
    """What a store without scripts does: read, add, write."""
    client = redis.Redis.from_url(url)
    all_together()
    for _ in range(count):
        done = int(client.hget(key, "completion_count") or 0)
        client.hset(key, "completion_count", str(done + 1))
    client.close()


def test_the_same_without_scripts_loses_results(server: RunningServer, url: str, name: str) -> None:
    key = Keys(name).task(0)
    in_processes(report_naively, [(url, key, 100)] * 8)
    with server.client() as client:
        assert int(client.hget(key, "completion_count")) < 8 * 100


def test_threads_share_a_handle(server: RunningServer, url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(8)) as curriculum:

        def play(seed: int) -> list[int]:
            drawn = []
            for i in range(40):
                task = curriculum.get_task()
                drawn.append(task.task_id)
                curriculum.update_task_performance(task.task_id, (seed + i) % 8 / 8)
            return drawn

        with ThreadPoolExecutor(8) as pool:
            handed = Counter(task_id for drawn in pool.map(play, range(8)) for task_id in drawn)
        for task_id in curriculum.task_ids():
            record = curriculum.get_task_stats(task_id)
            assert record is not None
            assert record.sample_count == record.completion_count == handed[task_id]
        assert handed.total() == 8 * 40
        assert_whole(server, curriculum)


# --- the pool ------------------------------------------------------------------------------------


def open_and_look(url: str, name: str, size: int) -> tuple[list[int], int]:
    all_together()
    with Curriculum.open(url, name, config_of(size)) as curriculum:
        return curriculum.task_ids(), curriculum.get_task().task_id


def test_eight_processes_create_one_curriculum(server: RunningServer, url: str, name: str) -> None:
    pools = [pool for pool, _ in in_processes(open_and_look, [(url, name, 300)] * 8)]
    assert len(pools[0]) == 300
    assert pools == [pools[0]] * 8
    # Nobody waits longer than three seconds for a busy process; others then make tasks further on.
    assert set(pools[0]) <= {task_id_at(3, index) for index in range(8 * 300)}
    with server.client() as client:
        assert total(client, Keys(name).count("created")) == 300
        assert total(client, Keys(name).count("samples")) == 8


def do_everything(url: str, name: str, seed: int, rounds: int) -> Counter[str]:
    """Random calls of every kind; what they answered, counted."""
    choose = random.Random(seed)
    done: Counter[str] = Counter()
    with Curriculum.open(url, name) as curriculum:
        size = curriculum.config.num_active_tasks
        tasks = curriculum.get_tasks(4)
        done["handed"] += 4
        all_together()
        for _ in range(rounds):
            task = choose.choice(tasks)
            match choose.randrange(6):
                case 0 | 1:
                    finished = [(task.task_id, choose.random()) for task in tasks]
                    step = curriculum.next_tasks(finished, choose.randint(1, 9))
                    tasks = step.tasks
                    done["handed"] += len(tasks)
                    done.update(str(outcome) for outcome in step.outcomes)
                case 2:
                    done[f"removed {curriculum.evict(task.task_id)}"] += 1
                case 3:
                    label = f"kind-{choose.randrange(4)}"
                    curriculum.set_label(task.task_id, label)
                case 4:
                    done[str(curriculum.update_task_performance(task.task_id, 1))] += 1
                case 5:
                    assert len(curriculum.task_ids()) <= size
                    probabilities = curriculum.distribution().values()
                    assert sum(probabilities) == pytest.approx(1, abs=1e-9)
    return done


@pytest.mark.parametrize("pooling", ["label", "task"])
def test_create_evict_and_sample_together(
    server: RunningServer, url: str, name: str, pooling: str
) -> None:
    config = config_of(24, pooling=pooling, replacement_rate=0.05, min_presentations_for_eviction=2)
    with Curriculum.open(url, name, config) as curriculum:
        counts = in_processes(do_everything, [(url, name, seed, 120) for seed in range(6)])
        done = sum(counts, Counter())
        assert_whole(server, curriculum)
        assert curriculum.check() == []
        keys = Keys(name)
        with server.client() as client:
            assert total(client, keys.count("samples")) == done["handed"]
            assert total(client, keys.count("completions")) == done["applied"]
            assert int(client.hget(keys.meta, "late_count")) == done["evicted"] > 0
            evicted = total(client, keys.count("evictions"))
            events = Counter(entry["event"] for _, entry in client.xrange(keys.events))
        assert evicted == events["evicted"] > done["removed applied"] > 0, "some were replaced"
        assert done["duplicate"] == 0


# --- seen ----------------------------------------------------------------------------------------


def make_one(url: str, name: str, gone: int) -> list[int]:
    """Evict a task and let the next draw create another; the new ones' ids."""
    with Curriculum.open(url, name) as curriculum:
        all_together()
        before = set(curriculum.task_ids())
        curriculum.evict(gone)
        curriculum.get_task()
        return sorted(set(curriculum.task_ids()) - before)


def test_a_new_task_is_seen_by_label_elsewhere_at_once(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(10)) as here:
        before = here.task_ids()
        ((created,),) = in_processes(make_one, [(url, name, before[0])])
        label = TASKS.generate(created).label
        assert created in here.task_ids(label)
        assert before[0] not in here.task_ids()
        assert sum(here.labels().values()) == 10
        record = here.get_task_stats(created)
        assert record is not None
        assert record.label == label
        assert created in here.distribution()
