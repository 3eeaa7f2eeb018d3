"""Wrappers that put a curriculum into a training loop.

Each needs its own library, which is imported when the wrapper is: ``CurriculumEnv``, ``TaskEnv``,
``CurriculumVectorEnv``, ``CurriculumNativeVectorEnv`` and those of evaluation Gymnasium
(``redis-curriculum[gymnasium]``), ``CurriculumParallelEnv`` PettingZoo
(``redis-curriculum[pettingzoo]``); ``CurriculumPufferEnv`` takes any environment with PufferLib's
interface and needs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from redis_curriculum.envs.assignments import TaskSource
    from redis_curriculum.envs.evaluation import (
        EvaluationEnv,
        EvaluationVectorEnv,
        evaluation_tasks,
    )
    from redis_curriculum.envs.native import CurriculumNativeVectorEnv
    from redis_curriculum.envs.parallel import CurriculumParallelEnv
    from redis_curriculum.envs.puffer import CurriculumPufferEnv
    from redis_curriculum.envs.single import CurriculumEnv, TaskEnv
    from redis_curriculum.envs.vector import CurriculumVectorEnv

__all__ = [
    "CurriculumEnv",
    "CurriculumNativeVectorEnv",
    "CurriculumParallelEnv",
    "CurriculumPufferEnv",
    "CurriculumVectorEnv",
    "EvaluationEnv",
    "EvaluationVectorEnv",
    "TaskEnv",
    "TaskSource",
    "evaluation_tasks",
]

_MODULES: Final = {
    "CurriculumEnv": "single",
    "CurriculumNativeVectorEnv": "native",
    "CurriculumParallelEnv": "parallel",
    "CurriculumPufferEnv": "puffer",
    "CurriculumVectorEnv": "vector",
    "EvaluationEnv": "evaluation",
    "EvaluationVectorEnv": "evaluation",
    "TaskEnv": "single",
    "TaskSource": "assignments",
    "evaluation_tasks": "evaluation",
}


_EXTRAS: Final = {
    "evaluation": "gymnasium",
    "native": "gymnasium",
    "parallel": "pettingzoo",
    "single": "gymnasium",
    "vector": "gymnasium",
}
"""What a module needs: a library, and the extra of the same name."""


def __getattr__(name: str) -> Any:
    """Import a wrapper when it is first asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = _MODULES[name]
    try:
        module = importlib.import_module(f"{__name__}.{room}")
    except ImportError as error:
        if room not in _EXTRAS or str(error.name).startswith("redis_curriculum"):
            raise
        remedy = f"pip install --upgrade 'redis-curriculum[{_EXTRAS[room]}]'"
        raise type(error)(f"{name}: {error}; {remedy}", name=error.name) from error
    return getattr(module, name)
