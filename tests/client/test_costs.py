"""What a result brings beside its score: on every way to the server, and refused before it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum, Outcome, WorkerSettings
from redis_curriculum._store import read
from redis_curriculum.config import CurriculumConfig, DebiasedProgressConfig, UniformConfig
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers import Scorer, Statistics
from redis_curriculum.tasks import Single
from tests.faults.proxy import proxy, the_nth_call
from tests.servers import RunningServer

ALGORITHM = DebiasedProgressConfig(cost_aware=True, warm_up=(1.0, 1.0, 1.0), rates=(0.5, 0.25, 0.1))


def config_of(algorithm: Scorer = ALGORITHM) -> CurriculumConfig:
    tasks = Single(label="one", params={})
    return CurriculumConfig(task_generator=tasks, num_active_tasks=3, algorithm=algorithm)


def label_of(curriculum: Curriculum) -> dict[str, float]:
    """What the server keeps of the label."""
    names = curriculum.config.algorithm.names("label")
    plan = read.numbers(curriculum._store, "label", names, ["one"])  # noqa: SLF001
    table, _ = curriculum._run(plan)  # noqa: SLF001
    return dict(zip(names, table[0, :-1].tolist(), strict=True))


def folded(results: Iterable[tuple[float, float]]) -> Statistics:
    found: Statistics = {}
    for score, cost in results:
        found = ALGORITHM.fold_label(found, score, cost)
    return found


def test_costs_travel_with_every_call(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        one = curriculum.task_ids()[0]
        curriculum.update_task_performance(one, 1.0, cost=10)
        curriculum.update_many([(one, 0.0, {"cost": 20.5}), (one, 1, {"cost": 7})])
        curriculum.next_task((one, 0.5, {"cost": 1}))
        curriculum.next_tasks([(one, 0.25, {"cost": 1e9}), (one, 0.0, {"cost": 3})], 2)
        expected = [(1.0, 10.0), (0.0, 20.5), (1.0, 7.0), (0.5, 1.0), (0.25, 1e9), (0.0, 3.0)]
        assert label_of(curriculum) == folded(expected)

        async def played() -> None:
            async with AsyncCurriculum.open(url, name) as other:
                await other.update_task_performance(one, 1.0, cost=11)
                await other.update_many([(one, 1.0, {"cost": 12})])
                await other.next_task((one, 1.0, {"cost": 13}))
                await other.next_tasks([(one, 1.0, {"cost": 14})], 1)

        asyncio.run(played())
        expected += [(1.0, float(cost)) for cost in (11, 12, 13, 14)]
        assert label_of(curriculum) == folded(expected)
        assert curriculum.check() == []


WRONG: dict[str, tuple[tuple[Any, ...], str, str]] = {
    "missing": ((1.0,), "cost", "given beside each score"),
    "zero": ((1.0, {"cost": 0}), "cost", r"in \[1, 1000000000\]"),
    "negative": ((1.0, {"cost": -3.0}), "cost", r"in \[1, 1000000000\]"),
    "NaN": ((1.0, {"cost": math.nan}), "cost", r"in \[1, 1000000000\]"),
    "infinite": ((1.0, {"cost": math.inf}), "cost", r"in \[1, 1000000000\]"),
    "a text": ((1.0, {"cost": "9"}), "cost", "a number in"),
    "None": ((1.0, {"cost": None}), "cost", "a number in"),
    "another name": ((1.0, {"cost": 9, "length": 9}), "numbers", "one of cost"),
    "no mapping": ((1.0, 9.0), "results[1]", "numbers by name"),
    "too many": ((1.0, {"cost": 9}, 9), "results[1]", "numbers by name"),
}


@pytest.mark.parametrize("result", WRONG.values(), ids=WRONG)
def test_a_bad_cost_is_refused_and_nothing_is_applied(
    url: str, name: str, result: tuple[tuple[Any, ...], str, str]
) -> None:
    given, field, rule = result
    with Curriculum.open(url, name, config_of()) as curriculum:
        one = curriculum.task_ids()[0]
        batch: list[Any] = [(one, 0.5, {"cost": 2}), (one, *given)]
        with pytest.raises(InvalidInputError, match=rule) as caught:
            curriculum.update_many(batch)
        assert caught.value.field == field
        record = curriculum.get_task_stats(one)
        assert record
        assert record.completion_count == 0


def test_who_asks_for_no_cost_gets_none(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(UniformConfig())) as curriculum:
        one = curriculum.task_ids()[0]
        with pytest.raises(InvalidInputError, match="left out"):
            curriculum.update_task_performance(one, 1.0, cost=3)
        curriculum.update_many([(one, 1.0, {})])
    with pytest.raises(InvalidInputError, match="failure_score must be None") as caught:
        DebiasedProgressConfig(cost_aware=True, failure_score=0.0)
    assert caught.value.field == "failure_score"


def test_a_lost_reply_and_a_repeated_call_count_a_cost_once(
    server: RunningServer, name: str
) -> None:
    with (
        proxy(server) as between,
        Curriculum.open(between.url, name, config_of()) as curriculum,
    ):
        one = curriculum.task_ids()[0]
        curriculum.update_task_performance(one, 1.0, cost=5)
        between.rule = the_nth_call(0, "lose reply")
        assert curriculum.update_task_performance(one, 0.0, cost=9) == Outcome.DUPLICATE
        assert label_of(curriculum) == folded([(1.0, 5.0), (0.0, 9.0)])


def test_costs_wait_for_the_server(url: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = WorkerSettings(on_outage="continue", retry_deadline_s=0.0)
    with Curriculum.open(url, name, config_of(), worker=worker) as curriculum:
        task = curriculum.get_task()
        backlog = curriculum._store.backlog  # noqa: SLF001
        monkeypatch.setattr(backlog, "_since", 1.0)
        monkeypatch.setattr(backlog, "_next_try", math.inf)
        result = (task.task_id, 0.5, {"cost": 8})
        assert curriculum.next_tasks([result], 1).outcomes == [Outcome.DEFERRED]
        with pytest.raises(InvalidInputError, match="given beside each score"):
            curriculum.next_tasks([(task.task_id, 0.5)], 1)
        backlog._next_try = 0.0  # noqa: SLF001
        curriculum.get_task()
        assert label_of(curriculum) == folded([(0.5, 8.0)])


def test_labels_are_drawn_by_progress_over_the_root_of_the_cost() -> None:
    def label(cost: float) -> Statistics:
        of: Statistics = {}
        for i in range(100):
            of = ALGORITHM.fold_label(of, i / 100, cost)
        return of

    plain = ALGORITHM.model_copy(update={"cost_aware": False})
    assert plain.weight(label(1)) == plain.weight(label(10_000))
    assert ALGORITHM.weight(label(1)) == pytest.approx(plain.weight(label(1)))
    assert ALGORITHM.weight(label(1)) / ALGORITHM.weight(label(10_000)) == pytest.approx(100)


def test_a_snapshot_keeps_costs(url: str, name: str, tmp_path: Path) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        one = curriculum.task_ids()[0]
        curriculum.update_many([(one, n / 9, {"cost": 3 + n}) for n in range(9)])
        before = label_of(curriculum)
        curriculum.snapshot(tmp_path / "a.rcs")
        curriculum.update_many([(one, 0.0, {"cost": 1000})])
        with Curriculum.restore(tmp_path / "a.rcs", url, name, replace=True) as restored:
            assert label_of(restored) == before
