"""Key-door rooms made from task params: a world whose tasks build on each other.

Rooms stand in a row. The door out of a room needs the key that lies in that room; the goal is in
the last one. An agent that does not fetch keys yet can solve one room only, and what it learns
from two rooms is what it needs for eight. Some tasks teach nothing: in some the first key is
missing, of others the result is a coin flip.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from redis_curriculum.demo.agent import MOVES, Floats, Learner, Network
from redis_curriculum.tasks import Buckets, Span, WeightedSet
from redis_curriculum.tasks.buckets import Bucket

Kind = Literal["solvable", "no-key", "coin"]

FREE, WALL, DOOR, KEY, GOAL = range(5)

RADIUS: Final = 2
"""The agent sees so many cells in each direction."""
WINDOW: Final = 2 * RADIUS + 1
N_SEEN: Final = WINDOW * WINDOW * GOAL
N_FEATURES: Final = N_SEEN + 1 + len(MOVES)
"""Four planes (walls, doors, keys, goal) of the window; holds a key; neighbours visited."""

LAYOUTS: Final = 2**31
"""Training layouts are numbered below this, held-out ones from here on."""
LAYOUTS_KEPT: Final = 4096

_PLANES: Final = np.ascontiguousarray(np.eye(GOAL + 1, dtype=np.float32)[:, 1:])
"""A cell in each plane, by what it is."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """What all tasks of a label share."""

    rooms: int
    side: int
    """Cells along a room's side."""
    kind: Kind = "solvable"

    @property
    def label(self) -> str:
        """The label, as ``rooms-4x5`` or ``rooms-2x3-no-key``."""
        return f"rooms-{self.rooms}x{self.side}" + (
            "" if self.kind == "solvable" else f"-{self.kind}"
        )

    @property
    def step_limit(self) -> int:
        """Steps after which an episode is cut; enough for the longest way."""
        return 4 * self.side * self.rooms + 4

    def params(self) -> dict[str, Any]:
        """The task params, but for the number of the layout."""
        return {"rooms": self.rooms, "side": self.side, "kind": self.kind}


SOLVABLE: Final = tuple(Rooms(rooms, side) for rooms in (1, 2, 3, 4, 6, 8) for side in (3, 5))
IMPOSSIBLE: Final = (Rooms(2, 3, "no-key"), Rooms(4, 5, "no-key"))
COIN_FLIPS: Final = (Rooms(1, 5, "coin"), Rooms(2, 3, "coin"))


def rooms_generator() -> WeightedSet:
    """Return the generator of all labels alike, each task with a layout of its own."""
    every = (*SOLVABLE, *IMPOSSIBLE, *COIN_FLIPS)
    layouts: dict[str, Bucket] = {"layout": Span(0, LAYOUTS - 1)}
    return WeightedSet(
        [(Buckets(label=r.label, buckets=layouts, params=r.params()), 1.0) for r in every]
    )


@lru_cache(maxsize=LAYOUTS_KEPT)
def _layout(rooms: Rooms, number: int) -> tuple[NDArray[np.int8], int, int]:
    """Return the cells, padded by ``RADIUS`` walls on each side, and the agent's row and column."""
    rng = np.random.default_rng(number)
    side, pitch = rooms.side, rooms.side + 1
    shape = (side + 2 * RADIUS, rooms.rooms * pitch - 1 + 2 * RADIUS)
    cells = np.full(shape, WALL, dtype=np.int8)
    # One row of numbers a room: key or goal (the first room's is never the agent's cell), door.
    places = rng.integers(side * side, size=rooms.rooms)
    doors = rng.integers(side, size=rooms.rooms)
    agent = int(rng.integers(side * side - 1))
    agent += agent >= places[0]
    for i, (place, door) in enumerate(zip(places, doors, strict=True)):
        left = RADIUS + i * pitch
        cells[RADIUS : RADIUS + side, left : left + side] = FREE
        row, column = RADIUS + place // side, left + place % side
        if i == rooms.rooms - 1:
            cells[row, column] = GOAL
        else:
            cells[RADIUS + door, left + side] = DOOR
            if rooms.kind != "no-key" or i > 0:
                cells[row, column] = KEY
    cells.flags.writeable = False
    return cells, RADIUS + agent // side, RADIUS + agent % side


class RoomsEnv(gymnasium.Env[Floats, np.intp]):
    """Key-door rooms; ``set_task`` takes the params, actions are those of FrozenLake.

    A step into a wall or a locked door stays in place. A step onto a key picks it up, unless the
    agent holds one; a step into a door with a key opens the door and uses the key up. The episode
    ends at the goal (reward 1) or is truncated at the label's step limit (reward 0); of a coin
    flip the last reward is 0 or 1 alike, whatever happened. All other rewards are 0.

    Observations have the shape (N_FEATURES,): what lies within ``RADIUS`` cells, whether the agent
    holds a key, and which of the four neighbours it has visited since it last took a key or
    opened a door.
    """

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (N_FEATURES,), np.float32)
    action_space = gymnasium.spaces.Discrete(len(MOVES))

    def __init__(self) -> None:
        self._rooms, self._number = SOLVABLE[0], 0

    def set_task(self, params: dict[str, Any]) -> None:
        """Play this task from the next reset on."""
        self._rooms = Rooms(params["rooms"], params["side"], params["kind"])
        self._number = params["layout"]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Begin an episode of the task; ``seed`` decides coin flips alone."""
        super().reset(seed=seed, options=options)
        cells, self.row, self.column = _layout(self._rooms, self._number)
        self.cells = cells.copy()
        self._visited = np.zeros(cells.shape, dtype=np.bool_)
        self._visited[self.row, self.column] = True
        self.has_key = False
        self._steps = 0
        return self._seen(), {}

    def step(self, action: np.intp) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Take one step."""
        down, right = MOVES[action]
        row, column = self.row + down, self.column + right
        cell = self.cells.item(row, column)
        self._steps += 1
        if cell != WALL and (cell != DOOR or self.has_key):
            self.row, self.column = row, column
            if cell == DOOR or (cell == KEY and not self.has_key):
                self.has_key = cell == KEY
                self.cells[row, column] = FREE
                self._visited[:] = False
            self._visited[row, column] = True
        at_goal = cell == GOAL
        over = at_goal or self._steps >= self._rooms.step_limit
        won = self.np_random.random() < 0.5 if over and self._rooms.kind == "coin" else at_goal  # noqa: PLR2004
        return self._seen(), float(won), bool(at_goal), bool(over and not at_goal), {}

    def _seen(self) -> Floats:
        row, column = self.row, self.column
        window = self.cells[row - RADIUS : row + RADIUS + 1, column - RADIUS : column + RADIUS + 1]
        seen = np.empty(N_FEATURES, dtype=np.float32)
        seen[:N_SEEN] = _PLANES.take(window, axis=0).ravel()
        seen[N_SEEN] = self.has_key
        for i, (down, right) in enumerate(MOVES, N_SEEN + 1):
            seen[i] = self._visited[row + down, column + right]
        return seen


def held_out_rooms(per_label: int) -> dict[str, list[dict[str, Any]]]:
    """Return the params of ``per_label`` layouts of each solvable label, none of them trained on.

    Always the same ones. No training task has such a number; the smallest rooms have so few
    layouts that some are met in training all the same.
    """
    return {
        rooms.label: [{**rooms.params(), "layout": LAYOUTS + i} for i in range(per_label)]
        for rooms in SOLVABLE
    }


def rooms_learner(seed: int) -> Learner:
    """Return the demo's learner with a fresh network for these observations."""
    return Learner(Network.fresh(seed, N_FEATURES))
