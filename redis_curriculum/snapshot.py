"""A snapshot: one file that holds all of a curriculum at one moment.

Gzipped JSON Lines, readable without this library: a manifest (config, counters, random state), then
one line per label, closed epoch, quarantined task and task, then a closing line with the counts and
the SHA-256 of all lines before it. Floats are written so that they read back to the same bits.

``export`` writes it from a ``Moment`` while workers go on; ``read`` checks every line before anyone
acts on it. A reader's mistakes are ``SnapshotError`` with line and field.
"""

from __future__ import annotations

import fcntl
import glob
import gzip
import hashlib
import json
import os
import secrets
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal, Self, TypeAlias, cast

from pydantic import Field, model_validator

from redis_curriculum.audit import parse_info
from redis_curriculum.config import CurriculumConfig
from redis_curriculum.connection import Command, Plan
from redis_curriculum.errors import InvalidInputError, SnapshotError
from redis_curriculum.keys import EPOCH
from redis_curriculum.moment import CHUNK, LabelState, Moment
from redis_curriculum.records import PROGRESS_FIELDS, TaskRecord
from redis_curriculum.store import Store
from redis_curriculum.tasks import Params, encode_params, label_hash
from redis_curriculum.validation import (
    FrozenModel,
    In,
    canonical_json,
    parse_json_object,
    validate_label,
    validate_name,
)

FORMAT: Final = 1
MOST_LINE_BYTES: Final = 8 * 2**20
_MOST_TASKS: Final = 2**20
_NAMES_PER_LINE: Final = 500
_KEEP: Final = In("[0, 1000]")

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (tasks done, tasks in all)."""

Natural = Annotated[int, In("[0, 2**53)")]
Whole = Annotated[int, In("[-2**63, 2**63)")]
Amount = Annotated[float, In("[0, 1e300]")]
Fraction = Annotated[float, In("[0, 1]")]
Average = Annotated[float, In("[0, 1.000001]")]  # of fractions; rounding must not refuse a file
What = Literal["completions", "samples", "evictions", "failures", "created"]
OfEpoch = What | Literal["times", "success", "progress"]


class Manifest(FrozenModel):
    """The first line: everything but the tasks and labels."""

    type: Literal["manifest"] = "manifest"
    format: Natural
    library: str
    """Version that wrote it."""
    redis: str
    """Version of the server."""
    name: str
    created_ms: Natural
    """The moment, by the server's clock."""
    curriculum_created_ms: Natural
    config: dict[str, Any]
    config_sha256: str
    seed: Annotated[int, In("[0, 2**63)")]
    epoch: Natural
    generation: Natural
    next_index: Natural
    random: Annotated[list[Natural], Field(min_length=6, max_length=6)]
    counters: dict[str, Whole]
    forced: list[dict[str, Any]]
    """Notes of restores that overrode structural fields."""
    workers: dict[str, dict[str, str]]


_LEFT_BY_COMPLETIONS: Final = (
    "learning_progress",
    "last_score",
    "reward_ema",
    "ema_squared",
    "success_rate_ema",
    "p_fast",
    "p_slow",
    "p_true",
)


class _Statistics(FrozenModel):
    """What completions have left; all absent before the first."""

    completion_count: Natural = 0
    total_score: Amount = 0.0
    last_score: Fraction | None = None
    reward_ema: Average | None = None
    ema_squared: Average | None = None
    success_rate_ema: Average | None = None
    p_fast: Average | None = None
    p_slow: Average | None = None
    p_true: Average | None = None
    random_baseline: Fraction | None = None
    learning_progress: Average | None = None

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        for name in _LEFT_BY_COMPLETIONS:
            value = getattr(self, name)
            if (self.completion_count > 0) != (value is not None):
                raise InvalidInputError(name, "there if and only if there are completions", value)
        return self


class LabelLine(FrozenModel):
    """One label, active or remembered; the empty one holds the counts of forgotten labels."""

    type: Literal["label"] = "label"
    label: str
    active: Natural
    inactive_ms: Natural | None = None
    progress: _Statistics
    count: dict[What, Natural]
    epoch: dict[What, Natural]


class EpochLine(FrozenModel):
    """Part of what is kept of a closed epoch."""

    type: Literal["epoch"] = "epoch"
    epoch: Natural
    what: OfEpoch
    counts: dict[str, Natural | Amount]


class QuarantineLine(FrozenModel):
    """A task that was evicted for failing."""

    type: Literal["quarantine"] = "quarantine"
    task_id: Natural
    error: str


class TaskLine(_Statistics):
    """One task's record."""

    type: Literal["task"] = "task"
    task_id: Natural
    label: str
    label_hash: Natural
    params: Params
    created_ms: Natural
    sample_count: Natural
    failure_count: Natural
    success_threshold: Fraction
    consecutive_failures: Natural = 0
    last_error: str | None = None


class EndLine(FrozenModel):
    """The last line."""

    type: Literal["end"] = "end"
    labels: Natural
    epochs: Natural
    quarantined: Natural
    tasks: Natural
    sha256: str
    """Of all lines before this one, with their line feeds."""


Line = Manifest | LabelLine | EpochLine | QuarantineLine | TaskLine | EndLine
_MODELS: Final[dict[str, type[FrozenModel]]] = {
    "manifest": Manifest,
    "label": LabelLine,
    "epoch": EpochLine,
    "quarantine": QuarantineLine,
    "task": TaskLine,
    "end": EndLine,
}
_FIRST: Final = ("type", "task_id", "label")  # so that a person sees at once what a line is
_COUNTED: Final = {
    "label": "labels",
    "epoch": "epochs",
    "quarantine": "quarantined",
    "task": "tasks",
}


def known(line: FrozenModel) -> dict[str, Any]:
    """Fields that are not None: absent means never."""
    return {name: value for name, value in line.model_dump().items() if value is not None}


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """What was written."""

    path: Path
    tasks: int
    labels: int
    size: int
    """Bytes of the file."""
    sha256: str
    """Of its lines."""


# --- export --------------------------------------------------------------------------------------


def export(
    store: Store,
    path: Path,
    *,
    overwrite: bool = False,
    keep: int = 0,
    progress: Progress | None = None,
) -> Plan[SnapshotInfo]:
    """Write a snapshot beside ``path`` and rename it there; see ``Curriculum.snapshot``."""
    target = _Target(path, overwrite=overwrite, keep=keep)
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


def _write(writer: _Writer, moment: Moment, redis: str, progress: Progress | None) -> Plan[None]:
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
        library=_library_version(),
        redis=redis,
        name=moment.keys.name,
        created_ms=moment.started_ms,
        seed=known["config"]["seed"],
        counters={name: int(value) for name, value in meta.items()},
        workers=moment.workers,
        **known,
    )


def _write_labels(writer: _Writer, moment: Moment) -> Plan[None]:
    names = yield from moment.label_names()
    for start in range(0, len(names), CHUNK):
        for state in (yield from moment.labels(names[start : start + CHUNK])):
            if state.label or state.count or state.epoch:
                writer.add(_label_line(state))


def _write_epoch(writer: _Writer, moment: Moment, epoch: int) -> Plan[None]:
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
        progress=_Statistics(completion_count=count, **numbers),
        count=cast("dict[What, int]", state.count),
        epoch=cast("dict[What, int]", state.epoch),
    )


def _task_line(record: dict[str, str]) -> TaskLine:
    task = TaskRecord.parse(record)
    return TaskLine(**{name: getattr(task, name) for name in task.__slots__})


def _library_version() -> str:
    from redis_curriculum import __version__  # the package imports this module first

    return __version__


class _Target:
    """Where the snapshot goes: written beside, flushed to disk, renamed; older ones rotate."""

    def __init__(self, path: Path, *, overwrite: bool, keep: int) -> None:
        self.path, self._keep = path, int(_KEEP.require(keep, "keep"))
        if path.is_dir():
            raise SnapshotError(f"{path} is a directory")
        if not path.parent.is_dir():
            raise SnapshotError(f"{path.parent} is not a directory")
        if path.exists() and not (overwrite or keep):
            raise SnapshotError(f"{path} exists; overwrite=True (--overwrite) replaces it")
        self._beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")

    def writing(self) -> _Writer:
        """Open the file beside the target; leaving it well puts it in place."""
        self._clear_away()
        try:
            raw = self._beside.open("xb")
            with suppress(OSError):  # a file system without locks keeps what the dead leave
                fcntl.flock(raw, fcntl.LOCK_EX)
            if not self._beside.exists():  # another exporter saw it before it was locked
                raw.close()
                return self.writing()
        except OSError as error:
            raise SnapshotError(f"{self.path} cannot be written: {error}") from error
        return _Writer(raw, self)

    def _clear_away(self) -> None:
        """Remove what exporters to the same path wrote before they were killed: none holds it."""
        for left in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.tmp"):
            with suppress(OSError), left.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()

    def commit(self) -> None:
        """Rename it to the target, so that a crash leaves the old file or the new one."""
        if self._keep and self.path.exists():
            for n in range(self._keep, 1, -1):
                older = self._numbered(n - 1)
                if older.exists():
                    older.replace(self._numbered(n))
            self._keep_as(self._numbered(1))
        self._beside.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self) -> None:
        """Leave nothing."""
        with suppress(OSError):
            self._beside.unlink()

    def info(self, writer: _Writer) -> SnapshotInfo:
        """Say what was written."""
        return SnapshotInfo(
            path=self.path,
            tasks=writer.counts["task"],
            labels=writer.counts["label"],
            size=self.path.stat().st_size,
            sha256=writer.sha256.hexdigest(),
        )

    def _keep_as(self, kept: Path) -> None:
        """Give the file a second name, so that it has the first until the new one takes it."""
        kept.unlink(missing_ok=True)
        try:
            kept.hardlink_to(self.path)
        except OSError:  # this file system has one name for a file
            self.path.replace(kept)

    def _numbered(self, n: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{n}")


class _Writer:
    """Counts and hashes the lines it writes."""

    def __init__(self, raw: BinaryIO, target: _Target) -> None:
        self._raw, self._target = raw, target
        self._file = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)
        self.sha256 = hashlib.sha256()
        self.counts: Counter[str] = Counter()

    def add(self, line: FrozenModel, *, hashed: bool = True) -> None:
        """Write one line; what is None is left out."""
        fields = known(line)
        if isinstance(line, LabelLine):
            fields["progress"] = known(line.progress)
        fields = {name: fields[name] for name in _FIRST if name in fields} | fields
        text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n"
        raw = text.encode()
        self._file.write(raw)
        if hashed:
            self.sha256.update(raw)
            self.counts[fields["type"]] += 1

    def finish(self) -> None:
        """Write the closing line."""
        counted = {field: self.counts[kind] for kind, field in _COUNTED.items()}
        closing = EndLine.model_validate({**counted, "sha256": self.sha256.hexdigest()})
        self.add(closing, hashed=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        done = False
        with self._raw:  # open, and so locked, until it has its name
            try:
                if kind is None:
                    self._file.close()
                    self._raw.flush()
                    os.fsync(self._raw.fileno())
                    done = True
            finally:
                if not done:
                    self._target.discard()
            if done:
                self._target.commit()


# --- reading -------------------------------------------------------------------------------------


def read(path: Path, *, checked: str | None = None) -> Iterator[Line]:
    """Yield the lines, checked one by one; the closing one only if everything before it agrees.

    ``checked`` is the SHA-256 of a file that was read to its end before: its lines are taken as
    they are, as long as they are the same.

    Raises:
        SnapshotError: With line and field.
    """
    reader = _Reader(checked)
    try:
        with path.open("rb") as raw, gzip.GzipFile(fileobj=raw, mode="rb") as file:
            while text := file.readline(MOST_LINE_BYTES + 1):
                yield reader.line(text)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SnapshotError(f"{path} cannot be read: {error}", line=reader.number + 1) from error
    except OSError as error:
        raise SnapshotError(f"{path} cannot be read: {error.strerror or error}") from error
    if not reader.ended:
        raise SnapshotError("the closing line is missing", line=reader.number + 1)


class _Reader:
    """Line by line: text to JSON, older formats to this one, then the rules."""

    def __init__(self, checked: str | None) -> None:
        self.number = 0
        self.ended = False
        self._checked_before = checked
        self._format = FORMAT
        self._sha256 = hashlib.sha256()
        self._counts: Counter[str] = Counter()
        self._ids: set[int] = set()
        self._labels: dict[str, int] = {}
        self._active: Counter[str] = Counter()

    def line(self, text: bytes) -> Line:
        self.number += 1
        try:
            line = self._checked(text)
        except InvalidInputError as error:
            rule = f"must be {error.rule}, got {_short(error.value)}"
            raise SnapshotError(rule, line=self.number, field=error.field) from None
        if not isinstance(line, EndLine):
            self._sha256.update(text)
        return line

    def _checked(self, text: bytes) -> Line:
        if self.ended:
            raise InvalidInputError("line", "none after the closing line", text[:40])
        if len(text) > MOST_LINE_BYTES:
            raise InvalidInputError("line", f"at most {MOST_LINE_BYTES} bytes", f"{text[:40]!r}...")
        if self._checked_before and self.number > 1:
            return self._as_it_is(text)
        fields = parse_json_object(_decoded(text), field="line")
        line = self._modelled(fields)
        if (self.number == 1) != isinstance(line, Manifest):
            raise InvalidInputError("type", "manifest in the first line, and only there", line.type)
        self._counts[line.type] += 1
        self._check(line)
        return line

    def _check(self, line: Line) -> None:
        match line:
            case Manifest():
                _check_manifest(line)
            case LabelLine():
                self._check_label(line)
            case TaskLine():
                self._check_task(line)
            case EndLine():
                self._check_end(line)
            case EpochLine():
                for label in filter(None, line.counts):
                    validate_label(label)

    def _as_it_is(self, text: bytes) -> Line:
        fields = self._migrated(json.loads(text))
        line = cast("Line", _MODELS[fields["type"]].model_construct(**fields))
        if isinstance(line, EndLine):
            if self._checked_before != self._sha256.hexdigest():
                raise InvalidInputError("sha256", "that of the first reading", line.sha256)
            self.ended = True
        return line

    def _modelled(self, fields: dict[str, Any]) -> Line:
        if self.number == 1:
            self._format = _format_of(fields)
        fields = self._migrated(fields)
        kind = fields.get("type")
        model = _MODELS.get(kind) if isinstance(kind, str) else None
        if model is None:
            raise InvalidInputError("type", f"one of {', '.join(_MODELS)}", kind)
        return cast("Line", model.model_validate(fields))

    def _migrated(self, fields: dict[str, Any]) -> dict[str, Any]:
        for older in range(self._format, FORMAT):
            fields = _MIGRATIONS[older](fields)
        return fields

    def _check_label(self, line: LabelLine) -> None:
        if line.label:
            validate_label(line.label)
        if line.label in self._labels:
            raise InvalidInputError("label", "listed once", line.label)
        self._labels[line.label] = line.active

    def _check_task(self, line: TaskLine) -> None:
        validate_label(line.label)
        encode_params(line.params)  # its size
        if line.label_hash != label_hash(line.label):
            raise InvalidInputError("label_hash", f"that of {line.label!r}", line.label_hash)
        if line.task_id in self._ids:
            raise InvalidInputError("task_id", "unique", line.task_id)
        self._ids.add(line.task_id)
        self._active[line.label] += 1
        if len(self._ids) > _MOST_TASKS:
            raise InvalidInputError("line", f"at most {_MOST_TASKS} tasks", self.number)

    def _check_end(self, line: EndLine) -> None:
        for kind, field in _COUNTED.items():
            if getattr(line, field) != self._counts[kind]:
                raise InvalidInputError(field, f"{self._counts[kind]}", getattr(line, field))
        if line.sha256 != self._sha256.hexdigest():
            raise InvalidInputError("sha256", self._sha256.hexdigest(), line.sha256)
        listed = {label: count for label, count in self._labels.items() if count}
        if listed != dict(self._active):
            wrong = min({k for k, _ in listed.items() ^ self._active.items()})
            rule = f"{self._active[wrong]} for label {wrong!r}"
            raise InvalidInputError("active", rule, listed.get(wrong, 0))
        self.ended = True


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError("line", "UTF-8", str(error)) from None


def _check_manifest(line: Manifest) -> None:
    validate_name(line.name)
    config = CurriculumConfig.from_json(canonical_json(line.config))
    if config.seed != line.seed:
        raise InvalidInputError("seed", f"the config's, {config.seed}", line.seed)


def _format_of(fields: dict[str, Any]) -> int:
    found = fields.get("format")
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise InvalidInputError("format", "a format number", found)
    if found > FORMAT:
        rule = f"at most {FORMAT}, which this library knows (install a newer one)"
        raise InvalidInputError("format", rule, found)
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."  # noqa: PLR2004


# --- migration -----------------------------------------------------------------------------------


def _from_0(fields: dict[str, Any]) -> dict[str, Any]:
    """Format 0 kept ``hypers`` beside the config, ids under ``id``, no counters, no epochs."""
    renamed = dict(fields)
    match fields.get("type"):
        case "manifest":
            config = dict(renamed.pop("config", {}))
            config["algorithm"] = renamed.pop("hypers", None)
            digest = hashlib.sha256(canonical_json(config).encode()).hexdigest()
            defaults = {"counters": {}, "forced": [], "workers": {}, "config_sha256": digest}
            renamed = {**defaults, **renamed, "config": config, "format": 1}
        case "task":
            renamed["task_id"] = renamed.pop("id", None)
        case "end":
            renamed.setdefault("epochs", 0)
            renamed.setdefault("quarantined", 0)
    return renamed


_MIGRATIONS: Final[dict[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {0: _from_0}
