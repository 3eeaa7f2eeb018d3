"""Proximal policy optimisation (Schulman et al. 2017) in NumPy, on stretches of many environments.

Two hidden layers of tanh, generalised advantage estimation (Schulman et al. 2016), minibatches,
Adam (Kingma and Ba 2015) on a gradient of bounded length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

HIDDEN: Final = 64
DISCOUNT: Final = 0.99
TRACE: Final = 0.95
"""The lambda of the advantage estimate."""
CLIP: Final = 0.2
ENTROPY_BONUS: Final = 0.01
VALUE_WEIGHT: Final = 0.5
PASSES: Final = 4
MINIBATCH: Final = 256
LONGEST_GRADIENT: Final = 0.5


class Network:
    """Logits of ``n_actions`` actions and a value; all weights are views into one flat vector."""

    def __init__(self, flat: Array, n_features: int, n_actions: int) -> None:
        self.flat = flat
        self.n_features, self.n_actions = n_features, n_actions
        parts, start = [], 0
        for shape in self.shapes(n_features, n_actions):
            stop = start + int(np.prod(shape))
            parts.append(flat[start:stop].reshape(shape))
            start = stop
        self.w1, self.b1, self.w2, self.b2, self.w3, self.b3 = parts

    @staticmethod
    def shapes(n_features: int, n_actions: int) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the weights, in their order in the flat vector."""
        out = n_actions + 1
        return (
            (n_features, HIDDEN),
            (HIDDEN,),
            (HIDDEN, HIDDEN),
            (HIDDEN,),
            (HIDDEN, out),
            (out,),
        )

    @classmethod
    def fresh(
        cls, n_features: int, n_actions: int, active: int, rng: np.random.Generator
    ) -> Network:
        """Return small random weights; ``active`` features are 1 at a time, the rest 0."""
        size = sum(int(np.prod(shape)) for shape in cls.shapes(n_features, n_actions))
        network = cls(np.zeros(size, dtype=np.float32), n_features, n_actions)
        network.w1[:] = rng.normal(0.0, active**-0.5, network.w1.shape)
        network.w2[:] = rng.normal(0.0, HIDDEN**-0.5, network.w2.shape)
        network.w3[:] = rng.normal(0.0, 0.01, network.w3.shape)
        return network

    def like(self) -> Network:
        """Return a network of the same shape with unset weights."""
        return Network(np.empty_like(self.flat), self.n_features, self.n_actions)

    def forward(self, features: Array) -> tuple[Array, Array, Array]:
        """Return both hidden layers and the outputs (logits, then value), a row each."""
        first = np.tanh(features @ self.w1 + self.b1)
        second = np.tanh(first @ self.w2 + self.b2)
        return first, second, second @ self.w3 + self.b3


@dataclass(frozen=True, slots=True)
class Batch:
    """What one gradient step takes; B rows."""

    features: Array
    actions: Array
    log_probs: Array
    """Of the actions, under the policy that played them."""
    advantages: Array
    returns: Array

    @property
    def standardised(self) -> Array:
        """The advantages with mean 0 and deviation 1 within the batch."""
        centred = self.advantages - self.advantages.mean()
        return np.asarray(centred / (self.advantages.std() + 1e-6))


def advantages(rewards: Array, values: Array, over: Array, last: Array) -> Array:
    """Return the generalised advantage estimates, shape (T, N).

    Args:
        rewards: Shape (T, N).
        values: What the network expected before each step, shape (T, N).
        over: Whether the step ended an episode, by a limit too; nothing is expected after it.
        last: What the network expects after the last step, shape (N,).
    """
    found = np.empty_like(values)
    ahead, following = np.zeros_like(last), last
    for t in range(len(rewards) - 1, -1, -1):
        live = 1.0 - over[t]
        surprise = rewards[t] + DISCOUNT * following * live - values[t]
        ahead = surprise + DISCOUNT * TRACE * live * ahead
        found[t], following = ahead, values[t]
    return found


def gradient(network: Network, batch: Batch) -> Array:
    """Return the gradient of the loss over the batch, of the shape of the flat weights.

    The loss is the clipped surrogate, less ENTROPY_BONUS x entropy, plus VALUE_WEIGHT x half the
    squared error of the values; means over the batch.
    """
    first, second, out = network.forward(batch.features)
    n, gained = network.n_actions, batch.standardised
    log_p = out[:, :n] - out[:, :n].max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    rows = np.arange(len(out))
    ratio = np.exp(log_p[rows, batch.actions] - batch.log_probs)
    clipped = np.where(gained > 0, ratio > 1 + CLIP, ratio < 1 - CLIP)
    weight = np.where(clipped, 0.0, ratio * gained)
    entropy = -(p * log_p).sum(axis=1, keepdims=True)
    d_out = np.empty_like(out)
    d_out[:, :n] = p * weight[:, None] + ENTROPY_BONUS * p * (log_p + entropy)
    d_out[rows, batch.actions] -= weight
    d_out[:, n] = VALUE_WEIGHT * (out[:, n] - batch.returns)
    d_out /= len(out)
    d_second = (d_out @ network.w3.T) * (1.0 - second**2)
    d_first = (d_second @ network.w2.T) * (1.0 - first**2)
    found = network.like()
    found.w1[:], found.b1[:] = batch.features.T @ d_first, d_first.sum(axis=0)
    found.w2[:], found.b2[:] = first.T @ d_second, d_second.sum(axis=0)
    found.w3[:], found.b3[:] = second.T @ d_out, d_out.sum(axis=0)
    return found.flat


class Learner:
    """Improves a network's policy from what many environments played."""

    def __init__(self, network: Network, learning_rate: float, rng: np.random.Generator) -> None:
        self.network = network
        self._learning_rate = learning_rate
        self._rng = rng
        self._mean = np.zeros_like(network.flat)
        self._square = np.zeros_like(network.flat)
        self._steps = 0

    def learn(self, batch: Batch) -> None:
        """Make ``PASSES`` passes over the batch in shuffled minibatches."""
        for _ in range(PASSES):
            order = self._rng.permutation(len(batch.actions))
            for start in range(0, len(order), MINIBATCH):
                rows = order[start : start + MINIBATCH]
                part = Batch(
                    batch.features[rows],
                    batch.actions[rows],
                    batch.log_probs[rows],
                    batch.advantages[rows],
                    batch.returns[rows],
                )
                self._step(gradient(self.network, part))

    def _step(self, slope: Array) -> None:
        slope *= min(1.0, LONGEST_GRADIENT / (float(np.linalg.norm(slope)) + 1e-8))
        self._steps += 1
        self._mean += 0.1 * (slope - self._mean)
        self._square += 0.001 * (slope**2 - self._square)
        mean = self._mean / (1 - 0.9**self._steps)
        square = self._square / (1 - 0.999**self._steps)
        self.network.flat -= self._learning_rate * mean / (np.sqrt(square) + 1e-8)
