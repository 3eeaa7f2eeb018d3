"""MiniGrid (Chevalier-Boisvert et al. 2023): 20 kinds of task, one task each, fresh layouts.

The layouts are the package's own; its step and its view are those of ``grid``, some 50 times as
fast. Success is 0 or 1 and is the curriculum's score; the learner's reward is MiniGrid's, from 1
for success at once to 0.1 for success at the step limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, Final

import gymnasium
import numpy as np
from numpy.typing import NDArray

from families import grid, ppo
from families.family import COIN_FLIP, IMPOSSIBLE, Family
from families.players import Array, Players
from redis_curriculum import Curriculum, TaskSpec
from redis_curriculum.demo.agent import sample, success
from redis_curriculum.tasks.ids import task_id_at

LAYOUTS: Final = 800
"""Training layouts of each kind."""
HELD_OUT: Final = 40
"""Layouts of each solvable kind, of seeds that are never trained on. Small kinds have so few
layouts that some are met in training all the same."""
HELD_OUT_SEEDS: Final = 1_000_000
ENVIRONMENTS: Final = 32
STRETCH: Final = 64
"""Steps in each environment between two updates."""
LEARNING_RATE: Final = 1e-3
LONG_COIN_STEPS: Final = 100

N_CELLS: Final = grid.VIEW * grid.VIEW
N_FEATURES: Final = N_CELLS * (grid.TYPES + grid.COLOURS) + 4
"""Type and colour of each cell that is seen, and the direction, all one-hot."""


@dataclass(frozen=True)
class Kind:
    """One kind of task, which is one label."""

    name: str
    package_class: str
    arguments: Mapping[str, Any]
    aim: int = grid.REACH
    target: int = 0
    without: int = 0
    """Type of the things that are taken out of each layout."""
    coin_flip: bool = False
    step_limit: int | None = None
    """None: the package's."""

    @property
    def nature(self) -> str | None:
        """COIN_FLIP, IMPOSSIBLE, or None where it can be learned."""
        return COIN_FLIP if self.coin_flip else IMPOSSIBLE if self.without else None


def _rooms(rooms: int, side: int) -> Kind:
    arguments = {"minNumRooms": rooms, "maxNumRooms": rooms, "maxRoomSize": side}
    return Kind(f"MultiRoom-{rooms}", "MultiRoomEnv", arguments)


def _corridor(rows: int) -> Kind:
    arguments = {"room_size": 3, "num_rows": rows}
    name = f"KeyCorridor-S3R{rows}"
    return Kind(name, "KeyCorridorEnv", arguments, aim=grid.FETCH, target=grid.BALL)


def _empty(name: str, size: int, **more: Any) -> Kind:
    return Kind(name, "EmptyEnv", {"size": size, "agent_start_pos": None}, **more)


KINDS: Final = (
    _empty("Empty-5", 5),
    _empty("Empty-8", 8),
    Kind("FourRooms", "FourRoomsEnv", {}),
    Kind("SimpleCrossing-9", "CrossingEnv", {"size": 9, "num_crossings": 1, "obstacle": "Wall"}),
    Kind("LavaCrossing-9", "CrossingEnv", {"size": 9, "num_crossings": 1, "obstacle": "Lava"}),
    _rooms(2, 4),
    _rooms(3, 5),
    _rooms(4, 5),
    _rooms(6, 6),
    Kind("DoorKey-5", "DoorKeyEnv", {"size": 5}),
    Kind("DoorKey-6", "DoorKeyEnv", {"size": 6}),
    Kind("DoorKey-8", "DoorKeyEnv", {"size": 8}),
    Kind("Unlock", "UnlockEnv", {}, aim=grid.UNLOCK),
    Kind("UnlockPickup", "UnlockPickupEnv", {}, aim=grid.FETCH, target=grid.BOX),
    _corridor(1),
    _corridor(2),
    Kind("DoorKey-6-no-key", "DoorKeyEnv", {"size": 6}, without=grid.KEY),
    Kind("Unlock-no-key", "UnlockEnv", {}, aim=grid.UNLOCK, without=grid.KEY),
    _empty("Coin-6", 6, coin_flip=True),
    # No goal, so every episode has its full length, and the coin is tossed at its end.
    _empty("Coin-8-long", 8, without=grid.GOAL, coin_flip=True, step_limit=LONG_COIN_STEPS),
)
BY_NAME: Final = {kind.name: kind for kind in KINDS}
NATURES: Final = {kind.name: kind.nature for kind in KINDS if kind.nature is not None}


@dataclass(frozen=True, slots=True)
class Layout:
    """A grid before the first step."""

    cells: grid.Bytes
    start: grid.State
    step_limit: int
    through: bool
    """Whether the agent sees through walls."""


@lru_cache(maxsize=len(KINDS))
def package_env(name: str) -> Any:
    """Return the package's environment of a kind, as the package makes it."""
    import minigrid.envs
    from minigrid.core.world_object import Lava, Wall

    kind = BY_NAME[name]
    arguments = dict(kind.arguments)
    if "obstacle" in arguments:
        arguments["obstacle_type"] = {"Wall": Wall, "Lava": Lava}[arguments.pop("obstacle")]
    return getattr(minigrid.envs, kind.package_class)(**arguments)


@lru_cache(maxsize=len(KINDS) * (LAYOUTS + HELD_OUT))
def layout(name: str, seed: int) -> Layout:
    """Return what the package's environment of a kind makes of a seed."""
    kind, env = BY_NAME[name], package_env(name).unwrapped
    env.reset(seed=seed)
    cells = grid.cells_of(env.grid.encode())
    if kind.without:
        cells[cells >> 3 == kind.without] = grid.EMPTY * 8
    cells.flags.writeable = False
    return Layout(
        cells=cells,
        start=np.array([*env.agent_pos, env.agent_dir, 0, 0], dtype=np.int64),
        step_limit=kind.step_limit or env.max_steps,
        through=env.see_through_walls,
    )


class GridEnv(gymnasium.Env[NDArray[np.uint8], np.intp]):
    """Plays a kind of task, each episode on a layout of its own.

    Observations have the shape (50,): 49 cells of the view, and the direction. The final info says
    whether the episode was a success.
    """

    observation_space = gymnasium.spaces.Box(0, 255, (N_CELLS + 1,), np.uint8)
    action_space = gymnasium.spaces.Discrete(grid.N_ACTIONS)

    def __init__(self, name: str = KINDS[0].name, layout_seed: int | None = None) -> None:
        self._kind = BY_NAME[name]
        self._layout_seed = layout_seed
        self._view = np.empty((grid.VIEW, grid.VIEW), dtype=np.uint8)
        self._known = np.empty((grid.VIEW, grid.VIEW), dtype=np.bool_)

    def set_task(self, params: dict[str, Any]) -> None:
        """Play tasks of this kind from the next reset on."""
        self._kind = BY_NAME[params["kind"]]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode on a training layout, or on the one this environment was made for."""
        super().reset(seed=seed, options=options)
        number = self._layout_seed
        if number is None:
            number = int(self.np_random.integers(LAYOUTS))
        self._layout = layout(self._kind.name, number)
        self.cells, self.state = self._layout.cells.copy(), self._layout.start.copy()
        return self._seen(), {}

    def step(self, action: np.intp) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Take one step; success pays 1 - 0.9 x its share of the step limit."""
        kind, limit = self._kind, self._layout.step_limit
        result = grid.move(self.cells, self.state, int(action), kind.aim, kind.target)
        steps = int(self.state[4])
        ended, cut = result != grid.GOING, steps >= limit
        won = result == grid.WON
        if kind.coin_flip and (ended or cut):
            won = bool(self.np_random.integers(2)) and (won or kind.step_limit is not None)
        reward = 1 - 0.9 * steps / limit if won else 0.0
        return self._seen(), reward, ended, cut, {"success": float(won)}

    def _seen(self) -> NDArray[np.uint8]:
        grid.look(self.cells, self.state, self._layout.through, self._view, self._known)
        seen = np.empty(N_CELLS + 1, dtype=np.uint8)
        seen[:N_CELLS] = self._view.ravel()
        seen[N_CELLS] = self.state[2]
        return seen


def _one_hot() -> NDArray[np.float32]:
    """A row for each cell: its type, then its colour where it has one."""
    rows = np.zeros((grid.TYPES * 8, grid.TYPES + grid.COLOURS), dtype=np.float32)
    for kind in range(grid.TYPES):
        rows[kind * 8 : kind * 8 + 8, kind] = 1.0
        if grid.DOOR <= kind <= grid.BOX or kind >= grid.OPEN_DOOR:
            for colour in range(grid.COLOURS):
                rows[kind * 8 + colour, grid.TYPES + colour] = 1.0
    return rows


_ONE_HOT: Final = _one_hot()
_DIRECTIONS: Final = np.eye(4, dtype=np.float32)


def features(observations: Array) -> Array:
    """Return what the network takes, shape (n, N_FEATURES), of observations, shape (n, 50)."""
    cells = _ONE_HOT.take(observations[:, :N_CELLS], axis=0).reshape(len(observations), -1)
    return np.concatenate([cells, _DIRECTIONS[observations[:, N_CELLS]]], axis=1)


class GridTrainee:
    """Proximal policy optimisation on 32 environments x 64 steps at a time."""

    def __init__(self, held_out: int, curriculum: Curriculum, seed: int) -> None:
        rng = np.random.default_rng([seed, 0xAC7])
        network = ppo.Network.fresh(N_FEATURES, grid.N_ACTIONS, N_CELLS + 1, rng)
        self._learner = ppo.Learner(network, LEARNING_RATE, rng)
        self._rng = rng
        self._held_out = _held_out(held_out)
        self._players = Players(
            GridEnv, ENVIRONMENTS, curriculum, seed=seed, natures=NATURES, score=_success
        )
        self.tally = self._players.tally
        self.steps = 0

    @property
    def in_flight(self) -> int:
        """Every environment plays one task."""
        return ENVIRONMENTS

    def train(self) -> None:
        """Play one stretch in every environment and learn from it."""
        n, shape = grid.N_ACTIONS, (STRETCH, ENVIRONMENTS)
        seen = np.empty((*shape, N_CELLS + 1), dtype=np.uint8)
        actions = np.empty(shape, dtype=np.intp)
        log_probs, values, rewards, over = (np.empty(shape, dtype=np.float32) for _ in range(4))
        for t in range(STRETCH):
            seen[t] = self._players.observations
            out = self._out(seen[t])
            actions[t], log_probs[t] = sample(out[:, :n], self._rng)
            values[t] = out[:, n]
            rewards[t], over[t] = self._players.step(actions[t])
        self.steps += STRETCH * ENVIRONMENTS
        last = self._out(self._players.observations)[:, n]
        gained = ppo.advantages(rewards, values, over, last)
        batch = ppo.Batch(
            features=features(seen.reshape(-1, N_CELLS + 1)),
            actions=actions.ravel(),
            log_probs=log_probs.ravel(),
            advantages=gained.ravel(),
            returns=(gained + values).ravel(),
        )
        self._learner.learn(batch)

    def _out(self, observations: Array) -> Array:
        return self._learner.network.forward(features(observations))[2]

    def evaluate(self) -> dict[str, float]:
        """Return the success on held-out layouts by kind; the policy draws its actions."""
        n = grid.N_ACTIONS
        return success(self._held_out, lambda seen: sample(self._out(seen)[:, :n], self._rng)[0])


def _success(info: dict[str, Any]) -> float:
    return float(info["success"])


@lru_cache(maxsize=2)
def _held_out(each: int) -> dict[str, list[GridEnv]]:
    return {
        kind.name: [GridEnv(kind.name, HELD_OUT_SEEDS + i) for i in range(each)]
        for kind in KINDS
        if kind.nature is None
    }


@dataclass(frozen=True)
class EachKindOnce:
    """Makes the i-th task of a curriculum's pool one of the i-th kind."""

    seed: int
    """The curriculum's."""

    @cached_property
    def _kinds(self) -> dict[int, str]:
        """The ids that the curriculum gives its first tasks."""
        return {task_id_at(self.seed, i): kind.name for i, kind in enumerate(KINDS)}

    def generate(self, task_id: int) -> TaskSpec:
        """Return the task of that id; ids that are not among the first ones repeat the kinds."""
        name = self._kinds.get(task_id, KINDS[task_id % len(KINDS)].name)
        return TaskSpec(name, {"kind": name})


MINIGRID = Family(
    name="minigrid",
    about="16 kinds of MiniGrid task, 2 impossible ones, a short and a long coin flip; one task"
    " each, fresh layouts; proximal policy optimisation",
    tasks=len(KINDS),
    generator=EachKindOnce,
    trainee=partial(GridTrainee, HELD_OUT),
    budget=1_000_000,
    every=50_000,
    thresholds=(0.7, 0.8),
    seeds=12,
    replaces=False,
)
