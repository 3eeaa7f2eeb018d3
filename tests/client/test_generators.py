"""Generators that are slow, fail, or have no more tasks: nobody waits, and the pool plays on."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum, CurriculumConfig, TaskSpec, WorkerSettings
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.config import LearningProgressConfig
from redis_curriculum.errors import EmptyPoolError, Exhausted, GeneratorError, GeneratorWarning
from redis_curriculum.tasks import task_id_at
from tests.servers import RunningServer

SHORTLY = WorkerSettings(retry_deadline_s=0.5)
WAIT_S = 30.0
"""Longer than anything here takes; what waits so long has failed."""


class Gated:
    """Makes a task once its gate is open; counts what it makes, and for whom."""

    def __init__(self) -> None:
        self.gate, self.begun = threading.Event(), threading.Semaphore(0)
        self.gate.set()
        self.made: Counter[int] = Counter()

    def generate(self, task_id: int) -> TaskSpec:
        self.begun.release()
        assert self.gate.wait(WAIT_S)
        self.made[task_id] += 1
        return TaskSpec("gated", {"id": task_id})


class Finite:
    """Has so many tasks, or fails from there on."""

    def __init__(self, size: int, error: BaseException | None = None) -> None:
        self.ids = {task_id_at(0, index): index for index in range(size)}
        self.error = error or Exhausted()

    def generate(self, task_id: int) -> TaskSpec:
        if task_id not in self.ids:
            raise self.error
        return TaskSpec("finite", {"index": self.ids[task_id]})


class GatedRows(Finite):
    """Has so many tasks, once its gate is open."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.gate = threading.Event()

    def generate(self, task_id: int) -> TaskSpec:
        assert self.gate.wait(WAIT_S)
        return super().generate(task_id)


def config_of(generator: Any, size: int = 4, **algorithm: Any) -> CurriculumConfig:
    hypers: dict[str, Any] = {"min_samples_for_lp": 1, "min_presentations_for_eviction": 1}
    hypers |= {"replacement_rate": 0.0, "eviction_threshold_percentile": 1.0, **algorithm}
    return CurriculumConfig(
        task_generator=generator, num_active_tasks=size, algorithm=LearningProgressConfig(**hypers)
    )


def replacing(generator: Any) -> CurriculumConfig:
    return config_of(generator, replacement_rate=1.0, exploration_share=1.0)


def ready(curriculum: Curriculum) -> None:
    """Wait until what is being made is made."""
    batch = curriculum._store.maker.batch  # noqa: SLF001 - there is no other way to know
    assert batch is not None
    batch.making.result(WAIT_S)


# --- slow ----------------------------------------------------------------------------------------


def test_draws_go_on_while_a_replacement_is_made(url: str, name: str) -> None:
    generator = Gated()
    with Curriculum.open(url, name, replacing(generator)) as curriculum:
        before = curriculum.task_ids()
        curriculum.update_many([(task_id, 0.5) for task_id in before])
        generator.gate.clear()
        drawn = [curriculum.get_task().task_id for _ in range(20)]
        assert set(drawn) <= set(before)
        assert curriculum.task_ids() == before, "nothing goes before the new task is there"
        generator.gate.set()
        ready(curriculum)
        new = curriculum.get_task()
        assert new.task_id not in before
        assert new.task_id in curriculum.task_ids()
        assert len(curriculum.task_ids()) == 4
        del generator.made[task_id_at(0, 0)]  # it was tried out first
        assert set(generator.made.values()) == {1}
        assert curriculum.check() == []


def test_a_gap_is_filled_behind_the_draws(url: str, name: str) -> None:
    generator = Gated()
    with Curriculum.open(url, name, config_of(generator)) as curriculum:
        generator.gate.clear()
        curriculum.evict(curriculum.task_ids()[0])
        for _ in range(5):
            curriculum.next_task((curriculum.get_task().task_id, 0.5))
        assert len(curriculum.task_ids()) == 3
        generator.gate.set()
        ready(curriculum)
        curriculum.get_task()
        assert len(curriculum.task_ids()) == 4


def test_report_failure_does_not_wait_for_the_new_task(url: str, name: str) -> None:
    generator = Gated()
    with Curriculum.open(url, name, config_of(generator)) as curriculum:
        generator.gate.clear()
        curriculum.report_failure(curriculum.task_ids()[0], "broken", permanent=True)
        assert len(curriculum.task_ids()) == 3
        generator.gate.set()
        ready(curriculum)
        curriculum.get_task()
        assert len(curriculum.task_ids()) == 4


def test_who_finds_an_empty_pool_waits_until_its_deadline(url: str, name: str) -> None:
    generator = Gated()
    with Curriculum.open(url, name, config_of(generator), worker=SHORTLY) as curriculum:
        generator.gate.clear()
        for task_id in curriculum.task_ids():
            curriculum.evict(task_id)
        with pytest.raises(EmptyPoolError, match=r"still being made after 0\.5 s"):
            curriculum.get_task()
        threading.Timer(0.1, generator.gate.set).start()
        assert curriculum.get_task().label == "gated"


def test_open_returns_at_its_deadline(url: str, name: str) -> None:
    generator = Gated()
    generator.gate.clear()
    with Curriculum.open(url, name, config_of(generator), worker=SHORTLY) as curriculum:
        assert curriculum.task_ids() == []
        generator.gate.set()
        assert curriculum.get_task().label == "gated"


def test_others_do_not_make_what_one_is_making(url: str, name: str) -> None:
    slow, quick = Gated(), Gated()
    config = config_of(slow, size=3)
    with Curriculum.open(url, name, config) as one, Curriculum.open(url, name) as other:
        assert not other._store.can_generate  # noqa: SLF001 - it was not passed
        with Curriculum.open(url, name, generator=quick) as two:
            slow.gate.clear()
            for task_id in one.task_ids()[:2]:
                one.evict(task_id)
            slow.made.clear()
            one.get_task()
            for _ in range(4):
                two.get_task()
            assert len(two.task_ids()) == 1
            slow.gate.set()
            ready(one)
            one.get_task()
            two.get_task()
            assert len(two.task_ids()) == 3
            assert not slow.made.keys() & quick.made.keys()
            assert one.check() == []


def test_many_workers_make_each_task_once(url: str, name: str) -> None:
    generator = Gated()

    def attach(_: int) -> None:
        with Curriculum.open(url, name, config_of(generator, size=60)) as curriculum:
            curriculum.get_task()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(attach, range(6)))
    tried_out = task_id_at(0, 0)  # by everyone, at open
    del generator.made[tried_out]
    assert set(generator.made) >= {task_id_at(0, index) for index in range(1, 60)}
    with Curriculum.open(url, name) as curriculum:
        assert len(curriculum.task_ids()) == 60


def test_a_loop_goes_on_while_a_task_is_made(url: str, name: str) -> None:
    generator = Gated()

    async def main() -> None:
        async with AsyncCurriculum.open(url, name, config_of(generator)) as curriculum:
            for task_id in await curriculum.task_ids():
                await curriculum.evict(task_id)
            generator.gate.clear()
            while generator.begun.acquire(blocking=False):
                pass
            drawing = asyncio.create_task(curriculum.get_task())
            await asyncio.to_thread(generator.begun.acquire, timeout=WAIT_S)
            generator.gate.set()  # who blocked the loop would never come here
            assert (await drawing).label == "gated"

    asyncio.run(main())


def test_a_loop_may_end_before_its_task_is_made(url: str, name: str) -> None:
    generator = Gated()

    async def main() -> None:
        async with AsyncCurriculum.open(url, name, config_of(generator)) as curriculum:
            await curriculum.evict((await curriculum.task_ids())[0])
            generator.gate.clear()
            await curriculum.get_task()

    asyncio.run(main())
    generator.gate.set()


# --- no more -------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Exhausted(), KeyError("no such row")], ids=["says so", "fails"])
def test_a_pool_that_cannot_be_refilled_plays_on(
    server: RunningServer, name: str, error: BaseException
) -> None:
    config = config_of(Finite(30, error), size=30)
    with Curriculum.open(server.url, name, config) as curriculum:
        assert len(curriculum.task_ids()) == 30
        curriculum.evict(curriculum.task_ids()[0])
        with pytest.warns(GeneratorWarning, match="plays on with 29 of 30 tasks") as warned:
            drawn = [curriculum.get_task() for _ in range(20)]
        assert len(warned) == 1
        assert len(drawn) == 20
    with server.client() as client:
        found = [fields["event"] for _, fields in client.xrange(Keys(name).events)]
        assert found.count("generator_trouble") == 1
        assert client.hget(Keys(name).meta, "generator_trouble")


def test_nothing_is_evicted_where_nothing_can_be_made(url: str, name: str) -> None:
    with Curriculum.open(url, name, replacing(Finite(4))) as curriculum:
        curriculum.update_many([(task_id, 0.5) for task_id in curriculum.task_ids()])
        with pytest.warns(GeneratorWarning):
            curriculum.get_tasks(50)
        assert len(curriculum.task_ids()) == 4


def test_distinct_draws_from_a_pool_that_stays_too_small(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(Finite(4))) as curriculum:
        curriculum.evict(curriculum.task_ids()[0])
        with (
            pytest.warns(GeneratorWarning),
            pytest.raises(EmptyPoolError, match="4 distinct tasks were asked for, the pool has 3"),
        ):
            curriculum.get_tasks(4, distinct=True)
        assert len(curriculum.get_tasks(3, distinct=True)) == 3


def test_a_small_set_makes_a_small_pool(url: str, name: str) -> None:
    with (
        pytest.warns(GeneratorWarning, match="plays on with 3 of 8 tasks"),
        Curriculum.open(url, name, config_of(Finite(3), size=8)) as curriculum,
    ):
        assert sorted(r["index"] for r in params(curriculum)) == [0, 1, 2]


def params(curriculum: Curriculum) -> list[dict[str, Any]]:
    records = [curriculum.get_task_stats(task_id) for task_id in curriculum.task_ids()]
    return [record.params for record in records if record]


def test_every_row_of_a_set_is_played_though_workers_die(server: RunningServer, name: str) -> None:
    """What a worker had reserved comes back with its death: no row is lost."""
    slow = GatedRows(6)
    slow.gate.clear()
    dying = Curriculum.open(server.url, name, config_of(slow, size=6), worker=SHORTLY)
    assert dying.task_ids() == []
    keys = Keys(name)
    with server.client() as client:
        assert client.hget(keys.meta, "reserved").startswith(dying.worker_id)
        client.delete(keys.worker(dying.worker_id))
        client.zrem(keys.workers, dying.worker_id)
    slow.gate.set()
    with Curriculum.open(server.url, name, generator=slow) as curriculum:
        assert sorted(r["index"] for r in params(curriculum)) == [0, 1, 2, 3, 4, 5]


def test_an_empty_set_leaves_no_curriculum_behind(server: RunningServer, name: str) -> None:
    with pytest.raises(Exhausted, match="no more tasks"):
        Curriculum.open(server.url, name, config_of(Finite(0)))
    with server.client() as client:
        assert client.keys(f"{Keys(name).prefix}*") == []


def test_a_draw_from_an_empty_pool_says_why(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(Finite(1), size=1)) as curriculum:
        curriculum.evict(curriculum.task_ids()[0])
        for _ in range(2):
            with pytest.raises(Exhausted):
                curriculum.get_task()


def test_a_set_that_grows_fills_the_pool_again(url: str, name: str) -> None:
    generator = Finite(2)
    with pytest.warns(GeneratorWarning):
        curriculum = Curriculum.open(url, name, config_of(generator, size=3))
    with curriculum:
        generator.ids[task_id_at(0, 2)] = 2
        curriculum._store.maker._rests_until = 0.0  # noqa: SLF001 - instead of waiting a second
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            curriculum.get_task()
            curriculum.get_task()
        assert len(curriculum.task_ids()) == 3


def test_what_ends_the_generators_thread_ends_the_draw(url: str, name: str) -> None:
    generator = Finite(4)
    with Curriculum.open(url, name, config_of(generator)) as curriculum:
        generator.error = SystemExit("no licence")
        curriculum.evict(curriculum.task_ids()[0])
        with pytest.raises(SystemExit, match="no licence"):
            curriculum.get_task()
        generator.error = GeneratorError("later")
        with pytest.warns(GeneratorWarning, match="later"):
            assert curriculum.get_task().label == "finite"
