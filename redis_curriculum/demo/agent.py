"""The agent: a small network, and proximal policy optimisation in NumPy.

It serves any world with these four moves whose observations are the network's features and whose
only reward comes with an episode's last step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MOVES = ((0, -1), (1, 0), (0, 1), (-1, 0))
"""Row and column steps of FrozenLake's actions 0 to 3: left, down, right, up."""

N_ACTIONS = len(MOVES)
N_HIDDEN = 64


def n_weights(n_features: int) -> int:
    """Return the length of the flat vector of a network that takes ``n_features`` inputs."""
    return sum(int(np.prod(shape)) for shape in _shapes(n_features))


def _shapes(n_features: int) -> tuple[tuple[int, ...], ...]:
    return (n_features, N_HIDDEN), (N_HIDDEN,), (N_HIDDEN, N_ACTIONS + 1), (N_ACTIONS + 1,)


class Network:
    """One hidden layer of tanh; four action logits and a value. Views into one flat vector."""

    def __init__(self, flat: Floats, n_features: int) -> None:
        self.flat = flat
        self.n_features = n_features
        parts, start = [], 0
        for shape in _shapes(n_features):
            stop = start + int(np.prod(shape))
            parts.append(flat[start:stop].reshape(shape))
            start = stop
        self.w1, self.b1, self.w2, self.b2 = parts

    @classmethod
    def fresh(cls, seed: int, n_features: int) -> Network:
        """Return a network with small random weights: nearly a uniformly random policy."""
        network = cls(np.zeros(n_weights(n_features), dtype=np.float32), n_features)
        rng = np.random.default_rng([seed, 0xA6E7])
        network.w1[:] = rng.normal(0.0, n_features**-0.5, network.w1.shape)
        network.w2[:] = rng.normal(0.0, 0.01, network.w2.shape)
        return network

    def forward(self, features: Floats) -> tuple[Floats, Floats]:
        """Return hidden activations and outputs (logits, then value) for one or many rows."""
        hidden = np.tanh(features @ self.w1 + self.b1)
        return hidden, hidden @ self.w2 + self.b2

    def act(self, features: Floats, uniform: float) -> tuple[int, float]:
        """Return an action drawn with one uniform number, and its log probability."""
        logits = self.forward(features)[1][:N_ACTIONS]
        weights = np.exp(logits - logits.max())
        cumulated = np.cumsum(weights)
        total = float(cumulated[-1])
        action = min(int(np.searchsorted(cumulated, uniform * total)), N_ACTIONS - 1)
        return action, float(np.log(weights[action] / total))


@dataclass(frozen=True, slots=True)
class Episode:
    """One finished episode of T steps, as a worker sends it to the learner."""

    label: str
    success: bool
    features: NDArray[np.float16]
    """Shape (T, n_features)."""
    actions: NDArray[np.int8]
    log_probs: Floats

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.actions)


def play(env: Any, network: Network, rng: np.random.Generator, label: str) -> Episode:
    """Play one episode of the environment's task; its observations are the network's features."""
    seen, _ = env.reset()
    features, actions, log_probs = [], [], []
    done, reward = False, 0.0
    while not done:
        action, log_prob = network.act(seen, rng.random())
        features.append(seen)
        actions.append(action)
        log_probs.append(log_prob)
        seen, reward, terminated, truncated, _ = env.step(action)
        done = terminated or truncated
    return Episode(
        label=label,
        success=float(reward) > 0.0,
        features=np.asarray(features, dtype=np.float16),
        actions=np.asarray(actions, dtype=np.int8),
        log_probs=np.asarray(log_probs, dtype=np.float32),
    )


def sample(
    logits: Floats, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.floating[Any]]]:
    """Draw an action for each row by its logits; return the actions and their log probabilities."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    below = np.cumsum(np.exp(log_p), axis=1) < rng.random((len(logits), 1))
    actions = np.minimum(below.sum(axis=1), logits.shape[1] - 1)
    return actions, log_p[np.arange(len(actions)), actions]


def success(
    envs: Mapping[str, Sequence[Any]], policy: Callable[[Any], NDArray[Any]]
) -> dict[str, float]:
    """Play one episode in each environment, all in step; return the share that was won, by label.

    Args:
        envs: Environments by label, each with its task.
        policy: Gives an action for each row of observations.
    """
    every = [env for of in envs.values() for env in of]
    won = np.zeros(len(every), dtype=np.bool_)
    playing = np.arange(len(every))
    seen = np.array([env.reset()[0] for env in every])
    while len(playing):
        going = []
        for row, (i, action) in enumerate(zip(playing, policy(seen), strict=True)):
            seen[row], reward, terminated, truncated, _ = every[i].step(action)
            won[i] |= float(reward) > 0
            if not (terminated or truncated):
                going.append(row)
        playing, seen = playing[going], seen[going]
    ends = np.cumsum([len(of) for of in envs.values()])
    parts = np.split(won, ends[:-1])
    return {label: float(part.mean()) for label, part in zip(envs, parts, strict=True)}


@dataclass(frozen=True, slots=True)
class Batch:
    """All steps of some episodes, as one gradient step takes them; T steps in all."""

    features: Floats
    """Shape (T, n_features)."""
    actions: NDArray[np.intp]
    log_probs: Floats
    """Of the actions, under the policy that played them."""
    returns: Floats
    advantages: Floats
    """Returns above what the network expected, standardised."""


class Learner:
    """Proximal policy optimisation (Schulman et al. 2017) on whole episodes, with Adam."""

    discount = 0.97
    clip = 0.2
    passes = 3
    entropy_bonus = 0.01
    value_weight = 0.5

    def __init__(self, network: Network, learning_rate: float = 2e-3) -> None:
        self.network = network
        self.learning_rate = learning_rate
        self.updates = 0
        self._mean = np.zeros_like(network.flat)
        self._square = np.zeros_like(network.flat)
        self._steps = 0

    def update(self, episodes: list[Episode]) -> None:
        """Take ``passes`` gradient steps on all steps of the episodes together."""
        batch = self.batch(episodes)
        for _ in range(self.passes):
            self._step(self.gradient(batch))
        self.updates += 1

    def batch(self, episodes: list[Episode]) -> Batch:
        """Join episodes; the advantages are those against the network as it is now."""
        features = np.concatenate([e.features for e in episodes]).astype(np.float32)
        returns = np.concatenate([self._returns(e) for e in episodes])
        advantages = returns - self.network.forward(features)[1][:, N_ACTIONS]
        return Batch(
            features=features,
            actions=np.concatenate([e.actions for e in episodes]).astype(np.intp),
            log_probs=np.concatenate([e.log_probs for e in episodes]),
            returns=returns,
            advantages=(advantages - advantages.mean()) / (advantages.std() + 1e-6),
        )

    def _returns(self, episode: Episode) -> Floats:
        """The only reward comes with the last step: the rest is discounting."""
        steps_left = np.arange(len(episode) - 1, -1, -1, dtype=np.float32)
        return (episode.success * self.discount**steps_left).astype(np.float32)

    def gradient(self, batch: Batch) -> Floats:
        """Return the gradient of the loss over the batch, of the shape of the flat weights."""
        features, actions, advantages = batch.features, batch.actions, batch.advantages
        hidden, out = self.network.forward(features)
        logits, values = out[:, :N_ACTIONS], out[:, N_ACTIONS]
        log_p = logits - logits.max(axis=1, keepdims=True)
        log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
        p = np.exp(log_p)
        rows = np.arange(len(actions))
        ratio = np.exp(log_p[rows, actions] - batch.log_probs)
        clipped = np.where(advantages > 0, ratio > 1 + self.clip, ratio < 1 - self.clip)
        weight = np.where(clipped, 0.0, ratio * advantages)
        d_out = np.empty_like(out)
        d_out[:, :N_ACTIONS] = p * weight[:, None]
        d_out[rows, actions] -= weight
        entropy = -(p * log_p).sum(axis=1, keepdims=True)
        d_out[:, :N_ACTIONS] += self.entropy_bonus * p * (log_p + entropy)
        d_out[:, N_ACTIONS] = self.value_weight * (values - batch.returns)
        d_out /= len(actions)
        gradient = Network(np.empty_like(self.network.flat), self.network.n_features)
        d_hidden = (d_out @ self.network.w2.T) * (1.0 - hidden**2)
        gradient.w1[:], gradient.b1[:] = features.T @ d_hidden, d_hidden.sum(axis=0)
        gradient.w2[:], gradient.b2[:] = hidden.T @ d_out, d_out.sum(axis=0)
        return gradient.flat

    def _step(self, gradient: Floats) -> None:
        """One step of Adam (Kingma and Ba 2015) with its default decay rates."""
        self._steps += 1
        self._mean += 0.1 * (gradient - self._mean)
        self._square += 0.001 * (gradient**2 - self._square)
        mean = self._mean / (1 - 0.9**self._steps)
        square = self._square / (1 - 0.999**self._steps)
        self.network.flat -= self.learning_rate * mean / (np.sqrt(square) + 1e-8)
