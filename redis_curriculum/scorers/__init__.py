"""The families of rules by which tasks are judged and drawn, one module each."""

from __future__ import annotations

from redis_curriculum._values.fields import (
    STRUCTURAL,
    TUNABLE,
    Count,
    Flag,
    Fraction,
    Inside,
    Rate,
)
from redis_curriculum._values.rules import In
from redis_curriculum.scorers.base import Scorer
from redis_curriculum.scorers.debiased_progress import DebiasedProgressConfig
from redis_curriculum.scorers.drawing import LabelFirstDraws, SigmoidDraws, StateDraws
from redis_curriculum.scorers.group_progress import GroupProgressConfig
from redis_curriculum.scorers.learning_progress import LearningProgressConfig
from redis_curriculum.scorers.own import (
    InOrder,
    OwnDraws,
    OwnKey,
    OwnPick,
    OwnValues,
    PoolNumbers,
    Uniforms,
)
from redis_curriculum.scorers.passes import PassesConfig
from redis_curriculum.scorers.registry import Algorithm, family, kinds
from redis_curriculum.scorers.statistics import BASIC, Reported, Statistic, Statistics, ema
from redis_curriculum.scorers.uniform import DiscreteRandomConfig, UniformConfig

__all__ = [
    "BASIC",
    "STRUCTURAL",
    "TUNABLE",
    "Algorithm",
    "Count",
    "DebiasedProgressConfig",
    "DiscreteRandomConfig",
    "Flag",
    "Fraction",
    "GroupProgressConfig",
    "In",
    "InOrder",
    "Inside",
    "LabelFirstDraws",
    "LearningProgressConfig",
    "OwnDraws",
    "OwnKey",
    "OwnPick",
    "OwnValues",
    "PassesConfig",
    "PoolNumbers",
    "Rate",
    "Reported",
    "Scorer",
    "SigmoidDraws",
    "StateDraws",
    "Statistic",
    "Statistics",
    "UniformConfig",
    "Uniforms",
    "ema",
    "family",
    "kinds",
]
