"""A learning-progress curriculum for reinforcement learning whose state lives in Redis.

Where what lives, from the user's side down to the server's::

    curriculum, aio            the two handles; handle: what they share; opening: create or attach
    config, tasks              all settings; task generators, ids, labels' hashes
    outcome, records           what calls answer; the fields of a task's record
    store                      drawing, reporting, evicting, reading: a plan an operation
    failures, epochs, stats    failing tasks; counts between two end_epoch calls; all figures
    reporting, health          where figures are logged; alerts
    snapshot, restore, moment  the file; back from it; one moment read while others write
    check, maintenance         invariants and repair; gc, delete, backup
    overview, diagnosis, acl   what the command line shows; doctor; least-privilege users
    worker                     a handle's identity: numbered writes, retries, lease, replay
    connection, aiolink, urls  plans over sockets, blocking and asyncio; what a URL says
    audit, embedded, keeper    is the server fit; the private server and the process beside it
    scripts, keys              the Lua files and their headers; every key's name
    scoring                    the formulas in NumPy, which the scripts equal bit for bit
    validation, errors         rules for values; the error tree
    envs/, demo/, cli/         environment wrappers; the demo; the command
"""

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
