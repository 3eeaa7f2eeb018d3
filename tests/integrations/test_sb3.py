"""Stable-Baselines3 itself: trains, resumes, and Redis holds what the callback logged."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from redis_curriculum import Curriculum
from redis_curriculum.envs import CurriculumEnv, EvaluationEnv, evaluation_tasks
from redis_curriculum.errors import InvalidInputError, SnapshotError
from tests.envs.worlds import OptionWalk, config_of

pytest.importorskip("stable_baselines3", reason="installed by `make integrations`")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

from stable_baselines3 import PPO  # noqa: E402
from stable_baselines3.common.callbacks import CheckpointCallback  # noqa: E402
from stable_baselines3.common.evaluation import evaluate_policy  # noqa: E402
from stable_baselines3.common.logger import configure  # noqa: E402
from stable_baselines3.common.monitor import Monitor  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv  # noqa: E402

from redis_curriculum.integrations.sb3 import CurriculumCallback, restore  # noqa: E402


@pytest.fixture
def curriculum(url: str, name: str) -> Iterator[Curriculum]:
    with Curriculum.open(url, name, config_of()) as opened:
        yield opened


def maker(curriculum: Curriculum) -> Callable[[], gymnasium.Env[Any, Any]]:
    return lambda: CurriculumEnv(OptionWalk(), curriculum)


def learner(envs: Any, **options: Any) -> PPO:
    return PPO("MlpPolicy", envs, n_steps=32, batch_size=32, n_epochs=1, seed=0, **options)


def test_it_trains_resumes_and_logs_what_redis_holds(
    curriculum: Curriculum, tmp_path: Path
) -> None:
    envs = DummyVecEnv([maker(curriculum)] * 2)
    model = learner(envs)
    model.set_logger(configure(str(tmp_path), ["csv", "stdout"]))
    checkpoint = CheckpointCallback(save_freq=64, save_path=str(tmp_path))
    callback = CurriculumCallback(curriculum, epoch_steps=64, checkpoint=checkpoint)
    model.learn(256, callback=callback)
    reports = curriculum.epochs()
    assert [report.step for report in reports] == [64, 128, 192, 256]
    with (tmp_path / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    written = [row for row in rows if row["curriculum/epoch/number"]]
    for row in written:
        report = reports[int(float(row["curriculum/epoch/number"]))]
        assert float(row["curriculum/epoch/completions"]) == report.totals["completions"]
        assert float(row["curriculum/epoch/step"]) == report.step
    assert len(written) >= 2
    assert curriculum.stats()["num_completed"] > 20

    at = "rl_model_128_steps"
    assert (tmp_path / "rl_model_curriculum_128_steps.rcs").exists()
    late = curriculum.stats()["num_completed"]
    restore(curriculum, tmp_path / at)
    assert curriculum.stats()["num_completed"] < late
    assert curriculum.epoch == 2
    again = PPO.load(tmp_path / at, env=envs)
    assert again.num_timesteps == 128
    again.learn(128, callback=callback, reset_num_timesteps=False)
    assert [report.step for report in curriculum.epochs()] == [64, 128, 192, 256]
    assert curriculum.check() == []


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_processes_play_it(curriculum: Curriculum, method: str) -> None:
    envs = SubprocVecEnv([maker(curriculum)] * 2, start_method=method)
    try:
        learner(envs).learn(128, callback=CurriculumCallback(curriculum))
    finally:
        envs.close()
    assert [report.step for report in curriculum.epochs()] == [64, 128]
    assert curriculum.stats()["num_completed"] > 10
    assert curriculum.check() == []


def test_evaluation_reports_nothing(curriculum: Curriculum) -> None:
    envs = DummyVecEnv([maker(curriculum)])
    model = learner(envs)
    model.learn(32)
    before = curriculum.stats()
    tasks = evaluation_tasks(curriculum)
    mean, _ = evaluate_policy(model, Monitor(EvaluationEnv(OptionWalk(), tasks)), len(tasks))
    assert mean >= 0
    assert curriculum.stats() == pytest.approx(before, nan_ok=True)


def test_what_cannot_be_meant(curriculum: Curriculum, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="epoch_steps must be given without"):
        CurriculumCallback(curriculum, epoch_steps=1, epoch_rollouts=1)
    with pytest.raises(InvalidInputError, match="epoch_steps must be"):
        CurriculumCallback(curriculum, epoch_steps=-1)
    with pytest.raises(InvalidInputError, match="checkpoint must be a CheckpointCallback"):
        CurriculumCallback(curriculum, checkpoint="checkpoints")
    with pytest.raises(InvalidInputError, match="rl_model_500_steps"):
        restore(curriculum, tmp_path / "best_model.zip")
    with pytest.raises(SnapshotError, match=r"m_curriculum_1_steps\.rcs cannot be read"):
        restore(curriculum, tmp_path / "m_1_steps.zip")
