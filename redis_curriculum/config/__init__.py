"""Every setting: what a curriculum is, how it learns and draws, how a handle talks to Redis.

All models are frozen and checked once, whatever builds them. Unknown fields are refused. Beside
each field of a curriculum stands what it means for resuming: STRUCTURAL fields say what the stored
numbers mean and must match, TUNABLE ones may be changed by name (``with_overrides``).
"""

from __future__ import annotations

from redis_curriculum._values.fields import Resume
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.resume import resume_rule, structural_differences
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.errors import ConfigWarning
from redis_curriculum.scorers import (
    DebiasedProgressConfig,
    DiscreteRandomConfig,
    GroupProgressConfig,
    LearningProgressConfig,
    PassesConfig,
    UniformConfig,
)

__all__ = [
    "ConfigWarning",
    "CurriculumConfig",
    "DebiasedProgressConfig",
    "DiscreteRandomConfig",
    "GroupProgressConfig",
    "LearningProgressConfig",
    "PassesConfig",
    "Resume",
    "UniformConfig",
    "WorkerSettings",
    "resume_rule",
    "structural_differences",
]
