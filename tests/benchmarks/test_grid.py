"""The MiniGrid family against the package itself: layouts, steps, views, rewards, ends."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from families import grid, minigrid
from families.family import COIN_FLIP, IMPOSSIBLE
from gymnasium.utils.env_checker import check_env

pytest.importorskip("minigrid")

KINDS = pytest.mark.parametrize("kind", minigrid.KINDS, ids=lambda kind: kind.name)
LIKELY = (0.15, 0.15, 0.4, 0.12, 0.03, 0.15)
"""Chances of the actions in a random walk: mostly forward."""


def package_env(kind: minigrid.Kind, seed: int) -> tuple[Any, dict[str, Any]]:
    """The package's environment with the same layout; changed in the same way by its own means."""
    env = minigrid.package_env.__wrapped__(kind.name).unwrapped
    observation, _ = env.reset(seed=seed)
    for i, thing in enumerate(env.grid.grid):
        if thing is not None and kind.without == minigrid_type(thing):
            env.grid.grid[i] = None
    env.max_steps = kind.step_limit or env.max_steps
    return env, env.gen_obs() if kind.without else observation


def minigrid_type(thing: Any) -> int:
    return int(thing.encode()[0])


def assert_same_view(seen: Any, observation: dict[str, Any]) -> None:
    expected = grid.cells_of(observation["image"])
    assert np.array_equal(seen[: minigrid.N_CELLS].reshape(7, 7), expected)
    assert seen[minigrid.N_CELLS] == observation["direction"]


@KINDS
def test_random_walks_are_the_packages(kind: minigrid.Kind) -> None:
    rng = np.random.default_rng(list(kind.name.encode()))
    steps = 0
    for seed in range(100):
        theirs, observation = package_env(kind, seed)
        ours = minigrid.GridEnv(kind.name, seed)
        seen, _ = ours.reset(seed=0)
        assert_same_view(seen, observation)
        over = False
        while not over:
            action = np.intp(rng.choice(grid.N_ACTIONS, p=np.array(LIKELY)))
            seen, reward, ended, cut, info = ours.step(action)
            observation, expected, terminated, truncated, _ = theirs.step(action)
            assert_same_view(seen, observation)
            assert (ended, cut) == (terminated, truncated)
            assert info["success"] == (reward > 0)
            if kind.nature != COIN_FLIP:
                assert reward == pytest.approx(expected, abs=1e-12)
            over = ended or cut
            steps += 1
        if steps > 400:
            return


def put(env: Any, ours: minigrid.GridEnv, carried: Any, beside: tuple[int, int]) -> None:
    """Let both agents stand beside a place, in a doorway if need be, and look at it."""
    for direction, (dx, dy) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):
        x, y = beside[0] - dx, beside[1] - dy
        inside = 0 <= x < env.width and 0 <= y < env.height
        if inside and (env.grid.get(x, y) is None or env.grid.get(x, y).type == "door"):
            env.agent_pos, env.agent_dir, env.carrying = np.array((x, y)), direction, carried
            cell = 0 if carried is None else int(grid.cells_of(np.array(carried.encode())))
            ours.state[:4] = x, y, direction, cell
            return
    raise AssertionError("no free cell")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "kind", [k for k in minigrid.KINDS if k.aim == grid.FETCH], ids=lambda kind: kind.name
)
def test_picking_up_the_target_is_success_as_in_the_package(kind: minigrid.Kind, seed: int) -> None:
    theirs, _ = package_env(kind, seed)
    ours = minigrid.GridEnv(kind.name, seed)
    ours.reset(seed=0)
    put(theirs, ours, None, theirs.obj.cur_pos)
    _, reward, ended, cut, info = ours.step(np.intp(grid.PICK_UP))
    assert (reward, ended, cut) == theirs.step(grid.PICK_UP)[1:4]
    assert (ended, info["success"]) == (True, 1.0)


@pytest.mark.parametrize("carries", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_opening_the_locked_door_takes_the_key(seed: int, *, carries: bool) -> None:
    kind = minigrid.BY_NAME["Unlock"]
    theirs, _ = package_env(kind, seed)
    ours = minigrid.GridEnv(kind.name, seed)
    ours.reset(seed=0)
    key = next(t for t in theirs.grid.grid if t is not None and minigrid_type(t) == grid.KEY)
    put(theirs, ours, key if carries else None, theirs.door.cur_pos)
    seen, reward, ended, cut, info = ours.step(np.intp(grid.TOGGLE))
    observation, expected, terminated, truncated, _ = theirs.step(grid.TOGGLE)
    assert_same_view(seen, observation)
    assert (reward, ended, cut) == (expected, terminated, truncated)
    assert (ended, info["success"]) == (carries, float(carries))


@pytest.mark.parametrize(
    "kind", [k for k in minigrid.KINDS if k.without], ids=lambda kind: kind.name
)
def test_what_is_taken_out_of_a_layout_is_gone(kind: minigrid.Kind) -> None:
    for seed in range(20):
        cells = minigrid.layout(kind.name, seed).cells
        assert not (cells >> 3 == kind.without).any()


def test_the_long_coin_flip_takes_its_100_steps_and_pays_half_the_time() -> None:
    env = minigrid.GridEnv("Coin-8-long")
    rng = np.random.default_rng(5)
    env.reset(seed=1)
    won = 0.0
    for _ in range(150):
        env.reset()
        for step in range(1, minigrid.LONG_COIN_STEPS + 1):
            _, _, ended, cut, info = env.step(np.intp(rng.integers(grid.N_ACTIONS)))
            assert (ended, cut) == (False, step == minigrid.LONG_COIN_STEPS)
            won += info["success"]
    assert 45 < won < 105  # five standard deviations


def test_the_short_coin_flip_pays_at_the_goal_only_and_half_the_time() -> None:
    env = minigrid.GridEnv("Coin-6")
    rng = np.random.default_rng(5)
    env.reset(seed=1)
    at_goal, won = 0, 0.0
    for _ in range(300):
        env.reset()
        over = False
        while not over:
            action = rng.choice(3, p=(0.2, 0.2, 0.6))
            _, _, ended, cut, info = env.step(np.intp(action))
            over = ended or cut
            at_goal += ended
            won += info["success"]
            assert ended or not info["success"]
    assert abs(won - at_goal / 2) < 5 * np.sqrt(at_goal) / 2


def test_held_out_layouts_of_large_kinds_are_not_those_of_training() -> None:
    def layouts(name: str, seeds: range) -> set[tuple[bytes, bytes]]:
        every = [minigrid.layout(name, seed) for seed in seeds]
        return {(found.cells.tobytes(), found.start.tobytes()) for found in every}

    first = minigrid.HELD_OUT_SEEDS
    assert first > minigrid.LAYOUTS
    for name in ("MultiRoom-4", "KeyCorridor-S3R2"):
        held_out = layouts(name, range(first, first + minigrid.HELD_OUT))
        assert not layouts(name, range(200)) & held_out


def test_an_episode_begins_on_a_layout_of_training() -> None:
    env = minigrid.GridEnv()
    env.set_task({"kind": "DoorKey-5"})
    begun = {env.reset(seed=i)[0].tobytes() for i in range(40)}
    assert len(begun) > 10


@pytest.mark.parametrize("name", ["DoorKey-5", "Coin-8-long", "KeyCorridor-S3R1"])
def test_it_is_a_gymnasium_environment(name: str) -> None:
    check_env(minigrid.GridEnv(name), skip_render_check=True)


def test_the_pool_holds_each_kind_once() -> None:
    from redis_curriculum.tasks.ids import task_id_at

    generator = minigrid.EachKindOnce(seed=11)
    first = [generator.generate(task_id_at(11, i)).label for i in range(len(minigrid.KINDS))]
    assert first == [kind.name for kind in minigrid.KINDS]
    natures = Counter(minigrid.NATURES.values())
    assert natures == {IMPOSSIBLE: 2, COIN_FLIP: 2}
    assert len(minigrid.KINDS) == 20


@pytest.mark.parametrize("function", [grid.look, grid.move, grid.toggle, grid.spread])
def test_compiled_or_not_gives_the_same(function: Any) -> None:
    """What numba makes of the functions against the functions as they are written."""
    if not hasattr(function, "py_func"):
        pytest.skip("numba is not installed")
    rng = np.random.default_rng(3)
    view, known = np.zeros((7, 7), np.uint8), np.zeros((7, 7), np.bool_)
    for _ in range(200):
        cells = rng.choice(np.array([8, 16, 24, 32, 41, 48, 57, 64, 72, 81, 88], np.uint8), (9, 9))
        x, y = rng.integers(1, 8, 2)
        state = np.array([x, y, rng.integers(4), rng.choice([0, 40, 41]), 5], dtype=np.int64)
        aim, target, action = rng.integers(3), rng.integers(5, 8), rng.integers(6)
        every: dict[Any, tuple[Any, ...]] = {
            grid.look: (cells, state, bool(rng.integers(2)), view, known),
            grid.move: (cells, state, int(action), int(aim), int(target)),
            grid.toggle: (cells, int(x), int(y), int(state[3]), int(aim)),
            grid.spread: (cells[:7, :7].copy(), known * False),
        }
        arguments = every[function]
        other = tuple(a.copy() if isinstance(a, np.ndarray) else a for a in arguments)
        assert function(*arguments) == function.py_func(*other)
        for one, two in zip(arguments, other, strict=True):
            assert np.array_equal(one, two)


def test_features_are_one_hot_by_cell_and_direction() -> None:
    env = minigrid.GridEnv("DoorKey-5", 3)
    seen, _ = env.reset(seed=0)
    [row] = minigrid.features(seen[None])
    assert row.shape == (minigrid.N_FEATURES,)
    cells = row[:-4].reshape(minigrid.N_CELLS, -1)
    for cell, features in zip(seen[: minigrid.N_CELLS], cells, strict=True):
        kind, colour = cell >> 3, cell & 7
        assert np.flatnonzero(features[: grid.TYPES]).tolist() == [kind]
        coloured = kind in (4, 5, 6, 7, 10, 11)
        assert np.flatnonzero(features[grid.TYPES :]).tolist() == ([colour] if coloured else [])
    assert np.flatnonzero(row[-4:]).tolist() == [seen[-1]]
