"""Read a snapshot: every line is checked before anyone acts on it.

A reader's mistakes are ``SnapshotError`` with line and field.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

from redis_curriculum._state.format import (
    COUNTED,
    FORMAT,
    FRACTIONS,
    MIGRATIONS,
    MILLIS,
    MODELS,
    MOST_LINE_BYTES,
    MOST_QUARANTINED,
    MOST_TASKS,
    SPREAD,
    TALLY,
    WHOLE,
    BatchLine,
    EndLine,
    EpochLine,
    LabelLine,
    Line,
    Manifest,
    QuarantineLine,
    TaskLine,
    check_own,
    check_statistics,
)
from redis_curriculum._store.keyed import MOST_BATCHES
from redis_curriculum._values.files import open_regular
from redis_curriculum._values.rules import (
    canonical_json,
    parse_json_object,
    validate_label,
    validate_name,
)
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.errors import InvalidInputError, SnapshotError
from redis_curriculum.scorers.base import Scorer
from redis_curriculum.scorers.statistics import Holder
from redis_curriculum.tasks.task import encode_params


def read(source: Path | bytes, *, checked: str | None = None) -> Iterator[Line]:
    """Yield the lines, checked one by one; the closing one only if everything before it agrees.

    ``source`` is a file, or what one holds.
    ``checked`` is the SHA-256 of a file that was read to its end before: its lines are taken as
    they are, as long as they are the same.

    Raises:
        SnapshotError: With line and field.
    """
    reader = _Reader(checked)
    path = "the snapshot" if isinstance(source, bytes) else source
    try:
        with _opened(source) as raw, gzip.GzipFile(fileobj=raw, mode="rb") as file:
            while text := file.readline(MOST_LINE_BYTES + 1):
                yield reader.line(text)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SnapshotError(f"{path} cannot be read: {error}", line=reader.number + 1) from error
    except OSError as error:
        raise SnapshotError(f"{path} cannot be read: {error.strerror or error}") from error
    if not reader.ended:
        raise SnapshotError("the closing line is missing", line=reader.number + 1)


def _opened(source: Path | bytes) -> BinaryIO:
    return BytesIO(source) if isinstance(source, bytes) else open_regular(source)


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
        self._batches: set[str] = set()
        self._labels: dict[str, int] = {}
        self._active: Counter[str] = Counter()
        self._scorer: Scorer | None = None
        self._closed = range(0)

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
                config = _check_manifest(line)
                self._scorer = config.algorithm
                self._closed = range(max(0, line.epoch - config.epochs_retained), line.epoch)
            case LabelLine():
                self._check_label(line)
            case TaskLine():
                self._check_task(line)
            case EndLine():
                self._check_end(line)
            case EpochLine():
                self._check_epoch(line)
            case QuarantineLine():
                self._check_number(line, MOST_QUARANTINED)
            case BatchLine():
                self._check_number(line, MOST_BATCHES)
                self._check_batch(line)

    def _as_it_is(self, text: bytes) -> Line:
        fields = self._migrated(json.loads(text))
        line = cast("Line", MODELS[fields["type"]].model_construct(**fields))
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
        model = MODELS.get(kind) if isinstance(kind, str) else None
        if model is None:
            raise InvalidInputError("type", f"one of {', '.join(MODELS)}", kind)
        return cast("Line", model.model_validate(fields))

    def _migrated(self, fields: dict[str, Any]) -> dict[str, Any]:
        for older in range(self._format, FORMAT):
            fields = MIGRATIONS[older](fields)
        kind = fields.get("type")
        if self._format < FORMAT and self._scorer and kind in ("task", "label"):
            names = self._scorer.names("task" if kind == "task" else "label")
            kept = {k: v for k, v in fields["statistics"].items() if k in names}
            fields = {**fields, "statistics": kept}
        return fields

    def _check_number(self, line: Line, most: int) -> None:
        if self._counts[line.type] > most:
            raise InvalidInputError("line", f"at most {most} of them", line.type)

    def _check_batch(self, line: BatchLine) -> None:
        validate_label(line.key, field="key")
        if line.key in self._batches:
            raise InvalidInputError("key", "listed once", line.key)
        self._batches.add(line.key)
        distinct = len(set(line.task_ids))
        if not distinct == len(line.task_ids) <= line.count:
            rule = f"at most {line.count} (count) that differ"
            raise InvalidInputError("task_ids", rule, f"{len(line.task_ids)}, {distinct} of them")

    def _check_label(self, line: LabelLine) -> None:
        if line.label:
            validate_label(line.label)
        if line.label in self._labels:
            raise InvalidInputError("label", "listed once", line.label)
        self._labels[line.label] = line.active
        self._check_statistics("label", line)
        self._check_own("label", line.label, line)

    def _check_task(self, line: TaskLine) -> None:
        validate_label(line.label)
        encode_params(line.params)  # its size
        self._check_statistics("task", line)
        self._check_own("task", str(line.task_id), line)
        if line.task_id in self._ids:
            raise InvalidInputError("task_id", "unique", line.task_id)
        self._ids.add(line.task_id)
        self._active[line.label] += 1
        if len(self._ids) > MOST_TASKS:
            raise InvalidInputError("line", f"at most {MOST_TASKS} tasks", self.number)

    def _check_epoch(self, line: EpochLine) -> None:
        if line.epoch not in self._closed:
            rule = f"closed and retained: in [{self._closed.start}, {self._closed.stop})"
            raise InvalidInputError("epoch", rule, line.epoch)
        if line.what == "times":
            _check_times(line.counts)
            return
        for label, number in line.counts.items():
            if label:
                validate_label(label)
            if line.what not in FRACTIONS:
                TALLY.require(number, f"counts.{label}")

    def _check_statistics(self, holder: Holder, line: LabelLine | TaskLine) -> None:
        assert self._scorer is not None  # noqa: S101 - the manifest comes first
        check_statistics(self._scorer, holder, line.statistics, line.last_score)

    def _check_own(self, holder: Holder, of: str, line: LabelLine | TaskLine) -> None:
        assert self._scorer is not None  # noqa: S101 - the manifest comes first
        if line.own:
            own = {name: {of: value} for name, value in line.own.items()}
            check_own(self._scorer, holder, own)

    def _check_end(self, line: EndLine) -> None:
        for kind, field in COUNTED.items():
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


def _check_times(counts: Mapping[str, float]) -> None:
    if counts.keys() - {"step", "spread"} != {"started_ms", "ended_ms"}:
        rule = "started_ms, ended_ms and perhaps step and spread"
        raise InvalidInputError("counts", rule, sorted(counts)[:4])
    for name, number in counts.items():
        if name == "spread":
            SPREAD.require(number, "counts.spread", integer=False)
            continue
        kind = WHOLE if name == "step" else MILLIS
        kind.require(number, f"counts.{name}")


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError("line", "UTF-8", str(error)) from None


def _check_manifest(line: Manifest) -> CurriculumConfig:
    validate_name(line.name)
    config = CurriculumConfig.from_json(canonical_json(line.config))
    if config.seed != line.seed:
        raise InvalidInputError("seed", f"the config's, {config.seed}", line.seed)
    check_statistics(config.algorithm, "pool", line.statistics)
    check_own(config.algorithm, "pool", line.own)
    return config


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
