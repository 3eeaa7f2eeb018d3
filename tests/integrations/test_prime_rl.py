"""prime-rl's sampler on a curriculum, with episodes as prime-rl hands them over."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.config import GroupProgressConfig, UniformConfig
from redis_curriculum.errors import ConfigMismatchError, InvalidInputError
from redis_curriculum.integrations.prime_rl import CurriculumSampler
from redis_curriculum.tasks import Table

TASKS = [SimpleNamespace(key=f"math/{n}", level=n % 3) for n in range(24)]


def by_level(task: Any) -> str:
    return f"level-{task.level}"


def group_of(task: Any, *rewards: float, trainable: bool = True, failed: int = 0) -> list[Any]:
    """Episodes of one task, one trace each, and some whose trace has an error."""
    agent = SimpleNamespace(trainable=trainable)
    traces = [SimpleNamespace(reward=r, has_error=False, agent=agent) for r in rewards]
    traces += [SimpleNamespace(reward=1.0, has_error=True, agent=agent) for _ in range(failed)]
    return [SimpleNamespace(task=task, traces=[trace]) for trace in traces]


@pytest.fixture
def sampler(url: str, name: str) -> Any:
    made = CurriculumSampler(TASKS, url, name, label=by_level, ahead=8, key="run")
    yield made
    made.close()


def test_groups_are_learned_from_by_the_tasks_key(sampler: CurriculumSampler) -> None:
    assert sampler.curriculum.config.algorithm == GroupProgressConfig()
    drawn = [next(sampler) for _ in range(8)]
    assert len({task.key for task in drawn}) == 8, "tasks of one draw are distinct"
    for task in drawn:
        sampler.observe(group_of(task, 1.0, 0.0, 0.5, 1.0, failed=2))
    for task in drawn:
        record = sampler.curriculum.get_task_stats(Table.id_of(task.key))
        assert record is not None
        assert (record.label, record.completion_count) == (by_level(task), 1)
        assert record.group_mean == 0.5, "2 successes of 4; traces with an error do not count"
    metrics = sampler.metrics()
    assert (metrics["num_completed"], metrics["groups_passed_over"]) == (8, 0)
    assert sampler.curriculum.check() == []


def test_groups_that_say_nothing_are_counted(sampler: CurriculumSampler) -> None:
    task = next(sampler)
    sampler.observe(group_of(task, 1.0, failed=7))
    sampler.observe(group_of(task, 1.0, 0.0, trainable=False))
    assert sampler.metrics()["groups_passed_over"] == 2
    assert sampler.metrics()["num_completed"] == 0


def test_it_goes_on_from_a_checkpoint(sampler: CurriculumSampler, url: str, name: str) -> None:
    for task in [next(sampler) for _ in range(13)]:
        sampler.observe(group_of(task, 1.0, 0.0))
    state = pickle.dumps(sampler.state_dict())
    later = [next(sampler).key for _ in range(30)]
    sampler.observe(group_of(TASKS[0], 0.0, 0.0)) if TASKS[0].key in later else None
    sampler.load_state_dict(pickle.loads(state))
    assert [next(sampler).key for _ in range(30)] == later
    sampler.load_state_dict(pickle.loads(state))
    again = CurriculumSampler(TASKS, url, name, label=by_level, ahead=8)
    again.load_state_dict(pickle.loads(state))
    assert [next(again).key for _ in range(30)] == later
    again.close()


def test_a_state_is_taken_whole_or_not_at_all(sampler: CurriculumSampler) -> None:
    next(sampler)
    state = sampler.state_dict()
    step = sampler.state_dict()["sampler"]
    for wrong in (None, {}, {**state, "more": 1}, {**state, "sampler": {}}):
        with pytest.raises(InvalidInputError):
            sampler.load_state_dict(wrong)
    for snapshot in (b"", 7, {"snapshot": b"no"}):
        with pytest.raises(Exception, match=r"snapshot|state"):
            sampler.load_state_dict({**state, "sampler": step, "curriculum": snapshot})
        assert sampler.state_dict()["sampler"] == step
    next(sampler)


def test_other_settings_and_few_tasks(url: str, name: str) -> None:
    few = TASKS[:3]
    table = CurriculumSampler.table(few)
    own = CurriculumConfig(task_generator=table, algorithm=UniformConfig())
    Curriculum.open(url, name, own).close()
    sampler = CurriculumSampler(few, url, name)
    assert sampler.curriculum.config.algorithm == UniformConfig()
    assert {next(sampler).key for _ in range(3)} == {task.key for task in few}
    sampler.close()
    with pytest.raises(ConfigMismatchError):
        CurriculumSampler(TASKS, url, name)


def test_bad_input_is_named(sampler: CurriculumSampler, url: str, name: str) -> None:
    with pytest.raises(InvalidInputError, match="needs all of them"):
        CurriculumSampler(iter(TASKS), url, name)  # type: ignore[arg-type]
    for tasks in ([*TASKS, TASKS[3]], [SimpleNamespace()], []):
        with pytest.raises(InvalidInputError, match="rows"):
            CurriculumSampler(tasks, url, name)
    bad: list[dict[str, Any]] = [{"ahead": 0}, {"ahead": True}, {"skip_right": 256}, {"key": ""}]
    for more in bad:
        with pytest.raises(InvalidInputError) as raised:
            CurriculumSampler(TASKS, url, name, label=by_level, **more)
        assert raised.value.field in more
    with redis.Redis.from_url(url) as client:
        assert client.zcard(f"rc:{{{name}}}:workers") == 1, "what was refused is no worker"
    with pytest.raises(InvalidInputError, match="empty"):
        sampler.observe([])
    with pytest.raises(InvalidInputError, match="a task of this sampler"):
        sampler.observe(group_of(SimpleNamespace(key="math/99"), 1.0, 0.0))
