"""What a curriculum does on its server: one plan an operation, one script a change.

Plans check their input before anything is sent, split batches, and go on where they stopped when
the same call is made again after an error. Both handles (room ``_client``) run them.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from redis_curriculum._protocol.asking import scan, scan_counts
from redis_curriculum._protocol.keys import PARTS, Keys
from redis_curriculum._protocol.plan import Command, Plan, Run
from redis_curriculum._protocol.records import TaskRecord, pairs
from redis_curriculum._protocol.scripts import Script
from redis_curriculum._sampling.pool import Pool, distribution
from redis_curriculum._store.contracts import (
    CREATE,
    EVICT,
    FAIL,
    HYPERS,
    NUMBERS,
    READ,
    RECORD,
    REPLACE,
    SAMPLE,
    SET_LABEL,
    STEP,
)
from redis_curriculum._store.fill import can_generate, new_tasks
from redis_curriculum._store.once import Argument, Worker, Write
from redis_curriculum._store.play import OUTCOMES, Drawn, Play
from redis_curriculum._values.rules import validate_label, validate_task_id
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.errors import (
    CurriculumError,
    EmptyPoolError,
    GeneratorError,
    IndexTakenError,
    InvalidInputError,
    StaleGenerationError,
)
from redis_curriculum.tasks.ids import label_hash
from redis_curriculum.tasks.outcome import Outcome, Step

MOST_DRAWS: Final = 1_000_000
QUARANTINE_RETAINED: Final = 1000
_READ_CHUNK: Final = 500
_VALUES_PER_READ: Final = 1_400  # well below a millisecond of the server's time


class Store:
    """The plans of one curriculum as one worker carries them out."""

    def __init__(
        self,
        name: str,
        generation: int,
        config: CurriculumConfig,
        settings: WorkerSettings,
        epoch: int = 0,
        *,
        playing: bool = True,
    ) -> None:
        self._playing = playing  # who only looks builds no generator: its class may run anything
        self.keys = Keys(name, generation)
        self.settings = settings
        self.worker = Worker(self.keys, settings)
        self.caller: Callable[[], object] = threading.current_thread
        """Who calls: threads (or asyncio tasks) that share a handle repeat their own calls only."""
        self._unfinished: WeakKeyDictionary[object, Play] = WeakKeyDictionary()
        self._unanswered: WeakKeyDictionary[object, Write] = WeakKeyDictionary()
        self.epoch = epoch
        """The epoch that this handle believes current; only its trainer's handle needs to."""
        self.ending: Write | None = None
        """The end of an epoch whose report has not been handed over."""
        self.configure(config)

    def begin_anew(self) -> None:
        """Become another worker, with nothing begun: after a fork."""
        self.worker.begin_anew()
        self._unfinished.clear()
        self._unanswered.clear()
        self.ending = None

    def configure(self, config: CurriculumConfig) -> None:
        """Take over a config: the hypers travel with every call, packed once."""
        self.config = config
        self.can_generate = self._playing and can_generate(config)
        hypers = _hypers(config, can_generate=self.can_generate)
        self._pooled = [int(hypers["pooled"]), hypers["performance_bonus_weight"]]
        self._hypers = struct.pack(f"<{len(HYPERS)}d", *(hypers[name] for name in HYPERS))

    # --- playing ---------------------------------------------------------------------------------

    def play(self, finished: Iterable[tuple[int, float]], count: int) -> Plan[Step]:
        """Report results, in order, and draw ``count`` tasks; one round trip up to a chunk.

        The same call of the same thread, made again after an error or an interruption, is the
        same play: what was applied stays applied, what was drawn is handed over.
        """
        play, caller = Play(self._results(finished), count), self.caller()
        before = self._unfinished.get(caller)
        if before and (before.results, before.count) == (play.results, play.count):
            play = before
        self._unfinished[caller] = play
        try:
            while not play.is_done:
                yield from self._advance(play)
        except CurriculumError as error:
            if play.is_begun:
                error.applied = "unknown"
            elif error.applied == "no":
                del self._unfinished[caller]
            raise
        del self._unfinished[caller]
        return Step(play.tasks, play.outcomes)

    def _advance(self, play: Play) -> Plan[None]:
        """One call. It may be interrupted at any line: only the last one of each step counts."""
        write = play.write
        if write is None:
            write = play.write = Write(*self._following(play))
        try:
            reply = yield from self.worker.send(write)
        except IndexTakenError as taken:  # other workers created tasks first: make others
            assert play.answer is not None  # noqa: S101 - only what it asks for needs an index
            play.answer.next_index, play.write = taken.next_index, None
            return
        except CurriculumError as error:
            if error.applied == "no":
                play.write = None
            raise
        self._take(play, write, reply)

    def _following(self, play: Play) -> tuple[Script, list[Argument]]:
        """What to send next: what the last answer asks for, else the next chunk."""
        answer = play.answer
        if answer and not self.can_generate:
            play.answer = None
            raise EmptyPoolError(
                "the pool is empty, and this worker has no task generator to fill it"
            )
        try:
            if answer and answer.wanted:
                return REPLACE, self._replacing(answer.wanted, answer.next_index)
            if answer:
                return CREATE, self._creating(answer.missing, answer.next_index)
        except GeneratorError:  # the pool stays as it is; made again, the call goes on without
            play.answer = None
            raise
        batch = play.results[play.sent : play.sent + self.settings.chunk]
        flat: list[Argument] = [item for result in batch for item in result]
        last = play.sent + len(batch) == len(play.results)
        draws = min(play.count - play.drawn, self.settings.chunk) if last else 0
        if not draws:
            return RECORD, [self._hypers, *flat]
        return STEP if batch else SAMPLE, [self._hypers, draws, "", *flat]

    def _take(self, play: Play, write: Write, reply: list[Any]) -> None:
        """Take the answer over. What is before the last line may happen twice."""
        if write.script is CREATE:
            play.answer, play.write = None, None
            return
        batch = min(self.settings.chunk, len(play.results) - play.sent)
        answer, outcomes = None, reply[1:]
        if write.script is not RECORD:
            answer = Drawn(reply)
            outcomes = answer.outcomes
            play.tasks[play.drawn :] = answer.tasks
            if write.script is not REPLACE:
                self.worker.remember(write, self._again(write, answer))
        repeated = [Outcome.DUPLICATE] * batch
        play.outcomes[play.sent :] = repeated if reply[0] else [OUTCOMES[i] for i in outcomes]
        more = answer if answer and self._asks_for_more(answer) else None
        sent, drawn = play.sent + batch, len(play.tasks)
        play.sent, play.drawn, play.answer, play.write = sent, drawn, more, None

    def _asks_for_more(self, answer: Drawn) -> bool:
        if self.can_generate:
            return bool(answer.wanted or answer.missing)
        return bool(answer.missing == self.config.num_active_tasks)  # nothing at all to draw

    def _again(self, write: Write, answer: Drawn) -> list[Argument]:
        """The same draw to be replayed: counted, not drawn."""
        hypers, _, _, *results = write.args
        return [hypers, 0, " ".join(str(task.task_id) for task in answer.tasks), *results]

    def _results(self, finished: object) -> list[tuple[int, float]]:
        if not isinstance(finished, (list, tuple, Iterable)):  # the first two are quick to tell
            raise InvalidInputError("results", "pairs (task_id, score)", finished)
        results = []
        for i, result in enumerate(finished):
            if not isinstance(result, (tuple, list)) or len(result) != 2:  # noqa: PLR2004
                raise InvalidInputError(f"results[{i}]", "a pair (task_id, score)", result)
            task_id = validate_task_id(result[0])
            results.append((task_id, self.config.normalize_score(result[1])))
        return results

    def evict(self, task_id: object) -> Plan[Outcome]:
        """Take one task out of the pool."""
        config = self.config
        head = [*self._pooled, config.labels_retained, config.events_retained]
        reply = yield from self.worker.write(
            EVICT, [*head, validate_task_id(task_id)], leased=False
        )
        return Outcome.DUPLICATE if reply[0] else OUTCOMES[reply[1]]

    def set_label(self, task_id: object, label: object) -> Plan[Outcome]:
        """Move one task to another label."""
        task_id, label = validate_task_id(task_id), validate_label(label)
        head = [*self._pooled, self.config.labels_retained]
        reply = yield from self.worker.write(SET_LABEL, [*head, task_id, label, label_hash(label)])
        return Outcome.DUPLICATE if reply[0] else OUTCOMES[reply[1]]

    def fail(self, task_id: object, error: str, *, permanent: bool) -> Plan[list[int]]:
        """Count a failure: [repeated, 2 quarantined, 1 counted or 0 gone, next_index, missing]."""
        config, algorithm = self.config, self.config.algorithm
        score = algorithm.failure_score
        args: list[Argument] = [
            self._hypers,
            1 if permanent else algorithm.max_consecutive_failures,
            config.labels_retained,
            config.events_retained,
            QUARANTINE_RETAINED,
            validate_task_id(task_id),
            "" if score is None else score,
            error,
        ]
        return (yield from self.once(FAIL, args))

    def once(self, script: Script, args: list[Argument]) -> Plan[list[Any]]:
        """Send a write that counts each time; made again after an error it is the same write.

        Again means: by the same caller, with the same arguments, before any other of its kind.
        """
        caller = self.caller()
        write = self._unanswered.get(caller)
        if write is None or (write.script, write.args) != (script, args):
            write = Write(script, args)
        self._unanswered[caller] = write
        try:
            reply: list[Any] = yield from self.worker.send(write)
        except CurriculumError as error:
            if error.applied == "no":
                del self._unanswered[caller]
            raise
        del self._unanswered[caller]
        return reply

    # --- filling the pool ------------------------------------------------------------------------

    def fill(self, next_index: int) -> Plan[None]:
        """Create tasks until the pool is full; others may do so at the same time."""
        missing = self.config.num_active_tasks
        while missing:
            try:
                args = self._creating(missing, next_index)
                _, _, next_index, missing = yield from self.worker.write(CREATE, args)
            except IndexTakenError as taken:
                next_index = taken.next_index

    def _creating(self, missing: int, next_index: int) -> list[Argument]:
        """Arguments that create up to a chunk of tasks."""
        config = self.config
        threshold = config.algorithm.hypers.success_threshold
        specs = new_tasks(config, next_index, min(missing, self.settings.chunk))
        return [threshold, config.events_retained, config.num_active_tasks, next_index, *specs]

    def _replacing(self, count: int, next_index: int) -> list[Argument]:
        """Arguments that evict up to ``count`` tasks of low progress and draw new ones instead."""
        config, hypers = self.config, self.config.algorithm.hypers
        return [
            *self._pooled,
            hypers.eviction_threshold_percentile,
            hypers.success_threshold,
            config.labels_retained,
            config.events_retained,
            config.num_active_tasks,
            next_index,
            *new_tasks(config, next_index, count),
        ]

    # --- reading ---------------------------------------------------------------------------------

    def read(self, task_ids: Sequence[int]) -> Plan[list[TaskRecord | None]]:
        """Read whole records; None where a task is not in the pool."""
        records: list[TaskRecord | None] = []
        for start in range(0, len(task_ids), _READ_CHUNK):
            chunk = task_ids[start : start + _READ_CHUNK]
            request = Run(READ, self.keys.meta, [self.keys.generation, *chunk])
            reply = yield from self.worker.ask(request)
            records += [TaskRecord.parse(pairs(flat)) if flat else None for flat in reply]
        return records

    def read_one(self, task_id: object) -> Plan[TaskRecord | None]:
        """Read one record."""
        (record,) = yield from self.read([validate_task_id(task_id)])
        return record

    def task_ids(self, label: object = None) -> Plan[list[int]]:
        """Ids of the pool's tasks, or of a label's, ascending."""
        if label is not None:
            found = yield from self._scan("SSCAN", self.keys.label(validate_label(label)))
        else:
            found = []
            for part in PARTS:  # tasks only move forward, so none is missed
                key = f"{self.keys.pool}{part}"
                found += (yield from self._scan("ZSCAN", key))[::2]
        yield from self._same_generation()
        return sorted({int(task_id) for task_id in found})

    def labels(self) -> Plan[dict[str, int]]:
        """Label to number of its active tasks, sorted by label."""
        found = yield from scan_counts(self.keys.labels, self.settings.retry_deadline_s)
        yield from self._same_generation()
        return dict(sorted(found.items()))

    def numbers(
        self, family: str, fields: Sequence[str], names: Sequence[str | int]
    ) -> Plan[tuple[NDArray[np.float64], list[str]]]:
        """Read numeric fields of many tasks (``task``) or labels (``progress``).

        Returns:
            An array of shape (len(names), len(fields) + 1), NaN where absent, whose last column
            holds the index of a task's label among the labels, which are the second item.
        """
        width = len(fields) + 1
        table, labels = np.empty((len(names), width)), dict[str, int]()
        head = [self.keys.generation, family, len(fields), *fields]
        step = min(max(_VALUES_PER_READ // width, 1), 2 * _READ_CHUNK)
        for start in range(0, len(names), step):
            chunk = names[start : start + step]
            reply = yield from self.worker.ask(Run(NUMBERS, self.keys.meta, [*head, *chunk]))
            rows = table[start : start + step]
            rows[:] = np.array(from_json(reply[0])).reshape(-1, width)
            own = [labels.setdefault(label, len(labels)) for label in reply[1:]]
            known = ~np.isnan(rows[:, -1])
            rows[known, -1] = np.array(own, dtype=float)[rows[known, -1].astype(np.intp)]
        return table, list(labels)

    def pool(self) -> Plan[Pool]:
        """Read the numbers that draws depend on."""
        ids = yield from self.task_ids()
        fields = ("completion_count", "learning_progress", "p_true")
        tasks, names = yield from self.numbers("task", fields, ids)
        progress, _ = yield from self.numbers("progress", fields[1:], names)
        there = ~np.isnan(tasks[:, -1])
        counts, lps, trues, label_index = tasks[there].T
        return Pool(
            task_ids=np.array(ids, dtype=np.int64)[there],
            completion_count=counts.astype(np.int64),
            learning_progress=lps,
            p_true=trues,
            label_index=label_index.astype(np.intp),
            label_learning_progress=progress[:, 0],
            label_p_true=progress[:, 1],
        )

    def distribution(self) -> Plan[dict[int, float]]:
        """Every task's probability; sums to 1."""
        pool = yield from self.pool()
        if not len(pool):
            return {}
        probabilities = distribution(pool, self.config.algorithm.hypers)
        return dict(zip(np.asarray(pool.task_ids).tolist(), probabilities.tolist(), strict=True))

    def _scan(self, command: str, key: str) -> Plan[list[str]]:
        return (yield from scan(command, key, self.settings.retry_deadline_s))

    def _same_generation(self) -> Plan[None]:
        request = Command(("HGET", self.keys.meta, "generation"), self.keys.meta)
        generation = yield from self.worker.ask(request)
        if generation != str(self.keys.generation):
            raise StaleGenerationError("a restore replaced this curriculum's state; open it again")


def _hypers(config: CurriculumConfig, *, can_generate: bool) -> dict[str, float]:
    """The config's numbers by the names in ``HYPERS``; no replacement by who cannot generate."""
    hypers = config.algorithm.hypers
    bonus_rule = hypers.exploration == "bonus"
    return {
        **{name: getattr(hypers, name) for name in HYPERS if hasattr(hypers, name)},
        "pooled": hypers.pooling == "label",
        "bonus_rule": bonus_rule,
        "explore": hypers.exploration_bonus if bonus_rule else hypers.exploration_share,
        "replacement_rate": hypers.replacement_rate if can_generate else 0,
        "num_active_tasks": config.num_active_tasks,
    }
