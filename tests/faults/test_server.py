"""Servers that refuse, forget, restart, run full or die: what is acknowledged is there, once."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._wire.embedded_keeper import cut_torn_script
from redis_curriculum.errors import (
    KeyTypeError,
    ServerRefusedError,
    ServerUnavailableError,
    UnsupportedServerError,
)
from redis_curriculum.tasks import Outcome
from tests.faults.ledger import (
    Ledger,
    config_of,
    held_by,
    judge,
    load_scripts,
    settings_of,
)
from tests.faults.proxy import Fate, proxy
from tests.faults.tally import Row
from tests.servers import RunningServer, executables, redis_server

Rows = Callable[[str], Row]
Binary = pytest.mark.parametrize("binary", list(executables()))

AOF = ["--appendonly", "yes", "--appendfsync", "everysec"]


@contextmanager
def playing(url: str, ledger: Ledger) -> Iterator[None]:
    """A worker that plays in a thread until the block ends."""
    done = threading.Event()

    def work() -> None:
        with Curriculum.open(url, "x", worker=settings_of()) as curriculum:
            while not done.is_set():
                ledger.play(curriculum, 5, ledger.reported.total())

    with ThreadPoolExecutor(1) as pool:
        worker = pool.submit(work)
        try:
            yield
        finally:
            done.set()
        worker.result()


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


# --- scripts forgotten, servers restarted --------------------------------------------------------


def test_script_flush_between_and_inside_calls(own_server: RunningServer, row: Rows) -> None:
    """Before each call, and between its EVALSHA and its EVAL."""
    ledger = Ledger()
    with own_server.client() as client:

        def flush(request: bytes) -> Fate:
            if b"EVAL" in request:
                client.script_flush()
            return "pass"

        with proxy(own_server) as between:
            open_ = Curriculum.open(between.url, "x", config_of(), worker=settings_of())
            with open_ as curriculum:
                between.rule = flush
                ledger.play(curriculum, 40)
                between.rule = lambda request: "pass"
                judge(row("SCRIPT FLUSH"), curriculum, [ledger], trials=40)


@Binary
def test_restart_between_and_inside_calls(tmp_path: Path, row: Rows, binary: str) -> None:
    ledger = Ledger()
    with (
        redis_server(tmp_path, executable=executables()[binary], config=AOF) as server,
        Curriculum.open(server.url, "x", config_of()) as curriculum,
    ):
        with playing(server.url, ledger):
            choose = random.Random(1)
            for number in (signal.SIGTERM, signal.SIGKILL) * 2:
                time.sleep(choose.uniform(0.05, 0.15))
                server.stop(number)
                server.start()
        judge(row("restart between and inside calls (AOF)"), curriculum, [ledger], trials=4)


def test_loading(tmp_path: Path, row: Rows) -> None:
    ledger = Ledger()
    slow = ["--key-load-delay", "30000", "--loading-process-events-interval-bytes", "1024"]
    with (
        redis_server(tmp_path, config=slow) as server,
        Curriculum.open(server.url, "x", config_of(80), worker=settings_of()) as curriculum,
    ):
        ledger.play(curriculum, 20)
        with server.client() as client:
            client.save()
        server.kill()
        server.start(wait=False)
        errors = opening_errors(server.url)
        assert all(error.applied == "no" for error in errors)
        assert any("loading" in str(error) for error in errors)
        ledger.play(curriculum, 5)
        judge(row("LOADING"), curriculum, [ledger])


def opening_errors(url: str) -> list[ServerUnavailableError]:
    """Open, one try at a time, until it works; what went wrong before."""
    errors = []
    while True:
        try:
            Curriculum.open(
                url, "x", worker=settings_of(timeout_s=5.0, retry_deadline_s=0.0)
            ).close()
        except ServerUnavailableError as error:
            errors.append(error)
        else:
            return errors


def test_busy(own_server: RunningServer, row: Rows) -> None:
    """Somebody's script does not end: BUSY until it is killed."""
    ledger = Ledger()
    with (
        Curriculum.open(own_server.url, "x", config_of(), worker=settings_of()) as curriculum,
        own_server.client() as client,
        own_server.client() as other,
        ThreadPoolExecutor(1) as pool,
    ):
        task = ledger.draw(curriculum)[0]
        client.config_set("lua-time-limit", "20")
        endless = pool.submit(other.eval, "while true do end", 0)
        time.sleep(0.1)
        impatient = settings_of(retry_deadline_s=0.0)
        with pytest.raises(ServerRefusedError, match="SCRIPT KILL") as caught:
            Curriculum.open(own_server.url, "x", worker=impatient)
        assert (caught.value.code, caught.value.applied) == ("BUSY", "no")
        kill = threading.Timer(0.3, client.script_kill)
        kill.start()
        ledger.report(curriculum, task.task_id)
        kill.join()
        assert "killed" in str(endless.exception())
        judge(row("BUSY"), curriculum, [ledger])


# --- servers that refuse writes ------------------------------------------------------------------


def refused(curriculum: Curriculum, code: str) -> None:
    """Every kind of write is refused for this reason, and nothing of it is there."""
    before = held_by(curriculum)
    task_id = curriculum.task_ids()[0]
    calls: list[Callable[[], object]] = [
        lambda: curriculum.update_task_performance(task_id, 0.5),
        lambda: curriculum.next_tasks([(task_id, 0.5)], 3),
        curriculum.get_task,
        lambda: curriculum.set_label(task_id, "other"),
    ]
    for call in calls:
        with pytest.raises(ServerRefusedError) as caught:
            call()
        assert (caught.value.code, caught.value.applied) == (code, "no")
    assert held_by(curriculum) == before


@pytest.fixture
def impatient(own_server: RunningServer) -> Iterator[Curriculum]:
    settings = settings_of(timeout_s=5.0, retry_deadline_s=0.1)
    with Curriculum.open(own_server.url, "x", config_of(), worker=settings) as curriculum:
        yield curriculum


def test_a_read_only_replica(
    own_server: RunningServer, impatient: Curriculum, tmp_path: Path, row: Rows
) -> None:
    ledger = Ledger()
    ledger.play(impatient, 5)
    with own_server.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(UnsupportedServerError, match="replica") as caught:
            Curriculum.open(own_server.url, "x")
        assert caught.value.applied == "no"
        refused(impatient, "READONLY")
        with pytest.raises(ServerRefusedError, match="READONLY"):
            impatient.renew_lease()  # not "unsupported": a Sentinel may know another primary
        client.execute_command("REPLICAOF", "NO", "ONE")
    ledger.play(impatient, 5)
    judge(row("read-only replica"), impatient, [ledger], trials=2)


def test_too_few_replicas(own_server: RunningServer, impatient: Curriculum, row: Rows) -> None:
    ledger = Ledger()
    ledger.play(impatient, 5)
    with own_server.client() as client:
        client.config_set("min-replicas-to-write", "1")
        refused(impatient, "NOREPLICAS")
        client.config_set("min-replicas-to-write", "0")
    ledger.play(impatient, 5)
    judge(row("NOREPLICAS"), impatient, [ledger])


@Binary
def test_saves_that_fail(tmp_path: Path, row: Rows, binary: str) -> None:
    ledger = Ledger()
    settings = settings_of(timeout_s=5.0, retry_deadline_s=0.1)
    config = ["--save", "3600", "1000000"]
    with (
        redis_server(tmp_path, executable=executables()[binary], config=config) as server,
        Curriculum.open(server.url, "x", config_of(), worker=settings) as curriculum,
        server.client() as client,
    ):
        ledger.play(curriculum, 5)
        (tmp_path / "dump.rdb").mkdir()  # nothing can be renamed to that
        (tmp_path / "dump.rdb" / "x").touch()
        client.bgsave()
        until(lambda: client.info()["rdb_last_bgsave_status"] == "err")
        refused(curriculum, "MISCONF")
        shutil.rmtree(tmp_path / "dump.rdb")
        client.bgsave()
        until(lambda: client.info()["rdb_last_bgsave_status"] == "ok")
        ledger.play(curriculum, 5)
        judge(row("MISCONF"), curriculum, [ledger])


@Binary
def test_out_of_memory(tmp_path: Path, row: Rows, binary: str) -> None:
    """Reads and evictions go on, and make room."""
    ledger = Ledger()
    settings = settings_of(timeout_s=5.0, retry_deadline_s=0.1)
    with (
        redis_server(tmp_path, executable=executables()[binary]) as server,
        Curriculum.open(server.url, "x", config_of(), worker=settings) as curriculum,
        server.client() as client,
    ):
        ledger.play(curriculum, 5)
        curriculum.evict(1 << 50)  # its script is known
        client.config_set("maxmemory", "1")
        refused(curriculum, "OOM")
        with pytest.raises(ServerRefusedError) as caught:
            Curriculum.open(server.url, "y", config_of(), worker=settings)
        assert caught.value.code == "OOM"
        assert len(curriculum.distribution()) == 16
        gone = next(i for i in curriculum.task_ids() if not held_by(curriculum).handed[i])
        assert curriculum.evict(gone) is Outcome.APPLIED
        assert gone not in curriculum.task_ids()
        assert curriculum.check() == []
        client.config_set("maxmemory", "0")
        ledger.play(curriculum, 5)
        judge(row("out of memory"), curriculum, [ledger])


# --- a server that dies --------------------------------------------------------------------------

KEPT = {
    "AOF always": ["--appendonly", "yes", "--appendfsync", "always"],
    "AOF everysec": AOF,
    "RDB only": ["--save", "1", "1"],
}


def die_and_come_back(
    tmp_path: Path, row: Row, config: list[str], *, binary: str, kills: int
) -> None:
    """Three workers on a server that is killed while they play; what it lost is replayed."""
    ledgers = [Ledger() for _ in range(3)]
    choose = random.Random(len(binary))
    with redis_server(tmp_path, executable=executables()[binary], config=config) as server:
        url = server.url
        Curriculum.open(url, "x", config_of(), worker=settings_of()).close()
        with server.client() as client:
            client.save()
        done = threading.Event()
        gap = {"replay_buffer": 1_000_000}

        def work(ledger: Ledger, seed: int) -> None:
            with Curriculum.open(url, "x", worker=settings_of(**gap)) as curriculum:
                while not done.is_set():
                    ledger.play(curriculum, 5, seed)
                ledger.draw(curriculum)
                assert curriculum.lost_writes == 0

        with ThreadPoolExecutor(3) as pool:
            workers = [pool.submit(work, ledger, i) for i, ledger in enumerate(ledgers)]
            for _ in range(kills):
                time.sleep(choose.uniform(0.1, 0.4))
                server.kill()
                server.start()
            done.set()
            for worker in workers:
                worker.result()
        with Curriculum.open(url, "x") as curriculum:
            judge(row, curriculum, ledgers, trials=kills)


@pytest.mark.parametrize("kept", list(KEPT))
def test_server_killed(tmp_path: Path, row: Rows, kept: str) -> None:
    fault = row(f"server kill -9, {kept}")
    die_and_come_back(tmp_path, fault, KEPT[kept], binary="path", kills=3)


@pytest.mark.slow
@Binary
@pytest.mark.parametrize("kept", list(KEPT))
def test_server_killed_often(tmp_path: Path, row: Rows, kept: str, binary: str) -> None:
    fault = row(f"server kill -9, {kept}")
    die_and_come_back(tmp_path, fault, KEPT[kept], binary=binary, kills=40)


# --- its files -----------------------------------------------------------------------------------


def log_of(directory: Path) -> Path:
    """The append-only file that grows; its folder came with version 7."""
    grown = sorted(directory.glob("appendonlydir/*.incr.aof"))
    return grown[-1] if grown else directory / "appendonly.aof"


@Binary
@pytest.mark.parametrize("remedy", ["cut", "rewritten"])
def test_half_a_script_at_the_end_of_the_log_counts_never(
    tmp_path: Path, row: Rows, binary: str, remedy: str
) -> None:
    """A server that is killed while it writes leaves it; Redis alone would run it later."""
    ledger = Ledger()
    with (
        redis_server(tmp_path, executable=executables()[binary], config=AOF) as server,
        Curriculum.open(server.url, "x", config_of(), worker=settings_of()) as curriculum,
        server.client() as client,
    ):
        ledger.play(curriculum, 5)
        ledger.report(curriculum, ledger.draw(curriculum)[0].task_id)
        until(lambda: client.info()["aof_buffer_length"] == 0)
        server.kill()
        log = log_of(tmp_path)
        content = log.read_bytes()
        log.write_bytes(content[: content.rindex(b"last_score")])
        if remedy == "cut":
            cut_torn_script(tmp_path)
            assert log.stat().st_size == content.rindex(b"*1\r\n$5\r\nMULTI")
        server.start()
        if remedy == "rewritten":
            client.bgrewriteaof()
            until(lambda: not client.info()["aof_rewrite_in_progress"])
        ledger.play(curriculum, 5)
        until(lambda: client.info()["aof_buffer_length"] == 0)
        server.kill()
        server.start()
        ledger.play(curriculum, 1)
        judge(row("half a script in the AOF"), curriculum, [ledger])


def truncated(tmp_path: Path, row: Row, binary: str, trials: int) -> None:
    """Whatever end of the log is missing: all of a script or nothing, and the rest is replayed."""
    source, ledger = tmp_path / "source", Ledger()
    executable = executables()[binary]
    choose = random.Random(trials)
    with redis_server(source, executable=executable, config=AOF) as server:
        opened = Curriculum.open(server.url, "x", config_of(), worker=settings_of())
        size_at_start = log_of(source).stat().st_size
        ledger.play(opened, 30)
        until(lambda: log_of(source).stat().st_size > size_at_start)
        server.kill()
        whole = log_of(source).stat().st_size
        saved = tmp_path / "saved"
        shutil.copytree(source, saved)
        for _ in range(trials):
            shutil.rmtree(source)
            shutil.copytree(saved, source)
            with log_of(source).open("r+b") as file:
                file.truncate(choose.randrange(size_at_start, whole + 1))
            server.start()
            ledger.play(opened, 1)
            judge(row, opened, [ledger])
            server.kill()
            # The next trial starts from the old log: what was played just now is lost with it,
            # and the worker replays that as well.
        server.start()
        opened.close()


def test_log_truncated(tmp_path: Path, row: Rows) -> None:
    truncated(tmp_path, row("AOF truncated"), "path", 8)


@pytest.mark.slow
@Binary
def test_log_truncated_at_many_offsets(tmp_path: Path, row: Rows, binary: str) -> None:
    truncated(tmp_path, row("AOF truncated"), binary, 150)


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[None]:
    """A file system of its own, of a few megabytes; only root may mount one."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
    if not shutil.which("mount"):
        pytest.skip("there is no mount command")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@Binary
def test_disk_full(tmp_path: Path, row: Rows, binary: str) -> None:
    ledger = Ledger()
    disk = tmp_path / "disk"
    with (
        small_disk(disk, 64),  # room for whatever the server itself writes at its start
        redis_server(disk, executable=executables()[binary], config=AOF) as server,
        Curriculum.open(
            server.url, "x", config_of(), worker=settings_of(retry_deadline_s=0.1, timeout_s=5.0)
        ) as curriculum,
    ):
        ledger.play(curriculum, 10)
        ballast = disk / "ballast"
        fill(ballast)
        with pytest.raises(ServerRefusedError) as caught:
            ledger.play(curriculum, 10_000)
        assert caught.value.code == "MISCONF"
        assert len(curriculum.distribution()) == 16, "reading goes on"
        ballast.unlink()
        with server.client() as client:
            until(lambda: client.info()["aof_last_write_status"] == "ok")
        # The call that was refused was never acknowledged, and is made again as another one.
        assert caught.value.applied == "no"
        ledger.play(curriculum, 10)
        server.kill()
        server.start()
        ledger.play(curriculum, 3)
        judge(row("disk full"), curriculum, [ledger])


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return


# --- keys of another type ------------------------------------------------------------------------


def test_wrong_type_at_a_key(own_server: RunningServer, row: Rows) -> None:
    """What looks first finds it before anything is written; repair mends the rest."""
    ledger = Ledger()
    with (
        Curriculum.open(own_server.url, "x", config_of(), worker=settings_of()) as curriculum,
        own_server.client() as client,
    ):
        load_scripts(own_server)
        ledger.play(curriculum, 10)
        task_id = curriculum.task_ids()[0]
        trials = 0
        for key in (Keys("x").task(task_id), Keys("x").worker(curriculum.worker_id)):
            client.rename(key, "aside")
            client.rpush(key, "someone else's")
            with pytest.raises(KeyTypeError, match="something else") as caught:
                curriculum.update_task_performance(task_id, 0.5)
            assert caught.value.applied == "unknown", "a script may stop in its middle"
            client.unlink(key)
            client.rename("aside", key)
            trials += 1
        ledger.play(curriculum, 10)
        judge(row("wrong type at our key"), curriculum, [ledger], trials=trials)
