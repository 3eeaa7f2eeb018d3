"""Tasks drawn ahead, and results that wait for the next draw (``WorkerSettings(prefetch=16)``).

A handle draws several tasks with one call and hands them out one by one. The results of these
episodes go with the next draw, so that an episode costs a fraction of a call. Every other call of
the handle reports first what waits here. Once a call has taken a result in, it is reported once,
whatever happens to that call, as long as the process lives and the handle is closed at its end.
"""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redis_curriculum._protocol.plan import Plan, T
from redis_curriculum._store.calls import Call
from redis_curriculum.errors import (
    CurriculumError,
    CurriculumNotFoundError,
    LostWritesWarning,
    StaleGenerationError,
)
from redis_curriculum.tasks.outcome import Outcome, Step
from redis_curriculum.tasks.task import Task

if TYPE_CHECKING:
    from redis_curriculum._store.store import Store

Sent = tuple[int, tuple[float, ...]]
"""A result: task id; score in [0, 1] and the numbers that the algorithm asks for."""
Playing = Callable[[list[Sent], int], Call[Step]]
"""Makes the call that reports results and draws so many tasks."""


class Ahead:
    """The tasks in hand and the results that wait, of one handle."""

    def __init__(self) -> None:
        self.dropped = 0
        """Results that were given up: a restore replaced the state, or nobody knows of them."""
        self._tasks: deque[Task] = deque()
        self._results: list[Sent] = []
        self._playing: Playing
        self._under_way: Call[Step] | None = None
        """The call that reports results, and draws; it is carried on before anything else."""
        self._draws = 0
        """How many tasks that call draws."""
        self._since = 0.0
        """When the tasks in hand were drawn, or else the first of the results came."""
        self._handed_out, self._size = 0, 1

    @property
    def waiting(self) -> int:
        """Results whose outcome is not known."""
        return len(self._results) + (self._under_way.left if self._under_way else 0)

    def take_in(self, call: Played) -> None:
        """Take over the results of a call, once, however often it is made again."""
        if call.is_taken_in:
            return
        if not (self._results or self._tasks or self._under_way):
            self._since = time.monotonic()
        self._playing = call.playing
        self._results, call.is_taken_in = [*self._results, *call.results], True

    def next(self, store: Store) -> Plan[Task]:
        """Return the next task: one in hand, or the first of those that are drawn now."""
        if not self._tasks or self._is_old(store):
            yield from self._draw(store)
        self._handed_out += 1
        return self._tasks.popleft()

    def report_if_due(self, store: Store) -> Plan[None]:
        """Report what waits, if it is as much or as old as the settings allow."""
        if len(self._results) >= store.settings.prefetch or self._is_old(store):
            yield from self.report(store)

    def report(self, store: Store) -> Plan[None]:
        """Report what waits. One round trip a chunk; none if nothing waits.

        Raises:
            CurriculumError: As any call that reports. The results wait on.
        """
        try:
            yield from self._carry_on(store)
            if self._results:
                self._begin(0)
                yield from self._carry_on(store)
        except (StaleGenerationError, CurriculumNotFoundError):
            self.end()
            raise

    def before(self, plan: Plan[T], store: Store, *, is_sent: bool = False) -> Plan[T]:
        """Report what waits, then run a plan; a state that is gone is for the plan to find.

        ``is_sent``: some of what the plan does may have been applied when it was run before.
        """
        if self.waiting:
            try:
                with suppress(StaleGenerationError, CurriculumNotFoundError):
                    yield from self.report(store)
            except CurriculumError as error:
                error.applied = "unknown" if is_sent else "no"
                raise
        return (yield from plan)

    def succeed(self, former: Ahead) -> None:
        """Follow those of a state that a restore has replaced: what waits there is given up."""
        self.dropped = former.dropped + former.waiting

    def leave(self, store: Store) -> Plan[None]:
        """Report what waits, or else give it up; never fails."""
        try:
            yield from self.report(store)
        except CurriculumError:
            self.end()

    def end(self) -> None:
        """Give up what waits, and warn of it."""
        lost = self.waiting
        self._tasks.clear()
        self._results, self._under_way, self.dropped = [], None, self.dropped + lost
        if lost:
            message = f"{lost} results were not reported: the state is gone, or no server answers"
            warnings.warn(message, LostWritesWarning, stacklevel=2)

    def _is_old(self, store: Store) -> bool:
        return time.monotonic() - self._since > store.settings.prefetch_age_s

    def _draw(self, store: Store) -> Plan[None]:
        """Draw twice as many as before if all were played in time, else as many as were."""
        yield from self._carry_on(store)
        is_old = self._is_old(store)
        if self._tasks and not is_old:
            return  # those of a draw that had been interrupted
        size = max(1, self._handed_out) if is_old else 2 * self._size
        self._size, self._handed_out = min(size, store.settings.prefetch), 0
        self._tasks.clear()
        self._begin(self._size)
        yield from self._carry_on(store)

    def _begin(self, count: int) -> None:
        call = self._playing(self._results, count)
        self._draws, self._under_way, self._results = count, call, []

    def _carry_on(self, store: Store) -> Plan[None]:
        call = self._under_way
        if call is None:
            return
        if call.write and store.worker.is_of_another_life(call.write):
            self.dropped += call.give_up(store)  # nobody knows if it had arrived
        step = yield from call.plan(store)
        tasks = deque(step.tasks) if self._draws else self._tasks
        since = time.monotonic() if self._draws else self._since
        self._tasks, self._since, self._under_way = tasks, since, None


@dataclass(slots=True)
class Played(Call[Step]):
    """Results to be reported with the next draw, and one task or none."""

    results: list[Sent]
    count: int
    playing: Playing = field(compare=False)
    is_taken_in: bool = field(default=False, init=False, compare=False)

    def plan(self, store: Store) -> Plan[Step]:
        """Carry the call out, or carry it on."""
        return self.steps(store)

    def steps(self, store: Store) -> Plan[Step]:
        """No round trip as long as there are tasks in hand."""
        ahead = store.ahead
        ahead.take_in(self)
        tasks: list[Task] = []
        if self.count:
            tasks = [(yield from ahead.next(store))]
        else:
            yield from ahead.report_if_due(store)
        return Step(tasks, [Outcome.DEFERRED] * len(self.results))
