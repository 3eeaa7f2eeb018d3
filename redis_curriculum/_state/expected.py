"""What the records imply: where a task belongs, and what the totals are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import PARTS
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.stored import field
from redis_curriculum._sampling.pool import Pool, PoolTask
from redis_curriculum._state.consistent_read import CHUNK
from redis_curriculum._state.format import check_statistics
from redis_curriculum._state.indices import Index, index_of
from redis_curriculum._store.contracts import VERIFY
from redis_curriculum._store.variant import packed_hypers, variant_of
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers.base import Scorer
from redis_curriculum.scorers.own import OwnValues
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
        self.own = Owned(scorer)

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


class Owned:
    """What is in the keys of the family's own at one moment, and what the records imply of it.

    Nothing is collected where the family has none.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._tasks: list[PoolTask] = []
        self._labels: dict[str, Statistics] = {}
        self._found: dict[str, dict[Any, float | str]] = {key.name: {} for key in scorer.OWN}
        self._numbers: Statistics = {}
        self.problems: list[str] = []
        """Values that the keys may not hold, and labels that lack one or are not known."""

    def add_task(self, task: PoolTask, own: Mapping[str, float | str]) -> None:
        """Take in one task."""
        if self._scorer.OWN:
            self._tasks.append(task)
            self._take("task", task.task_id, own)

    def add_label(
        self, label: str, of: Statistics, own: Mapping[str, float | str], *, is_known: bool
    ) -> None:
        """Take in one label."""
        if not self._scorer.OWN or not label:
            return
        self._labels[label] = of
        self._take("label", label, own)
        if own and not is_known:
            self.problems.append(f"label {label!r}: in a key of the family's own, but not known")
        for key in self._scorer.OWN:
            if key.holder == "label" and key.first is not None and is_known and key.name not in own:
                self.problems.append(f"label {label!r}: lacks its {key.name}")

    def add_pool(self, numbers: Statistics, own: Mapping[str, Mapping[str, float | str]]) -> None:
        """Take in what belongs to the whole pool."""
        self._numbers = numbers
        for name, values in own.items():
            for each, value in values.items():
                self._take("pool", each, {name: value})

    def _take(self, holder: Holder, of: Any, own: Mapping[str, float | str]) -> None:
        for key in self._scorer.OWN:
            if key.holder == holder and key.name in own:
                value = own[key.name]
                self._found[key.name][of] = value
                if not key.allows(value):
                    self.problems.append(f"{key.stem} of {of!r}: must be {key.rule}, is {value!r}")

    def wrong_indices(self) -> Iterator[str]:
        """Say what in the keys that follow from the others does not."""
        draw, keys = self._scorer.DRAW, [key for key in self._scorer.OWN if key.is_index]
        if not keys or isinstance(draw, str):
            return
        implied = draw.index(self._pool(), self._scorer)
        for key in keys:
            found, wanted = self._found[key.name], implied.get(key.name, {})
            for of in sorted({*found, *wanted}, key=str):
                if found.get(of) != wanted.get(of):
                    told = f"has {found.get(of)!r}, by the records it is {wanted.get(of)!r}"
                    yield f"{key.stem} of {of!r}: {told}"

    def _pool(self) -> Pool:
        pool = Pool.of(self._tasks, self._labels, self._scorer)
        values: dict[str, dict[str, Any]] = {"task": {}, "label": {}, "pool": {}, "text": {}}
        for key in self._scorer.OWN:
            found = {} if key.is_index else self._found[key.name]
            of = {"task": pool.task_ids.tolist(), "label": pool.labels, "pool": []}[key.holder]
            column = np.array([found.get(one, np.nan) for one in of]) if key.is_sorted else found
            values["text" if key.is_text else key.holder][key.name] = column
        own = OwnValues(values["task"], values["label"], values["pool"], values["text"])
        return replace(pool, numbers=self._numbers, own=own)


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
