"""Check a whole snapshot file, and the config it gives with the overrides; no server involved."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from redis_curriculum._state.expected import Totals
from redis_curriculum._state.format import (
    MOST_TASKS,
    EndLine,
    LabelLine,
    Line,
    Manifest,
    TaskLine,
)
from redis_curriculum._state.reader import read
from redis_curriculum._state.remote import Remote, place_of
from redis_curriculum._values.rules import canonical_json, validate_flag, validate_path
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.resume import structural_differences
from redis_curriculum.errors import ConfigMismatchError, SnapshotError

AnyLine = TypeVar("AnyLine", LabelLine, TaskLine)


@dataclass(slots=True)
class Intake:
    """What the first reading has shown; the tasks themselves are read again."""

    manifest: Manifest
    config: CurriculumConfig
    forced: list[dict[str, Any]]
    """Structural fields that were overridden: field, saved, given."""
    totals: Totals
    labels: list[LabelLine]
    again: Callable[[], Iterator[Line]]
    """Give the lines again; they must be the same."""
    dropped: frozenset[int] = frozenset()
    """Tasks that a smaller pool has no room for."""
    dropped_of: Counter[str] = field(default_factory=Counter)
    """How many, by label."""

    def adopted(self, line: AnyLine) -> AnyLine:
        """Return a label's or task's line with the statistics of the forced settings."""
        if not self.forced:
            return line
        statistics = self.config.algorithm.adopted(line.type, line.statistics)
        return line.model_copy(update={"statistics": statistics})

    def tasks(self) -> Iterator[TaskLine]:
        """Read the tasks again, without the dropped ones."""
        for line in self.again():
            if isinstance(line, TaskLine) and line.task_id not in self.dropped:
                yield self.adopted(line)

    @property
    def is_to_fill(self) -> bool:
        """Whether to fill the pool at once: it has more room than it had, or no task at all."""
        room = self.config.num_active_tasks
        grows = room > self.manifest.config.get("num_active_tasks", room)
        return grows or not self.totals.parts.total()

    def drop(self, task_ids: frozenset[int]) -> None:
        """Do without some tasks."""
        for task in self.tasks():
            if task.task_id in task_ids:
                self.totals.add(task.label, task.statistics, times=-1)
                self.dropped_of[task.label] += 1
        self.dropped = task_ids

    def forget_labels(self) -> None:
        """Forget the labels without tasks, oldest first, of which more are there than are kept.

        As the scripts do it: what a forgotten label counted goes to the nameless one.
        """
        gone = sorted(filter(self._is_inactive, self.labels), key=self._since)
        gone = gone[: max(0, len(gone) - self.config.labels_retained)]
        if not gone:
            return
        named = {label.label: label for label in self.labels}
        nameless = named.pop("", LabelLine(label="", active=0, count={}, epoch={}))
        count, epoch = Counter(nameless.count), Counter(nameless.epoch)
        for label in gone:
            del named[label.label]
            count.update(label.count)
            epoch.update(label.epoch)
            self.dropped_of[""] += self.dropped_of.pop(label.label, 0)
        found = nameless.model_copy(update={"count": dict(count), "epoch": dict(epoch)})
        self.labels[:] = [found, *named.values()]

    def _is_inactive(self, label: LabelLine) -> bool:
        return bool(label.label) and not self.totals.active[label.label]

    def _since(self, label: LabelLine) -> tuple[int, str]:
        return self.inactive_since(label), label.label

    def inactive_since(self, label: LabelLine) -> int:
        """Return since when a label has had no task; the moment of the file if it does not say."""
        return self.manifest.created_ms if label.inactive_ms is None else label.inactive_ms


def take_in(
    path: str | os.PathLike[str],
    overrides: Mapping[str, Any] | None,
    *,
    force: bool,
    shrink: bool,
) -> Intake:
    """Check the whole file, and the config it gives with the overrides; no server involved.

    Raises:
        SnapshotError: The file is not a whole and valid snapshot, or the pool would shrink.
        ConfigMismatchError: An override changes what the stored numbers mean.
        InvalidInputError: An override is unknown or breaks a rule, or an argument is none.
    """
    place = place_of(path)
    file = place if isinstance(place, Remote) else validate_path(place, "path")
    validate_flag(force, "force")
    validate_flag(shrink, "shrink")
    source = file.read() if isinstance(file, Remote) else file
    return taken_in(source, overrides, force=force, shrink=shrink)


def taken_in(
    source: Path | bytes,
    overrides: Mapping[str, Any] | None = None,
    *,
    force: bool = False,
    shrink: bool = False,
) -> Intake:
    """Do the same with a file, or with what one holds."""
    lines = read(source)
    manifest = next(lines, None)
    if not isinstance(manifest, Manifest):
        raise SnapshotError("the file is empty", line=1)
    config, forced = _agreed(manifest, overrides, force=force)
    room = _Room(manifest, config)
    totals, ranks = Totals(config.algorithm), []
    intake = Intake(manifest, config, forced, totals, [], partial(read, source))
    for line in lines:
        if isinstance(line, LabelLine):
            room.take(line)
            intake.labels.append(intake.adopted(line))
        elif isinstance(line, TaskLine):
            task = intake.adopted(line)
            totals.add(task.label, task.statistics)
            ranks.append((config.algorithm.rank(task.statistics), task.task_id))
        elif isinstance(line, EndLine):
            intake.again = partial(read, source, checked=line.sha256)
    size = config.num_active_tasks  # a pool may hold more, which were added
    surplus = min(len(ranks), manifest.config.get("num_active_tasks", size)) - size
    if surplus > 0 and not shrink:
        raise SnapshotError(
            f"{len(ranks)} tasks do not fit num_active_tasks {size};"
            " shrink=True (--shrink) drops those of lowest learning progress"
        )
    if surplus > 0:
        intake.drop(frozenset(task_id for _, task_id in sorted(ranks)[:surplus]))
    intake.forget_labels()
    for label in intake.labels:
        totals.add_label(label.label, label.statistics)
    return intake


class _Room:
    """How many labels a file may list, so that a small file does not cost much."""

    def __init__(self, manifest: Manifest, config: CurriculumConfig) -> None:
        usual = CurriculumConfig.model_fields["labels_retained"].default
        saved = manifest.config.get("labels_retained", usual)
        self.inactive = max(usual, saved, config.labels_retained) + 1  # and the nameless one
        self.active = MOST_TASKS

    def take(self, line: LabelLine) -> None:
        """Count one label.

        Raises:
            SnapshotError: There are too many.
        """
        if line.active:
            self.active -= 1
        else:
            self.inactive -= 1
        if min(self.active, self.inactive) < 0:
            raise SnapshotError(
                "too many labels; of those without tasks, labels_retained are read (an override,"
                " --set labels_retained=N, reads more)",
                field="label",
            )


def _agreed(
    manifest: Manifest, overrides: Mapping[str, Any] | None, *, force: bool
) -> tuple[CurriculumConfig, list[dict[str, Any]]]:
    saved = CurriculumConfig.from_json(canonical_json(manifest.config))
    config = saved if overrides is None else saved.with_overrides(overrides)
    differences = structural_differences(saved, config)
    if differences and not force:
        raise ConfigMismatchError(
            "these fields say what the snapshot's numbers mean; force=True (--force) changes them:",
            differences,
        )
    forced = [{"field": name, "saved": old, "given": new} for name, old, new in differences]
    return config, forced
