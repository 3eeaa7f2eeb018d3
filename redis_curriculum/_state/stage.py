"""A generation that is written beside the current one, read back, and not yet in use.

A claim keeps others from staging the same generation. Every key that is written expires until
``keep``, so that what a killed process has staged goes by itself. Who stages makes it current by a
script of its own (``restore.py``, ``migrate.py``).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, TypeVar

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import COUNTS, PARTS, SCHEMA
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.records import pairs
from redis_curriculum._state.expected import part_of, places_of
from redis_curriculum._state.file import Progress
from redis_curriculum._state.format import BatchLine, EpochLine, LabelLine, QuarantineLine, TaskLine
from redis_curriculum._state.indices import Words
from redis_curriculum._state.intake import Intake
from redis_curriculum._store.contracts import STAGE, STAGE_BEGIN, VERIFY_SUMS
from redis_curriculum._store.variant import packed_hypers, readable, variant_of
from redis_curriculum.errors import CurriculumError, SnapshotError
from redis_curriculum.scorers.base import Scorer
from redis_curriculum.scorers.own import OwnKey
from redis_curriculum.tasks.task import encode_params

_CHUNK: Final = 100
_LEASE_MS: Final = 60_000
EXPIRE_MS: Final = 3_600_000

T = TypeVar("T")


def drop_generations(server: Server) -> Plan[int]:
    """Remove every generation but that of ``server.keys``, 500 keys a call; return how many."""
    found = yield from server.scan_keys(f"{server.keys.prefix}g")
    gone = [key for key in found if not key.startswith(server.keys.pool)]
    for start in range(0, len(gone), 500):
        yield from server.command("UNLINK", *gone[start : start + 500])
    return len(gone)


class Stage:
    """One generation on its way; its methods are plans.

    Args:
        server: With the keys of the generation to be staged.
        current: What ``meta.generation`` must stay meanwhile; empty: no curriculum.
        intake: What is to be written.
        token: Tells this claim from others.
    """

    def __init__(self, server: Server, current: str, intake: Intake, token: str = "") -> None:
        self.server, self.intake = server, intake
        self._current = current
        self.head = (current, token or secrets.token_hex(8))
        """The first arguments of every script that stages, after the generation."""
        self.epochs: set[str] = set()
        """Epoch counters that were staged: ``<epoch>:<what>``."""
        self.has_weights = False
        """Whether a task was staged whose weight the trainer has set."""
        self.steps = 0
        """How many calls have staged; the server refuses one if it lacks the one before."""

    @property
    def is_unindexed(self) -> bool:
        """Whether the family has indices of its own, which the server builds from the records."""
        return any(key.is_index for key in self.intake.config.algorithm.OWN)

    @property
    def meta(self) -> dict[str, str | int | bytes]:
        """The fields of ``meta`` that belong to a generation and to this schema."""
        config = self.intake.config
        return {
            "schema": SCHEMA,
            "generation": self.server.keys.generation,
            "config": config.to_json(),
            "config_sha256": config.sha256(),
            "hypers": packed_hypers(config),
            "config_version": 1,
            **({"weighted": 1} if self.has_weights else {}),
            **({"unindexed": "start 0 0"} if self.is_unindexed else {}),
        }

    def write(self, progress: Progress | None) -> Plan[None]:
        """Claim the generation, write all of it, read it back, let it stay.

        Raises:
            SnapshotRunningError: Another claim holds.
            StaleGenerationError: The current generation is another.
            SnapshotError: The server does not hold what was sent, or the claim has ended.
        """
        yield from self._begin()
        yield from self._tasks(progress)
        yield from self._rest()
        yield from self._verify()
        yield from self._expire_after(0)

    def _begin(self) -> Plan[None]:
        """Claim the generation; take away what killed restores have left."""
        server = self.server
        yield from server.run(STAGE_BEGIN, *self.head, _LEASE_MS)
        yield from drop_generations(server.at(server.keys.generation - 1))

    def _tasks(self, progress: Progress | None) -> Plan[None]:
        """Write the records, the sorted sets and the labels' sets."""
        total, done = self.intake.totals.parts.total(), 0
        for tasks in _chunks(self.intake.tasks()):
            yield from self.put([*self._of_tasks(tasks)])
            done += len(tasks)
            if progress:
                progress(done, total)

    def _of_tasks(self, tasks: Sequence[TaskLine]) -> Iterator[Words]:
        sets: dict[tuple[str, str], list[str | int | float | bytes]] = {}
        for task in tasks:
            scorer = self.intake.config.algorithm
            part = part_of(int(task.statistics.get("completion_count", 0)), scorer)
            scored = sets.setdefault(("ZADD", part), [])
            scored += [scorer.rank(task.statistics), task.task_id]
            yield "HSET", f"task:{task.task_id}", *_fields(task, scorer)
            for key, value in _own(scorer, task):
                own = sets.setdefault(("ZADD" if key.is_sorted else "HSET", key.stem), [])
                own += [value, task.task_id] if key.is_sorted else [task.task_id, value]
            if task.weight is not None:
                sets.setdefault(("ZADD", "task_weights"), []).extend((task.weight, task.task_id))
                self.has_weights = True
        for words, members in sets.items():
            yield *words, *members
        by_label: dict[str, list[TaskLine]] = {}
        for task in tasks:
            by_label.setdefault(task.label, []).append(task)
        for label, of_label in by_label.items():
            yield "SADD", f"label:{label}", *(task.task_id for task in of_label)
            numbers = [(task.task_id, task.statistics) for task in of_label]
            yield from self.intake.totals.index.staged_tasks(label, numbers)

    def _rest(self) -> Plan[None]:
        """Write labels, counters, quarantine, batches, sums."""
        intake, batches = self.intake, 0
        commands: list[Words] = [w for label in intake.labels for w in self._of_label(label)]
        for line in intake.again():
            if isinstance(line, QuarantineLine):
                commands.append(("HSET", "quarantine", line.task_id, line.error))
            elif isinstance(line, BatchLine):
                batches += 1
                text = " ".join(map(str, (line.count, *line.task_ids)))
                commands.append(("HSET", "batches", line.key, text))
                commands.append(("ZADD", "batch_order", batches, line.key))
            elif isinstance(line, EpochLine):
                flat = (word for pair in line.counts.items() for word in pair)
                commands.append(("HSET", self._epoch(line.epoch, line.what), *flat))
        for start in range(0, len(commands), _CHUNK):
            yield from self.put(commands[start : start + _CHUNK])
        yield from self.put([*intake.totals.index.staged_sums(), *self._of_pool()])

    def _of_pool(self) -> Iterator[Words]:
        scorer = self.intake.config.algorithm
        if statistics := scorer.adopted("pool", self.intake.manifest.statistics):
            yield "HSET", "statistics", "stats", scorer.packed("pool", statistics)
        for key in scorer.OWN:
            found = self.intake.manifest.own.get(key.name, {}) if key.holder == "pool" else {}
            flat = [word for pair in found.items() if key.allows(pair[1]) for word in pair]
            for start in range(0, len(flat), _CHUNK):
                yield "HSET", key.stem, *flat[start : start + _CHUNK]

    def _of_label(self, line: LabelLine) -> Iterator[Words]:
        intake, label = self.intake, line.label
        active, gone = intake.totals.active[label], intake.dropped_of[label]
        if active:
            yield "HSET", "labels", label, active
        elif label:
            yield "ZADD", "inactive", intake.inactive_since(line), label
        fields = readable(intake.config.algorithm, "label", line.statistics, line.last_score)
        if fields:
            yield "HSET", f"progress:{label}", *(word for pair in fields.items() for word in pair)
        yield from intake.totals.index.staged_label(label)
        for own, value in _own(intake.config.algorithm, line) if label else ():
            words = (value, label) if own.is_sorted else (label, value)
            yield "ZADD" if own.is_sorted else "HSET", own.stem, *words
        for counts, stem in ((line.count, "count:"), (line.epoch, None)):
            lost = {"evictions": gone} if gone else {}
            for what in COUNTS:
                count = counts.get(what, 0) + lost.get(what, 0)
                if count:
                    key = f"{stem}{what}" if stem else self._epoch(intake.manifest.epoch, what)
                    yield "HSET", key, label, count

    def _epoch(self, epoch: int, what: str) -> str:
        self.epochs.add(f"{epoch}:{what}")
        return f"epoch:{epoch}:{what}"

    def _verify(self) -> Plan[None]:
        """Read everything back and compare it with what the records imply.

        Raises:
            SnapshotError: The server does not hold what was sent.
        """
        server, keys, totals = self.server, self.server.keys, self.intake.totals
        for tasks in _chunks(self.intake.tasks()):
            seen = [(task.task_id, task.label) for task in tasks]
            places = yield from places_of(server, self._current, seen, self.intake.config)
            for place, task in zip(places, tasks, strict=True):
                for problem in place.problems(totals.scorer):
                    raise SnapshotError(f"staging failed: {problem}")
                if place.completion_count != str(int(task.statistics.get("completion_count", 0))):
                    raise SnapshotError(f"staging failed: task {task.task_id} is not there")
            yield from self.put([])  # the claim goes on
        for part in PARTS:
            yield from self._expect(totals.parts[part], "ZCARD", f"{keys.pool}{part}")
        for label, count in sorted(totals.active.items()):
            yield from self._expect(count, "SCARD", keys.label(label))
            yield from self._expect(str(count) if count else None, "HGET", keys.labels, label)
        for name, labels in totals.index.sizes().items():
            yield from self._expect(labels, "ZCARD", f"{keys.pool}{name}")
        script = VERIFY_SUMS.script(variant_of(totals.scorer))
        found = yield from server.run(script, self._current)
        sums = {name: int(text) for name, text in pairs(found).items() if int(text)}
        if sums != totals.index.sums():
            raise SnapshotError(f"staging failed: sums are {sums}, not {totals.index.sums()}")

    def _expect(self, value: object, *words: str) -> Plan[None]:
        found = yield from self.server.command(*words)
        if found != value:
            raise SnapshotError(f"staging failed: {' '.join(words)} is {found}, not {value}")

    def abandon(self) -> Plan[None]:
        """Let the next claim begin at once; never fails, never retries."""
        with suppress(CurriculumError):  # the claim will end by itself
            yield self.server.request(STAGE, *self.head, 0, EXPIRE_MS, self.steps)

    def discard(self) -> Plan[None]:
        """Let all that was written go at once; never fails, never retries."""
        self.server = Server(self.server.keys, 0.0)
        with suppress(CurriculumError):  # the next claim, or gc, removes what stays
            yield from self._expire_after(1)

    def _expire_after(self, expire_ms: int) -> Plan[None]:
        """0: let nothing of it expire any more."""
        pool = self.server.keys.pool
        found = yield from self.server.scan_keys(pool)
        words: list[Words] = [("PERSIST", key.removeprefix(pool)) for key in found]
        for start in range(0, len(words), 2 * _CHUNK):
            yield from self.put(words[start : start + 2 * _CHUNK], expire_ms=expire_ms)

    def put(self, commands: Sequence[Words], *, expire_ms: int = EXPIRE_MS) -> Plan[None]:
        """Send some commands; the claim holds on."""
        step = self.steps + 1
        args: list[str | int | float | bytes] = [*self.head, _LEASE_MS, expire_ms, step]
        for words in commands:
            args += [len(words), *words]
        yield from self.server.run(STAGE, *args)
        self.steps = step


def _fields(task: TaskLine, scorer: Scorer) -> Iterator[str | int | float | bytes]:
    own: dict[str, str | int | float | bytes] = {
        "label": task.label,
        "params": encode_params(task.params),
        "created_ms": task.created_ms,
        "completion_count": 0,
        "sample_count": task.sample_count,
        "failure_count": task.failure_count,
    }
    if task.consecutive_failures:
        own["consecutive_failures"] = task.consecutive_failures
    if task.last_error is not None:
        own["last_error"] = task.last_error
    if task.weight is not None:
        own["weight"] = task.weight
    for pair in {**own, **readable(scorer, "task", task.statistics, task.last_score)}.items():
        yield from pair


def _own(scorer: Scorer, line: TaskLine | LabelLine) -> Iterator[tuple[OwnKey, float | str]]:
    """What a task or label has in keys of the family's own, or begins with."""
    for key in scorer.OWN:
        if key.holder == line.type and not key.is_index:
            given = line.own.get(key.name)
            value = given if key.allows(given) else key.first
            if value is not None:
                yield key, value


def _chunks(lines: Iterator[T]) -> Iterator[list[T]]:
    while chunk := list(islice(lines, _CHUNK)):
        yield chunk
