"""TorchRL: a curriculum's numbers in a tensordict; without the library, in each info."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

from redis_curriculum.envs import CurriculumEnv
from redis_curriculum.errors import MissingLibraryError, TaskApplyError
from redis_curriculum.integrations.torchrl import KEYS, FlatInfo, info_reader
from redis_curriculum.tasks.ids import label_hash
from tests.envs.conftest import Opened, opened  # noqa: F401 - a fixture
from tests.envs.worlds import OptionWalk, Watched


def walk(env: Any, steps: int) -> list[dict[str, Any]]:
    infos = [env.reset()[1]]
    for _ in range(steps):
        *_, terminated, truncated, info = env.step(0)
        infos.append(info)
        if terminated or truncated:
            infos.append(env.reset()[1])
    return infos


def test_each_info_has_numbers_of_fixed_shape(opened: Opened) -> None:  # noqa: F811
    curriculum: Watched = opened()
    ended = []
    playing: dict[str, Any] = {}
    for info in walk(FlatInfo(CurriculumEnv(OptionWalk(), curriculum)), 30):
        for name, kind in KEYS.items():
            assert type(info[name]) is kind
        playing = info.get("curriculum", playing)
        assert info["curriculum_task_id"] == playing["task_id"]
        assert info["curriculum_label_hash"] == label_hash(playing["label"])
        if info["curriculum_ended"]:
            assert info["curriculum_length"] == playing["length"]
            ended.append((int(info["curriculum_task_id"]), float(info["curriculum_score"])))
        else:
            assert info["curriculum_score"] == info["curriculum_return"] == 0
    assert ended == curriculum.reports
    assert len(ended) > 5


def test_what_has_no_curriculum_is_refused() -> None:
    env = FlatInfo(TimeLimit(OptionWalk(), 3))
    with pytest.raises(TaskApplyError, match="wrap it in CurriculumEnv"):
        env.reset(options={"task": {"length": 2}})


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingLibraryError, match=r"redis-curriculum\[torchrl\]"):
        info_reader()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_rollout_holds_what_was_reported(opened: Opened) -> None:  # noqa: F811
    if find_spec("torchrl") is None:
        pytest.skip("installed by `make integrations`")
    from torchrl.envs import GymWrapper

    curriculum: Watched = opened()
    env = GymWrapper(FlatInfo(CurriculumEnv(OptionWalk(), curriculum)))
    env.set_info_dict_reader(info_reader())
    found = env.rollout(40, break_when_any_done=False)["next"]
    ended = found["curriculum_ended"].flatten().numpy()
    columns = (found[f"curriculum_{name}"].flatten().numpy() for name in ("task_id", "score"))
    ids, scores = (column[ended].tolist() for column in columns)
    assert list(zip(ids, scores, strict=True)) == curriculum.reports
    assert ended.sum() > 5
    assert found["curriculum_label_hash"].dtype.is_signed
    assert np.array_equal(found["curriculum_length"].flatten().numpy() > 0, ended)
