"""Report results and draw tasks: one plan, which splits batches and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import from_json

from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.scripts import Script
from redis_curriculum._store.contracts import CREATE, RECORD, REPLACE, SAMPLE, STEP
from redis_curriculum._store.fill import creating, replacing
from redis_curriculum._store.once import Argument, Write
from redis_curriculum._store.store import OUTCOMES, Store
from redis_curriculum._values.rules import validate_task_id
from redis_curriculum.errors import (
    CurriculumError,
    EmptyPoolError,
    GeneratorError,
    IndexTakenError,
    InvalidInputError,
)
from redis_curriculum.tasks.outcome import Outcome, Step
from redis_curriculum.tasks.task import Task

MOST_DRAWS: Final = 1_000_000


@dataclass(slots=True)
class Play:
    """How far a call has come; the same call, made again after an error, goes on from here."""

    results: list[tuple[int, float]]
    count: int
    outcomes: list[Outcome] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    sent: int = 0
    """Results whose outcome is known."""
    drawn: int = 0
    """Tasks that are known."""
    write: Write | None = None
    """What is under way: sent, or about to be; its answer has not been taken."""
    answer: Drawn | None = None
    """The last answer that asks for more: tasks to replace, or a pool to fill."""

    @property
    def is_begun(self) -> bool:
        return self.sent > 0 or self.drawn > 0

    @property
    def is_done(self) -> bool:
        full = self.sent == len(self.results) and self.drawn >= self.count
        return full and self.answer is None


class Drawn:
    """What sample, step and replace answer."""

    __slots__ = ("missing", "next_index", "outcomes", "tasks", "wanted")

    def __init__(self, reply: list[Any]) -> None:
        _, _, self.wanted, self.next_index, self.missing, n = reply[:6]
        self.outcomes = reply[6 : 6 + n]
        flat = reply[6 + n :]
        self.tasks = [
            Task(int(task_id), label, from_json(params))
            for task_id, label, params in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        ]


def play(store: Store, finished: Iterable[tuple[int, float]], count: int) -> Plan[Step]:
    """Report results, in order, and draw ``count`` tasks; one round trip up to a chunk.

    The same call of the same thread, made again after an error or an interruption, is the
    same play: what was applied stays applied, what was drawn is handed over.
    """
    play, caller = Play(_results(store, finished), count), store.caller()
    before = store.unfinished.get(caller)
    if before and (before.results, before.count) == (play.results, play.count):
        play = before
    store.unfinished[caller] = play
    try:
        while not play.is_done:
            yield from _advance(store, play)
    except CurriculumError as error:
        if play.is_begun:
            error.applied = "unknown"
        elif error.applied == "no":
            del store.unfinished[caller]
        raise
    del store.unfinished[caller]
    return Step(play.tasks, play.outcomes)


def _advance(store: Store, play: Play) -> Plan[None]:
    """One call. It may be interrupted at any line: only the last one of each step counts."""
    write = play.write
    if write is None:
        write = play.write = Write(*_following(store, play))
    try:
        reply = yield from store.worker.send(write)
    except IndexTakenError as taken:  # other workers created tasks first: make others
        assert play.answer is not None  # noqa: S101 - only what it asks for needs an index
        play.answer.next_index, play.write = taken.next_index, None
        return
    except CurriculumError as error:
        if error.applied == "no":
            play.write = None
        raise
    _take(store, play, write, reply)


def _following(store: Store, play: Play) -> tuple[Script, list[Argument]]:
    """What to send next: what the last answer asks for, else the next chunk."""
    answer = play.answer
    if answer and not store.can_generate:
        play.answer = None
        raise EmptyPoolError("the pool is empty, and this worker has no task generator to fill it")
    try:
        if answer and answer.wanted:
            return store.script(REPLACE), replacing(store, answer.wanted, answer.next_index)
        if answer:
            return store.script(CREATE), creating(store, answer.missing, answer.next_index)
    except GeneratorError:  # the pool stays as it is; made again, the call goes on without
        play.answer = None
        raise
    batch = play.results[play.sent : play.sent + store.settings.chunk]
    flat: list[Argument] = [item for result in batch for item in result]
    last = play.sent + len(batch) == len(play.results)
    draws = min(play.count - play.drawn, store.settings.chunk) if last else 0
    if not draws:
        return store.script(RECORD), flat
    head: list[Argument] = [draws, int(store.can_generate), ""]
    return store.script(STEP if batch else SAMPLE), [*head, *flat]


def _take(store: Store, play: Play, write: Write, reply: list[Any]) -> None:
    """Take the answer over. What is before the last line may happen twice."""
    if write.script.name == CREATE.name:
        play.answer, play.write = None, None
        return
    batch = min(store.settings.chunk, len(play.results) - play.sent)
    answer, outcomes = None, reply[2:]
    if write.script.name != RECORD.name:
        answer = Drawn(reply)
        outcomes = answer.outcomes
        play.tasks[play.drawn :] = answer.tasks
        if write.script.name != REPLACE.name:
            store.worker.remember(write, _again(write, answer))
    repeated = [Outcome.DUPLICATE] * batch
    play.outcomes[play.sent :] = repeated if reply[0] else [OUTCOMES[i] for i in outcomes]
    more = answer if answer and _asks_for_more(store, answer) else None
    sent, drawn = play.sent + batch, len(play.tasks)
    play.sent, play.drawn, play.answer, play.write = sent, drawn, more, None


def _asks_for_more(store: Store, answer: Drawn) -> bool:
    if store.can_generate:
        return bool(answer.wanted or answer.missing)
    return bool(answer.missing == store.config.num_active_tasks)  # nothing at all to draw


def _again(write: Write, answer: Drawn) -> list[Argument]:
    """The same draw to be replayed: counted, not drawn."""
    _, may_replace, _, *results = write.args
    return [0, may_replace, " ".join(str(task.task_id) for task in answer.tasks), *results]


def _results(store: Store, finished: object) -> list[tuple[int, float]]:
    if not isinstance(finished, (list, tuple, Iterable)):  # the first two are quick to tell
        raise InvalidInputError("results", "pairs (task_id, score)", finished)
    results = []
    for i, result in enumerate(finished):
        if not isinstance(result, (tuple, list)) or len(result) != 2:  # noqa: PLR2004
            raise InvalidInputError(f"results[{i}]", "a pair (task_id, score)", result)
        task_id = validate_task_id(result[0])
        results.append((task_id, store.config.normalize_score(result[1])))
    return results
