"""Requests that are safe to repeat, sent until a deadline; reads of large keys in steps."""

from __future__ import annotations

import random
import time
from typing import Any, Final

from redis_curriculum._protocol.plan import Command, Plan, Request, Sleep
from redis_curriculum._protocol.records import pairs
from redis_curriculum.errors import (
    Applied,
    CurriculumError,
    SequenceGapError,
    ServerRefusedError,
    ServerUnavailableError,
)

RETRIABLE_CODES: Final = frozenset(
    {"BUSY", "READONLY", "NOREPLICAS", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "MOVED", "ASK"}
)


def is_retriable(error: CurriculumError) -> bool:
    """Whether the same write, with the same number, may succeed a little later."""
    if isinstance(error, ServerRefusedError):
        return error.code in RETRIABLE_CODES
    return isinstance(error, ServerUnavailableError)


FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 1.0


def ask(request: Request, deadline_s: float) -> Plan[Any]:
    """Send what changes nothing, or the same whenever it comes; again until the deadline."""
    attempts = Attempts(deadline_s)
    while True:
        try:
            return (yield request)
        except CurriculumError as error:
            yield from attempts.pause(error)


def scan(command: str, key: str, deadline_s: float) -> Plan[list[str]]:
    """Collect the flat answer of HSCAN, SSCAN or ZSCAN, in steps of some 500."""
    found: list[str] = []
    cursor = "0"
    while True:
        words = (command, key, cursor, "COUNT", 500)
        cursor, part = yield from ask(Command(words, key), deadline_s)
        found += part
        if str(cursor) == "0":
            return found


def scan_hash(key: str, deadline_s: float) -> Plan[dict[str, str]]:
    """Collect a hash, in steps of some 500 fields."""
    return pairs((yield from scan("HSCAN", key, deadline_s)))


def scan_counts(key: str, deadline_s: float) -> Plan[dict[str, int]]:
    """Collect a hash of counts, in steps of some 500 fields."""
    found = yield from scan_hash(key, deadline_s)
    return {name: int(count) for name, count in found.items()}


def server_now_ms(key: str, deadline_s: float) -> Plan[int]:
    """Ask the node that holds ``key`` for its time."""
    seconds, micros = yield from ask(Command(("TIME",), key), deadline_s)
    return int(seconds) * 1000 + int(micros) // 1000


def scan_keys(prefix: str, key: str, deadline_s: float) -> Plan[list[str]]:
    """Collect the keys that begin with ``prefix`` from the node that holds ``key``; not sorted.

    Walks over all keys of that node, some 1,000 a call.
    """
    found: set[str] = set()
    cursor = "0"
    while True:
        words = ("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", 1000)
        cursor, part = yield from ask(Command(words, key), deadline_s)
        found.update(part)
        if str(cursor) == "0":
            return list(found)


class Attempts:
    """How long to go on trying one write: exponential back-off with jitter, up to a deadline."""

    def __init__(self, deadline_s: float, *, unknown: bool = False) -> None:
        self._deadline_s = deadline_s
        self._unknown = unknown
        self.progress()

    def progress(self) -> None:
        """Something was done: count from here again."""
        self._until, self._pause_s = time.monotonic() + self._deadline_s, FIRST_PAUSE_S

    def note(self, error: CurriculumError) -> Applied:
        """Once one attempt may have been applied, the write may have been."""
        self._unknown = self._unknown or error.applied == "unknown"
        return "unknown" if self._unknown else "no"

    def pause(self, error: CurriculumError) -> Plan[None]:
        """Wait before the next try, or raise ``error`` where there is none."""
        error.applied = self.note(error)
        left = self._until - time.monotonic()
        if left <= 0 or not (isinstance(error, SequenceGapError) or is_retriable(error)):
            raise error
        pause = self._pause_s * random.uniform(0.5, 1.0)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        yield Sleep(min(pause, left))
