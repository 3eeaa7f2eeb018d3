"""The contract of a scorer: a family of rules by which tasks are judged and drawn.

A family is one class, derived from ``Scorer``, and one Lua file of the same meaning. The class
declares its hyperparameters (its numeric fields) and its statistics once. Records, snapshots, the
command line, the documentation and the lists of the Lua scripts are derived from both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from redis_curriculum._values.fields import STRUCTURAL, TUNABLE, Count, Fraction, Rate
from redis_curriculum._values.models import FrozenModel
from redis_curriculum._values.rules import In
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers.own import OwnDraws, OwnKey
from redis_curriculum.scorers.quotas import Quotas, check_quotas
from redis_curriculum.scorers.statistics import (
    BASIC,
    Holder,
    Reported,
    Statistic,
    Statistics,
    ema,
    packed,
    unpacked,
)

Floats = NDArray[np.float64]
Number = TypeVar("Number", float, Floats)
Draw = Literal["by_state", "label_first", "passes", "sigmoid", "uniform"]
"""How weights become draws; see ``Scorer.DRAW``."""
Eviction = Literal["lowest", "random"]
"""Which tasks a replacement takes; see ``Scorer.EVICTS``."""

NEVER = 2**53
"""A number of completions that no task reaches."""


class Scorer(FrozenModel):
    """What every family has; derive from it and give ``kind`` a name of its own.

    ``kind`` is also the name of the Lua file. Hyperparameters are the numeric fields, the flags and
    the ``Literal`` fields of the model; each is STRUCTURAL (it says what the stored numbers mean)
    or TUNABLE. In Lua each is a local of the same name; a ``Literal`` field ``f`` with the choice
    ``c`` is the flag ``f_is_c``.
    """

    STATISTICS: ClassVar[tuple[Statistic, ...]] = BASIC
    """All that is kept of a task or label, in the order in which it is stored."""
    REPORTED: ClassVar[tuple[Reported, ...]] = ()
    """Numbers that every result brings beside its score, with some settings or with all."""
    OWN: ClassVar[tuple[OwnKey, ...]] = ()
    """Keys of the family's own, beside the statistics."""
    DRAW: ClassVar[Draw | OwnDraws] = "uniform"
    """How tasks are drawn.

    ``"uniform"``: every task with the same probability. ``"sigmoid"``: a share for tasks with few
    results, and the sigmoid of the weights' z-scores for the others. ``"label_first"``: a label by
    its weight, then any of its tasks. ``"by_state"``: a state by what the whole pool says of it,
    then a task of it by its weight. ``"passes"``: each task once, in random order, then again.
    A package of its own may bring another way, an ``OwnDraws``.
    """
    TAKES_WEIGHTS: ClassVar[bool] = True
    """Whether a trainer may multiply the probabilities of tasks (``set_weights``)."""
    DRAWS_AHEAD: ClassVar[bool] = True
    """Whether tasks may be drawn ahead of their episodes (``WorkerSettings(prefetch=16)``).

    Some are then drawn and never played. False where a draw promises that its task is played.
    """
    EVICTS: ClassVar[Eviction] = "lowest"
    """Which of the tasks that may be replaced go first: those of lowest rank, or any of them."""
    DRAWN_BY: ClassVar[tuple[str, ...] | None] = None
    """Names of the statistics that ``weight`` and ``rank`` use; None: any of them."""
    INDEXED_BY: ClassVar[tuple[str, ...] | None] = None
    """Names of the tunable fields that ``weight``, ``rank``, ``fresh_until`` and ``ripe_from`` use.

    None: any of them. When one changes, all indices are built anew, and workers wait meanwhile.
    """
    LUA: ClassVar[Path | None] = None
    """The Lua file; None: beside the library's own, under the name of ``kind``."""

    kind: Annotated[str, STRUCTURAL]
    task_tracker_ema_alpha: Annotated[Rate, STRUCTURAL] = Field(
        default=0.1,
        description="Rate per completion of reward_ema, success_rate_ema and other plain averages.",
    )
    success_threshold: Annotated[Fraction, STRUCTURAL] = Field(
        default=0.5, description="A score from here on counts as a success."
    )
    max_consecutive_failures: Annotated[Count, TUNABLE] = Field(
        default=3, description="Reported failures in a row after which a task is replaced."
    )
    failure_score: Annotated[Annotated[float | None, In("[0, 1]")], TUNABLE] = Field(
        default=None,
        description="Score recorded for a reported failure; None: a failure is not a result.",
    )
    label_share: Annotated[Quotas, BeforeValidator(check_quotas), TUNABLE] = Field(
        default_factory=dict,
        description="Least and greatest share of the draws by label, such as"
        ' ``{"easy": (0.05, 0.3)}``; at most 100 labels.',
    )

    @model_validator(mode="after")
    def _failures_bring_no_numbers(self) -> Self:
        if self.reported and self.failure_score is not None:
            names = " and ".join(one.name for one in self.reported)
            rule = f"None, as each result brings {names} and a failure has none"
            raise InvalidInputError("failure_score", rule, self.failure_score)
        return self

    # --- what a family says; the twin of each is in its Lua file ----------------------------------

    def fold(self, of: Statistics, score: float) -> dict[str, float]:
        """Return a task's statistics after one more completion with ``score`` in [0, 1].

        A family that has ``reported`` numbers takes them too, in that order, after the score.
        """
        rate = self.task_tracker_ema_alpha
        success = 1.0 if score >= self.success_threshold else 0.0
        return {
            "completion_count": of.get("completion_count", 0) + 1,
            "total_score": of.get("total_score", 0.0) + score,
            "reward_ema": ema(of.get("reward_ema"), rate, score),
            "success_rate_ema": ema(of.get("success_rate_ema"), rate, success),
        }

    def fold_label(self, of: Statistics, score: float) -> dict[str, float]:
        """Return a label's statistics after one more completion of any of its tasks."""
        return self.fold(of, score)

    def fold_pool(self, pool: Statistics, of: Statistics, score: float) -> dict[str, float]:  # noqa: ARG002 - a family's own
        """Return the pool's statistics after one more completion of any task.

        ``of`` are the task's own before it. Takes the ``reported`` numbers too, as ``fold``. Asked
        only where some statistics have the holder "pool".
        """
        return dict(pool)

    def check_result(self, score: float, *numbers: float) -> None:
        """Refuse a result that the family can make nothing of; each number is in its interval.

        Raises:
            InvalidInputError: With the field, the rule and the value.
        """

    def rank(self, of: Statistics) -> float:  # noqa: ARG002 - a family's own
        """Return a task's place in the order of eviction: the lowest goes first."""
        return 0.0

    def weight(self, of: Statistics) -> float:  # noqa: ARG002 - a family's own
        """Return what draws go by, at least 0, from a task's or label's own statistics alone."""
        return 1.0

    @property
    def reported(self) -> tuple[Reported, ...]:
        """The numbers that every result brings beside its score with these settings."""
        return self.REPORTED

    @property
    def fresh_until(self) -> int:
        """Completions from which a task is no longer fresh (under-sampled)."""
        return 1

    @property
    def ripe_from(self) -> int:
        """Completions from which a task may be replaced."""
        return NEVER

    @property
    def replacement(self) -> float:
        """Probability that a draw tries to replace a task first."""
        return 0.0

    @property
    def evictable_share(self) -> float:
        """Fraction of the pool, lowest rank first, within which a task may be replaced."""
        return 1.0

    @property
    def aliases(self) -> Mapping[str, str]:
        """Statistics that equal another one with these settings: they are not stored twice."""
        return {}

    @classmethod
    def layouts(cls) -> Sequence[Self]:
        """Return settings of each kind that stores other statistics: each has scripts of its own.

        Override it together with ``names`` or ``aliases``, if these depend on the settings.
        """
        return (cls.default(),)

    # --- derived ---------------------------------------------------------------------------------

    def weights(self, columns: Mapping[str, Floats]) -> Floats:
        """Return the weights of many tasks or labels, shape (n,); NaN in a column means absent.

        Override it where ``weight`` can be written for whole columns.
        """
        return _each(self.weight, columns)

    def ranks(self, columns: Mapping[str, Floats]) -> Floats:
        """Return the ranks of many tasks, shape (n,); override it as ``weights``."""
        return _each(self.rank, columns)

    def names(self, holder: Holder) -> tuple[str, ...]:
        """Return the names of the statistics of a task, label or pool, with these settings."""
        return tuple(s.name for s in self.STATISTICS if holder in s.holders)

    def drawn_by(self, holder: Holder) -> tuple[str, ...]:
        """Return the names of those that draws depend on, the number of results first."""
        names = self.names(holder)
        if holder == "pool":
            return names
        used = names if self.DRAWN_BY is None else self.DRAWN_BY
        return (names[0], *(name for name in names[1:] if name in used))

    def stored(self, holder: Holder) -> tuple[str, ...]:
        """Return the names of those that the field ``stats`` holds, in its order."""
        return tuple(name for name in self.names(holder) if name not in self.aliases)

    def adopted(self, holder: Holder, of: Statistics) -> dict[str, float]:
        """Return statistics that were kept under other settings as these go on with them.

        What is kept under both is taken over; the rest begins as ``first`` says. Only a restore
        that forces structural settings, or another family, asks for this.
        """
        if not of:
            return {}
        if holder == "pool":  # other numbers would have other meanings
            return dict(of) if set(of) == set(self.names(holder)) else {}
        mean = of["total_score"] / of["completion_count"]
        optional = {s.name for s in self.STATISTICS if s.is_optional}
        names = [name for name in self.names(holder) if name in of or name not in optional]
        return {name: of.get(name, self.first(name, mean)) for name in names}

    def first(self, name: str, mean: float) -> float:  # noqa: ARG002 - a family's own
        """Return the value that a statistic begins with where only the mean score is known."""
        return mean

    def is_indexed_otherwise(self, other: Scorer) -> bool:
        """Whether indices by these settings are not those by another one's of this family."""
        names = hyperparameters(type(self)) if self.INDEXED_BY is None else self.INDEXED_BY
        return any(getattr(self, name) != getattr(other, name) for name in names)

    def numbers_of(self, given: Mapping[str, object]) -> tuple[float, ...]:
        """Return the ``reported`` numbers of a result, in order, from a mapping by name.

        Raises:
            InvalidInputError: One is missing, breaks its rule, or is not asked for.
        """
        if not given and not self.reported:
            return ()
        known = {one.name: one for one in self.reported}
        for name in given:
            if name not in known:
                asked = f"one of {', '.join(known)}" if known else "left out"
                rule = f"{asked}: that is what these settings of {self.kind} take beside a score"
                raise InvalidInputError("numbers", rule, name)
        for name in known:
            if name not in given:
                rule = f"given beside each score, as {self.kind} is set to go by it"
                raise InvalidInputError(name, rule, None)
        return tuple(
            float(one.interval.require(given[name], name, integer=one.is_whole))
            for name, one in known.items()
        )

    def unpacked(self, holder: Holder, data: bytes) -> dict[str, float]:
        """Return the statistics that a field ``stats`` holds."""
        found = unpacked(self.stored(holder), data)
        return found | {name: found[of] for name, of in self.aliases.items() if of in found}

    def packed(self, holder: Holder, of: Statistics) -> bytes:
        """Return what a field ``stats`` holds."""
        return packed(self.stored(holder), of)

    @classmethod
    def default(cls, **overrides: Any) -> Self:
        """Return the defaults."""
        return cls(**overrides)


def _each(function: Callable[[Statistics], float], columns: Mapping[str, Floats]) -> Floats:
    names, n = list(columns), len(next(iter(columns.values())))
    rows = zip(*(columns[name].tolist() for name in names), strict=True) if n else ()
    known = ({k: x for k, x in zip(names, row, strict=True) if x == x} for row in rows)  # noqa: PLR0124
    return np.array([function(statistics) for statistics in known], dtype=np.float64)


def hyperparameters(model: type[FrozenModel]) -> dict[str, tuple[Any, ...]]:
    """Return the names of a model's hyperparameters, in order, each with its choices.

    Only ``Literal`` fields have choices; those of others are empty. Fields that are neither numbers
    nor flags nor choices nor tuples of numbers are not hyperparameters.
    """
    return dict(_hyperparameters(model))


def _hyperparameters(model: type[FrozenModel]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if name == "kind":
            continue
        if get_origin(annotation) is Literal:
            yield name, get_args(annotation)
        elif annotation in (int, float, bool, float | None) or get_origin(annotation) is tuple:
            yield name, ()


def lengths(model: FrozenModel) -> dict[str, int]:
    """Return how many numbers each hyperparameter that is a tuple has."""
    values = {name: getattr(model, name) for name in hyperparameters(type(model))}
    return {name: len(value) for name, value in values.items() if isinstance(value, tuple)}


def as_numbers(model: FrozenModel) -> list[float]:
    """Return a model's hyperparameters as numbers, those of a tuple one after the other.

    Flags are 0 or 1, choices their index, None NaN.
    """
    found: list[float] = []
    for name, choices in hyperparameters(type(model)).items():
        value = getattr(model, name)
        if choices:
            value = choices.index(value)
        values = value if isinstance(value, tuple) else (value,)
        found += [float("nan") if each is None else float(each) for each in values]
    return found
