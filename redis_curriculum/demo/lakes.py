"""Frozen lakes made from task params, and what the agent sees of them.

The agent sees the cells around it and where the goal lies, never the number of its cell or the
map, so what it learns on one map is of use on another, of any size. All sizes teach the same.

Every layout belongs to one of two sides, by its checksum: a training task never yields a held-out
map, whatever its seed, though small maps repeat often.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from itertools import count
from typing import Any
from zlib import crc32

import gymnasium
import numpy as np
from gymnasium.envs.toy_text.frozen_lake import generate_random_map

from redis_curriculum.demo.agent import MOVES, Floats
from redis_curriculum.tasks import Buckets, Span

SIZES = (4, 8, 12, 16, 24)
DENSITY = (0.1, 0.4)
"""Smallest and largest share of holes. Much above 0.4 a way through a large map is rare."""

N_SEEDS = 2**31
STEPS_PER_SIDE = 4
"""An episode is cut after this many steps per cell of the map's side (a way takes 2 and more)."""

HELD_OUT_SHARE = 4
"""One layout in so many is held out."""

RADIUS = 3
WINDOW = 2 * RADIUS + 1
N_SEEN = 2 * WINDOW * WINDOW + 5
N_FEATURES = N_SEEN + len(MOVES)

MAPS_KEPT = 1024
"""Maps whose features a process keeps: to build a large one takes many episodes' time."""

LABEL_TEMPLATE = "lake-{size}x{size}"
LABELS = tuple(LABEL_TEMPLATE.format(size=size) for size in SIZES)


def lakes_generator() -> Buckets:
    """Return the generator of all sizes alike, each lake with any share of holes."""
    return Buckets(
        label=LABEL_TEMPLATE,
        buckets={"size": SIZES, "density": Span(*DENSITY), "map_seed": Span(0, N_SEEDS - 1)},
    )


def lake_map(params: Mapping[str, Any], *, held_out: bool = False) -> list[str]:
    """Return the map of a task as rows of S, F, H and G, made by Gymnasium's own generator.

    The same params give the same map. There is always a way from start to goal. The first map
    from the seed on that lies on the wanted side is taken: 4 tries on average, 4/3 for training.

    Args:
        params: ``size`` (cells a side), ``density`` (share of holes), ``map_seed`` (int >= 0).
        held_out: Which side the map must be of.
    """
    size, density = int(params["size"]), float(params["density"])
    for attempt in count():
        seed = int(params["map_seed"]) + attempt * N_SEEDS
        rows: list[str] = generate_random_map(size=size, p=1.0 - density, seed=seed)
        if is_held_out(rows) == held_out:
            return rows
    raise AssertionError  # count() does not end


def is_held_out(rows: list[str]) -> bool:
    """Return whether this layout is kept out of training."""
    return crc32("".join(rows).encode()) % HELD_OUT_SHARE == 0


def held_out_maps(per_label: int, seed: int) -> dict[str, list[list[str]]]:
    """Return ``per_label`` different held-out maps of each label, densities uniform."""
    rng = np.random.default_rng([seed, 0x4E1D])
    maps: dict[str, list[list[str]]] = {}
    for size, label in zip(SIZES, LABELS, strict=True):
        found: dict[str, list[str]] = {}
        while len(found) < per_label:
            params = {
                "size": size,
                "density": rng.uniform(*DENSITY),
                "map_seed": rng.integers(N_SEEDS),
            }
            rows = lake_map(params, held_out=True)
            found["".join(rows)] = rows
        maps[label] = list(found.values())
    return maps


class Sight:
    """What the agent sees from each cell of one map.

    Static features of a cell, shape (N_SEEN,): holes in the window around it, cells of the
    window outside the map, and five numbers on the way to the goal. ``look`` adds which of the
    four neighbours were visited in this episode, so that the agent need not walk in circles.
    """

    def __init__(self, rows: list[str]) -> None:
        self.size = len(rows)
        holes = np.array([[cell == "H" for cell in row] for row in rows], dtype=np.float32)
        padded = np.pad(holes, RADIUS)
        outside = np.pad(np.zeros_like(holes), RADIUS, constant_values=1.0)
        self.cells = np.empty((self.size**2, N_SEEN), dtype=np.float32)
        for cell in range(self.size**2):
            row, column = divmod(cell, self.size)
            window = np.s_[row : row + WINDOW, column : column + WINDOW]
            self.cells[cell] = np.concatenate(
                [padded[window].ravel(), outside[window].ravel(), self._way(row, column)]
            )

    def _way(self, row: int, column: int) -> Floats:
        down, right = self.size - 1 - row, self.size - 1 - column
        return np.array(
            [
                min(down, RADIUS) / RADIUS,
                min(right, RADIUS) / RADIUS,
                down > 0,
                right > 0,
                (down - right) / max(down + right, 1),
            ],
            dtype=np.float32,
        )

    @cached_property
    def _neighbours(self) -> list[list[int]]:
        """Cell numbers of the four neighbours of each cell; outside the map, the cell itself."""
        last = self.size - 1
        return [
            [
                min(max(row + down, 0), last) * self.size + min(max(column + right, 0), last)
                for down, right in MOVES
            ]
            for row, column in (divmod(cell, self.size) for cell in range(self.size**2))
        ]

    def look(self, cell: int, visited: set[int], into: Floats) -> None:
        """Write the features of ``cell``, shape (N_FEATURES,), into ``into``."""
        into[:N_SEEN] = self.cells[cell]
        into[N_SEEN:] = [neighbour in visited for neighbour in self._neighbours[cell]]


class LakeEnv(gymnasium.Env[Floats, np.intp]):
    """FrozenLake-v1 without slipping on the map of a task, seen through ``Sight``.

    ``set_task`` takes the params. Equal to Gymnasium's own step by step, cut after
    ``STEPS_PER_SIDE`` steps per cell of the map's side; many can share a map's features.
    """

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (N_FEATURES,), np.float32)
    action_space = gymnasium.spaces.Discrete(len(MOVES))

    def __init__(self, rows: tuple[str, ...] = ("SF", "FG")) -> None:
        self._rows = rows

    def set_task(self, params: dict[str, Any]) -> None:
        """Play this map from the next reset on."""
        self._rows = _rows(params["size"], params["density"], params["map_seed"])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Begin an episode at the map's upper left."""
        super().reset(seed=seed, options=options)
        self._sight = _sight(self._rows)
        self.row = self.column = self._steps = 0
        self._visited = {0}
        return self._seen(), {}

    def step(self, action: np.intp) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Move; the reward is 1 at the goal, and holes end the episode."""
        down, right = MOVES[action]
        last = len(self._rows) - 1
        self.row = min(max(self.row + down, 0), last)
        self.column = min(max(self.column + right, 0), last)
        self._steps += 1
        self._visited.add(self.row * (last + 1) + self.column)
        cell = self._rows[self.row][self.column]
        cut = self._steps >= STEPS_PER_SIDE * (last + 1)
        return self._seen(), float(cell == "G"), cell in "GH", cut, {}

    def _seen(self) -> Floats:
        seen = np.empty(N_FEATURES, dtype=np.float32)
        self._sight.look(self.row * len(self._rows) + self.column, self._visited, seen)
        return seen


@lru_cache(maxsize=MAPS_KEPT)
def _rows(size: int, density: float, map_seed: int) -> tuple[str, ...]:
    return tuple(lake_map({"size": size, "density": density, "map_seed": map_seed}))


@lru_cache(maxsize=MAPS_KEPT)
def _sight(rows: tuple[str, ...]) -> Sight:
    return Sight(list(rows))
