"""The demo's frozen lakes: all sizes teach the same skill, so no order of them is much better."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, Final

import gymnasium
import numpy as np

from families.episodes import EpisodeTrainee
from families.family import Family
from redis_curriculum import Curriculum
from redis_curriculum.demo.agent import MOVES, N_FEATURES, Floats, Learner, Network, Sight
from redis_curriculum.demo.maps import (
    DENSITY,
    LABEL_TEMPLATE,
    N_SEEDS,
    SIZES,
    STEPS_PER_SIDE,
    held_out_maps,
    lake_map,
)
from redis_curriculum.tasks import Buckets, Span

HELD_OUT: Final = 60
"""Maps of each label, the same for all seeds."""
LEARNING_RATE: Final = 2e-3


class LakeEnv(gymnasium.Env[Floats, np.intp]):
    """FrozenLake without slipping on the map of a task, seen through the demo's ``Sight``.

    Equal to the demo's ``make_env`` step by step, but many can share a map's features, which take
    far longer to build than an episode to play.
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


@lru_cache(maxsize=4096)
def _rows(size: int, density: float, map_seed: int) -> tuple[str, ...]:
    return tuple(lake_map({"size": size, "density": density, "map_seed": map_seed}))


@lru_cache(maxsize=4096)
def _sight(rows: tuple[str, ...]) -> Sight:
    return Sight(list(rows))


@lru_cache(maxsize=1)
def _held_out(each: int) -> dict[str, list[LakeEnv]]:
    return {
        label: [LakeEnv(tuple(rows)) for rows in maps]
        for label, maps in held_out_maps(each, seed=0).items()
    }


def trainee(held_out: int, curriculum: Curriculum, seed: int) -> EpisodeTrainee:
    """Return the demo's learner on these lakes, measured on so many maps of each label."""
    learner, measured_on = Learner(Network.fresh(seed), LEARNING_RATE), _held_out(held_out)
    return EpisodeTrainee(learner, LakeEnv, curriculum, seed, held_out=measured_on, natures={})


LAKES = Family(
    name="lakes",
    about="the demo's frozen lakes under five labels, by size; proximal policy optimisation on"
    " whole episodes",
    tasks=256,
    generator=lambda _: Buckets(
        label=LABEL_TEMPLATE,
        buckets={"size": SIZES, "density": Span(*DENSITY), "map_seed": Span(0, N_SEEDS - 1)},
    ),
    trainee=partial(trainee, HELD_OUT),
    budget=300_000,
    every=10_000,
    thresholds=(0.55,),
)
