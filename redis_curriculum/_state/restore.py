"""From a snapshot back to a curriculum: all or nothing.

The file is checked to its end before anything is sent. Then a new generation is written beside the
current one, read back and compared with what its records imply, and made current by one script that
compares and sets. Killed at any point, the curriculum is entirely old or entirely new; what a
killed restore has staged expires; if it was killed in the last moment before that script, the next
restore or ``gc`` removes it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, TypeVar

from redis_curriculum._protocol.asking import ask, scan_keys
from redis_curriculum._protocol.keys import COUNTS, PARTS, SCHEMA, Keys
from redis_curriculum._protocol.plan import Command, Plan, Run
from redis_curriculum._protocol.records import pairs
from redis_curriculum._protocol.requirements import audit, enforce, parse_info
from redis_curriculum._state.expected import part_of, places_of
from redis_curriculum._state.file import Progress
from redis_curriculum._state.format import EpochLine, LabelLine, QuarantineLine, TaskLine
from redis_curriculum._state.indices import Words
from redis_curriculum._state.intake import Intake
from redis_curriculum._store.contracts import FLIP, STAGE, STAGE_BEGIN, VERIFY_SUMS
from redis_curriculum._store.variant import packed_hypers, readable, variant_of
from redis_curriculum._values.rules import canonical_json, validate_name
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.errors import (
    CurriculumError,
    CurriculumNotFoundError,
    SnapshotError,
    StaleGenerationError,
)
from redis_curriculum.scorers.base import Scorer
from redis_curriculum.tasks.task import encode_params

_CHUNK: Final = 100
_LEASE_MS: Final = 60_000
_EXPIRE_MS: Final = 3_600_000

T = TypeVar("T")


def restoring(
    url: str,
    intake: Intake,
    name: str | None,
    settings: WorkerSettings,
    *,
    replace: bool,
    progress: Progress | None,
) -> Plan[str]:
    """Stage, verify, flip; return the curriculum's name. See ``Curriculum.restore``.

    ``url`` is the server's, without password: messages name it.
    """
    name = validate_name(intake.manifest.name if name is None else name)
    meta, deadline_s = Keys(name).meta, settings.retry_deadline_s
    info = parse_info((yield from ask(Command(("INFO",), meta), deadline_s)))
    enforce(audit(info, persistent=False), url)
    words = ("HMGET", meta, "generation", "schema")
    current, schema = yield from ask(Command(words, meta), deadline_s)
    if current is not None and schema != str(SCHEMA):
        raise SnapshotError(f"curriculum {name!r} has keys of schema {schema}, not {SCHEMA}")
    if current is not None and not replace:
        raise SnapshotError(
            f"curriculum {name!r} exists on {url}; replace=True (--replace) replaces it"
        )
    # Whoever creates it now begins after the generation of a deleted curriculum.
    deleted = yield from ask(Command(("GET", Keys(name).deleted), meta), deadline_s)
    keys = Keys(name, int(current or int(deleted or 0) + 1) + 1)
    stage = _Stage(keys, current or "", intake, deadline_s)
    try:
        yield from stage.begin()
        yield from stage.tasks(progress)
        yield from stage.rest()
        yield from stage.verify()
        yield from stage.keep()
        yield from stage.flip()
    except GeneratorExit:  # interrupted while a reply was awaited: the claim will end by itself
        raise
    except BaseException as error:
        yield from stage.abandon()
        if isinstance(error, (StaleGenerationError, CurriculumNotFoundError)):
            raise SnapshotError(
                f"curriculum {name!r} was created or replaced meanwhile; nothing was restored"
            ) from None
        raise
    with suppress(CurriculumError):  # what is left is for the next restore, or for gc
        yield from drop_generations(keys, deadline_s)
    return name


def drop_generations(keys: Keys, deadline_s: float) -> Plan[int]:
    """Remove every generation but the one of ``keys``, 500 keys a call; return how many keys."""
    found = yield from scan_keys(f"{keys.prefix}g", keys.meta, deadline_s)
    gone = [key for key in found if not key.startswith(keys.pool)]
    for start in range(0, len(gone), 500):
        yield from ask(Command(("UNLINK", *gone[start : start + 500]), keys.meta), deadline_s)
    return len(gone)


class _Stage:
    """One generation being written; every key of it expires until ``keep``."""

    def __init__(self, keys: Keys, current: str, intake: Intake, deadline_s: float) -> None:
        self._keys, self._current, self._intake = keys, current, intake
        self._deadline_s = deadline_s
        self._token = secrets.token_hex(8)
        self._head = (keys.generation, current, self._token)
        self._epochs: set[str] = set()

    def begin(self) -> Plan[None]:
        """Claim the generation; take away what killed restores have left."""
        args = [*self._head, _LEASE_MS]
        yield from ask(Run(STAGE_BEGIN, self._keys.meta, args), self._deadline_s)
        keys = Keys(self._keys.name, self._keys.generation - 1)
        yield from drop_generations(keys, self._deadline_s)

    def tasks(self, progress: Progress | None) -> Plan[None]:
        """Write the records, the sorted sets and the labels' sets."""
        total, done = self._intake.totals.parts.total(), 0
        for tasks in _chunks(self._intake.tasks()):
            yield from self._put([*self._of_tasks(tasks)])
            done += len(tasks)
            if progress:
                progress(done, total)

    def _of_tasks(self, tasks: Sequence[TaskLine]) -> Iterator[Words]:
        sets: dict[tuple[str, str], list[str | int | float | bytes]] = {}
        for task in tasks:
            scorer = self._intake.config.algorithm
            part = part_of(int(task.statistics.get("completion_count", 0)), scorer)
            scored = sets.setdefault(("ZADD", part), [])
            scored += [scorer.rank(task.statistics), task.task_id]
            yield "HSET", f"task:{task.task_id}", *_fields(task, scorer)
        for words, members in sets.items():
            yield *words, *members
        by_label: dict[str, list[int]] = {}
        for task in tasks:
            by_label.setdefault(task.label, []).append(task.task_id)
        for label, task_ids in by_label.items():
            yield "SADD", f"label:{label}", *task_ids
            yield from self._intake.totals.index.staged_tasks(label, task_ids)

    def rest(self) -> Plan[None]:
        """Write labels, counters, quarantine, sums."""
        intake = self._intake
        commands: list[Words] = [w for label in intake.labels for w in self._of_label(label)]
        for line in intake.again():
            if isinstance(line, QuarantineLine):
                commands.append(("HSET", "quarantine", line.task_id, line.error))
            elif isinstance(line, EpochLine):
                flat = (word for pair in line.counts.items() for word in pair)
                commands.append(("HSET", self._epoch(line.epoch, line.what), *flat))
        for start in range(0, len(commands), _CHUNK):
            yield from self._put(commands[start : start + _CHUNK])
        yield from self._put([*intake.totals.index.staged_sums()])

    def _of_label(self, line: LabelLine) -> Iterator[Words]:
        intake, label = self._intake, line.label
        active, gone = intake.totals.active[label], intake.dropped_of[label]
        since = line.inactive_ms
        if active:
            yield "HSET", "labels", label, active
        elif label and (since is not None or gone):
            yield "ZADD", "inactive", intake.manifest.created_ms if since is None else since, label
        fields = readable(intake.config.algorithm, "label", line.statistics, line.last_score)
        if fields:
            yield "HSET", f"progress:{label}", *(word for pair in fields.items() for word in pair)
        yield from intake.totals.index.staged_label(label)
        for counts, stem in ((line.count, "count:"), (line.epoch, None)):
            lost = {"evictions": gone} if gone else {}
            for what in COUNTS:
                count = counts.get(what, 0) + lost.get(what, 0)
                if count:
                    key = f"{stem}{what}" if stem else self._epoch(intake.manifest.epoch, what)
                    yield "HSET", key, label, count

    def _epoch(self, epoch: int, what: str) -> str:
        self._epochs.add(f"{epoch}:{what}")
        return f"epoch:{epoch}:{what}"

    def verify(self) -> Plan[None]:
        """Read everything back and compare it with what the records imply.

        Raises:
            SnapshotError: The server does not hold what was sent.
        """
        keys, totals = self._keys, self._intake.totals
        for tasks in _chunks(self._intake.tasks()):
            seen = [(task.task_id, task.label) for task in tasks]
            places = yield from places_of(
                keys, self._current, seen, self._intake.config, self._deadline_s
            )
            for place, task in zip(places, tasks, strict=True):
                for problem in place.problems(totals.scorer):
                    raise SnapshotError(f"staging failed: {problem}")
                if place.completion_count != str(int(task.statistics.get("completion_count", 0))):
                    raise SnapshotError(f"staging failed: task {task.task_id} is not there")
            yield from self._put([])  # the claim goes on
        for part in PARTS:
            yield from self._expect(totals.parts[part], "ZCARD", f"{keys.pool}{part}")
        for label, count in sorted(totals.active.items()):
            yield from self._expect(count, "SCARD", keys.label(label))
            yield from self._expect(str(count) if count else None, "HGET", keys.labels, label)
        for name, labels in totals.index.sizes().items():
            yield from self._expect(labels, "ZCARD", f"{keys.pool}{name}")
        args = [keys.generation, self._current]
        script = VERIFY_SUMS.script(variant_of(totals.scorer))
        found = yield from ask(Run(script, keys.meta, args), self._deadline_s)
        sums = {name: int(text) for name, text in pairs(found).items() if int(text)}
        if sums != totals.index.sums():
            raise SnapshotError(f"staging failed: sums are {sums}, not {totals.index.sums()}")

    def _expect(self, value: object, *words: str) -> Plan[None]:
        found = yield from ask(Command(words, self._keys.meta), self._deadline_s)
        if found != value:
            raise SnapshotError(f"staging failed: {' '.join(words)} is {found}, not {value}")

    def keep(self) -> Plan[None]:
        """Let nothing of it expire any more."""
        keys = self._keys
        found = yield from scan_keys(keys.pool, keys.meta, self._deadline_s)
        words: list[Words] = [("PERSIST", key.removeprefix(keys.pool)) for key in found]
        for start in range(0, len(words), 2 * _CHUNK):
            yield from self._put(words[start : start + 2 * _CHUNK], expire_ms=0)

    def flip(self) -> Plan[None]:
        """Make it the current generation. One round trip."""
        manifest, config = self._intake.manifest, self._intake.config
        oldest = yield from self._oldest_epoch()
        meta: dict[str, str | int | bytes] = {
            "schema": SCHEMA,
            "generation": self._keys.generation,
            "config": config.to_json(),
            "config_sha256": config.sha256(),
            "hypers": packed_hypers(config),
            "config_version": 1,
            "epoch": manifest.epoch,
            "created_ms": manifest.curriculum_created_ms,
            "random": " ".join(map(str, manifest.random)),
            "next_index": manifest.next_index,
            "forced": canonical_json(manifest.forced + self._intake.forced),
        }
        counters: dict[str, str | int | bytes] = {str(k): n for k, n in manifest.counters.items()}
        note = canonical_json(self._intake.forced) if self._intake.forced else ""
        args: list[str | int | bytes] = [*self._head, oldest, config.events_retained, note]
        args += [len(self._epochs)]
        args += [
            *sorted(self._epochs),
            *(word for pair in (counters | meta).items() for word in pair),
        ]
        yield from ask(Run(FLIP, self._keys.meta, args), self._deadline_s)

    def _oldest_epoch(self) -> Plan[int]:
        stem = f"{self._keys.prefix}epoch:"
        found = yield from scan_keys(stem, self._keys.meta, self._deadline_s)
        return min((int(key.removeprefix(stem).partition(":")[0]) for key in found), default=0)

    def abandon(self) -> Plan[None]:
        """Let the next restore begin at once; never fails, never retries."""
        with suppress(CurriculumError):  # the claim will end by itself
            yield Run(STAGE, self._keys.meta, [*self._head, 0, _EXPIRE_MS])

    def _put(self, commands: Sequence[Words], *, expire_ms: int = _EXPIRE_MS) -> Plan[None]:
        args: list[str | int | float | bytes] = [*self._head, _LEASE_MS, expire_ms]
        for words in commands:
            args += [len(words), *words]
        yield from ask(Run(STAGE, self._keys.meta, args), self._deadline_s)


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
    for pair in {**own, **readable(scorer, "task", task.statistics, task.last_score)}.items():
        yield from pair


def _chunks(lines: Iterator[T]) -> Iterator[list[T]]:
    while chunk := list(islice(lines, _CHUNK)):
        yield chunk
