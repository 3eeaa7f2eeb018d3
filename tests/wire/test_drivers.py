"""What both drivers owe to the plans of a link, whatever ends them."""

from __future__ import annotations

import asyncio
import gc
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum._protocol.plan import Command, Sleep, one
from redis_curriculum._wire import asyncio as loop
from redis_curriculum._wire import blocking
from redis_curriculum._wire.link import Link
from redis_curriculum._wire.urls import parse
from redis_curriculum.errors import ServerUnavailableError
from tests.servers import RunningServer, redis_server

HOME = parse("redis://home")


def drive_blocking(use: Callable[[Link], Any]) -> None:
    link = blocking.DirectLink(HOME, 5.0)
    use(link)
    blocking.drive(one(Sleep(0)), link)


def drive_in_a_loop(use: Callable[[Link], Any]) -> None:
    link = loop.AsyncLink(HOME, 5.0)
    use(link)
    asyncio.run(loop.drive(one(Sleep(0)), link))


both_drivers = pytest.mark.parametrize("drive", [drive_blocking, drive_in_a_loop])
Drive = Callable[[Callable[[Link], Any]], None]


class Stop(BaseException):
    """An interruption."""


class Interrupted:
    """Steps whose driver is interrupted when it has performed the first one."""

    closed = False

    def __next__(self) -> Sleep:
        return Sleep(0)

    def send(self, _: object) -> None:
        raise Stop

    def close(self) -> None:
        self.closed = True


def instead(monkeypatch: pytest.MonkeyPatch, link: Link, steps: Callable[[], Any]) -> None:
    """Let a link perform these steps, whatever it is asked for, by either driver."""
    for name in ("carry", "serve"):
        monkeypatch.setattr(link, name, lambda _: steps())


@both_drivers
def test_an_interruption_between_two_steps_closes_the_plans(
    drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Interrupted()
    with pytest.raises(Stop):
        drive(lambda link: instead(monkeypatch, link, lambda: steps))
    assert steps.closed


@both_drivers
def test_a_connection_that_fails_is_closed(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Failing:
        def __init__(self, **options: Any) -> None:
            assert options["host"] == "home"

        def connect(self) -> Any:
            raise Stop

        def disconnect(self, **_: object) -> Any:
            closed.append(self)
            return asyncio.sleep(0) if drive is drive_in_a_loop else None

    monkeypatch.setattr("redis.Connection", Failing)
    monkeypatch.setattr("redis.asyncio.Connection", Failing)
    with pytest.raises(Stop):
        drive(lambda link: instead(monkeypatch, link, lambda: link.send(("PING",), "")))
    assert len(closed) == 1


def test_what_a_hanging_server_does_not_take_keeps_no_connection(tmp_path: Path) -> None:
    """More than its socket holds waits in this process, and asyncio waits for it to be taken."""

    async def send(server: RunningServer) -> None:
        link = loop.AsyncLink(parse(server.url), 2.0)
        assert await loop.drive(one(Command(("PING",), "")), link)
        server.send(signal.SIGSTOP)
        with pytest.raises(ServerUnavailableError):
            await loop.drive(one(Command(("ECHO", b"x" * 10_000_000), "")), link)
        await link.close()

    with redis_server(tmp_path) as server, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(send(server))
        gc.collect()
    assert [str(warning.message) for warning in caught] == [], "what is open still"
