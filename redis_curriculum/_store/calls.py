"""Calls that write: what each was asked, how far it has come, and which ones are unfinished.

A call is the object of one method call of a handle. Its plan may stop at any line: at an error, at
Ctrl-C, at a cancelled await. The same call made again then goes on from there, since ``Unfinished``
keeps it until its answer has been handed over. So each step of a plan ends with one assignment that
takes an answer over and drops the write it belongs to; what is before that may happen twice.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast
from weakref import WeakKeyDictionary

from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.scripts import Script
from redis_curriculum.errors import CurriculumError

if TYPE_CHECKING:
    from redis_curriculum._store.once import Life
    from redis_curriculum._store.store import Store

T = TypeVar("T")
C = TypeVar("C", bound="Call[Any]")
Argument = str | bytes | int | float


@dataclass(slots=True, eq=False)
class Write:
    """One write as it can be sent again."""

    script: Script
    args: Sequence[Argument]
    """Those after generation, worker, sequence, lease_ms."""
    number: int = 0
    """0: not sent, or known not to be applied. Otherwise it is answered or pending."""
    life: Life | None = None
    """Whose number it is."""
    reply: Any = None
    """The first answer; it stays."""
    is_shared: bool = False
    """Whether it is of several calls."""
    failure: CurriculumError | None = None
    """Why it was not answered when it was sent last, if it is shared."""


@dataclass(slots=True)
class Call(ABC, Generic[T]):
    """One call; it equals a call that was asked the same, however far either has come."""

    can_wait: ClassVar[bool] = False
    """Whether it can be answered without the server, and delivered later."""

    write: Write | None = field(default=None, init=False, compare=False, repr=False)
    """What is under way: sent, or about to be; its answer has not been taken over."""

    is_begun: bool = field(default=False, init=False, compare=False, repr=False)
    """Whether a step was applied: then no later error says that nothing was."""

    is_deferred: bool = field(default=False, init=False, compare=False, repr=False)
    """Whether it was answered without the server, and is only carried on to report."""

    told: CurriculumError | None = field(default=None, init=False, compare=False, repr=False)
    """The last failure of a write it shares that its caller knows of, or need not know of."""

    found: T | CurriculumError | None = field(default=None, init=False, compare=False, repr=False)
    """What another call, which took it with it, has found for its caller."""

    def hand_over(self) -> T:
        """Return what another call has found for this one's caller, or raise it."""
        if isinstance(self.found, CurriculumError):
            raise self.found
        return cast("T", self.found)

    @property
    def left(self) -> int:
        """What can be delivered later: results, failures or changes whose outcome is not known."""
        return 0

    @property
    def is_sent(self) -> bool:
        """Whether some of it may have been applied."""
        return self.is_begun or (self.write is not None and self.write.number > 0)

    def plan(self, store: Store) -> Plan[T]:
        """Carry the call out, or carry it on; without the server, if the settings say so."""
        if store.settings.on_outage == "raise":
            return self.carried_on(store)
        return store.backlog.carry(self, store)

    def carried_on(self, store: Store) -> Plan[T]:
        """Carry the call out, or carry it on."""
        try:
            answer = yield from self.steps(store)
        except CurriculumError as error:
            if self.is_begun:
                error.applied = "unknown"
            raise
        if time.monotonic() >= store.history_due:
            from redis_curriculum._store.history import note  # which reads the store

            yield from note(store)
        return answer

    def without_server(self, store: Store, error: CurriculumError | None) -> T:
        """Answer without the server, if ``can_wait``; what is left is deferred.

        Raises:
            CurriculumError: There is nothing to answer with; ``error`` if it was given.
        """
        raise NotImplementedError

    def joined(self, others: Sequence[Call[Any]], most: int) -> tuple[Call[Any], int]:  # noqa: ARG002
        """Return a call for what this one and the first of the others have left, and of how many.

        At most ``most`` results together; only this one, if something of it is on its way.
        """
        return self, 1

    def apart(self) -> Sequence[Call[Any]]:
        """Return what is left, one call for each result; nothing if it is no more than one."""
        return ()

    def give_up(self, store: Store) -> int:
        """Give up what was sent, and may have been applied or not; return how much that was."""
        raise NotImplementedError

    @abstractmethod
    def steps(self, store: Store) -> Plan[T]:
        """Do what is left to do, and return the answer."""


class Unfinished:
    """The register of unfinished calls: of each caller the last one of each kind.

    A caller is a thread, or a task of asyncio: those who share a handle carry on their own calls.
    """

    def __init__(self) -> None:
        self.caller: Callable[[], object] = threading.current_thread
        self._calls: WeakKeyDictionary[object, dict[type, Call[Any]]] = WeakKeyDictionary()
        self._waiting: dict[int, Call[Any]] = {}

    def resumed(self, call: C) -> C:
        """Return the caller's unfinished call if it was asked the same, else begin this one."""
        caller = self.caller()
        calls = self._calls.get(caller)
        if calls is None:
            calls = self._calls[caller] = {}
        before = calls.get(type(call))
        if isinstance(before, type(call)) and before == call:
            call = before
            call.found, call.told = None, call.write.failure if call.write else None
        calls[type(call)] = self._waiting[id(call)] = call
        return call

    def waiting(self) -> list[Call[Any]]:
        """Return the calls whose callers wait for the answer now, in the order they came."""
        return list(self._waiting.values())

    def are_several_waiting(self) -> bool:
        """Whether more than one caller waits."""
        return len(self._waiting) > 1

    def is_waiting(self, call: Call[Any]) -> bool:
        """Whether the caller of that call waits for the answer now."""
        return id(call) in self._waiting

    def keep(self, call: Call[Any]) -> None:
        """Note that the answer was not handed over, whatever was said before."""
        self._calls[self.caller()][type(call)] = call
        self._waiting.pop(id(call), None)

    def end(self, call: Call[Any]) -> None:
        """Note that the answer is being handed over: the same call is a new one from here on."""
        self._calls[self.caller()].pop(type(call), None)
        self._waiting.pop(id(call), None)

    def clear(self) -> None:
        """Forget all calls."""
        self._calls.clear()
        self._waiting.clear()
