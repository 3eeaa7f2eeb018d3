"""Prompts drawn by what their groups have shown: the rule by hand, and what the server keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._store import read
from redis_curriculum.config import CurriculumConfig, GroupProgressConfig
from redis_curriculum.errors import InvalidInputError, MalformedStateError
from redis_curriculum.scorers import Statistics
from redis_curriculum.scorers.group_progress import STATES
from redis_curriculum.tasks import Buckets
from redis_curriculum.testing.playing import deviation
from tests.servers import RunningServer

RULE = GroupProgressConfig()
PROMPTS = Buckets(label="{kind}", buckets={"kind": ["easy", "hard"], "prompt": list(range(500))})


def config_of(tasks: int = 40, **fields: Any) -> CurriculumConfig:
    algorithm = GroupProgressConfig(**fields)
    return CurriculumConfig(
        task_generator=PROMPTS, num_active_tasks=tasks, seed=1, algorithm=algorithm
    )


def after(*successes: int, trials: int = 8) -> Statistics:
    """A prompt after groups with so many successes."""
    found: Statistics = {}
    for number in successes:
        found = RULE.fold(found, number / trials, trials)
    return found


def pool_statistics(curriculum: Curriculum) -> dict[str, float]:
    return curriculum._run(read.pool_statistics(curriculum._store))  # noqa: SLF001


# --- the rule ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "state", "mean", "weight"),
    [
        ((), "fresh", None, 1.0),
        ((0,), "wrong_1", 0.0, 1.0),
        ((0, 0, 0, 0, 0, 0), "wrong_4", 0.0, 1.0),
        ((8, 0, 0), "wrong_2", 0.25, 0.75**4),
        ((4,), "mixed", 0.5, 0.5**4),
        ((4, 4), "mixed", 0.5, 0.5**4),
        ((0, 4, 4, 4, 4), "mixed", 0.46875, 0.53125**4 * 0.5),
        ((8,), "right", 1.0, 0.0),
        ((0, 8), "right", 0.5, 0.5**4),
    ],
)
def test_state_mean_and_weight_of_a_prompt(
    successes: tuple[int, ...], state: str, mean: float | None, weight: float
) -> None:
    of = after(*successes)
    assert STATES[RULE.state(of)] == state
    assert of.get("group_mean") == mean
    assert RULE.weight(of) == weight
    assert GroupProgressConfig.careful().weight(of) == pytest.approx(weight**0.5, rel=0.5)


def test_yields_are_counted_by_the_state_before_the_group() -> None:
    pool: Statistics = {}
    for before, successes in (((), 4), ((), 0), ((0,), 0), ((0, 0), 3), ((4,), 8)):
        pool = RULE.fold_pool(pool, after(*before), successes / 8, 8)
    counts = {name: pool[f"count_{name}"] for name in STATES}
    assert counts == {
        **dict.fromkeys(STATES, 0),
        "fresh": 2,
        "wrong_1": 1,
        "wrong_2": 1,
        "mixed": 1,
    }
    assert {name: pool[f"yield_{name}"] for name in ("fresh", "wrong_1", "wrong_2", "mixed")} == {
        "fresh": 0.5,
        "wrong_1": 0.0,
        "wrong_2": 1.0,
        "mixed": 0.0,
    }
    y = 0.0 + (0.5 - 0.0) * 4 / (1 + 4)
    assert RULE.state_weight(STATES.index("wrong_1"), pool) == y * y
    for _ in range(1000):
        pool = RULE.fold_pool(pool, after(0), 0.0, 8)
    assert RULE.state_weight(STATES.index("wrong_1"), pool) == pytest.approx(0.01)


def test_a_mean_that_was_rounded_is_the_group_that_it_was() -> None:
    third = 0.3333333432674408  # 1 / 3 in 32 bits
    assert RULE.fold({}, third, 3)["group_mean"] == 1 / 3
    assert RULE.fold({}, 0.99999994, 3)["outcome"] == 2.0


WRONG: dict[str, tuple[Any, ...]] = {
    "a single result": ({}, "trials", "given beside each score"),
    "a group of one": ({"trials": 1}, "trials", r"in \[2, 1000000\]"),
    "no whole number of trials": ({"trials": 8.0}, "trials", "an integer in"),
    "no whole number of successes": ({"trials": 7}, "score", "whole number of successes of 7"),
}


@pytest.mark.parametrize(("numbers", "field", "rule"), WRONG.values(), ids=WRONG)
def test_what_is_no_group_is_refused(
    url: str, name: str, numbers: dict[str, Any], field: str, rule: str
) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        task = curriculum.get_task()
        with pytest.raises(InvalidInputError, match=rule) as caught:
            curriculum.update_task_performance(task.task_id, 0.5, **numbers)
        assert caught.value.field == field
        assert curriculum.stats()["num_completed"] == 0


# --- through the server --------------------------------------------------------------------------


def played(curriculum: Curriculum, batches: int = 10) -> None:
    """Easy prompts are solved more often; some are never, some always."""
    tasks = curriculum.get_tasks(16, distinct=True)
    for _ in range(batches):
        results = [
            (t.task_id, t.task_id % (9 if t.label == "easy" else 4) / 8, {"trials": 8})
            for t in tasks
        ]
        tasks = curriculum.next_tasks(results, 16, distinct=True).tasks
        assert len({task.task_id for task in tasks}) == 16


@pytest.mark.parametrize("label_factor", ["none", "progress"])
def test_draws_follow_the_formula(url: str, name: str, label_factor: str) -> None:
    with Curriculum.open(url, name, config_of(label_factor=label_factor)) as curriculum:
        played(curriculum)
        pool = pool_statistics(curriculum)
        rule, weights = curriculum.config.algorithm, dict[int, float]()
        assert isinstance(rule, GroupProgressConfig)
        names = rule.names("label")
        plan = read.numbers(curriculum._store, "label", names, ["easy", "hard"])  # noqa: SLF001
        rows, _ = curriculum._run(plan)  # noqa: SLF001
        of = [dict(zip(names, row[:-1].tolist(), strict=True)) for row in rows]
        w = [rule.label_weight(one) for one in of]
        assert all(one["completion_count"] >= 20 for one in of)
        counts = curriculum.labels()
        share = {n: 0.075 + 0.85 * x / sum(w) for n, x in zip(("easy", "hard"), w, strict=True)}
        for task_id in curriculum.task_ids():
            record = curriculum.get_task_stats(task_id)
            assert record
            own = {k: x for k, x in record.statistics.items() if x is not None}
            weights[task_id] = rule.weight(own) * rule.state_weight(rule.state(own), pool)
            if label_factor == "progress":
                weights[task_id] *= share[record.label] / counts[record.label]
        total = sum(weights.values())
        expected = {i: 0.1 / 40 + 0.9 * x / total for i, x in weights.items()}
        assert curriculum.distribution() == pytest.approx(expected, abs=1e-8)
        drawn = Counter(task.task_id for task in curriculum.get_tasks(6000))
        assert deviation(drawn, expected) < 4.75
        assert curriculum.stats()["pool/count_fresh"] == pool["count_fresh"] > 0


def test_where_nothing_is_left_to_grow_all_are_drawn_alike(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(10, floor=0.0)) as curriculum:
        ids = curriculum.task_ids()
        curriculum.update_many([(task_id, 1.0, {"trials": 2}) for task_id in ids])
        assert curriculum.distribution() == dict.fromkeys(ids, pytest.approx(0.1))
        drawn = Counter(task.task_id for task in curriculum.get_tasks(500))
        assert set(drawn) == set(ids)
        assert curriculum.check() == []


def test_a_draw_costs_the_same_in_a_large_pool(url: str, server: RunningServer, name: str) -> None:
    costs = []
    for i, tasks in enumerate((30, 600)):
        with Curriculum.open(url, f"{name}-{i}", config_of(tasks)) as curriculum:
            curriculum.get_task()
            with server.client() as client:
                before = client.info("commandstats")
                curriculum.get_tasks(20)
                after_it = client.info("commandstats")
            calls = [sum(of["calls"] for of in found.values()) for found in (before, after_it)]
            costs.append(calls[1] - calls[0])
    assert costs[1] <= costs[0] + 5


def test_settings_of_the_draw_change_while_it_runs(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        played(curriculum)
        changes: list[dict[str, Any]] = [
            {"room_power": 2},
            {"label_factor": "progress"},
            {"label_factor": "none"},
        ]
        for settings in changes:
            curriculum.configure(**settings)
            assert curriculum.check() == []
            played(curriculum, 2)
            assert curriculum.check() == []


def test_meddling_is_named_and_repaired(url: str, server: RunningServer, name: str) -> None:
    with Curriculum.open(url, name, config_of(label_factor="progress")) as curriculum:
        played(curriculum)
        before = curriculum.distribution()
        keys = curriculum._store.server.keys  # noqa: SLF001
        with server.client() as client:
            cells = sorted(client.scan_iter(keys.cell("*")))
            sums = keys.cell_sums
            meddling: dict[str, Callable[[], object]] = {
                "another weight": lambda: client.zincrby(cells[0], 0.25, first),
                "a stranger": lambda: client.zadd(cells[-1], {"77": 1.0}),
                "a cell is gone": lambda: client.delete(cells[0]),
                "another sum": lambda: client.hincrby(sums, client.hkeys(sums)[0], 5),
                "no sums": lambda: client.delete(sums),
                "no labels": lambda: client.delete(keys.weights),
            }
            for what, meddle in meddling.items():
                first = client.zrange(cells[0], 0, 0)[0]
                meddle()
                assert curriculum.check() != [], what
                assert curriculum.check(repair=True) == [], what
                assert curriculum.distribution() == pytest.approx(before)


def test_a_snapshot_keeps_what_the_pool_has_shown(url: str, name: str, tmp_path: Path) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        played(curriculum)
        curriculum.snapshot(tmp_path / "a.rcs")
        kept = pool_statistics(curriculum)
        played(curriculum, 3)
        assert pool_statistics(curriculum) != kept
        with Curriculum.restore(tmp_path / "a.rcs", url, name, replace=True) as restored:
            assert pool_statistics(restored) == kept
            assert restored.check() == []
        with Curriculum.restore(
            tmp_path / "a.rcs",
            url,
            name,
            overrides={"algorithm.kind": "uniform"},
            replace=True,
            force=True,
        ) as other:
            assert pool_statistics(other) == {}
            assert other.check() == []


def test_a_malformed_label_is_named_when_its_last_task_goes(
    server: RunningServer, url: str, name: str
) -> None:
    with Curriculum.open(url, name, config_of(label_factor="progress")) as curriculum:
        played(curriculum)
        label = next(iter(curriculum.labels()))
        key = f"progress:{label}"
        with server.client() as client:
            client.hset(f"rc:{{{name}}}:g1:{key}", "stats", "short")
        with pytest.raises(MalformedStateError, match=f"{key}.stats is 'short'"):
            curriculum.remove_tasks(curriculum.task_ids(label))
