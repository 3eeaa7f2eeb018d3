"""Wait for a worker's name that another process holds."""

from __future__ import annotations

import logging
import time
from typing import Final

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.plan import Plan, Sleep
from redis_curriculum._store.process import is_dead
from redis_curriculum.errors import WorkerInUseError

_POLL_S: Final = 0.25
_FIELDS: Final = ("host", "pid", "machine", "born", "started")
_LOG: Final = logging.getLogger("redis_curriculum")


class Waiting:
    """How long one registration has waited for its name."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._until = time.monotonic() + server.deadline_s
        self._has_told = False

    def for_name(self, worker_id: str) -> Plan[str]:
        """Return which holder's place may be taken now: one whose process has ended; else empty.

        Raises:
            WorkerInUseError: The deadline has passed; the message says how long the lease runs.
        """
        keys = self._server.keys
        found = yield from self._server.command("HMGET", keys.worker(worker_id), *_FIELDS)
        lease_end = yield from self._server.command("ZSCORE", keys.workers, worker_id)
        left_s = (float(lease_end or 0) - (yield from self._server.now_ms())) / 1000
        holder = {name: text or "" for name, text in zip(_FIELDS, found, strict=True)}
        if holder["pid"] and is_dead(holder):
            return holder["started"]
        said = (
            f"worker id {worker_id!r} belongs to another process (host {holder['host']}, pid"
            f" {holder['pid']}), whose lease runs for another {max(0.0, left_s):.0f} s"
        )
        if time.monotonic() >= self._until:
            raise WorkerInUseError(
                f"{said}; if it has ended, wait, or open with WorkerSettings(take_over=True)"
            )
        if not self._has_told:
            self._has_told = True
            _LOG.info("waiting for a name: %s", said)
        yield Sleep(min(_POLL_S, max(0.0, self._until - time.monotonic())))
        return ""
