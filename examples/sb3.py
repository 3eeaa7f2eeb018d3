"""Stable-Baselines3 on a curriculum of cart-poles: ``CurriculumEnv`` around the environment.

Each environment of Stable-Baselines3's vector environments reports by itself; in one process they
share the curriculum's handle.

    python examples/sb3.py --steps 40000

Without REDIS_CURRICULUM_URL it uses a private server on this machine.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from redis_curriculum import Curriculum, CurriculumConfig, Task
from redis_curriculum.envs import CurriculumEnv
from redis_curriculum.tasks import Buckets, Span

POLES = Buckets(
    label="pole-{length}", buckets={"length": [0.25, 0.5, 1.0, 2.0], "force": Span(6.0, 12.0)}
)
# A return is the number of steps, at most 500 in CartPole-v1.
CONFIG = CurriculumConfig(task_generator=POLES, num_active_tasks=64, score_range=(0.0, 500.0))


def apply_task(env: Any, task: Task) -> None:
    """Give the cart-pole another pole and another motor."""
    pole = env.unwrapped
    pole.length, pole.force_mag = task.params["length"], task.params["force"]
    pole.polemass_length = pole.masspole * pole.length


class Returns(BaseCallback):
    """Collects the returns by label from ``info["curriculum"]``."""

    def __init__(self) -> None:
        super().__init__()
        self.by_label: dict[str, list[float]] = defaultdict(list)

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            ended = info.get("curriculum", {})
            if "score" in ended:
                self.by_label[ended["label"]].append(ended["return"])
        return True


def main() -> None:
    """Open the curriculum and train."""
    parser = argparse.ArgumentParser(description="Stable-Baselines3 on a curriculum")
    parser.add_argument("--steps", type=int, default=40_000, help="of all environments (40000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    url = os.environ.get("REDIS_CURRICULUM_URL", "embedded://")
    name = os.environ.get("REDIS_CURRICULUM_NAME", "stable-baselines3")
    torch.set_num_threads(1)  # the network is small: more threads would only wait for each other
    returns = Returns()
    with Curriculum.open(url, name, CONFIG) as curriculum:

        def make() -> CurriculumEnv:
            return CurriculumEnv(gymnasium.make("CartPole-v1"), curriculum, apply_task=apply_task)

        envs = make_vec_env(make, n_envs=4, seed=arguments.seed)
        model = PPO("MlpPolicy", envs, n_steps=256, batch_size=256, seed=arguments.seed)
        model.learn(arguments.steps, callback=returns)
        envs.close()
    for label, own in sorted(returns.by_label.items()):
        quarter = max(len(own) // 4, 1)
        first, last = np.mean(own[:quarter]), np.mean(own[-quarter:])
        print(f"{label}: mean return {first:.0f} in the first quarter, {last:.0f} in the last")


if __name__ == "__main__":
    main()
