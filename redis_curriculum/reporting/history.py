"""The history of a curriculum by label: what its workers have kept, as arrays.

How a point comes to be, and how many are kept: ``redis_curriculum._store.history``.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store.history import MOST_LABELS, RATES, TOTALS, Point, points
from redis_curriculum._store.store import Store
from redis_curriculum._values.libraries import imported
from redis_curriculum.errors import MissingLibraryError
from redis_curriculum.reporting.labels import checked_labels, chosen_labels

Floats = NDArray[np.float64]

COLUMNS: Final = (*RATES, "share", *TOTALS)
"""What a history has of each label at each time."""


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """How the labels stood, at times that lie about equally far apart.

    Arrays of times have shape (n,). All others have shape (n, m): a row for each time, a column for
    each of ``labels``; NaN where the label had no tasks then, or where nothing was known.
    """

    labels: tuple[str, ...]
    """In alphabetical order."""
    time_ms: NDArray[np.int64]
    """By the server's clock, ascending."""
    epoch: NDArray[np.int64]
    """The epoch that was going on."""
    tasks: Floats
    """How many tasks of the label were in the pool."""
    probability: Floats
    """That the next draw would take a task of the label, in [0, 1]; NaN in a pool of more than
    10,000 tasks, where ``share`` says what was drawn."""
    share: Floats
    """The label's part of the draws since the time before, in [0, 1]; NaN without draws."""
    learning_progress: Floats
    """Of the label, as the algorithm counts it; in single precision, as the next two."""
    success_rate: Floats
    """EMA of success, in [0, 1]."""
    mean_score: Floats
    """EMA of the scores, in [0, 1] of ``score_range``."""
    samples: Floats
    """Draws over the curriculum's life, as all counts here. They fall where a restore went back."""
    completions: Floats
    """Applied scores."""
    failures: Floats
    """Reported failures."""
    evictions: Floats
    """Tasks that left the pool."""

    def __len__(self) -> int:
        """How many times there are."""
        return len(self.time_ms)

    @property
    def probability_or_share(self) -> Floats:
        """``probability``, and ``share`` where that is not known: what a picture shows."""
        return np.where(np.isnan(self.probability), self.share, self.probability)

    def to_dataframe(self) -> Any:
        """Return a table with a row for each time and label, by pandas, else by polars.

        Its columns are ``time`` (UTC), ``epoch``, ``label`` and the arrays by name. A label without
        tasks at a time has no row.

        Raises:
            MissingLibraryError: Neither library is installed.
        """
        there = ~np.isnan(self.samples)
        row, column = np.nonzero(there)
        table: dict[str, Any] = {
            "time": self.time_ms[row].astype("datetime64[ms]"),
            "epoch": self.epoch[row],
            "label": np.array(self.labels, dtype=object)[column],
            **{name: getattr(self, name)[there] for name in COLUMNS},
        }
        try:
            pandas = imported("pandas", "dataframes")
        except MissingLibraryError:
            with suppress(MissingLibraryError):
                polars = imported("polars", "dataframes")
                return polars.DataFrame({**table, "label": table["label"].tolist()})
            raise
        return pandas.DataFrame(table)


def history(store: Store, labels: object = "*") -> Plan[History]:
    """Read the history of some labels; see ``Curriculum.history``."""
    choice = checked_labels(labels)
    return assembled((yield from points(store)), choice)


def assembled(found: list[Point], labels: int | str | None = "*") -> History:
    """Return points as arrays, of the labels that are chosen."""
    draws: dict[str, int] = {}
    for point in found:
        draws.update(zip(point.labels, point.columns["samples"].astype(int).tolist(), strict=True))
    names = sorted(chosen_labels(labels, draws, draws))
    place = {label: i for i, label in enumerate(names)}
    columns = {name: np.full((len(found), len(names)), np.nan) for name in COLUMNS}
    for i, point in enumerate(found):
        kept = [j for j, label in enumerate(point.labels) if label in place]
        at = [place[point.labels[j]] for j in kept]
        for name in (*RATES, *TOTALS):
            columns[name][i, at] = point.columns[name][kept]
    columns["share"] = _share(columns["samples"], found)
    return History(
        labels=tuple(names),
        time_ms=np.array([point.time_ms for point in found], dtype=np.int64),
        epoch=np.array([point.epoch for point in found], dtype=np.int64),
        **columns,
    )


def _share(samples: Floats, found: list[Point]) -> Floats:
    """Each label's part of the draws since the time before.

    Not known where the time before does not say how often the label had been drawn: it had no tasks
    then, or was one of too many. A new label, and the curriculum itself, began with no draws.
    """
    nothing = np.zeros((1, samples.shape[1]))
    before = np.vstack([nothing, samples])[:-1]
    met_before = np.vstack([nothing, np.cumsum(~np.isnan(samples), axis=0)])[:-1] > 0
    whole = np.array([True, *(len(point.labels) < MOST_LABELS for point in found)])[:-1, None]
    before[np.isnan(before) & ~met_before & whole] = 0.0
    drawn = np.diff(np.array([point.samples for point in found], dtype=np.float64), prepend=0.0)
    counted = samples - before
    counted[counted < 0] = np.nan  # a restore went back
    return counted / np.where(drawn > 0, drawn, np.nan)[:, None]
