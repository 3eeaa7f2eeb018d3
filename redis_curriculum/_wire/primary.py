"""Where the primary is, as Sentinels or the nodes of a cluster know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis import exceptions
from redis.crc import key_slot

from redis_curriculum._wire.options import at, sentinel_options
from redis_curriculum._wire.refusals import text_of
from redis_curriculum._wire.steps import FAILURES, Node, Steps, converse
from redis_curriculum._wire.urls import Address
from redis_curriculum.errors import ServerUnavailableError

Connecting = Callable[[dict[str, Any]], Steps[Any]]
"""Opens a connection with redis-py's arguments."""


def find_primary(
    address: Address, hosts: list[Node], key: str, options: dict[str, Any], connecting: Connecting
) -> Steps[Node]:
    """Ask the hosts of a URL, one after the other, for the primary that holds ``key``.

    A host that hangs costs its own time-out and no other's. Whoever knows is the first of ``hosts``
    afterwards.

    Raises:
        ResponseError, AuthenticationError: Every host refuses.
        ServerUnavailableError: None of them knows; says why, host by host.
    """
    failures: list[Exception] = []
    for host in hosts:
        try:
            if address.kind == "sentinel":
                connection = yield from connecting(sentinel_options(options) | at(host))
                node = yield from _named_by_sentinel(connection, address.service)
            else:
                connection = yield from connecting(options | at(host))
                node = yield from _owner_of_slot(connection, key_slot(key.encode()), host[0])
        except FAILURES as error:
            failures.append(error)
        else:
            hosts.remove(host)
            hosts.insert(0, host)
            return node
    refusals = (exceptions.ResponseError, exceptions.AuthenticationError)
    if all(isinstance(error, refusals) for error in failures):
        raise failures[0]
    said = [f"{host}:{port}: {text_of(e)}" for (host, port), e in zip(hosts, failures, strict=True)]
    raise ServerUnavailableError(f"{address.public}: nobody knows the primary; {'; '.join(said)}")


def _named_by_sentinel(connection: Any, service: str) -> Steps[Node]:
    """Ask one Sentinel as Redis says that clients should, and whether it thinks the primary is up.

    SENTINEL MASTER alone would not do. The Sentinel that leads a failover names the old primary
    there for about a second more: if that is back by then, perhaps empty, it would be written to.
    """
    asked = [("SENTINEL", word, service) for word in ("MASTER", "GET-MASTER-ADDR-BY-NAME")]
    state, named = yield from converse(connection, *asked)
    flags = dict(zip(state[::2], state[1::2], strict=True))["flags"].split(",")
    if named is None or {"s_down", "o_down"}.intersection(flags):
        raise exceptions.ConnectionError(f"the primary of {service!r} is down")
    return named[0], int(named[1])


def _owner_of_slot(connection: Any, slot: int, asked: str) -> Steps[Node]:
    """Ask one node of a cluster. One that does not know its own name leaves it out."""
    (ranges,) = yield from converse(connection, ("CLUSTER", "SLOTS"))
    for first, last, (host, port, *_), *_ in ranges:
        if first <= slot <= last:
            return host or asked, port
    raise exceptions.ConnectionError(f"no node holds slot {slot}")
