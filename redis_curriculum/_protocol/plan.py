"""Plans and their requests: what is to be done, without a socket.

A plan is a generator. Each value that it yields is one request: ``Run``, ``Command``,
``Commands``, ``Sleep``, ``Wait`` or ``InThread``. The plan receives the reply, or the error is
raised at the ``yield``. So the blocking and the asyncio handle run the same plans.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from redis_curriculum._protocol.scripts import Script

T = TypeVar("T")
Words = Sequence[str | bytes | int | float]
"""A command and its arguments."""


@dataclass(slots=True)  # not frozen: making one would take four times as long
class Run:
    """Call a script on one curriculum; the reply is the script's."""

    script: Script
    key: str
    args: Sequence[Any]
    """Text, bytes, int or float; floats keep 17 digits."""


@dataclass(frozen=True, slots=True)
class Command:
    """Send one command that reads, or does the same whenever it comes.

    ``key`` says to which node of a cluster; for a command about no key, ``place`` does.
    """

    words: Words
    key: str
    place: tuple[str, int] | None = None
    """Host and port."""


@dataclass(frozen=True, slots=True)
class Commands:
    """Send several commands that read, in one round trip; the reply is the list of their replies.

    Texts are bytes, as stored. The commands may see different moments.
    """

    each: Sequence[Words]
    key: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait; the reply is None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until something is done, but no longer than some seconds; the reply is None."""

    future: Future[Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class InThread:
    """Call a function that may block; an event loop goes on meanwhile. The reply is its result."""

    function: Callable[[], Any]


Request = Run | Command | Commands | Sleep | Wait | InThread
Plan = Generator[Request, Any, T]


def one(request: Request) -> Plan[Any]:
    """Return the plan that makes one request and returns its reply."""
    return (yield request)
