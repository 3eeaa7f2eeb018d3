"""Tasks and the generators that make a task from its id alone."""

from __future__ import annotations

from redis_curriculum.tasks.buckets import Buckets, Single, Span
from redis_curriculum.tasks.custom import Custom
from redis_curriculum.tasks.ids import label_hash, task_id_at
from redis_curriculum.tasks.outcome import Outcome, Result, Step
from redis_curriculum.tasks.table import Table
from redis_curriculum.tasks.task import Task, TaskGenerator, TaskSpec
from redis_curriculum.tasks.weighted import Generator, WeightedSet

__all__ = [
    "Buckets",
    "Custom",
    "Generator",
    "Outcome",
    "Result",
    "Single",
    "Span",
    "Step",
    "Table",
    "Task",
    "TaskGenerator",
    "TaskSpec",
    "WeightedSet",
    "label_hash",
    "task_id_at",
]
