"""Weights that the trainer sets: exact in the draw of every family, kept, counted once."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from redis_curriculum import AsyncCurriculum, Curriculum, CurriculumConfig, Outcome
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._sampling.draw import distribution, draw
from redis_curriculum._sampling.pool import Pool
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum.errors import EmptyPoolError, InvalidInputError
from redis_curriculum.scorers import (
    DebiasedProgressConfig,
    GroupProgressConfig,
    LearningProgressConfig,
    Scorer,
    UniformConfig,
)
from redis_curriculum.tasks import Buckets, Table
from redis_curriculum.testing.playing import config_of, deviation
from tests.servers import RunningServer

APPLIED, EVICTED = Outcome.APPLIED, Outcome.EVICTED
SHARES: Any = {"label 1": (0.3, 0.4), "label 2": (0.0, 0.02), "label 3": (0.5, 1.0)}
FAMILIES: dict[str, Scorer] = {
    "label first": DebiasedProgressConfig.fast(least_count=5),
    "sigmoid by label": LearningProgressConfig(),
    "sigmoid by task": LearningProgressConfig(pooling="task", exploration="bonus"),
    "by state": GroupProgressConfig(),
    "uniform": UniformConfig(),
}
QUOTAS: dict[str, Scorer] = {
    "label first with quotas": DebiasedProgressConfig(label_share=SHARES),
    "uniform with quotas": UniformConfig(label_share=SHARES),
}
TABLE = CurriculumConfig(task_generator=Table(20), algorithm=UniformConfig())


def weights_of(ids: list[int]) -> dict[int, float]:
    """Of each sort some: never, rarely, as before, often; one is left out."""
    return {task_id: (0.0, 0.125, 1.0, 0.7, 3.5, 10.0)[i % 6] for i, task_id in enumerate(ids[1:])}


@pytest.mark.parametrize("scorer", [*FAMILIES.values(), *QUOTAS.values()], ids=[*FAMILIES, *QUOTAS])
def test_probabilities_are_multiplied_and_draws_follow(scorer: Scorer, url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(scorer)) as curriculum:
        ids = curriculum.task_ids()
        numbers = {"trials": 8} if scorer.reported else {}
        curriculum.update_many([(i, (i % 9) / 8, numbers) for i in ids for _ in range(i % 4)])
        before, weights = curriculum.distribution(), weights_of(ids)
        curriculum.set_weights(weights)
        expected = curriculum.distribution()
        if not scorer.label_share:
            whole = sum(p * weights.get(i, 1) for i, p in before.items())
            multiplied = {i: p * weights.get(i, 1) / whole for i, p in before.items()}
            assert expected == pytest.approx(multiplied)
        drawn = curriculum.get_tasks(6000)
        assert deviation(Counter(task.task_id for task in drawn), expected) < 4.75
        one_by_one = Counter(curriculum.get_task().task_id for _ in range(400))
        assert deviation(one_by_one, expected) < 4.75
        assert curriculum.check() == []


def test_quotas_hold_for_labels_whose_tasks_have_weights(url: str, name: str) -> None:
    """Tasks of a label share its part by their weights; a label of weight 0 is not there."""
    rows = [{"l": label} for label in "aaabbbcc"]
    algorithm = UniformConfig(label_share={"a": (0.6, 1.0), "b": (0.0, 0.1), "c": (0.0, 0.9)})
    config = CurriculumConfig(task_generator=Table(rows, label="{l}"), algorithm=algorithm)
    with Curriculum.open(url, name, config) as curriculum:
        curriculum.set_weights({0: 2.0, 1: 0.0, 3: 5.0})
        found = curriculum.distribution()
        expected = [0.4, 0.0, 0.2, *(0.1 * w / 7 for w in (5, 1, 1)), 0.15, 0.15]
        assert list(found.values()) == pytest.approx(expected)
        curriculum.set_weights(dict.fromkeys(range(3), 0))
        found = curriculum.distribution()
        assert list(found.values()) == pytest.approx(
            [0, 0, 0, *(0.1 * w / 7 for w in (5, 1, 1)), 0.45, 0.45]
        )
        assert not {task.task_id for task in curriculum.get_tasks(300)} & {0, 1, 2}


def test_a_task_that_is_hardly_ever_picked_is_drawn_by_its_weight(url: str, name: str) -> None:
    """The script gives up, and the rest is chosen in a pass over the pool, with one task alike."""
    config = CurriculumConfig(task_generator=Table(3000), algorithm=UniformConfig())
    with Curriculum.open(url, name, config) as curriculum:
        curriculum.set_weights({**dict.fromkeys(range(3000), 0), 7: 1e6, 8: 5e5, 9: 1e-6})
        drawn = Counter(task.task_id for task in curriculum.get_tasks(3000))
        assert deviation(drawn, {7: 2 / 3, 8: 1 / 3}) < 4.75
        drawn = Counter(curriculum.get_task().task_id for _ in range(150))
        assert deviation(drawn, {7: 2 / 3, 8: 1 / 3}) < 4.75
        three = [task.task_id for task in curriculum.get_tasks(3, distinct=True)]
        assert sorted(three) == [7, 8, 9]
        assert three[2] == 9
        with pytest.raises(EmptyPoolError, match="4 distinct tasks were asked for, the pool has 3"):
            curriculum.get_tasks(4, distinct=True)


def test_without_weights_nothing_is_multiplied_and_no_random_number_is_spent() -> None:
    pool = Pool(np.arange(5), {"completion_count": np.zeros(5)}, np.zeros(5, np.intp), {}, ["a"])
    weighed = Pool(**{**vars(pool), "task_weights": np.ones(5)})
    one, other = RandomStream.from_seed(1), RandomStream.from_seed(1)
    draw(pool, UniformConfig(), one, 9)
    draw(weighed, UniformConfig(), other, 9)
    assert one.state != other.state
    assert distribution(pool, UniformConfig()) == pytest.approx(
        distribution(weighed, UniformConfig())
    )


def test_weights_belong_to_the_task_in_the_pool(url: str, name: str) -> None:
    with Curriculum.open(url, name, TABLE) as curriculum:
        assert curriculum.set_weights({3: 0.0, 4: 2, 99: 5.0}) == [APPLIED, APPLIED, EVICTED]
        assert curriculum.set_weight(4, np.float64(1.5)) is APPLIED
        assert curriculum.set_weight(99, 2) is EVICTED
        curriculum.set_label(4, "moved")
        record = curriculum.get_task_stats(4)
        assert record is not None
        assert (record.weight, record.fields()["weight"]) == (1.5, 1.5)
        curriculum.remove_tasks([3, 4])
        curriculum.add_tasks([3, 4])
        assert curriculum.distribution() == pytest.approx(dict.fromkeys(range(20), 1 / 20))
        curriculum.set_weights(dict.fromkeys(range(20), 0))
        assert curriculum.distribution() == dict.fromkeys(range(20), 0)
        for count, distinct in ((1, False), (5, False), (5, True)):
            with pytest.raises(EmptyPoolError, match="every task of the pool has weight 0"):
                curriculum.get_tasks(count, distinct=distinct)
        curriculum.set_weight(6, 1)
        assert {task.task_id for task in curriculum.get_tasks(20)} == {6}
        curriculum.set_weights(dict.fromkeys(range(20), 1.0))
        assert curriculum.distribution() == pytest.approx(dict.fromkeys(range(20), 1 / 20))
        events = [event for event in curriculum.events() if event.kind == "weighted"]
        assert len(events) == 5
        assert curriculum.check() == []


def test_new_tasks_take_the_places_of_old_ones_with_weight_1(url: str, name: str) -> None:
    algorithm = LearningProgressConfig(
        replacement_rate=0.5,
        min_samples_for_lp=2,
        min_presentations_for_eviction=5,
        eviction_threshold_percentile=1,
        exploration_share=1.0,
    )
    config = CurriculumConfig(
        task_generator=Buckets(label="m{n}", buckets={"n": [1, 2], "s": list(range(900))}),
        num_active_tasks=10,
        algorithm=algorithm,
    )
    with Curriculum.open(url, name, config) as curriculum:
        first = curriculum.task_ids()
        curriculum.set_weights(dict.fromkeys(first, 0.0))
        curriculum.update_many([(task_id, 0.5) for task_id in first for _ in range(6)])
        drawn = {task.task_id for _ in range(9) for task in curriculum.get_tasks(6)}
        assert drawn
        assert not drawn & set(first), "of weight 0 none is drawn, but new ones come"
        assert curriculum.check() == []


def test_a_snapshot_has_the_weights(url: str, name: str, tmp_path: Path) -> None:
    with Curriculum.open(url, name, TABLE) as curriculum:
        curriculum.set_weights(weights_of(curriculum.task_ids()))
        path = curriculum.snapshot(tmp_path / "a.rcs").path
        with Curriculum.restore(path, url, f"{name}-2") as other:
            assert other.check() == []
            assert other.distribution() == curriculum.distribution()
            assert other.get_tasks(50) == curriculum.get_tasks(50)
            other.set_weights(dict.fromkeys(range(20), 1))
            plain = other.snapshot(tmp_path / "b.rcs").path
        with Curriculum.restore(plain, url, f"{name}-3") as other:
            assert other.distribution() == pytest.approx(dict.fromkeys(range(20), 1 / 20))


def test_what_somebody_has_changed_is_told_and_mended(server: RunningServer, name: str) -> None:
    keys = Keys(name)
    with (
        Curriculum.open(server.url, name, TABLE) as curriculum,
        redis.Redis.from_url(server.url) as client,
    ):
        curriculum.set_weights({1: 0.5, 2: 3.0, 5: 4.0})
        known = curriculum.distribution()
        client.zadd(keys.task_weights, {"1": 7, "3": 2, "77": 4})
        client.zrem(keys.task_weights, "2")
        client.hdel(keys.meta, "weighted")
        wrong = "draws do not go by the weight in its record, or lack a number of it"
        assert curriculum.check() == [
            *(f"task {task_id}: {wrong}" for task_id in (1, 2, 3, 5)),
            "task 77: has a weight or a number of the family's own, but no record",
        ]
        assert curriculum.check(repair=True) == []
        assert client.hget(keys.meta, "weighted") == b"1"
        assert curriculum.distribution() == known
        client.hset(keys.task(5), "weight", "much")
        assert curriculum.check() == [f"task 5: {wrong}"]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "weights must be a mapping of at least one task id to a weight, got {}"),
        ([(1, 2.0)], "weights must be a mapping of at least one task id to a weight"),
        ({"1": 2.0}, "weights must be an integer in [0, 2**53), got '1'"),
        ({1: 2.0, 2: -1e-9}, "weights[2] must be in [0, 1000000], got -1e-09"),
        ({1: float("nan")}, "weights[1] must be in [0, 1000000], got nan"),
        ({1: float("inf")}, "weights[1] must be in [0, 1000000], got inf"),
        ({1: "2"}, "weights[1] must be a number in [0, 1000000], got '2'"),
        ({1: True}, "weights[1] must be a number in [0, 1000000], got True"),
    ],
)
def test_what_is_no_weight_is_refused(url: str, name: str, weights: Any, message: str) -> None:
    with Curriculum.open(url, name, TABLE) as curriculum:
        with pytest.raises(InvalidInputError) as caught:
            curriculum.set_weights(weights)
        assert str(caught.value).startswith(message)
        assert curriculum.distribution() == pytest.approx(dict.fromkeys(range(20), 1 / 20))


def test_the_asyncio_handle_sets_them_too(url: str, name: str) -> None:
    async def play() -> None:
        async with await AsyncCurriculum.open(url, name, TABLE) as curriculum:
            assert await curriculum.set_weights(dict.fromkeys(range(20), 0)) == [APPLIED] * 20
            assert await curriculum.set_weight(2, 0.1) is APPLIED
            assert {task.task_id for task in await curriculum.get_tasks(9)} == {2}

    asyncio.run(play())
