"""Steps: what the plans of a link ask of its driver. No socket, no event loop, no thread.

A plan of a link is a generator. Each value that it yields is one step, such as
``Exchange(connection, words)``. The driver (``blocking.py`` or ``asyncio.py``) performs the step
and sends back its result. If the step fails, the driver raises the error at the ``yield``:
redis-py's error, an ``OSError``, or an interruption (Ctrl-C, the cancellation of a task). Even then
the plan may yield further steps before it ends. Only ``GeneratorExit`` allows none.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from typing import Any, Final, NamedTuple

import hiredis
from redis import exceptions

from redis_curriculum._protocol.asking import FIRST_WORD_S
from redis_curriculum._protocol.plan import InThread, Sleep, T, Wait

_LOG: Final = logging.getLogger("redis_curriculum")
Text = tuple[str | bytes, ...]
"""A command and its arguments. No numbers: hiredis crashes the process if Ctrl-C comes while it
writes one."""
FAILURES: Final = (exceptions.RedisError, OSError, ValueError)
"""What redis-py raises when a step fails; ``ValueError`` for a reply that it cannot read."""


class Connect(NamedTuple):
    """Open a connection and log in; the result is the connection. A failure leaves none open."""

    options: Mapping[str, Any]
    """redis-py's arguments; see ``options.py``."""
    timeout_s: float
    """How long this, and later each exchange on the connection, may take."""


def _packed(words: Text) -> bytes:
    try:
        packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # not of one word
    except UnicodeEncodeError:  # read from the server, where it was no UTF-8: as it was there
        raw = tuple(
            w if isinstance(w, bytes) else w.encode(errors="surrogateescape") for w in words
        )
        packed = hiredis.pack_command(raw)  # type: ignore[arg-type]
    return packed


class Exchange(NamedTuple):
    """Send one command and read its reply. An error reply is raised as a ``ResponseError``."""

    connection: Any
    words: Text

    @property
    def packed(self) -> list[bytes]:
        """What goes over the wire; redis-py's own way to it takes five times as long."""
        return [_packed(self.words)]


class ExchangeAll(NamedTuple):
    """Send several commands at once and read all replies; texts in them are bytes, as stored.

    Once all have been read, the first error reply among them is raised.
    """

    connection: Any
    commands: tuple[Text, ...]

    @property
    def packed(self) -> list[bytes]:
        """What goes over the wire."""
        return [_packed(words) for words in self.commands]


class Drop(NamedTuple):
    """Close a connection, without waiting for the other side. It never fails."""

    connection: Any


Step = Connect | Exchange | ExchangeAll | Drop | InThread | Sleep | Wait
Steps = Generator[Step, Any, T]
"""A plan of a link, which returns a ``T``."""


def tell_of_silence(left_s: float) -> None:
    """Write to the log that a reply has not come within the first second."""
    _LOG.warning("no answer for %.0f s, waiting for another %.0f s", FIRST_WORD_S, left_s)


def first_error(replies: list[Any]) -> list[Any]:
    """Return the replies, if none is an error.

    Raises:
        ResponseError: The first that is one.
    """
    for reply in replies:
        if isinstance(reply, exceptions.ResponseError):
            raise reply
    return replies


def converse(connection: Any, *commands: Text) -> Steps[list[Any]]:
    """Send some commands on a connection, then close it; return the replies.

    Raises:
        RedisError, OSError, ValueError: A step failed, or a reply is an error.
    """
    try:
        replies = []
        for words in commands:
            replies += [(yield Exchange(connection, words))]
    except GeneratorExit:
        raise
    except BaseException:
        yield Drop(connection)
        raise
    yield Drop(connection)
    return replies
