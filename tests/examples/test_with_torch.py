"""The examples that need gigabytes of libraries: `make integrations` runs them."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from redis_curriculum import Curriculum
from tests.examples.running import run_example

LINE = r"^pole-(\S+): mean return (\d+) in the first quarter, (\d+) in the last$"
POLES = {"pole-0.25", "pole-0.5", "pole-1.0", "pole-2.0"}


def needs(module: str) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install redis-curriculum[integrations]")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_pytorch_learns(url: str, name: str) -> None:
    needs("torch")
    printed = run_example("pytorch.py", url, name, warnings="default")
    found = re.findall(LINE, printed, re.MULTILINE)
    assert {f"pole-{label}" for label, _, _ in found} == POLES
    for _, first, last in found:
        assert int(last) > 1.5 * int(first)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_stable_baselines3_learns_and_goes_back(url: str, name: str) -> None:
    needs("stable_baselines3")
    printed = run_example("sb3.py", url, name, "--steps", "16384", warnings="default")
    (returns,) = re.findall(r"^mean return (\d+) before, (\d+) after$", printed, re.MULTILINE)
    assert int(returns[1]) > 1.5 * int(returns[0])
    ((step, episodes),) = re.findall(r"^back at step (\d+): (\d+) episodes$", printed, re.MULTILINE)
    assert int(step) == 8192
    with Curriculum.open(url, name) as curriculum:
        rows = curriculum.label_stats()
        assert rows.keys() == POLES
        for label, row in rows.items():
            assert f"{label}: {row.counters['completions']} episodes" in printed
        assert curriculum.stats()["num_completed"] > int(episodes)
        assert curriculum.epochs()[-1].step == 12288
        assert curriculum.check() == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_rllib_trains_and_goes_back(url: str, name: str) -> None:
    needs("ray")
    printed = run_example("rllib.py", url, name, "--iterations", "3", warnings="default")
    epochs = re.findall(r"^epoch (\d+): (\d+) episodes$", printed, re.MULTILINE)
    assert [int(number) for number, _ in epochs] == [0, 1, 2]
    with Curriculum.open(url, name) as curriculum:
        assert [report.totals["completions"] for report in curriculum.epochs()] == [
            int(count) for _, count in epochs
        ]
        for label, row in curriculum.label_stats().items():
            assert f"{label}: {row.counters['completions']} episodes" in printed
        assert curriculum.check() == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_torchrl_learns_and_saves_both(url: str, name: str, tmp_path: Path) -> None:
    needs("torchrl")
    import torch

    file = tmp_path / "checkpoint.pt"
    words = ("--frames", "8192", "--save", str(file))
    printed = run_example("torchrl_ppo.py", url, name, *words, warnings="default")
    ((episodes, first, last),) = re.findall(
        r"^(\d+) episodes, mean return (\d+) at first, (\d+) at last$", printed, re.MULTILINE
    )
    assert int(last) > 1.5 * int(first)
    with Curriculum.open(url, name) as curriculum:
        held = curriculum.stats()["num_completed"]
        assert held == int(episodes), "each end that the collector saw is a result"
        assert [report.step for report in curriculum.epochs()] == [1024 * n for n in range(1, 9)]
        task = curriculum.get_task()
        curriculum.update_task_performance(task.task_id, 1.0)
        saved = torch.load(file, weights_only=True)
        curriculum.load_state_dict(saved["curriculum"])
        assert curriculum.stats()["num_completed"] == held
        assert curriculum.check() == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_prompts_are_learned_faster_than_by_uniform_draws(url: str, name: str) -> None:
    """On a seed that the example was not tuned on."""
    needs("torch")
    words = ("--seed", "300", "--seeds", "1")
    printed = run_example("prompts_torch.py", url, name, *words, warnings="default")
    uniform, ours = map(
        int, re.findall(r"seed 300: 70% success .*in (\d+) batches$", printed, re.MULTILINE)
    )
    assert ours < uniform
    with Curriculum.open(url, f"{name}.group_progress.300") as curriculum:
        assert curriculum.stats()["num_completed"] == ours * 24
        assert curriculum.check() == []
