"""Report results and draw tasks: one call, which splits batches and goes on where it stopped."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

from pydantic_core import from_json

from redis_curriculum._protocol.keys import PARTS
from redis_curriculum._protocol.plan import Plan, Sleep
from redis_curriculum._protocol.stored import malformed, text
from redis_curriculum._store.ahead import Played, Sent
from redis_curriculum._store.calls import Argument, Call, Write
from redis_curriculum._store.contracts import CREATE, MADE, RECORD, REPLACE, RESERVE, SAMPLE, STEP
from redis_curriculum._store.distinct import choosing, too_few
from redis_curriculum._store.fill import POLL_S, Supplied
from redis_curriculum._store.sharing import NOT_SENT, WHOLE, Part, answer_all, company, fail, heed
from redis_curriculum._store.store import OUTCOMES, Store
from redis_curriculum._values.rules import validate_task_id
from redis_curriculum.errors import (
    ConfigChangedError,
    CurriculumError,
    EmptyPoolError,
    IndexTakenError,
    InvalidInputError,
)
from redis_curriculum.tasks.outcome import Outcome, Result, Step
from redis_curriculum.tasks.task import Task

MOST_DRAWS: Final = 1_000_000
MOST_IN_VAIN: Final = 10
IN_VAIN: Final = (
    f"{MOST_IN_VAIN} answers in a row brought no task, though there are some: the indices do not"
    " agree with the records; check(repair=True) rebuilds them"
)
"""A draw may end early without a task, since its trials are bounded; so often it never does."""


def play(store: Store, finished: Iterable[Result], count: int, *, distinct: bool = False) -> Play:
    """Report results, in order, and draw ``count`` tasks; one round trip up to a chunk."""
    return Play(_results(store, finished), count, distinct)


def play_one(store: Store, finished: Iterable[Result], count: int) -> Call[Step]:
    """Report results and draw one task or none: at once, or ahead if the settings say so."""
    if store.settings.prefetch:
        return Played(_results(store, finished), count, Play)
    return play(store, finished, count)


@dataclass(slots=True)
class Play(Supplied[Step]):
    """Results to report and a number of tasks to draw, and how far that has come."""

    can_wait = True

    results: list[Sent]
    count: int
    distinct: bool = False
    outcomes: list[Outcome] = field(default_factory=list, init=False, compare=False)
    tasks: list[Task] = field(default_factory=list, init=False, compare=False)
    sent: int = field(default=0, init=False, compare=False)
    """Results whose outcome is known."""
    drawn: int = field(default=0, init=False, compare=False)
    """Tasks that are known."""
    answer: Drawn | None = field(default=None, init=False, compare=False)
    """The last answer that asks for more: tasks to replace, or a pool to fill."""
    is_short: bool = field(default=False, init=False, compare=False)
    """Whether draws are left that are now chosen in a pass over the pool."""
    chosen: list[int] = field(default_factory=list, init=False, compare=False)
    """Ids so chosen that have not been handed out."""
    is_alone: bool = field(default=False, init=False, compare=False)
    """Whether it is not to be sent with others."""
    part: Part = field(default=WHOLE, init=False, compare=False)
    """Which part of ``write`` is this call's."""
    company: Sequence[Play] = field(default=(), init=False, compare=False)
    """The calls that this one has taken with it in ``write``."""
    in_vain: int = field(default=0, init=False, compare=False)
    """Answers in a row that brought neither a task nor a reason."""

    @property
    def left(self) -> int:
        """Results whose outcome is not known."""
        return len(self.results) - self.sent

    @property
    def can_be_shared(self) -> bool:
        """Whether it may go to the server with others: nothing of it was tried before."""
        is_new = self.write is None and not (self.is_begun or self.is_deferred or self.is_alone)
        return is_new and not self.distinct

    def without_server(self, store: Store, error: CurriculumError | None) -> Step:
        """Answer with tasks that are known here; what has not been reported is deferred."""
        lacking = self.count - self.drawn
        tasks = store.backlog.tasks(store, lacking, distinct=self.distinct, error=error)
        deferred = [Outcome.DEFERRED] * self.left
        return Step(self.tasks[: self.drawn] + tasks, self.outcomes[: self.sent] + deferred)

    def joined(self, others: Sequence[Call[Any]], most: int) -> tuple[Call[Any], int]:
        """Results of several calls go in one round trip."""
        results, count = self.results[self.sent :], 1
        for call in others if self.write is None and not self.is_alone else ():
            if not isinstance(call, Play) or call.write or call.is_alone:
                break
            if len(results) + call.left > most:
                break
            results, count = [*results, *call.results[call.sent :]], count + 1
        if count == 1:
            return self, 1
        joined = Play(results, 0)
        joined.is_deferred = True
        return joined, count

    def apart(self) -> Sequence[Call[Any]]:
        """One call for each result that is left."""
        if self.left <= 1:
            return ()
        parts = [Play([result], 0) for result in self.results[self.sent :]]
        for part in parts:
            part.is_deferred = part.is_alone = True
        return parts

    def give_up(self, store: Store) -> int:
        """Give up results that may have been applied or not; return how many."""
        batch = min(store.settings.chunk, self.left)
        self.sent, self.write = self.sent + batch, None
        return batch

    def steps(self, store: Store) -> Plan[Step]:
        """One round trip a chunk, and those that fill the pool."""
        self.begin_waiting(store)
        heed(self, store)
        yield from self._look(store)
        while self.sent < len(self.results) or (
            not self.is_deferred and (self.drawn < self.count or self.answer)
        ):
            if self.write is None:
                yield from self._begin_write(store)
            if self.write is None:
                continue  # the draws go on from the pool
            write = self.write
            try:
                reply = yield from store.worker.send(self)
            except IndexTakenError:
                store.maker.batch = None
            except ConfigChangedError:
                yield from self._go_by_new_settings(store)
            except CurriculumError as error:
                fail(self, write, error)
            else:
                yield from self._accept(store, write, reply)
                if self.company:
                    others, self.company = self.company, ()
                    yield from answer_all(others, store)
        return Step(self.tasks, self.outcomes)

    def _look(self, store: Store) -> Plan[None]:
        """Before anything is sent: does the pool have so many? It may, if some were added to it."""
        most = store.config.num_active_tasks
        draws_more = self.distinct and self.count > most and not self.is_deferred
        if not draws_more or self.is_begun or self.write:
            return
        words = [("ZCARD", f"{store.server.keys.pool}{part}") for part in PARTS]
        found = yield from store.server.commands(words)
        if sum(found) < self.count:
            rule = f"at most {max(most, sum(found))}, what the pool may hold, if distinct"
            raise InvalidInputError("count", rule, self.count)

    def _accept(self, store: Store, write: Write, reply: list[Any]) -> Plan[None]:
        """Take an answer over."""
        if write.script.name == RESERVE.name:
            yield from self._reserved(store, write, reply)
        elif write.script.name == CREATE.name:
            self._created(store, write, reply[2])
        else:
            if reply[1] != store.config_version:
                self.is_begun = True
                yield from self._go_by_new_settings(store)
            self._take(store, write, reply)

    def _go_by_new_settings(self, store: Store) -> Plan[None]:
        """Take them over. The next task is made by the new generator, if by any."""
        yield from self.reload(store)
        if self.answer and not self._asks_for_more(store, self.answer):
            self.answer = None

    def _asked_for(self, store: Store, answer: Drawn) -> Plan[Write | None]:
        """What brings the tasks that the last answer asks for; None: not now."""
        if answer.missing <= 0 and self._is_too_few(store, answer):
            raise self._stuck(store, answer, "")
        if not store.can_generate:
            raise self._stuck(store, answer, "this worker has no task generator to fill it")
        stuck = self._is_stuck(store, answer)
        write = yield from self.supplying(store, answer.missing, answer.wanted, patient=stuck)
        begins = write is None or write.script.name == RESERVE.name
        if stuck and begins and time.monotonic() >= self.waits_until:
            waited = f"{store.settings.retry_deadline_s:g} s (retry_deadline_s)"
            raise self._stuck(store, answer, f"its tasks are still being made after {waited}")
        return write

    def _reserved(self, store: Store, write: Write, reply: list[Any]) -> Plan[None]:
        """Go on to make tasks, or without, if others make all that the pool lacks."""
        answer = self.answer
        if not self.take_reserved(store, write, reply):
            self.answer = None
            if answer and self._is_stuck(store, answer):
                if store.maker.is_resting:
                    raise self._stuck(store, answer, "every row of the table has left it")
                yield Sleep(POLL_S)

    def _created(self, store: Store, write: Write, missing: int) -> None:
        answer = self.answer
        trouble, *specs = write.args[len(MADE) :]
        if trouble or specs:  # else the generator failed for these ids: try others
            self.answer = None
        self.take_created(store, write, missing)
        if trouble and not specs and answer and self._is_stuck(store, answer):
            raise self._stuck(store, answer, str(trouble))

    def _is_stuck(self, store: Store, answer: Drawn) -> bool:
        """Whether there is nothing to draw, or too little."""
        return answer.missing == store.config.num_active_tasks or self._is_too_few(store, answer)

    def _stuck(self, store: Store, answer: Drawn, why: str) -> EmptyPoolError:
        self.answer = None
        there = store.config.num_active_tasks - answer.missing
        if there:
            return too_few(self.count, there)
        return EmptyPoolError(f"the pool is empty, and {why}")

    def _begin_write(self, store: Store) -> Plan[None]:
        """Make the next write; if there is none for now, the last answer is done with."""
        if self.answer:
            self.write = yield from self._asked_for(store, self.answer)
            if self.write is None:
                self.answer = None
            return
        if self.is_short and not self.chosen:
            left = self.count - self.drawn
            known = [task.task_id for task in self.tasks]
            self.chosen = yield from choosing(store, left, known, distinct=self.distinct)
        self._begin_chunk(store)

    def _begin_chunk(self, store: Store) -> None:
        """Make the write of the next chunk; calls that wait go with it, if they can."""
        self.company = company(self, store)
        if not self.company:
            results, draws = self.next_chunk(store)
            self.part, self.write = Part(0, 0, draws), self._written(store, results, draws)
            return
        calls, results, draws, parts = [self, *self.company], list[Sent](), 0, list[Part]()
        for call in calls:
            batch, count = call.next_chunk(store)
            parts.append(Part(len(results), draws, count))
            results, draws = results + batch, draws + count
        write = self._written(store, results, draws)
        write.is_shared, write.failure = True, NOT_SENT  # stopped here, each call goes alone
        for call, part in zip(calls, parts, strict=True):
            call.part, call.write = part, write
        write.failure = None

    def next_chunk(self, store: Store) -> tuple[list[Sent], int]:
        """The next chunk of results, and how many draws go with it."""
        batch = self.results[self.sent : self.sent + store.settings.chunk]
        is_last = self.sent + len(batch) == len(self.results) and not self.is_deferred
        return batch, min(self.count - self.drawn, store.settings.chunk) if is_last else 0

    def _written(self, store: Store, results: list[Sent], draws: int) -> Write:
        flat: list[Argument] = [word for task_id, given in results for word in (task_id, *given)]
        if not draws:
            return Write(store.script(RECORD), flat)
        chosen = self.chosen[:draws]
        apart = self.count if self.distinct and not chosen else 0
        may_replace = store.can_generate and store.maker.is_free and not store.config.most_tasks
        head: list[Argument] = [len(chosen) or draws, int(may_replace), ""]
        head += [apart, " ".join(map(str, chosen))]
        return Write(store.script(STEP if results else SAMPLE), [*head, *flat])

    def _take(self, store: Store, write: Write, reply: list[Any]) -> None:
        """Take the answer over; only the last line counts."""
        batch = min(store.settings.chunk, len(self.results) - self.sent)
        answer, outcomes, handed_out, is_short = None, reply[2:], 0, self.is_short
        if write.script.name == REPLACE.name:
            answer, outcomes = Drawn(reply), []
            store.maker.end(write.args[1])
        elif write.script.name != RECORD.name:
            outcomes = reply[5 : 5 + reply[4]]
            store.worker.remember(write, _again(write, reply))
            if self.part.draws:
                answer = Drawn(reply, self.part)
                if self.chosen:
                    handed_out = int(write.args[0]) - answer.wanted
                is_short = self._is_short(store, write, answer)
        if answer:
            self.tasks[self.drawn :] = answer.tasks
        if batch:
            own = outcomes[self.part.first_result :][:batch]
            repeated = [Outcome.DUPLICATE] * batch
            self.outcomes[self.sent :] = repeated if reply[0] else [OUTCOMES[i] for i in own]
        more = answer if answer and self._asks_for_more(store, answer) else None
        self.is_begun = True
        sent, drawn, chosen = self.sent + batch, len(self.tasks), self.chosen[handed_out:]
        self.sent, self.drawn, self.chosen, self.is_short, self.answer, self.write = (
            *(sent, drawn, chosen, is_short),
            *(more, None),
        )
        is_in_vain = answer and not (answer.tasks or answer.malformed or more or batch)
        self.in_vain = self.in_vain + 1 if is_in_vain else 0
        if self.in_vain == MOST_IN_VAIN:
            self.in_vain = 0
            raise EmptyPoolError(IN_VAIN)
        if answer and answer.malformed:
            task_id, name, value = answer.malformed
            raise malformed(store.server.keys.task(task_id), name, value)

    def _is_short(self, store: Store, write: Write, answer: Drawn) -> bool:
        """Whether the rest is to be chosen: distinct draws, and those that brought nothing."""
        if self.distinct:
            return not self._is_too_few(store, answer)
        is_empty = answer.missing == store.config.num_active_tasks
        return bool(write.args[0]) and answer.is_in_vain and not is_empty

    def _is_too_few(self, store: Store, answer: Drawn) -> bool:
        """Whether the pool was smaller than the number of distinct tasks: then none was drawn."""
        there = store.config.num_active_tasks - answer.missing
        return self.distinct and not self.is_short and there < self.count

    def _asks_for_more(self, store: Store, answer: Drawn) -> bool:
        if store.can_generate:
            return bool(answer.wanted or answer.missing > 0 or self._is_too_few(store, answer))
        return self._is_stuck(store, answer)


class Drawn:
    """What sample, step and replace answer, or one call's part of it."""

    __slots__ = ("is_in_vain", "malformed", "missing", "tasks", "wanted")

    def __init__(self, reply: list[Any], part: Part | None = None) -> None:
        _, _, wanted, missing, n = reply[:5]
        flat = reply[5 + n :]
        self.is_in_vain = not (flat or wanted)
        """Whether nobody got anything."""
        if part:
            first, there = part.first_draw, len(flat) // 3
            last = first + part.draws
            wanted = max(0, min(last, there + wanted) - max(first, there))
            flat = flat[3 * first : 3 * last]
            if 0 < first < last <= there:
                missing = 0  # the first of them sees to the pool
        self.wanted: int = wanted
        self.missing: int = missing
        self.tasks: list[Task] = []
        self.malformed: tuple[str, str, str] | None = None
        """Task id, field and value where somebody has overwritten a record; its draw counts."""
        for task_id, label, params in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
            try:
                self.tasks.append(Task(int(task_id), text(label), from_json(params)))
            except (ValueError, TypeError) as error:
                is_label = isinstance(error, UnicodeEncodeError) and error.object == label
                name, value = ("label", label) if is_label else ("params", params)
                self.malformed = (task_id, name, value)


def _again(write: Write, reply: list[Any]) -> list[Argument]:
    """The same draw to be replayed: counted, not drawn."""
    _, may_replace, _, _, _, *results = write.args
    return [0, may_replace, " ".join(reply[5 + reply[4] :: 3]), 0, "", *results]


def _results(store: Store, finished: object) -> list[Sent]:
    is_scalar = getattr(finished, "ndim", 1) == 0  # an array of no dimension cannot be iterated
    if is_scalar or not isinstance(finished, (list, tuple, Iterable)):  # two are quick to tell
        raise InvalidInputError("results", "pairs (task_id, score)", finished)
    results: list[Sent] = []
    algorithm = store.config.algorithm
    for i, result in enumerate(finished):
        if not _is_result(result):
            rule = "(task_id, score), or (task_id, score, numbers by name)"
            raise InvalidInputError(f"results[{i}]", rule, result)
        task_id = validate_task_id(result[0])
        try:
            score = store.config.normalize_score(result[1])
            numbers = algorithm.numbers_of(result[2] if len(result) > 2 else {})  # noqa: PLR2004
            if numbers:
                algorithm.check_result(score, *numbers)
        except InvalidInputError as error:
            rule = f"{error.rule} (results[{i}], task {task_id})"
            raise InvalidInputError(error.field, rule, error.value) from None
        results.append((task_id, (score, *numbers)))
    return results


def _is_result(result: object) -> TypeGuard[Result]:
    return isinstance(result, (tuple, list)) and (
        len(result) == 2 or (len(result) == 3 and isinstance(result[2], Mapping))  # noqa: PLR2004
    )
