"""What a family brings beside statistics and weights: keys of its own, a way to draw of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

MOST_FIELDS = 1000
"""So many fields a key of the whole pool has at most: a snapshot reads it in one go."""
MOST_TEXT = 2000
"""So many characters a text has at most."""

OwnHolder = Literal["task", "label", "pool"]
"""Whose numbers or texts a key holds."""


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key that a family keeps beside the statistics; its scripts write it.

    Of each task or label it has a number, in the sorted set ``own_tasks:<name>`` or
    ``own_labels:<name>``, from which a draw may take them by their order. Of the whole pool it has
    up to 1,000 numbers by name, in the hash ``own_pool:<name>``. Texts of tasks, labels or the pool
    are in the hash ``own_texts:<name>``. What belongs to a task goes with it; what belongs to a
    label goes when the label is forgotten.
    """

    name: str
    description: str
    holder: OwnHolder
    low: float = -1e300
    high: float = 1e300
    """The range of its numbers, both ends included; a snapshot with one outside is refused."""
    first: float | str | None = None
    """What a new task or label has; None: nothing at first."""
    is_text: bool = False
    """Whether it holds texts, of up to 2,000 characters each, instead of numbers."""
    is_index: bool = False
    """Whether it follows from the records and from the other keys, as ``OwnDraws.index`` says.

    Such a key is in no snapshot: a restore, a repair and a change of settings build it anew.
    """

    @property
    def stem(self) -> str:
        """The key's name without what belongs to the curriculum."""
        if self.is_text:
            return f"own_texts:{self.name}"
        part = {"task": "tasks", "label": "labels", "pool": "pool"}[self.holder]
        return f"own_{part}:{self.name}"

    @property
    def is_sorted(self) -> bool:
        """Whether it is a sorted set; else it is a hash."""
        return not self.is_text and self.holder != "pool"

    @property
    def rule(self) -> str:
        """What each value must be."""
        if self.is_text:
            return f"a text of at most {MOST_TEXT} characters"
        return f"in [{self.low:g}, {self.high:g}]"

    def allows(self, value: float | str | None) -> bool:
        """Whether it may hold this value."""
        if isinstance(value, str):
            return self.is_text and len(value) <= MOST_TEXT
        return not self.is_text and value is not None and self.low <= value <= self.high


Numbers = NDArray[np.float64]
Index = Mapping[str, Mapping[Any, float | str]]
"""What keys hold: by name of the key, then by task id, label or name."""


@dataclass(frozen=True, slots=True)
class OwnValues:
    """What the keys of a family's own hold; each by the name of its key."""

    tasks: Mapping[str, Numbers] = field(default_factory=dict)
    """Numbers of the tasks, shape (n,); NaN where a task has none."""
    labels: Mapping[str, Numbers] = field(default_factory=dict)
    """Numbers of the labels, shape (m,); NaN where a label has none."""
    pool: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Numbers of the whole pool, by name."""
    texts: Index = field(default_factory=dict)
    """Texts, by task id, by label, or by name."""


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
    def labels(self) -> Sequence[str]:
        """Names of the m labels."""
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
    def own(self) -> OwnValues:
        """What the keys of the family's own hold."""
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

    def index(self, pool: PoolNumbers, scorer: Any) -> Index:  # noqa: ARG002 - a family's own
        """Return what the keys with ``is_index`` hold, from everything else in the pool.

        By name of the key, then by task id, label or name. ``rebuild.lua`` makes the same on the
        server.
        """
        return {}
