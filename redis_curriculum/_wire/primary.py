"""What Sentinels and the nodes of a cluster are asked, to know where the primary is."""

from __future__ import annotations

from typing import Any

from redis import exceptions
from redis.crc import key_slot

from redis_curriculum._wire.options import Place
from redis_curriculum._wire.steps import Steps, converse


def named_by_sentinel(connection: Any, service: str) -> Steps[Place]:
    """Ask one Sentinel as Redis says that clients should, and whether it thinks the primary is up.

    SENTINEL MASTER alone would not do. The Sentinel that leads a failover names the old primary
    there for about a second more: if that is back by then, perhaps empty, it would be written to.
    """
    asked = [("SENTINEL", word, service) for word in ("MASTER", "GET-MASTER-ADDR-BY-NAME")]
    state, named = yield from converse(connection, *asked)
    flags = dict(zip(state[::2], state[1::2], strict=True))["flags"].split(",")
    if named is None or {"s_down", "o_down"}.intersection(flags):
        raise exceptions.ConnectionError(f"the primary of {service!r} is down")
    return {"host": named[0], "port": int(named[1])}


def owner_of_slot(connection: Any, key: str, asked: Place) -> Steps[Place]:
    """Ask one node of a cluster; one that does not know its own name leaves it out."""
    (ranges,) = yield from converse(connection, ("CLUSTER", "SLOTS"))
    slot = key_slot(key.encode())
    for first, last, (host, port, *_), *_ in ranges:
        if first <= slot <= last:
            return {"host": host or asked["host"], "port": port}
    raise exceptions.ConnectionError(f"no node holds slot {slot}")
