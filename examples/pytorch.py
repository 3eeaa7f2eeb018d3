"""Proximal policy optimisation in PyTorch on a curriculum of cart-poles, in worker processes.

The environments run in processes of their own; only this one talks to the curriculum, once for each
step in which an episode ends. Gymnasium's CartPole knows nothing of tasks: ``apply_task`` changes
the pole.

    python examples/pytorch.py --steps 40000

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
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from torch import nn

from redis_curriculum import Curriculum, CurriculumConfig, Task
from redis_curriculum.envs import CurriculumVectorEnv, TaskEnv
from redis_curriculum.tasks import Buckets, Span

POLES = Buckets(
    label="pole-{length}", buckets={"length": [0.25, 0.5, 1.0, 2.0], "force": Span(6.0, 12.0)}
)
# A return is the number of steps, at most 500 in CartPole-v1.
CONFIG = CurriculumConfig(task_generator=POLES, num_active_tasks=64, score_range=(0.0, 500.0))

N_ENVS = 4
N_STEPS = 128
GAMMA, LAMBDA, CLIP = 0.99, 0.95, 0.2


def apply_task(env: Any, task: Task) -> None:
    """Give the cart-pole another pole and another motor."""
    pole = env.unwrapped
    pole.length, pole.force_mag = task.params["length"], task.params["force"]
    pole.polemass_length = pole.masspole * pole.length


def make() -> TaskEnv:
    """One sub-environment."""
    return TaskEnv(gymnasium.make("CartPole-v1"), apply_task=apply_task)


class Agent(nn.Module):
    """Policy and value on two hidden layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
        self.policy, self.value = nn.Linear(64, 2), nn.Linear(64, 1)

    def forward(self, seen: torch.Tensor) -> tuple[torch.distributions.Categorical, torch.Tensor]:
        """Return the distribution of actions and the value, for any batch shape."""
        hidden = self.body(seen)
        policy = torch.distributions.Categorical(logits=self.policy(hidden))
        return policy, self.value(hidden).squeeze(-1)


def advantages_of(rewards: Any, over: Any, values: Any, last_value: Any) -> torch.Tensor:
    """Generalised advantages, shape (N_STEPS, N_ENVS)."""
    advantages, following = torch.zeros_like(values), torch.zeros(N_ENVS)
    for t in reversed(range(N_STEPS)):
        value_after = values[t + 1] if t + 1 < N_STEPS else last_value
        goes_on = 1.0 - over[t]
        delta = rewards[t] + GAMMA * goes_on * value_after - values[t]
        advantages[t] = following = delta + GAMMA * LAMBDA * goes_on * following
    return advantages


def learn(agent: Agent, optimizer: Any, rollout: list[torch.Tensor], last_seen: Any) -> None:
    """Four passes over a rollout in four minibatches."""
    seen, actions, old_log_p, rewards, over, values = rollout
    with torch.no_grad():
        last_value = agent(last_seen)[1]
    advantages = advantages_of(rewards, over, values, last_value)
    columns = [seen, actions, old_log_p, advantages, advantages + values]
    flat = [column.flatten(0, 1) for column in columns]
    for _ in range(4):
        for rows in torch.randperm(N_STEPS * N_ENVS).chunk(4):
            s, a, old, adv, target = (column[rows] for column in flat)
            policy, value = agent(s)
            ratio = (policy.log_prob(a) - old).exp()
            adv = (adv - adv.mean()) / (adv.std() + 1e-8)
            gain = torch.minimum(ratio * adv, ratio.clamp(1 - CLIP, 1 + CLIP) * adv).mean()
            loss = 0.5 * ((value - target) ** 2).mean() - gain - 0.01 * policy.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()


def train(curriculum: Curriculum, steps: int, seed: int) -> dict[str, list[float]]:
    """Train; return the returns by label, in the order in which the episodes ended."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # the network is small; the cores are for the environments
    inner = AsyncVectorEnv([make] * N_ENVS, autoreset_mode=AutoresetMode.SAME_STEP)
    envs = CurriculumVectorEnv(inner, curriculum)
    agent = Agent()
    optimizer = torch.optim.Adam(agent.parameters(), lr=3e-3, eps=1e-5)
    seen = torch.as_tensor(envs.reset(seed=seed)[0])
    returns: dict[str, list[float]] = defaultdict(list)
    for _ in range(steps // (N_STEPS * N_ENVS)):
        rows = []
        for _ in range(N_STEPS):
            with torch.no_grad():
                policy, value = agent(seen)
            action = policy.sample()
            following, reward, terminated, truncated, infos = envs.step(action.numpy())
            over = torch.as_tensor(terminated | truncated, dtype=torch.float32)
            reward = torch.as_tensor(reward, dtype=torch.float32)
            rows.append((seen, action, policy.log_prob(action), reward, over, value))
            seen = torch.as_tensor(following)
            ended = infos.get("final_info", {}).get("curriculum")
            if ended:
                for i in np.flatnonzero(ended["_score"]):
                    returns[ended["label"][i]].append(float(ended["return"][i]))
        learn(agent, optimizer, [torch.stack(column) for column in zip(*rows, strict=True)], seen)
    envs.close()
    return returns


def main() -> None:
    """Open the curriculum and train."""
    parser = argparse.ArgumentParser(description="PPO in PyTorch on a curriculum")
    parser.add_argument("--steps", type=int, default=40_000, help="of all environments (40000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    url = os.environ.get("REDIS_CURRICULUM_URL", "embedded://")
    name = os.environ.get("REDIS_CURRICULUM_NAME", "pytorch")
    with Curriculum.open(url, name, CONFIG) as curriculum:
        returns = train(curriculum, arguments.steps, arguments.seed)
    for label, own in sorted(returns.items()):
        quarter = max(len(own) // 4, 1)
        first, last = np.mean(own[:quarter]), np.mean(own[-quarter:])
        print(f"{label}: mean return {first:.0f} in the first quarter, {last:.0f} in the last")


if __name__ == "__main__":
    main()
