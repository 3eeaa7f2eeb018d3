"""Arithmetic by groups of rollouts: a tiny model from scratch, a curriculum beside uniform draws.

    python examples/prompts_torch.py --seeds 3

Each prompt is a sum, a difference or a product of two digits. The model answers with one number;
each prompt of a batch is tried eight times, and right answers count 1 (group policy gradient, as
in GRPO). Without REDIS_CURRICULUM_URL it uses a private server on this machine.
"""

from __future__ import annotations

import argparse
import os
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from redis_curriculum import Curriculum, CurriculumConfig, GroupProgressConfig, UniformConfig
from redis_curriculum.integrations.torch import PromptBatchSampler
from redis_curriculum.tasks import Table

ANSWERS, ROLLOUTS, BATCH, GOAL = 82, 8, 24, 0.7
SIGNS = {"+": lambda a, b: a + b, "-": lambda a, b: abs(a - b), "*": lambda a, b: a * b}


class Problems:
    """300 prompts; each row knows its own index, which its results are reported by."""

    def __init__(self) -> None:
        digits, signs = range(10), list(SIGNS)
        self.rows = [(a, b, sign) for sign in signs for a in digits for b in digits]
        self.inputs = torch.zeros(len(self.rows), 23)
        for row, (a, b, sign) in enumerate(self.rows):
            self.inputs[row, [a, 10 + b, 20 + signs.index(sign)]] = 1
        self.answers = torch.tensor([SIGNS[sign](a, b) for a, b, sign in self.rows])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"row": row, "input": self.inputs[row], "answer": self.answers[row]}


def train(sampler: PromptBatchSampler, seed: int, most: int) -> int:
    """Train until the mean success over all prompts is GOAL; return the number of batches."""
    torch.manual_seed(seed)
    data = Problems()
    model = nn.Sequential(nn.Linear(23, 256), nn.ReLU(), nn.Linear(256, ANSWERS))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loader = DataLoader(data, batch_sampler=sampler)
    done = 0
    while True:
        for batch in loader:
            policy = torch.distributions.Categorical(logits=model(batch["input"]))
            answers = policy.sample((ROLLOUTS,))  # shape (rollouts, prompts)
            scores = (answers == batch["answer"]).float()
            sampler.update(batch["row"], scores.T)
            advantage = (scores - scores.mean(0)) / (scores.std(0) + 1e-4)
            loss = -(advantage * policy.log_prob(answers)).mean() - 0.01 * policy.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            if done % 10 == 0:
                with torch.no_grad():
                    chances = model(data.inputs).softmax(-1)
                success = chances[torch.arange(len(data)), data.answers].mean().item()
                if success >= GOAL or done >= most:
                    return done


def main() -> None:
    """Train with both algorithms on each seed, and compare."""
    parser = argparse.ArgumentParser(description="Arithmetic by groups of rollouts")
    parser.add_argument("--seed", type=int, default=200, help="the first one (200)")
    parser.add_argument("--seeds", type=int, default=3, help="how many (3)")
    parser.add_argument("--most", type=int, default=2500, help="batches of one run, at most (2500)")
    arguments = parser.parse_args()
    url = os.environ.get("REDIS_CURRICULUM_URL", "embedded://")
    name = os.environ.get("REDIS_CURRICULUM_NAME", "arithmetic")
    torch.set_num_threads(1)  # the model is small: more threads would only wait for each other
    table = Table([{"sign": sign} for *_, sign in Problems().rows], label="{sign}", params=[])
    took: dict[str, list[int]] = {}
    for algorithm in (UniformConfig(), GroupProgressConfig()):
        for seed in range(arguments.seed, arguments.seed + arguments.seeds):
            config = CurriculumConfig(task_generator=table, algorithm=algorithm, seed=seed)
            with Curriculum.open(url, f"{name}.{algorithm.kind}.{seed}", config) as curriculum:
                batches = train(PromptBatchSampler(curriculum, BATCH), seed, arguments.most)
                took.setdefault(algorithm.kind, []).append(batches)
                how = "not in" if batches >= arguments.most else "in"
                print(f"{algorithm.kind}, seed {seed}: {GOAL:.0%} success {how} {batches} batches")
                for label, row in curriculum.label_stats().items():
                    print(f"  {label} {row.counters['completions']} groups", flush=True)
    uniform, ours = median(took["uniform"]), median(took["group_progress"])
    least = "at least " if uniform >= arguments.most else ""
    print(
        f"medians: uniform {uniform:.0f}, group_progress {ours:.0f}: {least}{uniform / ours:.2f} x"
    )


if __name__ == "__main__":
    main()
