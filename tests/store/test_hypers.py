"""The hypers that every call carries: the config's, in the order the scripts unpack them in."""

from __future__ import annotations

import re
import struct

import pytest

from redis_curriculum._protocol.scripts import folder
from redis_curriculum._store.contracts import HYPERS
from redis_curriculum._store.store import Store
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig, WorkerSettings
from redis_curriculum.tasks import Single
from tests.harness import packed

NUMBERS = {
    "task_tracker_ema_alpha": 0.11,
    "ema_timescale": 0.12,
    "slow_timescale_factor": 0.13,
    "success_threshold": 0.14,
    "early_progress_amplification": 0.15,
    "min_samples_for_lp": 16,
    "min_presentations_for_eviction": 17,
    "rand_task_rate": 0.18,
    "exploration_bonus": 0.19,
    "exploration_share": 0.2,
    "temperature": 0.21,
    "z_score_amplification": 22.0,
    "progress_smoothing": 0.23,
    "eviction_threshold_percentile": 0.24,
    "replacement_rate": 0.25,
    "performance_bonus_weight": 0.26,
}


def stored(config: CurriculumConfig) -> bytes:
    return Store("x", 1, config, WorkerSettings())._hypers  # noqa: SLF001


@pytest.mark.filterwarnings("ignore::redis_curriculum.errors.ConfigWarning")
@pytest.mark.parametrize("pooling", ["label", "task"])
@pytest.mark.parametrize("exploration", ["bonus", "share"])
@pytest.mark.parametrize(("bidirectional", "baseline"), [(True, False), (False, True)])
def test_each_is_in_its_place(
    pooling: str, exploration: str, *, bidirectional: bool, baseline: bool
) -> None:
    flags = {"use_bidirectional": bidirectional, "use_baseline_normalization": baseline}
    rules = {"pooling": pooling, "exploration": exploration}
    config = CurriculumConfig(
        task_generator=Single(label="x"),
        num_active_tasks=27,
        algorithm=LearningProgressConfig.model_validate(NUMBERS | flags | rules),
    )
    assert stored(config) == packed(config)
    found = dict(zip(HYPERS, struct.unpack("<20d", stored(config)), strict=True))
    named = {name: value for name, value in NUMBERS.items() if name in HYPERS}
    assert named.items() <= found.items()
    assert found["explore"] == NUMBERS[f"exploration_{exploration}"]


def test_the_scripts_unpack_as_many() -> None:
    text = (folder() / "include" / "hypers.lua").read_text()
    (form,) = re.findall(r"struct\.unpack\('<(d+)', ARGV\[5\]\)", text)
    assert len(form) == len(HYPERS)
