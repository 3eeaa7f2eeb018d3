"""MiniGrid's step and its partial view, as two functions that numba can compile.

A cell is one byte, type x 8 + colour. Types are MiniGrid's, but for doors: 4 is a closed one, 10
an open one, 11 a locked one. A state is (x, y, direction, carried cell or 0, steps taken). A test
compares both with the package's own on random steps in every kind of task.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from families.compiled import compiled

Bytes = NDArray[np.uint8]
State = NDArray[np.int64]

EMPTY, WALL, FLOOR, DOOR, KEY, BALL, BOX, GOAL, LAVA, OPEN_DOOR, LOCKED_DOOR = range(1, 12)
TYPES: Final = 12
COLOURS: Final = 6
VIEW: Final = 7
"""Cells along a side of what the agent sees; it stands in the middle of the last row."""

TURN_LEFT, TURN_RIGHT, FORWARD, PICK_UP, DROP, TOGGLE = range(6)
N_ACTIONS: Final = 6
"""MiniGrid's seventh action, "done", does nothing in these tasks."""

REACH, UNLOCK, FETCH = range(3)
"""What success is: to stand on the goal, to open the locked door, to pick up the target."""

GOING, WON, LOST = range(3)


def cells_of(encoded: NDArray[Any]) -> Bytes:
    """Return MiniGrid's encoding of a grid or a view, shape (w, h, 3), as cells, shape (w, h).

    0 is what a view does not see; colours are kept where things differ by them.
    """
    kind, colour, state = (encoded[..., i].astype(np.uint8) for i in range(3))
    of = kind.copy()
    of[(kind == DOOR) & (state == 0)] = OPEN_DOOR
    of[(kind == DOOR) & (state == 2)] = LOCKED_DOOR
    coloured = (kind >= DOOR) & (kind <= BOX)
    return np.asarray(of * 8 + np.where(coloured, colour, 0), dtype=np.uint8)


@compiled
def spread(view: Bytes, known: NDArray[np.bool_]) -> None:
    """Mark what is seen past walls and closed doors: MiniGrid's ``process_vis``."""
    known[VIEW // 2, VIEW - 1] = True
    for back in range(VIEW):
        j = VIEW - 1 - back
        for way in (1, -1):
            for k in range(VIEW - 1):
                i = k if way == 1 else VIEW - 1 - k
                kind = view[i, j] >> 3
                if known[i, j] and kind != WALL and kind != DOOR and kind != LOCKED_DOOR:  # noqa: PLR1714 - numba
                    known[i + way, j] = True
                    if j > 0:
                        known[i + way, j - 1] = True
                        known[i, j - 1] = True


@compiled
def look(cells: Bytes, state: State, through: bool, into: Bytes, known: NDArray[np.bool_]) -> None:  # noqa: FBT001
    """Write the view into ``into``, shape (VIEW, VIEW), as MiniGrid's ``image[i, j]``.

    Args:
        cells: The grid, indexed by x and y.
        state: Where the agent is and what it carries.
        through: Whether it sees through walls.
        into: Where to write; 0 is what it does not see.
        known: Room to work in, shape (VIEW, VIEW).
    """
    x, y, direction = state[0], state[1], state[2]
    ahead_x, ahead_y = (1, 0, -1, 0)[direction], (0, 1, 0, -1)[direction]
    for i in range(VIEW):
        for j in range(VIEW):
            far, aside = VIEW - 1 - j, i - VIEW // 2
            at_x = x + ahead_x * far - ahead_y * aside
            at_y = y + ahead_y * far + ahead_x * aside
            inside = 0 <= at_x < cells.shape[0] and 0 <= at_y < cells.shape[1]
            into[i, j] = cells[at_x, at_y] if inside else WALL * 8
            known[i, j] = through
    if not through:
        spread(into, known)
    for i in range(VIEW):
        for j in range(VIEW):
            if not known[i, j]:
                into[i, j] = 0
    into[VIEW // 2, VIEW - 1] = state[3] or EMPTY * 8


@compiled
def toggle(cells: Bytes, x: int, y: int, carried: int, aim: int) -> int:
    """Open or close what is at (x, y), as far as it can be; return GOING or WON."""
    kind, colour = cells[x, y] >> 3, cells[x, y] & 7
    if kind == LOCKED_DOOR and carried == KEY * 8 + colour:
        cells[x, y] = OPEN_DOOR * 8 + colour
        return WON if aim == UNLOCK else GOING
    if kind == DOOR:
        cells[x, y] = OPEN_DOOR * 8 + colour
    elif kind == OPEN_DOOR:
        cells[x, y] = DOOR * 8 + colour
    elif kind == BOX:
        cells[x, y] = EMPTY * 8
    return GOING


@compiled
def move(cells: Bytes, state: State, action: int, aim: int, target: int) -> int:
    """Take a step; change ``cells`` and ``state``; return GOING, WON or LOST.

    Args:
        cells: The grid.
        state: Where the agent is.
        action: TURN_LEFT to TOGGLE.
        aim: REACH, UNLOCK or FETCH.
        target: With FETCH, the type of what is to be picked up.
    """
    state[4] += 1
    direction = state[2]
    x = state[0] + (1, 0, -1, 0)[direction]
    y = state[1] + (0, 1, 0, -1)[direction]
    kind = cells[x, y] >> 3
    if action == TURN_LEFT:
        state[2] = (direction + 3) % 4
    elif action == TURN_RIGHT:
        state[2] = (direction + 1) % 4
    elif action == FORWARD:
        if kind in (EMPTY, FLOOR, GOAL, LAVA, OPEN_DOOR):
            state[0], state[1] = x, y
        return WON if kind == GOAL else LOST if kind == LAVA else GOING
    elif action == PICK_UP and KEY <= kind <= BOX and state[3] == 0:
        state[3] = cells[x, y]
        cells[x, y] = EMPTY * 8
        return WON if aim == FETCH and kind == target else GOING
    elif action == DROP and kind == EMPTY and state[3]:
        cells[x, y] = state[3]
        state[3] = 0
    elif action == TOGGLE:
        return toggle(cells, x, y, state[3], aim)
    return GOING
