"""What a statistic is, and the averages that scorers are made of.

Records agree with the scripts bit for bit, so the order of every floating-point operation is part
of the contract. Do not "simplify" an expression without its twin in ``lua/scorers``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from redis_curriculum._values.rules import In
from redis_curriculum.errors import InvalidInputError

ROUNDING = 1e-6
"""How far an average may lie outside its range because of rounding."""
Statistics = Mapping[str, float]
"""The statistics of one task or label by name. Absent means "never"; 0 is a value like any."""

Holder = Literal["task", "label", "pool"]
"""Who has a statistic: a task, a label, or all tasks and labels together."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """One number that a family keeps of every task, of every label, or of the whole pool.

    All statistics of a task (or label, or pool) are absent before its first result.
    """

    name: str
    description: str
    low: float = 0.0
    high: float = 1.0
    """Its range, both ends included; a snapshot with a value outside is refused."""
    holders: tuple[Holder, ...] = ("task", "label")
    is_optional: bool = False
    """Whether it may be absent after the first result too."""

    def check(self, among: Statistics) -> None:
        """Refuse it where it is absent, no number, or out of its range.

        Raises:
            InvalidInputError: With its name and the rule.
        """
        value = among.get(self.name)
        if value is None:
            if among and not self.is_optional:
                rule = "given, as there are results"
                raise InvalidInputError(f"statistics.{self.name}", rule, None)
            return
        if not self.low - ROUNDING <= value <= self.high + ROUNDING:
            rule = f"in [{self.low:g}, {self.high:g}]"
            raise InvalidInputError(f"statistics.{self.name}", rule, value)
        if self.name == "completion_count" and not (value >= 1 and value == int(value)):
            raise InvalidInputError(f"statistics.{self.name}", "a whole number, 1 or more", value)


@dataclass(frozen=True, slots=True)
class Reported:
    """One number that every result brings beside its score."""

    name: str
    """A keyword of ``update_task_performance``, and what ``fold`` takes after the score."""
    description: str
    interval: In
    """What it may be; anything else is refused before it is sent."""
    is_whole: bool = False
    """Whether it is an integer."""


COMPLETION_COUNT = Statistic("completion_count", "Results that were applied.", high=2.0**53)
TOTAL_SCORE = Statistic("total_score", "Sum of the scores.", high=1e300)
REWARD_EMA = Statistic("reward_ema", "EMA of the score, rate task_tracker_ema_alpha.")
SUCCESS_RATE_EMA = Statistic(
    "success_rate_ema",
    "EMA of [score >= success_threshold], rate task_tracker_ema_alpha.",
)
BASIC = (COMPLETION_COUNT, TOTAL_SCORE, REWARD_EMA, SUCCESS_RATE_EMA)
"""What every family keeps."""


def ema(old: float | None, rate: float, value: float) -> float:
    """Return an exponential moving average after ``value``; the first value is the average."""
    return value if old is None else old + rate * (value - old)


def packed(names: Sequence[str], statistics: Statistics) -> bytes:
    """Return statistics as little-endian doubles in the order of ``names``; NaN where absent."""
    nan = float("nan")
    return struct.pack(f"<{len(names)}d", *(statistics.get(name, nan) for name in names))


def unpacked(names: Sequence[str], data: bytes) -> dict[str, float]:
    """Return what ``packed`` has packed."""
    values = struct.unpack(f"<{len(names)}d", data)
    return {name: x for name, x in zip(names, values, strict=True) if x == x}  # noqa: PLR0124 - NaN
