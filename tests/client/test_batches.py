"""Batches by a key: drawn once, whoever asks, kept on the server, bounded, part of a snapshot."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from scipy import stats

from redis_curriculum import AsyncCurriculum, Curriculum, CurriculumConfig, WorkerSettings
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._store.keyed import MOST_BATCHES
from redis_curriculum.config import GroupProgressConfig, LearningProgressConfig, UniformConfig
from redis_curriculum.errors import InvalidInputError, MalformedStateError, StaleGenerationError
from redis_curriculum.tasks import Table
from tests.harness import connect
from tests.lossy import lossy
from tests.servers import RunningServer

ROWS = 60


def config_of(algorithm: Any = None, rows: int = ROWS) -> CurriculumConfig:
    return CurriculumConfig(task_generator=Table(rows), algorithm=algorithm or UniformConfig())


@pytest.fixture
def curriculum(url: str, name: str) -> Iterator[Curriculum]:
    with Curriculum.open(url, name, config_of()) as opened:
        yield opened


def samples(curriculum: Curriculum) -> dict[int, int]:
    found = curriculum.records()
    return dict(zip(found["task_id"].tolist(), found["sample_count"].tolist(), strict=True))


@pytest.mark.parametrize("algorithm", [GroupProgressConfig(), LearningProgressConfig(), None])
def test_whoever_asks_gets_the_same_and_it_counts_once(url: str, name: str, algorithm: Any) -> None:
    """Ranks with small chunks draw parts of one batch at the same time."""
    with Curriculum.open(url, name, config_of(algorithm)) as curriculum:

        def rank(chunk: int) -> list[list[int]]:
            settings = WorkerSettings(chunk=chunk)
            with Curriculum.open(url, name, worker=settings) as own:
                return [own.get_batch(f"step {step}", 24) for step in range(6)]

        with ThreadPoolExecutor(4) as pool:
            first, *others = pool.map(rank, (3, 5, 7, 1000))
        assert others == [first] * 3
        assert all(len(set(batch)) == 24 for batch in first)
        assert len({tuple(batch) for batch in first}) == 6
        assert Counter(samples(curriculum)) == Counter(id_ for batch in first for id_ in batch)
        assert curriculum.check() == []


def test_both_handles_answer_alike(curriculum: Curriculum) -> None:
    async def ask() -> list[int]:
        async with await AsyncCurriculum.open(curriculum.url, curriculum.name) as other:
            return await other.get_batch("step 1", 5)

    assert asyncio.run(ask()) == curriculum.get_batch("step 1", 5)


def test_draws_go_by_the_probabilities_of_the_algorithm(url: str, name: str) -> None:
    config = config_of(GroupProgressConfig(floor=0.3), rows=12)
    with Curriculum.open(url, name, config) as curriculum:
        results = [(i, (i % 5) / 4, {"trials": 4}) for i in range(9)]
        curriculum.update_many(results)
        chances = curriculum.distribution()
        drawn = Counter(curriculum.get_batch(f"{n}", 1)[0] for n in range(2000))
        found = [drawn[task_id] for task_id in chances]
        wished = 2000 * np.array(list(chances.values()))
        assert max(wished) > 2 * min(wished)
        assert stats.chisquare(found, wished).pvalue > 1e-5


def test_the_whole_table_is_one_batch(url: str, name: str) -> None:
    """The last tasks are hardly ever drawn: a pass over the pool finds them."""
    with Curriculum.open(url, name, config_of(GroupProgressConfig(floor=0.01))) as curriculum:
        curriculum.update_many([(i, 1.0, {"trials": 8}) for i in range(ROWS // 2)])
        batch = curriculum.get_batch("all", ROWS)
        assert sorted(batch) == list(range(ROWS))
        assert np.mean(batch[: ROWS // 2]) > np.mean(batch[ROWS // 2 :])
        assert set(samples(curriculum).values()) == {1}


def test_another_size_and_other_bad_input_draw_nothing(curriculum: Curriculum) -> None:
    batch = curriculum.get_batch("step 1", 8)
    for count in (7, 9):
        with pytest.raises(
            InvalidInputError, match="8, as in the first call with the key 'step 1'"
        ):
            curriculum.get_batch("step 1", count)
    with pytest.raises(
        InvalidInputError, match=f"at most {ROWS}, the number of tasks that can be drawn"
    ) as raised:
        curriculum.get_batch("step 2", ROWS + 1)
    assert (raised.value.field, raised.value.value) == ("count", ROWS + 1)
    bad: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        (("", 1), {}, "key"),
        (("a\n", 1), {}, "key"),
        ((17, 1), {}, "key"),
        (("k", 0), {}, "count"),
        (("k", 16_385), {}, "count"),
        (("k", 2.5), {}, "count"),
        (("k", 1), {"skip_right": 256}, "skip_right"),
        (("k", 1), {"skip_wrong": -1}, "skip_wrong"),
    ]
    for arguments, named, field in bad:
        with pytest.raises(InvalidInputError) as raised:
            curriculum.get_batch(*arguments, **named)
        assert raised.value.field == field
    curriculum.remove_tasks(range(ROWS - 4))
    with pytest.raises(InvalidInputError, match="at most 4"):  # no row comes back
        curriculum.get_batch("step 3", 8)
    curriculum.set_weight(ROWS - 1, 0.0)
    with pytest.raises(InvalidInputError, match="at most 3"):
        curriculum.get_batch("step 3", 4)
    assert set(curriculum.get_batch("step 4", 3)) == set(range(ROWS - 4, ROWS - 1))
    assert curriculum.get_batch("step 1", 8) == batch, "kept, though its tasks have gone"
    assert curriculum.stats()["num_scheduled"] == 8 + 3


def test_a_pool_that_others_fill_is_waited_for(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(rows=4)) as curriculum:
        settings = WorkerSettings(retry_deadline_s=20)
        with (
            Curriculum.open(url, name, worker=settings) as other,
            ThreadPoolExecutor(1) as thread,
        ):
            curriculum.configure(generator=Table(9), num_active_tasks=9)
            asked = thread.submit(other.get_batch, "step 1", 9)
            assert sorted(asked.result()) == list(range(9))


def answered(curriculum: Curriculum, batch: list[int], score: float) -> None:
    curriculum.update_many([(task_id, score) for task_id in batch])


def test_what_was_all_right_or_all_wrong_is_passed_over_for_a_while(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(rows=12)) as curriculum:
        gates = {"skip_right": 2, "skip_wrong": 1}
        right = curriculum.get_batch("0", 4, **gates)
        answered(curriculum, right, 1.0)
        wrong = curriculum.get_batch("1", 4, **gates)
        assert not set(right) & set(wrong)
        answered(curriculum, wrong, 0.0)
        mixed = curriculum.get_batch("2", 4, **gates)
        assert set(mixed) == set(range(12)) - set(right) - set(wrong)
        answered(curriculum, mixed, 0.5)
        # Two batches ago all wrong: tried again. All right three ago: too.
        seen = set[int]()
        for n in range(3, 5):
            batch = curriculum.get_batch(f"{n}", 8, **gates)
            seen |= set(batch)
            assert len(set(batch)) == 8
        assert seen == set(range(12))
        # Where too few are left, those that are passed over are drawn all the same.
        everything = curriculum.get_batch("5", 12)
        answered(curriculum, everything, 1.0)
        assert len(set(curriculum.get_batch("6", 5, skip_right=255))) == 5


def test_the_latest_batches_are_kept(curriculum: Curriculum, server: RunningServer) -> None:
    keys = Keys(curriculum.name)
    large = curriculum.get_batch("large", ROWS)
    drawn = [curriculum.get_batch(f"{n}", 1) for n in range(MOST_BATCHES)]
    with connect(server) as client:
        assert client.hlen(keys.batches) == client.zcard(keys.batch_order) == MOST_BATCHES
        assert not client.hexists(keys.batches, "large")
    assert [curriculum.get_batch(f"{n}", 1) for n in (0, MOST_BATCHES - 1)] == [drawn[0], drawn[-1]]
    assert curriculum.get_batch("large", ROWS) != large, "drawn anew"
    assert curriculum.check() == []


def test_a_lost_reply_and_lost_writes_change_nothing(server: RunningServer, name: str) -> None:
    url = server.url
    Curriculum.open(url, name, config_of()).close()
    curriculum, link = lossy(url, name, deadline_s=5.0)
    with curriculum:
        link.lose = "batch"
        batch = curriculum.get_batch("step 1", 10)
        assert not link.lose
        assert Counter(samples(curriculum).values()) == {1: 10, 0: ROWS - 10}
        keys = Keys(name)
        with connect(server) as client:  # as a replica that had not seen the last write
            client.hdel(keys.batches, "step 1")
            client.zrem(keys.batch_order, "step 1")
            client.hincrby(keys.worker(curriculum.worker_id), "sequence", -1)
        curriculum.get_batch("step 2", 10)
        with Curriculum.open(url, name) as other:
            assert other.get_batch("step 1", 10) == batch


def test_going_back_brings_the_batches_that_were_drawn_ahead(curriculum: Curriculum) -> None:
    for n in range(3):
        curriculum.get_batch(f"{n}", 8)
    state = curriculum.state_dict()
    ahead = [curriculum.get_batch(f"{n}", 8) for n in range(6)]
    with Curriculum.open(curriculum.url, curriculum.name) as other:
        curriculum.load_state_dict(state)
        with pytest.raises(StaleGenerationError):
            other.get_batch("3", 8)
        other.reopen()
        assert [other.get_batch(f"{n}", 8) for n in range(6)] == ahead
    assert [curriculum.get_batch(f"{n}", 8) for n in range(6)] == ahead
    assert curriculum.stats()["num_scheduled"] == 48
    assert curriculum.check() == []


def test_a_malformed_batch_is_named(curriculum: Curriculum, server: RunningServer) -> None:
    curriculum.get_batch("0", 8)
    with connect(server) as client:
        client.hset(Keys(curriculum.name).batches, "0", "eight")
    for call in (
        lambda: curriculum.get_batch("0", 8),
        lambda: curriculum.get_batch("1", 8, skip_right=3),
        curriculum.state_dict,
    ):
        with pytest.raises(MalformedStateError, match=r"batches.*eight"):
            call()
    assert curriculum.stats()["num_scheduled"] == 8
