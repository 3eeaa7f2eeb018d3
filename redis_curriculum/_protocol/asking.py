"""Requests that are safe to repeat, sent until a deadline; reads of large keys in steps."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from redis_curriculum._protocol.keys import Keys, as_pattern
from redis_curriculum._protocol.plan import Command, Commands, Plan, Request, Run, Sleep, Words
from redis_curriculum._protocol.records import pairs
from redis_curriculum._protocol.requirements import parse_info
from redis_curriculum._protocol.scripts import Script
from redis_curriculum._protocol.stored import field_of, whole
from redis_curriculum.errors import (
    Applied,
    CurriculumError,
    SequenceGapError,
    ServerRefusedError,
    ServerUnavailableError,
    UnknownCommandError,
)

RETRIABLE_CODES: Final = frozenset(
    {
        "BUSY",
        "READONLY",
        "NOREPLICAS",
        "NOSCRIPT",
        "TRYAGAIN",
        "CLUSTERDOWN",
        "MASTERDOWN",
        "MOVED",
        "ASK",
    }
)
FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 1.0
FIRST_WORD_S: Final = 1.0
"""So long a call waits before the log has a line about it."""
_LOG: Final = logging.getLogger("redis_curriculum")


class Node:
    """One server, or one node of a cluster: what to ask it, and for how long to retry.

    Each method is a plan. It sends requests that read, or that do the same whenever they come.
    """

    def __init__(self, key: str, deadline_s: float, place: tuple[str, int] | None = None) -> None:
        self.key, self.place = key, place
        """Requests go to the node that holds it."""
        self.deadline_s = deadline_s
        """How long one request is retried."""

    def attempts(self, *, unknown: bool = False) -> Attempts:
        """Begin to try one request; ``unknown``: it may have been applied before."""
        return Attempts(self.deadline_s, unknown=unknown)

    def ask(self, request: Request) -> Plan[Any]:
        """Send a request that is safe to repeat. Retry until the deadline."""
        attempts = self.attempts()
        while True:
            try:
                reply = yield request
            except CurriculumError as error:
                yield from attempts.pause(error)
            else:
                attempts.end()
                return reply

    def command(self, *words: str | float) -> Plan[Any]:
        """Send one command."""
        return self.ask(Command(words, self.key, self.place))

    def commands(self, each: Sequence[Words]) -> Plan[list[Any]]:
        """Send several commands that read, in one round trip; texts in the replies are bytes."""
        return self.ask(Commands(each, self.key))

    def info(self, *sections: str) -> Plan[dict[str, str]]:
        """Read INFO, or some of its sections; nothing where a proxy does not know it."""
        try:
            return parse_info((yield from self.command("INFO", *sections)))
        except UnknownCommandError:
            return {}

    def now_ms(self) -> Plan[int]:
        """Read the server's clock."""
        seconds, micros = yield from self.command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def scan(self, command: str, key: str) -> Plan[list[str]]:
        """Collect the flat answer of HSCAN, SSCAN or ZSCAN, in steps of some 500."""
        found: list[str] = []
        cursor = "0"
        while True:
            cursor, part = yield from self.command(command, key, cursor, "COUNT", 500)
            found += part
            if str(cursor) == "0":
                return found

    def scan_hash(self, key: str) -> Plan[dict[str, str]]:
        """Collect a hash, in steps of some 500 fields."""
        return pairs((yield from self.scan("HSCAN", key)))

    def scan_counts(self, key: str) -> Plan[dict[str, int]]:
        """Collect a hash of counts, in steps of some 500 fields."""
        found = yield from self.scan_hash(key)
        return {name: field_of(key, found, name, whole) for name in found}

    def scan_keys(self, prefix: str) -> Plan[list[str]]:
        """Collect the keys that begin with ``prefix``; not sorted.

        Walks over all keys of the node, some 1,000 a call.
        """
        found: set[str] = set()
        cursor = "0"
        while True:
            cursor, part = yield from self.scan_page(cursor, prefix)
            found.update(part)
            if cursor == "0":
                return list(found)

    def scan_page(self, cursor: str, prefix: str) -> Plan[tuple[str, list[str]]]:
        """Look at some 1,000 keys; return the next cursor ("0": done) and those that match."""
        words = ("SCAN", cursor, "MATCH", f"{as_pattern(prefix)}*", "COUNT", 1000)
        cursor, part = yield from self.command(*words)
        return str(cursor), part


class Server(Node):
    """The server of one curriculum: its keys and the deadline, held once for all of its plans."""

    def __init__(self, keys: Keys, deadline_s: float) -> None:
        super().__init__(keys.meta, deadline_s)
        self.keys = keys
        """Those of the generation that the plans believe in."""

    def at(self, generation: int) -> Server:
        """Return the same server, with the keys of another generation."""
        return Server(replace(self.keys, generation=generation), self.deadline_s)

    def request(self, script: Script, *args: Any) -> Run:
        """Make a call of a script; every script takes the generation first."""
        return Run(script, self.key, (self.keys.generation, *args))

    def run(self, script: Script, *args: Any) -> Plan[Any]:
        """Call a script that is safe to repeat."""
        return self.ask(self.request(script, *args))


class Attempts:
    """How long to go on trying one write: exponential back-off with jitter, up to a deadline."""

    def __init__(self, deadline_s: float, *, unknown: bool = False) -> None:
        self._deadline_s = deadline_s
        self._unknown = unknown
        self._has_told = False
        self.progress()

    def progress(self) -> None:
        """Something was done: count from here again."""
        self._since = time.monotonic()
        self._until, self._pause_s = self._since + self._deadline_s, FIRST_PAUSE_S
        self._tell_at = self._since + FIRST_WORD_S

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
        self._tell(error, left)
        pause = self._pause_s * random.uniform(0.5, 1.0)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        yield Sleep(min(pause, left, self._tell_at - time.monotonic()))

    def end(self) -> None:
        """It was answered; say so if the log has said that it was not."""
        if self._has_told:
            _LOG.warning("answered after %.0f s", time.monotonic() - self._since)

    def _tell(self, error: CurriculumError, left: float) -> None:
        """Write a line after the first second, then after twice the time, each time."""
        now = time.monotonic()
        waited = now - self._since
        if now >= self._tell_at:
            self._tell_at, self._has_told = now + waited, True
            _LOG.warning("no answer for %.0f s, trying for another %.0f s: %s", waited, left, error)


def is_retriable(error: CurriculumError) -> bool:
    """Whether the same write, with the same number, may succeed a little later."""
    if isinstance(error, ServerRefusedError):
        return error.code in RETRIABLE_CODES
    return isinstance(error, ServerUnavailableError)
