"""An environment with PufferLib's interface on a curriculum: agents that count down together.

``CurriculumPufferEnv`` goes around any environment that has ``set_mg_config`` and
``get_episode_rewards``. It passes as a ``pufferlib.PufferEnv`` where PufferLib is installed, and
runs without.

    python examples/pufferlib_env.py --steps 2000

Without REDIS_CURRICULUM_URL it uses a private server on this machine.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import gymnasium
import numpy as np

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.envs import CurriculumPufferEnv
from redis_curriculum.tasks import Buckets

AGENTS = 8
COUNTS = Buckets(label="count-{length}", buckets={"length": [2, 4, 8]})
CONFIG = CurriculumConfig(task_generator=COUNTS, num_active_tasks=12)


class Counting:
    """Action 1 counts for 1 / length, action 0 for nothing; all agents end together."""

    single_observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)
    single_action_space = gymnasium.spaces.Discrete(2)
    num_agents = AGENTS

    def __init__(self) -> None:
        self.observations = np.zeros((AGENTS, 1), dtype=np.float32)
        self.rewards = np.zeros(AGENTS, dtype=np.float32)
        self.terminals = np.zeros(AGENTS, dtype=bool)
        self.truncations = np.zeros(AGENTS, dtype=bool)
        self._length = self._following = 2
        self._at, self._totals = 0, np.zeros(AGENTS)

    def set_mg_config(self, config: dict[str, Any]) -> None:
        """Take the config of the next episode."""
        self._following = config["length"]

    def get_episode_rewards(self) -> Any:
        """Return the sums of rewards of this episode."""
        return self._totals

    def reset(self, seed: int | None = None) -> Any:  # noqa: ARG002 - nothing is random
        """Begin an episode."""
        self._length, self._at, self._totals = self._following, 0, np.zeros(AGENTS)
        self.observations[:], self.terminals[:] = 0, False
        return self.observations, []

    def step(self, actions: Any) -> Any:
        """Count; begin anew after the last step of an episode."""
        if self._at == self._length:
            self.reset()
        self._at += 1
        self.rewards[:] = np.asarray(actions) / self._length
        self._totals = self._totals + self.rewards
        self.observations[:] = self._at / self._length
        self.terminals[:] = self._at == self._length
        return self.observations, self.rewards, self.terminals, self.truncations, []

    def close(self) -> None:
        """Nothing is held."""


def main() -> None:
    """Open the curriculum and play."""
    parser = argparse.ArgumentParser(description="PufferLib's interface on a curriculum")
    parser.add_argument("--steps", type=int, default=2_000, help="of all agents (2000)")
    steps = parser.parse_args().steps
    url = os.environ.get("REDIS_CURRICULUM_URL", "embedded://")
    name = os.environ.get("REDIS_CURRICULUM_NAME", "pufferlib")
    rng = np.random.default_rng(0)
    with Curriculum.open(url, name, CONFIG) as curriculum:
        env = CurriculumPufferEnv(Counting(), curriculum)
        env.reset()
        scores = []
        for i in range(steps):
            actions = rng.random(AGENTS) < (i + 1) / steps  # it learns to count
            *_, infos = env.step(actions.astype(np.int64))
            ended = [info["curriculum"] for info in infos if "score" in info.get("curriculum", {})]
            scores += [info["score"] for info in ended]
        env.close()
        quarter = max(len(scores) // 4, 1)
        first, last = np.mean(scores[:quarter]), np.mean(scores[-quarter:])
        print(f"{len(scores)} episodes, mean score {first:.2f} at first, {last:.2f} at last")


if __name__ == "__main__":
    main()
