"""The blocking link: performs the steps of ``link.py`` with redis-py's connections."""

from __future__ import annotations

import time
from concurrent.futures import wait
from contextlib import suppress
from typing import Any

import redis
from redis import exceptions

from redis_curriculum._protocol.plan import Command, InThread, Plan, T, Wait, Words, one
from redis_curriculum._wire.link import Link
from redis_curriculum._wire.options import class_name
from redis_curriculum._wire.steps import (
    Connect,
    Drop,
    Exchange,
    ExchangeAll,
    Step,
    Steps,
    first_error,
)


class DirectLink(Link):
    """A link whose calls block. Whoever shares it between threads takes a lock."""

    def call(self, words: Words, key: str) -> Any:
        """Send one command about ``key`` and return its reply; raises as ``Link.send``."""
        return drive(one(Command(words, key)), self)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        _run(self.hang_up())


def drive(plan: Plan[T], link: DirectLink) -> T:
    """Run a plan to its end and return its result."""
    return _run(link.carry(plan))


def _run(steps: Steps[T]) -> T:
    try:
        step = next(steps)
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
    if isinstance(step, Exchange):
        step.connection.send_packed_command(step.packed, check_health=False)
        return step.connection.read_response()
    if isinstance(step, ExchangeAll):
        step.connection.send_packed_command(step.packed, check_health=False)
        return first_error([_read(step.connection) for _ in step.commands])
    if isinstance(step, Connect):
        timeouts = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), step.timeout_s)
        connection = getattr(redis, class_name(step.options))(**step.options, **timeouts)
        try:
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


def _read(connection: Any) -> Any:
    """Read one of several replies; an error is returned, so that the others are read too."""
    try:
        return connection.read_response(disable_decoding=True)
    except exceptions.ResponseError as error:
        return error
