"""Write a snapshot of one moment while workers go on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from io import BytesIO
from typing import cast

from redis_curriculum._protocol.keys import EPOCH
from redis_curriculum._protocol.plan import InThread, Plan
from redis_curriculum._protocol.records import known_fields
from redis_curriculum._protocol.stored import field, malformed, number, text
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum._state.consistent_read import CHUNK, LabelState, Moment, Turn
from redis_curriculum._state.expected import statistics_of
from redis_curriculum._state.file import Lines, Progress, SnapshotInfo, Target, checked_progress
from redis_curriculum._state.format import (
    COUNTERS,
    FORMAT,
    MOST_NAMES,
    BatchLine,
    EpochLine,
    LabelLine,
    Line,
    Manifest,
    Own,
    QuarantineLine,
    TaskLine,
    What,
    own_of,
)
from redis_curriculum._state.remote import Remote, place_of
from redis_curriculum._store.store import Store, stored_config
from redis_curriculum._values.rules import parse_json_object, validate_path
from redis_curriculum._version import __version__
from redis_curriculum.errors import InvalidInputError, SnapshotError
from redis_curriculum.scorers.base import Scorer


def export(
    store: Store,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    keep: int = 0,
    progress: Progress | None = None,
) -> Plan[SnapshotInfo]:
    """Write a snapshot beside ``path`` and rename it there; see ``Curriculum.snapshot``."""
    checked_progress(progress)
    place = place_of(path)
    if isinstance(place, Remote):
        rules = {"overwrite": overwrite, "keep": keep}
        yield InThread(partial(place.check, **rules))
        data, lines = yield from to_bytes(store, progress)
        yield InThread(partial(place.write, data, **rules))
        return lines.info(place.url, len(data))
    target = Target(validate_path(place, "path"), overwrite=overwrite, keep=keep)
    info = yield from store.server.info()
    moment = Moment(store.server, store.config.algorithm)
    yield from moment.begin(Turn(store.server.deadline_s))
    try:
        with target.writing() as writer:
            yield from _write(writer, moment, info, progress)
            yield from moment.end()
    except GeneratorExit:  # interrupted while a reply was awaited: the lease will end by itself
        raise
    except BaseException as error:
        yield from moment.abandon()
        if isinstance(error, OSError):
            raise SnapshotError(f"{path} cannot be written: {error}") from error
        raise
    return writer.info(target.path, target.path.stat().st_size)


def to_bytes(store: Store, progress: Progress | None = None) -> Plan[tuple[bytes, Lines]]:
    """Return the bytes of a snapshot file, and what wrote them."""
    info = yield from store.server.info()
    moment = Moment(store.server, store.config.algorithm)
    yield from moment.begin(Turn(store.server.deadline_s))
    buffer = BytesIO()
    lines = Lines(buffer)
    try:
        yield from _write(lines, moment, info, progress)
        yield from moment.end()
    except GeneratorExit:
        raise
    except BaseException:
        yield from moment.abandon()
        raise
    finally:
        lines.close()
    return buffer.getvalue(), lines


def _write(
    lines: Lines, moment: Moment, info: Mapping[str, str], progress: Progress | None
) -> Plan[None]:
    manifest = manifest_of(moment, str(info.get("redis_version", "unknown")))
    lines.add(manifest)
    config = stored_config(moment.server.keys, moment.meta.get("config"))
    epochs = range(max(0, manifest.epoch - config.epochs_retained), manifest.epoch)
    yield from read_lines(moment, config.algorithm, epochs, lines.add, progress)
    lines.finish()


def manifest_of(moment: Moment, redis: str) -> Manifest:
    """Return the first line of a snapshot of a moment.

    Raises:
        MalformedStateError: Something in ``meta`` cannot be read.
    """
    try:
        return _manifest_of(moment, redis)
    except InvalidInputError as error:
        raise malformed(moment.server.keys.meta, error.field, error.value) from error


def _manifest_of(moment: Moment, redis: str) -> Manifest:
    meta, keys = moment.meta, moment.server.keys
    config = field(meta, "config", partial(parse_json_object, field="config"))

    def whole(name: str) -> int:
        return number(keys, name, meta.get(name))

    return Manifest(
        format=FORMAT,
        library=__version__,
        redis=redis,
        name=moment.server.keys.name,
        created_ms=moment.started_ms,
        curriculum_created_ms=whole("created_ms"),
        config=config,
        config_sha256=field({"config_sha256": "", **meta}, "config_sha256", text),
        seed=config.get("seed", -1),
        epoch=whole("epoch"),
        generation=whole("generation"),
        next_index=whole("next_index"),
        random=field(meta, "random", lambda text: [*RandomStream.from_text(text).state]),
        counters={name: whole(name) for name in COUNTERS if name in meta},
        forced=field({"forced": "[]", **meta}, "forced", json.loads),
        workers=moment.workers,
        statistics=moment.statistics,
        own=own_of(moment.scorer, "pool", moment.own),
    )


def read_lines(
    moment: Moment,
    scorer: Scorer,
    epochs: Iterable[int],
    add: Callable[[Line], object],
    progress: Progress | None,
) -> Plan[None]:
    """Read labels, closed epochs, quarantined tasks, batches and tasks; ``add`` takes each line.

    Raises:
        SnapshotError: The number of tasks is not the pool's.
    """
    ids = yield from moment.task_ids()
    yield from _read_labels(moment, scorer, add)
    for epoch in epochs:
        yield from _read_epoch(moment, epoch, add)
    for task_id in sorted(moment.quarantine.keys() - set(ids)):
        add(QuarantineLine(task_id=task_id, error=moment.quarantine[task_id]))
    for batch in moment.batches:
        add(_batch_line(moment, batch))
    found = 0
    for start in range(0, len(ids), CHUNK):
        records = yield from moment.tasks(ids[start : start + CHUNK])
        for record in records:
            key = moment.server.keys.task(record["task_id"])
            own = own_of(scorer, "task", moment.own_of(record["task_id"], record))
            add(_task_line(record, own, scorer, key))
        found += len(records)
        if progress:
            progress(min(start + CHUNK, len(ids)), len(ids))
    if found != sum(moment.sizes):
        raise SnapshotError(
            f"the pool had {sum(moment.sizes)} tasks, {found} were found; check() says more"
        )


def _read_labels(moment: Moment, scorer: Scorer, add: Callable[[Line], object]) -> Plan[None]:
    names = yield from moment.label_names()
    for start in range(0, len(names), CHUNK):
        for state in (yield from moment.labels(names[start : start + CHUNK])):
            if state.label or state.count or state.epoch:
                add(_label_line(state, scorer, moment.server.keys.progress(state.label)))


def _read_epoch(moment: Moment, epoch: int, add: Callable[[Line], object]) -> Plan[None]:
    for what in EPOCH:
        counts = yield from moment.epoch_counts(epoch, what)
        labels = sorted(counts)
        for start in range(0, len(labels), MOST_NAMES):
            part = {label: counts[label] for label in labels[start : start + MOST_NAMES]}
            add(EpochLine(epoch=epoch, what=what, counts=part))


def _batch_line(moment: Moment, key: str) -> BatchLine:
    where = moment.server.keys.batches
    try:
        count, *task_ids = (int(word) for word in moment.batches[key].split(" "))
        return BatchLine(key=text(key), count=count, task_ids=task_ids)
    except (InvalidInputError, ValueError) as error:
        raise malformed(where, key, moment.batches[key]) from error


def _label_line(state: LabelState, scorer: Scorer, key: str) -> LabelLine:
    score = state.progress.get("last_score")
    try:
        return LabelLine(
            label=state.label,
            active=state.active,
            inactive_ms=state.inactive_ms,
            statistics=statistics_of(scorer, "label", state.progress),
            last_score=None if score is None else field(state.progress, "last_score", float),
            count=cast("dict[What, int]", state.count),
            epoch=cast("dict[What, int]", state.epoch),
            own=own_of(scorer, "label", state.own),
        )
    except InvalidInputError as error:
        raise malformed(key, error.field, error.value) from error


def _task_line(record: dict[str, str], own: Own, scorer: Scorer, key: str) -> TaskLine:
    try:
        known = known_fields(record)
        del known["completion_count"]  # it is among the statistics
        statistics = statistics_of(scorer, "task", record)
        return TaskLine(task_id=int(record["task_id"]), statistics=statistics, own=own, **known)
    except InvalidInputError as error:
        raise malformed(key, error.field, error.value) from error
