"""The sink for Weights & Biases."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from redis_curriculum._values.libraries import imported
from redis_curriculum.errors import InvalidInputError, SinkWarning
from redis_curriculum.reporting.media import Media, label_table
from redis_curriculum.reporting.reporter import Entry


@dataclass(slots=True)
class _Series:
    """The figures of one prefix in one run."""

    curriculum: str = ""
    """Whose they are; empty: their sink is closed, and the next one may have them."""
    axis: str = ""
    """The figure that the others are drawn over."""
    row: int | None = None
    """W&B's step of the row that holds the latest ones."""


_OF_RUN: Final[WeakKeyDictionary[Any, dict[str, _Series]]] = WeakKeyDictionary()
"""By run, then by prefix: sinks of one run know of each other."""


class WeightsAndBiases:
    """Logs ``curriculum/<figure>`` to a W&B run.

    Figures join the row that your own ``run.log`` is about to write (``commit=False``), so your
    steps are left alone and no row of yours is dropped. W&B writes the row with your next step, or
    when the run finishes. Where you log nothing between two epochs, the first one's row is
    committed, which takes one W&B step.

    The curves are drawn over your own step (``curriculum/epoch/step``) where ``end_epoch`` knows
    it, else over ``curriculum/epoch/number``. If a second curriculum logs to the same run under the
    same prefix, its name comes before the prefix (``<name>/curriculum/<figure>``), with one
    ``SinkWarning``; give each sink a prefix of its own to choose the names.

    Args:
        run: Your run, which stays yours to finish; None: ``wandb.init(**init)`` makes one.
        prefix: What the names begin with.
        media_every: Log also ``curriculum/labels``, a table of the labels, and
            ``curriculum/plot``, the picture of ``curriculum.plot()``, at the first of every so
            many epochs; None: never. Needs the extra ``plot``.
        init: As ``wandb.init`` takes them (``project``, ``mode="offline"``, ...).

    Raises:
        MissingLibraryError: The package ``wandb`` is missing, or Matplotlib for pictures.
        InvalidInputError: ``run`` is no run, or ``media_every`` no count.
    """

    def __init__(
        self,
        run: Any = None,
        *,
        prefix: str = "curriculum/",
        media_every: int | None = None,
        **init: Any,
    ) -> None:
        self._media = Media(media_every)
        self._owns = run is None
        self._run = imported("wandb", "loggers").init(**init) if run is None else run
        self._prefix = prefix
        if not callable(getattr(self._run, "log", None)):
            raise InvalidInputError("run", "a W&B run, or None", run)
        self._series = _OF_RUN.setdefault(self._run, {})
        self._own: dict[str, str] = {}
        """Prefix by curriculum, of those that log here."""

    def log(self, entry: Entry) -> None:
        """Log one row, and W&B's own alert for each alert."""
        prefix = self._own.get(entry.curriculum) or self._claim(entry.curriculum)
        series = self._series[prefix]
        axis = f"{prefix}epoch/{'number' if entry.report.step is None else 'step'}"
        if series.axis != axis:
            self._run.define_metric(axis, hidden=True)
            self._run.define_metric(f"{prefix}*", step_metric=axis)
            series.axis = axis
        if series.row is not None and series.row == self._run.step:
            self._run.log({}, commit=True)  # else this epoch would replace the one before
        self._run.log(entry.known(prefix), commit=False)
        series.row = self._run.step
        for alert in entry.report.alerts:
            self._run.alert(title=f"{entry.curriculum}: {alert.kind}", text=alert.message)
        if self._media.is_due(entry):
            self._run.log(self._shown(entry, prefix), commit=False)

    def _shown(self, entry: Entry, prefix: str) -> dict[str, Any]:
        wandb = imported("wandb", "loggers")
        columns, rows = label_table(entry)
        data, _ = self._media.picture(entry)
        picture = imported("PIL.Image", "plot").open(io.BytesIO(data))
        return {
            f"{prefix}labels": wandb.Table(columns=columns, data=rows),
            f"{prefix}plot": wandb.Image(picture),
        }

    def close(self) -> None:
        """Finish the run, if it was made here."""
        for prefix in self._own.values():
            self._series[prefix].curriculum = ""
        self._own.clear()
        if self._owns:
            self._run.finish()

    def _claim(self, curriculum: str) -> str:
        """The prefix of a curriculum's figures, which no other one has in this run."""
        prefix = self._prefix
        holder = self._series.setdefault(prefix, _Series()).curriculum
        if holder not in ("", curriculum):
            prefix = f"{curriculum}/{prefix}"
            self._series.setdefault(prefix, _Series())
            warnings.warn(
                f"{holder!r} logs to this W&B run as {self._prefix!r}: {curriculum!r} logs as"
                f" {prefix!r}; WeightsAndBiases(run, prefix=...) chooses another name",
                SinkWarning,
                stacklevel=2,
            )
        self._series[prefix].curriculum = curriculum
        self._own[curriculum] = prefix
        return prefix
