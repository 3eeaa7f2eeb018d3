"""Who works on a curriculum, as its keys say."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.records import pairs
from redis_curriculum._protocol.stored import decoded

_CHUNK: Final = 500
_FIELDS: Final = ("host", "pid", "sequence", "started")


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker; a negative ``lease_left_ms`` says how long ago its lease ended."""

    worker_id: str
    host: str
    pid: int
    sequence: int
    started_ms: int
    lease_left_ms: int
    live: bool


def _whole(text: str | None) -> int:
    """Return a number; 0 where somebody has written something else."""
    with suppress(ValueError, OverflowError):
        return int(float(text or 0))
    return 0


def workers(server: Server, *, live_only: bool = False) -> Plan[list[WorkerRow]]:
    """Every worker that is known (or whose lease holds), oldest first; 500 in a round trip."""
    keys = server.keys
    leases = pairs((yield from server.scan("ZSCAN", keys.workers)))
    now = yield from server.now_ms()
    left = {worker_id: _whole(end) - now for worker_id, end in leases.items()}
    ids = [worker_id for worker_id in left if not live_only or left[worker_id] >= 0]
    rows = []
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        words = [("HMGET", keys.worker(each), *_FIELDS) for each in chunk]
        for worker_id, found in zip(chunk, (yield from server.commands(words)), strict=True):
            host, *numbers = (None if data is None else decoded(data) for data in found)
            if host is None:
                continue  # it has left meanwhile
            pid, sequence, started = map(_whole, numbers)
            left_ms = left[worker_id]
            row = WorkerRow(worker_id, host, pid, sequence, started, left_ms, left_ms >= 0)
            rows.append(row)
    return sorted(rows, key=lambda row: (row.started_ms, row.worker_id))
