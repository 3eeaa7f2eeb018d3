"""Actor-critic training in one file, in the manner of CleanRL, in NumPy, on a curriculum.

Eight walkers learn to reach a goal on grids of growing size. The curriculum needs three lines: wrap
each environment in ``TaskEnv``, the vector environment in ``CurriculumVectorEnv``, and give the
environment a ``set_task``.

    python examples/cleanrl_numpy.py --steps 60000

Without REDIS_CURRICULUM_URL it uses a private server on this machine.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.envs import CurriculumVectorEnv, TaskEnv
from redis_curriculum.tasks import Buckets

SIZES = [3, 5, 9, 17]
GRIDS = Buckets(label="grid-{size}", buckets={"size": SIZES, "goal": list(range(64))})
CONFIG = CurriculumConfig(task_generator=GRIDS, num_active_tasks=64)
MOVES = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])

N_ENVS = 8
N_STEPS = 32
GAMMA, LAMBDA = 0.97, 0.95
LEARNING_RATE = 0.05
ENTROPY = 0.01


class Grid(gymnasium.Env[Any, Any]):
    """Walk from the middle of a square to a goal; 1 for reaching it in four times its size."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (7,), np.float32)
    action_space = gymnasium.spaces.Discrete(len(MOVES))

    def __init__(self) -> None:
        self.size = 3
        self.goal = self.at = np.zeros(2, dtype=int)
        self.steps = 0

    def set_task(self, params: dict[str, Any]) -> None:
        """Take the size of the grid and the number of the goal."""
        self.size = params["size"]
        self.goal = np.random.default_rng(params["goal"]).integers(self.size, size=2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Go to the middle."""
        super().reset(seed=seed, options=options)
        self.at, self.steps = np.full(2, self.size // 2), 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Walk one cell; walls hold."""
        self.at = np.clip(self.at + MOVES[action], 0, self.size - 1)
        self.steps += 1
        there = bool((self.at == self.goal).all())
        return self._observe(), float(there), there, self.steps >= 4 * self.size, {}

    def _observe(self) -> Any:
        """Which way the goal lies, one-hot for rows and for columns, and a constant."""
        seen = np.zeros(7, dtype=np.float32)
        row, column = np.sign(self.goal - self.at)
        seen[[row + 1, column + 4, 6]] = 1.0
        return seen


class ActorCritic:
    """A linear softmax policy and a linear value."""

    def __init__(self, n_features: int, n_actions: int) -> None:
        self.policy = np.zeros((n_features, n_actions))
        self.value = np.zeros(n_features)

    def probabilities(self, seen: Any) -> Any:
        """Shape (..., n_actions)."""
        logits = seen @ self.policy
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True)

    def act(self, seen: Any, rng: np.random.Generator) -> Any:
        """One action for each environment."""
        cumulated = self.probabilities(seen).cumsum(axis=-1)
        return (rng.random((len(seen), 1)) > cumulated[:, :-1]).sum(axis=-1)

    def update(self, seen: Any, actions: Any, rewards: Any, over: Any, last_seen: Any) -> None:
        """One step up the policy gradient with generalised advantages, shape (N_STEPS, N_ENVS)."""
        values = np.concatenate([seen @ self.value, (last_seen @ self.value)[None]])
        advantages, following = np.zeros_like(rewards), np.zeros(N_ENVS)
        for t in reversed(range(N_STEPS)):
            goes_on = 1.0 - over[t]
            delta = rewards[t] + GAMMA * goes_on * values[t + 1] - values[t]
            advantages[t] = following = delta + GAMMA * LAMBDA * goes_on * following
        p = self.probabilities(seen)
        log_p = np.log(p + 1e-12)
        surprise = log_p - (p * log_p).sum(axis=-1, keepdims=True)
        gradient = -p * advantages[..., None] - ENTROPY * p * surprise
        np.put_along_axis(
            gradient,
            actions[..., None],
            np.take_along_axis(gradient, actions[..., None], -1) + advantages[..., None],
            -1,
        )
        scale = LEARNING_RATE / N_ENVS
        self.policy += scale * np.einsum("tef,tea->fa", seen, gradient)
        self.value += scale * 0.5 * np.einsum("tef,te->f", seen, advantages)


def train(curriculum: Curriculum, steps: int, seed: int) -> dict[str, tuple[float, float]]:
    """Train; return each label's success rate in the first and in the last quarter."""
    rng = np.random.default_rng(seed)
    envs = CurriculumVectorEnv(
        SyncVectorEnv([lambda: TaskEnv(Grid())] * N_ENVS, autoreset_mode=AutoresetMode.SAME_STEP),
        curriculum,
    )
    agent = ActorCritic(7, len(MOVES))
    seen, _ = envs.reset(seed=seed)
    played: list[tuple[int, str, float]] = []
    batch = N_STEPS * N_ENVS
    for update in range(steps // batch):
        rows: list[tuple[Any, ...]] = []
        for _ in range(N_STEPS):
            actions = agent.act(seen, rng)
            following, rewards, terminated, truncated, infos = envs.step(actions)
            rows.append((seen, actions, rewards, (terminated | truncated).astype(float)))
            seen = following
            ended = infos.get("final_info", {}).get("curriculum")
            if ended:
                scored = np.flatnonzero(ended["_score"])
                played += [(update * batch, ended["label"][i], ended["score"][i]) for i in scored]
        observed, actions, rewards, over = (np.array(x) for x in zip(*rows, strict=True))
        agent.update(observed, actions, rewards, over, seen)
        if update % (steps // batch // 8) == 0:
            tell(curriculum, update * batch, played)
    envs.close()
    return {f"grid-{size}": quarters(played, f"grid-{size}", steps) for size in SIZES}


def tell(curriculum: Curriculum, step: int, played: list[tuple[int, str, float]]) -> None:
    """Print each label's success rate, learning progress and share of the next draws."""
    figures, cells = curriculum.stats(), []
    for label in (f"grid-{size}" for size in SIZES):
        scores = [score for _, own, score in played[-400:] if own == label]
        progress = figures[f"per_label_stats/{label}/learning_progress"]
        share = figures[f"per_label_stats/{label}/sample_prob"]
        solved = f"{np.mean(scores):4.0%}" if scores else "   -"
        cells.append(f"{label}: {solved} solved, LP {progress:.3f}, drawn {share:4.0%}")
    print(f"{step:7d} steps  " + "  |  ".join(cells), flush=True)


def quarters(played: list[tuple[int, str, float]], label: str, steps: int) -> tuple[float, float]:
    """The label's success rate in the first and in the last quarter of training."""
    first = [score for step, own, score in played if own == label and step < steps / 4]
    last = [score for step, own, score in played if own == label and step >= steps * 3 / 4]
    return float(np.mean(first)), float(np.mean(last))


def main() -> None:
    """Open the curriculum and train."""
    parser = argparse.ArgumentParser(description="Actor-critic on a curriculum, in NumPy")
    parser.add_argument("--steps", type=int, default=60_000, help="steps of all walkers (60000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    url = os.environ.get("REDIS_CURRICULUM_URL", "embedded://")
    name = os.environ.get("REDIS_CURRICULUM_NAME", "cleanrl-numpy")
    with Curriculum.open(url, name, CONFIG) as curriculum:
        rates = train(curriculum, arguments.steps, arguments.seed)
    for label, (first, last) in rates.items():
        print(f"{label}: {first:.2f} solved in the first quarter, {last:.2f} in the last")


if __name__ == "__main__":
    main()
