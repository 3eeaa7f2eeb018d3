"""Ways to keep a curriculum for several processes: this library, and what it is compared with.

A ``Peer`` is what ``peers.py`` measures. Another library is measured by a class like those below,
in a module of one's own: ``python benchmarks/peers.py --peer my_module:MyPeer``.
"""

from __future__ import annotations

import os
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib.util import find_spec
from multiprocessing.managers import BaseManager
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pool import config_of, plant
from processes import CONTEXT, KINDS, Attach, Player
from server import Server

MODES: Final = {"one at a time": 1, "16 ahead": 16, "steps of 64": 64}
"""How a worker plays, and how many episodes one call reports and draws then."""


class Serving(NamedTuple):
    """A curriculum that is being kept."""

    attach: Callable[[str], Attach]
    """Takes a mode, and returns what each worker's process calls to attach itself."""
    pid: int
    """The process that keeps it: its CPU time is counted beside that of the workers."""


class Peer(ABC):
    """One way to keep a curriculum; it is made in the parent process."""

    name: ClassVar[str]
    modes: ClassVar[Sequence[str]] = tuple(MODES)
    """Those of ``MODES`` that it can play in."""

    @classmethod
    def lacks(cls) -> str:
        """Why it cannot be measured here, such as "X is not installed"; empty: it can."""
        return ""

    @abstractmethod
    def serving(self, tasks: int) -> AbstractContextManager[Serving]:
        """Keep a pool of so many tasks while the context lasts; filling it is not measured."""


class Ours(Peer):
    """This library, on a redis-server of its own, with ``LearningProgressConfig``."""

    name = "redis-curriculum"
    _KINDS: ClassVar = {"one at a time": "episode", "16 ahead": "ahead", "steps of 64": "vector"}

    @contextmanager
    def serving(self, tasks: int) -> Iterator[Serving]:
        """Fill a pool of tasks with a past."""
        with Server() as server:
            planted = plant(server, "peers", config_of(tasks))
            yield Serving(
                lambda mode: partial(KINDS[self._KINDS[mode]], server.url, planted.name), server.pid
            )


class NumpyCurriculum:
    """Learning progress over a pool in NumPy: what a user writes in twenty lines."""

    def __init__(self, tasks: int) -> None:
        self._fast, self._slow = np.zeros(tasks), np.zeros(tasks)
        self._random = np.random.default_rng(0)
        self._lock = threading.Lock()  # a manager has a thread for each worker

    def step(self, finished: Sequence[tuple[int, float]], count: int) -> list[int]:
        """Take results over, in order, and draw the next tasks."""
        with self._lock:
            for task, score in finished:
                self._fast[task] += 0.1 * (score - self._fast[task])
                self._slow[task] += 0.02 * (score - self._slow[task])
            weights = self._weights()
            drawn = self._random.choice(len(weights), count, p=weights / weights.sum())
            return [int(task) for task in drawn]

    def pid(self) -> int:
        """Which process keeps it."""
        return os.getpid()

    def _weights(self) -> NDArray[np.float64]:
        progress: NDArray[np.float64] = np.abs(self._fast - self._slow)
        weights: NDArray[np.float64] = progress + 0.1 * progress.mean() + 1e-6
        return weights


_NAMESPACE: Final = "peers"
Step = Callable[[Sequence[tuple[int, float]], int], list[int]]


def _played(step: Step, batch: int) -> Player:
    """Play in batches with the twenty lines, wherever they are kept."""
    tasks = step([], batch)

    def play() -> int:
        nonlocal tasks
        tasks = step([(task, random.random()) for task in tasks], batch)
        return batch

    return play


class _Manager(BaseManager):
    """Keeps one object in a process of its own."""


_Manager.register("NumpyCurriculum", NumpyCurriculum)


class Managed(Peer):
    """A manager of Python's ``multiprocessing`` that keeps the twenty lines."""

    name = "Manager with NumPy"

    @contextmanager
    def serving(self, tasks: int) -> Iterator[Serving]:
        """Start the manager's process."""
        with _Manager(ctx=CONTEXT) as manager:
            curriculum = manager.NumpyCurriculum(tasks)  # type: ignore[attr-defined]
            pid = curriculum.pid()
            yield Serving(lambda mode: partial(_managed, curriculum, MODES[mode]), pid)


def _managed(curriculum: Any, batch: int) -> Player:
    return _played(curriculum.step, batch)


class RayActor(Peer):
    """A Ray actor that keeps the twenty lines (extra ``rllib``, or ``pip install ray``)."""

    name = "Ray actor with NumPy"

    @classmethod
    def lacks(cls) -> str:
        """Ray is gigabytes large, so it is in no extra of the benchmarks."""
        return "" if find_spec("ray") else "Ray is not installed"

    @contextmanager
    def serving(self, tasks: int) -> Iterator[Serving]:
        """Start Ray on this machine, and the actor."""
        import ray

        # On loopback, and only while this runs: it needs no token, also where the user has one.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        context = ray.init(
            include_dashboard=False,
            log_to_driver=False,
            namespace=_NAMESPACE,
            _node_ip_address="127.0.0.1",
        )
        try:
            actor = ray.remote(NumpyCurriculum).options(name="curriculum").remote(tasks)
            pid, address = ray.get(actor.pid.remote()), context.address_info["address"]
            yield Serving(lambda mode: partial(_acted, address, MODES[mode]), pid)
        finally:
            ray.shutdown()


def _acted(address: str, batch: int) -> Player:
    import ray

    ray.init(address=address, namespace=_NAMESPACE, log_to_driver=False)
    actor = ray.get_actor("curriculum")
    return _played(lambda *args: ray.get(actor.step.remote(*args)), batch)


PEERS: Final[tuple[type[Peer], ...]] = (Managed, RayActor)
