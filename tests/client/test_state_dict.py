"""The state for the trainer's checkpoint: going back in the trainer goes back in the curriculum."""

from __future__ import annotations

import asyncio
import gzip
import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum, CurriculumConfig
from redis_curriculum.envs.assignments import Assignments
from redis_curriculum.envs.episode import Played
from redis_curriculum.errors import (
    ConfigMismatchError,
    InvalidInputError,
    SnapshotError,
    StaleGenerationError,
)
from redis_curriculum.tasks import Buckets, TaskSpec

MAZES = Buckets(label="maze-{size}", buckets={"size": [3, 5, 7]})


class Levels:
    """A user's own generator, bound at open; its data has a fingerprint."""

    def __init__(self, data: str) -> None:
        self._data = data

    def generate(self, task_id: int) -> TaskSpec:
        return TaskSpec(label=f"l-{task_id % 3}", params={})

    def fingerprint(self) -> str:
        return self._data


@pytest.fixture
def curriculum(url: str, name: str) -> Iterator[Curriculum]:
    config = CurriculumConfig(task_generator=MAZES, num_active_tasks=12, seed=5)
    with Curriculum.open(url, name, config) as opened:
        yield opened


def whole(curriculum: Curriculum) -> list[dict[str, Any]]:
    """Every line of a snapshot, without what says when and by whom it was taken."""
    lines = gzip.decompress(curriculum.state_dict()["snapshot"]).splitlines()
    manifest, *rest = map(json.loads, lines)
    passing = ("created_ms", "generation", "workers", "name", "curriculum_created_ms")
    return [{k: v for k, v in manifest.items() if k not in passing}, *rest[:-1]]


def train(curriculum: Curriculum, steps: int) -> list[int]:
    drawn = []
    for i in range(steps):
        tasks = curriculum.get_tasks(4)
        drawn += [task.task_id for task in tasks]
        curriculum.update_many([(task.task_id, (i + n) % 5 / 4) for n, task in enumerate(tasks)])
    return drawn


def test_going_back_draws_what_was_drawn(curriculum: Curriculum) -> None:
    train(curriculum, 30)
    curriculum.end_epoch(step=30)
    state = curriculum.state_dict()
    before = whole(curriculum)
    drawn = train(curriculum, 10)
    curriculum.end_epoch()
    curriculum.load_state_dict(pickle.loads(pickle.dumps(state)))
    assert (curriculum.epoch, curriculum.generation) == (1, 2)
    assert whole(curriculum) == before
    assert curriculum.check() == []
    assert train(curriculum, 10) == drawn


def test_it_is_what_a_snapshot_file_holds(curriculum: Curriculum, tmp_path: Any, url: str) -> None:
    train(curriculum, 5)
    state = curriculum.state_dict()
    assert state.keys() == {"name", "snapshot"}
    (tmp_path / "a.rcs").write_bytes(state["snapshot"])
    with Curriculum.restore(tmp_path / "a.rcs", url, f"{curriculum.name}.2") as restored:
        assert whole(restored) == whole(curriculum)
        train(restored, 5)
        state = restored.state_dict()
        there = whole(restored)
    curriculum.load_state_dict(state)  # of another curriculum
    assert whole(curriculum) == there


def test_live_workers_go_on(curriculum: Curriculum, url: str) -> None:
    """A wrapper's by themselves; a plain handle after ``reopen``."""
    state = curriculum.state_dict()
    name = curriculum.name
    with Curriculum.open(url, name) as wrapped, Curriculum.open(url, name) as o:
        wrapper = Assignments(wrapped, "env")
        wrapper.fill()
        curriculum.load_state_dict(state)
        with pytest.raises(StaleGenerationError):
            o.get_task()
        o.reopen()
        o.get_task()
        (task,) = wrapper.current
        assert task is not None
        assert wrapper.settle({0: Played(task, 1.0, 1, 1.0)})[0]["outcome"] == "dropped"
        (task,) = wrapper.current
        assert task is not None
        assert wrapper.settle({0: Played(task, 1.0, 1, 1.0)})[0]["outcome"] == "applied"
    assert curriculum.stats()["num_completed"] == 1


@pytest.mark.parametrize("state", [None, b"x", [], {}, {"snapshot": "text"}, {"snapshot": None}])
def test_what_is_no_state_changes_nothing(curriculum: Curriculum, state: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"state must be what state_dict\(\) returned"):
        curriculum.load_state_dict(state)
    assert curriculum.generation == 1
    curriculum.get_task()


def test_a_damaged_state_changes_nothing(curriculum: Curriculum) -> None:
    train(curriculum, 3)
    data = curriculum.state_dict()["snapshot"]
    before = whole(curriculum)
    for damaged in (b"", data[:-40], data[:100] + b"\0" + data[101:]):
        with pytest.raises(SnapshotError):
            curriculum.load_state_dict({"snapshot": damaged})
    assert whole(curriculum) == before
    curriculum.get_task()


def test_a_generator_of_other_data_is_refused(url: str, name: str) -> None:
    config = CurriculumConfig(task_generator=Levels("old"), num_active_tasks=6)
    with Curriculum.open(url, f"{name}.1", config) as first:
        state = first.state_dict()
    config = CurriculumConfig(task_generator=Levels("new"), num_active_tasks=6)
    with Curriculum.open(url, f"{name}.2", config) as second:
        with pytest.raises(ConfigMismatchError, match="data of the task generator"):
            second.load_state_dict(state)
        second.get_task()
    with Curriculum.open(url, f"{name}.1", generator=Levels("old")) as first:
        first.load_state_dict(state)
        first.evict(first.task_ids()[0])
        first.get_tasks(3)
        assert len(first.task_ids()) == 6, "it still makes tasks"


def test_the_asyncio_handle_does_the_same(curriculum: Curriculum, url: str) -> None:
    train(curriculum, 5)
    before = whole(curriculum)

    async def session() -> dict[str, Any]:
        async with AsyncCurriculum.open(url, curriculum.name) as opened:
            state = await opened.state_dict()
            task = await opened.get_task()
            await opened.update_task_performance(task.task_id, 0.5)
            await opened.load_state_dict(state)
            assert opened.generation == 2
            return state

    asyncio.run(session())
    curriculum.reopen()
    assert whole(curriculum) == before
