"""TorchRL on a curriculum of cart-poles: PPO whose collector sees tasks and scores as tensors.

    python examples/torchrl_ppo.py --frames 16384

Without REDIS_CURRICULUM_URL it uses a private server on this machine.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import gymnasium
import torch
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import GymWrapper
from torchrl.modules import ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from redis_curriculum import Curriculum, CurriculumConfig, Task
from redis_curriculum.envs import CurriculumEnv
from redis_curriculum.integrations.torchrl import FlatInfo, info_reader
from redis_curriculum.tasks import Buckets, Span

POLES = Buckets(
    label="pole-{length}", buckets={"length": [0.25, 0.5, 1.0, 2.0], "force": Span(6.0, 12.0)}
)
# A return is the number of steps, at most 500 in CartPole-v1.
CONFIG = CurriculumConfig(task_generator=POLES, num_active_tasks=64, score_range=(0.0, 500.0))
BATCH = 1024


def apply_task(env: Any, task: Task) -> None:
    """Give the cart-pole another pole and another motor."""
    pole = env.unwrapped
    pole.length, pole.force_mag = task.params["length"], task.params["force"]
    pole.polemass_length = pole.masspole * pole.length


def make(curriculum: Curriculum) -> GymWrapper:
    """Make the environment; its tensordicts have the curriculum's numbers."""
    inner = CurriculumEnv(gymnasium.make("CartPole-v1"), curriculum, apply_task=apply_task)
    env = GymWrapper(FlatInfo(inner), categorical_action_encoding=True)
    env.set_info_dict_reader(info_reader())
    return env


def network(outputs: int) -> nn.Module:
    """Two layers of 64."""
    return nn.Sequential(
        nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)
    )


def train(curriculum: Curriculum, frames: int) -> list[float]:
    """Train; return the scores in the order in which the episodes ended."""
    env = make(curriculum)
    logits = TensorDictModule(network(2), in_keys=["observation"], out_keys=["logits"])
    actor = ProbabilisticActor(
        logits,
        in_keys=["logits"],
        spec=env.action_spec,
        distribution_class=torch.distributions.Categorical,
        return_log_prob=True,
    )
    critic = ValueOperator(network(1), in_keys=["observation"])
    advantage = GAE(gamma=0.99, lmbda=0.95, value_network=critic)
    loss_of = ClipPPOLoss(actor, critic, entropy_coeff=0.01)
    optimizer = torch.optim.Adam(loss_of.parameters(), lr=1e-3)
    collector = Collector(env, actor, frames_per_batch=BATCH, total_frames=frames)
    scores: list[float] = []
    steps = 0
    for batch in collector:
        steps += batch.numel()
        ended = batch["next", "curriculum_ended"].flatten()
        scores += batch["next", "curriculum_return"].flatten()[ended].tolist()
        for _ in range(4):
            advantage(batch)
            for rows in torch.randperm(batch.numel()).chunk(8):
                losses = loss_of(batch.reshape(-1)[rows])
                total = losses["loss_objective"] + losses["loss_critic"] + losses["loss_entropy"]
                optimizer.zero_grad()
                total.backward()
                nn.utils.clip_grad_norm_(loss_of.parameters(), 0.5)
                optimizer.step()
        curriculum.end_epoch(step=steps)
    collector.shutdown()
    return scores


def main() -> None:
    """Open the curriculum, train, and save both together."""
    parser = argparse.ArgumentParser(description="TorchRL on a curriculum")
    parser.add_argument("--frames", type=int, default=16_384, help="to train on (16384)")
    parser.add_argument("--save", help="file for the checkpoint")
    arguments = parser.parse_args()
    url = os.environ.get("REDIS_CURRICULUM_URL", "embedded://")
    name = os.environ.get("REDIS_CURRICULUM_NAME", "torchrl")
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the network is small: more threads would only wait for each other
    with Curriculum.open(url, name, CONFIG) as curriculum:
        scores = train(curriculum, arguments.frames)
        quarter = max(len(scores) // 4, 1)
        first, last = sum(scores[:quarter]) / quarter, sum(scores[-quarter:]) / quarter
        print(f"{len(scores)} episodes, mean return {first:.0f} at first, {last:.0f} at last")
        if arguments.save:
            torch.save({"curriculum": curriculum.state_dict()}, arguments.save)


if __name__ == "__main__":
    main()
