"""One handle's identity and its numbered writes: each is applied once, whatever is retried.

Every write carries the worker's id and the next number. The script applies it if the number is the
next, answers "repeated" if it was applied before, and refuses a gap. So a write whose reply was
lost is sent again with the same number, until a deadline; and writes that the server lost in a
failover are replayed, in order, from a bounded buffer of the last ones.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from redis_curriculum._protocol.asking import Attempts, ask
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._protocol.plan import Command, Plan, Request, Run
from redis_curriculum._protocol.requirements import Finding, audit, enforce, parse_info
from redis_curriculum._protocol.scripts import Script
from redis_curriculum._store.contracts import LEAVE, REGISTER, RENEW, RESUME
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.errors import (
    CurriculumError,
    CurriculumNotFoundError,
    EpochError,
    IndexTakenError,
    KeyTypeError,
    LostWritesWarning,
    PermissionDeniedError,
    SequenceGapError,
    ServerError,
    StaleGenerationError,
    WorkerError,
    WorkerFencedError,
)

_LEAVING_S: Final = 0.25
RENEWALS_PER_LEASE: Final = 3
_LIVES: Final = 2**20
_WRITES_PER_LIFE: Final = 2**32
"""A number stays below 2**53, where a script's doubles are exact."""

Argument = str | bytes | int | float


@dataclass(slots=True)
class Write:
    """One write as it can be sent again; whoever made it keeps it until its answer is taken."""

    script: Script
    args: Sequence[Argument]
    """Those after generation, worker, sequence, lease_ms."""
    number: int = 0
    """0: not sent, or known not to be applied. Otherwise it is answered or pending."""
    reply: Any = None


class Worker:
    """A worker's id, lease and numbers; its methods are plans. Not shared by handles."""

    def __init__(self, keys: Keys, settings: WorkerSettings) -> None:
        self.keys = keys
        self.settings = settings
        self._pending: Write | None = None
        self._run_id, self._known = "", list[Finding]()
        self.lost_writes = 0
        """Acknowledged writes that the server lost and that could not be replayed."""
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget who this was: after a fork, or to become another worker."""
        named = self.settings.worker_id
        self.worker_id = named or f"w-{secrets.token_hex(8)}"
        self._token, self._previous = secrets.token_hex(8), ""
        self.is_registered = False
        self._lease_from, self._reaped = 0.0, 0
        # What an earlier life of a named worker still has on its way must not pass for ours.
        self._first = secrets.randbelow(_LIVES) * _WRITES_PER_LIFE if named else 0
        self.sequence = self._first
        if self._pending:
            self._pending.number = 0
        self._pending = None
        self._buffer: deque[Write] = deque(maxlen=self.settings.replay_buffer)

    def meet(self, info: Mapping[str, str]) -> None:
        """Note which run of which server this worker's writes go to, and how that is set up."""
        self._run_id, self._known = info.get("run_id", ""), audit(info, fixed=False)

    def write(self, script: Script, args: Sequence[Argument], *, leased: bool = True) -> Plan[Any]:
        """Send a write that is not kept: one equal to a pending write is that write."""
        write = self._pending
        if write is None or (write.script, list(write.args)) != (script, list(args)):
            write = Write(script, args)
        return (yield from self.send(write, leased=leased))

    def send(self, write: Write, *, leased: bool = True) -> Plan[Any]:
        """Send a write until it is answered; one round trip where nothing fails.

        The same write may be sent again after any error or interruption, also after others: it is
        applied once, and its first answer stays. If another write is pending, that one is settled
        first, so that the numbers have no gap.

        Raises:
            ServerError: Not answered before the deadline, or refused; see ``applied``.
            WorkerFencedError: The lease ended; ``register()`` makes this handle a new worker.
            StaleGenerationError: A restore replaced the state.
        """
        if write.reply is None:
            if not self.is_registered:
                yield from self._register()
            if self._pending is not None and self._pending is not write:
                yield from self._settle(self._pending)
            yield from self._send(write, leased=leased)
        return write.reply

    def remember(self, write: Write, args: Sequence[Argument]) -> None:
        """Replace the arguments with which a write would be replayed."""
        for kept in reversed(self._buffer):
            if kept.number <= write.number:
                if kept.args is write.args:  # not another of that number, since register()
                    kept.args = args
                return

    def ask(self, request: Request) -> Plan[Any]:
        """Send what changes nothing, or the same whenever it comes; again until the deadline."""
        return ask(request, self.settings.retry_deadline_s)

    def register(self) -> Plan[None]:
        """Make this handle a new worker at once; what was pending or to be replayed is given up."""
        yield from self.leave()
        previous = self._token
        self.begin_anew()
        self._previous = previous  # should that goodbye be late or lost
        yield from self._register()

    def leave(self) -> Plan[None]:
        """Take the worker's entry away, if that can be done at once; never fails.

        What the server turns out to have lost is replayed first.
        """
        if not self.is_registered:
            return
        self.is_registered = False
        attempts = Attempts(_LEAVING_S)
        args = [self.keys.generation, self.worker_id, self._token, self.sequence]
        with suppress(CurriculumError):  # the lease will end by itself
            while True:
                try:
                    yield Run(LEAVE, self.keys.meta, args)
                except SequenceGapError as gap:
                    yield from self._replay(gap, attempts)
                except CurriculumError as error:
                    yield from attempts.pause(error)
                else:
                    return

    def renew(self) -> Plan[None]:
        """Renew the lease, without a write; for episodes that are longer than the lease."""
        if not self.is_registered:
            yield from self._register()
            return
        attempts = Attempts(self.settings.retry_deadline_s)
        while True:
            started = time.monotonic()
            head = (self.keys.generation, self.worker_id, self.sequence, self.settings.lease_ms)
            try:
                info = yield from self._audit()
                yield Run(RENEW, self.keys.meta, head)
            except CurriculumError as error:
                yield from self._mend(error, attempts)
            else:
                self._lease_from = started
                self.meet(info)
                return

    def _register(self) -> Plan[None]:
        lease_ms, host = self.settings.lease_ms, socket.gethostname()[:64]
        identity = [self.keys.generation, self.worker_id, self._token, self._previous]
        args = [*identity, self._first, lease_ms, host, os.getpid()]
        started = time.monotonic()
        last, self._reaped = yield from self.ask(Run(REGISTER, self.keys.meta, args))
        self.sequence = self.sequence if self.is_registered else last
        self.is_registered, self._lease_from = True, started

    def _audit(self) -> Plan[dict[str, str]]:
        """Look at the server again, with each renewal: its settings may have changed meanwhile."""
        try:
            info = parse_info((yield Command(("INFO",), self.keys.meta)))
        except CurriculumError as error:
            error.applied = "no"  # the write that follows has not been sent
            raise
        news = [finding for finding in audit(info, fixed=False) if finding not in self._known]
        enforce(news, f"the server of curriculum {self.keys.name!r}")
        return info

    def _settle(self, pending: Write) -> Plan[None]:
        """Find out what became of a write whose outcome stayed unknown: now it is applied."""
        try:
            yield from self._send(pending, leased=True)
        except (ServerError, WorkerError, StaleGenerationError, CurriculumNotFoundError):
            raise
        except CurriculumError:
            pass  # the script looked and refused: it was not applied, nor is it now

    def _send(self, write: Write, *, leased: bool) -> Plan[None]:
        """Send and number one write; an interruption at any line finds it either way whole."""
        attempts = Attempts(self.settings.retry_deadline_s, unknown=write.number > 0)
        while True:
            started = time.monotonic()
            due = leased and self._lease_is_due(started)
            lease_ms = self.settings.lease_ms if due else 0
            if not write.number:
                write.number, self._pending = self.sequence + 1, write
            head = (self.keys.generation, self.worker_id, write.number, lease_ms)
            try:
                info = (yield from self._audit()) if due else None
                reply = yield Run(write.script, self.keys.meta, (*head, *write.args))
            except CurriculumError as error:
                # A script that was cut short is not sent again: its half would be added twice.
                stops = isinstance(error, (KeyTypeError, PermissionDeniedError))
                cut_short = stops and error.applied == "unknown"
                looked = cut_short or not isinstance(error, ServerError)
                if attempts.note(error) == "no" or looked:
                    write.number, self._pending = 0, None
                yield from self._mend(error, attempts)
            else:
                if info is not None:
                    self._lease_from = started
                    self.meet(info)
                self._buffer.append(Write(write.script, write.args, write.number))
                write.reply, self.sequence, self._pending = reply, write.number, None
                return

    def _mend(self, error: CurriculumError, attempts: Attempts) -> Plan[None]:
        """Make up for what the server lost, or wait for the next try, or raise ``error``."""
        if isinstance(error, SequenceGapError):
            yield from self._replay(error, attempts)
        elif not isinstance(error, WorkerFencedError) or not (yield from self._was_forgotten()):
            yield from attempts.pause(error)

    def _was_forgotten(self) -> Plan[bool]:
        """Enter again, and answer True, if the server lost this worker with its last writes.

        Only one that was started again, or another one, can have; and it has if the worker's entry
        is not there, though nobody was reaped since it came. In doubt its writes stand.
        """
        entry = self.keys.worker(self.worker_id)
        if (yield from self.ask(Command(("EXISTS", entry), self.keys.meta))):
            return False
        info = parse_info((yield from self.ask(Command(("INFO", "server"), self.keys.meta))))
        words = ("HGET", self.keys.meta, "reaped_count")
        reaped = int((yield from self.ask(Command(words, self.keys.meta))) or 0)
        if info.get("run_id", "") == self._run_id or reaped > self._reaped:
            return False
        self._run_id = info.get("run_id", "")
        first = self._buffer[0].number if self._buffer else self.sequence + 1
        lost, self._first = first - 1 - self._first, first - 1
        yield from self._register()  # the next call finds the gap and replays the rest
        if lost:
            self._report_lost(lost)
        return True

    def _lease_is_due(self, now: float) -> bool:
        return (now - self._lease_from) * 1000 * RENEWALS_PER_LEASE >= self.settings.lease_ms

    def _replay(self, gap: SequenceGapError, attempts: Attempts) -> Plan[None]:
        """Send again what the server lost, in order; skip and count what is no longer held."""
        held = [write for write in self._buffer if write.number > gap.last]
        first = held[0].number if held else self.sequence + 1
        try:
            if first > gap.last + 1:
                yield from self._skip(gap.last, first - 1)
                self._report_lost(first - 1 - gap.last)
            for write in held:
                head = (self.keys.generation, self.worker_id, write.number, 0)
                try:
                    yield Run(write.script, self.keys.meta, (*head, *write.args))
                    attempts.progress()
                except EpochError:  # another trainer has ended that epoch: nothing is missing
                    yield from self._skip(write.number - 1, write.number)
                except IndexTakenError:  # others created tasks meanwhile: these are gone
                    yield from self._skip(write.number - 1, write.number)
                    self._report_lost(1)
        except SequenceGapError as again:  # lost once more: the caller's next try replays the rest
            yield from attempts.pause(again)
        except ServerError as error:
            yield from attempts.pause(error)

    def _skip(self, last: int, next_number: int) -> Plan[None]:
        args = [self.keys.generation, self.worker_id, last, next_number]
        yield Run(RESUME, self.keys.meta, args)

    def _report_lost(self, count: int) -> None:
        self.lost_writes += count
        warnings.warn(
            f"the server lost {count} acknowledged writes of worker {self.worker_id} that could"
            f" not be replayed (its buffer holds {self.settings.replay_buffer})",
            LostWritesWarning,
            stacklevel=2,
        )
