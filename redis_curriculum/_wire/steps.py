"""Steps: what the plans of a link ask of its driver. No socket, no event loop, no thread.

A plan of a link is a generator. Each value that it yields is one step. The driver (``blocking.py``
or ``asyncio.py``) performs the step and sends its result back:

========== ======================================================== ==================
step       what the driver does                                     result
========== ======================================================== ==================
Connect    opens a connection and logs in                           the connection
Exchange   sends one command and reads its reply to the end         the reply
Drop       closes a connection without waiting for the other side   None
InThread   calls a function that blocks, so that nobody waits       what it returns
Sleep      waits                                                    None
========== ======================================================== ==================

If a step fails, the driver raises the error at the ``yield``: redis-py's error or an ``OSError``
(a time-out is one of either), and also an interruption (Ctrl-C, the cancellation of a task). The
plan may then yield further steps before it ends. Only ``GeneratorExit`` allows no further step.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from redis import exceptions

from redis_curriculum._protocol.plan import Sleep, T

Node = tuple[str, int]
"""Host and port."""
FAILURES: Final = (exceptions.RedisError, OSError, ValueError)
"""What redis-py raises when a step fails; ``ValueError`` for a reply that it cannot read."""


class Connect(NamedTuple):
    """Open a connection; a driver that fails closes what it has opened so far."""

    options: Mapping[str, Any]
    """redis-py's arguments; see ``options.py``."""
    timeout_s: float
    """How long this, and later each exchange on the connection, may take."""


class Exchange(NamedTuple):
    """Send one command and read its reply. An error reply is raised as a ``ResponseError``."""

    connection: Any
    words: Sequence[str | bytes]


class Drop(NamedTuple):
    """Close a connection; it never fails."""

    connection: Any


class InThread(NamedTuple):
    """Call a function that takes no argument."""

    function: Callable[[], Any]


Step = Connect | Exchange | Drop | InThread | Sleep
Steps = Generator[Step, Any, T]
"""A plan of a link, which returns a ``T``."""


def converse(connection: Any, *commands: Sequence[str | bytes]) -> Steps[list[Any]]:
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
