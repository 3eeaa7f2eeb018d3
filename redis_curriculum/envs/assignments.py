"""Which environment plays which task: reports what ended and hands out what is next.

All wrappers stand on this module; it knows curricula and no environment library.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import iscoroutinefunction
from typing import Any, Final, Protocol, TypeVar

from redis_curriculum.envs.episode import Played, complaint, log
from redis_curriculum.errors import (
    FailingTasksError,
    InvalidInputError,
    StaleGenerationError,
    TaskApplyError,
    WorkerFencedError,
)
from redis_curriculum.tasks.outcome import Result
from redis_curriculum.tasks.task import Task

ATTEMPTS: Final = 100
"""Failures in a row of one environment, with no episode finished between, that end the run."""
DOUBTFUL: Final = 10
"""Failures in a row of one environment after which it is in doubt: its tasks may be sound."""
ABANDONED: Final = 10
"""So many abandoned episodes for each environment are odd ..."""
FINISHED_SHARE: Final = 10
"""... unless more than so many times as many were finished."""
PENDING: Final = "pending"
"""The outcome of a failure that is reported as soon as an episode of any task is finished."""
DROPPED: Final = "dropped"
"""The outcome of what is not reported: an episode whose task was drawn before a restore, or a
failure of an environment that is in doubt."""
ROUNDING: Final = 1e-6
"""A return may leave the score range by so much of its width: sums of (32-bit) floats do."""

T = TypeVar("T")


class Settings(Protocol):
    """What the wrappers read of a curriculum's config."""

    @property
    def score_range(self) -> tuple[float, float]:
        """(lowest, highest) score."""
        ...

    @property
    def asks_for(self) -> Sequence[str]:
        """Names of the numbers that a result brings beside its score."""
        ...


class Answer(Protocol):
    """What the wrappers read of an answer."""

    @property
    def tasks(self) -> Sequence[Task]:
        """The drawn tasks."""
        ...

    @property
    def outcomes(self) -> Sequence[str]:
        """What became of each finished episode."""
        ...


class TaskSource(Protocol):
    """What the wrappers ask of a curriculum."""

    @property
    def config(self) -> Settings:
        """The stored config."""
        ...

    @property
    def generation(self) -> int:
        """Which state of the curriculum this works on; each restore makes another."""
        ...

    def next_tasks(self, finished: Iterable[Result], count: int) -> Answer:
        """Report finished episodes and draw ``count`` tasks."""
        ...

    def report_failure(self, task_id: int, error: BaseException | str) -> str:
        """Report that a task could not be applied or run."""
        ...

    def register(self) -> str:
        """Become a new worker."""
        ...

    def reopen(self) -> None:
        """Go on with the state that a restore has put in the place of this one."""
        ...


@dataclass(slots=True)
class _Call:
    """A report with a draw; whoever is interrupted goes on with it."""

    results: list[Result]
    places: list[tuple[list[Task | None], int]]
    """Where the drawn tasks go."""
    step: Answer | None = None
    """The answer."""


@dataclass(slots=True)
class _Failed:
    """A failure to report."""

    task_id: int
    error: str
    outcome: str | None = None
    """The answer."""


def check_handle(curriculum: object, method: str) -> None:
    """Check that it is an open handle that blocks.

    Raises:
        InvalidInputError: It is something else, such as an ``AsyncCurriculum`` or a class.
    """
    call = getattr(curriculum, method, None)
    if not callable(call) or iscoroutinefunction(call) or isinstance(curriculum, type):
        raise InvalidInputError("curriculum", "an open Curriculum, none for asyncio", curriculum)


class Assignments:
    """The tasks of ``count`` environments, and what is still to be reported of them.

    With ``ahead`` each environment has its next task before its episode ends, as one needs that
    resets itself within a step.

    A failure may be the task's fault, or the environment's. Until an episode of any task is
    finished nobody knows, and failures wait. The first result sends them. After ``DOUBTFUL``
    failures in a row of one environment it is in doubt again, and the further ones are dropped.
    ``ATTEMPTS`` in a row end the run, and drop what waits; so do ``DOUBTFUL`` whole episodes that
    have no score, which say the same at a higher cost.

    A restore replaces the curriculum's state. What was drawn from the former state is not reported
    to the new one: episodes under way are played to their ends and dropped.
    """

    def __init__(
        self, curriculum: TaskSource, environment: str, count: int = 1, *, ahead: bool = False
    ) -> None:
        check_handle(curriculum, "next_tasks")
        if set(curriculum.config.asks_for) - {"cost"}:
            rule = "one whose results are single episodes; its algorithm asks for groups of them"
            raise InvalidInputError("curriculum", rule, curriculum)
        self._curriculum = curriculum
        self._environment = environment
        self.current: list[Task | None] = [None] * count
        self.following: list[Task | None] = [None] * count if ahead else []
        self._episodes = [0] * count
        self._failures = [0] * count
        self._abandoned = 0
        self._next_warning = ABANDONED * count
        self._causes: list[list[tuple[int, str]]] = [[] for _ in range(count)]
        self._unscored = [0] * count
        """Of those causes: episodes that ended, but without a score."""
        self._finished: list[Result] = []
        self._failed: list[_Failed] = []
        self._works = False
        """Whether an episode was finished."""
        self._call: _Call | None = None
        self._generation: int | None = None
        """The state that the tasks are of; None: there are none yet."""
        self._former: set[int] = set()
        """Environments that play a task of a former state."""

    def __getstate__(self) -> dict[str, Any]:
        """A copy goes on with the tasks; what is to be reported stays here and counts once."""
        return self.__dict__ | {"_finished": [], "_failed": [], "_call": None}

    @property
    def upcoming(self) -> list[Task | None]:
        """The task that each environment's next reset of its own begins."""
        return self.following or self.current

    @property
    def is_full(self) -> bool:
        """Whether every environment has its tasks."""
        return all(task is not None for task in (*self.current, *self.following))

    def fill(self) -> list[str]:
        """Report what is to be reported and give every environment its tasks.

        One round trip, and one more for each failure; none where nothing lacks. After a restore the
        curriculum is reopened first. Returns the outcomes of the results. After an error the next
        call makes up for it.
        """
        outcomes: list[str] = []
        while True:
            outcomes += self._leave_former()
            try:
                return outcomes + self._fill()
            except StaleGenerationError:
                self._curriculum.reopen()

    def _leave_former(self) -> list[str]:
        """Drop what belongs to a state that a restore has replaced; return outcomes of results."""
        before, self._generation = self._generation, self._curriculum.generation
        if before in (None, self._generation):
            return []
        results = [*(self._call.results if self._call else ()), *self._finished]
        log.warning(
            "%s: a restore has replaced the curriculum's state; going on with the new one. Not"
            " reported: %d results, %d failures, and the episodes that are under way",
            self._environment,
            len(results),
            len(self._failed),
        )
        for failed in self._failed:
            failed.outcome = DROPPED
        self._finished, self._failed, self._call = [], [], None
        self._former = {i for i, task in enumerate(self.current) if task is not None}
        self.following = [None] * len(self.following)
        return [DROPPED] * len(results)

    def _fill(self) -> list[str]:
        outcomes: list[str] = []
        while self._works and self._failed:
            failed = self._failed[0]
            failed.outcome = failed.outcome or self._report(failed.task_id, failed.error)
            del self._failed[0]
        while (call := self._begun_call()) is not None:
            call.step = call.step or self._next_tasks(call)
            for (tasks, i), task in zip(call.places, call.step.tasks, strict=True):
                tasks[i] = task
            outcomes += call.step.outcomes
            self._call = None
        return outcomes

    def _begun_call(self) -> _Call | None:
        """The call that is to be made; unanswered, it is made again as it was, to count once."""
        places = [
            (tasks, i)
            for tasks in (self.current, self.following)
            for i, task in enumerate(tasks)
            if task is None
        ]
        if self._call is None and places:
            self._call, self._finished = _Call(self._finished, places), []
        return self._call

    def settle(self, over: Mapping[int, Played]) -> dict[int, dict[str, Any]]:
        """Report the episodes that are over, by environment, and take the next tasks.

        One round trip, and one more for each failure. Returns the infos of the episodes.

        Raises:
            TaskApplyError: The setup is wrong. Reported is only what the other episodes brought.
            FailingTasksError: One environment failed ``ATTEMPTS`` times in a row, or could not
                score ``DOUBTFUL`` episodes.
        """
        checked = {i: self._checked(played) for i, played in over.items()}
        former = self._former & over.keys()
        for i in former:
            self._give_up(i)
        ours = {i: played for i, played in checked.items() if i not in former}
        failed = {i: self._fail(i, p) for i, p in ours.items() if p.error is not None}
        done = [i for i, played in ours.items() if played.error is None]
        for i in done:
            self._finish(i, checked[i])
        told = self.fill()
        outcomes = dict(zip(done, told[len(told) - len(done) :], strict=True))
        outcomes |= dict.fromkeys(former, DROPPED)
        self._raise_what_must_be({i: checked[i] for i in failed})
        outcomes |= {i: failure.outcome or PENDING for i, failure in failed.items()}
        return {i: self._ended(i, played, outcomes[i]) for i, played in checked.items()}

    def abandon(self, i: int) -> None:
        """Give up an environment's task without a result; ``fill`` brings another."""
        self._give_up(i)
        self._abandoned += 1
        finished = sum(self._episodes)
        if self._abandoned >= self._next_warning and self._abandoned * FINISHED_SHARE >= finished:
            self._next_warning = 10 * self._abandoned
            log.warning(
                "%s: %d episodes were reset before their end, so none of them was reported"
                " (%d were finished); what ends episodes (TimeLimit) belongs inside the"
                " curriculum's wrapper",
                self._environment,
                self._abandoned,
                finished,
            )

    def _give_up(self, i: int) -> None:
        self._former.discard(i)
        if self.following:
            self.current[i], self.following[i] = self.following[i], None
        else:
            self.current[i] = None

    def begun(self, i: int, task: Task) -> dict[str, Any]:
        """The info of an episode that begins."""
        return {
            "task_id": task.task_id,
            "label": task.label,
            "params": copy.deepcopy(task.params),
            "episodes": self._episodes[i],
            "failures": self._failures[i],
        }

    def _ended(self, i: int, played: Played, outcome: str) -> dict[str, Any]:
        info = self.begun(i, played.task)
        info |= {"outcome": str(outcome), "return": played.total, "length": played.length}
        return info | ({"score": played.score} if played.error is None else {"error": played.error})

    def _checked(self, played: Played) -> Played:
        """A score outside the range is a failure."""
        if played.score is None:
            return played
        low, high = self._curriculum.config.score_range
        slack = ROUNDING * (high - low)
        if low - slack <= played.score <= high + slack:
            return replace(played, score=min(max(played.score, low), high))
        what = (
            f"the score {played.score} is outside the curriculum's score_range"
            f" [{low:g}, {high:g}]: create the curriculum with a score_range that holds every"
            " return, or map it with `score`"
        )
        return played.failed(TaskApplyError(complaint(self._environment, played.task, what)))

    def _finish(self, i: int, played: Played) -> None:
        assert played.score is not None  # noqa: S101 - it is over, and did not fail
        self._give_up(i)
        self._episodes[i] += 1
        self._causes[i], self._unscored[i] = [], 0
        self._works = True
        result: Result = (played.task.task_id, played.score)
        if self._curriculum.config.asks_for:
            result = (*result, {"cost": played.length})
        self._finished.append(result)

    def _fail(self, i: int, played: Played) -> _Failed:
        failed = _Failed(played.task.task_id, str(played.error))
        self._give_up(i)
        if not played.is_misuse:
            self._failures[i] += 1
            self._causes[i].append((failed.task_id, failed.error))
            self._unscored[i] += played.has_ended
            if len(self._causes[i]) <= DOUBTFUL:
                self._failed.append(failed)
            else:
                failed.outcome = DROPPED
        return failed

    def _raise_what_must_be(self, failed: Mapping[int, Played]) -> None:
        for played in failed.values():
            if played.is_misuse:
                raise TaskApplyError(str(played.error), task_id=played.task.task_id)
        for i in failed:
            causes = self._causes[i]
            if len(causes) < ATTEMPTS and self._unscored[i] < DOUBTFUL:
                continue
            booked = f"the first {DOUBTFUL} were reported"
            if not self._works:
                booked = "none was reported, since no episode has been finished"
            self._failed, self._causes = [], [[] for _ in self._causes]
            self._unscored = [0] * len(self._unscored)
            raise FailingTasksError(
                f"{self._environment}: {len(causes)} tasks in a row could not be applied, run or"
                f" scored ({booked}; the log has each traceback); mend the environment, `score`,"
                " or the generator that makes such params:",
                causes,
            )

    def _next_tasks(self, call: _Call) -> Answer:
        return self._ask(lambda: self._curriculum.next_tasks(call.results, len(call.places)))

    def _report(self, task_id: int, error: str) -> str:
        return self._ask(lambda: self._curriculum.report_failure(task_id, error))

    def _ask(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except WorkerFencedError as error:
            # An episode outlasted the lease: nothing is lost but the worker's name. Only if it
            # is sure that nothing was applied may another worker report the same.
            if error.applied != "no":
                raise
            self._curriculum.register()
            return call()
