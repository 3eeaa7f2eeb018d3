"""What the records imply: where a task belongs, and what the totals are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import PARTS
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.stored import field
from redis_curriculum._state.consistent_read import CHUNK
from redis_curriculum._state.format import check_statistics
from redis_curriculum._state.indices import Index, index_of
from redis_curriculum._store.contracts import VERIFY
from redis_curriculum._store.variant import packed_hypers, variant_of
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers.base import Scorer
from redis_curriculum.scorers.statistics import Holder, Statistics

_WIDTH: Final = 9


@dataclass(frozen=True, slots=True)
class Place:
    """Where one task stands, beside what its record says."""

    task_id: int
    seen_in: str
    """The label in whose set it was seen; empty: elsewhere."""
    label: str | None
    completion_count: str | None
    rank: str | None
    scores: tuple[str | None, str | None, str | None]
    """In fresh, learning and ripe."""
    in_label: int
    in_seen: int
    is_weighted_right: int

    def problems(self, scorer: Scorer) -> Iterator[str]:
        """Say what disagrees."""
        at = f"task {self.task_id}"
        found = {p: float(s) for p, s in zip(PARTS, self.scores, strict=True) if s is not None}
        if self.in_seen and self.seen_in != self.label:
            yield f"{at}: in the set of label {self.seen_in!r}, its record says {self.label!r}"
        if self.label is None or self.completion_count is None:
            for part in found:
                yield f"{at}: in {part}, but it has no record"
            if not self.is_weighted_right:
                yield f"{at}: has a weight or a number of the family's own, but no record"
            return
        wanted = {part_of(int(self.completion_count), scorer): float(self.rank or 0)}
        if found != wanted:
            yield f"{at}: in {found or 'no sorted set'}, its record says {wanted}"
        if not self.in_label:
            yield f"{at}: not in the set of its label {self.label!r}"
        if not self.is_weighted_right:
            yield f"{at}: draws do not go by the weight in its record, or lack a number of it"


class Totals:
    """What the records add up to, beside what is stored for one moment."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.index: Index = index_of(scorer)
        self.parts: Counter[str] = Counter()
        self.active: Counter[str] = Counter()
        self.unlikely: list[str] = []
        """Statistics out of their ranges, which no result can have made."""

    def look_at(self, what: str, holder: Holder, statistics: Statistics) -> None:
        """Note the first statistic of a task or label that is out of its range."""
        last_score = 0.0 if statistics else None
        try:
            check_statistics(self.scorer, holder, statistics, last_score)
        except InvalidInputError as error:
            self.unlikely.append(f"{what}: {error}")

    def add(self, label: str, statistics: Statistics, times: int = 1) -> None:
        """Count one task; ``times`` -1: take it out."""
        self.parts[part_of(int(statistics.get("completion_count", 0)), self.scorer)] += times
        self.active[label] += times
        self.index.add(label, statistics, times)

    def add_label(self, label: str, statistics: Statistics) -> None:
        """Count one label, once all tasks are counted."""
        self.index.add_label(label, statistics)


def part_of(completions: int, scorer: Scorer) -> str:
    """Which of the three sorted sets a task with so many completions belongs to."""
    if completions < scorer.fresh_until:
        return PARTS[0]
    return PARTS[1] if completions < scorer.ripe_from else PARTS[2]


def places_of(
    server: Server, current: str, seen: Sequence[tuple[int, str]], config: CurriculumConfig
) -> Plan[list[Place]]:
    """Look at some tasks, given with the label in whose set each was seen; a chunk a call."""
    places = []
    script = VERIFY.script(variant_of(config.algorithm))
    for start in range(0, len(seen), CHUNK):
        chunk = seen[start : start + CHUNK]
        words = (word for pair in chunk for word in pair)
        flat = yield from server.run(script, current, packed_hypers(config), *words)
        for i, (task_id, label) in enumerate(chunk):
            row = flat[_WIDTH * i : _WIDTH * (i + 1)]
            of, count, rank, *scores = row[:6]
            three = (scores[0], scores[1], scores[2])
            places.append(Place(task_id, label, of, count, rank, three, *row[6:]))
    return places


def statistics_of(scorer: Scorer, holder: Holder, fields: Mapping[str, str]) -> dict[str, float]:
    """Return the statistics in a record as the scripts print it; {} before the first result.

    Raises:
        InvalidInputError: One cannot be read.
    """
    if not field({"completion_count": "0", **fields}, "completion_count", _count):
        return {}
    return {name: field(fields, name, float) for name in scorer.names(holder) if name in fields}


def _count(text: str) -> int:
    return int(float(text))
