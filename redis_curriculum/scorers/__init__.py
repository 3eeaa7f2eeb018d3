"""The families of rules by which tasks are judged and drawn, one module each."""

from __future__ import annotations

from redis_curriculum.scorers.base import Scorer
from redis_curriculum.scorers.debiased_progress import DebiasedProgressConfig
from redis_curriculum.scorers.learning_progress import LearningProgressConfig
from redis_curriculum.scorers.registry import Algorithm, family, kinds
from redis_curriculum.scorers.statistics import BASIC, Statistic, Statistics
from redis_curriculum.scorers.uniform import DiscreteRandomConfig, UniformConfig

__all__ = [
    "BASIC",
    "Algorithm",
    "DebiasedProgressConfig",
    "DiscreteRandomConfig",
    "LearningProgressConfig",
    "Scorer",
    "Statistic",
    "Statistics",
    "UniformConfig",
    "family",
    "kinds",
]
