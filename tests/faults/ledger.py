"""What workers were told, beside what the server holds: every fault is judged by this."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from redis_curriculum.config import CurriculumConfig, LearningProgressConfig, WorkerSettings
from redis_curriculum.curriculum import Curriculum
from redis_curriculum.outcome import Outcome
from redis_curriculum.scripts import load, names
from redis_curriculum.tasks import Buckets, Task
from tests.faults.tally import Row
from tests.servers import RunningServer

T = TypeVar("T")

TASKS = Buckets(label="kind-{kind}", buckets={"kind": [0, 1, 2], "seed": list(range(99))})
# Each result's score is another multiple of 2**-30: sums of them are exact, and tell a lost and a
# doubled one from two that were counted once.
_UNIT = 2.0**-30
_next_score = count(1)


def config_of(size: int = 16, **fields: Any) -> CurriculumConfig:
    """A pool that keeps its tasks."""
    algorithm = LearningProgressConfig(replacement_rate=0.0, min_samples_for_lp=2)
    return CurriculumConfig(
        task_generator=TASKS, num_active_tasks=size, seed=5, algorithm=algorithm, **fields
    )


def settings_of(**fields: Any) -> WorkerSettings:
    """Quick to time out, slow to give up."""
    return WorkerSettings(**{"timeout_s": 0.25, "retry_deadline_s": 25.0} | fields)


@dataclass
class Ledger:
    """The results that were acknowledged to one worker and the tasks handed to it."""

    reported: Counter[int] = field(default_factory=Counter)
    totals: Counter[int] = field(default_factory=Counter)
    """Sum of the scores of each task, in units."""
    handed: Counter[int] = field(default_factory=Counter)
    longest_s: float = 0.0

    def timed(self, call: Callable[[], T]) -> T:
        """Make a call and keep its time, if it is the longest."""
        started = time.monotonic()
        try:
            return call()
        finally:
            self.longest_s = max(self.longest_s, time.monotonic() - started)

    def report(self, curriculum: Curriculum, task_id: int) -> Outcome:
        """Report one result of its own score; once it is answered, it is acknowledged."""
        units = next(_next_score)
        outcome = self.timed(lambda: curriculum.update_task_performance(task_id, units * _UNIT))
        self._acknowledge(task_id, units)
        return outcome

    def step(self, curriculum: Curriculum, task: Task) -> Task:
        """Report a result for one task and draw the next."""
        units = next(_next_score)
        drawn = self.timed(lambda: curriculum.next_task((task.task_id, units * _UNIT)))
        self._acknowledge(task.task_id, units)
        self.handed[drawn.task_id] += 1
        return drawn

    def draw(self, curriculum: Curriculum, number: int = 1) -> list[Task]:
        drawn = self.timed(lambda: curriculum.get_tasks(number))
        self.handed.update(task.task_id for task in drawn)
        return drawn

    def play(self, curriculum: Curriculum, rounds: int, seed: int = 0) -> None:
        """A worker's life: draw, then steps, batches and single reports in turn."""
        choose = random.Random(seed)
        task = self.draw(curriculum)[0]
        for _ in range(rounds):
            match choose.randrange(8):
                case 0:
                    task = self.draw(curriculum, 3)[-1]
                case 1:
                    self.report(curriculum, task.task_id)
                case _:
                    task = self.step(curriculum, task)

    def _acknowledge(self, task_id: int, units: int) -> None:
        self.reported[task_id] += 1
        self.totals[task_id] += units


def judge(row: Row, curriculum: Curriculum, ledgers: Iterable[Ledger], *, trials: int = 1) -> None:
    """Everything acknowledged is there, once, and nothing else; every invariant holds."""
    told = Ledger()
    for ledger in ledgers:
        told.reported += ledger.reported
        told.totals += ledger.totals
        told.handed += ledger.handed
        told.longest_s = max(told.longest_s, ledger.longest_s)
    held = held_by(curriculum)
    acknowledged = told.reported.total() + told.handed.total()
    lost = (told.reported - held.reported).total() + (told.handed - held.handed).total()
    doubled = (held.reported - told.reported).total() + (held.handed - told.handed).total()
    present = acknowledged - lost
    row.add(acknowledged=acknowledged, present=present, doubled=doubled, longest_s=told.longest_s)
    row.trials += trials - 1
    assert (lost, doubled) == (0, 0)
    assert held.reported == told.reported
    assert held.totals == told.totals, "each result by its own score"
    assert held.handed == told.handed
    assert curriculum.check() == []


def load_scripts(server: RunningServer) -> None:
    """Let the server know every script, as after some use."""
    with server.client() as client:
        for name in names():
            client.script_load(load(name).source)


def held_by(curriculum: Curriculum) -> Ledger:
    """What the server holds."""
    held = Ledger()
    for task_id in curriculum.task_ids():
        record = curriculum.get_task_stats(task_id)
        assert record is not None
        units = record.total_score / _UNIT
        assert units == int(units)
        held.reported[task_id] = record.completion_count
        held.totals[task_id] = int(units)
        held.handed[task_id] = record.sample_count
    return held
