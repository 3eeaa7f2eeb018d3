"""Worker processes that are killed, stopped, forked and spawned: nobody else is harmed."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.errors import WorkerFencedError
from redis_curriculum.tasks import Outcome
from tests.faults.ledger import (
    Journal,
    Ledger,
    config_of,
    held_by,
    judge,
    read_journal,
    settings_of,
    settle,
)
from tests.faults.tally import Row
from tests.processes import in_background
from tests.servers import RunningServer

Rows = Callable[[str], Row]


def play_for_ever(url: str, journal: Path, number: int, lease_ms: int) -> None:
    ledger = Journal(journal, number << 20)
    with Curriculum.open(url, "x", worker=settings_of(lease_ms=lease_ms)) as curriculum:
        while True:
            ledger.play(curriculum, 5, number)


def killed(server: RunningServer, tmp_path: Path, row: Row, points: int) -> None:
    """Kill a worker, again and again: the call it was in is whole or absent; its entry goes."""
    choose, told = random.Random(points), Ledger()
    with Curriculum.open(server.url, "x", config_of(), worker=settings_of()) as curriculum:
        for number in range(1, points + 1):
            journal = tmp_path / f"journal-{number}"
            process = in_background(play_for_ever, server.url, journal, number, 1000)
            begun = 200 if number % 4 else 1  # bytes: some calls later, or as early as in the first
            while not journal.exists() or journal.stat().st_size < begun:
                time.sleep(0.001)
            time.sleep(choose.uniform(0, 0.03))
            process.kill()
            process.join()
            ledger, on_its_way = read_journal(journal)
            told.take_over(ledger)
            if on_its_way:
                settle(told, on_its_way, held_by(curriculum))
        assert told.reported, "some were told of results"
        judge(row, curriculum, [told], trials=points)
        time.sleep(1.1)
        for _ in range(points // 16 + 1):
            curriculum.renew_lease()
        with server.client() as client:
            assert client.zrange(Keys("x").workers, 0, -1) == [curriculum.worker_id]
            entries = list(client.scan_iter(Keys("x").worker("*")))
            assert entries == [Keys("x").worker(curriculum.worker_id)]


def test_worker_killed(own_server: RunningServer, tmp_path: Path, row: Rows) -> None:
    killed(own_server, tmp_path, row("worker SIGKILL at random points"), 6)


@pytest.mark.slow
def test_worker_killed_at_forty_points(
    own_server: RunningServer, tmp_path: Path, row: Rows
) -> None:
    killed(own_server, tmp_path, row("worker SIGKILL at random points"), 40)


def play_and_come_back(url: str, journal: Path, fenced: Path) -> None:
    """Play; once fenced, say so, register again and play on for a while."""
    ledger = Journal(journal, 1)
    with Curriculum.open(url, "x", worker=settings_of(lease_ms=1000)) as curriculum:
        with pytest.raises(WorkerFencedError) as caught:
            ledger.play(curriculum, 1 << 30)
        assert caught.value.applied == "no"
        ledger.refused()
        curriculum.register()
        ledger.play(curriculum, 5)
        fenced.touch()


def test_worker_stopped_past_its_lease(
    own_server: RunningServer, tmp_path: Path, row: Rows
) -> None:
    journal, fenced = tmp_path / "journal", tmp_path / "fenced"
    with Curriculum.open(own_server.url, "x", config_of(), worker=settings_of()) as curriculum:
        process = in_background(play_and_come_back, own_server.url, journal, fenced)
        while not journal.exists() or journal.stat().st_size < 2000:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(1.2)
        curriculum.renew_lease()
        with own_server.client() as client:
            assert client.zcard(Keys("x").workers) == 1, "reaped, and nobody waited for it"
        task = curriculum.get_task()
        os.kill(process.pid, signal.SIGCONT)
        process.join(20)
        assert fenced.exists()
        ledger, on_its_way = read_journal(journal)
        ledger.end(None, [task.task_id])
        judge(row("worker stopped past its lease"), curriculum, [ledger])
        assert on_its_way is None


def child(curriculum: Curriculum, journal: Path, number: int) -> None:
    ledger = Journal(journal, number << 20)
    ledger.play(curriculum, 20, number)


def child_of_pickle(pickled: bytes, journal: Path, number: int) -> None:
    with pickle.loads(pickled) as curriculum:
        child(curriculum, journal, number)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_fork_and_spawn(own_server: RunningServer, tmp_path: Path, row: Rows, method: str) -> None:
    """The parent's handle is used on both sides, at once."""
    context = multiprocessing.get_context(method)
    ledgers = [Ledger()]
    with Curriculum.open(own_server.url, "x", config_of(), worker=settings_of()) as curriculum:
        ledgers[0].play(curriculum, 5)
        journals = [tmp_path / str(number) for number in (1, 2)]
        processes = [
            context.Process(target=child, args=(curriculum, journal, number))  # type: ignore[attr-defined]
            if method == "fork"
            else context.Process(  # type: ignore[attr-defined]
                target=child_of_pickle, args=(pickle.dumps(curriculum), journal, number)
            )
            for number, journal in enumerate(journals, 1)
        ]
        for process in processes:
            process.start()
        ledgers[0].play(curriculum, 20)
        for process in processes:
            process.join()
            assert process.exitcode == 0
        for journal in journals:
            ledger, on_its_way = read_journal(journal)
            assert on_its_way is None
            ledgers.append(ledger)
        judge(row("fork and spawn"), curriculum, ledgers)


def test_a_fork_in_the_middle_of_an_unknown_call(own_server: RunningServer) -> None:
    """The child is another worker: what the parent has on its way stays the parent's."""
    with Curriculum.open(own_server.url, "x", config_of(), worker=settings_of()) as curriculum:
        task = curriculum.get_task()
        pid = os.fork()
        if pid == 0:
            outcome = curriculum.update_task_performance(task.task_id, 0.5)
            os._exit(0 if outcome is Outcome.APPLIED else 1)
        assert curriculum.update_task_performance(task.task_id, 0.5) is Outcome.APPLIED
        assert os.waitpid(pid, 0)[1] == 0
        assert held_by(curriculum).reported[task.task_id] == 2
