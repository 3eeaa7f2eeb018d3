"""The blocking link: performs the steps of ``link.py`` with redis-py's connections."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from typing import Any, Final

import redis
from redis import exceptions

from redis_curriculum._protocol.asking import FIRST_WORD_S
from redis_curriculum._protocol.plan import (
    Command,
    InThread,
    Plan,
    Request,
    Run,
    T,
    Wait,
    Words,
    one,
)
from redis_curriculum._wire.link import Link, as_text
from redis_curriculum._wire.options import class_name
from redis_curriculum._wire.steps import (
    Connect,
    Drop,
    Exchange,
    ExchangeAll,
    Step,
    Steps,
    first_error,
    tell_of_silence,
)
from redis_curriculum.errors import CurriculumError

_CAN_POLL: Final = hasattr(select, "poll")  # not on Windows


class DirectLink(Link):
    """A link whose calls block. Whoever shares it between threads takes a lock."""

    at_once = True
    """Whether the call of a script on an open connection goes out without ``send``."""

    def call(self, words: Words, key: str) -> Any:
        """Send one command about ``key`` and return its reply; raises as ``Link.send``."""
        return drive(one(Command(words, key)), self)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        _run(self.hang_up())

    def answer(self, request: Request) -> Any:
        """Do what a plan asks for and return the reply; as ``serve``, with fewer layers.

        The call of a script on an open connection is what a worker makes all the time. It is sent
        and its reply read without a step. If that fails, the steps go on from the failure.
        """
        connection = self._connection
        if connection is None or not (self.at_once and isinstance(request, Run)):
            return _run(self.serve(request))
        words = as_text(("EVALSHA", request.script.sha, *self._tail(request)))
        try:
            self._connection = None  # until its reply has been read
            reply = _exchange(Exchange(connection, words))
            self._connection, self._answered = connection, True
        except BaseException as error:  # noqa: BLE001 - the steps decide what becomes of it
            self._connection = connection
            return _run(self.serve(request), error)
        return reply


def drive(plan: Plan[T], link: DirectLink) -> T:
    """Run a plan to its end and return its result."""
    try:
        request = next(plan)
        while True:
            try:
                reply = link.answer(request)
            except CurriculumError as error:
                request = plan.throw(error)
            else:
                request = plan.send(reply)
    except StopIteration as stop:
        returned: T = stop.value
        return returned
    finally:
        plan.close()  # at once, also when interrupted: it notes what may have been applied


def _run(steps: Steps[T], failure: BaseException | None = None) -> T:
    """Perform steps to their end; ``failure``: what the first of them has come to already."""
    try:
        step = next(steps)
        if failure is not None and isinstance(step, Exchange):  # not if Ctrl-C came just before it
            step = steps.throw(failure)
        while True:
            try:
                result = _perform(step)
            except BaseException as error:  # noqa: BLE001 - the plan decides what becomes of it
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as stop:
        returned: T = stop.value
        return returned
    finally:
        steps.close()


def _perform(step: Step) -> Any:
    if isinstance(step, (Exchange, ExchangeAll)):
        return _exchange(step)
    if isinstance(step, Connect):
        timeouts = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), step.timeout_s)
        connection = getattr(redis, class_name(step.options))(**step.options, **timeouts)
        try:
            with _telling(step.timeout_s):
                connection.connect()
        except BaseException:
            connection.disconnect()
            raise
        return connection
    if isinstance(step, Drop):
        with suppress(exceptions.RedisError, OSError):
            step.connection.disconnect()
        return None
    if isinstance(step, Wait):
        wait([step.future], step.seconds)
        return None
    return step.function() if isinstance(step, InThread) else time.sleep(step.seconds)


def _exchange(step: Exchange | ExchangeAll) -> Any:
    step.connection.send_packed_command(step.packed, check_health=False)
    if not _answers_soon(step.connection):
        return _late(step)
    return _replies(step)


@contextmanager
def _telling(timeout_s: float) -> Iterator[None]:
    """Write a line to the log if this takes longer than the first second."""
    if timeout_s <= FIRST_WORD_S:
        yield
        return
    telling = threading.Timer(FIRST_WORD_S, tell_of_silence, [timeout_s - FIRST_WORD_S])
    telling.daemon = True
    telling.start()
    try:
        yield
    finally:
        telling.cancel()
        telling.join()  # a fork in the next moment would warn of another thread


def _answers_soon(connection: Any) -> bool:
    """Whether there is something to read within the first second."""
    if not _CAN_POLL or connection.socket_timeout <= FIRST_WORD_S:
        return True
    waiting = select.poll()
    waiting.register(connection._sock, select.POLLIN)  # noqa: SLF001 - its own way costs 5 us
    return bool(waiting.poll(1000 * FIRST_WORD_S))


def _late(step: Exchange | ExchangeAll) -> Any:
    """Write a line to the log, and wait as long as is left."""
    connection = step.connection
    socket, left_s = connection._sock, connection.socket_timeout - FIRST_WORD_S  # noqa: SLF001
    tell_of_silence(left_s)
    socket.settimeout(left_s)
    try:
        return _replies(step)
    finally:
        with suppress(OSError):  # closed meanwhile
            socket.settimeout(connection.socket_timeout)


def _replies(step: Exchange | ExchangeAll) -> Any:
    if isinstance(step, Exchange):
        return step.connection.read_response()
    return first_error([_read(step.connection) for _ in step.commands])


def _read(connection: Any) -> Any:
    """Read one of several replies; an error is returned, so that the others are read too."""
    try:
        return connection.read_response(disable_decoding=True)
    except exceptions.ResponseError as error:
        return error
