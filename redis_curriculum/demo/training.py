"""One training: worker processes that play, a learner that learns, a record of what happened."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Protocol

import numpy as np

from redis_curriculum.demo.agent import Episode, Floats, Learner, Network
from redis_curriculum.demo.worker import SharedWeights, TaskSource, work
from redis_curriculum.demo.worlds import World
from redis_curriculum.errors import CurriculumError

STEPS_PER_UPDATE = 2_000
MOMENT_SECONDS = 0.5
START_SECONDS = 60.0
END_SECONDS = 5.0


class Pool(TaskSource, Protocol):
    """What a training needs of a curriculum: tasks for its workers, the draw for its record."""

    def distribution(self) -> Mapping[int, float]:
        """Return each task's probability."""
        ...

    def task_ids(self, label: str | None = None) -> list[int]:
        """Return the ids of a label's active tasks."""
        ...


@dataclass(frozen=True, slots=True)
class Moment:
    """What was so at one time of a training; the counts are those since the moment before."""

    seconds: float
    probability: dict[str, float]
    played: dict[str, int]
    succeeded: dict[str, int]


@dataclass(slots=True)
class Training:
    """One training as it runs and, afterwards, its outcome."""

    name: str
    world: World
    planned_seconds: float
    seconds: float = 0.0
    steps: int = 0
    updates: int = 0
    moments: list[Moment] = field(default_factory=list)
    checkpoints: list[tuple[int, Floats]] = field(default_factory=list)
    """Steps so far and the weights, at the start and at each moment."""
    lost: list[str] = field(default_factory=list)
    """One line for each worker that ended before it was told to."""

    def episodes(self, label: str | None = None) -> int:
        """Return the number of episodes, of one label or of all."""
        return sum(n for m in self.moments for key, n in m.played.items() if label in (None, key))

    def weights_at(self, steps: int) -> Floats:
        """Return the last kept weights that took at most so many steps."""
        return [weights for taken, weights in self.checkpoints if taken <= steps][-1]

    def seconds_at(self, steps: float) -> float:
        """Return when so many steps had been taken, by a line between two moments."""
        times = [0.0, *(moment.seconds for moment in self.moments)]
        return float(np.interp(steps, [taken for taken, _ in self.checkpoints], times))

    def success(self, label: str, window: int = 6) -> float | None:
        """Return the share of successes over the last moments that ``window`` counts."""
        last = self.moments[-window:]
        played = sum(m.played[label] for m in last)
        return sum(m.succeeded[label] for m in last) / played if played else None


def train(
    name: str,
    world: World,
    pool: Pool,
    network: Network,
    *,
    seconds: float,
    workers: int,
    seed: int,
    observe: Callable[[Training], None] = lambda _: None,
) -> Training:
    """Train the network for ``seconds`` on what ``workers`` processes play, and say how it went.

    The clock starts when all workers are ready. The processes are gone on return, whatever
    happened. A worker that dies is noted and the others go on.

    Raises:
        CurriculumError: No worker is left.
    """
    training = Training(name, world, seconds)
    training.checkpoints.append((0, network.flat.copy()))
    with _crew(world, pool, network, workers, seed) as crew:
        _learn(training, pool, network, crew, observe)
    return training


class Crew:
    """The worker processes, each at its own pipe: one that is killed cannot block the rest."""

    def __init__(self, world: World, size: int) -> None:
        self.processes: dict[Connection, SpawnProcess] = {}
        self.weights = SharedWeights(get_context("spawn"), size)
        self._world = world.name
        self.lost: list[str] = []

    def start(self, pool: TaskSource, seed: tuple[int, ...]) -> None:
        """Start one more worker."""
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=work,
            args=(pool, self.weights, theirs, self._world, seed),
            daemon=True,
            name="demo-worker",
        )
        process.start()
        theirs.close()  # or the pipe would stay open when the worker dies
        self.processes[ours] = process

    def go(self) -> None:
        """Let the workers begin."""
        for connection in self.processes:
            with suppress(OSError):  # ended meanwhile: receive() will say so
                connection.send(None)

    def receive(self, timeout_s: float) -> Iterator[list[Episode]]:
        """Yield what the workers have sent; note those that ended.

        Raises:
            CurriculumError: No worker is left.
        """
        for connection in wait(list(self.processes), timeout_s):
            assert isinstance(connection, Connection)  # noqa: S101  (wait is typed for sockets too)
            try:
                message = connection.recv()
            except (EOFError, OSError):
                self._bury(connection, "")
                continue
            if isinstance(message, str):
                self._bury(connection, message)
            else:
                yield message

    def _bury(self, connection: Connection, reason: str) -> None:
        process = self.processes.pop(connection)
        connection.close()
        _end(process)
        self.lost.append(f"worker {process.pid}: {reason or f'exit code {process.exitcode}'}")
        if not self.processes:
            raise CurriculumError("every rollout worker has ended:\n  " + "\n  ".join(self.lost))

    def dismiss(self) -> None:
        """End all workers: a closed pipe is their sign; who does not heed it is killed."""
        for connection in self.processes:
            connection.close()
        for process in self.processes.values():
            _end(process)


def _end(process: SpawnProcess) -> None:
    process.join(END_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()


@contextmanager
def _crew(
    world: World, pool: TaskSource, network: Network, workers: int, seed: int
) -> Iterator[Crew]:
    """Start the workers and wait until all are ready; end them on the way out."""
    crew = Crew(world, network.flat.size)
    crew.weights.write(network.flat)
    try:
        with _quiet_children():
            for index in range(workers):
                crew.start(pool, (seed, index))
        ready, deadline = 0, time.monotonic() + START_SECONDS
        while ready < len(crew.processes):
            if time.monotonic() > deadline:
                raise CurriculumError(f"workers were not ready after {START_SECONDS:.0f} s")
            ready += len(list(crew.receive(0.1)))
        crew.go()
        yield crew
    finally:
        crew.dismiss()


@contextmanager
def _quiet_children() -> Iterator[None]:
    """What children inherit: one BLAS thread each, and no traceback if Ctrl-C meets their start."""
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)
        if before is None:
            del os.environ["OPENBLAS_NUM_THREADS"]
        else:
            os.environ["OPENBLAS_NUM_THREADS"] = before


def _learn(
    training: Training,
    pool: Pool,
    network: Network,
    crew: Crew,
    observe: Callable[[Training], None],
) -> None:
    learner, start = Learner(network), time.monotonic()
    training.lost = crew.lost
    waiting: list[Episode] = []
    since: list[Episode] = []
    while training.seconds < training.planned_seconds:
        for episodes in crew.receive(0.05):
            waiting += episodes
            since += episodes
        if sum(map(len, waiting)) >= STEPS_PER_UPDATE:
            learner.update(waiting)
            crew.weights.write(network.flat)
            training.updates += 1
            training.steps += sum(map(len, waiting))
            waiting = []
        training.seconds = time.monotonic() - start
        if training.seconds >= MOMENT_SECONDS * (len(training.moments) + 1):
            training.moments.append(_moment(training, pool, since))
            training.checkpoints.append((training.steps, network.flat.copy()))
            since = []
            observe(training)


def _moment(training: Training, pool: Pool, episodes: list[Episode]) -> Moment:
    every = training.world.labels
    labels = {task_id: label for label in every for task_id in pool.task_ids(label)}
    probability = dict.fromkeys(every, 0.0)
    for task_id, share in pool.distribution().items():
        with suppress(KeyError):  # replaced between the calls: its share is in no label
            probability[labels[task_id]] += share
    played = Counter(e.label for e in episodes)
    succeeded = Counter(e.label for e in episodes if e.success)
    return Moment(
        seconds=training.seconds,
        probability=probability,
        played={label: played[label] for label in every},
        succeeded={label: succeeded[label] for label in every},
    )
