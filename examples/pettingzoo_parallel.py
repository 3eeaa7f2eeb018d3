"""Two agents in a PettingZoo environment on a curriculum: they meet on a line of growing length.

``CurriculumParallelEnv`` gives both agents of an episode one task; its score is the mean of their
returns. The policy here walks at random, biased towards the other.

    python examples/pettingzoo_parallel.py --episodes 300

Without REDIS_CURRICULUM_URL it uses a private server on this machine.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import gymnasium
import numpy as np
from pettingzoo import ParallelEnv

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.envs import CurriculumParallelEnv
from redis_curriculum.tasks import Buckets

LINES = Buckets(label="line-{length}", buckets={"length": [3, 5, 9, 15]})
CONFIG = CurriculumConfig(task_generator=LINES, num_active_tasks=16)
AGENTS = ("left", "right")


class Meeting(ParallelEnv):  # type: ignore[misc,unused-ignore]
    """Each agent steps left (0) or right (1); both get 1 if they meet in 3 x length steps."""

    metadata = {"name": "meeting"}  # noqa: RUF012 - PettingZoo's way
    possible_agents = list(AGENTS)  # noqa: RUF012

    def __init__(self) -> None:
        self._length = 3

    def observation_space(self, agent: Any) -> Any:  # noqa: ARG002 - the same for both
        """The distance to the other, of at most 16."""
        return gymnasium.spaces.Box(-16.0, 16.0, (1,), np.float32)

    def action_space(self, agent: Any) -> Any:  # noqa: ARG002
        """Left or right."""
        return gymnasium.spaces.Discrete(2)

    def set_task(self, params: dict[str, Any]) -> None:
        """Take the length of the next episode's line."""
        self._length = params["length"]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:  # noqa: ARG002
        """Begin at both ends."""
        self.agents = list(AGENTS)
        self._at, self._steps = {"left": 0, "right": self._length - 1}, 0
        return self._seen(), {agent: {} for agent in AGENTS}

    def step(self, actions: Any) -> Any:
        """Move both."""
        self._steps += 1
        for agent, action in actions.items():
            self._at[agent] = int(np.clip(self._at[agent] + 2 * action - 1, 0, self._length - 1))
        met = self._at["left"] >= self._at["right"]
        late = self._steps >= 3 * self._length
        told = [dict.fromkeys(AGENTS, value) for value in (float(met), met, late and not met)]
        infos: dict[str, Any] = {agent: {} for agent in AGENTS}
        if met or late:
            self.agents = []
        return self._seen(), *told, infos

    def _seen(self) -> Any:
        gap = self._at["right"] - self._at["left"]
        gaps = {"left": gap, "right": -gap}
        return {agent: np.array([found], dtype=np.float32) for agent, found in gaps.items()}


def main() -> None:
    """Open the curriculum and play."""
    parser = argparse.ArgumentParser(description="PettingZoo on a curriculum")
    parser.add_argument("--episodes", type=int, default=300, help="how many to play (300)")
    episodes = parser.parse_args().episodes
    url = os.environ.get("REDIS_CURRICULUM_URL", "embedded://")
    name = os.environ.get("REDIS_CURRICULUM_NAME", "pettingzoo")
    rng = np.random.default_rng(0)
    with Curriculum.open(url, name, CONFIG) as curriculum:
        env = CurriculumParallelEnv(Meeting(), curriculum)
        for _ in range(episodes):
            seen, _ = env.reset()
            while env.agents:
                towards = {agent: int(seen[agent][0] > 0) for agent in env.agents}
                lost = rng.random() < 0.3  # noqa: PLR2004 - the chance of a wrong step
                actions = {agent: 1 - a if lost else a for agent, a in towards.items()}
                seen, *_ = env.step(actions)
        env.close()
        for label, row in sorted(curriculum.label_stats().items()):
            episodes = row.counters["completions"]
            print(f"{label}: {episodes} episodes, success {row.success_rate_ema:.2f}")


if __name__ == "__main__":
    main()
