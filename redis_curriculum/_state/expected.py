"""What the records imply: where a task belongs, and what the totals are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from redis_curriculum._protocol.asking import ask
from redis_curriculum._protocol.keys import PARTS, Keys
from redis_curriculum._protocol.plan import Plan, Run
from redis_curriculum._sampling.weights import Sums, drive
from redis_curriculum._state.consistent_read import CHUNK
from redis_curriculum._store.contracts import VERIFY
from redis_curriculum.scorers.learning_progress import LearningProgressConfig
from redis_curriculum.tasks.ids import label_hash

_WIDTH: Final = 11


@dataclass(frozen=True, slots=True)
class Place:
    """Where one task stands, beside what its record says."""

    task_id: int
    seen_in: str
    """The label in whose set it was seen; empty: elsewhere."""
    completion_count: str | None
    learning_progress: str | None
    p_true: str | None
    label: str | None
    label_hash: str | None
    own_id: str | None
    scores: tuple[str | None, str | None, str | None]
    """In fresh, learning and ripe."""
    in_label: int
    in_seen: int

    def problems(self, hypers: LearningProgressConfig) -> Iterator[str]:
        """Say what disagrees."""
        at = f"task {self.task_id}"
        found = {p: float(s) for p, s in zip(PARTS, self.scores, strict=True) if s is not None}
        if self.in_seen and self.seen_in != self.label:
            yield f"{at}: in the set of label {self.seen_in!r}, its record says {self.label!r}"
        if self.label is None or self.completion_count is None:
            for part in found:
                yield f"{at}: in {part}, but it has no record"
            return
        right = part_of(int(self.completion_count), hypers)
        wanted = {right: float(self.learning_progress or 0)}
        if found != wanted:
            yield f"{at}: in {found or 'no sorted set'}, its record says {wanted}"
        if not self.in_label:
            yield f"{at}: not in the set of its label {self.label!r}"
        if self.label_hash != str(label_hash(self.label)):
            yield f"{at}: label_hash {self.label_hash} is not that of {self.label!r}"
        if self.own_id != str(self.task_id):
            yield f"{at}: its record says task_id {self.own_id}"


@dataclass(slots=True)
class Totals:
    """What the records add up to, beside what is stored for one moment."""

    hypers: LearningProgressConfig
    sums: Sums = Sums()  # noqa: RUF009 - frozen
    parts: Counter[str] = field(default_factory=Counter)
    active: Counter[str] = field(default_factory=Counter)
    eligible: Counter[str] = field(default_factory=Counter)

    def add(self, record: Mapping[str, Any], times: int = 1) -> None:
        """Count one record; where pooling is by task, its drive too. ``times`` -1: take it out."""
        count, label = int(record["completion_count"]), record["label"]
        part = part_of(count, self.hypers)
        self.parts[part] += times
        self.active[label] += times
        if part != PARTS[0]:
            self.eligible[label] += times
            if self.hypers.pooling == "task":
                self.sums = self.sums.add(self._drive(record), times)

    def add_label(self, label: str, progress: Mapping[str, Any]) -> None:
        """Where pooling is by label: count its drive once for each eligible task."""
        if self.hypers.pooling == "label" and self.eligible[label]:
            self.sums = self.sums.add(self._drive(progress), self.eligible[label])

    def _drive(self, fields: Mapping[str, Any]) -> float:
        progress, p_true = (float(fields.get(n) or 0) for n in ("learning_progress", "p_true"))
        return float(drive(progress, p_true, self.hypers))


def part_of(completions: int, hypers: LearningProgressConfig) -> str:
    """Which of the three sorted sets a task with so many completions belongs to."""
    if completions < hypers.min_samples_for_lp:
        return PARTS[0]
    return PARTS[1] if completions < hypers.min_presentations_for_eviction else PARTS[2]


def places_of(
    keys: Keys, current: str, seen: Sequence[tuple[int, str]], deadline_s: float
) -> Plan[list[Place]]:
    """Look at some tasks, given with the label in whose set each was seen; a chunk a call."""
    places = []
    for start in range(0, len(seen), CHUNK):
        chunk = seen[start : start + CHUNK]
        args = [keys.generation, current, *(word for pair in chunk for word in pair)]
        flat = yield from ask(Run(VERIFY, keys.meta, args), deadline_s)
        for i, (task_id, label) in enumerate(chunk):
            row = flat[_WIDTH * i : _WIDTH * (i + 1)]
            scores = (row[6], row[7], row[8])
            places.append(
                Place(
                    task_id, label, row[0], row[1], row[2], row[3], row[4], row[5], scores, *row[9:]
                )
            )
    return places
