"""The demo's learner on a curriculum's tasks: gradient steps on whole episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import gymnasium
import numpy as np

from families.players import Array, Players
from redis_curriculum import Curriculum
from redis_curriculum.demo.agent import N_ACTIONS, Episode, Learner, sample, success

STEPS_PER_UPDATE: Final = 2_000
ENVIRONMENTS: Final = 16


class EpisodeTrainee:
    """Plays in 16 environments at a time and learns when 2,000 steps of ended episodes wait."""

    def __init__(
        self,
        learner: Learner,
        make: Callable[[], gymnasium.Env[Any, Any]],
        curriculum: Curriculum,
        seed: int,
        *,
        held_out: Mapping[str, Sequence[gymnasium.Env[Any, Any]]],
        natures: Mapping[str, str],
    ) -> None:
        self._learner = learner
        self._held_out = held_out
        self._rng = np.random.default_rng([seed, 0xAC7])
        self._players = Players(make, ENVIRONMENTS, curriculum, seed=seed, natures=natures)
        self.tally = self._players.tally
        self.steps = 0
        self._waiting: list[Episode] = []
        self._waiting_steps = 0
        self._traces: list[list[tuple[Array, int, float]]] = [[] for _ in range(ENVIRONMENTS)]

    @property
    def in_flight(self) -> int:
        """Every environment plays one task."""
        return ENVIRONMENTS

    def train(self) -> None:
        """Play until there is enough for one update, and make it."""
        while self._waiting_steps < STEPS_PER_UPDATE:
            self._step()
        self._learner.update(self._waiting)
        self._waiting, self._waiting_steps = [], 0

    def _step(self) -> None:
        observations = self._players.observations
        actions, log_probs = self._act(observations)
        rewards, over = self._players.step(actions)
        self.steps += ENVIRONMENTS
        for i, trace in enumerate(self._traces):
            trace.append((observations[i], int(actions[i]), float(log_probs[i])))
            if over[i]:
                self._waiting.append(_episode(trace, success=rewards[i] > 0))
                self._waiting_steps += len(trace)
                self._traces[i] = []

    def _act(self, observations: Array) -> tuple[Array, Array]:
        out = self._learner.network.forward(observations)[1]
        return sample(out[:, :N_ACTIONS], self._rng)

    def evaluate(self) -> dict[str, float]:
        """Return the success on the held-out tasks by label; the policy draws its actions."""
        return success(self._held_out, lambda seen: self._act(seen)[0])


def _episode(trace: list[tuple[Array, int, float]], *, success: bool) -> Episode:
    features, actions, log_probs = zip(*trace, strict=True)
    return Episode(
        label="",  # the learner does not read it
        success=bool(success),
        features=np.asarray(features, dtype=np.float16),
        actions=np.asarray(actions, dtype=np.int8),
        log_probs=np.asarray(log_probs, dtype=np.float32),
    )
