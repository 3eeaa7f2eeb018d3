"""From statistics to weights; exact sums over the eligible tasks.

Draws agree with the scripts bit for bit, so the order of every floating-point operation is part of
the contract.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from redis_curriculum.scorers.learning_progress import LearningProgressConfig

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]
Number = TypeVar("Number", float, Floats)


def drive(learning_progress: Number, p_true: Number, hypers: LearningProgressConfig) -> Number:
    """Return what draws attention to a task: its progress plus the performance bonus."""
    if hypers.performance_bonus_weight == 0:
        return learning_progress
    return learning_progress + hypers.performance_bonus_weight * p_true


def fixed(y: Number) -> Number:
    """Return a drive (0 <= y < 4) as a whole number of 2**-40, an integer-valued float < 2**42.

    Floats added and removed one at a time drift; whole numbers do not.
    """
    return np.floor(y * 1099511627776.0 + 0.5)  # type: ignore[no-any-return]  # a ufunc is Any


@dataclass(frozen=True, slots=True)
class Sums:
    """Exact sums of the fixed-point drives of the eligible tasks and of their squares.

    A drive's square has up to 84 bits, more than a double or Redis's 64-bit integers hold, so the
    drive is split: a = hi * 2**21 + lo, hence a*a = hi*hi * 2**42 + hi*lo * 2**22 + lo*lo. Each of
    the four sums fits 63 bits for pools up to two million tasks.
    """

    s: int = 0
    q0: int = 0
    q1: int = 0
    q2: int = 0

    def add(self, y: float, count: int = 1) -> Sums:
        """Return the sums with ``count`` tasks of drive ``y`` more (or fewer, if negative)."""
        a = int(fixed(y))
        hi, lo = divmod(a, 2097152)
        return Sums(
            self.s + count * a,
            self.q0 + count * lo * lo,
            self.q1 + count * hi * lo,
            self.q2 + count * hi * hi,
        )

    @classmethod
    def of(cls, drives: Floats) -> Sums:
        """Return the sums over many drives, shape (n,)."""
        a = fixed(drives).astype(np.int64)
        hi, lo = a >> 21, a & 2097151
        return cls(int(a.sum()), int((lo * lo).sum()), int((hi * lo).sum()), int((hi * hi).sum()))


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and standard deviation of the fixed-point drives over the eligible tasks.

    ``equal`` says that they differ by less than rounding can tell; then all weigh the same.
    """

    mean: float
    std: float
    equal: bool

    @classmethod
    def of(cls, sums: Sums, n: int) -> Moments:
        """Return the moments of ``n`` eligible tasks; of none, they are 0 and equal."""
        if n == 0:
            return cls(0.0, 0.0, equal=True)
        mean = float(sums.s) / n
        square = float(sums.q2) * 4398046511104.0 + float(sums.q1) * 4194304.0 + float(sums.q0)
        variance = square / n - mean * mean
        if variance <= mean * mean * 1e-14:
            return cls(mean, 0.0, equal=True)
        return cls(mean, math.sqrt(variance), equal=False)

    def flat(self, hypers: LearningProgressConfig) -> bool:
        """Whether all eligible tasks weigh the same."""
        return hypers.temperature == 0 and (self.equal or hypers.z_score_amplification == 0)


def weight(y: float, moments: Moments, hypers: LearningProgressConfig) -> float:
    """Return the weight in [0, 1] of an eligible task with drive ``y``.

    The C library's ``exp``, as in Lua: NumPy's may differ in the last bit, and so would a draw.
    """
    if moments.flat(hypers):
        return 1.0
    try:
        return float(1 / (1 + math.exp(-_log_odds(y, moments, hypers))))
    except OverflowError:
        return 0.0


def weights(drives: Floats, moments: Moments, hypers: LearningProgressConfig) -> Floats:
    """Return the weights of eligible tasks, shape (n,); may differ from ``weight`` by an ulp."""
    if moments.flat(hypers):
        return np.ones(len(drives))
    with np.errstate(over="ignore", under="ignore"):
        return 1 / (1 + np.exp(-_log_odds(drives, moments, hypers)))


def _log_odds(y: Number, moments: Moments, hypers: LearningProgressConfig) -> Number:
    """Return x of the weight ``sigmoid(x)``; not defined where the weights are flat."""
    if hypers.temperature > 0:
        return (y + hypers.progress_smoothing) / hypers.temperature
    return hypers.z_score_amplification * ((fixed(y) - moments.mean) / moments.std)
