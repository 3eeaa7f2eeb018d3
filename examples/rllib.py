"""RLlib on a curriculum of cart-poles: PPO, evaluation that reports nothing, a checkpoint.

    python examples/rllib.py --iterations 5

Without REDIS_CURRICULUM_URL it uses a private server on this machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import gymnasium
import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.tune.registry import register_env

from redis_curriculum import Curriculum, CurriculumConfig, Task
from redis_curriculum.integrations.rllib import CurriculumCallback, environment
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


def make(env_config: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
    """Make an environment of an env runner."""
    return environment(gymnasium.make("CartPole-v1"), env_config, apply_task)


def train(url: str, name: str, iterations: int) -> None:
    """Train, evaluate, save, and go back to what was saved."""
    own = {"url": url, "name": name}
    held = {"curriculum": own | {"evaluation": True}}
    config = (
        PPOConfig()
        .environment("poles", env_config={"curriculum": own})
        .env_runners(num_env_runners=1, num_envs_per_env_runner=4)
        .training(train_batch_size=1024, minibatch_size=128, num_epochs=4, lr=1e-3)
        .evaluation(evaluation_duration=8, evaluation_config={"env_config": held})
        .evaluation(evaluation_interval=iterations)
        .callbacks(CurriculumCallback)
    )
    algorithm = config.build_algo()
    for _ in range(iterations):
        figures = algorithm.train()["curriculum"]
        print(f"epoch {figures['epoch/number']:.0f}: {figures['epoch/completions']:.0f} episodes")
    with tempfile.TemporaryDirectory() as folder:
        saved = algorithm.save_to_path(folder)
        algorithm.train()
        algorithm.restore_from_path(saved)
    algorithm.stop()


def main() -> None:
    """Create the curriculum and train."""
    parser = argparse.ArgumentParser(description="RLlib on a curriculum")
    parser.add_argument("--iterations", type=int, default=5, help="of training (5)")
    iterations = parser.parse_args().iterations
    url = os.environ.get("REDIS_CURRICULUM_URL", "embedded://")
    name = os.environ.get("REDIS_CURRICULUM_NAME", "rllib")
    ray.init(include_dashboard=False, logging_level="error")
    register_env("poles", make)
    with Curriculum.open(url, name, CONFIG) as curriculum:
        train(url, name, iterations)
        curriculum.reopen()  # the state is that of the checkpoint
        for label, row in sorted(curriculum.label_stats().items()):
            print(f"{label}: {row.counters['completions']} episodes, mean {row.reward_ema:.3f}")
    ray.shutdown()


if __name__ == "__main__":
    main()
