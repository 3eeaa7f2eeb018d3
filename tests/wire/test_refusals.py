"""What servers refuse, in our words: at once, without a secret, without a script's source."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import exceptions

from redis_curriculum import AsyncCurriculum, Curriculum, CurriculumConfig, WorkerSettings
from redis_curriculum._protocol.scripts import load
from redis_curriculum._wire.refusals import is_elsewhere, translate
from redis_curriculum._wire.urls import SENTINEL_PASSWORD_VARIABLE, parse
from redis_curriculum.errors import (
    AuthenticationError,
    CurriculumError,
    InvalidURLError,
    KeyTypeError,
    MissingScriptError,
    ScriptError,
    ServerRefusedError,
    ServerUnavailableError,
    ServerWarning,
    UnknownCommandError,
)
from redis_curriculum.tasks import Single
from tests.families import VARIANTS
from tests.faults.topologies import free_ports
from tests.servers import RunningServer, executables, redis_server

CONFIG = CurriculumConfig(task_generator=Single(label="x"), num_active_tasks=4)
PATIENT = WorkerSettings(timeout_s=20.0, retry_deadline_s=60.0)
HOME = parse("redis://home")


def blocking(url: str, worker: WorkerSettings = PATIENT) -> None:
    Curriculum.open(url, "x", CONFIG, worker=worker).close()


def in_a_loop(url: str, worker: WorkerSettings = PATIENT) -> None:
    async def opening() -> None:
        async with AsyncCurriculum.open(url, "x", CONFIG, worker=worker):
            pass

    asyncio.run(opening())


OpenIt = Callable[..., None]
both_handles = pytest.mark.parametrize("open_it", [blocking, in_a_loop])


# --- of real servers, by both handles ------------------------------------------------------------


@both_handles
@pytest.mark.parametrize("password", [":wr0ng@", "nobody:wr0ng@"])
def test_a_wrong_password_at_a_socket(tmp_path: Path, open_it: OpenIt, password: str) -> None:
    """redis-py's asyncio connection to a unix socket calls it a lost connection."""
    with redis_server(tmp_path) as server:
        with server.client() as client:
            client.config_set("requirepass", "right")
        with pytest.raises(AuthenticationError, match="wrong user or password") as caught:
            open_it(server.url.replace("://", f"://{password}"))
        assert "wr0ng" not in "".join(traceback.format_exception(caught.value))


def without(*commands: str) -> list[str]:
    """Settings of a server that does not know some commands."""
    return [word for command in commands for word in ("--rename-command", command, "")]


@both_handles
def test_a_server_without_scripts(tmp_path: Path, open_it: OpenIt) -> None:
    """Redis quotes the arguments of a command that it does not know: here, a script."""
    with (
        redis_server(tmp_path, config=without("SCRIPT", "EVAL")) as server,
        pytest.raises(ScriptError, match=r"unknown command.*EVAL") as caught,
    ):
        open_it(server.url)
    told = "".join(traceback.format_exception(caught.value))
    assert "KEYS[1]" not in told
    assert "with args" not in told


@pytest.mark.parametrize("lacking", [["SCRIPT"], ["SCRIPT", "EVALSHA"]], ids="+".join)
@both_handles
def test_where_scripts_cannot_be_loaded_they_are_sent_whole(
    tmp_path: Path, open_it: OpenIt, lacking: list[str]
) -> None:
    config = [*without(*lacking), "--appendonly", "yes"]
    with redis_server(tmp_path, config=config) as server:
        open_it(server.url)
        with server.client() as client:
            stats = client.info("commandstats")
        assert stats["cmdstat_eval"]["calls"] > 0
        assert "cmdstat_script|load" not in stats


@both_handles
def test_without_info_there_is_a_warning(tmp_path: Path, open_it: OpenIt) -> None:
    with (
        redis_server(tmp_path, config=[*without("INFO"), "--appendonly", "yes"]) as server,
        pytest.warns(ServerWarning, match="INFO is not answered here") as warned,
    ):
        open_it(server.url)
    assert len(warned) == 1


QUOTED = load("step", VARIANTS["uniform"]).source


@pytest.mark.parametrize(
    "text",
    [
        f"ERR unknown command `EVAL`, with args beginning with: `{QUOTED[:128]}`, `1`, ",
        f"ERR unsupported command: EVAL {QUOTED!r} 1 k",
        f"ERR invalid command 'script load {QUOTED}'",
        f"ERR cannot parse '*3\r\n$4\r\nEVAL\r\n$999\r\n{QUOTED}\r\n'",
        f"ERR command eval is not supported: {QUOTED[:60]}",
    ],
)
def test_no_error_quotes_a_script(text: str) -> None:
    error = exceptions.ResponseError(text)
    found = translate(error, HOME)
    for told in (str(found), str(error)):
        assert "step: report" not in told
        assert "KEYS" not in told
        assert "eval" in told.lower() or "script load" in told
    assert isinstance(found, UnknownCommandError) == ("parse" not in text)


def test_a_command_refused_inside_a_script_is_not_an_unknown_one() -> None:
    for text in (
        "ERR Error running script (call to f_0): @user_script:1: Unknown Redis command called from",
        "ERR This Redis command is not allowed from script script: 0, on @user_script:1.",
    ):
        assert type(translate(exceptions.ResponseError(text), HOME)) is ScriptError


@both_handles
def test_a_single_server_is_no_cluster(tmp_path: Path, open_it: OpenIt) -> None:
    (port,) = free_ports(1)
    with (
        redis_server(tmp_path, config=["--port", str(port)]),
        pytest.raises(InvalidURLError, match="not part of a cluster"),
    ):
        open_it(f"redis+cluster://127.0.0.1:{port}")


@both_handles
def test_a_database_that_is_not_there(server: RunningServer, open_it: OpenIt) -> None:
    with pytest.raises(InvalidURLError, match="a database that the server has"):
        open_it(f"{server.url}?db=9999")


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[int]:
    """The port of a Sentinel with a password, which watches nobody."""
    (port,) = free_ports(1)
    file = tmp_path / "sentinel.conf"
    file.write_text(f"port {port}\ndir {tmp_path}\nrequirepass theirs\n")
    words = [str(next(iter(executables().values()))), str(file), "--sentinel"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        for _ in range(1_000):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                break
            threading.Event().wait(0.01)
        yield port
    finally:
        process.kill()
        process.wait()


@both_handles
def test_sentinels_that_refuse(
    sentinel: int, open_it: OpenIt, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"redis+sentinel://:ours@127.0.0.1:{sentinel}/nobody"
    with pytest.raises(AuthenticationError, match=SENTINEL_PASSWORD_VARIABLE):
        open_it(url)
    monkeypatch.setenv(SENTINEL_PASSWORD_VARIABLE, "theirs")
    with pytest.raises(InvalidURLError, match="a service that the Sentinels know"):
        open_it(url)


@both_handles
def test_redis_py_retries_nothing(tmp_path: Path, open_it: OpenIt) -> None:
    """A retry of its own would come without the write's number."""
    tries = 0
    path = f"{tmp_path}/s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(0.2)

        def hang_up() -> None:
            nonlocal tries
            while not done.is_set():
                with suppress(TimeoutError):
                    listener.accept()[0].close()
                    tries += 1

        done, hanging_up = threading.Event(), threading.Thread(target=hang_up)
        hanging_up.start()
        try:
            with pytest.raises(ServerUnavailableError):
                open_it(f"unix://{path}", WorkerSettings(retry_deadline_s=0))
        finally:
            done.set()
            hanging_up.join()
    assert tries == 1


# --- one by one ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (exceptions.NoScriptError("No matching script."), MissingScriptError, None),
        (exceptions.ResponseError("BUSY Redis is busy"), ServerRefusedError, "BUSY"),
        (exceptions.ResponseError("MISCONF Redis is configured"), ServerRefusedError, "MISCONF"),
        (exceptions.ResponseError("NOREPLICAS Not enough"), ServerRefusedError, "NOREPLICAS"),
        (exceptions.ResponseError("WRONGTYPE Operation against"), KeyTypeError, None),
        (exceptions.ReadOnlyError("You can't write"), ServerRefusedError, "READONLY"),
        (exceptions.MasterDownError("Link with MASTER"), ServerRefusedError, "MASTERDOWN"),
        (exceptions.ClusterDownError("Hash slot"), ServerRefusedError, "CLUSTERDOWN"),
        (exceptions.TryAgainError("Multiple keys"), ServerRefusedError, "TRYAGAIN"),
        (exceptions.BusyLoadingError("Redis is loading"), ServerUnavailableError, None),
        (exceptions.AuthenticationError("invalid"), AuthenticationError, None),
        (exceptions.ConnectionError("NOAUTH Authentication"), AuthenticationError, None),
        (exceptions.ResponseError("anything else"), ScriptError, None),
        (ConnectionResetError(104, "reset"), ServerUnavailableError, None),
        (ValueError("not enough values to unpack"), ScriptError, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_has_its_own_error(
    error: Exception, kind: type[CurriculumError], code: str | None
) -> None:
    found = translate(error, HOME)
    assert type(found) is kind
    assert getattr(found, "code", None) == code
    assert is_elsewhere(found) == (code in ("READONLY", "MASTERDOWN", "CLUSTERDOWN"))


def test_a_password_in_an_error_is_hidden() -> None:
    error = exceptions.ConnectionError("cannot use redis://user:s3cr3t@home")
    found = translate(error, HOME)
    assert "s3cr3t" not in str(found)
    assert "s3cr3t" not in str(error), "a traceback shows the cause, too"
