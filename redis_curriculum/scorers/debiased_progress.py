"""Draw labels by their progress, less what chance explains.

A label's averages of different length lie apart where its scores change. Part of each gap is
chance: its variance is known, and taken off. What is left, at the length where it shows best, is
the label's weight. Tasks are not judged one by one: a label is drawn first, then any of its tasks.

Every operation is ``+ - x /``, a square root or a comparison, so that Lua agrees bit for bit: the
order of operations is part of the contract. The twin is ``lua/scorers/debiased_progress.lua``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from redis_curriculum._values.fields import STRUCTURAL, TUNABLE, Count, Flag, Fraction, Rate
from redis_curriculum._values.rules import In
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers.base import Eviction, Floats, Number
from redis_curriculum.scorers.drawing import LabelFirstDraws
from redis_curriculum.scorers.statistics import BASIC, Holder, Reported, Statistic, Statistics

LEAST_RATES, MOST_RATES = 2, 8
LEAST_WEIGHT = 1e-6
"""Weight of a label without any progress, so that no label is ever without one."""


def _check_ladder(rates: tuple[float, ...]) -> tuple[float, ...]:
    falling = all(fast > slow for fast, slow in pairwise(rates))
    if not (LEAST_RATES <= len(rates) <= MOST_RATES and falling):
        rule = f"{LEAST_RATES} to {MOST_RATES} rates in (0, 1], each below the one before"
        raise ValueError(rule)
    return rates


def _of_label(name: str, description: str) -> Statistic:
    return Statistic(name, description, holders=("label",))


AVERAGE_COST = "average_cost"
COST = Reported(
    "cost", "What the episode has cost, such as its number of steps.", In("[1, 1000000000]")
)
_AVERAGES = tuple(f"average_{k}" for k in range(MOST_RATES))
Ladder = Annotated[tuple[Rate, ...], AfterValidator(_check_ladder)]
WarmUp = Annotated[float, In("[1, 1000000]")]


class DebiasedProgressConfig(LabelFirstDraws):
    """Draws a label by its debiased progress, then a task of the label uniformly.

    A label keeps averages ``a_0``, ``a_1``, ... of its scores, the fastest first. Average ``k``
    moves by ``max(rates[k], warm_up[k] / (n + warm_up[k]))`` of the difference, where ``n`` is the
    number of results before: at first it is nearly the mean of all scores. With ``q`` an average
    of the squared score at the first rate, ``x`` and ``y`` the last rates of two neighbouring
    averages, and n the number of results::

        V   = x / (2 - x) + y / (2 - y) - 2 x y / (x + y - x y)
        var = max(q - a_0^2, 0) + 1 / (n + 4)
        w   = max over k of max((a_k - a_{k+1})^2 - noise_factor var V, 0) + 1e-6

    ``V`` is the variance of the gap for white noise of variance 1. With ``cost_aware``, w is
    divided by the square root of the label's average cost, such as the steps of its episodes.
    Labels with fewer results than ``least_count`` weigh as much as the largest w that is known.
    With L labels that have tasks::

        P(label) = floor / L + (1 - floor) w / sum of w

    A P above ``cap + (1 - cap) / L`` is cut to it. Then all are divided by their sum, so where few
    labels have weight, one may still get more.

    The page on whether it helps has what was measured with the constants of the default.
    """

    STATISTICS: ClassVar[tuple[Statistic, ...]] = (
        *BASIC,
        _of_label("learning_progress", "Largest gap of two neighbouring averages."),
        _of_label("average_squared", "Average of the squared score, at the first rate."),
        *(_of_label(name, "Average of the score, at its rate.") for name in _AVERAGES),
        Statistic(
            AVERAGE_COST, "Average cost, at the first rate.", low=1, high=1e9, holders=("label",)
        ),
    )
    REPORTED: ClassVar[tuple[Reported, ...]] = (COST,)
    INDEXED_BY: ClassVar[tuple[str, ...] | None] = (
        "noise_factor",
        "power",
        "least_count",
        "label_mass",
        "min_presentations_for_eviction",
    )
    DRAWN_BY: ClassVar[tuple[str, ...] | None] = (
        "average_squared",
        *_AVERAGES,
        AVERAGE_COST,
    )
    EVICTS: ClassVar[Eviction] = "random"

    kind: Annotated[Literal["debiased_progress"], STRUCTURAL] = "debiased_progress"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    rates: Annotated[Ladder, STRUCTURAL] = Field(
        default=(1 / 128, 1 / 256, 1 / 512),
        description="Final rates of the averages per completion of the label, each below the one"
        " before.",
    )
    warm_up: Annotated[tuple[WarmUp, ...], STRUCTURAL] = Field(
        default=(16.0, 8.0, 4.0),
        description="Rate k after n results is warm_up[k] / (n + warm_up[k]), until it has fallen"
        " to rates[k].",
    )
    cost_aware: Annotated[Flag, STRUCTURAL] = Field(
        default=False,
        description="Whether labels are drawn by w / sqrt(average cost); each result then brings"
        " its cost.",
    )
    noise_factor: Annotated[Annotated[float, In("[0, 10]")], TUNABLE] = Field(
        default=1.0, description="How often the variance of chance is taken off a squared gap."
    )
    power: Annotated[Annotated[int, In("[1, 2]")], TUNABLE] = Field(
        default=2, description="Power of the debiased gap that a label is drawn by."
    )
    min_presentations_for_eviction: Annotated[Count, TUNABLE] = Field(
        default=20, description="Completions from which a task may be evicted."
    )
    replacement_rate: Annotated[Fraction, TUNABLE] = Field(
        default=0.0,
        description="Probability that a draw tries to replace a task first, any that may be"
        " evicted; 0 keeps every task.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.warm_up) != len(self.rates):
            rule = f"{len(self.rates)} numbers, one for each of rates"
            raise InvalidInputError("warm_up", rule, self.warm_up)
        return self

    # --- the rule --------------------------------------------------------------------------------

    def fold(self, of: Statistics, score: float, cost: float = 1.0) -> dict[str, float]:  # noqa: ARG002
        """Return a task's statistics after one more completion; its cost is the label's alone."""
        return super().fold(of, score)

    def fold_label(self, of: Statistics, score: float, cost: float = 1.0) -> dict[str, float]:
        """Return a label's statistics after one more completion of any of its tasks."""
        found = self.fold(of, score)
        moving = self.rates_after(int(found["completion_count"]))
        averages = [of.get(name, 0.0) for name in self._averages]
        averages = [a + rate * (score - a) for a, rate in zip(averages, moving, strict=True)]
        squared = of.get("average_squared", 0.0)
        found["average_squared"] = squared + moving[0] * (score * score - squared)
        gaps = [abs(a - b) for a, b in pairwise(averages)]
        found["learning_progress"] = max(gaps)
        if self.cost_aware:
            average = of.get(AVERAGE_COST, 1.0)
            found[AVERAGE_COST] = average + moving[0] * (cost - average)
        return found | dict(zip(self._averages, averages, strict=True))

    def first(self, name: str, mean: float) -> float:
        """Return no progress, a cost of 1, and the mean for every average.

        Of the squared score too: exact where scores are 0 or 1, too much variance otherwise.
        """
        return {"learning_progress": 0.0, AVERAGE_COST: 1.0}.get(name, mean)

    def rates_after(self, count: int) -> tuple[float, ...]:
        """Return the rate of each average at the last of ``count`` results of a label."""
        n = count - 1
        return tuple(max(r, c / (n + c)) for r, c in zip(self.rates, self.warm_up, strict=True))

    def weight(self, of: Statistics) -> float:
        """Return a label's weight from its own results; 1e-6 to about 1 unless it goes by cost."""
        count, squared = of.get("completion_count", 0.0), of.get("average_squared", 0.0)
        averages = [of.get(name, 0.0) for name in self._averages]
        found = self._weigh(count, squared, averages, max, math.sqrt)
        return found / math.sqrt(of.get(AVERAGE_COST, 1.0)) if self.cost_aware else found

    def weights(self, columns: Mapping[str, Floats]) -> Floats:
        """Return the weights of many labels, shape (n,); 1e-6 where there are no results."""
        known = {name: np.nan_to_num(column, nan=0.0) for name, column in columns.items()}
        averages = [known[name] for name in self._averages]
        count, squared = known["completion_count"], known["average_squared"]
        found = self._weigh(count, squared, averages, np.maximum, np.sqrt)
        if not self.cost_aware:
            return found
        cost: Floats = np.sqrt(np.nan_to_num(columns[AVERAGE_COST], nan=1.0))
        return found / cost

    def _weigh(
        self,
        count: Number,
        squared: Number,
        averages: Sequence[Number],
        larger: Callable[..., Any],
        root: Callable[[Any], Any],
    ) -> Number:
        n = larger(count - 1, 0.0)
        moving = [larger(r, c / (n + c)) for r, c in zip(self.rates, self.warm_up, strict=True)]
        variance = larger(squared - averages[0] * averages[0], 0.0) + 1 / (count + 4)
        best = 0.0 * count
        for k in range(len(self.rates) - 1):
            gap = averages[k] - averages[k + 1]
            chance = self.noise_factor * variance * gap_variance(moving[k], moving[k + 1])
            best = larger(best, gap * gap - chance)
        found = best + LEAST_WEIGHT
        return root(found) if self.power == 1 else found  # pyright: ignore[reportReturnType] - as count

    @property
    def reported(self) -> tuple[Reported, ...]:
        """The cost, where labels are drawn by it."""
        return self.REPORTED if self.cost_aware else ()

    @property
    def ripe_from(self) -> int:
        """``min_presentations_for_eviction``."""
        return self.min_presentations_for_eviction

    @property
    def replacement(self) -> float:
        """``replacement_rate``."""
        return self.replacement_rate

    def names(self, holder: Holder) -> tuple[str, ...]:
        """Return the names of the statistics; there are as many averages as rates."""
        unused = set(_AVERAGES) - set(self._averages)
        unused |= set() if self.cost_aware else {AVERAGE_COST}
        return tuple(name for name in super().names(holder) if name not in unused)

    @classmethod
    def layouts(cls) -> Sequence[Self]:
        """With each number of averages, with and without costs."""
        return tuple(
            cls(
                rates=tuple(2.0 ** -(k + 1) for k in range(n)),
                warm_up=(1.0,) * n,
                cost_aware=cost_aware,
            )
            for n in range(LEAST_RATES, MOST_RATES + 1)
            for cost_aware in (False, True)
        )

    @property
    def _averages(self) -> tuple[str, ...]:
        return _AVERAGES[: len(self.rates)]

    # --- presets ---------------------------------------------------------------------------------

    @classmethod
    def fast(cls, **overrides: Any) -> Self:
        """For few results a label (some hundred): averages over 32 results and more."""
        preset = {
            "rates": (1 / 32, 1 / 64, 1 / 128, 1 / 256, 1 / 512),
            "warm_up": (128.0, 64.0, 32.0, 16.0, 8.0),
        }
        return cls(**{**preset, **overrides})

    @classmethod
    def long_memory(cls, **overrides: Any) -> Self:
        """Where labels differ much and chance plays little part: averages over 2,048 results."""
        preset = {
            "rates": (1 / 128, 1 / 512, 1 / 2048),
            "warm_up": (16.0, 4.0, 1.0),
            "floor": 0.3,
        }
        return cls(**{**preset, **overrides})


def gap_variance(x: Number, y: Number) -> Number:
    """Return the variance of the gap of two averages of rates x and y over unit white noise."""
    return x / (2 - x) + y / (2 - y) - 2 * x * y / (x + y - x * y)
