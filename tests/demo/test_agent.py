from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from redis_curriculum.demo.agent import (
    N_ACTIONS,
    N_FEATURES,
    N_SEEN,
    N_WEIGHTS,
    RADIUS,
    WINDOW,
    Episode,
    Learner,
    Network,
    Sight,
    play,
)
from redis_curriculum.demo.maps import held_out_maps, lake_map, make_env

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


def test_the_network_is_a_view_of_one_vector() -> None:
    network = Network.fresh(0)
    assert network.flat.size == N_WEIGHTS
    network.flat[:] = 1.0
    for part in (network.w1, network.b1, network.w2, network.b2):
        assert (part == 1.0).all()


def test_actions_follow_the_softmax_of_the_logits() -> None:
    network = Network.fresh(0)
    network.b2[:N_ACTIONS] = [0.0, 1.0, -1.0, 0.5]
    features = np.zeros(N_FEATURES, dtype=np.float32)
    expected = np.exp([0.0, 1.0, -1.0, 0.5])
    expected /= expected.sum()
    grid = (np.arange(10_000) + 0.5) / 10_000
    drawn = [network.act(features, u) for u in grid]
    shares = np.bincount([action for action, _ in drawn], minlength=N_ACTIONS) / len(grid)
    assert np.abs(shares - expected).max() < 2e-4
    for action, log_prob in drawn[::500]:
        assert abs(log_prob - np.log(expected[action])) < 1e-5


def episode(seed: int, success: bool) -> Episode:
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(3, 9))
    return Episode(
        label="a",
        success=success,
        features=rng.random((steps, N_FEATURES)).astype(np.float16),
        actions=rng.integers(0, N_ACTIONS, steps).astype(np.int8),
        log_probs=np.log(rng.uniform(0.1, 0.5, steps)).astype(np.float32),
    )


def test_the_gradient_is_that_of_the_loss() -> None:
    """Against central differences of the loss, written out here in double precision."""
    episodes = [episode(1, success=True), episode(2, success=False)]
    network = Network.fresh(5)
    network.w2[:] = np.random.default_rng(0).normal(0, 0.3, network.w2.shape)
    learner = Learner(network)
    batch = learner.batch(episodes)

    def loss(flat: Any) -> float:
        precise: Any = batch.features.astype(np.float64)
        out = Network(flat).forward(precise)[1]
        logits = out[:, :N_ACTIONS]
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        rows = np.arange(len(batch.actions))
        ratio = np.exp(log_p[rows, batch.actions] - batch.log_probs)
        clipped = np.clip(ratio, 1 - learner.clip, 1 + learner.clip)
        gain = np.minimum(ratio * batch.advantages, clipped * batch.advantages)
        entropy = -(np.exp(log_p) * log_p).sum(axis=1)
        errors = (out[:, N_ACTIONS] - batch.returns) ** 2 / 2
        terms = -gain - learner.entropy_bonus * entropy + learner.value_weight * errors
        return float(terms.mean())

    gradient = learner.gradient(batch)
    flat = network.flat.astype(np.float64)
    for index in np.random.default_rng(3).choice(N_WEIGHTS, 60, replace=False):
        step = np.zeros_like(flat)
        step[index] = 1e-5
        slope = (loss(flat + step) - loss(flat - step)) / 2e-5
        assert abs(gradient[index] - slope) < 1e-4 + 1e-3 * abs(slope)


def test_returns_are_the_discounted_success() -> None:
    learner = Learner(Network.fresh(0))
    won, lost = episode(1, success=True), episode(2, success=False)
    returns = learner.batch([won, lost]).returns
    steps_left = np.arange(len(won) - 1, -1, -1)
    assert np.allclose(returns[: len(won)], learner.discount**steps_left)
    assert (returns[len(won) :] == 0.0).all()


def test_it_learns_and_generalises() -> None:
    """From a few small maps to others it never saw: chance solves some 3 % of them."""
    rng = np.random.default_rng(7)
    lakes = [
        (make_env(rows), Sight(rows))
        for rows in (lake_map({"size": 4, "density": 0.2, "map_seed": seed}) for seed in range(30))
    ]
    unseen = [(make_env(rows), Sight(rows)) for rows in held_out_maps(60, seed=0)["lake-4x4"]]
    network = Network.fresh(0)

    def success() -> float:
        return float(np.mean([play(*lake, network, rng, "a").success for lake in unseen * 3]))

    before = success()
    learner = Learner(network)
    for _ in range(70):
        learner.update([play(*lakes[rng.integers(30)], network, rng, "a") for _ in range(60)])
    after = success()
    assert before < 0.08
    assert after > 0.2
