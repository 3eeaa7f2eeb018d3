"""The integrations without their libraries: on stand-ins, and on what lacks a hook."""

from __future__ import annotations

import importlib
import math
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from redis_curriculum import Curriculum
from redis_curriculum.envs import EvaluationEnv
from redis_curriculum.errors import (
    EpochError,
    InvalidInputError,
    MissingLibraryError,
    SnapshotError,
    UnsupportedLibraryError,
)
from tests.envs.worlds import OptionWalk, config_of

Build = Callable[..., Any]


class Logger:
    def __init__(self) -> None:
        self.written: dict[str, float] = {}
        self.on_screen: set[str] = set()

    def record(self, name: str, value: float, exclude: tuple[str, ...] = ()) -> None:
        self.written[name] = value
        if "stdout" not in exclude:
            self.on_screen.add(name)


class Model:
    """What a callback sees of a model."""

    def __init__(self) -> None:
        self.num_timesteps = 0
        self.logger = Logger()


class BaseCallback:
    def __init__(self, verbose: int = 0) -> None:
        self.verbose, self.n_calls, self.num_timesteps = verbose, 0, 0
        self.locals: dict[str, Any] = {}
        self.globals: dict[str, Any] = {}
        self.model: Any = None

    @property
    def logger(self) -> Any:
        return self.model.logger

    def init_callback(self, model: Any) -> None:
        self.model = model
        self._init_callback()

    def _init_callback(self) -> None: ...

    def _on_training_start(self) -> None: ...

    def on_training_start(self, own: dict[str, Any], other: dict[str, Any]) -> None:
        self.locals, self.globals = own, other
        self.num_timesteps = self.model.num_timesteps
        self._on_training_start()

    def on_step(self) -> bool:
        self.n_calls += 1
        self.num_timesteps = self.model.num_timesteps
        return bool(self._on_step())  # type: ignore[attr-defined]


class CheckpointCallback(BaseCallback):
    def __init__(self, save_freq: int, save_path: str) -> None:
        super().__init__()
        self.save_freq, self.save_path = save_freq, save_path

    def _checkpoint_path(self, kind: str = "", extension: str = "") -> str:
        return f"{self.save_path}/rl_model_{kind}{self.num_timesteps}_steps.{extension}"

    def _on_step(self) -> bool:
        return True


class Algorithm:
    """What a callback sees of an algorithm: its config, and the two halves of a checkpoint."""

    save_to_path = restore_from_path = None

    def __init__(self, env_config: Any, **config: Any) -> None:
        self.config = type("Config", (), {"env_config": env_config, **config})
        self.weights = 1

    def get_state(self, components: Any = None, *, not_components: Any = None) -> Any:  # noqa: ARG002
        return {"weights": self.weights}

    def set_state(self, state: Any) -> None:
        assert state.keys() == {"weights"}
        self.weights = state["weights"]


class RLlibCallback:
    on_algorithm_init = on_train_result = None


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    """Import an integration, on stand-ins for the modules of its library."""
    own = "redis_curriculum.integrations."
    made = set()

    def build(name: str, module: str, **members: Any) -> Any:
        found = ModuleType(module)
        vars(found).update(members)
        monkeypatch.setitem(sys.modules, module, found)
        parts = module.split(".")
        for n in range(1, len(parts)):
            monkeypatch.setitem(sys.modules, ".".join(parts[:n]), ModuleType("package"))
        monkeypatch.delitem(sys.modules, own + name, raising=False)
        made.add(own + name)
        return importlib.import_module(own + name)

    yield build
    for name in made:  # where one was there before, it comes back
        sys.modules.pop(name, None)


@pytest.fixture
def curriculum(url: str, name: str) -> Iterator[Curriculum]:
    with Curriculum.open(url, name, config_of()) as opened:
        yield opened


@pytest.fixture
def sb3(imported: Build) -> Any:
    members = {"BaseCallback": BaseCallback, "CheckpointCallback": CheckpointCallback}
    return imported("sb3", "stable_baselines3.common.callbacks", **members)


@pytest.fixture
def rllib(imported: Build) -> Any:
    return imported("rllib", "ray.rllib.callbacks.callbacks", RLlibCallback=RLlibCallback)


def play(curriculum: Curriculum, model: Any, callback: Any, steps: int) -> None:
    for _ in range(steps):
        task = curriculum.get_task()
        curriculum.update_task_performance(task.task_id, 1 / 64)
        model.num_timesteps += 2
        assert callback.on_step()


def test_sb3_ends_epochs_by_steps_and_saves(
    sb3: Any, curriculum: Curriculum, tmp_path: Path
) -> None:
    checkpoint, model = CheckpointCallback(5, str(tmp_path)), Model()
    callback = sb3.CurriculumCallback(curriculum, epoch_steps=8, checkpoint=checkpoint)
    callback.init_callback(model)
    callback.on_training_start({}, {})
    play(curriculum, model, callback, 11)
    reports = curriculum.epochs()
    assert [report.step for report in reports] == [8, 16]
    written = model.logger.written
    assert written["curriculum/epoch/completions"] == reports[-1].totals["completions"] == 4
    assert all(map(math.isfinite, written.values()))
    assert model.logger.on_screen < written.keys()
    assert max(map(len, model.logger.on_screen)) < 40
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "rl_model_curriculum_10_steps.rcs", "rl_model_curriculum_20_steps.rcs",
    ]  # fmt: skip
    sb3.restore(curriculum, tmp_path / "rl_model_10_steps.zip")
    assert curriculum.stats()["num_completed"] == 5
    assert curriculum.epoch == 1
    model.num_timesteps = 10
    callback.on_training_start({}, {})
    play(curriculum, model, callback, 4)
    assert [report.step for report in curriculum.epochs()] == [8, 18]


def test_sb3_ends_epochs_by_rollouts(sb3: Any, curriculum: Curriculum) -> None:
    model, callback = Model(), sb3.CurriculumCallback(curriculum, epoch_rollouts=2)
    callback.init_callback(model)
    callback.on_training_start({}, {})
    for _ in range(5):
        play(curriculum, model, callback, 3)
        callback._on_rollout_end()  # noqa: SLF001 - as the base class calls it
    assert [report.step for report in curriculum.epochs()] == [12, 24]
    callback.close()


def test_sb3_refuses_what_cannot_be_meant(sb3: Any, curriculum: Curriculum, tmp_path: Path) -> None:
    for wrong in (
        {"epoch_steps": 1, "epoch_rollouts": 1},
        {"epoch_steps": 0},
        {"epoch_rollouts": 1.5},
        {"checkpoint": "checkpoints"},
        {"labels": 1.5},
    ):
        with pytest.raises(InvalidInputError):
            sb3.CurriculumCallback(curriculum, **wrong)
    with pytest.raises(InvalidInputError, match="rl_model_500_steps"):
        sb3.restore(curriculum, tmp_path / "best_model.zip")
    with pytest.raises(SnapshotError, match="cannot be read"):
        sb3.restore(curriculum, tmp_path / "m_1_steps")


def test_rllib_reports_and_joins_the_checkpoint(rllib: Any, curriculum: Curriculum) -> None:
    own = {"url": curriculum.url, "name": curriculum.name, "epoch_iterations": 2}
    algorithm, callback = Algorithm({"curriculum": own}), rllib.CurriculumCallback()
    other = rllib.CurriculumCallback()  # of an env runner: it has nothing to do
    other.on_train_result(result={})
    callback.on_algorithm_init(algorithm=algorithm)
    results: list[dict[str, Any]] = []
    for i in range(4):
        task = curriculum.get_task()
        curriculum.update_task_performance(task.task_id, 1.0)
        result = {"num_env_steps_sampled_lifetime": 10.0 * i}
        callback.on_train_result(algorithm=algorithm, result=result)
        results.append(result)
    assert [report.step for report in curriculum.epochs()] == [10, 30]
    assert results[0]["curriculum"] == {}
    assert [r["curriculum"].get("epoch/completions") for r in results[1:]] == [2, 2, 2]
    state = algorithm.get_state()
    assert state.keys() == {"weights", "curriculum"}
    assert algorithm.get_state("weights").keys() == {"weights"}
    assert algorithm.get_state(not_components=["curriculum"]).keys() == {"weights"}
    with pytest.raises(EpochError):
        curriculum.end_epoch()  # the callback does
    curriculum.get_task()
    algorithm.weights = 2
    algorithm.set_state(state)
    curriculum.reopen()
    assert (curriculum.epoch, algorithm.weights) == (2, 1)
    assert curriculum.stats()["num_scheduled"] == 4
    algorithm.set_state({"weights": 3})  # of a checkpoint without a curriculum
    assert (curriculum.generation, algorithm.weights) == (2, 3)
    callback.close()


def test_rllib_makes_environments_by_name(rllib: Any, curriculum: Curriculum) -> None:
    own = {"url": curriculum.url, "name": curriculum.name}
    env = rllib.environment(OptionWalk(), {"curriculum": own})
    env.reset()
    assert curriculum.stats()["num_scheduled"] == 1
    assert rllib.curriculum_of({"curriculum": own}) is rllib.curriculum_of({"curriculum": own})
    assert pickle.loads(pickle.dumps(rllib._opened)) == {}, "handles stay here"  # noqa: SLF001
    tested = rllib.environment(OptionWalk(), {"curriculum": own | {"evaluation": True}})
    assert isinstance(tested, EvaluationEnv)
    tested.reset()
    assert curriculum.stats()["num_scheduled"] == 1
    for wrong in (None, {}, {"url": "u"}, own | {"color": 1}, own | {"evaluation": "yes"}):
        with pytest.raises(InvalidInputError):
            rllib.environment(OptionWalk(), {"curriculum": wrong})
    rllib.curriculum_of({"curriculum": own}).close()


def test_rllib_evaluates_on_what_is_held_out(rllib: Any, url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(held_out=0.2)) as curriculum:
        own = {"url": url, "name": name, "evaluation": True, "per_label": 2}
        env = rllib.environment(OptionWalk(), {"curriculum": own})
        tasks = curriculum.get_eval_tasks(2 * len(curriculum.labels()))
        played = [env.reset()[1]["curriculum"]["task_id"]]
        for _ in tasks[1:]:
            while not any(env.step(0)[2:4]):
                pass
            played.append(env.reset()[1]["curriculum"]["task_id"])
        assert played == [task.task_id for task in tasks]
        assert not set(played) & set(curriculum.task_ids())
        rllib.curriculum_of({"curriculum": own}).close()


def test_rllib_refuses_an_evaluation_that_reports(rllib: Any, curriculum: Curriculum) -> None:
    own = {"url": curriculum.url, "name": curriculum.name}
    reporting = Algorithm({"curriculum": own}, evaluation_interval=1, evaluation_config=None)
    with pytest.raises(InvalidInputError, match=r"evaluation_config .* must not report"):
        rllib.CurriculumCallback().on_algorithm_init(algorithm=reporting)
    held = {"env_config": {"curriculum": own | {"evaluation": True}}}
    algorithm = Algorithm({"curriculum": own}, evaluation_interval=1, evaluation_config=held)
    rllib.CurriculumCallback().on_algorithm_init(algorithm=algorithm)


def test_an_algorithm_without_a_state_is_told_of(rllib: Any, curriculum: Curriculum) -> None:
    own = {"url": curriculum.url, "name": curriculum.name}
    bare = type("Bare", (), {"config": Algorithm({"curriculum": own}).config})()
    with pytest.raises(UnsupportedLibraryError, match=r"ray .* has no .*get_state") as raised:
        rllib.CurriculumCallback().on_algorithm_init(algorithm=bare)
    assert (raised.value.library, raised.value.hook.rpartition(".")[2]) == ("ray", "get_state")


def test_a_version_without_the_hook_is_told_of(imported: Build) -> None:
    class Older(BaseCallback):
        pass

    with pytest.raises(UnsupportedLibraryError, match="install a version") as raised:
        imported(
            "sb3",
            "stable_baselines3.common.callbacks",
            BaseCallback=BaseCallback,
            CheckpointCallback=Older,
        )
    assert raised.value.library == "stable_baselines3"
    assert raised.value.hook == "Older._checkpoint_path"
    with pytest.raises(UnsupportedLibraryError, match="RLlibCallback"):
        imported("rllib", "ray.rllib.callbacks.callbacks")


@pytest.mark.parametrize(("name", "module"), [("sb3", "stable_baselines3"), ("rllib", "ray")])
def test_a_missing_library_names_the_extra(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for known in [m for m in sys.modules if m.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, known)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"redis_curriculum.integrations.{name}", raising=False)
    with pytest.raises(MissingLibraryError, match=rf"redis-curriculum\[{name}\]"):
        importlib.import_module(f"redis_curriculum.integrations.{name}")
