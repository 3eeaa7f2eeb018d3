"""The asyncio link: performs the steps of ``link.py`` with redis-py's asyncio connections."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from redis import asyncio as redis
from redis import exceptions

from redis_curriculum._protocol.asking import FIRST_WORD_S
from redis_curriculum._protocol.plan import InThread, Plan, T, Wait
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
    tell_of_silence,
)


class AsyncLink(Link):
    """A link of one event loop."""

    async def close(self) -> None:
        """Close the connection; the next call opens another."""
        await _run(self.hang_up())


async def drive(plan: Plan[T], link: AsyncLink) -> T:
    """Run a plan to its end and return its result."""
    return await _run(link.carry(plan))


async def _run(steps: Steps[T]) -> T:
    try:
        step = next(steps)
        while True:
            try:
                result = await _perform(step)
            except BaseException as error:  # noqa: BLE001 - the plan decides what becomes of it
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as stop:
        returned: T = stop.value
        return returned
    finally:
        steps.close()


async def _perform(step: Step) -> Any:
    if isinstance(step, (Exchange, ExchangeAll)):
        return await _exchange(step)
    if isinstance(step, Connect):
        timeouts = {"socket_timeout": None, "socket_connect_timeout": step.timeout_s}
        connection = getattr(redis, class_name(step.options))(**step.options, **timeouts)
        telling = _telling(step.timeout_s)
        try:
            async with asyncio.timeout(step.timeout_s):
                await connection.connect()
        except BaseException:
            await _drop(connection)
            raise
        finally:
            telling.cancel()
        return connection
    if isinstance(step, Drop):
        return await _drop(step.connection)
    if isinstance(step, InThread):
        return await asyncio.to_thread(step.function)
    if isinstance(step, Wait):
        return await _wait(step)
    return await asyncio.sleep(step.seconds)


def _telling(timeout_s: float) -> asyncio.TimerHandle:
    """Write a line to the log after the first second, unless it is cancelled before."""
    loop, left_s = asyncio.get_running_loop(), timeout_s - FIRST_WORD_S
    return loop.call_later(FIRST_WORD_S, tell_of_silence, left_s)


async def _exchange(step: Exchange | ExchangeAll) -> Any:
    connection = step.connection
    timeout_s = connection.socket_connect_timeout
    telling = _telling(timeout_s)
    try:
        # One timeout around all of it; redis-py's own makes a task for each write.
        async with asyncio.timeout(timeout_s):
            await _send(connection, step.packed)
            if isinstance(step, ExchangeAll):
                return first_error([await _read(connection) for _ in step.commands])
            return await connection.read_response(disconnect_on_error=False)  # the plan does
    finally:
        telling.cancel()


async def _send(connection: Any, packed: Any) -> None:
    """Send; if that fails, nothing of it is left to be sent.

    redis-py then closes the connection, but asyncio keeps it until the other side has taken all
    that was written, which a server that hangs never does.
    """
    transport = connection._writer.transport  # noqa: SLF001 - redis-py forgets it when it fails
    try:
        await connection.send_packed_command(packed, check_health=False)
    except BaseException:
        transport.abort()
        raise


async def _read(connection: Any) -> Any:
    """Read one of several replies; an error is returned, so that the others are read too."""
    try:
        return await connection.read_response(disable_decoding=True, disconnect_on_error=False)
    except exceptions.ResponseError as error:
        return error


async def _wait(step: Wait) -> None:
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: object) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(done.set)

    step.future.add_done_callback(tell)
    with suppress(TimeoutError):
        async with asyncio.timeout(step.seconds):
            await done.wait()


async def _drop(connection: Any) -> None:
    """Close a connection; over TLS, redis-py would leave it open until the other side agrees."""
    writer = getattr(connection, "_writer", None)
    if writer is not None:
        writer.transport.abort()
    with suppress(exceptions.RedisError, OSError):
        await connection.disconnect(nowait=True)
