"""Play on while the server does not answer, and deliver the results when it is back.

With ``WorkerSettings(on_outage="continue")`` a call that reports, draws or changes a task is
*deferred* once its deadline has passed: it answers with tasks that are known here. It is kept, and
carried on later as its own repetition would be, so that each of its results counts once. Until the
server answers, a call now and then tries it once; the others do not wait. Calls that need the
server's answer try it once, and raise.
"""

from __future__ import annotations

import logging
import random
import time
import warnings
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from redis_curriculum._protocol.asking import is_retriable
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store.calls import Call, T
from redis_curriculum.errors import (
    CurriculumError,
    GeneratorError,
    InvalidInputError,
    KeyTypeError,
    LostWritesWarning,
    MalformedStateError,
    ScriptError,
    ServerUnavailableError,
    WorkerFencedError,
)
from redis_curriculum.tasks.build import build
from redis_curriculum.tasks.outcome import Step
from redis_curriculum.tasks.task import Task

if TYPE_CHECKING:
    from redis_curriculum._store.store import Store

MOST_WAITING: Final = 10_000
"""Results, failures and changes that wait at most; beyond that the oldest ones are dropped."""
_OF_ONE_CALL: Final = (MalformedStateError, KeyTypeError, ScriptError, InvalidInputError)
"""What the server refuses for good, though not to every call."""
_MOST_KNOWN: Final = 1_000
_MOST_TRIED: Final = 100
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 15.0
_LOG: Final = logging.getLogger("redis_curriculum")


class Backlog:
    """The calls of one handle that wait for the server, and the tasks that it knows."""

    def __init__(self) -> None:
        self.dropped = 0
        """What was never delivered: too much waited, or nobody knows if it arrived."""
        self._calls: dict[int, Call[Any]] = {}
        self._known: deque[Task] = deque(maxlen=_MOST_KNOWN)
        self._at_most = 0
        """No less than what waits; counting that takes a look at every call."""
        self._since = 0.0  # 0: the server answers
        self._next_try, self._pause_s = 0.0, _FIRST_PAUSE_S

    @property
    def waiting(self) -> int:
        """Results, failures and changes that wait for the server."""
        return sum(call.left for call in self._calls.values())

    def carry(self, call: Call[T], store: Store) -> Plan[T]:
        """Carry a call out; if the server does not answer, defer it if that can be done."""
        if call.is_deferred or (call.can_wait and time.monotonic() < self._next_try):
            return self._deferred(call, store, None)
        try:
            yield from self._deliver_before(call, store)
            answer = yield from call.carried_on(store)
        except CurriculumError as error:
            if not is_retriable(error):
                raise
            self._note(store, error)
            if not call.can_wait:
                raise
            return self._deferred(call, store, error)
        if isinstance(answer, Step):
            self._known.extend(answer.tasks)
        return answer

    def renew(self, store: Store) -> Plan[None]:
        """Renew the lease; if the server does not answer, that is done when it is back.

        Raises:
            WorkerFencedError: The lease had ended before.
        """
        if store.settings.on_outage == "raise":
            return (yield from store.worker.renew())
        if time.monotonic() < self._next_try:
            return
        try:
            yield from self.deliver(store) if self._since else store.worker.renew()
        except CurriculumError as error:
            if not is_retriable(error):
                raise
            self._note(store, error)

    def deliver(self, store: Store) -> Plan[None]:
        """Carry on the calls that wait; after a long outage as another worker.

        Raises:
            CurriculumError: The server does not answer yet, or refuses.
        """
        if not self._since:
            return
        yield from self._rejoin(store)
        delivered = 0
        while self._calls:
            self._join(store.settings.chunk)
            key, call = next(iter(self._calls.items()))
            if call.write and store.worker.is_of_another_life(call.write):
                self.dropped += call.give_up(store)  # nobody knows if it had arrived
            left = call.left
            try:
                if left:
                    yield from call.carried_on(store)
            except _OF_ONE_CALL as error:
                left = 0
                self._set_apart(key, call, error, store)
            else:
                self._calls.pop(key, None)
            delivered, self._pause_s = (
                delivered + left,
                _FIRST_PAUSE_S,
            )  # it goes on: try again soon
        _LOG.warning(
            "curriculum %r: the server answers after %.0f s; results delivered: %d, dropped: %d",
            *(store.server.keys.name, time.monotonic() - self._since, delivered, self.dropped),
        )
        self._since, self._next_try, self._pause_s = 0.0, 0.0, _FIRST_PAUSE_S
        store.server.deadline_s = store.settings.retry_deadline_s

    def succeed(self, former: Backlog) -> None:
        """Follow a backlog whose state a restore has replaced: what waits there is given up."""
        self.dropped = former.dropped + former.waiting

    def end(self) -> None:
        """Give up what waits: the handle is being closed."""
        lost = self.waiting
        self.dropped += lost
        self._calls.clear()
        if lost:
            message = f"{lost} results were not delivered: the server does not answer"
            warnings.warn(message, LostWritesWarning, stacklevel=2)

    def tasks(
        self, store: Store, count: int, *, distinct: bool, error: CurriculumError | None
    ) -> list[Task]:
        """Choose among the tasks that were drawn last, or make some.

        Raises:
            CurriculumError: There are none; ``error`` if it was given.
        """
        known: Sequence[Task] = list(self._known)
        if distinct:
            known = list({task.task_id: task for task in known}.values())
        if not known and store.can_generate:
            known = _made(store)
        if count and (not known or (distinct and len(known) < count)):
            reason = "the server does not answer, and this handle knows too few tasks to play on"
            raise error or ServerUnavailableError(reason)
        return random.sample(known, count) if distinct else random.choices(known, k=count)

    def _join(self, most: int) -> None:
        """Let one call report what several have left."""
        calls = list(self._calls.values())
        joined, count = calls[0].joined(calls[1:], most)
        if count > 1:
            self._calls = {id(call): call for call in (joined, *calls[count:])}

    def _set_apart(self, key: int, call: Call[Any], error: CurriculumError, store: Store) -> None:
        """Drop what the server refuses for good; send the rest of that call in parts."""
        parts = call.apart()
        if not parts:
            self.dropped += call.left
            _LOG.warning("curriculum %r: not delivered: %s", store.server.keys.name, error)
        others = {k: other for k, other in self._calls.items() if k != key}
        self._calls = {id(part): part for part in parts} | others

    def _deliver_before(self, call: Call[Any], store: Store) -> Plan[None]:
        """Deliver what waits; an error says what became of this call, not of the others."""
        try:
            yield from self.deliver(store)
        except CurriculumError as error:
            error.applied = "unknown" if call.is_sent else "no"
            raise

    def _rejoin(self, store: Store) -> Plan[None]:
        """Renew the lease, or become another worker: then what was on its way is given up."""
        try:
            yield from store.worker.renew()
        except WorkerFencedError:
            yield from store.worker.register()

    def _note(self, store: Store, error: CurriculumError) -> None:
        """The server does not answer: from now on each call tries it once at most."""
        now = time.monotonic()
        if not self._since:
            self._since = now
            _LOG.warning(
                "curriculum %r: playing on without the server, with the tasks that are known"
                " here; results wait: %s",
                *(store.server.keys.name, error),
            )
        store.server.deadline_s = 0.0
        self._next_try = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _deferred(self, call: Call[T], store: Store, error: CurriculumError | None) -> T:
        answer = call.without_server(store, error)
        if call.left and not call.is_deferred:
            self._calls.setdefault(id(call), call)
            self._at_most += call.left
        call.is_deferred = True
        if self._at_most > MOST_WAITING:
            self._shorten()
        return answer

    def _shorten(self) -> None:
        """Drop the oldest calls that have nothing on its way, while too many results wait."""
        surplus = self.waiting - MOST_WAITING
        if surplus > 0:
            surplus += MOST_WAITING // 100  # so that not every call looks through all of them
        for key, call in list(self._calls.items()):
            if surplus <= 0:
                break
            if call.write is None:
                surplus, self.dropped = surplus - call.left, self.dropped + call.left
                del self._calls[key]
        self._at_most = self.waiting


def _made(store: Store) -> list[Task]:
    """A task of the first pool, made here: the server may know it. None that is held out."""
    config = store.config
    try:
        for _ in range(_MOST_TRIED):
            task_id = config.task_id_at(random.randrange(config.num_active_tasks))
            spec = build(config.task_generator, task_id, config.invariants)
            if not config.holds_out(task_id, spec.label):
                return [Task(task_id, spec.label, spec.params)]
    except GeneratorError:
        pass
    return []
