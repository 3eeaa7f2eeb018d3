"""The library's own families hold the contract."""

from __future__ import annotations

import pytest

from redis_curriculum.scorers import (
    DebiasedProgressConfig,
    GroupProgressConfig,
    LearningProgressConfig,
    PassesConfig,
    Scorer,
    UniformConfig,
    kinds,
)
from redis_curriculum.testing import ScorerContract

SETTINGS: dict[str, Scorer] = {
    "debiased_progress": DebiasedProgressConfig(),
    "debiased_progress, two rates": DebiasedProgressConfig(
        rates=(0.5, 0.1), warm_up=(1.0, 3.0), least_count=2, power=1, replacement_rate=0.1
    ),
    "debiased_progress by cost": DebiasedProgressConfig.fast(cost_aware=True, least_count=5),
    "debiased_progress by tasks": DebiasedProgressConfig.fast(
        label_mass="tasks", power=1, replacement_rate=0.1
    ),
    "group_progress": GroupProgressConfig(),
    "group_progress by labels": GroupProgressConfig.careful(label_factor="progress"),
    "learning_progress": LearningProgressConfig(),
    "learning_progress of tasks": LearningProgressConfig(pooling="task", exploration="bonus"),
    "learning_progress above a baseline": LearningProgressConfig.stable(
        use_baseline_normalization=True, performance_bonus_weight=0.25
    ),
    "passes": PassesConfig(),
    "uniform": UniformConfig(),
}


class TestFamilies(ScorerContract):
    @pytest.fixture(params=list(SETTINGS.values()), ids=list(SETTINGS))
    def scorer(self, request: pytest.FixtureRequest) -> Scorer:
        found: Scorer = request.param
        return found

    @pytest.fixture
    def server_url(self, url: str) -> str:
        return url


def test_every_family_is_tested() -> None:
    assert {scorer.kind for scorer in SETTINGS.values()} == set(kinds())
