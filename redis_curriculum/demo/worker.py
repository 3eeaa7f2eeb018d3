"""A rollout worker: a process that takes tasks, plays them with the newest weights, reports."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from contextlib import suppress
from ctypes import c_float
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from typing import Any, Protocol

import numpy as np

from redis_curriculum.demo.agent import Episode, Floats, Network, n_weights, play
from redis_curriculum.demo.worlds import WORLDS, World
from redis_curriculum.errors import CurriculumError

EPISODES_PER_MESSAGE = 8


class PlayedTask(Protocol):
    """What a worker reads of a task."""

    @property
    def task_id(self) -> int:
        """Which task to report on."""
        ...

    @property
    def label(self) -> str:
        """Its group."""
        ...

    @property
    def params(self) -> Mapping[str, Any]:
        """What the environment's ``set_task`` takes."""
        ...


class TaskSource(Protocol):
    """The one method of a curriculum that a worker calls."""

    def next_task(self, finished: tuple[int, float] | None = None) -> PlayedTask:
        """Report the finished episode, if any, and take the next task."""
        ...


class SharedWeights:
    """The network's weights in memory that the learner writes and all workers read.

    No lock, so that a killed worker can hold none. A read during a write mixes two neighbouring
    versions, which does no harm: the probabilities that are sent are those that were used.
    """

    def __init__(self, context: SpawnContext, size: int) -> None:
        self._shared = context.RawArray(c_float, size)

    def write(self, flat: Floats) -> None:
        """Let the workers see these weights."""
        self._view()[:] = flat

    def read(self, into: Floats) -> None:
        """Copy the newest weights."""
        into[:] = self._view()

    def _view(self) -> Floats:
        return np.frombuffer(memoryview(self._shared), dtype=np.float32)


def work(
    tasks: TaskSource,
    weights: SharedWeights,
    learner: Connection,
    world: str,
    seed: tuple[int, ...],
) -> None:
    """Play until the learner closes the pipe (its death closes it too).

    Sends an empty list when ready and waits for an answer; sends lists of episodes from then on,
    and the text of a curriculum's error, if one ends the work.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the learner, which ends us
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            _play_on(tasks, weights, learner, WORLDS[world], np.random.default_rng(seed))
        except CurriculumError as error:
            learner.send(str(error))


def _play_on(
    tasks: TaskSource,
    weights: SharedWeights,
    learner: Connection,
    world: World,
    rng: np.random.Generator,
) -> None:
    size = n_weights(world.n_features)
    network = Network(np.empty(size, dtype=np.float32), world.n_features)
    env = world.make()
    env.reset(seed=int(rng.integers(2**31)))
    learner.send([])
    learner.recv()
    task = tasks.next_task()
    while True:
        episodes: list[Episode] = []
        while len(episodes) < EPISODES_PER_MESSAGE:
            weights.read(network.flat)
            env.set_task(task.params)
            episode = play(env, network, rng, task.label)
            episodes.append(episode)
            task = tasks.next_task(finished=(task.task_id, float(episode.success)))
        learner.send(episodes)
