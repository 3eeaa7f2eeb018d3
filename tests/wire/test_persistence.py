"""What Redis's own persistence keeps when the server is killed, and its two traps.

Acknowledged less present is measured, not assumed: writers note every answer, the server is killed
in the middle of their work, started again on the same files, and its results are counted.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.config import WorkerSettings
from redis_curriculum.errors import CurriculumNotFoundError, ServerError
from redis_curriculum.tasks import Buckets, Outcome
from tests.servers import RunningServer, executables, redis_server
from tests.whole import assert_whole

TASKS = Buckets(label="maze-{size}", buckets={"size": [5, 9]})
CONFIG = CurriculumConfig(task_generator=TASKS, num_active_tasks=16)
AOF = ["--appendonly", "yes", "--appendfsync"]
WRITERS = 4
POSTPONED_S = 2.0
"""Under everysec, Redis holds writes back for so long while a slow fsync runs."""

any_executable = pytest.mark.parametrize("executable", executables().values(), ids=executables())


class Writers:
    """Threads that report results until the server is gone; when each was acknowledged."""

    def __init__(self, url: str) -> None:
        self.acknowledged: list[float] = []
        self._url = url
        self._threads = [threading.Thread(target=self._report) for _ in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def _report(self) -> None:
        settings = WorkerSettings(retry_deadline_s=0, chunk=8)
        with Curriculum.open(self._url, "run", worker=settings) as curriculum:
            ids = curriculum.task_ids()
            try:
                while True:
                    for task_id in ids:
                        if curriculum.update_task_performance(task_id, 0.5) is Outcome.APPLIED:
                            self.acknowledged.append(time.monotonic())
            except ServerError:
                pass

    def await_more(self, count: int) -> int:
        """Wait until ``count`` more results have been acknowledged; how many there are then."""
        wanted, until = len(self.acknowledged) + count, time.monotonic() + 60
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < until
            time.sleep(0.002)
        return len(self.acknowledged)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def present(server: RunningServer) -> int:
    """Results that the server has, once all its indices have been found to agree."""
    with Curriculum.open(server.url, "run") as curriculum:
        assert curriculum.config == CONFIG
        assert_whole(server, curriculum)
        records = [curriculum.get_task_stats(task_id) for task_id in curriculum.task_ids()]
        return sum(record.completion_count for record in records if record)


@contextmanager
def killed_while_writing(server: RunningServer) -> Iterator[Writers]:
    """Writers at work; at the end of the block the server is killed and started again."""
    Curriculum.open(server.url, "run", CONFIG).close()
    writers = Writers(server.url)
    try:
        yield writers
    finally:
        server.kill()
        writers.join()
    server.start()


@any_executable
def test_with_fsync_always_nothing_acknowledged_is_lost(executable: Path, tmp_path: Path) -> None:
    with redis_server(tmp_path, executable=executable, config=[*AOF, "always"]) as server:
        with killed_while_writing(server) as writers:
            writers.await_more(150)
        lost = len(writers.acknowledged) - present(server)
        assert -WRITERS <= lost <= 0, "more may be there: applied, but not yet answered"


@any_executable
def test_with_fsync_every_second_a_killed_server_has_what_it_wrote(
    executable: Path, tmp_path: Path
) -> None:
    """The kernel has what Redis wrote; only a slow fsync makes Redis hold writes back."""
    with redis_server(tmp_path, executable=executable, config=[*AOF, "everysec"]) as server:
        with killed_while_writing(server) as writers:
            writers.await_more(100)
            time.sleep(POSTPONED_S)
            writers.await_more(50)
            killed = time.monotonic()
        lost = len(writers.acknowledged) - present(server)
        recent = sum(at > killed - POSTPONED_S for at in writers.acknowledged)
        assert -WRITERS <= lost <= recent < len(writers.acknowledged)


@any_executable
def test_with_rdb_alone_what_came_after_the_last_save_is_lost(
    executable: Path, tmp_path: Path
) -> None:
    with redis_server(tmp_path, executable=executable) as server:
        with killed_while_writing(server) as writers:
            before = writers.await_more(60)
            with server.client() as client:
                client.save()
            saved = len(writers.acknowledged)
            writers.await_more(60)
        found, acknowledged = present(server), len(writers.acknowledged)
        assert before <= found <= saved + WRITERS
        assert acknowledged - found >= 60 - WRITERS, "and so much is lost"


@any_executable
def test_a_server_shut_down_in_order_loses_nothing(executable: Path, tmp_path: Path) -> None:
    config = ["--save", "3600", "1"]
    with redis_server(tmp_path, executable=executable, config=config) as server:
        with Curriculum.open(server.url, "run", CONFIG) as curriculum:
            curriculum.update_many([(task_id, 0.5) for task_id in curriculum.task_ids()])
        server.stop()
        server.start()
        assert present(server) == 16


# --- two traps -----------------------------------------------------------------------------------


def played(server: RunningServer) -> None:
    with Curriculum.open(server.url, "run", CONFIG) as curriculum:
        curriculum.update_many([(task_id, 0.5) for task_id in curriculum.task_ids()])


@any_executable
def test_trap_1_a_server_with_rdb_alone_comes_up_empty_with_appendonly(
    executable: Path, tmp_path: Path
) -> None:
    with redis_server(tmp_path, executable=executable) as server:
        played(server)
        with server.client() as client:
            client.save()
        server.stop()
        server.config = [*AOF, "everysec"]
        server.start()
        with pytest.raises(CurriculumNotFoundError):
            Curriculum.open(server.url, "run")


@any_executable
def test_the_way_round_trap_1_is_to_switch_while_it_runs(executable: Path, tmp_path: Path) -> None:
    with redis_server(tmp_path, executable=executable) as server:
        played(server)
        with server.client() as client:
            client.config_set("appendonly", "yes")
            until = time.monotonic() + 30
            while any(client.info("persistence")[f"aof_rewrite_{n}"] for n in WAITING):
                assert time.monotonic() < until
                time.sleep(0.01)
        server.kill()
        server.config = [*AOF, "everysec"]
        server.start()
        assert present(server) == 16


WAITING = ("in_progress", "scheduled")


@any_executable
def test_trap_2_a_dump_put_back_under_appendonly_is_ignored(
    executable: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.rdb"
    with redis_server(tmp_path / "a", executable=executable, config=[*AOF, "everysec"]) as server:
        played(server)
        with server.client() as client:
            client.save()
            shutil.copy(tmp_path / "a" / "dump.rdb", backup)
            client.flushall()
        server.stop()
        shutil.copy(backup, tmp_path / "a" / "dump.rdb")
        server.start()
        with pytest.raises(CurriculumNotFoundError):
            Curriculum.open(server.url, "run")
    with redis_server(tmp_path / "b", executable=executable) as server:
        server.stop()
        shutil.copy(backup, tmp_path / "b" / "dump.rdb")
        server.start()
        assert present(server) == 16, "without appendonly it is loaded"
