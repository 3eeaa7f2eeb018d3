"""RLlib itself: trains, resumes, and Redis holds what the results say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import Curriculum
from redis_curriculum.errors import InvalidInputError
from tests.envs.worlds import OptionWalk, config_of
from tests.servers import RunningServer

ray = pytest.importorskip("ray", reason="installed by `make integrations`")
pytest.importorskip("ray.rllib", reason="installed by `make integrations`")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default"), pytest.mark.timeout(900)]

from ray.rllib.algorithms.ppo import PPO, PPOConfig  # noqa: E402
from ray.tune.registry import register_env  # noqa: E402

from redis_curriculum.integrations.rllib import CurriculumCallback, environment  # noqa: E402


def make(env_config: Any) -> Any:
    return environment(OptionWalk(), env_config)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    register_env("walk", make)
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error")
    yield
    ray.shutdown()


@pytest.fixture
def curriculum(server: RunningServer, name: str) -> Iterator[Curriculum]:
    with Curriculum.open(server.url, name, config_of()) as opened:
        yield opened


def config(curriculum: Curriculum, **options: Any) -> Any:
    own = {"url": curriculum.url, "name": curriculum.name}
    return (
        PPOConfig()
        .environment("walk", env_config={"curriculum": own | options})
        .env_runners(num_env_runners=1, num_envs_per_env_runner=2)
        .training(train_batch_size=64, minibatch_size=32, num_epochs=1)
        .callbacks(CurriculumCallback)
    )


def test_it_trains_resumes_and_says_what_redis_holds(
    curriculum: Curriculum, tmp_path: Path
) -> None:
    algorithm = config(curriculum).build_algo()
    for i in range(3):
        result = algorithm.train()
        report = curriculum.epoch_report(i)
        assert report is not None
        assert result["curriculum"]["epoch/completions"] == report.totals["completions"] > 0
        assert report.step == result["num_env_steps_sampled_lifetime"]
        label = next(iter(report.samples))
        assert f"per_label_stats/{label}/success_rate" in result["curriculum"]
    saved = algorithm.save_to_path(str(tmp_path / "saved"))
    held = curriculum.stats()["num_completed"]
    algorithm.train()
    assert curriculum.stats()["num_completed"] > held
    algorithm.restore_from_path(saved)
    curriculum.reopen()
    assert curriculum.stats()["num_completed"] == held
    assert curriculum.epoch == 3
    result = algorithm.train()  # the runners go on by themselves
    assert result["curriculum"]["epoch/number"] == 3
    assert curriculum.stats()["num_completed"] > held
    algorithm.stop()
    again = PPO.from_checkpoint(saved)
    curriculum.reopen()
    assert curriculum.stats()["num_completed"] == held
    again.train()
    again.stop()
    curriculum.reopen()
    assert curriculum.stats()["num_completed"] > held
    assert curriculum.check() == []


def test_evaluation_runners_report_nothing(curriculum: Curriculum) -> None:
    own = {"url": curriculum.url, "name": curriculum.name}
    with pytest.raises(InvalidInputError, match="evaluation must not report results"):
        config(curriculum).evaluation(evaluation_interval=1).build_algo()
    chosen = config(curriculum).evaluation(
        evaluation_interval=1,
        evaluation_duration=8,
        evaluation_num_env_runners=1,
        evaluation_config={"env_config": {"curriculum": own | {"evaluation": True}}},
    )
    algorithm = chosen.build_algo()
    algorithm.train()
    before = curriculum.stats()
    found = algorithm.evaluate()
    assert found["env_runners"]["num_episodes"] >= 8
    assert curriculum.stats() == pytest.approx(before, nan_ok=True)
    algorithm.stop()


def test_what_cannot_be_meant(curriculum: Curriculum) -> None:
    for own in (None, {}, {"url": curriculum.url}, {"url": "", "name": "n", "color": 1}):
        with pytest.raises(InvalidInputError, match=r'env_config\["curriculum"\]'):
            make({"curriculum": own})
    with pytest.raises(InvalidInputError, match="epoch_iterations"):
        make({"curriculum": {"url": curriculum.url, "name": "n", "epoch_iterations": 0}})
