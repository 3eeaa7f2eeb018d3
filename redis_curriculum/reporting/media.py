"""What loggers show beside curves: the picture of a curriculum, and a table of its labels."""

from __future__ import annotations

import math
import struct
from typing import Final

from redis_curriculum._values.libraries import imported
from redis_curriculum._values.rules import In
from redis_curriculum.reporting.plots import saved
from redis_curriculum.reporting.reporter import Entry

RGBA: Final = 4
"""Channels of a picture."""
_EVERY: Final = In("[1, 2**53)")
_COLUMNS: Final = {
    "tasks": "pool_composition",
    "probability": "per_label_stats/sample_prob",
    "learning_progress": "per_label_stats/learning_progress",
    "success_rate": "per_label_stats/success_rate",
    "mean_score": "per_label_stats/mean_score",
    "samples": "sampling_counts",
    "completions": "per_label_stats/completions",
    "failures": "per_label_stats/failures",
    "evictions": "eviction_counts",
}


class Media:
    """When pictures and tables are logged, and what is in them.

    Args:
        every: At the first of every so many epochs; None: never.

    Raises:
        MissingLibraryError: Matplotlib is missing.
        InvalidInputError: ``every`` is no count.
    """

    def __init__(self, every: int | None) -> None:
        self._every = None
        if every is not None:
            self._every = int(_EVERY.require(every, "media_every"))
            imported("matplotlib.figure", "plot")

    def is_due(self, entry: Entry) -> bool:
        """Whether they are logged at the end of this epoch."""
        return self._every is not None and entry.report.epoch % self._every == 0

    def picture(self, entry: Entry) -> tuple[bytes, tuple[int, int]]:
        """Return ``curriculum.plot()`` as PNG; its width and height in pixels."""
        data = saved(entry.plot(), "png", dpi=100)
        return data, struct.unpack_from(">II", data, 16)  # of the first chunk, which PNG prescribes


def label_table(entry: Entry) -> tuple[list[str], list[list[object]]]:
    """Return headings, and a row for each label that has figures of its own; None is not known."""
    rows: list[list[object]] = []
    for label, own in sorted(entry.by_label().items()):
        values = (own.get(figure) for figure in _COLUMNS.values())
        rows.append([label, *(None if x is None or math.isnan(x) else x for x in values)])
    return ["label", *_COLUMNS], rows
