"""Batches of prompts without any library: what the samplers and adapters are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from redis_curriculum import Curriculum, CurriculumConfig, Outcome, WorkerSettings
from redis_curriculum.config import GroupProgressConfig, UniformConfig
from redis_curriculum.errors import GeneratorError, InvalidInputError
from redis_curriculum.integrations.prompts import Group, Prompts, groups_of
from redis_curriculum.reporting import StatsReporter
from redis_curriculum.tasks import Buckets, Table

DATA = [{"id": f"p-{i}", "level": i % 3, "text": f"{i} + {i}"} for i in range(40)]


def config_of(data: list[dict[str, Any]] = DATA, **fields: Any) -> CurriculumConfig:
    table = Table(data, label="level-{level}", key="id", params=[])
    return CurriculumConfig(
        **{"task_generator": table, "algorithm": GroupProgressConfig()} | fields
    )


@pytest.fixture
def curriculum(url: str, name: str) -> Iterator[Curriculum]:
    with Curriculum.open(url, name, config_of()) as opened:
        yield opened


def one_pass(prompts: Prompts) -> list[list[int]]:
    end = prompts.begin_pass()
    return [prompts.next_batch() for _ in range(prompts.step, end)]


def test_ranks_share_one_batch(curriculum: Curriculum) -> None:
    """Each has a handle of its own, and asks in its own time."""
    ranks = []
    for rank in range(3):
        own = Curriculum.open(curriculum.url, curriculum.name, config_of())
        ranks.append(Prompts(own, 4, key="run", num_replicas=3, rank=rank, num_batches=5))
    passes = [one_pass(prompts) for prompts in (ranks[2], ranks[0], ranks[1])]
    for batches in zip(*passes, strict=True):
        assert len({row for batch in batches for row in batch}) == 12
    whole = Prompts(curriculum, 12, key="run")
    assert whole.batch(3)[2::3] == passes[0][3]
    assert curriculum.stats()["num_scheduled"] == 5 * 12
    assert Prompts(curriculum, 12).batch(3) != whole.batch(3), "no key: a run of its own"
    with pytest.raises(InvalidInputError, match="12, as in the first call") as raised:
        Prompts(curriculum, 5, key="run", num_replicas=3).batch(3)
    assert (raised.value.field, raised.value.value) == ("count", 15)
    for prompts in ranks:
        prompts.curriculum.close()


def test_groups_are_successes_of_trials(curriculum: Curriculum) -> None:
    prompts = Prompts(curriculum, 4, success=0.5)
    rows = prompts.next_batch()
    scores = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0.5], [0.4, 0.9, 0.1, 0]])
    assert prompts.update(rows, scores) == [Outcome.APPLIED] * 4
    records = [curriculum.get_task_stats(Table.id_of(DATA[row]["id"])) for row in rows]
    assert [(r.statistics["group_mean"], r.statistics["outcome"]) for r in records if r] == [
        (0, 0), (0.25, 1), (1, 2), (0.25, 1),
    ]  # fmt: skip
    # The same rollouts one by one, in any order, groups of different sizes.
    flat = [(row, float(s)) for row, of_row in zip(rows, scores, strict=True) for s in of_row]
    flat = [*flat[::2], *flat[1::2], (rows[0], 0.0)]
    found = groups_of([row for row, _ in flat], [s for _, s in flat], 0.5)
    assert sorted(found) == sorted(
        Group(row, n, trials)
        for row, n, trials in zip(rows, (0, 1, 4, 1), (5, 4, 4, 4), strict=True)
    )
    assert curriculum.check() == []


def test_an_algorithm_that_asks_for_scores_gets_the_share(url: str, name: str) -> None:
    config = config_of(algorithm=UniformConfig(), score_range=(-1.0, 3.0))
    with Curriculum.open(url, name, config) as curriculum:
        prompts = Prompts(curriculum, 1)
        rows = prompts.next_batch()
        prompts.update(rows, [[1, 0, 0, 0]])
        record = curriculum.get_task_stats(Table.id_of(DATA[rows[0]]["id"]))
        assert record is not None
        assert record.last_score == 0.25


def test_prompts_that_were_all_right_or_wrong_are_passed_over(curriculum: Curriculum) -> None:
    prompts = Prompts(curriculum, 10, skip_right=3, skip_wrong=2)
    seen: dict[int, tuple[int, float]] = {}
    for step in range(12):
        rows = prompts.next_batch()
        for row in rows:
            before, score = seen.get(row, (-9, 0.5))
            assert step - before > {1.0: 3, 0.0: 2}.get(score, 0), "40 rows: enough are left"
        scores = [(row + step) % 4 / 2 for row in rows]
        prompts.update(rows, [[s, s] if s in (0, 1) else [1, 0] for s in scores])
        outcome = {0.5: 0.5, 1.5: 0.5}
        seen |= {row: (step, outcome.get(s, s)) for row, s in zip(rows, scores, strict=True)}
    assert len(seen) > 30


def test_a_run_goes_back_to_any_step(curriculum: Curriculum, url: str, name: str) -> None:
    prompts = Prompts(curriculum, 5, num_batches=6)
    first = one_pass(prompts)
    prompts.begin_pass()
    ahead = [prompts.next_batch() for _ in range(4)]  # two of them drawn ahead
    state, whole = prompts.state_dict(step=8), curriculum.state_dict()
    rest = [prompts.next_batch() for _ in range(2)]
    later = one_pass(prompts)
    with Curriculum.open(url, name, config_of()) as other:
        again = Prompts(other, 5, num_batches=6)
        curriculum.load_state_dict(whole)
        again.load_state_dict(state)
        assert again.step == 8
        assert [one_pass(again), one_pass(again)] == [[*ahead[2:], *rest], later]
        assert other.generation == 2, "reopened"
        assert again.batch(0) == first[0]
    assert curriculum.check() == []


def test_a_worker_whose_lease_has_ended_goes_on(url: str, name: str) -> None:
    with (
        Curriculum.open(url, name, config_of(), worker=WorkerSettings(worker_id="w")) as curriculum,
        Curriculum.open(url, name, worker=WorkerSettings(worker_id="w", take_over=True)) as other,
    ):
        prompts = Prompts(curriculum, 4)
        rows = prompts.next_batch()
        other.get_task()
        other.close()
        assert prompts.batch(0) == rows
        assert prompts.update(rows, [[1, 0]] * 4) == [Outcome.APPLIED] * 4


def test_bad_arguments_are_refused(curriculum: Curriculum, url: str, name: str) -> None:
    wrong: list[tuple[dict[str, Any], str, str]] = [
        ({"batch_size": 41}, "batch_size", "at most 40"),
        ({"batch_size": 11, "num_replicas": 4}, "batch_size", "at most 10"),
        ({"batch_size": 0}, "batch_size", "in "),
        ({"batch_size": 4, "rank": 1}, "rank", "below num_replicas"),
        ({"batch_size": 4, "key": ""}, "key", "bytes"),
        ({"batch_size": 4, "key": "k" * 190}, "key", "bytes"),
        ({"batch_size": 4, "num_batches": 0}, "num_batches", "in "),
        ({"batch_size": 4, "skip_right": 256}, "skip_right", "in "),
        ({"batch_size": 4, "skip_wrong": True}, "skip_wrong", "in "),
        ({"batch_size": 4, "success": float("nan")}, "success", "finite"),
    ]
    for arguments, field, rule in wrong:
        with pytest.raises(InvalidInputError, match=rule) as raised:
            Prompts(curriculum, **arguments)
        assert raised.value.field == field
    for given in (None, url, Curriculum):
        with pytest.raises(InvalidInputError, match="curriculum must be an open Curriculum"):
            Prompts(given, 4)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="curriculum must be an open Curriculum"):
            StatsReporter(given)  # type: ignore[arg-type]
    with Curriculum.open(url, name) as bare, pytest.raises(GeneratorError, match="generator="):
        Prompts(bare, 4)
    mazes = CurriculumConfig(task_generator=Buckets(label="m-{n}", buckets={"n": [1, 2]}))
    with (
        Curriculum.open(url, f"{name}.b", mazes) as other,
        pytest.raises(InvalidInputError, match="Table") as raised,
    ):
        Prompts(other, 4)
    assert raised.value.field == "curriculum"


def test_bad_results_report_nothing(curriculum: Curriculum) -> None:
    prompts = Prompts(curriculum, 4)
    rows = prompts.next_batch()
    never = next(row for row in range(40) if row not in rows)
    good = [[1, 0]] * 4
    bad: list[tuple[Any, Any, str]] = [
        ([*rows[:3], never], good, "rows[3]"),
        ([*rows[:3], 40], good, "rows[3]"),
        ([*rows[:3], -1], good, "rows[3]"),
        ([*rows[:3], 1.5], good, "rows[3]"),
        (rows, good[:3], "scores"),
        (rows, [1, 0, 0, 0], "scores"),
        (rows, [[1]] * 4, "scores"),
        (rows, [*good[:3], [1, float("nan")]], "scores[3][1]"),
        (rows, [*good[:3], "10"], "scores[3]"),
        ([], [], "rows"),
        (3, 1.0, "rows"),
    ]
    for of, scores, field in bad:
        with pytest.raises(InvalidInputError) as raised:
            prompts.update(of, scores)
        assert raised.value.field == field, (of, scores)
    assert curriculum.stats()["num_completed"] == 0
    # Another process has drawn a row: its results may be reported by this one.
    assert Prompts(curriculum, 4).update(rows, good) == [Outcome.APPLIED] * 4


def test_a_state_that_does_not_fit_changes_nothing(
    curriculum: Curriculum, url: str, name: str
) -> None:
    prompts = Prompts(curriculum, 4, key="run")
    prompts.next_batch()
    state = prompts.state_dict()
    for change, field in (
        ({"step": -1}, "state.step"),
        ({"end": "2"}, "state.end"),
        ({"taken": 4}, "state.taken"),
        ({"key": 3}, "state.key"),
        ({"batch_size": 5}, "state.batch_size"),
        ({"rows": 41}, "state.rows"),
        ({"fingerprint": "rows-sha256:0"}, "state.fingerprint"),
        ({"more": 1}, "state"),
    ):
        with pytest.raises(InvalidInputError) as raised:
            prompts.load_state_dict(state | change)
        assert raised.value.field == field
    with pytest.raises(InvalidInputError, match="state"):
        prompts.load_state_dict(None)
    assert prompts.state_dict() == state
    changed = [*DATA[:-1], DATA[-1] | {"level": 7}]
    with Curriculum.open(url, f"{name}.b", config_of(changed)) as other:
        with pytest.raises(InvalidInputError, match="as it is now") as raised:
            Prompts(other, 4).load_state_dict(state)
        assert raised.value.field == "state.fingerprint"
