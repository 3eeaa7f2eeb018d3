from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from redis_curriculum.demo import lakes
from redis_curriculum.demo.agent import (
    N_ACTIONS,
    Episode,
    Learner,
    Network,
    n_weights,
    play,
    sample,
)
from redis_curriculum.demo.lakes import LakeEnv, held_out_maps, lake_map

N_FEATURES = 23


def test_the_network_is_a_view_of_one_vector() -> None:
    network = Network.fresh(0, N_FEATURES)
    assert network.flat.size == n_weights(N_FEATURES)
    network.flat[:] = 1.0
    for part in (network.w1, network.b1, network.w2, network.b2):
        assert (part == 1.0).all()


def test_actions_follow_the_softmax_of_the_logits() -> None:
    network = Network.fresh(0, N_FEATURES)
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
    network = Network.fresh(5, N_FEATURES)
    network.w2[:] = np.random.default_rng(0).normal(0, 0.3, network.w2.shape)
    learner = Learner(network)
    batch = learner.batch(episodes)

    def loss(flat: Any) -> float:
        precise: Any = batch.features.astype(np.float64)
        out = Network(flat, N_FEATURES).forward(precise)[1]
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
    for index in np.random.default_rng(3).choice(n_weights(N_FEATURES), 60, replace=False):
        step = np.zeros_like(flat)
        step[index] = 1e-5
        slope = (loss(flat + step) - loss(flat - step)) / 2e-5
        assert abs(gradient[index] - slope) < 1e-4 + 1e-3 * abs(slope)


def test_returns_are_the_discounted_success() -> None:
    learner = Learner(Network.fresh(0, N_FEATURES))
    won, lost = episode(1, success=True), episode(2, success=False)
    returns = learner.batch([won, lost]).returns
    steps_left = np.arange(len(won) - 1, -1, -1)
    assert np.allclose(returns[: len(won)], learner.discount**steps_left)
    assert (returns[len(won) :] == 0.0).all()


def test_it_learns_and_generalises() -> None:
    """From a few small maps to others it never saw: chance solves some 3 % of them."""
    rng = np.random.default_rng(7)
    maps = [lake_map({"size": 4, "density": 0.2, "map_seed": seed}) for seed in range(30)]
    trained_on = [LakeEnv(tuple(rows)) for rows in maps]
    unseen = [LakeEnv(tuple(rows)) for rows in held_out_maps(60, seed=0)["lake-4x4"]]
    network = Network.fresh(0, lakes.N_FEATURES)

    def solved() -> float:
        return float(np.mean([play(env, network, rng, "a").success for env in unseen * 3]))

    before = solved()
    learner = Learner(network, 5e-4)
    for _ in range(70):
        learner.update([play(trained_on[rng.integers(30)], network, rng, "a") for _ in range(60)])
    assert before < 0.08
    assert solved() > 0.2


def test_actions_of_many_rows_are_drawn_by_the_softmax_of_their_logits() -> None:
    logits = np.tile(np.array([0.0, 1.0, -2.0], dtype=np.float32), (60_000, 1))
    actions, log_probs = sample(logits, np.random.default_rng(1))
    expected = np.exp(logits[0]) / np.exp(logits[0]).sum()
    assert np.bincount(actions) / len(actions) == pytest.approx(expected, abs=0.01)
    assert log_probs == pytest.approx(np.log(expected)[actions], rel=1e-5)
