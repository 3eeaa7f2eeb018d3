from __future__ import annotations

from collections import Counter, deque
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from redis_curriculum.demo.agent import MOVES
from redis_curriculum.demo.rooms import (
    COIN_FLIPS,
    DOOR,
    GOAL,
    IMPOSSIBLE,
    KEY,
    LAYOUTS,
    N_FEATURES,
    N_SEEN,
    RADIUS,
    SOLVABLE,
    WALL,
    WINDOW,
    Rooms,
    RoomsEnv,
    held_out_rooms,
    rooms_generator,
    rooms_learner,
)

Cell = tuple[int, int]


def env_of(rooms: Rooms, layout: int, seed: int = 0) -> RoomsEnv:
    env = RoomsEnv()
    env.set_task({**rooms.params(), "layout": layout})
    env.reset(seed=seed)
    return env


def way(env: RoomsEnv, targets: set[Cell], shut: frozenset[int]) -> list[int] | None:
    """The shortest way to one of the cells, as actions; never onto cells of these kinds."""
    start = (env.row, env.column)
    before: dict[Cell, tuple[Cell, int] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        cell = waiting.popleft()
        if cell in targets:
            actions = []
            while (step := before[cell]) is not None:
                cell, action = step
                actions.append(action)
            return actions[::-1]
        for action, (down, right) in enumerate(MOVES):
            beside = (cell[0] + down, cell[1] + right)
            is_shut = env.cells[beside] in shut and beside not in targets
            if beside not in before and not is_shut:
                before[beside] = (cell, action)
                waiting.append(beside)
    return None


def cells(env: RoomsEnv, kind: int) -> set[Cell]:
    return {(int(r), int(c)) for r, c in np.argwhere(env.cells == kind)}


def solve(env: RoomsEnv) -> tuple[float, int, bool]:
    """Fetch each key, open each door, go to the goal; return (last reward, steps, truncated)."""
    steps = 0
    while True:
        if env.has_key:
            actions = way(env, cells(env, DOOR), frozenset({WALL}))
        else:
            actions = way(env, cells(env, GOAL), frozenset({WALL, DOOR}))
            if actions is None:
                actions = way(env, cells(env, KEY), frozenset({WALL, DOOR}))
        if actions is None:  # nowhere to go: wait for the end
            actions = [0]
        for action in actions:
            _, reward, terminated, truncated, _ = env.step(np.intp(action))
            steps += 1
            if terminated or truncated:
                return reward, steps, truncated


@pytest.mark.parametrize("rooms", SOLVABLE, ids=lambda r: r.label)
def test_the_solvable_ones_are_solved_within_the_limit(rooms: Rooms) -> None:
    for layout in range(30):
        reward, steps, truncated = solve(env_of(rooms, layout))
        assert (reward, truncated) == (1.0, False)
        assert steps <= rooms.step_limit


@pytest.mark.parametrize("rooms", IMPOSSIBLE, ids=lambda r: r.label)
def test_without_the_first_key_nothing_leads_out_of_the_first_room(rooms: Rooms) -> None:
    for layout in range(30):
        env = env_of(rooms, layout)
        assert len(cells(env, KEY)) == rooms.rooms - 2
        assert way(env, cells(env, KEY), frozenset({WALL, DOOR})) is None
        assert way(env, cells(env, GOAL), frozenset({WALL, DOOR})) is None
        assert solve(env) == (0.0, rooms.step_limit, True)


@pytest.mark.parametrize("solved", [True, False])
@pytest.mark.parametrize("rooms", COIN_FLIPS, ids=lambda r: r.label)
def test_the_coin_flips_pay_half_the_time_whatever_is_done(rooms: Rooms, *, solved: bool) -> None:
    env = env_of(rooms, 7)
    won = 0.0
    for _ in range(400):
        env.reset()
        if solved:
            won += solve(env)[0]
            continue
        over = False
        while not over:
            _, reward, terminated, truncated, _ = env.step(np.intp(0))  # into the wall
            over = terminated or truncated
            won += reward
    assert 150 < won < 250  # five standard deviations


def test_a_locked_door_and_a_wall_stop_and_a_key_opens_one_door_only() -> None:
    env = env_of(Rooms(3, 3), 0)
    [key, *_] = sorted(cells(env, KEY), key=lambda cell: cell[1])
    [door, second] = sorted(cells(env, DOOR), key=lambda cell: cell[1])
    before_door = way(env, {(door[0], door[1] - 1)}, frozenset({WALL, DOOR, KEY}))
    if before_door is None:
        pytest.skip("this layout's key lies before the door")
    for action in before_door:
        env.step(np.intp(action))
    env.step(np.intp(2))
    assert (env.row, env.column) == (door[0], door[1] - 1), "locked"
    for action in way(env, {key}, frozenset({WALL, DOOR})) or ():
        env.step(np.intp(action))
    assert env.has_key
    assert key not in cells(env, KEY)
    for action in way(env, {door}, frozenset({WALL})) or ():
        env.step(np.intp(action))
    assert (env.row, env.column) == door
    assert not env.has_key
    assert cells(env, DOOR) == {second}


def test_it_sees_the_window_its_key_and_where_it_was() -> None:
    env = env_of(Rooms(2, 5), 3)
    rng = np.random.default_rng(0)
    visited = {(env.row, env.column)}
    for _ in range(40):
        had = env.has_key
        seen, _, terminated, truncated, _ = env.step(np.intp(rng.integers(4)))
        if terminated or truncated:
            break
        if env.has_key != had:
            visited = set()
        visited.add((env.row, env.column))
        planes = seen[:N_SEEN].reshape(WINDOW, WINDOW, GOAL)
        for i in range(WINDOW):
            for j in range(WINDOW):
                cell = env.cells[env.row + i - RADIUS, env.column + j - RADIUS]
                assert planes[i, j].tolist() == [float(cell == k) for k in (WALL, DOOR, KEY, GOAL)]
        assert seen[N_SEEN] == env.has_key
        beside = [(env.row + down, env.column + right) in visited for down, right in MOVES]
        assert seen[N_SEEN + 1 :].tolist() == beside


def test_it_is_a_gymnasium_environment() -> None:
    check_env(RoomsEnv(), skip_render_check=True)


def test_the_generator_makes_every_label_alike_with_layouts_of_training() -> None:
    generator = rooms_generator()
    specs = [generator.generate(i) for i in range(8_000)]
    counts = Counter(spec.label for spec in specs)
    assert set(counts) == {r.label for r in (*SOLVABLE, *IMPOSSIBLE, *COIN_FLIPS)}
    assert len(counts) == 16
    assert all(400 < n < 600 for n in counts.values())
    assert all(0 <= spec.params["layout"] < LAYOUTS for spec in specs)
    env = RoomsEnv()
    for spec in specs[:50]:
        env.set_task(spec.params)
        assert env.observation_space.contains(env.reset()[0])


def test_held_out_layouts_are_numbered_beyond_those_of_training() -> None:
    held_out = held_out_rooms(5)
    assert list(held_out) == [rooms.label for rooms in SOLVABLE]
    for tasks in held_out.values():
        assert len({task["layout"] for task in tasks}) == 5
        assert all(task["layout"] >= LAYOUTS for task in tasks)


def test_large_held_out_layouts_are_not_those_of_training() -> None:
    def layout(number: int) -> tuple[Any, ...]:
        env = env_of(Rooms(4, 5), number)
        return (env.row, env.column, env.cells.tobytes())

    assert not {layout(i) for i in range(500)} & {layout(LAYOUTS + i) for i in range(40)}


def test_the_learner_starts_nearly_uniform_on_these_features() -> None:
    learner = rooms_learner(3)
    env = env_of(Rooms(1, 3), 0)
    out = learner.network.forward(env.reset()[0])[1]
    assert learner.network.w1.shape[0] == N_FEATURES
    assert np.abs(out[: len(MOVES)]).max() < 0.3
    assert np.array_equal(learner.network.flat, rooms_learner(3).network.flat)
    assert not np.array_equal(learner.network.flat, rooms_learner(4).network.flat)
