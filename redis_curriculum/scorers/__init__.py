"""The families of rules by which tasks are judged and drawn, one module each."""

from __future__ import annotations

from redis_curriculum.scorers.learning_progress import LearningProgressConfig
from redis_curriculum.scorers.registry import Algorithm
from redis_curriculum.scorers.uniform import DiscreteRandomConfig

__all__ = ["Algorithm", "DiscreteRandomConfig", "LearningProgressConfig"]
