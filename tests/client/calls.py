"""Every kind of call that writes, and what the server counts when it was made once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Self

from redis_curriculum import Curriculum, EpochReport, Outcome, Step, Task, WorkerSettings
from redis_curriculum._protocol.keys import COUNTS, Keys
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig
from redis_curriculum.tasks import Buckets
from tests.servers import RunningServer
from tests.whole import assert_whole

SIZE: Final = 8
TASKS: Final = Buckets(label="{kind}", buckets={"kind": ["a", "b"], "seed": list(range(40))})
AT_ONCE: Final = WorkerSettings(chunk=2, retry_deadline_s=0.0)
"""Batches of several chunks; every error is the caller's."""
APPLIED: Final = {Outcome.APPLIED, Outcome.DUPLICATE}


def config_of(**algorithm: Any) -> CurriculumConfig:
    hypers: dict[str, Any] = {"replacement_rate": 0.0, "min_samples_for_lp": 1}
    hypers |= {"min_presentations_for_eviction": 1, "eviction_threshold_percentile": 1.0}
    return CurriculumConfig(
        task_generator=TASKS,
        num_active_tasks=SIZE,
        seed=4,
        epochs_retained=10_000,
        algorithm=LearningProgressConfig(**hypers | algorithm),
    )


class Scene:
    """One curriculum: who is to be interrupted, who prepares, and what the server counts."""

    def __init__(self, server: RunningServer, name: str, case: Case) -> None:
        self.server, self.name, self.case = server, name, case
        self.client = server.client()
        self.keeper = Curriculum.open(server.url, name, config_of(**case.algorithm))
        self.keeper.update_many([(task_id, 0.5) for task_id in self.pool()])
        self.trials = count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.keeper.close()

    def pool(self) -> list[int]:
        return self.keeper.task_ids()

    def counts(self) -> Counter[str]:
        """Everything that a call may count."""
        keys, found = Keys(self.name), Counter[str]()
        for what in COUNTS:
            found[what] = sum(map(int, self.client.hvals(keys.count(what))))
        meta = self.client.hmget(keys.meta, "epoch", "late_count", "next_index")
        found["epoch"], found["late"], _ = map(int, meta)
        found["quarantine"] = self.client.hlen(keys.quarantine)
        return found

    def arguments(self) -> tuple[Any, ...]:
        """Those of the next trial: of tasks that are in a full pool."""
        while len(ids := self.pool()) < SIZE:
            self.keeper.get_task()
        for _ in range(self.case.gaps):
            self.keeper.evict(ids.pop())
        if self.case.algorithm:
            self.keeper.update_many([(task_id, 0.5) for task_id in ids])
        return self.case.arguments(ids, next(self.trials))

    def call(self, handle: Any) -> Callable[[], Any]:
        """The next trial, to be made any number of times."""
        args = self.arguments()
        return lambda: getattr(handle, self.case.method)(*args, **self.case.options)

    def grown(self, before: Counter[str]) -> dict[str, int]:
        """By how much each count has grown."""
        found = self.counts()
        found.subtract(before)
        return {what: n for what, n in found.items() if n}

    def judge(self, before: Counter[str], answer: Any) -> None:
        """The counts have grown as by one call, and the answer is that call's."""
        grown = self.grown(before)
        missing = max(0, SIZE - len(self.pool()))
        if missing and "created" in self.case.counted:  # a reply was lost: the next draw fills
            grown["created"] = grown.get("created", 0) + missing
        assert grown == self.case.counted
        self.case.judge(answer)

    def end(self) -> None:
        if surplus := self.pool()[SIZE:]:  # that was added
            self.keeper.remove_tasks(surplus)
        self.keeper.get_task()
        assert self.keeper.check() == []
        assert_whole(self.server, self.keeper)


@dataclass(frozen=True)
class Case:
    """One kind of call."""

    method: str
    counted: dict[str, int]
    judge: Callable[[Any], object]
    arguments: Callable[[list[int], int], tuple[Any, ...]] = lambda ids, n: ()
    options: dict[str, Any] = field(default_factory=dict)
    algorithm: dict[str, Any] = field(default_factory=dict)
    gaps: int = 0
    """How many tasks the pool lacks."""


def is_applied(outcome: Outcome) -> None:
    assert outcome in APPLIED


def are_applied(outcomes: list[Outcome]) -> None:
    assert set(outcomes) <= APPLIED


def numbers(n: int) -> Callable[[list[Any]], None]:
    def judge(tasks: list[Any]) -> None:
        assert len(tasks) == n

    return judge


def different(n: int) -> Callable[[list[Any]], None]:
    def judge(tasks: list[Any]) -> None:
        assert len({task.task_id for task in tasks}) == len(tasks) == n

    return judge


def is_a_step_of_six(step: Step) -> None:
    different(6)(step.tasks)
    are_applied(step.outcomes)


def is_a_step_of_three(step: Step) -> None:
    numbers(3)(step.tasks)
    are_applied(step.outcomes)


def is_taken_out(outcome: Outcome) -> None:
    assert outcome in (Outcome.QUARANTINED, Outcome.DUPLICATE)


def is_a_report(report: EpochReport) -> None:
    assert report.ended_ms is not None
    assert set(report.success_rate) == {"a", "b"}, "as it was noted"


def results(ids: list[int], n: int) -> list[tuple[int, float]]:
    return [(task_id, 0.5) for task_id in ids[:n]]


CASES: Final = {
    "get_task": Case("get_task", {"samples": 1}, lambda task: task.params["seed"]),
    "get_tasks": Case("get_tasks", {"samples": 5}, numbers(5), lambda ids, n: (5,)),
    "a gap is filled": Case(
        "get_task", {"samples": 1, "created": 2}, lambda task: task.params["seed"], gaps=2
    ),
    "replaced": Case(
        "get_tasks",
        {"samples": 3, "created": 3, "evictions": 3},
        numbers(3),
        lambda ids, n: (3,),
        algorithm={"replacement_rate": 1.0, "exploration_share": 1.0},
    ),
    "update": Case(
        "update_task_performance", {"completions": 1}, is_applied, lambda ids, n: (ids[0], 0.5)
    ),
    "update_many": Case(
        "update_many", {"completions": 5}, are_applied, lambda ids, n: (results(ids, 5),)
    ),
    "next_task": Case(
        "next_task",
        {"completions": 1, "samples": 1},
        lambda task: task.params["seed"],
        lambda ids, n: ((ids[0], 0.5),),
    ),
    "next_tasks": Case(
        "next_tasks",
        {"completions": 3, "samples": 3},
        is_a_step_of_three,
        lambda ids, n: (results(ids, 3), 3),
    ),
    "distinct": Case(
        "next_tasks",
        {"completions": 3, "samples": 6},
        is_a_step_of_six,
        lambda ids, n: (results(ids, 3), 6),
        {"distinct": True},
    ),
    "distinct, of a pool that is filled": Case(
        "get_tasks",
        {"samples": SIZE, "created": 2},
        different(SIZE),
        lambda ids, n: (SIZE,),
        {"distinct": True},
        gaps=2,
    ),
    "distinct, replaced": Case(
        "get_tasks",
        {"samples": 3, "created": 3, "evictions": 3},
        different(3),
        lambda ids, n: (3,),
        {"distinct": True},
        algorithm={"replacement_rate": 1.0, "exploration_share": 1.0},
    ),
    "late": Case(
        "update_task_performance",
        {"late": 1},
        lambda outcome: outcome in (Outcome.EVICTED, Outcome.DUPLICATE),
        lambda ids, n: (n, 0.5),
    ),
    "evict": Case("evict", {"evictions": 1}, is_applied, lambda ids, n: (ids[0],)),
    "set_label": Case("set_label", {}, is_applied, lambda ids, n: (ids[0], "ab"[n % 2])),
    "report_failure": Case(
        "report_failure",
        {"failures": 1},
        is_applied,
        lambda ids, n: (ids[n % 4], f"{n}"),
        algorithm={"max_consecutive_failures": 100},
    ),
    "taken out": Case(
        "report_failure",
        {"failures": 1, "evictions": 1, "created": 1, "quarantine": 1},
        is_taken_out,
        lambda ids, n: (ids[0], "x"),
        {"permanent": True},
    ),
    "add_tasks": Case(
        "add_tasks",
        {"created": 3},
        are_applied,
        lambda ids, n: ([Task(10 * n + i, "ab"[i % 2], {"seed": n}) for i in range(3)],),
    ),
    "remove_tasks": Case("remove_tasks", {"evictions": 3}, are_applied, lambda ids, n: (ids[:3],)),
    "set_weights": Case(
        "set_weights", {}, are_applied, lambda ids, n: (dict.fromkeys(ids[:3], n % 2 + 0.5),)
    ),
    "end_epoch": Case("end_epoch", {"epoch": 1}, is_a_report),
}
