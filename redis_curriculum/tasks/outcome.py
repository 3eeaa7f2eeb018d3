"""What becomes of a write, and what a call that reports and draws answers."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from redis_curriculum.tasks.task import Task

Result = tuple[int, float] | tuple[int, float, Mapping[str, float]]
"""A finished episode: task id, score, and the numbers that the algorithm asks for, by name."""


class Outcome(StrEnum):
    """What became of one result or change."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    """A retry found it applied: it counts once."""
    EVICTED = "evicted"
    """The task is no longer in the pool; a report is counted as late and changes nothing else."""
    QUARANTINED = "quarantined"
    """This reported failure was one too many: it is counted, and the task was taken out."""

    DEFERRED = "deferred"
    """The server does not answer: it is delivered later (``WorkerSettings(on_outage="continue")``).

    So answer reports of results and failures, ``evict`` and ``set_label``.
    """


class Step(NamedTuple):
    """What ``next_tasks`` answers."""

    tasks: list[Task]
    """The drawn tasks."""
    outcomes: list[Outcome]
    """One for each finished episode, in their order."""
