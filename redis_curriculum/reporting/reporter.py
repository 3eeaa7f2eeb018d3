"""A curriculum's figures at intervals, handed to sinks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from redis_curriculum._protocol.keys import COUNTS
from redis_curriculum.errors import SinkWarning
from redis_curriculum.reporting.alerts import AlertKind
from redis_curriculum.reporting.epochs import EpochReport


@dataclass(frozen=True, slots=True)
class Entry:
    """What is logged at the end of an epoch."""

    curriculum: str
    """Its name."""
    report: EpochReport
    figures: Mapping[str, float]
    """What ``stats()`` returned just after, and the report's own figures; NaN: nothing to say."""

    def known(self, prefix: str = "") -> dict[str, float]:
        """The figures that are numbers."""
        return {f"{prefix}{name}": x for name, x in self.figures.items() if math.isfinite(x)}


class Sink(Protocol):
    """Takes one entry an epoch."""

    def log(self, entry: Entry) -> None:
        """Write the entry where it belongs."""

    def close(self) -> None:
        """Write out what is held back."""


class Reporting(Protocol):
    """What a reporter needs of a curriculum."""

    @property
    def name(self) -> str:
        """The curriculum's name."""
        ...

    def end_epoch(self) -> EpochReport:
        """Close the current epoch; see ``Curriculum.end_epoch``."""
        ...

    def stats(self) -> dict[str, float]:
        """Return every figure by name; see ``Curriculum.stats``."""
        ...


@dataclass(slots=True)
class _Ended:
    """An epoch that was ended and has not been logged to the end."""

    report: EpochReport | None = None
    told: int = 0
    """How many sinks have taken its entry."""


class StatsReporter:
    """Ends epochs and logs what they were like.

    ::

        with StatsReporter(curriculum, JsonLines("run.jsonl"), Stdout()) as reporter:
            for _ in range(epochs):
                train()
                report = reporter.end_epoch()

    The curriculum stays open; the sinks are closed with the reporter.
    """

    def __init__(self, curriculum: Reporting, *sinks: Sink) -> None:
        self._curriculum = curriculum
        self._sinks = sinks
        self._ended: _Ended | None = None

    def end_epoch(self) -> EpochReport:
        """End the epoch and log it; costs ``curriculum.end_epoch()`` and ``curriculum.stats()``.

        A sink that fails is a ``SinkWarning``: the others get their entry, training goes on. The
        same call, made again after an error or Ctrl-C, logs the epoch that it has ended.

        Raises:
            EpochError: Another trainer has ended it, and logs it; nothing was logged here.
        """
        ended = self._ended = self._ended or _Ended()
        try:
            report = ended.report = ended.report or self._curriculum.end_epoch()
            figures = self._curriculum.stats() | report_figures(report)
            entry = Entry(self._curriculum.name, report, figures)
            for sink in self._sinks[ended.told :]:
                self._tell(sink, lambda sink: sink.log(entry))
                ended.told += 1
            self._ended = None
            return report  # Ctrl-C may come before this very line
        except BaseException:
            self._ended = ended
            raise

    def close(self) -> None:
        """Close the sinks."""
        for sink in self._sinks:
            self._tell(sink, lambda sink: sink.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _tell(self, sink: Sink, act: Callable[[Sink], None]) -> None:
        try:
            act(sink)
        except Exception as error:  # noqa: BLE001 - whatever it raises, training goes on
            name, what = type(sink).__name__, type(error).__name__
            warnings.warn(f"{name}: {what}: {error}", SinkWarning, stacklevel=3)


def report_figures(report: EpochReport) -> dict[str, float]:
    """Return an epoch report's counts and alerts as figures, beside those of ``stats()``."""
    ended = report.started_ms if report.ended_ms is None else report.ended_ms
    found: dict[str, float] = {
        "epoch/number": report.epoch,
        "epoch/seconds": (ended - report.started_ms) / 1000,
    }
    for what in COUNTS:
        found[f"epoch/{what}"] = report.totals[what]
        by_label: Mapping[str, int] = getattr(report, what)
        found.update({f"epoch/{what}/{label}": n for label, n in by_label.items() if label})
    for kind in AlertKind:
        found[f"alerts/{kind}"] = sum(alert.kind is kind for alert in report.alerts)
    return {name: float(value) for name, value in found.items()}
