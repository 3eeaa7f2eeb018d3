"""Environments in step on a curriculum's tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from families.family import SOLVABLE, Tally
from redis_curriculum import Curriculum
from redis_curriculum.envs import CurriculumVectorEnv, TaskEnv

Array = NDArray[Any]
Score = Callable[[dict[str, Any]], float]


class Players:
    """A vector environment that plays a curriculum's tasks; every row is always in an episode.

    One round trip for each step in which episodes end, whatever their number.
    """

    def __init__(
        self,
        make: Callable[[], gymnasium.Env[Any, Any]],
        count: int,
        curriculum: Curriculum,
        *,
        seed: int,
        natures: Mapping[str, str],
        score: Score | None = None,
    ) -> None:
        """Begin ``count`` episodes.

        Args:
            make: Makes one environment.
            count: Number of environments.
            curriculum: Where the tasks come from.
            seed: Of the environments.
            natures: What tasks of a label can teach, where that is not SOLVABLE.
            score: As of ``TaskEnv``.
        """
        envs = SyncVectorEnv(
            [lambda: TaskEnv(make(), score=score)] * count, autoreset_mode=AutoresetMode.DISABLED
        )
        self._envs = CurriculumVectorEnv(envs, curriculum)
        self._natures = natures
        self.tally = Tally()
        self.observations: Array = self._envs.reset(seed=seed)[0]

    def step(self, actions: Array) -> tuple[Array, Array]:
        """Take a step in each environment; return the rewards and which episodes are over.

        ``observations`` are then those to act on next: the first ones of the next episodes, where
        one is over.
        """
        observations, rewards, terminated, truncated, infos = self._envs.step(actions)
        over = terminated | truncated
        if over.any():
            told = infos["curriculum"]
            for i in np.flatnonzero(over):
                label = str(told["label"][i])
                nature = self._natures.get(label, SOLVABLE)
                length, outcome = int(told["length"][i]), str(told["outcome"][i])
                self.tally.add(label, nature, length, outcome)
            observations = self._envs.reset(options={"reset_mask": over})[0]
        self.observations = observations
        return rewards, over
