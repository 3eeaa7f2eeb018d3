"""Which curricula are on a server: from the index of names, or by a walk over all keys.

The index (``_store/names.py``) is complete once one walk has filled it; its member ``*`` says so.
Curricula that are older than the index are found by that walk. What a failover takes from the index
alone, or what a library adds that does not know it (version 0.1), the next ``gc`` puts back.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from redis_curriculum._protocol.asking import Node
from redis_curriculum._protocol.keys import ROOT, Keys, index_of
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.records import pairs
from redis_curriculum._values.rules import NAME
from redis_curriculum._wire.urls import Address
from redis_curriculum.errors import KeyTypeError, PermissionDeniedError, ServerError

COMPLETE: Final = "*"
"""The member that is no name: a walk has filled the index."""
_KEPT_MS: Final = 2 * 86_400_000  # no call is retried longer than one day
_CHUNK: Final = 500
_KEY: Final = re.compile(rf"{re.escape(ROOT)}\{{({NAME})\}}:(.*)", re.DOTALL)


def split(key: str, key_prefix: str) -> tuple[str, str] | None:
    """Return a key's curriculum and what stands behind its prefix; None: it is not ours."""
    match = _KEY.fullmatch(key, len(key_prefix))
    return (match[1], match[2]) if match else None


def nodes(address: Address, deadline_s: float) -> Plan[list[Node]]:
    """Return the nodes that hold keys: the server, or every primary of a cluster."""
    key = index_of(address.prefix)
    if address.kind != "cluster":
        return [Node(key, deadline_s)]
    slots = yield from Node(key, deadline_s).command("CLUSTER", "SLOTS")
    here = address.hosts[0][0]  # a node that does not know its own name says ''
    places = sorted({(row[2][0] or here, int(row[2][1])) for row in slots})
    return [Node(key, deadline_s, place) for place in places]


def names(address: Address, deadline_s: float) -> Plan[list[str]]:
    """Return the names of the curricula that this user may read, sorted.

    One round trip, and one for each name. Where the index is not complete, a walk over all keys
    comes first, 1,000 a round trip; it completes the index if this user may write it.
    """
    found = []
    for name in (yield from candidates(address, deadline_s)):
        meta = Keys(name, key_prefix=address.prefix).meta
        with suppress(PermissionDeniedError):
            found += [name] if (yield from Node(meta, deadline_s).command("EXISTS", meta)) else []
    return found


def candidates(address: Address, deadline_s: float) -> Plan[list[str]]:
    """Return the names that may have a curriculum, sorted; the caller has to look."""
    index = Node(index_of(address.prefix), deadline_s)
    with suppress(PermissionDeniedError, KeyTypeError):
        known = yield from _read(index)
        if COMPLETE in known:
            return sorted(known.keys() - {COMPLETE})
    found = set()
    for node in (yield from nodes(address, deadline_s)):
        for key in (yield from node.scan_keys(f"{address.prefix}{ROOT}{{")):
            place = split(key, address.prefix)
            found |= {place[0]} if place else set()
    with suppress(ServerError):  # a replica, a viewer: the next caller walks again
        yield from _add(Node(index.key, 0), found)
    return sorted(found)


def tidy(address: Address, deadline_s: float, live: Collection[str]) -> Plan[None]:
    """Make the index agree with what a walk over all keys has found.

    A name without a curriculum goes once it is two days old. By then nobody is about to create it:
    who tries again, adds it again. Nothing happens if this user may not write the index.
    """
    index = Node(index_of(address.prefix), deadline_s)
    with suppress(PermissionDeniedError, KeyTypeError):
        oldest = (yield from index.now_ms()) - _KEPT_MS
        unseen = []
        for name, added in (yield from _read(index)).items():
            if name not in live and name != COMPLETE and float(added) < oldest:
                meta = Keys(name, key_prefix=address.prefix).meta
                there = yield from Node(meta, deadline_s).command("EXISTS", meta)
                unseen += [name] if there else []  # its slot was moving during the walk
        yield from _add(index, [*live, *unseen])
        yield from index.command("ZREMRANGEBYSCORE", index.key, "-inf", f"({oldest}")


def _read(index: Node) -> Plan[dict[str, str]]:
    return pairs((yield from index.scan("ZSCAN", index.key)))


def _add(index: Node, found: Collection[str]) -> Plan[None]:
    """Add names, or say that they are still there; last that the index is complete."""
    now = yield from index.now_ms()
    each = [*sorted(found), COMPLETE]
    for start in range(0, len(each), _CHUNK):
        words = [word for name in each[start : start + _CHUNK] for word in (now, name)]
        yield from index.command("ZADD", index.key, *words)
