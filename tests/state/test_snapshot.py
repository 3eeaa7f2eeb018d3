"""Snapshots: one moment, whole, readable without the library; writers never wait for them."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import multiprocessing as mp
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import (
    Curriculum,
    CurriculumConfig,
    LearningProgressConfig,
    WorkerSettings,
)
from redis_curriculum._protocol.keys import COUNTS
from redis_curriculum._state.consistent_read import Moment, Turn
from redis_curriculum._wire.blocking import drive
from redis_curriculum.errors import InvalidInputError, SnapshotError, SnapshotRunningError
from redis_curriculum.tasks import Buckets, Single, WeightedSet
from tests.servers import RunningServer

MAZES = WeightedSet(
    [
        (Buckets(label="maze-{size}", buckets={"size": [5, 9, 13]}), 3.0),
        (Single(label="größe/0", params={"x": 0.1, "deep": {"a": [1, None, True]}}), 1.0),
    ]
)


def config_of(n: int = 60, **hypers: Any) -> CurriculumConfig:
    algorithm = LearningProgressConfig(min_samples_for_lp=3, exploration_share=0.3, **hypers)
    return CurriculumConfig(task_generator=MAZES, num_active_tasks=n, seed=3, algorithm=algorithm)


def play(curriculum: Curriculum, episodes: int, seed: int = 0) -> list[int]:
    """Play with seeded scores; return the tasks drawn."""
    rng, drawn = random.Random(seed), []
    task = curriculum.next_task()
    for _ in range(episodes):
        drawn.append(task.task_id)
        task = curriculum.next_task((task.task_id, rng.random()))
    return drawn


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def moment_of(curriculum: Curriculum) -> Moment:
    store = curriculum._store  # noqa: SLF001
    return Moment(store.server, store.config.algorithm)


def test_the_file_is_readable_without_the_library(url: str, name: str, tmp_path: Path) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        play(curriculum, 800)
        seen: list[tuple[int, int]] = []
        info = curriculum.snapshot(tmp_path / "a.rcs", progress=lambda *done: seen.append(done))
        text = gzip.decompress(info.path.read_bytes())
        manifest, *middle, end = (json.loads(line) for line in text.splitlines())
        assert manifest["type"] == "manifest"
        assert manifest["format"] == 2
        assert manifest["config"] == json.loads(curriculum.config.to_json())
        assert manifest["seed"] == 3
        assert len(manifest["random"]) == 6
        told = {"lease_end_ms", "sequence", "host", "pid", "started"}
        assert set(manifest["workers"][curriculum.worker_id]) == told, "no token"
        kinds = [line["type"] for line in middle]
        assert kinds.count("task") == end["tasks"] == info.tasks == 60
        assert kinds.count("label") == end["labels"] == info.labels
        before = text[: text.rindex(b'{"type":"end"')]
        assert end["sha256"] == info.sha256 == hashlib.sha256(before).hexdigest()
        assert seen[-1] == (60, 60)
        for line in middle:
            if line["type"] == "task":
                record = curriculum.get_task_stats(line["task_id"])
                assert record is not None
                statistics = line.pop("statistics", {})
                for field, value in line.items():
                    if field != "type":
                        assert getattr(record, field) == value
                known = {k: v for k, v in record.statistics.items() if v is not None}
                assert statistics == known
        labels = {line["label"]: line for line in middle if line["type"] == "label"}
        assert {k: v["active"] for k, v in labels.items() if v["active"]} == curriculum.labels()
        played = sum(line["count"]["completions"] for line in labels.values())
        assert played == 800


def test_nothing_is_pickled_and_nothing_is_left(url: str, name: str, tmp_path: Path) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        first = curriculum.snapshot(tmp_path / "a.rcs")
        second = curriculum.snapshot(tmp_path / "b.rcs")
    assert (first.tasks, first.labels) == (second.tasks, second.labels)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.rcs", "b.rcs"]


# --- one moment ----------------------------------------------------------------------------------


def move(url: str, name: str, seed: int, stop: Any) -> None:
    """Write pairs in one call each: one task wins 1, another 0; and evict, and relabel."""
    rng = random.Random(seed)
    with Curriculum.open(url, name) as curriculum:
        ids = curriculum.task_ids()
        while not stop.is_set():
            drawn = curriculum.get_tasks(2)
            one, other = drawn[0].task_id, drawn[1].task_id
            curriculum.update_many([(one, 1.0), (other, 0.0)])
            if rng.random() < 0.1:
                curriculum.set_label(rng.choice(ids), f"moved-{rng.randrange(3)}")
            if rng.random() < 0.05:
                curriculum.evict(rng.choice(ids))


def swap(url: str, name: str, seed: int, stop: Any) -> None:
    """As ``move``, but tasks stay: what the records hold in sum is conserved."""
    rng = random.Random(seed)
    with Curriculum.open(url, name) as curriculum:
        ids = curriculum.task_ids()
        while not stop.is_set():
            one, other = rng.sample(ids, 2)
            curriculum.update_many([(one, 1.0), (other, 0.0)])


def sums_in(path: Path) -> tuple[float, int]:
    tasks = [line for line in lines_of(path) if line["type"] == "task"]
    return (
        sum(t.get("statistics", {}).get("total_score", 0) for t in tasks),
        sum(t.get("statistics", {}).get("completion_count", 0) for t in tasks),
    )


def test_under_eight_writers_the_file_is_one_moment(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    context = mp.get_context("fork")
    stop = context.Event()
    config = config_of(400, replacement_rate=0.0)
    with Curriculum.open(server.url, name, config) as curriculum:
        writers = [
            context.Process(target=swap, args=(server.url, name, seed, stop)) for seed in range(8)
        ]
        for writer in writers:
            writer.start()
        try:
            wrong, counts = [], []
            for i in range(20):
                path = tmp_path / f"{i}.rcs"
                curriculum.snapshot(path)
                total, count = sums_in(path)
                counts.append(count)
                if 2 * total != count:
                    wrong.append((total, count))
            torn = sum(naive_is_torn(server, curriculum) for _ in range(10))
        finally:
            stop.set()
            for writer in writers:
                writer.join(20)
        assert [writer.exitcode for writer in writers] == [0] * 8
        assert wrong == []
        assert counts == sorted(counts)
        assert counts[-1] > counts[0]  # they did write meanwhile
        assert torn > 0  # reading in chunks alone is not one moment
        assert curriculum.check() == []


def naive_is_torn(server: RunningServer, curriculum: Curriculum) -> bool:
    """The same read without copies."""
    total, count = 0.0, 0
    for task_id in curriculum.task_ids():
        record = curriculum.get_task_stats(task_id)
        assert record is not None
        total, count = total + record.total_score, count + record.completion_count
    return 2 * total != count


def test_with_evictions_and_relabelling_the_file_can_be_restored(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    """The reader compares every label's number of tasks; the restored state passes check()."""
    context = mp.get_context("fork")
    stop = context.Event()
    with Curriculum.open(server.url, name, config_of(150)) as curriculum:
        writers = [
            context.Process(target=move, args=(server.url, name, seed, stop)) for seed in range(3)
        ]
        for writer in writers:
            writer.start()
        try:
            for i in range(6):
                path = tmp_path / f"{i}.rcs"
                curriculum.snapshot(path)
                with Curriculum.restore(path, server.url, f"{name}.{i}") as restored:
                    assert restored.check() == []
            assert curriculum.check() == []
        finally:
            stop.set()
            for writer in writers:
                writer.join(20)
        assert [writer.exitcode for writer in writers] == [0] * 3


def test_what_was_read_before_and_after_a_change_is_the_moment(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        play(curriculum, 300)
        link, moment = curriculum._link, moment_of(curriculum)  # noqa: SLF001
        ids = curriculum.task_ids()
        before = {i: curriculum.get_task_stats(i) for i in ids}
        labels = curriculum.labels()
        drive(moment.begin(Turn(0)), link)
        play(curriculum, 300, seed=1)
        curriculum.evict(ids[0])
        curriculum.set_label(ids[1], "new")
        curriculum.next_task()
        found = drive(moment.task_ids(), link)
        assert set(ids) <= set(found)
        tasks = drive(moment.tasks(found[:200]), link)
        records = {int(t["task_id"]): t for t in tasks}
        assert records.keys() == set(ids)
        for task_id, record in before.items():
            assert record is not None
            assert int(records[task_id]["completion_count"]) == record.completion_count
            assert records[task_id]["label"] == record.label
        states = drive(moment.labels(drive(moment.label_names(), link)), link)
        assert {s.label: s.active for s in states if s.active} == labels
        drive(moment.end(), link)
        assert curriculum.check() == []


def test_the_copies_go_when_it_is_done(server: RunningServer, name: str, tmp_path: Path) -> None:
    with Curriculum.open(server.url, name, config_of()) as curriculum:
        curriculum.snapshot(tmp_path / "a.rcs")
        play(curriculum, 10)
        keys, client = curriculum._store.server.keys, server.client()  # noqa: SLF001
        assert client.exists(keys.snapshot, keys.snapshot_tasks, keys.snapshot_labels) == 0
        assert client.hget(keys.meta, "snapshot") is None


# --- exporters that die or meet ------------------------------------------------------------------


def test_a_second_exporter_is_told(url: str, name: str, tmp_path: Path) -> None:
    at_once = WorkerSettings(retry_deadline_s=0)
    with Curriculum.open(url, name, config_of(), worker=at_once) as curriculum:
        link = curriculum._link  # noqa: SLF001
        moment = moment_of(curriculum)
        drive(moment.begin(Turn(0)), link)
        with pytest.raises(SnapshotRunningError):
            curriculum.snapshot(tmp_path / "a.rcs")
        assert list(tmp_path.iterdir()) == []
        drive(moment.end(), link)
        curriculum.snapshot(tmp_path / "a.rcs")


def test_a_second_exporter_waits_for_its_turn(url: str, name: str, tmp_path: Path) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum, Curriculum.open(url, name) as other:
        link = curriculum._link  # noqa: SLF001
        moment = moment_of(curriculum)
        drive(moment.begin(Turn(0)), link)
        ending = threading.Timer(0.5, lambda: drive(moment.end(), link))
        ending.start()
        assert other.snapshot(tmp_path / "a.rcs").tasks == 60
        assert not ending.is_alive()
        drive(moment.begin(Turn(0)), link)
        threading.Timer(0.5, lambda: drive(moment.end(), link)).start()
        assert other.check() == []


def test_a_check_gives_way_to_a_snapshot_and_begins_anew(
    url: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = WorkerSettings(retry_deadline_s=0)
    with (
        Curriculum.open(url, name, config_of()) as curriculum,
        Curriculum.open(url, name, worker=at_once) as trainer,
    ):
        read, taken = Moment.labels, 0

        def meddled(self: Moment, names: Any) -> Any:
            nonlocal taken
            if self.server is curriculum._store.server and taken < 3:  # noqa: SLF001
                taken += 1
                play(trainer, 3)
                trainer.snapshot(tmp_path / f"{taken}.rcs", overwrite=True)
            return (yield from read(self, names))

        monkeypatch.setattr(Moment, "labels", meddled)
        assert curriculum.check() == []
        assert taken == 3
        taken = 0
        curriculum._store.server.deadline_s = 0.0  # noqa: SLF001
        with pytest.raises(SnapshotError, match="a check gave way"):
            curriculum.check()


def test_a_check_does_not_take_the_turn_of_another(url: str, name: str) -> None:
    at_once = WorkerSettings(retry_deadline_s=0)
    with Curriculum.open(url, name, config_of(), worker=at_once) as curriculum:
        link = curriculum._link  # noqa: SLF001
        for gives_way in (False, True):
            moment = moment_of(curriculum)
            drive(moment.begin(Turn(0), gives_way=gives_way), link)
            with pytest.raises(SnapshotRunningError):
                curriculum.check()
            drive(moment.end(), link)
        assert curriculum.check() == []


def test_a_progress_that_fails_leaves_nothing_behind(url: str, name: str, tmp_path: Path) -> None:
    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with Curriculum.open(url, name, config_of()) as curriculum:
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                curriculum.snapshot(tmp_path / "a.rcs", progress=fail)
            assert list(tmp_path.iterdir()) == []
        path = curriculum.snapshot(tmp_path / "a.rcs").path
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                Curriculum.restore(path, url, replace=True, progress=fail)
        curriculum.get_task()  # nothing was replaced
        Curriculum.restore(path, url, replace=True).close()


def test_an_exporter_that_lost_its_lease_stops(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    with Curriculum.open(server.url, name, config_of(500)) as curriculum:
        keys, client = curriculum._store.server.keys, server.client()  # noqa: SLF001
        path = tmp_path / "a.rcs"
        path.write_text("old")

        def too_slow(done: int, total: int) -> None:
            client.pexpire(keys.snapshot, 0)

        with pytest.raises(SnapshotError, match="no longer holds"):
            curriculum.snapshot(path, overwrite=True, progress=too_slow)
        assert path.read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["a.rcs"]
        curriculum.snapshot(path, overwrite=True)


def test_a_killed_exporter_leaves_the_old_file_and_its_copies_expire(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.rcs"
    with Curriculum.open(server.url, name, config_of(600)) as curriculum:
        curriculum.snapshot(path)
        old = path.read_bytes()
        code = f"""
            import os, signal
            from redis_curriculum import Curriculum
            def die(done, total):
                os.kill(os.getpid(), signal.SIGKILL)
            Curriculum.open({server.url!r}, {name!r}).snapshot(
                {str(path)!r}, overwrite=True, progress=die)
        """
        process = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
        assert process.returncode == -signal.SIGKILL
        assert path.read_bytes() == old
        assert len(list(tmp_path.iterdir())) == 2, "what it had written"
        keys, client = curriculum._store.server.keys, server.client()  # noqa: SLF001
        play(curriculum, 20)
        copies = (keys.snapshot, keys.snapshot_tasks, keys.snapshot_labels)
        assert all(client.pttl(key) > 0 for key in copies)
        for key in copies:  # time passes
            client.pexpire(key, 0)
        play(curriculum, 20)
        assert client.exists(*copies) == 0
        assert client.hget(keys.meta, "snapshot") is None
        curriculum.snapshot(path, overwrite=True)
        assert list(tmp_path.iterdir()) == [path], "the next one removes that"
        assert curriculum.check() == []


def test_what_a_live_exporter_writes_is_left_to_it(url: str, name: str, tmp_path: Path) -> None:
    """Two curricula are written to one path: the later one wins, the earlier one lacks nothing."""
    path, inside = tmp_path / "a.rcs", list[int]()
    with (
        Curriculum.open(url, name, config_of(600)) as slow,
        Curriculum.open(url, f"{name}.2", config_of(9)) as quick,
    ):

        def write_the_other(done: int, total: int) -> None:
            if not inside:
                inside.append(quick.snapshot(path).tasks)

        assert slow.snapshot(path, overwrite=True, progress=write_the_other).tasks == 600
    assert inside == [9]
    assert list(tmp_path.iterdir()) == [path]


def test_the_exporters_copies_are_bounded_by_the_pool(server: RunningServer, name: str) -> None:
    with Curriculum.open(server.url, name, config_of(50, replacement_rate=0.0)) as curriculum:
        link = curriculum._link  # noqa: SLF001
        moment = moment_of(curriculum)
        drive(moment.begin(Turn(0)), link)
        play(curriculum, 1000)
        client = server.client()
        assert client.hlen(curriculum._store.server.keys.snapshot_tasks) <= 50 + 1  # noqa: SLF001
        drive(moment.end(), link)


# --- targets -------------------------------------------------------------------------------------


def test_targets_that_cannot_be(url: str, name: str, tmp_path: Path) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        (tmp_path / "there").write_text("mine")
        with pytest.raises(SnapshotError, match="overwrite"):
            curriculum.snapshot(tmp_path / "there")
        assert (tmp_path / "there").read_text() == "mine"
        with pytest.raises(SnapshotError, match="directory"):
            curriculum.snapshot(tmp_path)
        with pytest.raises(SnapshotError, match="not a directory"):
            curriculum.snapshot(tmp_path / "nowhere" / "a.rcs")
        if os.getuid() != 0:
            (tmp_path / "locked").mkdir(mode=0o500)
            with pytest.raises(SnapshotError, match="cannot be written"):
                curriculum.snapshot(tmp_path / "locked" / "a.rcs")


def test_a_full_disk_is_an_error_and_leaves_nothing(
    url: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Curriculum.open(url, name, config_of()) as curriculum:
        path = curriculum.snapshot(tmp_path / "a.rcs").path
        old = path.read_bytes()
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(SnapshotError, match="No space left"):
            curriculum.snapshot(path, overwrite=True)
        assert path.read_bytes() == old
        assert list(tmp_path.iterdir()) == [path]
        play(curriculum, 5)
        assert curriculum.check() == []


def test_keep_rotates(url: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.rcs"
    with Curriculum.open(url, name, config_of()) as curriculum:
        for played in range(5):
            curriculum.update_task_performance(curriculum.task_ids()[0], 0.5)
            curriculum.snapshot(path, keep=2)
            assert sums_in(path)[1] == played + 1
    found = {p.name: sums_in(p)[1] for p in tmp_path.iterdir()}
    assert found == {"a.rcs": 5, "a.rcs.1": 4, "a.rcs.2": 3}


def test_the_target_is_there_while_older_files_rotate(
    url: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rename = tmp_path / "a.rcs", Path.replace
    with Curriculum.open(url, name, config_of()) as curriculum:
        curriculum.snapshot(path)
        old = path.read_bytes()

        def watched(self: Path, target: Path) -> Path:
            assert path.read_bytes() == old, "a crash here would leave no file of that name"
            return rename(self, target)

        for i in range(3):
            play(curriculum, 10)
            monkeypatch.setattr(Path, "replace", watched)
            curriculum.snapshot(path, keep=2)
            monkeypatch.undo()
            assert (tmp_path / "a.rcs.1").read_bytes() == old != path.read_bytes()
            assert len(list(tmp_path.iterdir())) == min(i + 2, 3)
            old = path.read_bytes()


@pytest.mark.parametrize("keep", [-1, 1.5, True, "1", None, 10_000])
def test_a_number_of_older_files_that_cannot_be(
    url: str, name: str, tmp_path: Path, keep: Any
) -> None:
    path = tmp_path / "a.rcs"
    path.write_text("precious")
    with (
        Curriculum.open(url, name, config_of()) as curriculum,
        pytest.raises(InvalidInputError, match=r"keep must be (an integer )?in"),
    ):
        curriculum.snapshot(path, keep=keep)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_threads_may_play_while_another_handle_exports(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    with (
        Curriculum.open(server.url, name, config_of(300)) as player,
        Curriculum.open(server.url, name, worker=WorkerSettings(worker_id="exporter")) as exporter,
    ):
        done = threading.Event()

        def playing() -> None:
            play(player, 1500)
            done.set()

        thread = threading.Thread(target=playing)
        thread.start()
        files = 0
        until = time.monotonic() + 60
        while not done.is_set() and time.monotonic() < until:
            exporter.snapshot(tmp_path / f"{files}.rcs")
            files += 1
        thread.join()
        assert files > 1
        assert exporter.check() == []


def test_all_counts_are_in_the_file(url: str, name: str, tmp_path: Path) -> None:
    with Curriculum.open(url, name, config_of(replacement_rate=0.05)) as curriculum:
        play(curriculum, 3000)
        path = curriculum.snapshot(tmp_path / "a.rcs").path
        counts = dict.fromkeys(COUNTS, 0)
        for line in lines_of(path):
            if line["type"] == "label":
                for what, count in line["count"].items():
                    counts[what] += count
        assert counts["completions"] == 3000
        assert counts["samples"] == 3001
        assert counts["created"] - counts["evictions"] == 60
        assert counts["evictions"] > 0
