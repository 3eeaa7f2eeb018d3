"""What a family brings beside statistics and weights: keys of its own, a way to draw of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

MOST_FIELDS = 1000
"""So many fields a key of the whole pool has at most: a snapshot reads it in one go."""


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key that a family keeps beside the statistics; its scripts write it.

    Of each task a number, in the sorted set ``own_tasks:<name>``, from which a draw may take tasks
    by their order; or of the whole pool up to 1,000 numbers by name, in the hash
    ``own_pool:<name>``. Both are in snapshots and in ``check``. A task's number goes with it.
    """

    name: str
    description: str
    holder: Literal["task", "pool"]
    low: float = -1e300
    high: float = 1e300
    """Its range, both ends included; a snapshot with a number outside is refused."""
    first: float | None = None
    """The number of a new task; None: it has none at first."""


class Uniforms(Protocol):
    """The curriculum's stream of random numbers."""

    def uniform(self) -> float:
        """Return the next number in (0, 1); in Lua ``uniform()``."""
        ...

    def index(self, n: int) -> int:
        """Return a whole number below n, each as likely; in Lua ``index(n)``."""
        ...


class PoolNumbers(Protocol):
    """All that a draw may depend on; n tasks, m labels."""

    @property
    def task_ids(self) -> NDArray[np.int64]:
        """Shape (n,)."""
        ...

    @property
    def statistics(self) -> Mapping[str, NDArray[np.float64]]:
        """Of the tasks, by name: columns of shape (n,), NaN where absent."""
        ...

    @property
    def label_index(self) -> NDArray[np.intp]:
        """Shape (n,): which of the labels each task has."""
        ...

    @property
    def label_statistics(self) -> Mapping[str, NDArray[np.float64]]:
        """Of the labels, by name: columns of shape (m,)."""
        ...

    @property
    def numbers(self) -> Mapping[str, float]:
        """Statistics of the whole pool."""
        ...

    @property
    def own_tasks(self) -> Mapping[str, NDArray[np.float64]]:
        """Keys of the family's own: each task's number, shape (n,), NaN where absent."""
        ...

    @property
    def own_pool(self) -> Mapping[str, Mapping[str, float]]:
        """Keys of the family's own, of the whole pool."""
        ...

    def parts(self, scorer: Any) -> InOrder:
        """Return the positions of the tasks in the three sorted sets."""
        ...


class InOrder(Protocol):
    """Positions of the tasks in the three sorted sets, by rank, then by the id's text."""

    @property
    def fresh(self) -> NDArray[np.intp]:
        """Those with too few results."""
        ...

    @property
    def learning(self) -> NDArray[np.intp]:
        """Those after them."""
        ...

    @property
    def ripe(self) -> NDArray[np.intp]:
        """Those that may be replaced."""
        ...


class OwnPick(Protocol):
    """The draws of one call, one by one."""

    @property
    def is_spent(self) -> bool:
        """Whether the rest is left to the next call."""
        ...

    def one(self) -> int | None:
        """Return the position of one drawn task; None: none was found in bounded time."""
        ...

    def taken(self, position: int) -> bool:
        """Note that this task is handed out; False: it may not be."""
        ...


class OwnDraws(ABC):
    """A way to draw that comes with a family; its ``DRAW`` is an instance.

    This is the reference, which the Lua files in ``LUA`` equal bit for bit. ``LUA`` is a folder as
    those in ``lua/draws``; a file that it lacks is that of uniform draws. ``pick.lua`` gives
    ``is_spent`` and ``pick``; a file ``taken.lua`` gives ``taken(id)``.
    """

    LUA: Path

    @abstractmethod
    def distribution(self, pool: PoolNumbers, scorer: Any) -> NDArray[np.float64]:
        """Return the probability of every task at the next draw, shape (n,)."""

    @abstractmethod
    def pick(self, pool: PoolNumbers, scorer: Any, stream: Uniforms, count: int) -> OwnPick:
        """Return the draws of one call for ``count`` tasks."""
