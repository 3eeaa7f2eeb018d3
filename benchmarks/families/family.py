"""What a family of tasks is to the benchmark: its curriculum, its learner, how it is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from redis_curriculum import Curriculum, CurriculumConfig, Outcome
from redis_curriculum.tasks import TaskGenerator

IMPOSSIBLE: Final = "impossible"
COIN_FLIP: Final = "coin flip"
SOLVABLE: Final = "solvable"


@dataclass
class Tally:
    """Finished episodes and their steps, as the learner saw them."""

    by_label: Counter[str] = field(default_factory=Counter)
    """Episodes whose result was applied; what the server counted must be the same."""
    late: int = 0
    """Episodes of tasks that were replaced meanwhile."""
    episodes: Counter[str] = field(default_factory=Counter)
    """By what the task can teach: IMPOSSIBLE, COIN_FLIP or SOLVABLE."""
    steps: Counter[str] = field(default_factory=Counter)
    wasted: int = 0
    """Groups of rollouts that were all right or all wrong: nothing is learned from them."""

    def add(self, label: str, nature: str, steps: int, outcome: str) -> None:
        """Count one finished episode and what became of its result."""
        if outcome == Outcome.APPLIED:
            self.by_label[label] += 1
        else:
            self.late += 1
        self.episodes[nature] += 1
        self.steps[nature] += steps


class Trainee(Protocol):
    """A learner at work on the tasks of one curriculum."""

    steps: int
    """Steps taken so far, those of unfinished episodes included."""
    tally: Tally

    @property
    def in_flight(self) -> int:
        """Tasks that are drawn and have no result yet."""
        ...

    def train(self) -> None:
        """Play and learn a little: a few hundred to a few thousand steps."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Return the success on held-out tasks by label, in [0, 1]; each weighs the same."""
        ...


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family. All that the reported figures depend on is written down here."""

    name: str
    about: str
    """Tasks and learner in one sentence, for the table's legend."""
    tasks: int
    """Capacity of the pool."""
    generator: Callable[[int], TaskGenerator]
    """Makes the task generator of a seed."""
    trainee: Callable[[Curriculum, int], Trainee]
    """Makes the learner of a seed."""
    budget: int
    """Steps of every run, whatever the algorithm."""
    every: int
    """Steps between two evaluations."""
    thresholds: tuple[float, ...]
    """Mean held-out success; the time to the first one is what is compared."""
    seeds: int = 8
    """Seeds of a reported run."""
    unit: str = "steps"
    algorithms: tuple[str, ...] = ("uniform", "learning_progress", "debiased_progress")
    """What is compared unless the command line says otherwise; the first is uniform draws."""
    replaces: bool = True
    """Whether new tasks may take the place of old ones; False: the set of tasks is given."""

    def config(self, algorithm: str, seed: int) -> CurriculumConfig:
        """Return the config of a run.

        Args:
            algorithm: The ``kind`` of an algorithm's config, whose
                defaults then hold, and fields that differ:
                ``learning_progress:pooling=task,temperature=0.5``.
            seed: Of the curriculum.

        Raises:
            InvalidInputError: There is no such algorithm, or it has no such field or value.
        """
        name, _, changes = algorithm.partition(":")
        config = CurriculumConfig.model_validate(
            {
                "task_generator": self.generator(seed),
                "num_active_tasks": self.tasks,
                "seed": seed,
                "algorithm": {"kind": name},
            }
        )
        overrides: dict[str, Any] = {}
        if not self.replaces and "replacement_rate" in type(config.algorithm).model_fields:
            overrides["algorithm.replacement_rate"] = 0.0
        overrides |= {f"algorithm.{field}": value for field, value in _pairs(changes)}
        return config.with_overrides(overrides)


def _pairs(changes: str) -> list[tuple[str, str]]:
    pairs = [change.partition("=") for change in changes.split(",") if change]
    return [(field.strip(), value) for field, _, value in pairs]
