"""The names of the system that this one replaces: change the import, and a script goes on.

::

    from redis_curriculum.compat import Curriculum, CurriculumConfig, LearningProgressConfig

    algorithm = LearningProgressConfig(use_shared_memory=True, session_id="run-42")
    curriculum = Curriculum(CurriculumConfig(task_generator=tasks, algorithm_config=algorithm))
    task = curriculum.get_task()
    curriculum.update_task_performance(task._task_id, play(task.get_env_cfg()))

The state lives in Redis: ``REDIS_CURRICULUM_URL`` says where (default: a private server), and
``REDIS_CURRICULUM_NAME``, or else ``session_id``, which curriculum. What differs from the older
system, and why, is in the guide "Moving from the older system". Whatever is accepted and has no
effect says so by a ``CompatWarning``.
"""

from __future__ import annotations

from redis_curriculum.compat.config import (
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
)
from redis_curriculum.compat.curriculum import (
    Curriculum,
    CurriculumEnv,
    CurriculumTask,
    LearningProgressAlgorithm,
    TaskTracker,
)

__all__ = [
    "Curriculum",
    "CurriculumConfig",
    "CurriculumEnv",
    "CurriculumTask",
    "DiscreteRandomConfig",
    "LearningProgressAlgorithm",
    "LearningProgressConfig",
    "TaskTracker",
]
