"""A learning-progress curriculum for reinforcement learning whose state lives in Redis.

The rooms of the package. A room uses only rooms below it::

    __main__, cli, demo        the command; the demo
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
"""

from __future__ import annotations

from redis_curriculum._client.asyncio import AsyncCurriculum
from redis_curriculum._client.blocking import Curriculum
from redis_curriculum._protocol.records import TaskRecord
from redis_curriculum._state.file import SnapshotInfo
from redis_curriculum._version import __version__
from redis_curriculum.config import CurriculumConfig, WorkerSettings
from redis_curriculum.errors import CurriculumError
from redis_curriculum.reporting.epochs import EpochReport
from redis_curriculum.scorers import (
    DebiasedProgressConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
    UniformConfig,
)
from redis_curriculum.tasks import Outcome, Step, Task, TaskSpec

__all__ = [
    "AsyncCurriculum",
    "Curriculum",
    "CurriculumConfig",
    "CurriculumError",
    "DebiasedProgressConfig",
    "DiscreteRandomConfig",
    "EpochReport",
    "LearningProgressConfig",
    "Outcome",
    "SnapshotInfo",
    "Step",
    "Task",
    "TaskRecord",
    "TaskSpec",
    "UniformConfig",
    "WorkerSettings",
    "__version__",
]
