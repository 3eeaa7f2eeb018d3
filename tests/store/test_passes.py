"""Passes: every task once, over all workers, before any of them again."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from redis_curriculum import Curriculum, CurriculumConfig, Outcome, PassesConfig, WorkerSettings
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._state.consistent_read import Moment, Turn
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers import UniformConfig
from redis_curriculum.tasks import Table
from tests.servers import RunningServer

SMALL = WorkerSettings(chunk=7)


def config(rows: int = 50, **given: Any) -> CurriculumConfig:
    return CurriculumConfig(task_generator=Table(rows), algorithm=PassesConfig(), **given)


def drawn(curriculum: Curriculum, count: int, *, distinct: bool = False) -> list[int]:
    return [task.task_id for task in curriculum.get_tasks(count, distinct=distinct)]


def number(curriculum: Curriculum) -> float:
    return curriculum.stats()["pool/pass/number"]


def test_each_row_once_a_pass_whoever_draws(url: str, name: str) -> None:
    """Also where workers draw at once, some of them several rows without repetition."""
    with Curriculum.open(url, name, config(203)) as first:
        handles = [Curriculum.open(url, name, worker=SMALL) for _ in range(3)]

        def play(worker: int) -> list[int]:
            found, curriculum = [], handles[worker]
            for i in range(29):
                is_distinct = i % 3 == worker % 3
                found += drawn(curriculum, (1, 3, 12, 5)[i % 4], distinct=is_distinct)
            return found

        with ThreadPoolExecutor(3) as pool:
            counts = Counter(task_id for found in pool.map(play, range(3)) for task_id in found)
        passes, left = divmod(counts.total(), 203)
        assert set(counts.values()) <= {passes, passes + 1}
        assert sum(count == passes + 1 for count in counts.values()) == left
        assert number(first) == passes + 1
        is_left = {task_id for task_id, p in first.distribution().items() if p}
        assert is_left == {task_id for task_id in range(203) if counts[task_id] == passes}
        assert set(drawn(first, 203 - left)) == is_left
        assert first.check() == []
        for handle in handles:
            handle.close()


def test_a_batch_without_repetition_may_begin_the_next_pass(url: str, name: str) -> None:
    with Curriculum.open(url, name, config(20), worker=SMALL) as curriculum:
        found = drawn(curriculum, 13)
        for count in (6, 20, 11, 20, 19):
            batch = drawn(curriculum, count, distinct=True)
            assert len(set(batch)) == count
            found += batch
        found += drawn(curriculum, 45)
        counts = Counter(found)
        assert {count - len(found) // 20 for count in counts.values()} <= {0, 1}
        for start in range(0, len(found) - 19, 20):
            assert len(set(found[start : start + 20])) == 20, "pass by pass"


def test_what_was_drawn_counts_as_handed_out(url: str, name: str) -> None:
    """Whether or not a result comes: the worker may have died."""
    with Curriculum.open(url, name, config(10)) as curriculum:
        with Curriculum.open(url, name) as dying:
            lost = drawn(dying, 4)
        assert set(drawn(curriculum, 6)) == set(range(10)) - set(lost)
        assert number(curriculum) == 1
        assert len(set(drawn(curriculum, 10))) == 10
        assert number(curriculum) == 2


def test_rows_that_leave_and_come_while_a_pass_runs(url: str, name: str) -> None:
    with Curriculum.open(url, name, config(10)) as curriculum:
        first = drawn(curriculum, 4)
        left = sorted(set(range(10)) - set(first))
        curriculum.remove_tasks([left[0], first[0]])
        assert curriculum.report_failure(left[1], "no", permanent=True) is Outcome.QUARANTINED
        curriculum.set_label(left[2], "moved")
        curriculum.set_label(first[1], "moved")
        curriculum.add_tasks([first[0]])
        rest = {*left[2:], first[0]}
        assert set(drawn(curriculum, len(rest))) == rest, "what is added is new, and comes too"
        there = set(curriculum.task_ids())
        assert there == set(range(10)) - set(left[:2])
        assert set(drawn(curriculum, len(there))) == there
        curriculum.add_tasks([left[0]])
        assert drawn(curriculum, 1) == [left[0]] or number(curriculum) == 3
        assert curriculum.check() == []


def test_the_same_seed_gives_the_same_order(url: str, name: str) -> None:
    orders = list[list[int]]()
    for seed in (1, 1, 2):
        with Curriculum.open(url, f"{name}-{len(orders)}", config(40, seed=seed)) as curriculum:
            orders.append(drawn(curriculum, 100))
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][:40] != orders[0][40:80], "each pass has an order of its own"


def test_a_snapshot_in_the_middle_goes_on_there(url: str, name: str, tmp_path: Path) -> None:
    with Curriculum.open(url, name, config(30)) as curriculum:
        drawn(curriculum, 47)
        path = curriculum.snapshot(tmp_path / "a.rcs").path
        with Curriculum.restore(path, url, f"{name}-2") as other:
            assert other.check() == []
            assert number(other) == 2
            assert drawn(other, 60) == drawn(curriculum, 60)
        plain = {"algorithm": UniformConfig()}
        with Curriculum.restore(path, url, f"{name}-3", overrides=plain, force=True) as other:
            assert other.check() == []
            path = other.snapshot(tmp_path / "b.rcs").path
        again = {"algorithm": PassesConfig()}
        with Curriculum.restore(path, url, f"{name}-4", overrides=again, force=True) as other:
            assert other.check() == []
            assert set(drawn(other, 30)) == set(range(30)), "a first pass begins"


def test_a_snapshot_has_what_was_handed_out_at_its_moment(url: str, name: str) -> None:
    """A draw notes its task in the family's own key: not before what was there is kept."""
    with Curriculum.open(url, name, config(20)) as curriculum:
        before = set(drawn(curriculum, 5))
        store = curriculum._store  # noqa: SLF001
        moment = Moment(store.server, store.config.algorithm)
        curriculum._run(moment.begin(Turn(2.0)))  # noqa: SLF001
        drawn(curriculum, 4)
        drawn(curriculum, 3, distinct=True)
        curriculum.get_batch("one", 3)
        records = curriculum._run(moment.tasks(curriculum.task_ids()))  # noqa: SLF001
        curriculum._run(moment.end())  # noqa: SLF001
        found = {int(one["task_id"]) for one in records if one["own:handed_out"] == "1"}
        assert found == before
        assert sum(int(one["sample_count"]) for one in records) == 5


def test_rows_that_are_held_out_are_in_no_pass(url: str, name: str) -> None:
    with Curriculum.open(url, name, config(40, held_out=0.25)) as curriculum:
        there = curriculum.task_ids()
        assert 0 < len(there) < 40
        assert sorted(drawn(curriculum, len(there))) == there


def test_what_cannot_go_with_passes_is_refused(url: str, name: str) -> None:
    rule = "label_share must be empty, as every task is handed out as often as the others"
    with pytest.raises(InvalidInputError, match=rule):
        PassesConfig(label_share={"a": (0.1, 0.5)})
    with Curriculum.open(url, name, config()) as curriculum:
        with pytest.raises(InvalidInputError, match="label_share must be empty"):
            curriculum.configure(label_share={"table": (0.1, 1.0)})
        rule = "algorithm must be one whose draws go by weights, got 'passes'"
        with pytest.raises(InvalidInputError, match=rule):
            curriculum.set_weight(1, 2.0)
        with pytest.raises(InvalidInputError, match=rule):
            curriculum.set_weights({1: 2.0})


def test_keys_that_somebody_has_changed_are_told_and_mended(
    server: RunningServer, name: str
) -> None:
    key = Keys(name).own_tasks("handed_out")
    with (
        Curriculum.open(server.url, name, config(5)) as curriculum,
        redis.Redis.from_url(server.url) as client,
    ):
        drawn(curriculum, 3)
        client.zrem(key, "2")
        client.zadd(key, {"77": 1})
        client.set(Keys(name).own_pool("other"), "x")
        assert curriculum.check() == [
            f"key {Keys(name).own_pool('other')}: nothing knows it",
            "task 2: draws do not go by the weight in its record, or lack a number of it",
            "task 77: has a weight or a number of the family's own, but no record",
        ]
        client.delete(Keys(name).own_pool("other"))
        assert curriculum.check(repair=True) == []
        assert client.zscore(key, "2") == 0
        assert client.zscore(key, "77") is None


def test_batches_by_key_are_part_of_the_pass(url: str, name: str) -> None:
    with (
        Curriculum.open(url, name, config(30), worker=SMALL) as one,
        Curriculum.open(url, name) as other,
    ):
        found = list[int]()
        for step in range(4):
            batch = one.get_batch(f"{step}", 9)
            assert other.get_batch(f"{step}", 9) == batch
            assert len(set(batch)) == 9
            found += batch
        assert len(set(found[:30])) == 30
        assert len(set(drawn(other, 24)) & set(found[30:])) == 0
        assert number(one) == 2
