"""What the demo can be run on: a kind of task, how it is played, how success is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from redis_curriculum.demo import lakes, rooms
from redis_curriculum.demo.agent import N_ACTIONS, Floats, Network, sample, success
from redis_curriculum.tasks import TaskGenerator

Env = gymnasium.Env[Floats, np.intp]


@dataclass(frozen=True, slots=True)
class World:
    """One kind of task with its environment; ``make`` gives one with ``set_task(params)``."""

    name: str
    about: str
    """What the agent learns, for the first line of the demo."""
    labels: tuple[str, ...]
    """All labels, in the order in which they are shown."""
    generator: Callable[[], TaskGenerator]
    make: Callable[[], Any]
    held_out: Callable[[int, int], Mapping[str, Sequence[Env]]]
    """Takes a number of tasks per label and a seed; gives environments that are ready to reset."""
    n_features: int


def _held_out_lakes(per_label: int, seed: int) -> dict[str, list[Env]]:
    return {
        label: [lakes.LakeEnv(tuple(rows)) for rows in maps]
        for label, maps in lakes.held_out_maps(per_label, seed).items()
    }


def _held_out_rooms(per_label: int, seed: int) -> dict[str, list[Env]]:
    del seed  # always the same layouts
    return {
        label: [_room(params) for params in tasks]
        for label, tasks in rooms.held_out_rooms(per_label).items()
    }


def _room(params: dict[str, Any]) -> rooms.RoomsEnv:
    env = rooms.RoomsEnv()
    env.set_task(params)
    return env


WORLDS = {
    world.name: world
    for world in (
        World(
            name="rooms",
            about="fetching keys and opening doors, 1 to 8 rooms in a row; tasks build on each"
            " other, and a quarter of the labels teaches nothing",
            labels=tuple(r.label for r in (*rooms.SOLVABLE, *rooms.IMPOSSIBLE, *rooms.COIN_FLIPS)),
            generator=rooms.rooms_generator,
            make=rooms.RoomsEnv,
            held_out=_held_out_rooms,
            n_features=rooms.N_FEATURES,
        ),
        World(
            name="lakes",
            about="crossing frozen lakes of five sizes; all sizes teach the same, so a curriculum"
            " has nothing to gain",
            labels=lakes.LABELS,
            generator=lakes.lakes_generator,
            make=lakes.LakeEnv,
            held_out=_held_out_lakes,
            n_features=lakes.N_FEATURES,
        ),
    )
}


class HeldOut:
    """Held-out tasks, built once; ``measure`` plays each once with a network's policy."""

    def __init__(self, envs: Mapping[str, Sequence[Env]], seed: int) -> None:
        self._envs = envs
        self._seed = seed

    @classmethod
    def of(cls, world: World, per_label: int, seed: int) -> HeldOut:
        """Build so many tasks of each label."""
        return cls(world.held_out(per_label, seed), seed)

    def first(self, per_label: int) -> HeldOut:
        """Return the first tasks of each label."""
        return HeldOut({label: of[:per_label] for label, of in self._envs.items()}, self._seed)

    def measure(self, network: Network) -> dict[str, float]:
        """Return the success rate by label, in [0, 1]; the same for the same network."""
        rng = np.random.default_rng([self._seed, 0x7E57])

        def act(seen: Floats) -> Any:
            return sample(network.forward(seen)[1][:, :N_ACTIONS], rng)[0]

        return success(self._envs, act)
