"""Held-out success over a training, and how much sooner one training got there than another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from redis_curriculum.demo.agent import Network
from redis_curriculum.demo.training import Training
from redis_curriculum.demo.worlds import HeldOut

POINTS = 13
HIGHEST_LEVEL = 0.8
"""Above it curves are flat: when they meet a level there is chance."""
LEAST_GAIN = 0.05
"""Of the mean success; who has learned less than this cannot be compared."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Mean success on held-out tasks, in [0, 1], after so many steps; the first point is 0 steps.

    ``success`` is smoothed: each value is the mean of the measured one and its two neighbours.
    """

    steps: list[int]
    success: list[float]

    def reaches(self, level: float) -> float | None:
        """Return the steps after which the curve first meets a level, by a line between points."""
        for i, (steps, value) in enumerate(zip(self.steps, self.success, strict=True)):
            if value >= level:
                if i == 0:
                    return float(steps)
                part = (level - self.success[i - 1]) / (value - self.success[i - 1])
                return self.steps[i - 1] + part * (steps - self.steps[i - 1])
        return None


@dataclass(frozen=True, slots=True)
class Race:
    """When two trainings met a level that both met: steps and seconds of each."""

    level: float
    steps: tuple[float, float]
    seconds: tuple[float, float]


def overall(rates: Mapping[str, float]) -> float:
    """Return the mean of the labels' rates; every label has the same number of tasks."""
    return sum(rates.values()) / len(rates)


def curve_of(training: Training, held_out: HeldOut, points: int = POINTS) -> Curve:
    """Measure the weights that a training kept, at ``points`` numbers of steps, evenly."""
    kept = training.checkpoints
    wanted = np.linspace(0, kept[-1][0], points)
    chosen = sorted({int(np.argmin([abs(steps - w) for steps, _ in kept])) for w in wanted})
    features = training.world.n_features
    rates = [overall(held_out.measure(Network(kept[i][1], features))) for i in chosen]
    return Curve([kept[i][0] for i in chosen], _smooth(rates))


def _smooth(values: Sequence[float]) -> list[float]:
    return [float(np.mean(values[max(0, i - 1) : i + 2])) for i in range(len(values))]


def race(trainings: tuple[Training, Training], curves: tuple[Curve, Curve]) -> Race | None:
    """Compare two trainings where the worse of them got to, at most ``HIGHEST_LEVEL``.

    None: it has hardly learned.
    """
    level = min(HIGHEST_LEVEL, *(max(curve.success) for curve in curves))
    if level < min(curve.success[0] for curve in curves) + LEAST_GAIN:
        return None
    first, second = (curve.reaches(level) for curve in curves)
    if not (first and second):
        return None
    seconds = tuple(
        training.seconds_at(steps)
        for training, steps in zip(trainings, (first, second), strict=True)
    )
    return Race(level, (first, second), (seconds[0], seconds[1]))
