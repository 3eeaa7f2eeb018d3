"""A handle that goes on after a restore has replaced the state it worked on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.config import CurriculumConfig, WorkerSettings
from redis_curriculum.errors import CurriculumNotFoundError, StaleGenerationError
from redis_curriculum.tasks import Buckets, Outcome, TaskSpec
from tests.harness import connect
from tests.lossy import lossy
from tests.servers import RunningServer


def mazes(count: int) -> Buckets:
    return Buckets(label="m-{size}", buckets={"size": list(range(count))})


@pytest.fixture
def live(url: str, name: str) -> Iterator[Curriculum]:
    config = CurriculumConfig(task_generator=mazes(3), num_active_tasks=12)
    with Curriculum.open(url, name, config) as opened:
        yield opened


def replace(live: Curriculum, path: Path, **overrides: Any) -> None:
    """A snapshot of the state, put back over it."""
    live.snapshot(path, overwrite=True)
    name, url = live.name, live.url
    Curriculum.restore(path, url, name=name, replace=True, overrides=overrides).close()


def test_it_goes_on_with_what_is_there_now(live: Curriculum, tmp_path: Path) -> None:
    task = live.get_task()
    assert live.generation == 1
    replace(live, tmp_path / "s.rcs", task_generator=mazes(20), num_active_tasks=40)
    with pytest.raises(StaleGenerationError, match=r"reopen\(\)"):
        live.get_task()
    with pytest.raises(StaleGenerationError, match=r"reopen\(\)"):
        live.task_ids()
    before = live.worker_id
    live.reopen()
    assert (live.generation, live.worker_id != before) == (2, True)
    assert live.config.num_active_tasks == 40
    assert live.update_task_performance(task.task_id, 0.5) is Outcome.APPLIED
    live.get_tasks(50)
    assert len(live.task_ids()) == 40
    assert live.check() == []


def test_the_former_worker_has_left(
    live: Curriculum, tmp_path: Path, server: RunningServer
) -> None:
    live.get_task()
    former = live.worker_id
    replace(live, tmp_path / "s.rcs")
    live.reopen()
    live.get_task()
    with connect(server) as client:
        workers = client.zrange(Keys(live.name).workers, 0, -1)
    assert former not in workers
    assert live.worker_id in workers


def test_a_named_worker_keeps_its_name(live: Curriculum, url: str, tmp_path: Path) -> None:
    settings = WorkerSettings(worker_id="rollout-1")
    with Curriculum.open(url, live.name, worker=settings) as worker:
        worker.get_task()
        for turn in (2, 3):
            replace(live, tmp_path / "s.rcs")
            worker.reopen()
            live.reopen()
            worker.get_task()
            assert (worker.worker_id, worker.generation) == ("rollout-1", turn)


def test_an_unfinished_call_is_given_up(live: Curriculum, url: str, tmp_path: Path) -> None:
    """Its result was counted in the state that is gone; made again it is a new call."""
    other, link = lossy(url, live.name)
    task = live.get_task()
    replace(live, tmp_path / "s.rcs")
    live.reopen()
    with other:
        with pytest.raises(StaleGenerationError):
            other.update_task_performance(task.task_id, 1.0)
        other.reopen()
        link.lose = "record"
        with pytest.raises(Exception, match="reply was lost"):
            other.update_task_performance(task.task_id, 1.0)
        replace(live, tmp_path / "s.rcs")
        other.reopen()
        assert other.update_task_performance(task.task_id, 1.0) is Outcome.APPLIED
        record = other.get_task_stats(task.task_id)
    assert record is not None
    assert record.completion_count == 2  # one before the second snapshot, one after it


class Mine:
    def __init__(self, label: str) -> None:
        self.label = label

    def generate(self, task_id: int) -> TaskSpec:
        return TaskSpec(self.label, {"id": task_id})


def test_an_object_that_makes_tasks_stays(url: str, name: str, tmp_path: Path) -> None:
    config = CurriculumConfig(task_generator=Mine("a"), num_active_tasks=5)
    with Curriculum.open(url, name, config) as live:
        live.snapshot(tmp_path / "s.rcs")
        restored = Curriculum.restore(
            tmp_path / "s.rcs", url, name=name, replace=True, generator=Mine("b")
        )
        restored.close()
        live.reopen()
        live.evict(live.task_ids()[0])
        live.get_task()
        assert live.labels() == {"a": 5}


def test_it_also_takes_over_settings_where_nothing_was_restored(live: Curriculum, url: str) -> None:
    with Curriculum.open(url, live.name) as other:
        other.configure(num_active_tasks=20)
        live.reopen()
    assert (live.generation, live.config.num_active_tasks) == (1, 20)


def test_where_there_is_none_any_more(live: Curriculum, server: RunningServer) -> None:
    with connect(server) as client:
        for key in client.scan_iter(f"{Keys(live.name).prefix}*"):
            client.unlink(key)
    with pytest.raises(CurriculumNotFoundError):
        live.reopen()


def test_asyncio(live: Curriculum, url: str, tmp_path: Path) -> None:
    async def go_on() -> None:
        async with AsyncCurriculum.open(url, live.name) as worker:
            await worker.get_task()
            replace(live, tmp_path / "s.rcs", task_generator=mazes(9))
            with pytest.raises(StaleGenerationError):
                await worker.get_task()
            await worker.reopen()
            assert worker.generation == 2
            await worker.next_tasks([], 30)
            assert worker.config.task_generator == mazes(9)
            assert await worker.check() == []

    asyncio.run(go_on())
