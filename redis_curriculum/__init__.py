"""A learning-progress curriculum for reinforcement learning whose state lives in Redis.

The rooms of the package. A room uses only rooms below it::

    __main__, cli, demo        the command; the demo
    compat, dashboard          the names of the system that this one replaces; pages in the browser
    integrations               callbacks and wrappers for training libraries
    testing                    tests that every scorer family passes, for pytest
    envs                       wrappers for training loops
    _client                    the two handles, blocking and asyncio; open: create or attach
    _admin                     look over curricula, clean up, back up, audit a server, ACLs
    reporting                  figures, epochs, alerts, and the sinks that log them
    _state                     snapshots of one moment, restore, check
    _store                     one plan an operation; numbered writes; tasks that fail
    _wire                      links to the server, URLs, TLS, the embedded server
    _protocol                  keys, the Lua scripts, records, plans, requests that may be repeated
    _sampling                  the NumPy reference of a draw
    config                     every setting
    scorers                    families of rules: statistics of a task or label, and its weight
    tasks                      tasks, task ids, task generators
    _values                    rules for values, the frozen models
    errors, _version           the error tree; the version

Names are imported when they are first used: an import of the package itself costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from redis_curriculum._version import __version__

if TYPE_CHECKING:
    from redis_curriculum._client.asyncio import AsyncCurriculum
    from redis_curriculum._client.blocking import Curriculum
    from redis_curriculum._protocol.records import TaskRecord
    from redis_curriculum._state.file import SnapshotInfo
    from redis_curriculum.config import CurriculumConfig, WorkerSettings
    from redis_curriculum.errors import CurriculumError
    from redis_curriculum.reporting.epochs import EpochReport
    from redis_curriculum.reporting.events import Event
    from redis_curriculum.reporting.records import LabelRecord
    from redis_curriculum.scorers import (
        DebiasedProgressConfig,
        DiscreteRandomConfig,
        GroupProgressConfig,
        LearningProgressConfig,
        PassesConfig,
        UniformConfig,
    )
    from redis_curriculum.tasks import Outcome, Step, Task, TaskSpec

_HOMES: Final = {
    "AsyncCurriculum": "_client.asyncio",
    "Curriculum": "_client.blocking",
    "CurriculumConfig": "config",
    "CurriculumError": "errors",
    "DebiasedProgressConfig": "scorers",
    "DiscreteRandomConfig": "scorers",
    "EpochReport": "reporting.epochs",
    "Event": "reporting.events",
    "GroupProgressConfig": "scorers",
    "LabelRecord": "reporting.records",
    "LearningProgressConfig": "scorers",
    "Outcome": "tasks",
    "PassesConfig": "scorers",
    "SnapshotInfo": "_state.file",
    "Step": "tasks",
    "Task": "tasks",
    "TaskRecord": "_protocol.records",
    "TaskSpec": "tasks",
    "UniformConfig": "scorers",
    "WorkerSettings": "config",
}
"""Module of each public name."""
_ROOMS: Final = ("config", "errors", "reporting", "scorers", "tasks")
"""Public modules that are there without an import of their own."""


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    elif name in _ROOMS:
        found = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_ROOMS})


__all__ = [
    "AsyncCurriculum",
    "Curriculum",
    "CurriculumConfig",
    "CurriculumError",
    "DebiasedProgressConfig",
    "DiscreteRandomConfig",
    "EpochReport",
    "Event",
    "GroupProgressConfig",
    "LabelRecord",
    "LearningProgressConfig",
    "Outcome",
    "PassesConfig",
    "SnapshotInfo",
    "Step",
    "Task",
    "TaskRecord",
    "TaskSpec",
    "UniformConfig",
    "WorkerSettings",
    "__version__",
]
