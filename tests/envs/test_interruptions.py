"""A wrapper's step that Ctrl-C stopped at any line: the next one counts nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig
from redis_curriculum.envs.assignments import Assignments
from redis_curriculum.envs.episode import Played
from redis_curriculum.tasks import Buckets
from tests.interrupting import count_lines, interrupted, sample
from tests.servers import RunningServer
from tests.whole import total

TASKS = Buckets(label="{kind}", buckets={"kind": ["a", "b"], "seed": list(range(20))})
FAILING = {"error": "no map"}
SCORED = {"score": 0.5}


@pytest.fixture
def curriculum(server: RunningServer, name: str) -> Iterator[Curriculum]:
    algorithm = LearningProgressConfig(replacement_rate=0.0, max_consecutive_failures=1000)
    config = CurriculumConfig(task_generator=TASKS, num_active_tasks=8, seed=4, algorithm=algorithm)
    with Curriculum.open(server.url, name, config) as curriculum:
        yield curriculum


@pytest.mark.parametrize("most", [8, pytest.param(10**6, marks=pytest.mark.slow)])
@pytest.mark.parametrize("ended", [SCORED, FAILING], ids=["scored", "failed"])
def test_ctrl_c_at_any_line(
    server: RunningServer, curriculum: Curriculum, most: int, ended: dict[str, Any]
) -> None:
    keys, what = Keys(curriculum.name), "completions" if ended is SCORED else "failures"
    seats = Assignments(curriculum, "world", 2)

    def settling() -> Callable[[], Any]:
        """The end of an episode; made again, what is left of it."""
        nonlocal seats
        seats = Assignments(curriculum, "world", 2)
        seats.fill()
        first = seats.current[1]
        assert first is not None
        seats.settle({1: Played(first, score=0.5)})  # it works: what fails is the task's fault
        task = seats.current[0]
        assert task is not None
        tries: list[Callable[[], Any]] = [seats.fill]
        tries.append(partial(seats.settle, {0: Played(task, **ended)}))

        def settle_or_fill() -> object:
            return tries.pop()()

        return settle_or_fill

    with server.client() as client:
        for line in sample(count_lines(settling()), most):
            call = settling()
            before = [total(client, keys.count(count)) for count in (what, "samples")]
            _, stopped_in = interrupted(call, line)
            after = [total(client, keys.count(count)) for count in (what, "samples")]
            grown = [b - a for a, b in zip(before, after, strict=True)]
            assert seats.is_full
            assert max(grown) <= 1
            if "blocking" in stopped_in:
                assert grown == [1, 1], "it had been taken down"
