"""Tasks that fail: counted once, put into quarantine, replaced; scores are left alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig
from redis_curriculum.errors import (
    GeneratorError,
    GeneratorWarning,
    InvalidInputError,
    ServerUnavailableError,
)
from redis_curriculum.tasks import Buckets, Outcome, TaskSpec
from tests.harness import Harness, connect, text_config
from tests.lossy import lossy
from tests.processes import all_together, in_processes
from tests.servers import RunningServer
from tests.statistics import Progress, fold
from tests.whole import assert_whole, total

APPLIED, EVICTED, QUARANTINED = Outcome.APPLIED, Outcome.EVICTED, Outcome.QUARANTINED
# Pools larger than the combinations of their buckets, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:num_active_tasks is .* Buckets")

KINDS = Buckets(label="{kind}", buckets={"kind": ["a", "b"], "seed": list(range(50))})


def config_of(**fields: Any) -> CurriculumConfig:
    algorithm = {"replacement_rate": 0.0} | fields.pop("algorithm", {})
    defaults: dict[str, Any] = {"task_generator": KINDS, "num_active_tasks": 8, "seed": 2}
    return CurriculumConfig(**defaults | fields, algorithm=LearningProgressConfig(**algorithm))


def events(server: RunningServer, name: str, kind: str) -> list[dict[str, str]]:
    with server.client() as client:
        found = [fields for _, fields in client.xrange(Keys(name).events)]
    return [fields for fields in found if fields["event"] == kind]


def test_a_failure_is_counted_and_a_success_ends_the_row(
    server: RunningServer, url: str, name: str
) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        task = curriculum.get_task()
        curriculum.update_task_performance(task.task_id, 0.5)
        before = curriculum.get_task_stats(task.task_id)
        assert curriculum.report_failure(task.task_id, ValueError("no\nmap")) is APPLIED
        assert curriculum.report_failure(task.task_id, "again") is APPLIED
        after = curriculum.get_task_stats(task.task_id)
        assert before is not None
        assert after is not None
        assert (after.failure_count, after.consecutive_failures) == (2, 2)
        assert after.last_error == "again"
        assert (after.statistics, after.last_score) == (before.statistics, before.last_score)
        report = curriculum.epoch_report()
        assert report is not None
        assert report.failures == {task.label: 2}
        assert report.completions == {task.label: 1}
        curriculum.update_task_performance(task.task_id, 0.0)
        record = curriculum.get_task_stats(task.task_id)
        assert record is not None
        assert (record.failure_count, record.consecutive_failures) == (2, 0)
        assert [curriculum.report_failure(task.task_id, "x") for _ in range(2)] == [APPLIED] * 2
        assert curriculum.quarantine() == {}
        failed = events(server, name, "failed")
        assert [e["error"] for e in failed] == ["ValueError: no map", "again", "x", "x"]
        assert failed[0]["task_id"] == str(task.task_id)
        assert_whole(server, curriculum)


def test_too_many_in_a_row_take_a_task_out_and_another_comes(
    server: RunningServer, url: str, name: str
) -> None:
    config = config_of(algorithm={"max_consecutive_failures": 2})
    with Curriculum.open(url, name, config) as curriculum:
        before = curriculum.task_ids()
        bad = before[3]
        assert curriculum.report_failure(bad, "first") is APPLIED
        assert curriculum.report_failure(bad, KeyError("size")) is QUARANTINED
        assert curriculum.report_failure(bad, "late") is EVICTED
        after = curriculum.task_ids()
        assert len(after) == 8, "replaced in the same call"
        assert set(before) - set(after) == {bad}
        assert curriculum.get_task_stats(bad) is None
        assert curriculum.quarantine() == {bad: "KeyError: 'size'"}
        assert curriculum.update_task_performance(bad, 0.5) is EVICTED
        (event,) = events(server, name, "quarantined")
        assert (event["task_id"], event["error"]) == (str(bad), "KeyError: 'size'")
        report = curriculum.end_epoch()
        assert report.totals["failures"] == 2
        assert report.totals["evictions"] == 1
        assert report.totals["created"] == 9
        with server.client() as client:
            assert client.hget(Keys(name).meta, "late_count") == "2"
        assert curriculum.check() == []
        assert_whole(server, curriculum)


def test_a_permanent_failure_takes_a_task_out_at_once(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        bad = curriculum.task_ids()[0]
        assert curriculum.report_failure(bad, "never works", permanent=True) is QUARANTINED
        assert curriculum.quarantine() == {bad: "never works"}
        assert bad not in curriculum.task_ids()


@pytest.mark.parametrize("pooling", ["label", "task"])
def test_a_failure_score_is_folded_like_any_score(
    server: RunningServer, url: str, name: str, pooling: str
) -> None:
    algorithm = {"failure_score": 0.25, "min_samples_for_lp": 2, "pooling": pooling}
    with Curriculum.open(url, name, config_of(algorithm=algorithm)) as curriculum:
        task_id = curriculum.task_ids()[0]
        hypers = curriculum.config.algorithm
        progress = Progress()
        for _ in range(2):
            curriculum.report_failure(task_id, "x")
            progress = fold(progress, 0.25, hypers)
        curriculum.update_task_performance(task_id, 1.0)
        progress = fold(progress, 1.0, hypers)
        record = curriculum.get_task_stats(task_id)
        assert record is not None
        assert Progress(record.last_score, **record.statistics) == progress
        assert (record.failure_count, record.consecutive_failures) == (2, 0)
        for _ in range(2):
            assert curriculum.report_failure(task_id, "x") is APPLIED, "its own score is no success"
        assert curriculum.report_failure(task_id, "x") is QUARANTINED
        assert curriculum.check() == []
        assert_whole(server, curriculum)


# --- who replaces --------------------------------------------------------------------------------


class Moody:
    """Works until told otherwise; cannot be rebuilt elsewhere."""

    works = True

    def __init__(self) -> None:
        self.lock = open  # not JSON: it must be passed at open

    def generate(self, task_id: int) -> TaskSpec:
        if not self.works:
            raise RuntimeError("no more maps")
        return TaskSpec("m", {"n": task_id % 10})


def test_a_worker_without_the_generator_leaves_it_to_the_next(url: str, name: str) -> None:
    config = config_of(task_generator=Moody(), num_active_tasks=3)
    with Curriculum.open(url, name, config) as maker, Curriculum.open(url, name) as player:
        bad = player.task_ids()[0]
        assert player.report_failure(bad, "x", permanent=True) is QUARANTINED
        assert len(player.task_ids()) == 2, "missing"
        player.get_task()
        assert len(player.task_ids()) == 2
        maker.get_task()
        assert len(player.task_ids()) == 3


def test_a_generator_that_fails_does_not_unsay_the_report(url: str, name: str) -> None:
    moody = Moody()
    config = config_of(task_generator=moody, num_active_tasks=3)
    with Curriculum.open(url, name, config) as curriculum:
        moody.works = False
        bad = curriculum.task_ids()[0]
        with pytest.warns(GeneratorWarning, match="plays on with 2 of 3 tasks.*no more maps"):
            assert curriculum.report_failure(bad, "x", permanent=True) is QUARANTINED
        curriculum.get_task()  # it has been said
        for _ in range(2):
            assert curriculum.report_failure(curriculum.task_ids()[0], "x", permanent=True)
        with pytest.raises(GeneratorError, match="no more maps"):
            curriculum.get_task()  # there is nothing left to play on with
        moody.works = True
        curriculum.get_task()  # an empty pool is filled at once, however lately that failed
        curriculum.get_task()
        assert len(curriculum.task_ids()) == 3


# --- many reporters, lost replies ----------------------------------------------------------------


def fail_often(url: str, name: str, task_id: int, times: int) -> Counter[Outcome]:
    with Curriculum.open(url, name) as curriculum:
        all_together()
        return Counter(curriculum.report_failure(task_id, f"no {i}") for i in range(times))


def test_failures_of_many_processes_are_counted_exactly(
    server: RunningServer, url: str, name: str
) -> None:
    config = config_of(algorithm={"max_consecutive_failures": 130})
    with Curriculum.open(url, name, config) as curriculum:
        bad = curriculum.task_ids()[0]
        outcomes = in_processes(fail_often, [(url, name, bad, 40)] * 4)
        assert sum(outcomes, Counter()) == {APPLIED: 129, QUARANTINED: 1, EVICTED: 30}
        report = curriculum.end_epoch()
        assert report.totals["failures"] == 130
        assert report.totals["evictions"] == 1
        assert report.totals["created"] == 9, "one process made the new task"
        assert list(curriculum.quarantine()) == [bad]
        assert curriculum.check() == []
        assert_whole(server, curriculum)


def test_a_lost_reply_counts_once(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(algorithm={"max_consecutive_failures": 3})) as other:
        task_id = other.task_ids()[0]
        handle, link = lossy(url, name)
        with handle:
            link.lose = "fail"
            with pytest.raises(ServerUnavailableError) as caught:
                handle.report_failure(task_id, "x")
            assert caught.value.applied == "unknown"
            handle.get_task()  # another write settles it
            assert handle.report_failure(task_id, "x") is Outcome.DUPLICATE, "the same call again"
            assert handle.report_failure(task_id, "x") is APPLIED, "a second failure"
        record = other.get_task_stats(task_id)
        assert record is not None
        assert record.consecutive_failures == 2
        handle, link = lossy(url, name, deadline_s=5)
        with handle:
            link.lose = "fail"
            assert handle.report_failure(task_id, "x") is Outcome.DUPLICATE, "the retry found it"
        assert list(other.quarantine()) == [task_id]
        assert len(other.task_ids()) == 8, "replaced all the same"


# --- the quarantine ------------------------------------------------------------------------------


@pytest.fixture
def harness(server: RunningServer, name: str) -> Harness:
    hypers = LearningProgressConfig(max_consecutive_failures=1)
    harness = Harness(connect(server), name, text_config(hypers, num_active_tasks=40))
    harness.quarantine_retained = 3
    harness.create([(i, "a", {}) for i in range(40)])
    return harness


def test_the_quarantine_is_bounded_and_the_newest_is_in_it(harness: Harness) -> None:
    for task_id in range(20):
        assert harness.fail(task_id, f"no {task_id}")[1] == 2
        kept = harness.client.hgetall(harness.keys.quarantine)
        assert kept[str(task_id)] == f"no {task_id}"
        assert len(kept) == min(task_id + 1, 3)


def test_a_snapshot_has_the_quarantine_of_its_moment(harness: Harness) -> None:
    """Tasks go meanwhile, and one comes back: its entry does not stay."""
    harness.fail(0, "x")
    *_, quarantine = harness.call("moment_begin", harness.generation, "token", 60_000, 0)
    assert quarantine == ["0", "x"]
    for task_id in range(1, 10):
        harness.fail(task_id, "x")
    assert harness.client.hlen(harness.keys.quarantine) == 3
    saved = set(harness.client.hkeys(harness.keys.snapshot_tasks))
    assert saved == {"\n", *map(str, range(1, 10))}
    harness.write("add", 2**20, 9, "a", "{}")
    assert not harness.client.hexists(harness.keys.quarantine, "9")
    harness.call("moment_end", harness.generation, "token")


def test_failures_survive_a_snapshot(url: str, name: str, tmp_path: Path) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        gone, failing = curriculum.task_ids()[:2]
        curriculum.report_failure(gone, "ä" * 600, permanent=True)
        curriculum.report_failure(failing, "once")
        curriculum.end_epoch()
        curriculum.report_failure(failing, "twice")
        curriculum.snapshot(tmp_path / "a.rcs")
        with Curriculum.restore(tmp_path / "a.rcs", url, f"{name}-2") as restored:
            assert restored.quarantine() == curriculum.quarantine() == {gone: "ä" * 497 + "..."}
            assert restored.get_task_stats(failing) == curriculum.get_task_stats(failing)
            assert restored.epoch_report(0) == curriculum.epoch_report(0)
            assert restored.epoch_report() == curriculum.epoch_report()
            assert restored.report_failure(failing, "third") is QUARANTINED


def test_a_snapshot_among_failures_and_epochs_is_of_one_moment(
    url: str, name: str, tmp_path: Path
) -> None:
    with Curriculum.open(url, name, config_of(num_active_tasks=450, epochs_retained=1)) as busy:
        ids = busy.task_ids()
        busy.report_failure(ids[0], "before", permanent=True)
        busy.update_many([(task_id, 1.0) for task_id in ids[1:9]])
        busy.end_epoch()
        busy.report_failure(ids[1], "before")
        ids, quarantine = busy.task_ids(), busy.quarantine()
        records = [busy.get_task_stats(task_id) for task_id in ids]
        reports = [busy.epoch_report(0), busy.epoch_report()]
        handle, link = lossy(url, name)
        victims = iter(ids[1::2])

        def meddle() -> None:
            busy.report_failure(next(victims), "after", permanent=True)
            busy.end_epoch()

        with handle:
            link.begin, link.meddle = "moment_begin", meddle
            handle.snapshot(tmp_path / "a.rcs")
            link.meddle = None
        assert len(busy.quarantine()) > 10
    with Curriculum.restore(tmp_path / "a.rcs", url, f"{name}-2") as restored:
        assert restored.quarantine() == quarantine
        assert restored.task_ids() == ids
        assert [restored.get_task_stats(task_id) for task_id in ids] == records
        assert [restored.epoch_report(0), restored.epoch_report()] == reports
        assert restored.check() == []


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task_id", "error", "options", "field"),
    [
        (-1, "x", {}, "task_id"),
        (2**53, "x", {}, "task_id"),
        (True, "x", {}, "task_id"),
        ("1", "x", {}, "task_id"),
        (1.0, "x", {}, "task_id"),
        (1, "", {}, "error"),
        (1, " \n\t", {}, "error"),
        (1, None, {}, "error"),
        (1, b"bytes", {}, "error"),
        (1, ValueError, {}, "error"),
        (1, "x", {"permanent": 1}, "permanent"),
        (1, "x", {"permanent": None}, "permanent"),
        (1, "x", {"permanent": np.True_}, "permanent"),
    ],
)
def test_nonsense_is_refused_and_nothing_counted(
    server: RunningServer,
    url: str,
    name: str,
    *,
    task_id: Any,
    error: Any,
    options: dict[str, Any],
    field: str,
) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        with pytest.raises(InvalidInputError) as caught:
            curriculum.report_failure(task_id, error, **options)
        assert caught.value.field == field
        with server.client() as client:
            assert total(client, Keys(name).count("failures")) == 0
            assert client.hget(Keys(name).meta, "late_count") == "0"
