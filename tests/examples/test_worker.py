"""examples/worker.py: one worker creates the curriculum, the next ones attach to it."""

from __future__ import annotations

import re

from redis_curriculum import Curriculum
from tests.examples.running import run_example


def work(episodes: int, url: str, name: str) -> str:
    return run_example("worker.py", url, name, "--episodes", str(episodes))


def test_workers_add_up(url: str, name: str) -> None:
    for episodes in (30, 20, 0):
        found = re.fullmatch(
            r"w-[0-9a-f]+: (\d+) episodes, mean score (0\.\d+)\n", work(episodes, url, name)
        )
        assert found
        assert int(found[1]) == episodes
    with Curriculum.open(url, name) as curriculum:
        records = [curriculum.get_task_stats(task_id) for task_id in curriculum.task_ids()]
        assert sum(record.completion_count for record in records if record) == 50
        assert sum(record.sample_count for record in records if record) == 50
