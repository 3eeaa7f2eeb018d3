"""The blocking link: from a request to a server that answers.

redis-py's retries are off everywhere: only ``_store/once.py`` retries, with the write's own number.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import redis
from redis import exceptions
from redis.cluster import ClusterNode, RedisCluster
from redis.sentinel import Sentinel

from redis_curriculum._protocol.plan import Command, Plan, Request, Run, T, Words
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


class Link(Protocol):
    """A blocking way to the server of one curriculum (or to whoever is its primary now)."""

    def call(self, words: Words, key: str) -> Any:
        """Send one command about ``key`` and return its reply.

        Raises:
            CurriculumError: As ``translate`` says.
        """

    def keys_of(self, key: str) -> tuple[str, ...]:
        """Return the keys to declare for a script on ``key``."""

    def close(self) -> None:
        """Close the connection; the next call opens another."""


def drive(plan: Plan[T], link: Link) -> T:
    """Run a plan to its end over a blocking link and return its result."""
    try:
        request = next(plan)
        while True:
            try:
                reply = _perform(request, link)
            except CurriculumError as error:
                request = plan.throw(error)
            else:
                request = plan.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        plan.close()  # at once, also when interrupted: it notes what may have been applied


def _perform(request: Request, link: Link) -> Any:
    if isinstance(request, Run):
        keys = link.keys_of(request.key)
        tail = (len(keys), *keys, *request.args)
        evaluate = ("EVALSHA", request.script.sha, *tail)
        with suppress(MissingScriptError):
            return link.call(evaluate, request.key)
        link.call(("SCRIPT", "LOAD", request.script.source), request.key)
        with suppress(MissingScriptError):
            return link.call(evaluate, request.key)
        # Flushed in between, or the slot is moving to a node that was not asked to load it.
        return link.call(("EVAL", request.script.source, *tail), request.key)
    if isinstance(request, Command):
        return link.call(request.words, request.key)
    return time.sleep(request.seconds)


class PrimaryFinder(Sentinel):
    """Asks a Sentinel for the address as Redis says that clients should.

    redis-py takes it from SENTINEL MASTERS, where the Sentinel that leads a failover names the old
    primary for about a second more: one that is back by then, perhaps empty, would be written to.
    """

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return where the primary is; one round trip more than redis-py's own."""
        # The Sentinel that answered stands first afterwards.
        known: tuple[str, int] = super().discover_master(service_name)  # type: ignore[no-untyped-call]
        first: Any = self.sentinels[0]
        found: tuple[str, int] | None = first.sentinel_get_master_addr_by_name(service_name)
        return found or known


class DirectLink:
    """One connection, held open (a pool would check it on every call), to the right node."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._options = client_options(address, timeout_s)
        self._connection: Any = None
        self._node: tuple[str, int] | None = None
        self._attachment: Attachment | None = None
        self._answered = False

    def keys_of(self, key: str) -> tuple[str, ...]:
        """See ``declared_keys``."""
        return declared_keys(self._address, key)

    def call(self, words: Words, key: str) -> Any:
        """See ``Link``."""
        for _ in range(MOST_REDIRECTS):
            try:
                return self._exchange(self._connection or self._open(key), words)
            except exceptions.MovedError as error:  # first: to redis-py it is an AskError
                self._drop()
                self._node = (error.host, error.port)
            except exceptions.AskError as error:
                return self._ask(error, words)
        raise ServerUnavailableError(f"{self._address.public}: redirected without end")

    def _exchange(self, connection: Any, words: Words) -> Any:
        try:
            # All as text: hiredis crashes the process if Ctrl-C comes while it writes a number.
            text = [word if isinstance(word, (str, bytes)) else repr(word) for word in words]
            connection.send_command(*text, check_health=False)
            reply = connection.read_response()
            self._answered = True
            return reply
        except exceptions.AskError:
            raise
        except exceptions.ResponseError as error:
            refusal = translate(error, self._address)
            if is_elsewhere(refusal):
                self._drop()
                self._node = None
            raise refusal from error
        except (exceptions.RedisError, OSError) as error:
            self._drop()
            self._node = None
            raise translate(error, self._address, applied="unknown") from error
        except BaseException:  # interrupted: the late reply would answer the next call
            self._drop()
            raise

    def _ask(self, error: exceptions.AskError, words: Words) -> Any:
        """The slot is on its way to another node: ask there, this once."""
        try:
            other = self._pool((error.host, error.port)).get_connection()
        except (exceptions.RedisError, OSError) as failure:
            raise translate(failure, self._address) from failure
        try:
            self._exchange(other, ("ASKING",))
            return self._exchange(other, words)
        except exceptions.AskError as again:  # it went back, or on
            raise translate(again, self._address) from again
        finally:
            other.disconnect()

    def close(self) -> None:
        """See ``Link``."""
        self._drop()
        self._node = None
        if self._attachment:
            self._attachment.close()
            self._attachment = None

    def _open(self, key: str) -> Any:
        address = self._address
        try:
            if address.kind == "cluster" and self._node is None:
                self._node = self._primary_of(key)
            if address.tls and not self._answered:
                self._shake_hands()
            self._connection = self._pool(self._node).get_connection()
        except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as error:
            self.close()
            if not self._answered and (hint := tls_hint(error, address)):
                message = f"{address.public}: {hint}"
                raise ServerRefusedError(message, code="TLS") from error
            raise translate(error, address) from error
        return self._connection

    def _shake_hands(self) -> None:
        """Try TLS once with little patience: a plain port keeps silent, and then says so."""
        pool = self._pool(self._node)
        pool.connection_kwargs["socket_timeout"] = PROBE_S
        try:
            pool.get_connection().disconnect()
        except exceptions.TimeoutError:
            refuse_plain(self._address)

    def _primary_of(self, key: str) -> tuple[str, int]:
        nodes = [ClusterNode(*host) for host in self._address.hosts]  # type: ignore[no-untyped-call]
        client = RedisCluster(startup_nodes=nodes, **self._options)
        try:
            node = client.get_node_from_key(key)  # type: ignore[no-untyped-call]
            return node.host, node.port
        finally:
            client.close()

    def _pool(self, node: tuple[str, int] | None) -> Any:
        address = self._address
        if address.kind == "sentinel":
            sentinel = PrimaryFinder(  # type: ignore[no-untyped-call]
                address.hosts, sentinel_kwargs=sentinel_options(self._options), **self._options
            )
            primary = sentinel.master_for(address.service)  # type: ignore[no-untyped-call]
            return primary.connection_pool
        if self._attachment:
            self._attachment.ensure_running()
        elif address.kind == "embedded":
            from redis_curriculum._wire.embedded import attach

            self._attachment = attach(Path(address.path) if address.path else None)
        path = self._attachment.socket_path if self._attachment else None
        return redis.Redis(**endpoint(address, path, node), **self._options).connection_pool

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(exceptions.RedisError, OSError):
                connection.disconnect()
