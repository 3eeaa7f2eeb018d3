"""The benchmark's worlds and learners: each gradient against finite differences of its loss."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from families import players, ppo, prompts
from families.family import COIN_FLIP, IMPOSSIBLE, SOLVABLE

from redis_curriculum import Curriculum, CurriculumConfig, DiscreteRandomConfig
from redis_curriculum.demo.agent import sample, success
from redis_curriculum.tasks import Buckets

# --- policies ------------------------------------------------------------------------------------


def test_advantages_are_the_discounted_sums_of_surprises() -> None:
    """Against the sums of the definition, cut at the ends of episodes."""
    rng = np.random.default_rng(2)
    rewards, values = rng.random((7, 3)), rng.random((7, 3))
    over, last = rng.random((7, 3)) < 0.3, rng.random(3)
    found = ppo.advantages(rewards, values, over, last)
    for i in range(3):
        after = [*values[1:, i], last[i]]
        for start in range(7):
            expected, weight = 0.0, 1.0
            for t in range(start, 7):
                live = 0.0 if over[t, i] else 1.0
                expected += weight * (rewards[t, i] + ppo.DISCOUNT * after[t] * live - values[t, i])
                weight *= ppo.DISCOUNT * ppo.TRACE * live
            assert found[start, i] == pytest.approx(expected)


def ppo_loss(network: ppo.Network, batch: ppo.Batch) -> float:
    out = network.forward(batch.features)[2]
    logits, values = out[:, :-1], out[:, -1]
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    ratio = np.exp(log_p[np.arange(len(out)), batch.actions] - batch.log_probs)
    gained = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + 1e-6)
    surrogate = np.minimum(ratio * gained, np.clip(ratio, 1 - ppo.CLIP, 1 + ppo.CLIP) * gained)
    entropy = -(np.exp(log_p) * log_p).sum(axis=1)
    errors = (values - batch.returns) ** 2 / 2
    return float((-surrogate - ppo.ENTROPY_BONUS * entropy + ppo.VALUE_WEIGHT * errors).mean())


def test_the_ppo_gradient_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(4)
    features, actions, n = 12, 5, 40
    fresh = ppo.Network.fresh(features, actions, 6, rng)
    flat = fresh.flat.astype(np.float64) + rng.normal(0, 0.2, fresh.flat.shape)
    batch = ppo.Batch(
        features=(rng.random((n, features)) < 0.5).astype(np.float64),
        actions=rng.integers(actions, size=n),
        log_probs=np.log(rng.uniform(0.05, 0.5, n)),
        advantages=rng.normal(0, 2, n),
        returns=rng.normal(0, 1, n),
    )
    found = ppo.gradient(ppo.Network(flat, features, actions), batch)

    def loss(weights: Any) -> float:
        return ppo_loss(ppo.Network(weights, features, actions), batch)

    for index in rng.choice(len(flat), 150, replace=False):
        step = np.zeros_like(flat)
        step[index] = 1e-6
        slope = (loss(flat + step) - loss(flat - step)) / 2e-6
        assert found[index] == pytest.approx(slope, abs=1e-8, rel=1e-5)


def test_ppo_learns_which_action_pays() -> None:
    rng = np.random.default_rng(0)
    network = ppo.Network.fresh(4, 3, 1, rng)
    learner = ppo.Learner(network, 3e-3, rng)
    for _ in range(30):
        seen = rng.integers(4, size=512)
        features = np.eye(4, dtype=np.float32)[seen]
        out = network.forward(features)[2]
        actions, log_probs = sample(out[:, :3], rng)
        paid = (actions == seen % 3).astype(np.float32)
        learner.learn(ppo.Batch(features, actions, log_probs, paid - out[:, 3], paid))
    best = network.forward(np.eye(4, dtype=np.float32))[2][:, :3].argmax(axis=1)
    assert best.tolist() == [0, 1, 2, 0]


# --- prompts -------------------------------------------------------------------------------------


def student_and_groups(seed: int = 1) -> tuple[prompts.Student, prompts.Groups]:
    student = prompts.Student(seed)
    rng = np.random.default_rng(seed)
    student.own += rng.normal(0, 1, student.own.shape)
    student.shared += rng.normal(0, 1, student.shared.shape)
    asked = [prompts.Prompt.of(1 + i % 3, i) for i in range(24)]
    return student, student.play(asked, rng)


def test_the_prompts_gradient_is_that_of_advantage_times_likelihood() -> None:
    student, groups = student_and_groups()
    assert 0 < np.count_nonzero(groups.advantages) < groups.advantages.size

    def gain() -> float:
        total = 0.0
        p = student.probabilities()
        for b, r in np.ndindex(groups.scores.shape):
            for j in np.flatnonzero(groups.asked[b]):
                skill, action = groups.skills[b, j], groups.actions[b, r, j]
                total += float(groups.advantages[b, r] * np.log(p[skill, action]))
        return total / groups.scores.size

    for logits, found in zip((student.own, student.shared), student.gradient(groups), strict=True):
        rng = np.random.default_rng(2)
        for _ in range(10):
            place = tuple(rng.integers(logits.shape))
            logits[place] += 1e-5
            above = gain()
            logits[place] -= 2e-5
            below = gain()
            logits[place] += 1e-5
            assert found[place] == pytest.approx((above - below) / 2e-5, abs=1e-8, rel=1e-4)


def test_groups_that_are_all_alike_teach_nothing() -> None:
    student, groups = student_and_groups()
    alike = prompts.Groups(groups.skills, groups.asked, groups.actions, groups.scores * 0 + 1)
    for part in student.gradient(alike):
        assert not part.any()


def test_impossible_prompts_never_and_lucky_ones_half_the_time_are_right() -> None:
    student = prompts.Student(3)
    student.own[np.arange(prompts.SKILLS), student.right] += 50  # it knows everything
    rng = np.random.default_rng(0)
    of = {n: prompts.Prompt((1, 2, 3), n) for n in (SOLVABLE, IMPOSSIBLE, COIN_FLIP)}
    scores = {n: student.play([p] * 100, rng).scores.mean() for n, p in of.items()}
    assert scores[SOLVABLE] == 1
    assert scores[IMPOSSIBLE] == 0
    assert 0.41 < scores[COIN_FLIP] < 0.59  # five standard deviations


def test_exact_success_is_what_plays_show() -> None:
    student, _ = student_and_groups()
    prompt = prompts.Prompt((4, 9))
    student.own[[4, 9], student.right[[4, 9]]] += 3
    played = student.play([prompt] * 4_000, np.random.default_rng(1)).scores.mean()
    assert played == pytest.approx(student.success(prompt), abs=0.02)


def test_shares_of_prompts_that_teach_nothing() -> None:
    natures = [prompts.Prompt.of(3, i).nature for i in range(4_000)]
    assert natures.count(IMPOSSIBLE) / 4_000 == pytest.approx(prompts.SHARE_IMPOSSIBLE, abs=0.026)
    assert natures.count(COIN_FLIP) / 4_000 == pytest.approx(prompts.SHARE_LUCKY, abs=0.022)
    assert len(set(prompts.Prompt.of(8, 5).skills)) == 8


@pytest.mark.parametrize(
    ("family", "labels"),
    [(prompts.PROMPTS, 8), (prompts.TOPICS, 10), (prompts.SINGLES, 2_000)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_labels_say_difficulty_nothing_or_one_prompt(family: Any, labels: int) -> None:
    generator = family.generator(1)
    specs = [generator.generate(i) for i in range(2_000)]
    assert len({spec.label for spec in specs}) == labels
    decisions = [spec.params["decisions"] for spec in specs if spec.label == specs[0].label]
    assert (len(set(decisions)) == 1) == (family is not prompts.TOPICS)


# --- environments in step ------------------------------------------------------------------------


class Corridor(gymnasium.Env[Any, Any]):
    """Action 1 goes on, 0 stays; the reward at the end of ``length`` cells is ``pays``."""

    observation_space = gymnasium.spaces.Box(0, 100, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    limit = 6

    def set_task(self, params: dict[str, Any]) -> None:
        self.length, self.pays = params["length"], params["pays"]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        super().reset(seed=seed, options=options)
        self.cell, self.steps = 0, 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Any]:
        self.steps += 1
        self.cell += int(action)
        at_end = self.cell == self.length
        cut = not at_end and self.steps == self.limit
        return self._seen(), self.pays * at_end, at_end, cut, {}

    def _seen(self) -> Any:
        return np.array([self.cell, self.length], dtype=np.float32)


def corridors() -> Buckets:
    lengths: list[Any] = [1, 2, 5]
    return Buckets(label="corridor-{length}", buckets={"length": lengths}, params={"pays": 1.0})


def test_players_tell_rewards_ends_and_lengths_by_label(url: str, name: str) -> None:
    config = CurriculumConfig(
        task_generator=corridors(), num_active_tasks=9, algorithm=DiscreteRandomConfig()
    )
    natures = {"corridor-5": IMPOSSIBLE}
    with Curriculum.open(url, name, config) as curriculum:
        playing = players.Players(Corridor, 4, curriculum, seed=3, natures=natures)
        rows = [1] * 4
        for _ in range(60):
            before = playing.observations
            rewards, over = playing.step(np.ones(4, dtype=np.int64))
            for i in range(4):
                ends = rows[i] == before[i, 1]
                assert (bool(over[i]), rewards[i]) == (ends, float(ends))
                rows[i] = 1 if ends else rows[i] + 1
                assert playing.observations[i, 0] == rows[i] - 1
        report = curriculum.epoch_report()
    assert report is not None
    tally = playing.tally
    assert dict(report.completions) == dict(tally.by_label)
    assert tally.late == 0
    assert tally.episodes[IMPOSSIBLE] == tally.by_label["corridor-5"]
    assert tally.steps[IMPOSSIBLE] == 5 * tally.by_label["corridor-5"]
    assert tally.steps[SOLVABLE] == sum(n * tally.by_label[f"corridor-{n}"] for n in (1, 2))


def test_success_is_the_share_of_episodes_that_pay() -> None:
    def env(length: int, pays: float) -> Corridor:
        made = Corridor()
        made.set_task({"length": length, "pays": pays})
        return made

    envs = {"a": [env(2, 1.0), env(3, 0.1), env(1, 0.0), env(9, 1.0)], "b": [env(1, 1.0)]}
    found = success(envs, lambda seen: np.ones(len(seen), dtype=np.int64))
    assert found == {"a": 0.5, "b": 1.0}
    # each row gets its own observations, also when others have ended
    found = success(envs, lambda seen: (seen[:, 1] != 2).astype(np.int64))
    assert found == {"a": 0.25, "b": 1.0}
