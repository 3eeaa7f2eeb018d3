"""Write a snapshot of one moment while workers go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, cast

from redis_curriculum._protocol.keys import EPOCH
from redis_curriculum._protocol.plan import Command, Plan
from redis_curriculum._protocol.records import PROGRESS_FIELDS, TaskRecord
from redis_curriculum._protocol.requirements import parse_info
from redis_curriculum._state.consistent_read import CHUNK, LabelState, Moment
from redis_curriculum._state.file import Progress, SnapshotInfo, Target, Writer
from redis_curriculum._state.format import (
    FORMAT,
    EpochLine,
    LabelLine,
    Manifest,
    QuarantineLine,
    StatisticsLine,
    TaskLine,
    What,
)
from redis_curriculum._store.store import Store
from redis_curriculum._version import __version__
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.errors import SnapshotError

_NAMES_PER_LINE: Final = 500


def export(
    store: Store,
    path: Path,
    *,
    overwrite: bool = False,
    keep: int = 0,
    progress: Progress | None = None,
) -> Plan[SnapshotInfo]:
    """Write a snapshot beside ``path`` and rename it there; see ``Curriculum.snapshot``."""
    target = Target(path, overwrite=overwrite, keep=keep)
    deadline_s = store.settings.retry_deadline_s
    info = parse_info((yield from store.worker.ask(Command(("INFO",), store.keys.meta))))
    moment = Moment(store.keys, deadline_s)
    yield from moment.begin()
    try:
        with target.writing() as writer:
            yield from _write(writer, moment, str(info.get("redis_version", "unknown")), progress)
            yield from moment.end()
    except GeneratorExit:  # interrupted while a reply was awaited: the lease will end by itself
        raise
    except BaseException as error:
        yield from moment.abandon()
        if isinstance(error, OSError):
            raise SnapshotError(f"{path} cannot be written: {error}") from error
        raise
    return target.info(writer)


def _write(writer: Writer, moment: Moment, redis: str, progress: Progress | None) -> Plan[None]:
    manifest = _manifest(moment, redis)
    writer.add(manifest)
    quarantine = yield from moment.quarantine()
    ids = yield from moment.task_ids()
    yield from _write_labels(writer, moment)
    retained = CurriculumConfig.from_json(moment.meta["config"]).epochs_retained
    for epoch in range(max(0, manifest.epoch - retained), manifest.epoch):
        yield from _write_epoch(writer, moment, epoch)
    for task_id in sorted(quarantine.keys() - set(ids)):
        writer.add(QuarantineLine(task_id=task_id, error=quarantine[task_id]))
    for start in range(0, len(ids), CHUNK):
        for record in (yield from moment.tasks(ids[start : start + CHUNK])):
            writer.add(_task_line(record))
        if progress:
            progress(min(start + CHUNK, len(ids)), len(ids))
    if writer.counts["task"] != sum(moment.sizes):
        raise SnapshotError(
            f"the pool had {sum(moment.sizes)} tasks, {writer.counts['task']} were found;"
            " check() says more"
        )
    writer.finish()


def _manifest(moment: Moment, redis: str) -> Manifest:
    meta = dict(moment.meta)
    known = {
        "config": json.loads(meta.pop("config")),
        "config_sha256": meta.pop("config_sha256"),
        "epoch": int(meta.pop("epoch")),
        "generation": int(meta.pop("generation")),
        "next_index": int(meta.pop("next_index")),
        "random": [int(number) for number in meta.pop("random").split(" ")],
        "curriculum_created_ms": int(meta.pop("created_ms")),
        "forced": json.loads(meta.pop("forced", "[]")),
    }
    for passing in ("schema", "snapshot", "restored"):
        meta.pop(passing, None)
    return Manifest(
        format=FORMAT,
        library=__version__,
        redis=redis,
        name=moment.keys.name,
        created_ms=moment.started_ms,
        seed=known["config"]["seed"],
        counters={name: int(value) for name, value in meta.items()},
        workers=moment.workers,
        **known,
    )


def _write_labels(writer: Writer, moment: Moment) -> Plan[None]:
    names = yield from moment.label_names()
    for start in range(0, len(names), CHUNK):
        for state in (yield from moment.labels(names[start : start + CHUNK])):
            if state.label or state.count or state.epoch:
                writer.add(_label_line(state))


def _write_epoch(writer: Writer, moment: Moment, epoch: int) -> Plan[None]:
    for what in EPOCH:
        counts = yield from moment.epoch_counts(epoch, what)
        labels = sorted(counts)
        for start in range(0, len(labels), _NAMES_PER_LINE):
            part = {label: counts[label] for label in labels[start : start + _NAMES_PER_LINE]}
            writer.add(EpochLine(epoch=epoch, what=what, counts=part))


def _label_line(state: LabelState) -> LabelLine:
    numbers = {k: float(v) for k, v in state.progress.items() if k in PROGRESS_FIELDS}
    count = int(numbers.pop("completion_count", 0))
    return LabelLine(
        label=state.label,
        active=state.active,
        inactive_ms=state.inactive_ms,
        progress=StatisticsLine(completion_count=count, **numbers),
        count=cast("dict[What, int]", state.count),
        epoch=cast("dict[What, int]", state.epoch),
    )


def _task_line(record: dict[str, str]) -> TaskLine:
    task = TaskRecord.parse(record)
    return TaskLine(**{name: getattr(task, name) for name in task.__slots__})
