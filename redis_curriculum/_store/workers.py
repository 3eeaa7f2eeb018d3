"""Who works on a curriculum, as its keys say."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.records import pairs


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
    """Every worker that is known (or whose lease holds), oldest first; one round trip each."""
    keys = server.keys
    leases = pairs((yield from server.scan("ZSCAN", keys.workers)))
    now = yield from server.now_ms()
    rows = []
    for worker_id, lease_end in leases.items():
        left = _whole(lease_end) - now
        if live_only and left < 0:
            continue
        words = ("HMGET", keys.worker(worker_id), "host", "pid", "sequence", "started")
        host, *numbers = yield from server.command(*words)
        if host is None:
            continue  # it has left meanwhile
        pid, sequence, started = map(_whole, numbers)
        rows.append(WorkerRow(worker_id, host, pid, sequence, started, left, left >= 0))
    return sorted(rows, key=lambda row: (row.started_ms, row.worker_id))
