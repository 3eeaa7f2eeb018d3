"""How weights become draws: the settings of each way. A family derives from the one it draws by.

A family that derives from ``Scorer`` itself draws every task with the same probability.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from redis_curriculum._values.fields import TUNABLE, Count, Fraction
from redis_curriculum._values.rules import In
from redis_curriculum.scorers.base import Draw, Floats, Scorer
from redis_curriculum.scorers.own import OwnDraws
from redis_curriculum.scorers.statistics import Statistics


class SigmoidDraws(Scorer):
    """A share for tasks with few results; the others by the sigmoid of their weights' z-scores.

    Weights lie in [0, 4). The formulas are on the page on learning progress and the draw.
    """

    DRAW: ClassVar[Draw | OwnDraws] = "sigmoid"

    pooling: Annotated[Literal["label", "task"], TUNABLE] = Field(
        default="label", description="Whose progress drives the draw: the label's or the task's."
    )
    exploration: Annotated[Literal["share", "bonus"], TUNABLE] = Field(
        default="share", description="How under-sampled tasks get their part of the draws."
    )
    exploration_share: Annotated[Fraction, TUNABLE] = Field(
        default=0.25,
        description="Minimum share of draws that goes to under-sampled tasks (used when"
        ' exploration is "share").',
    )
    exploration_bonus: Annotated[Annotated[float, In("(0, 1000]")], TUNABLE] = Field(
        default=0.1,
        description='Weight of each under-sampled task (used when exploration is "bonus").',
    )
    rand_task_rate: Annotated[Fraction, TUNABLE] = Field(
        default=0.05,
        description="Part of draws that is uniform over the pool, so that a label whose progress"
        " is nil today is still looked at.",
    )
    progress_smoothing: Annotated[Fraction, TUNABLE] = Field(
        default=0.0, description="Added to every weight; matters at temperature > 0 only."
    )
    temperature: Annotated[Annotated[float, In("[0, 1000]")], TUNABLE] = Field(
        default=0.0, description="0: sigmoid of z-scores; above: sigmoid(weight / temperature)."
    )
    z_score_amplification: Annotated[Annotated[float, In("[0, 100]")], TUNABLE] = Field(
        default=10.0, description="Steepness over z-scores; 0 draws eligible tasks uniformly."
    )

    @property
    def weight_is_rank(self) -> bool:
        """Whether a task's own weight is its rank: then the sorted sets are in order of it.

        Draws by tasks of their own are quicker then. In Lua it is a local of the same name.
        """
        return False


class LabelFirstDraws(Scorer):
    """A label by its weight, then any of its tasks, each as likely.

    Weights of labels lie in (0, 2]; those of tasks are never asked for. Labels with fewer results
    than ``least_count`` weigh as much as the largest weight that is known. With L labels that have
    tasks, and w the weight::

        P(label) = floor / L + (1 - floor) w / sum of w

    A P above ``cap + (1 - cap) / L`` is cut to it. Then all are divided by their sum, so where few
    labels have weight, one may still get more.
    """

    DRAW: ClassVar[Draw | OwnDraws] = "label_first"

    floor: Annotated[Fraction, TUNABLE] = Field(
        default=0.15, description="Share of the draws that is uniform over labels."
    )
    least_count: Annotated[Count, TUNABLE] = Field(
        default=20, description="Results from which a label is judged by its own weight."
    )
    cap: Annotated[Annotated[float, In("[0.01, 1]")], TUNABLE] = Field(
        default=0.2,
        description="Each share of L labels is cut to cap + (1 - cap) / L, then all are divided by"
        " their sum; 1: no limit.",
    )
    label_mass: Annotated[Literal["equal", "tasks"], TUNABLE] = Field(
        default="equal",
        description="Whether a label's weight is multiplied by the number of its tasks.",
    )


class StateDraws(Scorer):
    """A state by what the whole pool says of it, then a task of the state by its own weight.

    Each task is in one of ``STATES`` states. Its weight in [0, 1] depends on its own statistics
    alone; what a state counts depends on those of the whole pool, and changes for all of its tasks
    at once. With N tasks::

        P(task) = floor / N + (1 - floor) state_weight weight g / sum over all tasks

    g is 1, or with ``label_factor="progress"`` the share of the task's label over its number of
    tasks. With L labels that have tasks, and w the ``label_weight``, the share is
    ``0.15 / L + 0.85 w / sum of w``; labels with fewer than 20 results weigh as much as the largest
    w that is known. A call then looks at each label once: for up to some thousand labels.

    In Lua, ``state``, ``STATES``, ``state_weight`` and ``label_weight`` are given too.
    """

    DRAW: ClassVar[Draw | OwnDraws] = "by_state"
    STATES: ClassVar[int]
    """How many states there are."""

    floor: Annotated[Fraction, TUNABLE] = Field(
        default=0.1, description="Share of the draws that is uniform over the pool."
    )
    label_factor: Annotated[Literal["none", "progress"], TUNABLE] = Field(
        default="none",
        description="What a task's weight is multiplied by: nothing, or its label's share by"
        " progress, spread over its tasks.",
    )

    @abstractmethod
    def state(self, of: Statistics) -> int:
        """Return the state of a task, from its own statistics alone."""

    @abstractmethod
    def state_weight(self, state: int, pool: Statistics) -> float:
        """Return what a state counts, above 0, from the statistics of the whole pool."""

    @abstractmethod
    def label_weight(self, of: Statistics) -> float:
        """Return the weight of a label that has results, above 0, from its own statistics alone."""

    @abstractmethod
    def states(self, columns: Mapping[str, Floats]) -> Floats:
        """Return the states of many tasks, shape (n,)."""

    @abstractmethod
    def label_weights(self, columns: Mapping[str, Floats]) -> Floats:
        """Return the weights of many labels, shape (n,)."""
