"""Who logs in: user and password as they are when a connection is made."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.credentials import UsernamePasswordCredentialProvider

from redis_curriculum import AsyncCurriculum, Curriculum, CurriculumConfig, WorkerSettings
from redis_curriculum._wire.urls import PASSWORD_VARIABLE
from redis_curriculum.errors import (
    AuthenticationError,
    CurriculumError,
    InvalidInputError,
    ServerUnavailableError,
)
from redis_curriculum.tasks import Single
from tests.servers import RunningServer, redis_server

CONFIG = CurriculumConfig(task_generator=Single(label="x"), num_active_tasks=2)
AT_ONCE = WorkerSettings(retry_deadline_s=0)
PATIENT = WorkerSettings(retry_deadline_s=20)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RunningServer]:
    """A server whose only user has the password that ``rotate`` gives it."""
    with redis_server(tmp_path, config=["--appendonly", "yes"]) as server:
        yield server


def rotate(server: RunningServer, old: str, new: str) -> None:
    """Change the password, and end what has logged in with the old one."""
    with server.client(password=old or None) as client:
        client.execute_command("ACL", "SETUSER", "default", "resetpass", f">{new}")
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def test_the_environment_is_asked_at_each_connection(
    guarded: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate(guarded, "", "first")
    monkeypatch.setenv(PASSWORD_VARIABLE, "first")
    with Curriculum.open(guarded.url, "x", CONFIG, worker=PATIENT) as curriculum:
        task = curriculum.get_task()
        rotate(guarded, "first", "second")
        monkeypatch.setenv(PASSWORD_VARIABLE, "second")
        curriculum.update_task_performance(task.task_id, 0.5)
        assert curriculum.stats()["num_completed"] == 1


def test_a_callable_is_asked_at_each_connection(guarded: RunningServer) -> None:
    rotate(guarded, "", "first")
    known, asked = ["first"], list[str]()

    def credentials() -> tuple[str, str]:
        asked.append(known[-1])
        return "default", known[-1]

    with Curriculum.open(
        guarded.url, "x", CONFIG, worker=PATIENT, credentials=credentials
    ) as curriculum:
        curriculum.get_task()
        curriculum.get_task()
        assert set(asked) == {"first"}
        rotate(guarded, "first", "second")
        known.append("second")
        curriculum.get_task()
        assert asked[-1] == "second"
        assert "second" not in repr(curriculum) + repr(curriculum._address)  # noqa: SLF001


def test_in_a_loop_it_may_block_without_holding_others_up(guarded: RunningServer) -> None:
    rotate(guarded, "", "first")
    loops_thread = threading.get_ident()
    asked: list[int] = []

    def credentials() -> tuple[str, str]:
        asked.append(threading.get_ident())
        return "default", "first"

    async def play() -> None:
        async with AsyncCurriculum.open(
            guarded.url, "x", CONFIG, credentials=credentials
        ) as curriculum:
            await curriculum.get_task()

    asyncio.run(play())
    assert asked
    assert loops_thread not in asked


@pytest.mark.parametrize(
    "credentials",
    [
        UsernamePasswordCredentialProvider("default", "first").get_credentials,
        UsernamePasswordCredentialProvider(None, "first").get_credentials,
        lambda: "first",
        lambda: (None, "first"),
    ],
)
def test_what_it_may_return(guarded: RunningServer, credentials: Callable[[], Any]) -> None:
    rotate(guarded, "", "first")
    with Curriculum.open(guarded.url, "x", CONFIG, credentials=credentials) as curriculum:
        assert curriculum.get_task().label == "x"
    assert Curriculum.names(guarded.url, credentials=credentials) == ["x"]
    assert Curriculum.delete(guarded.url, "x", credentials=credentials) > 0


@pytest.mark.parametrize("returned", [None, 7, ("default", b"first"), ("a", "b", "s3cret"), [1]])
def test_what_it_may_not_return(server: RunningServer, returned: Any) -> None:
    with pytest.raises(InvalidInputError, match="credentials") as caught:
        Curriculum.open(server.url, "x", CONFIG, credentials=lambda: returned)
    assert "first" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_what_it_raises_is_an_outage(guarded: RunningServer) -> None:
    rotate(guarded, "", "first")
    failures = iter([OSError("s3cret"), RuntimeError("s3cret")])

    def credentials() -> tuple[str, str]:
        for failure in failures:
            raise failure
        return "default", "first"

    with Curriculum.open(guarded.url, "x", CONFIG, worker=PATIENT, credentials=credentials) as kept:
        kept.get_task()

    def never() -> tuple[str, str]:
        raise RuntimeError("s3cret")

    with pytest.raises(ServerUnavailableError, match="raised RuntimeError") as caught:
        Curriculum.open(guarded.url, "x", worker=AT_ONCE, credentials=never)
    assert "s3cret" not in str(caught.value)


def test_a_wrong_password_is_not_retried(guarded: RunningServer) -> None:
    rotate(guarded, "", "first")
    asked: list[int] = []

    def credentials() -> tuple[str, str]:
        asked.append(1)
        return "default", "wr0ng"

    with pytest.raises(AuthenticationError) as caught:
        Curriculum.open(guarded.url, "x", CONFIG, worker=PATIENT, credentials=credentials)
    assert "wr0ng" not in str(caught.value)
    assert PASSWORD_VARIABLE not in str(caught.value)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("redis://user:secret@localhost", lambda: "x"),
        ("embedded://", lambda: "x"),
        ("redis://localhost", "secret"),
        ("redis://localhost", ("user", "secret")),
    ],
)
def test_what_is_refused_before_anything_is_sent(url: str, credentials: Any) -> None:
    with pytest.raises(InvalidInputError, match="credentials") as caught:
        Curriculum.open(url, "x", CONFIG, credentials=credentials)
    assert "secret" not in str(caught.value)
    with pytest.raises(CurriculumError, match="credentials"):
        asyncio.run(_awaited(AsyncCurriculum.open(url, "x", CONFIG, credentials=credentials)))


async def _awaited(opening: Any) -> None:
    await opening


def known_password() -> tuple[str, str]:
    """A function that another process finds, too."""
    return "default", "first"


def test_a_pickled_handle_takes_it_along(guarded: RunningServer) -> None:
    rotate(guarded, "", "first")
    with Curriculum.open(guarded.url, "x", CONFIG, credentials=known_password) as curriculum:
        data = pickle.dumps(curriculum)
        assert b"first" not in data
        with pickle.loads(data) as other:
            assert other.get_task().label == "x"
