"""Wrappers that go on by themselves after a restore has replaced the curriculum's state."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from redis_curriculum import Curriculum
from redis_curriculum.envs import CurriculumEnv, CurriculumVectorEnv, TaskEnv
from redis_curriculum.errors import CurriculumNotFoundError
from redis_curriculum.tasks import Buckets
from tests.envs.conftest import Opened
from tests.envs.worlds import Walk, Watched, completions

GONE_ON = "a restore has replaced the curriculum's state; going on with the new one"
LATER = Buckets(label="later-{length}", buckets={"length": [3], "reward": [1 / 8], "end": ["goal"]})


def replace(curriculum: Curriculum, path: Path, **overrides: Any) -> Curriculum:
    """Put a snapshot of the state back over it, and give a handle on the new one."""
    curriculum.snapshot(path, overwrite=True)
    return Curriculum.restore(
        path, curriculum.url, name=curriculum.name, replace=True, overrides=overrides
    )


def episode(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    while True:
        _, _, terminated, truncated, info = env.step(0)
        if terminated or truncated:
            found: dict[str, Any] = info["curriculum"]
            return found


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if GONE_ON in record.getMessage()]


def test_the_episode_under_way_is_dropped_and_the_next_is_of_the_new_state(
    opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum)
    env.reset()
    before = episode(env)
    assert before["outcome"] == "applied"
    env.reset()
    with replace(curriculum, tmp_path / "s.rcs", num_active_tasks=40) as restored:
        known = completions(restored)
        with caplog.at_level(logging.WARNING, "redis_curriculum.envs"):
            ended = episode(env)
        assert ended["outcome"] == "dropped"
        assert len(told(caplog)) == 1
        assert "1 results, 0 failures" in told(caplog)[0]
        assert completions(restored) == known
        _, info = env.reset()
        assert curriculum.generation == 2
        assert curriculum.config.num_active_tasks == 40
        assert episode(env)["outcome"] == "applied"
        after = completions(restored)
        task_id = info["curriculum"]["task_id"]
        assert after == known | {task_id: known.get(task_id, 0) + 1}
        assert len(told(caplog)) == 1


def test_a_reset_in_mid_episode_goes_on(opened: Opened, tmp_path: Path) -> None:
    curriculum = opened(task_generator=LATER)
    env = CurriculumEnv(Walk(), curriculum)
    env.reset()
    env.step(0)
    replace(curriculum, tmp_path / "s.rcs").close()
    env.reset()
    assert curriculum.generation == 2
    assert episode(env)["outcome"] == "applied"


def test_environments_that_share_a_handle_each_drop_their_own(
    opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first that meets the restore reopens the handle; the other has tasks of before."""
    curriculum = opened()
    envs = [CurriculumEnv(Walk(), curriculum) for _ in range(2)]
    for env in envs:
        env.reset()
    with replace(curriculum, tmp_path / "s.rcs") as restored:
        assert [episode(env)["outcome"] for env in envs] == ["dropped", "dropped"]
        assert completions(restored) == {}
        assert len(told(caplog)) == 2
        for env in envs:
            env.reset()
        assert [episode(env)["outcome"] for env in envs] == ["applied", "applied"]


def test_failures_of_before_are_dropped(opened: Opened, tmp_path: Path) -> None:
    curriculum = opened(task_generator=LATER)
    env = CurriculumEnv(Walk(), curriculum)
    env.reset()
    episode(env)
    env.reset()
    walk: Any = env.unwrapped
    walk.task = walk.task | {"broken": "step"}
    with replace(curriculum, tmp_path / "s.rcs") as restored:
        ended = episode(env)
        assert ended["outcome"] == "dropped"
        assert "the walk broke in step" in ended["error"]
        assert restored.stats()["num_failures"] == 0
        env.reset()
        assert episode(env)["outcome"] == "applied"


@pytest.mark.parametrize("mode", AutoresetMode)
def test_vector_environments(
    opened: Opened, tmp_path: Path, mode: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Each sub-environment drops one episode; no result of before reaches the new state."""
    curriculum = opened()
    base = SyncVectorEnv([lambda: TaskEnv(Walk())] * 3, autoreset_mode=mode)
    envs = CurriculumVectorEnv(base, curriculum)
    envs.reset()
    step(envs, mode)
    overrides = {"task_generator": LATER}
    with replace(curriculum, tmp_path / "s.rcs", **overrides) as restored:
        for task_id in restored.task_ids():
            restored.evict(task_id)
        restored.get_task()  # the whole pool is new: its ids were never drawn before
        fresh = set(restored.task_ids())
        for _ in range(30):
            step(envs, mode)
        assert restored.stats()["num_late_updates"] == 0
        counted = completions(restored)
        assert counted.keys() <= fresh
        assert sum(counted.values()) >= 9
    assert len(told(caplog)) == 1
    envs.close()


def step(envs: CurriculumVectorEnv, mode: Any) -> None:
    _, _, terminated, truncated, _ = envs.step(np.zeros(envs.num_envs, dtype=int))
    over = terminated | truncated
    if mode is AutoresetMode.DISABLED and over.any():
        envs.reset(options={"reset_mask": over})


def test_a_server_that_fails_meanwhile_is_asked_again(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum)
    env.reset()
    replace(curriculum, tmp_path / "s.rcs").close()
    with monkeypatch.context() as patch:
        patch.setattr(Watched, "reopen", _gone)
        with pytest.raises(CurriculumNotFoundError):
            episode(env)
    env.reset()
    assert curriculum.generation == 2
    assert episode(env)["outcome"] == "applied"


def _gone(_: object) -> None:
    raise CurriculumNotFoundError("x")
