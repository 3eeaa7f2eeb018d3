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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from redis_curriculum._protocol.asking import Attempts, Server
from redis_curriculum._protocol.plan import Command, Plan, Run
from redis_curriculum._protocol.requirements import Finding, audit, enforce, parse_info
from redis_curriculum._protocol.scripts import Script
from redis_curriculum._protocol.stored import number
from redis_curriculum._store.calls import Argument, Call, Write
from redis_curriculum._store.contracts import LEAVE, REGISTER, RENEW, RESUME
from redis_curriculum._store.process import born, machine
from redis_curriculum._store.waiting import Waiting
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.errors import (
    ConfigChangedError,
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
    UnindexedError,
    UnknownCommandError,
    WorkerError,
    WorkerFencedError,
    WorkerInUseError,
)

_LEAVING_S: Final = 0.25
RENEWALS_PER_LEASE: Final = 3
_LIVES: Final = 2**20
_WRITES_PER_LIFE: Final = 2**32
"""A number stays below 2**53, where a script's doubles are exact."""


@dataclass(slots=True, eq=False)
class Life:
    """One identity of a handle, until it becomes another worker."""

    worker_id: str
    token: str
    """Tells the server a retry of ours from another's claim of that id."""
    previous: str
    """The token of the life that this one replaces; empty: none."""
    first: int
    """What the server counts as seen where it does not know this worker."""
    sequence: int
    """Number of the last write that was answered."""
    buffer: deque[Write]
    """The last writes, to be replayed if the server loses them."""
    pending: Write | None = None
    """A write with the next number, whose outcome is not known."""
    is_registered: bool = False
    lease_from: float = 0.0
    reaped: int = 0
    """How many workers had been reaped when this one came."""


class Worker:
    """A worker's id, lease and numbers; its methods are plans. Not shared by handles."""

    def __init__(self, server: Server, settings: WorkerSettings) -> None:
        self.server = server
        self.settings = settings
        self._run_id, self._known = "", list[Finding]()
        self.lost_writes = 0
        """Acknowledged writes that the server lost and that could not be replayed."""
        self._life = self._new_life()
        self._reindex: Callable[[], Plan[None]]

    @property
    def worker_id(self) -> str:
        """The id under which the server knows this worker."""
        return self._life.worker_id

    def _new_life(self, previous: str = "") -> Life:
        named = self.settings.worker_id
        # What an earlier life of a named worker still has on its way must not pass for ours.
        first = secrets.randbelow(_LIVES) * _WRITES_PER_LIFE if named else 0
        return Life(
            worker_id=named or f"w-{secrets.token_hex(8)}",
            token=secrets.token_hex(8),
            previous=previous,
            first=first,
            sequence=first,
            buffer=deque(maxlen=self.settings.replay_buffer),
        )

    def serve(self, server: Server, reindex: Callable[[], Plan[None]]) -> None:
        """Write to this state of a curriculum; ``reindex``: what to do while its indices lack."""
        self.server, self._reindex = server, reindex

    def begin_anew(self) -> None:
        """Forget who this was: after a fork."""
        self._life = self._new_life()

    def meet(self, info: Mapping[str, str]) -> None:
        """Note which run of which server this worker's writes go to, and how that is set up."""
        self._run_id, self._known = info.get("run_id", ""), audit(info, fixed=False)

    def send(self, call: Call[Any]) -> Plan[Any]:
        """Send the write of a call until it is answered; one round trip where nothing fails.

        The same write may be sent again after any error or interruption, also after others: it is
        applied once, and its first answer stays. If another write is pending, that one is settled
        first, so that the numbers have no gap. A write that is known not to be applied is dropped.

        Raises:
            ServerError: Not answered before the deadline, or refused; see ``applied``.
            WorkerFencedError: The lease ended; ``register()`` makes this handle a new worker.
            StaleGenerationError: A restore replaced the state.
        """
        write = call.write
        assert write is not None  # noqa: S101 - the caller has just made it
        try:
            if write.reply is None:
                yield from self._deliver_next(write)
        except CurriculumError:
            if not self._is_numbered(write):
                call.write = None
            raise
        self._note_answer(write)
        return write.reply

    def remember(self, write: Write, args: Sequence[Argument]) -> None:
        """Replace the arguments with which a write would be replayed."""
        for kept in reversed(self._life.buffer):
            if kept.number <= write.number:
                if kept.args is write.args:  # not another of that number, since register()
                    kept.args = args
                return

    def register(self) -> Plan[None]:
        """Make this handle a new worker at once; what was pending or to be replayed is given up."""
        yield from self.leave()
        yield from self._register()

    def leave(self) -> Plan[None]:
        """Take the worker's entry away, if that can be done at once; never fails.

        What the server turns out to have lost is replayed first. A later write is a new worker's.
        """
        left = self._life
        # Named, it takes the place over should that goodbye be late or lost.
        self._life = self._new_life(left.token)
        if not left.is_registered:
            return
        attempts = Attempts(_LEAVING_S)
        with suppress(CurriculumError):  # the lease will end by itself
            while True:
                try:
                    yield self._run(left, LEAVE, left.token, left.sequence)
                except SequenceGapError as gap:
                    yield from self._replay(left, gap, attempts)
                except CurriculumError as error:
                    yield from attempts.pause(error)
                else:
                    return

    def renew(self) -> Plan[None]:
        """Renew the lease, without a write; for episodes that are longer than the lease."""
        life = self._life
        if not life.is_registered:
            yield from self._register()
            return
        attempts = self.server.attempts()
        while True:
            started = time.monotonic()
            try:
                info = yield from self._audit()
                yield self._run(life, RENEW, life.sequence, self.settings.lease_ms)
            except CurriculumError as error:
                yield from self._mend(error, attempts)
            else:
                life.lease_from = started
                self.meet(info)
                return

    def _register(self, first: int | None = None) -> Plan[None]:
        """Enter this worker. Where another holds its name, wait for that until the deadline."""
        life, lease_ms = self._life, self.settings.lease_ms
        claim = (life.token, life.previous, life.first if first is None else first, lease_ms)
        pid, takes = os.getpid(), "*" if self.settings.take_over else ""
        process = (socket.gethostname()[:64], pid, machine(), born(pid))
        waiting, reply, started = Waiting(self.server), None, 0.0
        while reply is None:
            started = time.monotonic()
            try:
                request = self._run(life, REGISTER, *claim, takes, *process)
                reply = yield from self.server.ask(request)
            except WorkerInUseError:
                takes = yield from waiting.for_name(life.worker_id)
        last, reaped = reply
        sequence = life.sequence if life.is_registered else last
        life.reaped, life.sequence, life.lease_from = reaped, sequence, started
        life.is_registered = True

    def _audit(self) -> Plan[dict[str, str]]:
        """Look at the server again, with each renewal: its settings may have changed meanwhile."""
        try:
            info = parse_info((yield Command(("INFO",), self.server.key)))
        except UnknownCommandError:
            info = {}
        except CurriculumError as error:
            error.applied = "no"  # the write that follows has not been sent
            raise
        news = [finding for finding in audit(info, fixed=False) if finding not in self._known]
        enforce(news, f"the server of curriculum {self.server.keys.name!r}")
        return info

    def is_of_another_life(self, write: Write) -> bool:
        """Whether a write without an answer was sent by the worker that this handle was before."""
        return write.number > 0 and write.reply is None and write.life is not self._life

    def _is_numbered(self, write: Write) -> bool:
        """Whether a write has been sent and may have been applied."""
        return write.life is self._life and write.number > 0

    def _deliver_next(self, write: Write) -> Plan[None]:
        """Send a write that has no answer, after the one that is pending."""
        if not self._life.is_registered:
            yield from self._register()
        pending = self._life.pending
        if pending is not None and pending is not write:
            yield from self._settle(pending)
        yield from self._deliver(write)

    def _settle(self, pending: Write) -> Plan[None]:
        """Find out what became of a write whose outcome stayed unknown: now it is applied."""
        try:
            if pending.reply is None:
                yield from self._deliver(pending)
        except (ServerError, WorkerError, StaleGenerationError, CurriculumNotFoundError):
            raise
        except CurriculumError:
            return  # the script looked and refused: it was not applied, nor is it now
        self._note_answer(pending)

    def _deliver(self, write: Write) -> Plan[None]:
        """Number and send one write; an interruption at any line finds it either way whole."""
        life = self._life
        attempts = self.server.attempts(unknown=self._is_numbered(write))
        while True:
            started = time.monotonic()
            due = self._lease_is_due(started)
            lease_ms = self.settings.lease_ms if due else 0
            if not self._is_numbered(write):
                write.life, write.number, life.pending = life, life.sequence + 1, write
            request = self._run(life, write.script, write.number, lease_ms, *write.args)
            try:
                info = (yield from self._audit()) if due else None
                write.reply = yield request
            except CurriculumError as error:
                # A script that was cut short is not sent again: its half would be added twice.
                stops = isinstance(error, (KeyTypeError, PermissionDeniedError))
                cut_short = stops and error.applied == "unknown"
                looked = cut_short or not isinstance(error, ServerError)
                if attempts.note(error) == "no" or looked:
                    write.number, life.pending = 0, None
                yield from self._mend(error, attempts)
            else:
                attempts.end()
                if info is not None:
                    life.lease_from = started
                    self.meet(info)
                return

    def _note_answer(self, write: Write) -> None:
        """Count an answered write as done; what is before the last line may happen twice."""
        life = self._life
        if life.pending is not write:
            return
        if not life.buffer or life.buffer[-1].number < write.number:
            life.buffer.append(Write(write.script, write.args, write.number))
        life.sequence, life.pending = write.number, None

    def _mend(self, error: CurriculumError, attempts: Attempts) -> Plan[None]:
        """Make up for what the server lost, or wait for the next try, or raise ``error``."""
        if isinstance(error, SequenceGapError):
            yield from self._replay(self._life, error, attempts)
        elif isinstance(error, UnindexedError):
            yield from self._reindex()
            attempts.progress()
        elif not isinstance(error, WorkerFencedError) or not (yield from self._was_forgotten()):
            yield from attempts.pause(error)

    def _was_forgotten(self) -> Plan[bool]:
        """Enter again, and answer True, if the server lost this worker with its last writes.

        Only one that was started again, or another one, can have; and it has if the worker's entry
        is not there, though nobody was reaped since it came. In doubt its writes stand.
        """
        life, server, keys = self._life, self.server, self.server.keys
        if (yield from server.command("EXISTS", keys.worker(life.worker_id))):
            return False
        info = yield from server.info("server")
        run_id = info.get("run_id", "")
        found = yield from server.command("HGET", keys.meta, "reaped_count")
        reaped = number(keys, "reaped_count", found, 0)
        if run_id == self._run_id or reaped > life.reaped:
            return False
        seen = (life.buffer[0].number if life.buffer else life.sequence + 1) - 1
        yield from self._register(seen)  # the next call finds the gap and replays the rest
        lost, self._run_id, life.first = seen - life.first, run_id, seen
        if lost:
            self._report_lost(lost)
        return True

    def _lease_is_due(self, now: float) -> bool:
        return (now - self._life.lease_from) * 1000 * RENEWALS_PER_LEASE >= self.settings.lease_ms

    def _replay(self, life: Life, gap: SequenceGapError, attempts: Attempts) -> Plan[None]:
        """Send again what the server lost, in order; skip and count what is no longer held."""
        held = [write for write in life.buffer if write.number > gap.last]
        first = held[0].number if held else life.sequence + 1
        try:
            if first > gap.last + 1:
                yield self._run(life, RESUME, gap.last, first - 1)
                self._report_lost(first - 1 - gap.last)
            for write in held:
                try:
                    yield self._run(life, write.script, write.number, 0, *write.args)
                    attempts.progress()
                except EpochError:  # another trainer has ended that epoch: nothing is missing
                    yield self._run(life, RESUME, write.number - 1, write.number)
                except (ConfigChangedError, IndexTakenError):  # these new tasks are gone
                    yield self._run(life, RESUME, write.number - 1, write.number)
                    self._report_lost(1)
        except UnindexedError:  # the caller's next try replays the rest
            yield from self._reindex()
        except SequenceGapError as again:  # lost once more: the caller's next try replays the rest
            yield from attempts.pause(again)
        except ServerError as error:
            yield from attempts.pause(error)

    def _run(self, life: Life, script: Script, *args: Argument) -> Run:
        return self.server.request(script, life.worker_id, *args)

    def _report_lost(self, count: int) -> None:
        self.lost_writes += count
        warnings.warn(
            f"the server lost {count} acknowledged writes of worker {self.worker_id} that could"
            f" not be replayed (its buffer holds {self.settings.replay_buffer})",
            LostWritesWarning,
            stacklevel=2,
        )
