"""What pictures of a curriculum are made of: one reading of it, and its curves by label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store.store import Store
from redis_curriculum.errors import CurriculumError
from redis_curriculum.reporting.epochs import EpochReport, epoch_report, epoch_reports
from redis_curriculum.reporting.history import History, history
from redis_curriculum.reporting.stats import Census, figures, read_census

Floats = NDArray[np.float64]

COLOURS: Final = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728"),
    *("#9467bd", "#8c564b", "#e377c2", "#17becf"),
)
REST_COLOUR: Final = "#9a9a9a"
REST: Final = "mean of all others"
"""How the labels are called that have no line of their own."""
PIPELINE: Final = {
    "own progress": "gini/raw_lp",
    "what draws go by": "gini/drives",
    "weights": "gini/weights",
    "probabilities": "gini/sampling_probs",
    "draws so far": "gini/sampling_counts",
    "results so far": "gini/pool_occupancy",
}
"""From the tasks' progress to what was played: a name for each step, and its figure."""
_UNITS: Final = (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0), ("seconds", 1.0))
_LONGEST: Final = 28


@dataclass(frozen=True)
class Portrait:
    """One reading of a curriculum; its parts may see different moments."""

    name: str
    now_ms: int
    """By the server's clock."""
    config: Mapping[str, Any]
    census: Census
    reports: Sequence[EpochReport]
    """The closed epochs that are retained, then the current one."""
    history: History

    @cached_property
    def figures(self) -> dict[str, float]:
        """Every figure of the whole pool by name; none of single labels."""
        return figures(self.census, 0)

    @cached_property
    def curves(self) -> Curves:
        """The labels' curves: of the history, or of the epochs where that has fewer points."""
        closed = [report for report in self.reports if report.ended_ms is not None]
        if len(self.history) >= min(len(closed), 2):
            return _of_history(self.history)
        return _of_epochs(closed)


@dataclass(frozen=True, eq=False)
class Curves:
    """Values of labels at times: arrays of shape (times, labels), NaN where nothing was known."""

    labels: tuple[str, ...]
    time_ms: NDArray[np.int64]
    probability: Floats
    """To be drawn next; where that was not kept, the part of the draws."""
    success_rate: Floats
    draws: Floats
    """How often each label was drawn, shape (labels,)."""
    has_rest: bool = False
    """Whether the last column is ``REST``."""

    @cached_property
    def unit(self) -> str:
        """The unit of ``x``."""
        return self._unit[0]

    @cached_property
    def x(self) -> Floats:
        """Time since the first point, shape (times,)."""
        return (self.time_ms - self.time_ms[:1]) / 1000 / self._unit[1]

    @property
    def _unit(self) -> tuple[str, float]:
        span = float(np.ptp(self.time_ms)) / 1000 if len(self.time_ms) else 0.0
        return next((unit for unit in _UNITS if span >= 2 * unit[1]), _UNITS[-1])

    @property
    def colours(self) -> list[str]:
        """A colour for each label; those of a picture repeat, the rest has its own."""
        own = [COLOURS[i % len(COLOURS)] for i in range(len(self.labels))]
        return [*own[:-1], REST_COLOUR] if self.has_rest else own

    def shown(self, most: int) -> Curves:
        """Return those of the labels drawn most, and the mean of the rest as one: ``REST``."""
        if len(self.labels) <= most:
            return self
        order = np.argsort(-np.nan_to_num(self.draws), kind="stable")
        kept, rest = np.sort(order[: most - 1]), order[most - 1 :]
        return Curves(
            labels=(*(self.labels[i] for i in kept), f"{REST} ({len(rest):,})"),
            time_ms=self.time_ms,
            probability=_with_mean(self.probability, kept, rest),
            success_rate=_with_mean(self.success_rate, kept, rest),
            draws=np.append(self.draws[kept], self.draws[rest].mean()),
            has_rest=True,
        )


def _with_mean(table: Floats, kept: NDArray[np.intp], rest: NDArray[np.intp]) -> Floats:
    """Some columns, and the mean of others as the last one; NaN where none of them is known."""
    known = (~np.isnan(table[:, rest])).sum(axis=1)
    mean = np.nansum(table[:, rest], axis=1) / np.where(known, known, np.nan)
    return np.column_stack([table[:, kept], mean])


def _of_history(found: History) -> Curves:
    draws = np.max(np.nan_to_num(found.samples), axis=0, initial=0.0)
    chances = found.probability_or_share
    return Curves(found.labels, found.time_ms, chances, found.success_rate, draws)


def _of_epochs(reports: Sequence[EpochReport]) -> Curves:
    labels = sorted({label for report in reports for label in report.samples} - {""})
    times = np.array([report.ended_ms or 0 for report in reports], dtype=np.int64)

    def table(values: Sequence[Mapping[str, float]], absent: float) -> Floats:
        rows = [[one.get(label, absent) for label in labels] for one in values]
        return np.array(rows, dtype=np.float64).reshape(len(values), len(labels))

    samples = table([report.samples for report in reports], 0.0)
    total = np.array([[max(sum(report.samples.values()), 1)] for report in reports])
    success = table([report.success_rate for report in reports], np.nan)
    return Curves(tuple(labels), times, samples / total, success, samples.sum(axis=0))


def short(label: str) -> str:
    """Return a label as a picture has room for it, on one line."""
    line = " ".join(label.split()) or repr(label)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def portrait(store: Store) -> Plan[Portrait]:
    """Read what pictures are made of.

    About 15 round trips for each retained epoch, four per 1,000 tasks, one per 16 points of the
    history.

    Raises:
        CurriculumError: The pool is empty, and nothing was ever drawn: there is nothing to draw.
    """
    census = yield from read_census(store)
    if not len(census.pool) and not census.counts["samples"]:
        raise CurriculumError(f"curriculum {store.server.keys.name!r} has no tasks to draw yet")
    reports = yield from epoch_reports(store)
    current = yield from epoch_report(store)
    return Portrait(
        name=store.server.keys.name,
        now_ms=(yield from store.server.now_ms()),
        config=store.config.model_dump(mode="json"),
        census=census,
        reports=[*reports, *([current] if current else [])],
        history=(yield from history(store)),
    )
