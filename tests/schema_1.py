"""Curricula as version 0.1.0 left them, put onto a server key by key (``fixtures/schema_1.py``)."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from redis_curriculum._protocol.keys import Keys

FILE = Path(__file__).parent / "fixtures" / "schema-1.json.gz"
NAMES = ("labels", "tasks", "bonus", "usual", "uniform", "empty")


@cache
def fixture(which: str) -> dict[str, Any]:
    """One curriculum: keys, snapshot, the tasks drawn next, the snapshot after these."""
    found: dict[str, Any] = json.loads(gzip.decompress(FILE.read_bytes()))[which]
    return found


def snapshot_of(which: str, folder: Path, when: str = "snapshot") -> Path:
    """The old library's snapshot of that state, or of the one ``after`` the draws."""
    path = folder / f"{which}-{when}.rcs"
    path.write_bytes(base64.b64decode(fixture(which)[when]))
    return path


def plant(client: Any, which: str, name: str) -> None:
    """Write every key of a curriculum under another name; the leases of its workers have ended."""
    write: dict[str, Callable[[str, Any], object]] = {
        "hash": lambda key, value: client.hset(key, mapping=value),
        "set": lambda key, value: client.sadd(key, *value),
        "zset": lambda key, value: client.zadd(key, dict(value)),
        "stream": lambda key, value: [client.xadd(key, fields, id=at) for at, fields in value],
        "string": lambda key, value: client.set(key, bytes.fromhex(value)),
    }
    prefix = Keys(name).prefix
    for short, (kind, value) in fixture(which)["keys"].items():
        write[kind](prefix + short, [(w, 1) for w, _ in value] if short == "workers" else value)


def dump(client: Any, name: str) -> dict[str, Any]:
    """Every key of a curriculum, to the last bit, and when it expires."""
    prefix = Keys(name).prefix
    read: dict[str, Callable[[str], Any]] = {
        "hash": client.hgetall,
        "set": client.smembers,
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        "stream": client.xrange,
        "string": client.get,
    }
    found = {}
    for key in sorted(client.scan_iter(f"{prefix}*", count=1000)):
        kind = client.type(key)
        if kind != "none":  # expired meanwhile
            found[key.removeprefix(prefix)] = (kind, read[kind](key), client.ttl(key) < 0)
    return found
