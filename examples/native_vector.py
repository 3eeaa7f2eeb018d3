"""64 cart-poles in one NumPy environment, each with its own pole: ``gymnasium.make_vec``'s default.

``apply_tasks(env, indices, tasks)`` is all that such an environment needs; EnvPool's and those in
JAX are wrapped alike. The policy is one linear rule that is improved by random search.

    python examples/native_vector.py --steps 2000

Without REDIS_CURRICULUM_URL it uses a private server on this machine.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from redis_curriculum import Curriculum, CurriculumConfig, Task
from redis_curriculum.envs import CurriculumNativeVectorEnv
from redis_curriculum.tasks import Buckets, Span

SLOTS = 64
POLES = Buckets(
    label="pole-{length}", buckets={"length": [0.25, 0.5, 1.0, 2.0], "force": Span(6.0, 12.0)}
)
# A return is the number of steps, at most 500 in CartPole-v1.
CONFIG = CurriculumConfig(task_generator=POLES, num_active_tasks=128, score_range=(0.0, 500.0))


def make() -> Any:
    """Make an environment whose params are arrays: one value for each slot."""
    env = gymnasium.make_vec("CartPole-v1", num_envs=SLOTS)
    poles: Any = env.unwrapped
    poles.length, poles.force_mag = np.full(SLOTS, 0.5), np.full(SLOTS, 10.0)
    poles.polemass_length = poles.masspole * poles.length
    return env


def apply_tasks(env: Any, indices: Any, tasks: Sequence[Task]) -> None:
    """Give some slots other poles and other motors."""
    poles = env.unwrapped
    poles.length[indices] = [task.params["length"] for task in tasks]
    poles.force_mag[indices] = [task.params["force"] for task in tasks]
    poles.polemass_length = poles.masspole * poles.length


def play(envs: CurriculumNativeVectorEnv, rules: Any, steps: int) -> tuple[Any, Any]:
    """Play each slot by its own rule; return its sum of returns and its number of episodes."""
    seen, _ = envs.reset()
    returns, episodes = np.zeros(SLOTS), np.zeros(SLOTS)
    for _ in range(steps):
        actions = (np.einsum("sf,sf->s", rules, seen) > 0).astype(np.int64)
        seen, _, terminated, truncated, infos = envs.step(actions)
        over = terminated | truncated
        if over.any():
            returns[over] += infos["curriculum"]["return"][over]
            episodes[over] += 1
    return returns, episodes


def main() -> None:
    """Open the curriculum and search for a rule that balances every pole."""
    parser = argparse.ArgumentParser(description="A native vector environment on a curriculum")
    parser.add_argument("--steps", type=int, default=2_000, help="of every slot (2000)")
    steps = parser.parse_args().steps
    url = os.environ.get("REDIS_CURRICULUM_URL", "embedded://")
    name = os.environ.get("REDIS_CURRICULUM_NAME", "native-vector")
    rng = np.random.default_rng(0)
    rule = np.zeros(4)
    with Curriculum.open(url, name, CONFIG) as curriculum:
        envs = CurriculumNativeVectorEnv(make(), curriculum, apply_tasks)
        for round_ in range(4):
            rules = rule + rng.normal(size=(SLOTS, 4)) * 0.5
            returns, episodes = play(envs, rules, steps // 4)
            best = np.argsort(returns / np.maximum(episodes, 1))[-8:]
            rule = rules[best].mean(axis=0)
            report = curriculum.end_epoch(step=(round_ + 1) * SLOTS * (steps // 4))
            mean = returns.sum() / max(episodes.sum(), 1)
            print(f"epoch {report.epoch}: {report.totals['completions']} episodes, mean {mean:.0f}")
        envs.close()


if __name__ == "__main__":
    main()
