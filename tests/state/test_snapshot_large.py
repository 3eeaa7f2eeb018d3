"""100,000 tasks: there and back, to the last bit, in bounded memory; ``-s`` shows the cost."""

from __future__ import annotations

import multiprocessing as mp
import re
import time
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.tasks import Buckets, Span
from tests.servers import redis_server

N_TASKS = 100_000
MOST_MIB = 150
"""What an exporter or importer may take; a pool's records as Python objects would be more."""


def peak_mib() -> float:
    """The most this process ever held; ``ru_maxrss`` would begin with its parent's."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def measured(what: str, url: str, name: str, path: Path, queue: Any) -> None:
    """Export or import in a process of its own; tell its time in s and its memory in MiB."""
    idle, start = peak_mib(), time.monotonic()
    if what == "export":
        with Curriculum.open(url, name) as curriculum:
            curriculum.snapshot(path)
    else:
        Curriculum.restore(path, url, f"{name}.2").close()
    queue.put((time.monotonic() - start, peak_mib() - idle))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hundred_thousand_tasks_there_and_back(name: str, tmp_path: Path) -> None:
    mazes = Buckets(
        label="maze-{size}", buckets={"size": list(range(50)), "density": Span(0.0, 0.4)}
    )
    config = CurriculumConfig(task_generator=mazes, num_active_tasks=N_TASKS)
    with (
        redis_server(tmp_path / "server") as server,
        Curriculum.open(server.url, name, config) as original,
    ):
        drawn = original.get_tasks(20_000)
        original.update_many([(task.task_id, i % 100 / 99) for i, task in enumerate(drawn)])
        client, context = server.client(), mp.get_context("spawn")
        client.config_set("slowlog-max-len", 1_000_000)
        client.config_set("slowlog-log-slower-than", 0)
        for what in ("export", "import"):
            client.slowlog_reset()
            queue = context.Queue()
            args = (what, server.url, name, tmp_path / "a.rcs", queue)
            process = context.Process(target=measured, args=args)
            process.start()
            seconds, mib = queue.get(timeout=300)
            process.join()
            calls = [e for e in client.slowlog_get(1_000_000) if b"EVALSHA" in e["command"]]
            slow = sorted(call["duration"] / 1000 for call in calls)
            print(  # noqa: T201
                f"\n{what}: {seconds:.1f} s, {mib:.0f} MiB, {len(slow)} script calls of"
                f" {slow[len(slow) // 2]:.2f} ms, 99 % below {slow[-len(slow) // 100]:.2f} ms"
            )
            assert mib < MOST_MIB
        client.config_set("slowlog-log-slower-than", -1)
        with Curriculum.open(server.url, f"{name}.2") as restored:
            assert restored.distribution() == original.distribution()
            assert restored.labels() == original.labels()
            assert [t.task_id for t in restored.get_tasks(1000)] == [
                t.task_id for t in original.get_tasks(1000)
            ]
            assert restored.check() == []
