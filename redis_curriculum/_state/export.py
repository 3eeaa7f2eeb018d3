"""Write a snapshot of one moment while workers go on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from io import BytesIO
from typing import cast

from pydantic_core import from_json

from redis_curriculum._protocol.keys import EPOCH
from redis_curriculum._protocol.plan import InThread, Plan
from redis_curriculum._protocol.stored import number
from redis_curriculum._state.consistent_read import CHUNK, LabelState, Moment, Turn
from redis_curriculum._state.expected import statistics_of
from redis_curriculum._state.file import Lines, Progress, SnapshotInfo, Target, checked_progress
from redis_curriculum._state.format import (
    COUNTERS,
    FORMAT,
    MOST_NAMES,
    EpochLine,
    LabelLine,
    Line,
    Manifest,
    QuarantineLine,
    TaskLine,
    What,
)
from redis_curriculum._state.remote import Remote, place_of
from redis_curriculum._store.store import Store
from redis_curriculum._values.rules import validate_path
from redis_curriculum._version import __version__
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.errors import InvalidInputError, MalformedStateError, SnapshotError
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
    moment = Moment(store.server, store.variant)
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
    moment = Moment(store.server, store.variant)
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
    lines.close()
    return buffer.getvalue(), lines


def _write(
    lines: Lines, moment: Moment, info: Mapping[str, str], progress: Progress | None
) -> Plan[None]:
    manifest = manifest_of(moment, str(info.get("redis_version", "unknown")))
    lines.add(manifest)
    config = CurriculumConfig.from_json(moment.meta["config"])
    epochs = range(max(0, manifest.epoch - config.epochs_retained), manifest.epoch)
    yield from read_lines(moment, config.algorithm, epochs, lines.add, progress)
    lines.finish()


def manifest_of(moment: Moment, redis: str) -> Manifest:
    """Return the first line of a snapshot of a moment.

    Raises:
        MalformedStateError: Something in ``meta`` cannot be read.
    """
    name = moment.server.keys.name
    try:
        return _manifest_of(moment, redis)
    except InvalidInputError as error:
        raise MalformedStateError(name, f"meta.{error.field}", error.value) from error
    except (ValueError, LookupError, TypeError) as error:
        raise MalformedStateError(name, "meta", str(error)) from error


def _manifest_of(moment: Moment, redis: str) -> Manifest:
    meta, keys = moment.meta, moment.server.keys
    config = json.loads(meta["config"])

    def whole(field: str) -> int:
        return number(keys, field, meta.get(field))

    return Manifest(
        format=FORMAT,
        library=__version__,
        redis=redis,
        name=moment.server.keys.name,
        created_ms=moment.started_ms,
        curriculum_created_ms=whole("created_ms"),
        config=config,
        config_sha256=meta.get("config_sha256", ""),
        seed=config["seed"],
        epoch=whole("epoch"),
        generation=whole("generation"),
        next_index=whole("next_index"),
        random=[int(word) for word in meta["random"].split(" ")],
        counters={name: whole(name) for name in COUNTERS if name in meta},
        forced=json.loads(meta.get("forced", "[]")),
        workers=moment.workers,
        statistics=moment.statistics,
    )


def read_lines(
    moment: Moment,
    scorer: Scorer,
    epochs: Iterable[int],
    add: Callable[[Line], object],
    progress: Progress | None,
) -> Plan[None]:
    """Read labels, closed epochs, quarantined tasks and tasks; ``add`` takes each line.

    Raises:
        SnapshotError: The number of tasks is not the pool's.
    """
    quarantine = yield from moment.quarantine()
    ids = yield from moment.task_ids()
    yield from _read_labels(moment, scorer, add)
    for epoch in epochs:
        yield from _read_epoch(moment, epoch, add)
    for task_id in sorted(quarantine.keys() - set(ids)):
        add(QuarantineLine(task_id=task_id, error=quarantine[task_id]))
    found = 0
    for start in range(0, len(ids), CHUNK):
        records = yield from moment.tasks(ids[start : start + CHUNK])
        for record in records:
            add(_task_line(record, scorer))
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
                add(_label_line(state, scorer))


def _read_epoch(moment: Moment, epoch: int, add: Callable[[Line], object]) -> Plan[None]:
    for what in EPOCH:
        counts = yield from moment.epoch_counts(epoch, what)
        labels = sorted(counts)
        for start in range(0, len(labels), MOST_NAMES):
            part = {label: counts[label] for label in labels[start : start + MOST_NAMES]}
            add(EpochLine(epoch=epoch, what=what, counts=part))


def _label_line(state: LabelState, scorer: Scorer) -> LabelLine:
    score = state.progress.get("last_score")
    return LabelLine(
        label=state.label,
        active=state.active,
        inactive_ms=state.inactive_ms,
        statistics=statistics_of(scorer, "label", state.progress),
        last_score=None if score is None else float(score),
        count=cast("dict[What, int]", state.count),
        epoch=cast("dict[What, int]", state.epoch),
    )


def _task_line(record: dict[str, str], scorer: Scorer) -> TaskLine:
    score = record.get("last_score")
    return TaskLine(
        task_id=int(record["task_id"]),
        label=record["label"],
        params=from_json(record["params"]),
        created_ms=int(record["created_ms"]),
        sample_count=int(record["sample_count"]),
        failure_count=int(record["failure_count"]),
        statistics=statistics_of(scorer, "task", record),
        last_score=None if score is None else float(score),
        consecutive_failures=int(record.get("consecutive_failures", 0)),
        last_error=record.get("last_error"),
    )
