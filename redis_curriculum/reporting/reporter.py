"""A curriculum's figures at intervals, handed to sinks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any, Protocol, Self

from redis_curriculum._protocol.keys import COUNTS
from redis_curriculum.errors import InvalidInputError, SinkWarning
from redis_curriculum.reporting.alerts import AlertKind
from redis_curriculum.reporting.epochs import EpochReport, checked_step
from redis_curriculum.reporting.labels import Labels, checked_labels, chosen_labels, of_label


@dataclass(frozen=True, slots=True)
class Entry:
    """What is logged at the end of an epoch."""

    curriculum: str
    """Its name."""
    report: EpochReport
    figures: Mapping[str, float]
    """What ``stats()`` returned just after, and the report's own figures; NaN: nothing to say."""

    plot: Callable[[], Any] = field(repr=False, compare=False)
    """Reads the curriculum anew and returns its pictures; see ``Curriculum.plot``."""

    def known(self, prefix: str = "") -> dict[str, float]:
        """The figures that are numbers."""
        return {f"{prefix}{name}": x for name, x in self.figures.items() if math.isfinite(x)}

    def by_label(self) -> dict[str, dict[str, float]]:
        """The labels' own figures: of each label a value by the name of its figure."""
        found: dict[str, dict[str, float]] = {}
        for figure, value in self.figures.items():
            name, label = of_label(figure)
            if label is not None:
                found.setdefault(label, {})[name] = value
        return found


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

    def end_epoch(self, *, step: int | None = None) -> EpochReport:
        """Close the current epoch; see ``Curriculum.end_epoch``."""
        ...

    def stats(self, *, labels: int | str | None = None) -> dict[str, float]:
        """Return every figure by name; see ``Curriculum.stats``."""
        ...

    def plot(self) -> Any:
        """Return its pictures; see ``Curriculum.plot``. Only sinks that log pictures call it."""
        ...


@dataclass(slots=True)
class _Ended:
    """An epoch that is being ended and has not been logged to the end."""

    step: int | None
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

    Args:
        curriculum: A ``Curriculum``, by its owner's handle.
        sinks: Where to log.
        step: Returns your own step, an integer: frames, updates, ... Sinks draw their curves over
            it. None: they draw them over the number of the epoch.
        labels: Which labels have figures of their own, as in ``Curriculum.stats``.

    Raises:
        InvalidInputError: ``labels`` is neither a count nor a pattern, or ``curriculum`` is no
            ``Curriculum``.
    """

    def __init__(
        self,
        curriculum: Reporting,
        *sinks: Sink,
        step: Callable[[], int] | None = None,
        labels: int | str | None = None,
    ) -> None:
        end_epoch = getattr(curriculum, "end_epoch", None)
        is_class = isinstance(curriculum, type)
        if not callable(end_epoch) or iscoroutinefunction(end_epoch) or is_class:
            raise InvalidInputError(
                "curriculum", "an open Curriculum, none for asyncio", curriculum
            )
        self._curriculum = curriculum
        self._sinks = sinks
        self._step = step
        self._labels = checked_labels(labels)
        self._ended: _Ended | None = None

    def end_epoch(self, *, step: int | None = None) -> EpochReport:
        """End the epoch and log it; costs ``curriculum.end_epoch()`` and ``curriculum.stats()``.

        A sink that fails is a ``SinkWarning``: the others get their entry, training goes on. The
        same call, made again after an error or Ctrl-C, logs the epoch that it has ended, at the
        step of the first call.

        Args:
            step: Your own step, an integer in [0, 2**53); None: what the reporter's ``step``
                returns, if it has one.

        Raises:
            InvalidInputError: The step is no such integer; no epoch was ended.
            EpochError: Another trainer has ended it, and logs it; nothing was logged here.
        """
        ended = self._ended = self._ended or _Ended(self._step_now(step))
        try:
            if ended.report is None:
                ended.report = self._curriculum.end_epoch(step=ended.step)
            report = ended.report
            figures = self._curriculum.stats(labels=self._labels)
            figures |= report_figures(report, self._labels)
            entry = Entry(self._curriculum.name, report, figures, self._curriculum.plot)
            for sink in self._sinks[ended.told :]:
                self._tell(sink, lambda sink: sink.log(entry))
                ended.told += 1
            self._ended = None
            return report  # Ctrl-C may come before this very line
        except BaseException:
            self._ended = ended
            raise

    def _step_now(self, step: int | None) -> int | None:
        if step is None and self._step is not None:
            step = self._step()
        return None if step is None else checked_step(step)

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


def report_figures(report: EpochReport, labels: Labels = None) -> dict[str, float]:
    """Return an epoch report's counts and alerts as figures, beside those of ``stats()``.

    Of a count of labels, those drawn most in this epoch.
    """
    ended = report.started_ms if report.ended_ms is None else report.ended_ms
    found: dict[str, float] = {
        "epoch/number": report.epoch,
        "epoch/seconds": (ended - report.started_ms) / 1000,
    }
    if report.step is not None:
        found["epoch/step"] = report.step
    counts: dict[str, Mapping[str, int]] = {what: getattr(report, what) for what in COUNTS}
    own = chosen_labels(labels, set().union(*counts.values()), report.samples)
    for what, by_label in counts.items():
        found[f"epoch/{what}"] = report.totals[what]
        found |= {f"epoch/{what}/{label}": n for label, n in by_label.items() if label in own}
    for kind in AlertKind:
        found[f"alerts/{kind}"] = sum(alert.kind is kind for alert in report.alerts)
    return {name: float(value) for name, value in found.items()}
