"""Frozen lakes made from task params: what the demo's workers play and what it is measured on.

Every layout belongs to one of two sides, by its checksum: a training task never yields a held-out
map, whatever its seed, though small maps repeat often.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any
from zlib import crc32

import gymnasium
import numpy as np
from gymnasium.envs.toy_text.frozen_lake import generate_random_map

SIZES = (4, 8, 12, 16, 24)
DENSITY = (0.1, 0.4)
"""Smallest and largest share of holes. Much above 0.4 a way through a large map is rare."""

N_SEEDS = 2**31
STEPS_PER_SIDE = 4
"""An episode is cut after this many steps per cell of the map's side (a way takes 2 and more)."""

HELD_OUT_SHARE = 4
"""One layout in so many is held out."""


LABEL_TEMPLATE = "lake-{size}x{size}"
LABELS = tuple(LABEL_TEMPLATE.format(size=size) for size in SIZES)


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


def make_env(rows: list[str]) -> gymnasium.Env[Any, Any]:
    """Return a FrozenLake-v1 on that map: not slippery, reward 1 at the goal and 0 elsewhere."""
    return gymnasium.make(
        "FrozenLake-v1",
        desc=rows,
        is_slippery=False,
        max_episode_steps=STEPS_PER_SIDE * len(rows),
        disable_env_checker=True,
    )
