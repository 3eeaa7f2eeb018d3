"""Signs that a curriculum does not do what it is for, read off the reports of its epochs.

Pure functions: a report and those before it go in, alerts come out. The thresholds are plain
constants, chosen so that a healthy run raises none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

HIGH_SUCCESS: Final = 0.7
"""regression: a label's success rate was at least so high at the end of an earlier epoch ..."""
FALL: Final = 0.3
"""... and is lower by so much now."""
EPOCHS_BACK: Final = 5
"""... Earlier means: one of so many epochs before."""
LEAST_PROGRESS: Final = 0.005
"""stall: no label's learning progress is above this part of the spread of the labels' scores ..."""
LEAST_SPREAD: Final = 1e-8
"""... or their scores lie closer together than this part of ``score_range``: then progress, some
tenth of it, is hardly above 2**-40, the smallest difference that draws know."""
_ROUNDING: Final = 1e-13
"""What equal scores may differ by, once they are averaged."""
DOMINANT_SHARE: Final = 0.9
"""collapse: of several labels one takes at least this share of the samples."""
LEAST_SAMPLES: Final = 100
"""stall and collapse: only in an epoch with so many completions (collapse: samples)."""
FAILED_SHARE: Final = 0.1
"""failures: a label failed in at least this share of its samples ..."""
LEAST_FAILURES: Final = 5
"""... and so often."""
UNREPORTED_SHARE: Final = 0.5
"""unreported: at least this share of the samples has brought neither score nor failure ..."""
LEAST_UNREPORTED: Final = 50
"""... and so many of them."""


class AlertKind(StrEnum):
    """What is wrong."""

    REGRESSION = "regression"
    """A label's success rate fell after it was high."""
    STALL = "stall"
    """There is no learning progress left to go by."""
    COLLAPSE = "collapse"
    """One label takes nearly all samples."""
    FAILURES = "failures"
    """A label's tasks fail often."""
    UNREPORTED = "unreported"
    """Tasks are drawn, and their episodes do not come to an end that is reported."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One finding."""

    kind: AlertKind
    label: str | None
    """None: it concerns the whole pool."""
    message: str
    """One line with the numbers."""

    def __str__(self) -> str:
        """Kind and message."""
        return f"{self.kind}: {self.message}"


def alerts(
    *,
    samples: Mapping[str, int],
    completions: Mapping[str, int],
    failures: Mapping[str, int],
    success_rate: Mapping[str, float],
    learning_progress: Mapping[str, float],
    spread: float,
    before: Sequence[Mapping[str, float]],
) -> tuple[Alert, ...]:
    """Return what one epoch's figures, all by label, give cause for.

    ``spread`` is how far the labels' mean scores lie apart, in [0, 1]; ``before``: success rates.
    """
    found = [
        *_regressions(success_rate, before[-EPOCHS_BACK:]),
        *_stall(completions, learning_progress, spread),
        *_collapse(samples, success_rate),
        *_failures(samples, failures),
        *_unreported(samples, completions, failures),
    ]
    return tuple(found)


def _regressions(
    now: Mapping[str, float], before: Sequence[Mapping[str, float]]
) -> Iterator[Alert]:
    for label, rate in now.items():
        best = max((rates.get(label, 0.0) for rates in before), default=0.0)
        if best >= HIGH_SUCCESS and best - rate >= FALL:
            text = f"success rate of {label!r} fell from {best:.2f} to {rate:.2f}"
            yield Alert(AlertKind.REGRESSION, label, text)


def _stall(
    completions: Mapping[str, int], progress: Mapping[str, float], spread: float
) -> Iterator[Alert]:
    if not progress or sum(completions.values()) < LEAST_SAMPLES:
        return
    most, least = max(progress.values()), LEAST_PROGRESS * spread
    if _ROUNDING < spread < LEAST_SPREAD:
        text = f"scores take {spread:.1e} of score_range, less than draws can tell apart: narrow it"
        yield Alert(AlertKind.STALL, None, text)
    elif most <= least:
        text = f"no label has learning progress above {least:.2g} (most: {most:.2g})"
        yield Alert(AlertKind.STALL, None, text)


def _collapse(samples: Mapping[str, int], active: Mapping[str, object]) -> Iterator[Alert]:
    total = sum(samples.values())
    if total < LEAST_SAMPLES or len(samples.keys() | active.keys()) == 1:
        return
    label = max(samples, key=lambda name: samples[name])
    share = samples[label] / total
    if share >= DOMINANT_SHARE:
        text = f"{label!r} took {share:.0%} of {total} samples"
        yield Alert(AlertKind.COLLAPSE, label, text)


def _failures(samples: Mapping[str, int], failures: Mapping[str, int]) -> Iterator[Alert]:
    for label, count in failures.items():
        drawn = samples.get(label, 0)
        if count >= LEAST_FAILURES and count >= FAILED_SHARE * drawn:
            text = f"tasks of {label!r} failed {count} times in {drawn} samples"
            yield Alert(AlertKind.FAILURES, label, text)


def _unreported(
    samples: Mapping[str, int], completions: Mapping[str, int], failures: Mapping[str, int]
) -> Iterator[Alert]:
    drawn = sum(samples.values())
    missing = drawn - sum(completions.values()) - sum(failures.values())
    if missing >= LEAST_UNREPORTED and missing >= UNREPORTED_SHARE * drawn:
        text = (
            f"{missing} of {drawn} samples brought no result; an episode that is reset before its"
            " end is never reported"
        )
        yield Alert(AlertKind.UNREPORTED, None, text)
