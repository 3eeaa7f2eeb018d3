"""A learning-progress curriculum for reinforcement learning whose state lives in Redis."""

from __future__ import annotations

from redis_curriculum.aio import AsyncCurriculum
from redis_curriculum.config import (
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
    WorkerSettings,
)
from redis_curriculum.curriculum import Curriculum
from redis_curriculum.epochs import EpochReport
from redis_curriculum.errors import CurriculumError
from redis_curriculum.outcome import Outcome, Step
from redis_curriculum.records import TaskRecord
from redis_curriculum.tasks import Task, TaskSpec

__version__ = "0.1.0"

__all__ = [
    "AsyncCurriculum",
    "Curriculum",
    "CurriculumConfig",
    "CurriculumError",
    "DiscreteRandomConfig",
    "EpochReport",
    "LearningProgressConfig",
    "Outcome",
    "Step",
    "Task",
    "TaskRecord",
    "TaskSpec",
    "WorkerSettings",
    "__version__",
]
