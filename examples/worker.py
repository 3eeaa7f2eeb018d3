"""A whole worker: draw a task, play it, report its score, until enough episodes are played.

Start as many as you like, on as many machines as you like; all of them play one curriculum:

    REDIS_CURRICULUM_URL=redis://localhost:6379/0 python examples/worker.py --episodes 200

Without a URL they share a private server on this machine. Put your own rollout in ``play``.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.toy_text.frozen_lake import generate_random_map

from redis_curriculum import Curriculum, CurriculumConfig, Task
from redis_curriculum.tasks import Buckets, Span

LAKES = Buckets(label="lake-{size}", buckets={"size": [3, 4, 5, 6], "holes": Span(0.0, 0.2)})
CONFIG = CurriculumConfig(task_generator=LAKES, num_active_tasks=64, seed=0)
TOWARDS_GOAL = (0.2, 0.3, 0.3, 0.2)
"""Chances of left, down, right and up: a policy that does not learn, but can be lucky."""


def play(task: Task, rng: np.random.Generator) -> float:
    """Play one episode on the task's lake; the score is 1 at the goal, else 0."""
    size, holes = task.params["size"], task.params["holes"]
    lake = generate_random_map(size, p=1 - holes, seed=task.task_id % 2**32)
    env: gymnasium.Env[Any, Any] = gymnasium.make(
        "FrozenLake-v1", desc=lake, is_slippery=False, max_episode_steps=size**2
    )
    env.reset(seed=int(rng.integers(2**31)))
    score, over = 0.0, False
    while not over:
        action = int(rng.choice(4, p=TOWARDS_GOAL))
        _, reward, terminated, truncated, _ = env.step(action)
        score, over = float(reward), terminated or truncated
    env.close()
    return score


def main() -> None:
    """Open the curriculum, creating it if this is the first worker, and play."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--episodes", type=int, default=200, help="how many to play (200)")
    episodes = parser.parse_args().episodes
    url = os.environ.get("REDIS_CURRICULUM_URL", "embedded://")
    name = os.environ.get("REDIS_CURRICULUM_NAME", "example")

    rng = np.random.default_rng()
    with Curriculum.open(url, name, CONFIG) as curriculum:
        total = 0.0
        finished: tuple[int, float] | None = None
        for _ in range(episodes):
            task = curriculum.next_task(finished)
            finished = task.task_id, play(task, rng)
            total += finished[1]
        if finished:
            curriculum.update_task_performance(*finished)
        mean = total / max(1, episodes)
        print(f"{curriculum.worker_id}: {episodes} episodes, mean score {mean:.3f}")


if __name__ == "__main__":
    main()
