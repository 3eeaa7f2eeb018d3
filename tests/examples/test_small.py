"""The examples that need nothing large: native vector environments, PettingZoo, PufferLib."""

from __future__ import annotations

import re

from redis_curriculum import Curriculum
from tests.examples.running import run_example


def test_native_vector_environments(url: str, name: str) -> None:
    printed = run_example("native_vector.py", url, name)
    found = re.findall(r"^epoch (\d): (\d+) episodes, mean (\d+)$", printed, re.MULTILINE)
    assert int(found[-1][2]) > 2 * int(found[0][2])
    with Curriculum.open(url, name) as curriculum:
        reports = curriculum.epochs()
        assert [(str(r.epoch), str(r.totals["completions"])) for r in reports] == [
            (epoch, episodes) for epoch, episodes, _ in found
        ]
        assert curriculum.check() == []


def test_pettingzoo(url: str, name: str) -> None:
    printed = run_example("pettingzoo_parallel.py", url, name)
    found = re.findall(r"^(line-\d+): (\d+) episodes, success (\S+)$", printed, re.MULTILINE)
    assert sum(int(episodes) for _, episodes, _ in found) == 300
    with Curriculum.open(url, name) as curriculum:
        counts = {label: row.counters for label, row in curriculum.label_stats().items()}
        assert {label: counts[label]["completions"] for label, *_ in found} == {
            label: int(episodes) for label, episodes, _ in found
        }
        assert curriculum.check() == []


def test_pufferlib(url: str, name: str) -> None:
    printed = run_example("pufferlib_env.py", url, name)
    ((episodes, first, last),) = re.findall(
        r"^(\d+) episodes, mean score (\S+) at first, (\S+) at last$", printed, re.MULTILINE
    )
    assert float(last) > float(first) + 0.5
    with Curriculum.open(url, name) as curriculum:
        assert curriculum.stats()["num_completed"] == int(episodes)
        assert curriculum.check() == []
