"""The numbers of a config as the scripts unpack them: each is in its place, whatever the family."""

from __future__ import annotations

import re
import struct
from typing import Any

import pytest

from redis_curriculum._store.variant import packed_hypers, variant_of
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig, UniformConfig
from redis_curriculum.scorers import Scorer
from redis_curriculum.tasks import Single

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
    "max_consecutive_failures": 27,
    "failure_score": 0.28,
}
OF_CURRICULUM: dict[str, Any] = {
    "num_active_tasks": 31,
    "epochs_retained": 32,
    "labels_retained": 33,
    "events_retained": 34,
}


def lua_names(scorer: Scorer) -> list[str]:
    """The locals that the scripts unpack the numbers into, in order."""
    text = variant_of(scorer).generated["hypers"]
    (names,) = re.findall(
        r"^local ([\w, ]+) =\n  struct\.unpack\('<d+', packed_hypers\)", text, re.MULTILINE
    )
    return str(names).split(", ")


def found_in(algorithm: Scorer) -> dict[str, float]:
    config = CurriculumConfig(
        task_generator=Single(label="x"), algorithm=algorithm, **OF_CURRICULUM
    )
    packed, names = packed_hypers(config), lua_names(algorithm)
    return dict(zip(names, struct.unpack_from(f"<{len(names)}d", packed), strict=True))


@pytest.mark.filterwarnings("ignore::redis_curriculum.errors.ConfigWarning")
@pytest.mark.parametrize("pooling", ["label", "task"])
@pytest.mark.parametrize("exploration", ["bonus", "share"])
@pytest.mark.parametrize(("bidirectional", "baseline"), [(True, False), (False, True)])
def test_each_is_in_its_place(
    pooling: str, exploration: str, *, bidirectional: bool, baseline: bool
) -> None:
    flags = {"use_bidirectional": bidirectional, "use_baseline_normalization": baseline}
    rules = {"pooling": pooling, "exploration": exploration}
    found = found_in(LearningProgressConfig.model_validate(NUMBERS | flags | rules))
    indices = {"pooling": ["label", "task"].index(pooling)}
    indices["exploration"] = ["share", "bonus"].index(exploration)
    assert found == NUMBERS | OF_CURRICULUM | flags | indices


def test_none_is_not_a_number() -> None:
    found = found_in(UniformConfig())
    assert found["failure_score"] != found["failure_score"]
    assert found["success_threshold"] == 0.5


def test_flags_and_choices_are_booleans_in_lua() -> None:
    lines = variant_of(LearningProgressConfig()).generated["hypers"].splitlines()
    assert "use_bidirectional = use_bidirectional == 1" in lines
    assert "local pooling_is_label, pooling_is_task = pooling == 0, pooling == 1" in lines


def test_the_numbers_of_a_config_take_no_script_argument() -> None:
    names: set[Any] = {*NUMBERS, *OF_CURRICULUM, "pooling", "exploration"}
    assert set(lua_names(LearningProgressConfig())) >= names
