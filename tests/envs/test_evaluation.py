"""Evaluation: given tasks in turn, and a curriculum that knows nothing of it."""

from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from redis_curriculum import AsyncCurriculum, Curriculum
from redis_curriculum.envs import (
    CurriculumEnv,
    EvaluationEnv,
    EvaluationVectorEnv,
    TaskEnv,
    evaluation_tasks,
)
from redis_curriculum.envs.assignments import ATTEMPTS
from redis_curriculum.envs.evaluation import FixedTasks
from redis_curriculum.errors import FailingTasksError, InvalidInputError, TaskApplyError
from redis_curriculum.tasks import Task
from tests.envs.conftest import Opened
from tests.envs.worlds import Walk, Watched, broken
from tests.servers import RunningServer

TASKS = [Task(i, f"walk-{i}", {"length": i, "reward": 9.0, "end": "goal"}) for i in (1, 2, 3)]


def play(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    env.reset()
    while True:
        *_, terminated, truncated, info = env.step(0)
        if terminated or truncated:
            return dict(info["curriculum"])


def test_the_tasks_take_turns_and_scores_have_no_range() -> None:
    env = EvaluationEnv(Walk(), TASKS)
    told = [play(env) for _ in range(7)]
    assert [one["task_id"] for one in told] == [1, 2, 3, 1, 2, 3, 1]
    assert [one["score"] for one in told] == [9.0, 18.0, 27.0] * 2 + [9.0]
    assert {one["outcome"] for one in told} == {"evaluated"}


def test_apply_task_and_score_are_used() -> None:
    def apply(env: Any, task: Task) -> None:
        env.set_task(task.params | {"length": 2})

    env = EvaluationEnv(Walk(), TASKS, apply_task=apply, score=lambda info: -5 * info["at"])
    assert [play(env)["score"] for _ in range(3)] == [-10.0] * 3


def test_a_copy_and_a_spec_play_the_same_tasks() -> None:
    gymnasium.register("EvaluatedWalk-v0", entry_point="tests.envs.worlds:Walk")
    env = EvaluationEnv(gymnasium.make("EvaluatedWalk-v0"), TASKS)
    play(env)
    assert [play(pickle.loads(pickle.dumps(env)))["task_id"] for _ in range(2)] == [2, 2]
    assert env.spec is not None
    assert play(env.spec.make())["task_id"] == 1


def test_a_failing_task_is_told_and_the_others_go_on() -> None:
    bad = Task(7, "bad", {"length": 3, "reward": 0.0, "end": "goal", "broken": "step"})
    env = EvaluationEnv(Walk(), [*TASKS, bad])
    told = [play(env) for _ in range(8)]
    assert [one["task_id"] for one in told if "error" in one] == [7, 7]
    with pytest.raises(FailingTasksError):
        play_many(EvaluationEnv(Walk(), [bad]))


def play_many(env: EvaluationEnv) -> None:
    for _ in range(ATTEMPTS):
        play(env)


def test_an_environment_that_takes_no_tasks() -> None:
    with pytest.raises(TaskApplyError, match="takes no tasks"):
        EvaluationEnv(gymnasium.make("FrozenLake-v1"), TASKS).reset()


@pytest.mark.parametrize("tasks", [[], None, 3, [{"length": 3}], "walk"])
def test_what_are_no_tasks(tasks: Any) -> None:
    with pytest.raises(InvalidInputError, match="tasks must be at least one Task"):
        EvaluationEnv(Walk(), tasks)


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
def test_a_vector_environment(kind: Any, mode: Any) -> None:
    inner = kind([lambda: TaskEnv(Walk())] * 2, autoreset_mode=mode)
    envs = EvaluationVectorEnv(inner, TASKS)
    envs.reset()
    ended: list[tuple[int, float, str]] = []
    for _ in range(40):
        *_, terminated, truncated, infos = envs.step(np.zeros(2, dtype=int))
        over = terminated | truncated
        told = infos.get("final_info", infos).get("curriculum", {})
        ended += [
            (told["task_id"][i], told["score"][i], told["outcome"][i]) for i in np.flatnonzero(over)
        ]
        if mode is AutoresetMode.DISABLED and over.any():
            envs.reset(options={"reset_mask": over})
    assert {score / task_id for task_id, score, _ in ended} == {9.0}
    assert {outcome for *_, outcome in ended} == {"evaluated"}
    counts = Counter(task_id for task_id, *_ in ended).values()
    assert max(counts) - min(counts) <= 2
    envs.close()


def state_of(server: RunningServer, curriculum: Watched) -> dict[str, Any]:
    with server.client() as client:
        return {key: client.dump(key) for key in client.scan_iter(f"*{curriculum.name}*")}


def test_labels_evenly_and_the_curriculum_knows_nothing(
    opened: Opened, server: RunningServer
) -> None:
    curriculum = opened(size=48)
    before = state_of(server, curriculum)
    tasks = evaluation_tasks(curriculum, per_label=2)
    labels = [f"walk-{length}" for length in (1, 2, 3, 5)]
    assert [task.label for task in tasks] == labels * 2
    assert len({task.task_id for task in tasks}) == 8
    env = EvaluationEnv(Walk(), tasks)
    assert [play(env)["label"] for _ in range(16)] == labels * 4
    for task in tasks:
        record = curriculum.get_task_stats(task.task_id)
        assert record is not None
        assert (record.params, record.sample_count) == (task.params, 0)
    assert state_of(server, curriculum) == before
    assert tasks == evaluation_tasks(curriculum, per_label=2)


def test_labels_with_fewer_tasks_than_asked_for(opened: Opened) -> None:
    curriculum = opened(size=16, task_generator=broken(["", " "]))
    tasks = evaluation_tasks(curriculum, per_label=1000)
    assert sorted(task.task_id for task in tasks) == curriculum.task_ids()


@pytest.mark.parametrize("given", [None, "run-42", Curriculum, AsyncCurriculum])
def test_what_is_no_handle_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInputError, match="curriculum must be an open Curriculum"):
        evaluation_tasks(given)
    with pytest.raises(InvalidInputError, match="curriculum must be an open Curriculum"):
        CurriculumEnv(Walk(), given)


@pytest.mark.parametrize("per_label", [0, -1, 1.5, True, None])
def test_how_many_of_a_label(opened: Opened, per_label: Any) -> None:
    with pytest.raises(InvalidInputError, match="per_label must be an integer above 0"):
        evaluation_tasks(opened(), per_label)


def test_several_environments_take_turns_through_the_tasks() -> None:
    tasks = [Task(i, "x", {}) for i in range(5)]
    source = FixedTasks(tasks)
    drawn = [task.task_id for _ in range(4) for task in source.next_tasks([], 3).tasks]
    assert drawn == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
