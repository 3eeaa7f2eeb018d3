"""Draw prompts by what their groups of rollouts have shown: rule P of the study behind the default.

A prompt is worth a group of rollouts where some succeed and some fail. How likely that is, is
measured over the whole pool, by the state of a prompt: never tried, all wrong once, twice, ...,
mixed, all right. Beside it counts the room that the prompt has left to grow.

Every operation is ``+ - x /`` or a comparison, so that Lua agrees bit for bit: the order of
operations is part of the contract. The twin is ``lua/scorers/group_progress.lua``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import numpy as np
from pydantic import Field

from redis_curriculum._values.fields import STRUCTURAL, TUNABLE, Fraction
from redis_curriculum._values.rules import In
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers.base import Floats
from redis_curriculum.scorers.debiased_progress import DebiasedProgressConfig
from redis_curriculum.scorers.drawing import StateDraws
from redis_curriculum.scorers.statistics import BASIC, Reported, Statistic, Statistics

STATES: Final = ("fresh", "wrong_1", "wrong_2", "wrong_3", "wrong_4", "mixed", "right")
WRONG, MIXED, RIGHT = 0, 1, 2
_MIXED_STATE, _RIGHT_STATE = STATES.index("mixed"), STATES.index("right")
_YIELD_RATE, _PRIOR, _PRIOR_COUNT = 1 / 64, 0.5, 4
_LUCKY, _LONGEST = 2, 1_000_000
_ROUNDING = 1e-4
_LABELS: Final = DebiasedProgressConfig(noise_factor=2.0)
_OF_LABELS: Final = ("learning_progress", "average_squared", "average_0", "average_1", "average_2")


def _of_task(name: str, description: str, low: float = 0, high: float = 1) -> Statistic:
    return Statistic(name, description, low=low, high=high, holders=("task",))


def _of_label(name: str, description: str) -> Statistic:
    return Statistic(name, description, holders=("label",))


def _of_pool() -> tuple[Statistic, ...]:
    found: list[Statistic] = []
    for name in STATES:
        what = f'prompts in the state "{name}"'
        count = Statistic(f"count_{name}", f"Groups of {what}.", high=2.0**53, holders=("pool",))
        share = f"Moving average of [the group was mixed] over {what}."
        found += [count, Statistic(f"yield_{name}", share, holders=("pool",))]
    return tuple(found)


class GroupProgressConfig(StateDraws):
    """Draws prompts whose groups of rollouts are likely to be mixed, and that have room to grow.

    A result is the share of a group's ``trials`` that succeeded. Of a prompt, p is its mean
    (the first share, then ``(p + x) / 2``), and m the number of mixed groups in a row. States are
    fresh, 1, 2, 3, 4 or more groups in a row all wrong, mixed, and all right. Of each state, n is
    the number of groups that came from it, and Y how often they were mixed::

        Y += max(1/64, 1/n) ([mixed] - Y)
        y  = max(Y + (0.5 - Y) 4 / (n + 4), least_yield)
        weight = y^2 (1 - p)^room_power min(1, 2/m)              fresh: p = 0
        P(prompt) = floor / N + (1 - floor) weight / sum of weights

    With ``label_factor="progress"`` each weight is multiplied by its label's share, as
    ``DebiasedProgressConfig(noise_factor=2, cap=1)`` has it, over the label's number of prompts.

    The score is a mean that ``score_range`` maps to [0, 1]; a single result is refused. Ask for
    distinct prompts in a batch: ``get_tasks(n, distinct=True)``.
    """

    STATISTICS: ClassVar[tuple[Statistic, ...]] = (
        *BASIC,
        _of_task("group_mean", "Mean of the shares that succeeded; the last one is half of it."),
        _of_task("outcome", "Of the last group: 0 all wrong, 1 mixed, 2 all right.", high=2),
        _of_task("run", "Groups of that outcome in a row.", low=1, high=_LONGEST),
        _of_label("learning_progress", "Largest gap of two neighbouring averages."),
        _of_label("average_squared", "Average of the squared score, at rate 1/128."),
        *(
            _of_label(f"average_{k}", f"Average of the score, at rate 1/{128 * 2**k}.")
            for k in range(3)
        ),
        *_of_pool(),
    )
    REPORTED: ClassVar[tuple[Reported, ...]] = (
        Reported("trials", "Rollouts of the group.", In("[2, 1000000]"), is_whole=True),
    )
    STATES: ClassVar[int] = len(STATES)
    DRAWN_BY: ClassVar[tuple[str, ...] | None] = ("group_mean", "outcome", "run", *_OF_LABELS[1:])
    INDEXED_BY: ClassVar[tuple[str, ...] | None] = ("room_power", "label_factor")

    kind: Annotated[Literal["group_progress"], STRUCTURAL] = "group_progress"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    room_power: Annotated[Annotated[int, In("[1, 8]")], TUNABLE] = Field(
        default=4,
        description="Power of the room to grow, 1 - p. 2 wastes fewer groups and draws more prompts"
        " that are right by luck.",
    )
    least_yield: Annotated[Fraction, TUNABLE] = Field(
        default=0.1, description="What the share of mixed groups of a state counts at least."
    )

    # --- the rule --------------------------------------------------------------------------------

    def check_result(self, score: float, *numbers: float) -> None:
        """Refuse a score that is not a whole number of successes over the trials."""
        (trials,) = numbers
        if abs(score * trials - round(score * trials)) > _ROUNDING * trials:
            rule = f"successes / trials, with a whole number of successes of {trials:.0f} trials"
            raise InvalidInputError("score", rule, score)

    def fold(self, of: Statistics, score: float, trials: float = 2.0) -> dict[str, float]:
        """Return a prompt's statistics after one more group."""
        x, outcome = _group(score, trials)
        found = super().fold(of, score)
        mean, run = of.get("group_mean"), 1.0
        if of.get("outcome") == outcome:
            run = min(of["run"] + 1, _LONGEST)
        found["group_mean"] = x if mean is None else (mean + x) / 2
        return found | {"run": run, "outcome": float(outcome)}

    def fold_label(self, of: Statistics, score: float, trials: float = 2.0) -> dict[str, float]:  # noqa: ARG002
        """Return a label's statistics after one more group of any of its prompts."""
        found = _LABELS.fold_label(of, score)
        return super().fold(of, score) | {name: found[name] for name in _OF_LABELS}

    def fold_pool(
        self, pool: Statistics, of: Statistics, score: float, trials: float = 2.0
    ) -> dict[str, float]:
        """Return the states' counts and yields after a group of a prompt that was ``of`` before."""
        _, outcome = _group(score, trials)
        kinds = ("count", "yield")
        found = {f"{k}_{s}": pool.get(f"{k}_{s}", 0.0) for s in STATES for k in kinds}
        name = STATES[self.state(of)]
        n, y = found[f"count_{name}"] + 1, found[f"yield_{name}"]
        found[f"count_{name}"] = n
        found[f"yield_{name}"] = y + max(1 / n, _YIELD_RATE) * ((outcome == MIXED) - y)
        return found

    def first(self, name: str, mean: float) -> float:
        """Return no progress, a group that was mixed, and the mean for every average."""
        return {"learning_progress": 0.0, "outcome": 1.0, "run": 1.0}.get(name, mean)

    def state(self, of: Statistics) -> int:
        """Return the place among the seven states of a prompt."""
        if not of.get("completion_count"):
            return 0
        if of["outcome"] == WRONG:
            return int(min(of["run"], 4))
        return _MIXED_STATE if of["outcome"] == MIXED else _RIGHT_STATE

    def states(self, columns: Mapping[str, Floats]) -> Floats:
        """Return the states of many prompts, shape (n,)."""
        outcome, run = columns["outcome"], columns["run"]
        found = np.where(outcome == MIXED, _MIXED_STATE, _RIGHT_STATE)
        found = np.where(outcome == WRONG, np.minimum(np.nan_to_num(run, nan=1.0), 4), found)
        return np.where(np.isnan(outcome), 0, found).astype(np.float64)

    def weight(self, of: Statistics) -> float:
        """Return (1 - p)^room_power min(1, 2/m), in [0, 1]."""
        room, found = 1 - of.get("group_mean", 0.0), 1.0
        for _ in range(self.room_power):
            found = found * room
        if of.get("outcome") == MIXED and of["run"] > _LUCKY:
            found = found * (_LUCKY / of["run"])
        return found

    def weights(self, columns: Mapping[str, Floats]) -> Floats:
        """Return the same of many prompts, shape (n,)."""
        room = 1 - np.nan_to_num(columns["group_mean"], nan=0.0)
        found = np.ones(len(room))
        for _ in range(self.room_power):
            found = found * room
        run = np.maximum(np.nan_to_num(columns["run"], nan=1.0), _LUCKY)
        is_mixed = columns["outcome"] == MIXED
        return np.where(is_mixed & (run > _LUCKY), found * (_LUCKY / run), found)

    def state_weight(self, state: int, pool: Statistics) -> float:
        """Return y^2 of a state."""
        name = STATES[state]
        n, y = pool.get(f"count_{name}", 0.0), pool.get(f"yield_{name}", 0.0)
        y = y + (_PRIOR - y) * _PRIOR_COUNT / (n + _PRIOR_COUNT)
        y = max(y, self.least_yield)
        return y * y

    def label_weight(self, of: Statistics) -> float:
        """Return the label's debiased progress."""
        return _LABELS.weight(of)

    def label_weights(self, columns: Mapping[str, Floats]) -> Floats:
        """Return the same of many labels, shape (n,)."""
        return _LABELS.weights(columns)

    @classmethod
    def careful(cls, **overrides: Any) -> Self:
        """With (1 - p)^2: fewer wasted groups, more draws of prompts that are right by luck."""
        return cls(**{"room_power": 2, **overrides})


def _group(score: float, trials: float) -> tuple[float, int]:
    """The share of the trials that succeeded, and the outcome."""
    successes = math.floor(score * trials + 0.5)
    outcome = WRONG if successes == 0 else RIGHT if successes == trials else MIXED
    return successes / trials, outcome
