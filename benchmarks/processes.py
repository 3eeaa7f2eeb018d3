"""Worker processes that all start at the same moment and say how fast each was."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import redis

from redis_curriculum import Curriculum, WorkerSettings

CONTEXT = multiprocessing.get_context("forkserver")
# What the benchmarks import, and so each worker: a process then starts in a fiftieth of the time.
_CLIENT = ("redis_curriculum._client.open", "redis_curriculum._client.blocking")
_OTHERS = ("redis_curriculum._state.expected", "multiprocessing.managers", "rich.table")
CONTEXT.set_forkserver_preload([*_CLIENT, *_OTHERS])
ENVIRONMENTS = 64
Player = Callable[[], int]
"""Plays some episodes: reports their results, draws the next tasks; returns how many they were."""
Attach = Callable[[], Player]
"""Makes a player in a worker's process, which gets this pickled."""


def _ping(url: str, name: str) -> Player:
    pipe = redis.Redis.from_url(url, protocol=2).pipeline(transaction=False)

    def step() -> int:
        pipe.ping()
        pipe.ping()
        pipe.execute()
        return 1

    return step


def _two_calls(url: str, name: str) -> Player:
    curriculum = Curriculum.open(url, name)

    def step() -> int:
        curriculum.update_task_performance(curriculum.get_task().task_id, 0.5)
        return 1

    return step


def _episode(url: str, name: str) -> Player:
    curriculum = Curriculum.open(url, name)
    task = curriculum.get_task()

    def step() -> int:
        nonlocal task
        task = curriculum.next_task((task.task_id, 0.5))
        return 1

    return step


def _ahead(url: str, name: str) -> Player:
    curriculum = Curriculum.open(url, name, worker=WorkerSettings(prefetch=16))
    task = curriculum.get_task()

    def step() -> int:
        nonlocal task
        task = curriculum.next_task((task.task_id, random.random()))
        return 1

    return step


def _vector(url: str, name: str) -> Player:
    curriculum = Curriculum.open(url, name)
    tasks = curriculum.get_tasks(ENVIRONMENTS)

    def step() -> int:
        nonlocal tasks
        finished = [(task.task_id, random.random()) for task in tasks]
        tasks = curriculum.next_tasks(finished, ENVIRONMENTS).tasks
        return ENVIRONMENTS

    return step


class Played(NamedTuple):
    """What a worker has done."""

    episodes: int
    rate: float
    """Episodes per second."""
    cpu_s: float
    """CPU time of its process."""


KINDS: dict[str, Callable[[str, str], Player]] = {
    "ping": _ping,
    "two calls": _two_calls,
    "episode": _episode,
    "ahead": _ahead,
    "vector": _vector,
}


def _work(attach: Attach, seconds: float, start: Any, answers: Any) -> None:
    step = attach()
    start.wait(60)
    done, started, used = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - started < seconds:
        done += step()
    took, used = time.perf_counter() - started, time.process_time() - used
    answers.put(Played(done, done / took, used))


@contextmanager
def background(
    attach: Attach, processes: int, seconds: float
) -> Iterator[Callable[[], list[Played]]]:
    """Let workers play for so long, while the caller does something else; the call waits for them.

    What it returns is what each has done.
    """
    start, answers = CONTEXT.Barrier(processes + 1), CONTEXT.Queue()
    args = (attach, seconds, start, answers)
    workers = [CONTEXT.Process(target=_work, args=args, daemon=True) for _ in range(processes)]
    for worker in workers:
        worker.start()
    start.wait(60)
    yield lambda: [answers.get(timeout=60 + seconds) for _ in workers]
    for worker in workers:
        worker.join()


def rates(attach: Attach, processes: int, seconds: float) -> list[float]:
    """Episodes per second of each process, all of one kind and at the same time."""
    with background(attach, processes, seconds) as found:
        return [each.rate for each in found()]
