"""How far a call that reports and draws has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import from_json

from redis_curriculum._store.once import Write
from redis_curriculum.tasks.outcome import Outcome
from redis_curriculum.tasks.task import Task


@dataclass(slots=True)
class Play:
    """How far a call has come; the same call, made again after an error, goes on from here."""

    results: list[tuple[int, float]]
    count: int
    outcomes: list[Outcome] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    sent: int = 0
    """Results whose outcome is known."""
    drawn: int = 0
    """Tasks that are known."""
    write: Write | None = None
    """What is under way: sent, or about to be; its answer has not been taken."""
    answer: Drawn | None = None
    """The last answer that asks for more: tasks to replace, or a pool to fill."""

    @property
    def is_begun(self) -> bool:
        return self.sent > 0 or self.drawn > 0

    @property
    def is_done(self) -> bool:
        full = self.sent == len(self.results) and self.drawn >= self.count
        return full and self.answer is None


OUTCOMES: Final = (Outcome.EVICTED, Outcome.APPLIED)


class Drawn:
    """What sample, step and replace answer."""

    __slots__ = ("missing", "next_index", "outcomes", "tasks", "wanted")

    def __init__(self, reply: list[Any]) -> None:
        _, self.wanted, self.next_index, self.missing, n = reply[:5]
        self.outcomes = reply[5 : 5 + n]
        flat = reply[5 + n :]
        self.tasks = [
            Task(int(task_id), label, from_json(params))
            for task_id, label, params in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        ]
