"""Stable-Baselines3 on a curriculum of cart-poles: epochs, checkpoints, evaluation.

Each environment of Stable-Baselines3's vector environments reports by itself; in one process they
share the curriculum's handle.

    python examples/sb3.py --steps 40000

Without REDIS_CURRICULUM_URL it uses a private server on this machine.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import CheckpointCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from redis_curriculum import Curriculum, CurriculumConfig, Task
from redis_curriculum.envs import CurriculumEnv, EvaluationEnv, evaluation_tasks
from redis_curriculum.integrations.sb3 import CurriculumCallback, restore
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


def evaluate(model: PPO, tasks: list[Task]) -> float:
    """Play each task once; nobody counts it. Return the mean return."""
    env = EvaluationEnv(gymnasium.make("CartPole-v1"), tasks, apply_task=apply_task)
    mean, _ = evaluate_policy(model, Monitor(env), n_eval_episodes=len(tasks), deterministic=False)
    return float(mean)


def main() -> None:
    """Open the curriculum, train, go back to the middle, and train on."""
    parser = argparse.ArgumentParser(description="Stable-Baselines3 on a curriculum")
    parser.add_argument("--steps", type=int, default=40_000, help="of all environments (40000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    url = os.environ.get("REDIS_CURRICULUM_URL", "embedded://")
    name = os.environ.get("REDIS_CURRICULUM_NAME", "stable-baselines3")
    torch.set_num_threads(1)  # the network is small: more threads would only wait for each other
    with Curriculum.open(url, name, CONFIG) as curriculum, TemporaryDirectory() as folder:

        def make() -> CurriculumEnv:
            return CurriculumEnv(gymnasium.make("CartPole-v1"), curriculum, apply_task=apply_task)

        envs = make_vec_env(make, n_envs=4, seed=arguments.seed)
        model = PPO("MlpPolicy", envs, n_steps=256, batch_size=256, seed=arguments.seed)
        tasks = evaluation_tasks(curriculum, per_label=2)
        before = evaluate(model, tasks)
        checkpoint = CheckpointCallback(save_freq=arguments.steps // 8, save_path=folder)
        callback = CurriculumCallback(curriculum, epoch_steps=4_096, checkpoint=checkpoint)
        model.learn(arguments.steps, callback=callback)
        print(f"mean return {before:.0f} before, {evaluate(model, tasks):.0f} after")

        saved = min(Path(folder).glob("*_steps.zip"), key=lambda path: path.stat().st_mtime)
        model = PPO.load(saved, env=envs)
        restore(curriculum, saved)
        episodes = curriculum.stats()["num_completed"]
        print(f"back at step {model.num_timesteps}: {episodes:.0f} episodes")
        model.learn(4_096, callback=callback, reset_num_timesteps=False)
        envs.close()
        for label, row in sorted(curriculum.label_stats().items()):
            print(f"{label}: {row.counters['completions']} episodes")


if __name__ == "__main__":
    main()
