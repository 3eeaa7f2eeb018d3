from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redis_curriculum.demo.lakes import (
    DENSITY,
    LABELS,
    N_FEATURES,
    N_SEEDS,
    N_SEEN,
    RADIUS,
    SIZES,
    STEPS_PER_SIDE,
    WINDOW,
    LakeEnv,
    Sight,
    held_out_maps,
    is_held_out,
    lake_map,
    lakes_generator,
)

params = st.fixed_dictionaries(
    {
        "size": st.sampled_from(SIZES),
        "density": st.floats(*DENSITY),
        "map_seed": st.integers(0, N_SEEDS - 1),
    }
)


def shortest_way(rows: list[str]) -> int | None:
    """Breadth first, on purpose another search than the generator's own."""
    reached, seen, steps = {(0, 0)}, {(0, 0)}, 0
    while reached:
        if any(rows[r][c] == "G" for r, c in reached):
            return steps
        nearby = {(r + i, c + j) for r, c in reached for i, j in ((0, 1), (1, 0), (0, -1), (-1, 0))}
        reached = {
            (r, c)
            for r, c in nearby - seen
            if r in range(len(rows)) and c in range(len(rows)) and rows[r][c] != "H"
        }
        seen |= reached
        steps += 1
    return None


@given(params, st.booleans())
@settings(max_examples=60)
def test_every_map_is_a_square_that_can_be_crossed(params: dict[str, Any], held_out: bool) -> None:
    rows = lake_map(params, held_out=held_out)
    assert len(rows) == params["size"]
    assert {len(row) for row in rows} == {params["size"]}
    assert rows[0][0] == "S"
    assert rows[-1][-1] == "G"
    assert shortest_way(rows) is not None
    assert is_held_out(rows) == held_out


@given(params)
@settings(max_examples=30)
def test_a_map_depends_on_its_params_alone(params: dict[str, Any]) -> None:
    assert lake_map(params) == lake_map(dict(reversed(params.items())))


def test_density_is_the_share_of_holes() -> None:
    def holes(density: float) -> float:
        maps = [lake_map({"size": 12, "density": density, "map_seed": s}) for s in range(30)]
        return sum(row.count("H") for rows in maps for row in rows) / (30 * 144)

    assert abs(holes(0.1) - 0.1) < 0.03
    assert 0.2 < holes(0.3) < 0.33  # maps with fewer holes are crossed more often


def test_held_out_maps_are_different_and_never_trained_on() -> None:
    maps = held_out_maps(15, seed=3)
    assert tuple(maps) == LABELS
    for size, rows in zip(SIZES, maps.values(), strict=True):
        assert len({"".join(lake) for lake in rows}) == 15
        assert {len(lake) for lake in rows} == {size}
        assert all(is_held_out(lake) for lake in rows)
    assert maps == held_out_maps(15, seed=3)
    assert maps != held_out_maps(15, seed=4)


@pytest.mark.parametrize("size", [4, 8])
def test_the_environment_is_frozen_lake_on_that_map(size: int) -> None:
    """Step by step against Gymnasium's own."""
    rng = np.random.default_rng(size)
    losses = 0
    for map_seed in range(25):
        params = {"size": size, "density": 0.2, "map_seed": map_seed}
        theirs = gymnasium.make(
            "FrozenLake-v1",
            desc=lake_map(params),
            is_slippery=False,
            max_episode_steps=STEPS_PER_SIDE * size,
        )
        ours = LakeEnv()
        ours.set_task(params)
        cell, _ = theirs.reset()
        ours.reset()
        over = False
        while not over:
            action = np.intp(rng.choice(4, p=(0.1, 0.4, 0.4, 0.1)))
            cell, reward, terminated, truncated, _ = theirs.step(action)
            _, paid, ended, cut, _ = ours.step(action)
            assert (ours.row * size + ours.column, paid) == (cell, reward)
            assert (ended, cut) == (terminated, truncated)
            over = terminated or truncated
            losses += terminated and not reward
    assert losses


def test_the_generator_makes_all_sizes() -> None:
    generator = lakes_generator()
    assert {generator.generate(i).label for i in range(200)} == set(LABELS)


# --- what the agent sees -------------------------------------------------------------------------

MAP = ["SFFFF", "FHFFF", "FFFFF", "FFFHF", "FFFFG"]


def window(
    sight: Sight, cell: int, channel: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    flat = sight.cells[cell, channel * WINDOW**2 : (channel + 1) * WINDOW**2]
    return flat.reshape(WINDOW, WINDOW)


def test_it_sees_the_holes_around_its_cell() -> None:
    sight = Sight(MAP)
    seen = window(sight, 2 * 5 + 2, 0)  # the middle
    assert np.argwhere(seen).tolist() == [[RADIUS - 1, RADIUS - 1], [RADIUS + 1, RADIUS + 1]]


def test_it_sees_where_the_map_ends() -> None:
    outside = window(Sight(MAP), 0, 1)  # the start, at the upper left
    assert outside[:RADIUS].all()
    assert outside[:, :RADIUS].all()
    assert not outside[RADIUS:, RADIUS:].any()


@given(st.integers(5, 9), st.integers(0, 100))
@settings(max_examples=20)
def test_what_it_sees_does_not_depend_on_the_place(size: int, seed: int) -> None:
    """Far from the edges and the goal, the same surroundings look the same on any map."""
    inner = lake_map({"size": size, "density": 0.3, "map_seed": seed})
    inner = [row.replace("S", "F").replace("G", "F") for row in inner]

    def embedded(top: int, total: int) -> Sight:
        rows = [["F"] * total for _ in range(total)]
        for r, row in enumerate(inner):
            rows[top + r][top : top + size] = row
        rows[0][0], rows[-1][-1] = "S", "G"
        return Sight(["".join(row) for row in rows])

    one, other = embedded(4, size + 9), embedded(6, size + 13)
    for r in range(size):
        for c in range(size):
            a = one.cells[(4 + r) * (size + 9) + 4 + c]
            b = other.cells[(6 + r) * (size + 13) + 6 + c]
            assert np.array_equal(a[: 2 * WINDOW**2], b[: 2 * WINDOW**2])


def test_it_sees_which_neighbours_it_has_visited() -> None:
    sight, seen = Sight(MAP), np.empty(N_FEATURES, dtype=np.float32)
    sight.look(6, {1, 5, 6}, seen)  # left of 6 is 5, above it is 1
    assert seen[N_SEEN:].tolist() == [1.0, 0.0, 0.0, 1.0]
    assert np.array_equal(seen[:N_SEEN], sight.cells[6])


def test_features_fit_in_half_precision() -> None:
    cells = Sight(lake_map({"size": 24, "density": 0.3, "map_seed": 1})).cells
    assert np.abs(cells - cells.astype(np.float16)).max() < 1e-3
