from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from redis_curriculum.demo.maps import (
    DENSITY,
    LABELS,
    N_SEEDS,
    SIZES,
    STEPS_PER_SIDE,
    held_out_maps,
    is_held_out,
    lake_map,
    make_env,
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


def test_the_environment_is_frozen_lake_on_that_map() -> None:
    rows = ["SFF", "FHF", "FFG"]
    env = make_env(rows)
    assert env.spec is not None
    assert env.spec.id == "FrozenLake-v1"
    assert env.spec.max_episode_steps == STEPS_PER_SIDE * 3
    assert env.reset(seed=0)[0] == 0
    steps = [env.step(action) for action in (2, 2, 1, 1)]
    assert [int(step[0]) for step in steps] == [1, 2, 5, 8]
    assert [float(step[1]) for step in steps] == [0.0, 0.0, 0.0, 1.0]
    assert [bool(step[2]) for step in steps] == [False, False, False, True]
