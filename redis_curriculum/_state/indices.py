"""What the draws of each family keep of labels and tasks, as the records imply it."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final, Protocol

from redis_curriculum._protocol.keys import LABEL_SETS
from redis_curriculum._sampling import by_state
from redis_curriculum._sampling.label_first import (
    FORMAT,
    JUDGED_GROUPS,
    YOUNG_GROUPS,
    fixed,
    group_at,
)
from redis_curriculum._sampling.sigmoid import Sums
from redis_curriculum.scorers.base import Draw, Scorer
from redis_curriculum.scorers.drawing import LabelFirstDraws, SigmoidDraws, StateDraws
from redis_curriculum.scorers.statistics import Statistics

_MOST_WORDS: Final = 500

Words = tuple[str | int | float | bytes, ...]
"""A command and what it takes; the key without its generation."""


class Index(Protocol):
    """The twin of ``lua/draws/<way>/index.lua``; ``lua/draws/<way>/index_state.lua`` reads it.

    First every task is added, then every label.
    """

    def add(self, label: str, statistics: Statistics, times: int) -> None:
        """Count one task; ``times`` -1: take it out."""
        ...

    def add_label(self, label: str, statistics: Statistics) -> None:
        """Count one label."""
        ...

    def sums(self) -> dict[str, int]:
        """Return what is kept of all labels together, without zeros."""
        ...

    def of_label(self, label: str) -> dict[str, float]:
        """Return what is kept of a label, without zeros."""
        ...

    def staged_sums(self) -> Iterator[Words]:
        """Yield the commands that write the sums."""
        ...

    def staged_label(self, label: str) -> Iterator[Words]:
        """Yield the commands that write what is kept of a label, its tasks excepted."""
        ...

    def staged_tasks(self, label: str, tasks: Sequence[tuple[int, Statistics]]) -> Iterator[Words]:
        """Yield the commands that write what is kept of some tasks of a label."""
        ...

    def sizes(self) -> dict[str, int]:
        """Return the number of labels in each sorted set of labels."""
        ...

    def lacking(self, label: str, found: dict[str, float]) -> int:
        """Return what ``repair_index`` is told of a label that is kept wrongly."""
        ...


class _Uniform:
    """Nothing is kept."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def add(self, label: str, statistics: Statistics, times: int) -> None:
        """See ``Index``."""

    def add_label(self, label: str, statistics: Statistics) -> None:
        """See ``Index``."""

    def sums(self) -> dict[str, int]:
        """See ``Index``."""
        return {}

    def of_label(self, label: str) -> dict[str, float]:  # noqa: ARG002
        """See ``Index``."""
        return {}

    def staged_sums(self) -> Iterator[Words]:
        """See ``Index``."""
        yield from ()

    def staged_label(self, label: str) -> Iterator[Words]:  # noqa: ARG002
        """See ``Index``."""
        yield from ()

    def staged_tasks(
        self,
        label: str,  # noqa: ARG002
        tasks: Sequence[tuple[int, Statistics]],  # noqa: ARG002
    ) -> Iterator[Words]:
        """See ``Index``."""
        yield from ()

    def sizes(self) -> dict[str, int]:
        """See ``Index``."""
        return {}

    def lacking(self, label: str, found: dict[str, float]) -> int:  # noqa: ARG002
        """See ``Index``."""
        return 0


class _Sigmoid(_Uniform):
    """Each label's number of eligible tasks, and sums of the weights that these are drawn by."""

    scorer: SigmoidDraws

    def __init__(self, scorer: Scorer) -> None:
        super().__init__(scorer)
        self._sums = Sums()
        self._eligible: Counter[str] = Counter()

    def add(self, label: str, statistics: Statistics, times: int) -> None:
        """See ``Index``; a task's own weight counts where draws go by it."""
        if statistics.get("completion_count", 0) >= self.scorer.fresh_until:
            self._eligible[label] += times
            if self.scorer.pooling == "task":
                self._sums = self._sums.add(self.scorer.weight(statistics), times)

    def add_label(self, label: str, statistics: Statistics) -> None:
        """See ``Index``; a label's weight counts once for each of its eligible tasks."""
        if self.scorer.pooling == "label" and self._eligible[label]:
            self._sums = self._sums.add(self.scorer.weight(statistics), self._eligible[label])

    def sums(self) -> dict[str, int]:
        """See ``Index``."""
        return {name: amount for name, amount in asdict(self._sums).items() if amount}

    def staged_sums(self) -> Iterator[Words]:
        """See ``Index``."""
        if sums := self.sums():
            yield "HSET", "weight_sums", *(word for pair in sums.items() for word in pair)

    def of_label(self, label: str) -> dict[str, float]:
        """See ``Index``."""
        eligible = self._eligible[label]
        return {"eligible_count": eligible} if eligible else {}

    def staged_label(self, label: str) -> Iterator[Words]:
        """See ``Index``."""
        for name, count in self.of_label(label).items():
            yield "HSET", f"progress:{label}", name, int(count)

    def lacking(self, label: str, found: dict[str, float]) -> int:
        """See ``Index``: by so much is its number of eligible tasks too small."""
        return self._eligible[label] - int(found.get("eligible_count", 0))


class _LabelFirst(_Uniform):
    """Where each label stands, and how many stand where."""

    scorer: LabelFirstDraws

    def __init__(self, scorer: Scorer) -> None:
        super().__init__(scorer)
        self._tasks: Counter[str] = Counter()
        self._scores: dict[str, dict[str, float]] = {}

    def add(self, label: str, statistics: Statistics, times: int) -> None:  # noqa: ARG002
        """See ``Index``."""
        self._tasks[label] += times

    def add_label(self, label: str, statistics: Statistics) -> None:
        """See ``Index``."""
        tasks, by_tasks = self._tasks[label], self.scorer.label_mass == "tasks"
        if not tasks:
            return
        mass = float(tasks) if by_tasks else 1.0
        if statistics.get("completion_count", 0) < self.scorer.least_count:
            self._scores[label] = {"young": mass}
        else:
            weight = self.scorer.weight(statistics)
            self._scores[label] = {"weights": weight}
            if by_tasks:
                self._scores[label]["masses"] = weight * mass

    def sums(self) -> dict[str, int]:
        """See ``Index``."""
        drawn = "masses" if self.scorer.label_mass == "tasks" else "weights"
        sums, counts = [0, 0], Counter[int]()
        for scores in self._scores.values():
            is_young = "young" in scores
            score = scores["young" if is_young else drawn]
            sums[is_young] += int(score) if is_young else fixed(score)
            counts[group_at(score, is_young=is_young)] += 1
        found = {str(i): amount for i, amount in enumerate(sums)}
        found |= {str(2 + group): count for group, count in sorted(counts.items())}
        return {place: amount for place, amount in found.items() if amount}

    def staged_sums(self) -> Iterator[Words]:
        """See ``Index``."""
        sums = self.sums()
        numbers = (sums.get(str(place), 0) for place in range(2 + JUDGED_GROUPS + YOUNG_GROUPS))
        yield "SET", "groups", struct.pack(FORMAT, *numbers)

    def of_label(self, label: str) -> dict[str, float]:
        """See ``Index``."""
        tasks = self._tasks[label]
        return {**self._scores.get(label, {}), **({"members": tasks} if tasks else {})}

    def staged_label(self, label: str) -> Iterator[Words]:
        """See ``Index``."""
        for name, score in self._scores.get(label, {}).items():
            yield "ZADD", name, score, label

    def staged_tasks(self, label: str, tasks: Sequence[tuple[int, Statistics]]) -> Iterator[Words]:
        """See ``Index``."""
        yield "ZADD", f"members:{label}", *(word for task_id, _ in tasks for word in (0, task_id))

    def sizes(self) -> dict[str, int]:
        """See ``Index``."""
        found = Counter(name for scores in self._scores.values() for name in scores)
        return {name: found[name] for name in LABEL_SETS}


class _ByState(_Uniform):
    """Where each task stands, by its state and weight; what each label counts."""

    scorer: StateDraws

    def __init__(self, scorer: Scorer) -> None:
        super().__init__(scorer)
        self._has_labels = self.scorer.label_factor == "progress"
        self._sums: Counter[str] = Counter()
        self._tasks: Counter[str] = Counter()
        self._scores: dict[str, dict[str, float]] = {}

    def _cell(self, label: str, statistics: Statistics) -> str:
        return f"{self.scorer.state(statistics)}:{label if self._has_labels else ''}"

    def add(self, label: str, statistics: Statistics, times: int) -> None:
        """See ``Index``."""
        cell = self._cell(label, statistics)
        self._sums[cell] += times * by_state.fixed(self.scorer.weight(statistics))
        self._sums[f"size:{cell}"] += times
        self._tasks[label] += times

    def add_label(self, label: str, statistics: Statistics) -> None:
        """See ``Index``."""
        if not (self._has_labels and self._tasks[label]):
            return
        if statistics.get("completion_count", 0) < by_state.LEAST_RESULTS:
            self._scores[label] = {"young": 1.0}
        else:
            self._scores[label] = {"weights": self.scorer.label_weight(statistics)}

    def sums(self) -> dict[str, int]:
        """See ``Index``."""
        return {name: amount for name, amount in self._sums.items() if amount}

    def staged_sums(self) -> Iterator[Words]:
        """See ``Index``."""
        cells = [name for name in self._sums if not name.startswith("size:")]
        for start in range(0, len(cells), _MOST_WORDS):
            chunk = cells[start : start + _MOST_WORDS]
            yield "HSET", "cell_sums", *(word for c in chunk for word in (c, self._sums[c]))

    def staged_tasks(self, label: str, tasks: Sequence[tuple[int, Statistics]]) -> Iterator[Words]:
        """See ``Index``."""
        for task_id, statistics in tasks:
            cell = self._cell(label, statistics)
            yield "ZADD", f"cell:{cell}", self.scorer.weight(statistics), task_id

    def of_label(self, label: str) -> dict[str, float]:
        """See ``Index``."""
        return self._scores.get(label, {})

    def staged_label(self, label: str) -> Iterator[Words]:
        """See ``Index``."""
        for name, score in self.of_label(label).items():
            yield "ZADD", name, score, label

    def sizes(self) -> dict[str, int]:
        """See ``Index``."""
        found = Counter(name for scores in self._scores.values() for name in scores)
        return {name: found[name] for name in LABEL_SETS}


_INDICES: Final[dict[Draw, type[_Uniform]]] = {
    "by_state": _ByState,
    "label_first": _LabelFirst,
    "passes": _Uniform,
    "sigmoid": _Sigmoid,
    "uniform": _Uniform,
}


def index_of(scorer: Scorer) -> Index:
    """Return what the draws of a family keep, of nothing yet."""
    return _INDICES[scorer.DRAW if isinstance(scorer.DRAW, str) else "uniform"](scorer)
