"""Worker processes that all start at the same moment and say how fast each was."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis

from redis_curriculum import Curriculum

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["redis_curriculum"])
ENVIRONMENTS = 64


def _ping(url: str, name: str) -> Callable[[], int]:
    pipe = redis.Redis.from_url(url, protocol=2).pipeline(transaction=False)

    def step() -> int:
        pipe.ping()
        pipe.ping()
        pipe.execute()
        return 1

    return step


def _two_calls(url: str, name: str) -> Callable[[], int]:
    curriculum = Curriculum.open(url, name)

    def step() -> int:
        curriculum.update_task_performance(curriculum.get_task().task_id, 0.5)
        return 1

    return step


def _episode(url: str, name: str) -> Callable[[], int]:
    curriculum = Curriculum.open(url, name)
    task = curriculum.get_task()

    def step() -> int:
        nonlocal task
        task = curriculum.next_task((task.task_id, 0.5))
        return 1

    return step


def _vector(url: str, name: str) -> Callable[[], int]:
    curriculum = Curriculum.open(url, name)
    tasks = curriculum.get_tasks(ENVIRONMENTS)

    def step() -> int:
        nonlocal tasks
        finished = [(task.task_id, random.random()) for task in tasks]
        tasks = curriculum.next_tasks(finished, ENVIRONMENTS).tasks
        return ENVIRONMENTS

    return step


KINDS: dict[str, Callable[[str, str], Callable[[], int]]] = {
    "ping": _ping,
    "two calls": _two_calls,
    "episode": _episode,
    "vector": _vector,
}


def _work(where: tuple[str, str], kind: str, seconds: float, start: Any, answers: Any) -> None:
    step = KINDS[kind](*where)
    start.wait(60)
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        done += step()
    answers.put(done / (time.perf_counter() - started))


@contextmanager
def background(
    url: str, name: str, kind: str, processes: int, seconds: float
) -> Iterator[Callable[[], list[float]]]:
    """Let workers play for so long, while the caller does something else; the call waits for them.

    What it returns are the episodes per second of each.
    """
    start, answers = _CONTEXT.Barrier(processes + 1), _CONTEXT.Queue()
    args = ((url, name), kind, seconds, start, answers)
    workers = [_CONTEXT.Process(target=_work, args=args, daemon=True) for _ in range(processes)]
    for worker in workers:
        worker.start()
    start.wait(60)
    yield lambda: [answers.get(timeout=60 + seconds) for _ in workers]
    for worker in workers:
        worker.join()


def rates(url: str, name: str, kind: str, processes: int, seconds: float) -> list[float]:
    """Episodes per second of each process, all of one kind and at the same time."""
    with background(url, name, kind, processes, seconds) as found:
        return found()
