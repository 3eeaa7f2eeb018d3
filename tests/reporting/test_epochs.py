"""Epochs: one owner closes each, once; every count falls into exactly one of them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import COUNTS, Keys
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig
from redis_curriculum.errors import (
    EpochError,
    InvalidInputError,
    ServerUnavailableError,
    StaleGenerationError,
)
from redis_curriculum.reporting import AlertKind, EpochReport
from redis_curriculum.tasks import Buckets
from tests.harness import Harness, connect, text_config
from tests.lossy import MANY, lossy
from tests.processes import all_together, in_processes
from tests.servers import RunningServer
from tests.whole import assert_whole, total

KINDS = Buckets(label="{kind}", buckets={"kind": ["a", "b"], "seed": list(range(50))})


def config_of(**fields: Any) -> CurriculumConfig:
    algorithm = {"replacement_rate": 0.0, "min_samples_for_lp": 2} | fields.pop("algorithm", {})
    algorithm.setdefault("min_presentations_for_eviction", 2)
    defaults: dict[str, Any] = {"task_generator": KINDS, "num_active_tasks": 6, "seed": 2}
    return CurriculumConfig(**defaults | fields, algorithm=LearningProgressConfig(**algorithm))


def test_an_epoch_reports_what_happened_in_it_and_nothing_else(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        assert curriculum.epoch == 0
        tasks = curriculum.get_tasks(20)
        curriculum.update_many([(task.task_id, 1.0) for task in tasks])
        bad = tasks[0]
        curriculum.report_failure(bad.task_id, "x")
        curriculum.evict(bad.task_id)
        open_report = curriculum.epoch_report()
        report = curriculum.end_epoch()
        assert open_report is not None
        assert open_report.ended_ms is None
        assert (report.epoch, curriculum.epoch) == (0, 1)
        by_label = Counter(task.label for task in tasks)
        assert report.samples == report.completions == by_label
        assert report.failures == report.evictions == {bad.label: 1}
        created = {"completions": 20, "samples": 20, "evictions": 1, "failures": 1, "created": 6}
        assert report.totals == created
        labels = curriculum.labels().keys() & by_label.keys()
        assert dict(report.success_rate) == dict.fromkeys(labels, 1.0)
        assert dict(report.learning_progress) == dict.fromkeys(labels, 0.0)
        task = curriculum.get_task()  # and a new one for the evicted
        second = curriculum.end_epoch()
        assert second.samples == {task.label: 1}
        totals = {"completions": 0, "samples": 1, "evictions": 0, "failures": 0, "created": 1}
        assert second.totals == totals
        assert second.started_ms == report.ended_ms
        assert curriculum.epoch_report(0) == report, "reading resets nothing"
        assert curriculum.epoch_report(1) == second
        assert curriculum.epoch_report(3) is None, "not begun"


def test_any_process_reads_the_retained_epochs_and_no_older_keys_stay(
    server: RunningServer, url: str, name: str
) -> None:
    with Curriculum.open(url, name, config_of(epochs_retained=2)) as curriculum:
        for count in range(1, 6):
            curriculum.get_tasks(count)
            curriculum.end_epoch()
        with Curriculum.open(url, name) as other:
            assert other.epoch == 5
            found = [other.epoch_report(n) for n in range(6)]
        assert [r and r.totals["samples"] for r in found] == [None, None, None, 4, 5, 0]
        with server.client() as client:
            stem = f"{Keys(name).prefix}epoch:"
            kept = {k.removeprefix(stem).split(":")[0] for k in client.scan_iter(f"{stem}*")}
        assert kept == {"3", "4"}


def test_fewer_retained_epochs_are_caught_up_with_in_bounded_steps(
    server: RunningServer, name: str
) -> None:
    harness = Harness(connect(server), name, text_config(LearningProgressConfig()))
    for epoch in range(60):
        harness.end_epoch(epoch)
    harness.configure(harness.config.with_overrides({"epochs_retained": 4}))
    left = []
    for epoch in range(60, 65):
        harness.end_epoch(epoch)
        keys = harness.client.scan_iter(f"{harness.keys.prefix}epoch:*:times", count=1000)
        left.append(len(list(keys)))
    assert left == [45, 30, 15, 4, 4]


def test_a_running_snapshot_keeps_its_epochs(url: str, name: str, tmp_path: Path) -> None:
    with Curriculum.open(url, name, config_of(epochs_retained=1)) as curriculum:
        curriculum.get_tasks(3)
        first = curriculum.end_epoch(step=12_345)
        assert first.step == 12_345
        with Curriculum.open(url, name) as other:

            def end(_done: int, _total: int) -> None:
                other.end_epoch()

            curriculum.snapshot(tmp_path / "a.rcs", progress=end)
        assert curriculum.epoch_report(0) == first, "still there: the snapshot was reading"
        with Curriculum.restore(tmp_path / "a.rcs", url, f"{name}-2") as restored:
            assert restored.epoch == 1
            assert restored.epoch_report(0) == first
            restored.end_epoch()
            assert restored.epoch_report(0) is None


def test_a_note_of_an_epoch_that_has_gone_leaves_nothing(server: RunningServer, name: str) -> None:
    harness = Harness(connect(server), name, text_config(LearningProgressConfig()))
    harness.end_epoch(0)
    keys, client = harness.keys, harness.client
    assert harness.note_epoch(7, [("a", 0.5, 0.25)]) == [0]
    assert harness.note_epoch(0, []) == [0]
    assert client.exists(keys.epoch(7, "success"), keys.epoch(0, "success")) == 0
    assert harness.note_epoch(0, [("a", 0.5, 0.25), ("b", 1.0, 0.0)]) == [0]
    assert client.hgetall(keys.epoch(0, "success")) == {"a": "0.5", "b": "1.0"}
    assert client.hgetall(keys.epoch(0, "progress")) == {"a": "0.25", "b": "0.0"}


# --- one owner -----------------------------------------------------------------------------------


def test_a_second_trainer_is_told_and_learns_which_epoch_it_is(url: str, name: str) -> None:
    with (
        Curriculum.open(url, name, config_of()) as first,
        Curriculum.open(url, name) as second,
    ):
        first.end_epoch()
        first.end_epoch()
        with pytest.raises(EpochError, match="the current one is 2") as caught:
            second.end_epoch()
        assert (caught.value.epoch, caught.value.applied) == (2, "no")
        assert second.epoch == 2
        assert second.end_epoch().epoch == 2
        with pytest.raises(EpochError):
            first.end_epoch()


def race(url: str, name: str, epochs: int) -> list[int]:
    """Try to end each epoch; return those that this process has ended."""
    won = []
    with Curriculum.open(url, name) as curriculum:
        all_together()
        while curriculum.epoch < epochs:
            try:
                won.append(curriculum.end_epoch().epoch)
            except EpochError:
                continue
    return won


def test_of_racing_trainers_exactly_one_ends_each_epoch(
    server: RunningServer, url: str, name: str
) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        won = in_processes(race, [(url, name, 60)] * 2)
        assert all(won), "both took part"
        ended = sorted(epoch for own in won for epoch in own)
        reports = [curriculum.epoch_report(epoch) for epoch in ended]
        last = curriculum.epoch_report()
        assert last is not None
        assert ended == list(range(last.epoch))
        assert last.epoch == 60
        assert all(reports)
        with server.client() as client:
            found = [fields for _, fields in client.xrange(Keys(name).events)]
        assert [int(e["epoch"]) for e in found if e["event"] == "epoch"] == ended
        assert_whole(server, curriculum)


# --- exact counts --------------------------------------------------------------------------------


def play(url: str, name: str, episodes: int) -> Counter[str]:
    """Episodes that end all the time; many of them replace a task."""
    with Curriculum.open(url, name) as curriculum:
        all_together()
        done: Counter[str] = Counter()
        task = curriculum.get_task()
        for i in range(episodes):
            if i % 10 == 3:
                done[curriculum.report_failure(task.task_id, "x", permanent=True)] += 1
                task = curriculum.get_task()
            else:
                step = curriculum.next_tasks([(task.task_id, i % 4 / 4)], 1)
                task = step.tasks[0]
                done[step.outcomes[0]] += 1
        return done


def test_what_the_epochs_count_is_all_that_was_done(
    server: RunningServer, url: str, name: str
) -> None:
    """Three processes play while the owner ends epochs; nothing is counted twice or not at all."""
    algorithm = {"replacement_rate": 0.2, "exploration_share": 0.9, "min_samples_for_lp": 1}
    with Curriculum.open(url, name, config_of(algorithm=algorithm)) as curriculum:
        reports: list[EpochReport] = []
        over = threading.Event()

        def own() -> None:
            while not over.is_set():
                reports.append(curriculum.end_epoch())
                time.sleep(0.005)

        owner = threading.Thread(target=own)
        owner.start()
        try:
            played = in_processes(play, [(url, name, 200)] * 3)
        finally:
            over.set()
            owner.join()
        reports.append(curriculum.end_epoch())
        done = sum(played, Counter())
        seen = {what: sum(report.totals[what] for report in reports) for what in COUNTS}
        assert len(reports) > 5
        assert seen["samples"] == 3 * (1 + 200)
        assert seen["completions"] == done["applied"]
        assert seen["failures"] == done["quarantined"]
        assert done.total() == 600
        with server.client() as client:
            lifetime = {what: total(client, Keys(name).count(what)) for what in COUNTS}
            gone = [
                fields["event"]
                for _, fields in client.xrange(Keys(name).events)
                if fields["event"] in ("evicted", "quarantined")
            ]
        assert seen == lifetime
        assert seen["evictions"] == len(gone) > done["quarantined"]
        assert curriculum.check() == []


# --- lost replies --------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["end_epoch", "note_epoch", MANY])
def test_a_lost_reply_never_closes_two_epochs(url: str, name: str, lost: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        task = curriculum.get_task()
        curriculum.update_task_performance(task.task_id, 1.0)
        handle, link = lossy(url, name)
        with handle:
            link.lose = lost
            with pytest.raises(ServerUnavailableError) as caught:
                handle.end_epoch()
            assert caught.value.applied == "unknown"
            if lost == "end_epoch":
                handle.get_task()  # another write settles it
            report = handle.end_epoch()
            assert report.epoch == 0
            assert report.success_rate == {task.label: 1.0}
            assert handle.end_epoch().epoch == 1
        current = curriculum.epoch_report()
        assert current is not None
        assert current.epoch == 2
        handle, link = lossy(url, name, deadline_s=5)
        with handle:
            link.lose = lost
            assert handle.end_epoch().epoch == 2, "retried inside"
            assert handle.epoch == 3


def test_a_lost_end_that_another_trainer_made_good_is_not_replayed(
    server: RunningServer, url: str, name: str
) -> None:
    """A failover took the write; by the time its worker hears of it, the epoch has been ended."""
    with Curriculum.open(url, name, config_of()) as curriculum, server.client() as client:
        curriculum.end_epoch()
        client.hincrby(Keys(name).worker(curriculum.worker_id), "sequence", -1)
        curriculum.get_task()
        report = curriculum.end_epoch()
        assert (report.epoch, report.totals["samples"]) == (1, 1)


def test_a_restored_curriculum_refuses_the_old_handle(url: str, name: str, tmp_path: Path) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        curriculum.end_epoch()
        curriculum.snapshot(tmp_path / "a.rcs")
        curriculum.end_epoch()
        with Curriculum.restore(tmp_path / "a.rcs", url, name, replace=True) as restored:
            assert restored.epoch == 1
            assert restored.epoch_report(2) is None
            for call in (curriculum.end_epoch, lambda: curriculum.report_failure(1, "x")):
                with pytest.raises(StaleGenerationError):
                    call()
            assert restored.end_epoch().epoch == 1


# --- alerts, bad input ---------------------------------------------------------------------------


def test_a_label_that_forgets_raises_an_alert_for_five_epochs(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        ids = curriculum.task_ids("a")
        curriculum.update_many([(task_id, 1.0) for task_id in ids] * 10)
        assert curriculum.end_epoch().alerts == ()
        curriculum.update_many([(task_id, 0.0) for task_id in ids] * 10)
        seen = [curriculum.end_epoch().alerts for _ in range(6)]
        kinds = [[alert.kind for alert in alerts] for alerts in seen]
        assert kinds == [[AlertKind.REGRESSION]] * 5 + [[]]
        assert seen[0][0].label == "a"
        with Curriculum.open(url, name) as other:
            closed = other.epoch_report(1)
        assert closed is not None
        assert closed.alerts == seen[0], "any process reads them"


@pytest.mark.parametrize("epoch", [-1, 1.0, True, "1", 2**53])
def test_a_number_that_is_no_epoch_is_refused(url: str, name: str, epoch: Any) -> None:
    with (
        Curriculum.open(url, name, config_of()) as curriculum,
        pytest.raises(InvalidInputError, match="epoch must be"),
    ):
        curriculum.epoch_report(epoch)


# --- a range that is wider than the scores -------------------------------------------------------


def learned(curriculum: Curriculum, high: float) -> EpochReport:
    """Label a goes from 0 to ``high``, b stays at 0."""
    for step in range(40):
        results = [
            (task_id, high * step / 39 * (label == "a"))
            for label in ("a", "b")
            for task_id in curriculum.task_ids(label)
        ]
        curriculum.update_many(results)
    return curriculum.end_epoch()


@pytest.mark.parametrize("width", [10.0, 1_000.0, 1e6])
def test_who_learns_in_a_wide_range_is_not_said_to_stall(url: str, name: str, width: float) -> None:
    with Curriculum.open(url, name, config_of(score_range=(0.0, width))) as curriculum:
        report = learned(curriculum, 10.0)
        assert AlertKind.STALL not in {alert.kind for alert in report.alerts}
        curriculum.update_many([(curriculum.task_ids("b")[0], width)])
        assert curriculum.epoch_report(0) == report, "of a closed epoch nothing changes"


def test_a_range_far_too_wide_is_named(url: str, name: str, tmp_path: Path) -> None:
    with Curriculum.open(url, name, config_of(score_range=(0.0, 1e9))) as curriculum:
        report = learned(curriculum, 0.1)
        (alert,) = [alert for alert in report.alerts if alert.kind is AlertKind.STALL]
        assert alert.message.startswith("scores take 8.9e-11 of score_range, less than draws can")
        curriculum.snapshot(tmp_path / "a.rcs")
    with Curriculum.restore(tmp_path / "a.rcs", url, f"{name}-2") as restored:
        assert restored.epoch_report(0) == report
