"""Bring a curriculum of an older schema up to this one, in place: all or nothing.

No live worker of the older version may be there. The state is read at one moment, written as a new
generation beside the current one, read back, and made current by one script. That script compares
first: since the moment nothing in the older generation has changed, and no worker has come. Workers
of schema 1 copy what they change while a moment is marked, so a change leaves a trace. Killed at
any point, the curriculum is entirely of the older schema or entirely of this one.

What stands outside of a generation stays where it is: epochs, events, the counters of ``meta``. The
random stream is written as this schema writes it.
"""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, cast

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import SCHEMA
from redis_curriculum._protocol.plan import Plan, Sleep
from redis_curriculum._protocol.requirements import audit, enforce, is_older, require_schema
from redis_curriculum._protocol.stored import malformed, number, whole
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum._state.consistent_read import Moment, Turn
from redis_curriculum._state.expected import Totals
from redis_curriculum._state.export import manifest_of, read_lines
from redis_curriculum._state.file import Progress
from redis_curriculum._state.format import (
    MODELS,
    LabelLine,
    Line,
    TaskLine,
    check_random,
    check_statistics,
    config_of_2,
    known,
)
from redis_curriculum._state.indices import Words
from redis_curriculum._state.intake import Intake
from redis_curriculum._state.stage import EXPIRE_MS, Stage, drop_generations
from redis_curriculum._store.contracts import MIGRATE
from redis_curriculum._store.workers import WorkerRow, workers
from redis_curriculum._values.rules import canonical_json
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.errors import (
    CurriculumError,
    CurriculumNotFoundError,
    MalformedStateError,
    MigrationError,
    ServerUnavailableError,
    SnapshotError,
    SnapshotRunningError,
    StaleGenerationError,
)

log = logging.getLogger("redis_curriculum")

_RENEW_S: Final = 10.0
_LOOK_S: Final = 0.2
_LISTED: Final = 5
_LINES_PER_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class Migration:
    """What was done."""

    name: str
    from_schema: int
    """This library's own: there was nothing to do."""
    to_schema: int
    tasks: int
    """How many were rewritten."""


def migrating(server: Server, url: str, progress: Progress | None = None) -> Plan[Migration]:
    """Audit the server, then migrate; wait for live workers until the deadline.

    Args:
        server: That of the curriculum. Its deadline is how long a request is retried, and how long
            workers, or another migration, are waited for.
        url: Its URL without password: messages name it.
        progress: Called with (steps done, steps in all); a step is a task read or written.

    Raises:
        CurriculumNotFoundError: There is none of that name.
        MigrationError: Workers hold leases, or write meanwhile; nothing was changed.
        UnsupportedServerError: The schema is unknown, or the server would lose data.
    """
    enforce(audit((yield from server.info()), persistent=False), url)
    return (yield from migrate(server, progress, wait=True))


def migrate(
    server: Server, progress: Progress | None = None, *, wait: bool = False
) -> Plan[Migration]:
    """Migrate a curriculum, if that is due; some five round trips per 100 tasks.

    Another process that is about the same is waited for. ``wait``: so are live workers.

    Raises:
        As ``migrating``.
    """
    name, until = server.keys.name, time.monotonic() + server.deadline_s
    refused: MigrationError | None = None
    while True:
        words = ("HMGET", server.keys.meta, "schema", "generation", "config")
        schema, generation, config = yield from server.command(*words)
        if schema is None:
            raise CurriculumNotFoundError(name)
        if not is_older(schema):
            require_schema(name, schema)
            return Migration(name, SCHEMA, SCHEMA, 0)
        # Only now: the live workers may have been those of another process that has migrated.
        if refused and (time.monotonic() >= until or (refused.workers and not wait)):
            raise refused
        try:
            at = server.at(number(server.keys, "generation", generation))
            return (yield from _attempt(at, schema, config or "", progress))
        except (SnapshotRunningError, StaleGenerationError) as error:
            refused = MigrationError(f"curriculum {name!r} is not migrated yet: {error}")
        except MigrationError as error:
            if not error.workers:
                raise
            refused = error
        yield Sleep(_LOOK_S)


def _attempt(
    server: Server, schema: str, stored: str, progress: Progress | None
) -> Plan[Migration]:
    """Migrate, or say what is in the way."""
    live = yield from workers(server, live_only=True)
    if live:
        raise _are_live(server.keys.name, schema, live)
    try:
        return (yield from _in_place(server, schema, stored, progress))
    except (SnapshotRunningError, CurriculumNotFoundError):
        raise
    except (SnapshotError, MalformedStateError, ValueError, KeyError) as error:
        message = f"curriculum {server.keys.name!r} was not migrated and is as it was: {error}"
        raise MigrationError(message) from error


def _are_live(name: str, schema: str, live: Sequence[WorkerRow]) -> MigrationError:
    who = ", ".join(map(_described, live[:_LISTED]))
    more = f" and {len(live) - _LISTED} more" if len(live) > _LISTED else ""
    return MigrationError(
        f"curriculum {name!r} has keys of schema {schema}, this library knows {SCHEMA}, and workers"
        f" of the older version are live: {who}{more}; end them, or wait until their leases have"
        f" ended, then run: redis-curriculum migrate {name}",
        workers=[worker.worker_id for worker in live],
    )


def _described(worker: WorkerRow) -> str:
    left_s = max(0, worker.lease_left_ms) / 1000
    where = f"host {worker.host}, process {worker.pid}"
    return f"{worker.worker_id} ({where}, its lease ends in {left_s:.0f} s)"


def _in_place(
    server: Server, schema: str, stored: str, progress: Progress | None
) -> Plan[Migration]:
    """Read, stage, compare and flip."""
    config = CurriculumConfig.from_json(canonical_json(config_of_2(json.loads(stored))))
    moment = Moment(server, config.algorithm)
    stage: _InPlace | None = None
    try:
        yield from moment.begin(Turn(0))  # who calls this waits
        intake = yield from _read(moment, config, progress)
        stage = _InPlace(moment, intake)
        yield from stage.write(_second_half(progress))
        yield from stage.flip(schema)
    except GeneratorExit:  # interrupted while a reply was awaited: the claims end by themselves
        raise
    except BaseException as error:
        if stage and not isinstance(error, ServerUnavailableError):
            yield from stage.discard()
        if stage:
            yield from stage.abandon()
        yield from moment.abandon()
        raise
    name, tasks = server.keys.name, intake.totals.parts.total()
    log.info("curriculum %r: schema %s to %s, %s tasks", name, schema, SCHEMA, tasks)
    with suppress(CurriculumError):  # what is left is for gc
        yield from drop_generations(stage.server)
    return Migration(name, int(schema), SCHEMA, tasks)


def _read(moment: Moment, config: CurriculumConfig, progress: Progress | None) -> Plan[Intake]:
    kept = _Kept(config)
    scorer = config.algorithm
    yield from read_lines(moment, scorer, (), kept.add, _first_half(progress))
    for label in kept.labels:
        kept.totals.add_label(label.label, label.statistics)
    moment.meta["random"] = _random(moment)
    manifest = manifest_of(moment, redis="")
    return Intake(manifest, config, [], kept.totals, kept.labels, kept.again)


def _first_half(progress: Progress | None) -> Progress | None:
    return progress and (lambda done, total: progress(done, 2 * total))


def _second_half(progress: Progress | None) -> Progress | None:
    return progress and (lambda done, total: progress(total + done, 2 * total))


@dataclass(slots=True)
class _Kept:
    """Lines in memory, compressed to some tenth of their size."""

    config: CurriculumConfig
    labels: list[LabelLine] = field(default_factory=list)
    totals: Totals = field(init=False)
    _texts: list[str] = field(default_factory=list)
    _chunks: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.totals = Totals(self.config.algorithm)

    def add(self, line: Line) -> None:
        """Check a line as a snapshot's is checked, and keep it."""
        scorer = self.config.algorithm
        if isinstance(line, LabelLine):
            check_statistics(scorer, "label", line.statistics, line.last_score)
            self.labels.append(line.model_copy(update={"epoch": {}}))  # they stay where they are
            return
        if isinstance(line, TaskLine):
            check_statistics(scorer, "task", line.statistics, line.last_score)
            self.totals.add(line.label, line.statistics)
        self._texts.append(json.dumps(known(line), ensure_ascii=False, allow_nan=False))
        if len(self._texts) == _LINES_PER_CHUNK:
            self._pack()

    def _pack(self) -> None:
        self._chunks.append(zlib.compress("\n".join(self._texts).encode(), level=1))
        self._texts.clear()

    def again(self) -> Iterator[Line]:
        """Give what was kept: all but the labels."""
        if self._texts:
            self._pack()
        for chunk in self._chunks:
            for text in zlib.decompress(chunk).splitlines():
                fields = json.loads(text)
                yield cast("Line", MODELS[fields["type"]].model_construct(**fields))


def _random(moment: Moment) -> str:
    """Schema 1 has the random stream as six decimal numbers."""
    words = moment.meta.get("random", "").split(" ")
    try:
        return RandomStream(check_random([whole(word) for word in words])).text
    except ValueError:
        raise malformed(moment.server.keys.meta, "random", moment.meta.get("random")) from None


class _InPlace(Stage):
    """The next generation of a curriculum whose moment is held meanwhile."""

    def __init__(self, moment: Moment, intake: Intake) -> None:
        generation = moment.server.keys.generation
        server = moment.server.at(generation + 1)
        super().__init__(server, str(generation), intake, moment.token)
        self._moment, self._renewed = moment, time.monotonic()

    def put(self, commands: Sequence[Words], *, expire_ms: int = EXPIRE_MS) -> Plan[None]:
        """Send some commands; both claims hold on."""
        if time.monotonic() - self._renewed > _RENEW_S:
            yield from self._moment.renew()
            self._renewed = time.monotonic()
        yield from super().put(commands, expire_ms=expire_ms)

    def flip(self, schema: str) -> Plan[None]:
        """Make it the current generation. One round trip.

        Raises:
            MigrationError: A worker of the older version has written, or holds a lease.
        """
        args = [*self.head, self.steps, schema, self.intake.config.events_retained]
        meta = {**self.meta, "random": RandomStream(self.intake.manifest.random).text}
        args += [word for pair in meta.items() for word in pair]
        yield from self.server.run(MIGRATE, *args)
