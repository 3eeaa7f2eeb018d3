"""A worker that comes back under its name: at once if the one before is dead, else after a wait."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from redis_curriculum import Curriculum, CurriculumConfig, Outcome, WorkerSettings
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._store import process
from redis_curriculum.errors import WorkerFencedError, WorkerInUseError
from redis_curriculum.tasks import Single
from tests.servers import RunningServer

CONFIG = CurriculumConfig(task_generator=Single(label="m"), num_active_tasks=2)
RANK = WorkerSettings(worker_id="rank-0", retry_deadline_s=0.5)
PATIENT = WorkerSettings(worker_id="rank-0")
PLAYER = """
import sys, time
from redis_curriculum import Curriculum, WorkerSettings

url, name = sys.argv[1:]
Curriculum.open(url, name, worker=WorkerSettings(worker_id="rank-0")).get_task()
print("playing", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _curriculum(url: str, name: str) -> None:
    Curriculum.open(url, name, CONFIG).close()


@contextmanager
def playing(url: str, name: str) -> Iterator[subprocess.Popen[str]]:
    """Another process, which works as rank-0."""
    words = [sys.executable, "-c", PLAYER, url, name]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "playing\n"
        try:
            yield child
        finally:
            child.kill()


@pytest.mark.parametrize("reaped", [True, False], ids=["gone", "a zombie"])
def test_in_at_once_after_kill_9(url: str, name: str, *, reaped: bool) -> None:
    with playing(url, name) as child, Curriculum.open(url, name, worker=RANK) as curriculum:
        child.send_signal(signal.SIGKILL)
        if reaped:
            child.wait()
        else:
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert curriculum.get_task().label == "m"


def test_a_live_one_is_waited_for(url: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with playing(url, name) as child, Curriculum.open(url, name, worker=RANK) as curriculum:
        with pytest.raises(WorkerInUseError, match=rf"pid {child.pid}\), .* another \d+ s") as why:
            curriculum.get_task()
        assert "take_over=True" in str(why.value)
        assert why.value.applied == "no"
    with playing(url, f"{name}") as child, Curriculum.open(url, name, worker=PATIENT) as curriculum:
        threading.Timer(0.3, child.kill).start()
        with caplog.at_level(logging.INFO, "redis_curriculum"):
            assert curriculum.get_task().label == "m"
        assert caplog.text.count("waiting for a name") == 1


def test_a_live_ones_place_can_be_taken(url: str, name: str) -> None:
    take = WorkerSettings(worker_id="rank-0", take_over=True)
    with Curriculum.open(url, name, worker=RANK) as first:
        task_id = first.get_task().task_id
        with Curriculum.open(url, name, worker=take) as second:
            assert second.update_task_performance(task_id, 0.5) is Outcome.APPLIED
            with pytest.raises(WorkerFencedError, match="taken its name"):
                first.update_task_performance(task_id, 0.5)
            assert second.update_task_performance(task_id, 0.5) is Outcome.APPLIED
            record = second.get_task_stats(task_id)
            assert record
            assert record.completion_count == 2


OTHERWISE = {
    "another machine": {"machine": "another-boot/pid:[1]"},
    "another container": {"machine": process.machine().rpartition("/")[0] + "/pid:[1]"},
    "a machine that does not say": {"machine": ""},
    "a process that did not say": {"born": "", "pid": str(os.getpid())},
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_in_doubt_it_lives(server: RunningServer, name: str, what: str) -> None:
    """Dead as its pid is here: where pids may mean something else, the lease decides."""
    with playing(server.url, name) as child:
        child.kill()
        child.wait()
    with server.client() as client:
        client.hset(Keys(name).worker("rank-0"), mapping=OTHERWISE[what])
    with (
        Curriculum.open(server.url, name, worker=RANK) as curriculum,
        pytest.raises(WorkerInUseError),
    ):
        curriculum.get_task()


def test_a_pid_that_was_given_again_is_another_process(server: RunningServer, name: str) -> None:
    """As pid 1 of a container that was started again in the place of the one before."""
    with Curriculum.open(server.url, name, worker=RANK) as first:
        first.get_task()
        with server.client() as client:
            client.hset(Keys(name).worker("rank-0"), "born", "1")
        with Curriculum.open(server.url, name, worker=RANK) as second:
            assert second.get_task().label == "m"


def test_what_proc_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = os.getpid()
    mine = {"machine": process.machine(), "pid": str(me), "born": process.born(me)}
    assert mine["machine"]
    assert mine["born"].isdecimal()
    assert not process.is_dead(mine)
    assert process.born(2**22 + 1) == ""
    stat = tmp_path / str(me) / "stat"
    stat.parent.mkdir()
    stat.write_text(f"{me} (a) b (c) Z " + " ".join(map(str, range(4, 52))))
    monkeypatch.setattr(process, "PROC", tmp_path)
    assert process.machine() == "", "no Linux"
    assert process.born(me) == "22"
