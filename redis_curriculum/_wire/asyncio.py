"""The same plans over asyncio: ``_wire/blocking.py`` with ``await`` where bytes are waited for.

What a cancelled call has sent may still be answered, so the connection goes with it; the next call
opens another. The worker's numbers then find out whether the write was applied.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from redis import asyncio as redis
from redis import exceptions
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from redis_curriculum._protocol.plan import Command, Plan, Request, Run, Words
from redis_curriculum._wire.options import (
    MOST_REDIRECTS,
    client_options,
    declared_keys,
    endpoint,
    sentinel_options,
)
from redis_curriculum._wire.refusals import is_elsewhere, translate
from redis_curriculum._wire.tls import PROBE_S, refuse_plain, tls_hint
from redis_curriculum._wire.urls import Address
from redis_curriculum.errors import (
    CurriculumError,
    MissingScriptError,
    ServerRefusedError,
    ServerUnavailableError,
)

if TYPE_CHECKING:
    from redis_curriculum._wire.embedded import Attachment

T = TypeVar("T")


async def drive(plan: Plan[T], link: AsyncLink) -> T:
    """Run a plan to its end and return its result."""
    try:
        request = next(plan)
        while True:
            try:
                reply = await _perform(request, link)
            except CurriculumError as error:
                request = plan.throw(error)
            else:
                request = plan.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        plan.close()  # at once, also when cancelled: it notes what may have been applied


async def _perform(request: Request, link: AsyncLink) -> Any:
    if isinstance(request, Run):
        keys = link.keys_of(request.key)
        tail = (len(keys), *keys, *request.args)
        evaluate = ("EVALSHA", request.script.sha, *tail)
        with suppress(MissingScriptError):
            return await link.call(evaluate, request.key)
        await link.call(("SCRIPT", "LOAD", request.script.source), request.key)
        with suppress(MissingScriptError):
            return await link.call(evaluate, request.key)
        return await link.call(("EVAL", request.script.source, *tail), request.key)
    if isinstance(request, Command):
        return await link.call(request.words, request.key)
    return await asyncio.sleep(request.seconds)


class AsyncPrimaryFinder(Sentinel):
    """See ``blocking.PrimaryFinder``."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return where the primary is; one round trip more than redis-py's own."""
        known = await super().discover_master(service_name)
        first: Any = self.sentinels[0]
        found: tuple[str, int] | None = await first.sentinel_get_master_addr_by_name(service_name)
        return found or known


class AsyncLink:
    """One connection of one event loop, held open, to the right node; one call at a time."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        # One timeout around the whole exchange; redis-py's own makes a task for each write.
        self._options = client_options(address, timeout_s) | {
            "socket_timeout": None,
            "retry": Retry(NoBackoff(), 0),
        }
        self._connection: Any = None
        self._node: tuple[str, int] | None = None
        self._attachment: Attachment | None = None
        self._attaching = threading.Lock()
        self._answered = False

    def keys_of(self, key: str) -> tuple[str, ...]:
        """See ``declared_keys``."""
        return declared_keys(self._address, key)

    async def call(self, words: Words, key: str) -> Any:
        """Send one command about ``key`` and return its reply; see ``blocking.Link``."""
        for _ in range(MOST_REDIRECTS):
            try:
                return await self._exchange(self._connection or await self._open(key), words)
            except exceptions.MovedError as error:  # first: to redis-py it is an AskError
                await self._drop()
                self._node = (error.host, error.port)
            except exceptions.AskError as error:
                return await self._ask(error, words)
        raise ServerUnavailableError(f"{self._address.public}: redirected without end")

    async def close(self) -> None:
        """Close the connection; the next call opens another."""
        await self._drop()
        self._node = None
        if self._address.kind == "embedded":
            await asyncio.to_thread(self._detach)

    async def _exchange(self, connection: Any, words: Words) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.send_command(*words, check_health=False)
                reply = await connection.read_response()
                self._answered = True
                return reply
        except exceptions.AskError:
            raise
        except exceptions.ResponseError as error:
            refusal = translate(error, self._address)
            if is_elsewhere(refusal):
                await self._forget_node()
            raise refusal from error
        except (exceptions.RedisError, OSError) as error:  # a timeout is an OSError
            await self._forget_node()
            raise translate(error, self._address, applied="unknown") from error
        except BaseException:  # cancelled: the late reply would answer the next call
            await self._drop()
            raise

    async def _ask(self, error: exceptions.AskError, words: Words) -> Any:
        """The slot is on its way to another node: ask there, this once."""
        try:
            other = await self._connect((error.host, error.port))
        except (exceptions.RedisError, OSError) as failure:
            raise translate(failure, self._address) from failure
        try:
            await self._exchange(other, ("ASKING",))
            return await self._exchange(other, words)
        except exceptions.AskError as again:  # it went back, or on
            raise translate(again, self._address) from again
        finally:
            await other.disconnect(nowait=True)

    async def _open(self, key: str) -> Any:
        address = self._address
        try:
            if address.kind == "cluster" and self._node is None:
                self._node = await self._primary_of(key)
            if address.kind == "embedded":
                await asyncio.to_thread(self._attach)
            if address.tls and not self._answered:
                await self._shake_hands()
            self._connection = await self._connect(self._node)
        except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as error:
            await self._forget_node()
            hint = None if self._answered else await asyncio.to_thread(tls_hint, error, address)
            if hint:
                message = f"{address.public}: {hint}"
                raise ServerRefusedError(message, code="TLS") from error
            raise translate(error, address) from error
        return self._connection

    async def _shake_hands(self) -> None:
        """Try TLS once with little patience: a plain port keeps silent, and then says so."""
        try:
            probe = await self._connect(self._node, timeout_s=PROBE_S)
        except (TimeoutError, exceptions.TimeoutError):
            await asyncio.to_thread(refuse_plain, self._address)
        else:
            await probe.disconnect(nowait=True)

    async def _connect(self, node: tuple[str, int] | None, timeout_s: float | None = None) -> Any:
        address, limit_s = self._address, timeout_s or self._timeout_s
        sentinels: list[Any] = []
        if address.kind == "sentinel":
            each_s = {"socket_timeout": limit_s, "socket_connect_timeout": limit_s}
            sentinel = AsyncPrimaryFinder(  # type: ignore[no-untyped-call]
                address.hosts,
                sentinel_kwargs=sentinel_options(self._options) | each_s,
                **self._options,
            )
            sentinels = sentinel.sentinels
            limit_s *= len(sentinels) + 2  # one that hangs takes its own, no other's
            client = sentinel.master_for(address.service)
        else:
            socket = self._attachment.socket_path if self._attachment else None
            client = redis.Redis(**endpoint(address, socket, node), **self._options)
        connection: Any = client.connection_pool.make_connection()
        try:
            async with asyncio.timeout(limit_s):
                await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            for each in sentinels:
                await each.aclose()
        return connection

    async def _primary_of(self, key: str) -> tuple[str, int]:
        nodes = [ClusterNode(*host) for host in self._address.hosts]
        client = RedisCluster(startup_nodes=nodes, **self._options)
        try:
            async with asyncio.timeout(self._timeout_s):
                await client.initialize()
            node = client.get_node_from_key(key)
            if node is None:
                raise exceptions.ClusterDownError(f"no node holds the slot of {key}")
            return str(node.host), int(node.port)
        finally:
            await client.aclose()

    def _attach(self) -> None:
        """Start a process or wait for it, hence in a thread; ``close`` also ends what it began."""
        from redis_curriculum._wire.embedded import attach

        path = self._address.path
        with self._attaching:
            if self._attachment:
                self._attachment.ensure_running()
            else:
                self._attachment = attach(Path(path) if path else None)

    def _detach(self) -> None:
        with self._attaching:
            if self._attachment:
                self._attachment.close()
                self._attachment = None

    async def _forget_node(self) -> None:
        await self._drop()
        self._node = None

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(exceptions.RedisError, OSError):
                await connection.disconnect(nowait=True)
