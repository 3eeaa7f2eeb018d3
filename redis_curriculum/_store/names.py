"""The index of a server's curricula: their names, so that nobody walks over all keys to list them.

A sorted set beside the curricula (``keys.index_of``): name -> when somebody was about to create
it, ms of the server's clock. In a cluster it may lie on another node than a curriculum, so no
script can change both. Hence the order: a name is added first, then its curriculum is created or
restored. A process that is killed in between leaves a name without a curriculum. Whoever reads the
index looks at each curriculum, and leaves such a name out; ``gc`` removes it some days later.
"""

from __future__ import annotations

import warnings

from redis_curriculum._protocol.asking import Node, Server
from redis_curriculum._protocol.keys import index_of
from redis_curriculum._protocol.plan import Plan
from redis_curriculum.errors import KeyTypeError, PermissionDeniedError, ServerWarning


def announce(server: Server) -> Plan[None]:
    """Add the name of a curriculum that is about to be created. Two round trips.

    A user who may not do that is warned, and may still create it.
    """
    name, index = server.keys.name, Node(index_of(server.keys.key_prefix), server.deadline_s)
    now = yield from server.now_ms()
    try:
        yield from index.command("ZADD", index.key, now, name)
    except (PermissionDeniedError, KeyTypeError):
        message = (
            f"the name {name!r} cannot be added to the index {index.key}: `redis-curriculum list`"
            " shows it only after the next `redis-curriculum gc`; `redis-curriculum acl NAME`"
            " prints the rights that a worker needs"
        )
        warnings.warn(message, ServerWarning, stacklevel=2)
