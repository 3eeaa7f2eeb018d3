"""Create a curriculum, or find the one that is there."""

from __future__ import annotations

import secrets
from typing import Any

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import SCHEMA
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum._store.contracts import OPEN
from redis_curriculum._store.names import announce
from redis_curriculum._store.variant import packed_hypers
from redis_curriculum.config.curriculum import CurriculumConfig


def found(server: Server) -> Plan[list[Any]]:
    """Return what ``open.lua`` answers about a curriculum, [] if there is none. One round trip."""
    answer: list[Any] = yield from server.run(OPEN, SCHEMA, "", "", "", "", "")
    return answer


def created(server: Server, config: CurriculumConfig) -> Plan[list[Any]]:
    """Create a curriculum. Three round trips.

    If another process creates it at the same time, the answer describes the other's curriculum.
    """
    yield from announce(server)
    state = RandomStream.from_seed(config.seed).text
    own = [config.to_json(), config.sha256(), packed_hypers(config), state, secrets.token_hex(8)]
    answer: list[Any] = yield from server.run(OPEN, SCHEMA, *own)
    return answer
