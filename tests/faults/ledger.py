"""What workers were told, beside what the server holds: every fault is judged by this."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from redis_curriculum import Curriculum
from redis_curriculum._protocol.scripts import names
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig, WorkerSettings
from redis_curriculum.errors import ServerError
from redis_curriculum.tasks import Buckets, Outcome, Task
from tests.families import whole
from tests.faults.tally import Row
from tests.servers import RunningServer

T = TypeVar("T")

TASKS = Buckets(label="kind-{kind}", buckets={"kind": [0, 1, 2], "seed": list(range(99))})
# Each result's score is another multiple of 2**-30: sums of them are exact, and tell a lost and a
# doubled one from two that were counted once.
_UNIT = 2.0**-30
_next_score = count(1)


def config_of(size: int = 16, algorithm: dict[str, Any] | None = None) -> CurriculumConfig:
    """A pool that keeps its tasks."""
    hypers = {"replacement_rate": 0.0, "min_samples_for_lp": 2} | (algorithm or {})
    return CurriculumConfig(
        task_generator=TASKS,
        num_active_tasks=size,
        seed=5,
        algorithm=LearningProgressConfig(**hypers),
    )


def settings_of(**fields: Any) -> WorkerSettings:
    """Quick to time out, slow to give up."""
    defaults: dict[str, Any] = {"timeout_s": 0.25, "retry_deadline_s": 60.0}
    return WorkerSettings(**defaults | fields)


Result = tuple[int, int]
"""A task id and a score in units."""


@dataclass
class Ledger:
    """The results that were acknowledged to one worker and the tasks handed to it."""

    reported: Counter[int] = field(default_factory=Counter)
    totals: Counter[int] = field(default_factory=Counter)
    """Sum of the scores of each task, in units."""
    handed: Counter[int] = field(default_factory=Counter)
    longest_s: float = 0.0
    errors: int = 0
    _batch: list[Result] = field(default_factory=list)

    def report(self, curriculum: Curriculum, task_id: int) -> Outcome:
        """Report one result of its own score; once it is answered, it is acknowledged."""
        result = self.begin(task_id, 0)
        outcome = self.timed(lambda: curriculum.update_task_performance(task_id, result[1] * _UNIT))
        self.end(result, [])
        return outcome

    def step(self, curriculum: Curriculum, task: Task) -> Task:
        """Report a result for one task and draw the next."""
        result = self.begin(task.task_id, 1)
        drawn = self.timed(lambda: curriculum.next_task((result[0], result[1] * _UNIT)))
        self.end(result, [drawn.task_id])
        return drawn

    def draw(self, curriculum: Curriculum, number: int = 1) -> list[Task]:
        self.begin(None, number)
        drawn = self.timed(lambda: curriculum.get_tasks(number))
        self.end(None, [task.task_id for task in drawn])
        return drawn

    def batch(self, curriculum: Curriculum, tasks: Sequence[Task], draws: int) -> list[Task]:
        """Report a result for each of many tasks, and draw some."""
        results = self._batch or [(task.task_id, next(_next_score)) for task in tasks]
        self._batch = results  # made again after an error, it is the same call
        finished = [(task_id, units * _UNIT) for task_id, units in results]
        step = self.timed(lambda: curriculum.next_tasks(finished, draws))
        self._batch = []
        for result in results:
            self.end(result, [])
        self.end(None, [task.task_id for task in step.tasks])
        return step.tasks

    def again(self, call: Callable[[], T]) -> T:
        """Make the same call until it is answered."""
        while True:
            with suppress(ServerError):
                return call()
            self.errors += 1

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

    def timed(self, call: Callable[[], T]) -> T:
        """Make a call and keep its time, if it is the longest."""
        started = time.monotonic()
        try:
            return call()
        finally:
            self.longest_s = max(self.longest_s, time.monotonic() - started)

    def begin(self, task_id: int | None, draws: int) -> Any:  # noqa: ARG002 - for the journal
        """Choose a score for a result that is about to be sent, if there is one."""
        return None if task_id is None else (task_id, next(_next_score))

    def end(self, result: Result | None, drawn: list[int]) -> None:
        """Take down what was acknowledged."""
        if result:
            self.reported[result[0]] += 1
            self.totals[result[0]] += result[1]
        self.handed.update(drawn)

    def take_over(self, other: Ledger) -> None:
        """Count what another was told as told to this one."""
        self.reported += other.reported
        self.totals += other.totals
        self.handed += other.handed
        self.longest_s = max(self.longest_s, other.longest_s)


class Journal(Ledger):
    """A ledger that survives its process: every line is in the file before the call goes on."""

    def __init__(self, path: Path, first: int) -> None:
        super().__init__()
        self._file = path.open("ab", buffering=0)
        self._scores = count(first)

    def begin(self, task_id: int | None, draws: int) -> Any:
        result = None if task_id is None else (task_id, next(self._scores))
        self._file.write(json.dumps([result, draws]).encode() + b"\n")
        return result

    def end(self, result: Result | None, drawn: list[int]) -> None:
        super().end(result, drawn)
        self._file.write(json.dumps(drawn).encode() + b"\n")

    def refused(self) -> None:
        """The call that was begun has not been applied."""
        self._file.write(b"null\n")


def read_journal(path: Path) -> tuple[Ledger, tuple[Result | None, int] | None]:
    """What the process was told, and what was on its way when it ended."""
    ledger = Ledger()
    lines = path.read_bytes().splitlines() if path.exists() else []
    for begun, ended in zip(lines[::2], lines[1::2], strict=False):
        result, drawn = json.loads(begun)[0], json.loads(ended)
        if drawn is not None:
            ledger.end(result and tuple(result), drawn)
    if len(lines) % 2 == 0:
        return ledger, None
    result, draws = json.loads(lines[-1])
    return ledger, (result and tuple(result), draws)


def settle(told: Ledger, on_its_way: tuple[Result | None, int], held: Ledger) -> None:
    """What was on its way came whole or not at all; if it came, it counts as told."""
    result, draws = on_its_way
    if held.reported == told.reported and held.handed == told.handed:
        return
    assert held.reported - told.reported == Counter([result[0]] if result else [])
    drawn = held.handed - told.handed
    assert drawn.total() == draws
    told.end(result, list(drawn.elements()))


def judge(row: Row, curriculum: Curriculum, ledgers: Iterable[Ledger], *, trials: int = 1) -> None:
    """Everything acknowledged is there, once, and nothing else; every invariant holds."""
    told = Ledger()
    for ledger in ledgers:
        told.take_over(ledger)
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
            client.script_load(whole(name).source)


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
