"""A pool of prompts and a policy-gradient student, as in reinforcement learning of language models.

A prompt asks for some decisions, each by one of 64 skills, and is right only if all are. A
decision is a softmax over 8 actions; skills share part of their logits within 8 groups, so that
practice of one helps its group. The student plays each drawn prompt 8 times and takes one gradient
step on 32 such groups, with advantages standardised within the group: where all are right, or all
wrong, nothing is learned. The score of a prompt is the mean of its group.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from families.family import COIN_FLIP, IMPOSSIBLE, SOLVABLE, Family, Tally
from redis_curriculum import Curriculum
from redis_curriculum.tasks import Buckets, Span, Task

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SKILLS: Final = 64
ACTIONS: Final = 8
SKILL_GROUPS: Final = 8
MOST_DECISIONS: Final = 8
ROLLOUTS: Final = 8
"""Plays of a prompt in a group."""
BATCH: Final = 32
"""Prompts of one gradient step."""
LEARNING_RATE: Final = 2.0
SHARED_RATE: Final = 1.0
"""Of the logits that the skills of a group share."""
SHARE_IMPOSSIBLE: Final = 0.12
SHARE_LUCKY: Final = 0.08
"""Prompts that are right one time in two, whatever is answered."""
HELD_OUT: Final = 400
N_PROMPTS: Final = 2**31
"""Prompts are numbered below this; held-out ones from here on."""


@dataclass(frozen=True, slots=True)
class World:
    """What the prompts of a pool are like, and how much the student knows at first."""

    impossible: float = SHARE_IMPOSSIBLE
    lucky: float = SHARE_LUCKY
    least_decisions: int = 1
    taught: float = 0.0
    """Held-out success to which the student is taught before, on other prompts."""


USUAL: Final = World()


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a prompt asks for and what can be learned from it."""

    skills: tuple[int, ...]
    """One a decision, all different."""
    nature: str = SOLVABLE

    @classmethod
    def of(cls, decisions: int, number: int, world: World = USUAL) -> Prompt:
        """Return the prompt of a number; the same for all seeds."""
        rng = np.random.default_rng(number)
        skills = rng.choice(SKILLS, decisions, replace=False)
        luck = rng.random()
        impossible, lucky = luck < world.impossible, luck >= 1 - world.lucky
        nature = IMPOSSIBLE if impossible else COIN_FLIP if lucky else SOLVABLE
        return cls(tuple(map(int, skills)), nature)


@dataclass(frozen=True, slots=True)
class Groups:
    """The plays of some prompts: B prompts, ``ROLLOUTS`` plays, ``MOST_DECISIONS`` decisions."""

    skills: Integers
    """Shape (B, M); what comes after a prompt's last decision is not ``asked``."""
    asked: NDArray[np.bool_]
    """Shape (B, M)."""
    actions: Integers
    """Shape (B, R, M)."""
    scores: Floats
    """Shape (B, R), 0 or 1."""

    @property
    def advantages(self) -> Floats:
        """Scores standardised within each prompt's group; 0 where all are alike."""
        centred = self.scores - self.scores.mean(axis=1, keepdims=True)
        deviation = self.scores.std(axis=1, keepdims=True)
        return np.asarray(centred / np.where(deviation > 0, deviation, 1.0))


class Student:
    """One softmax a skill: logits of its own and logits of its group.

    Most skills of a group have the same right action, which makes sharing worth while.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 11])
        self.group = rng.integers(SKILL_GROUPS, size=SKILLS)
        usual = rng.integers(ACTIONS, size=SKILL_GROUPS)
        as_usual = rng.random(SKILLS) < 0.6
        self.right = np.where(as_usual, usual[self.group], rng.integers(ACTIONS, size=SKILLS))
        self.own = rng.normal(0.0, 0.05, (SKILLS, ACTIONS))
        self.shared = np.zeros((SKILL_GROUPS, ACTIONS))

    def probabilities(self) -> Floats:
        """Return the probability of each action for each skill, shape (SKILLS, ACTIONS)."""
        logits = self.own + self.shared[self.group]
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def play(self, prompts: list[Prompt], rng: np.random.Generator) -> Groups:
        """Play each prompt ``ROLLOUTS`` times."""
        skills = np.zeros((len(prompts), MOST_DECISIONS), dtype=np.int64)
        asked = np.zeros(skills.shape, dtype=np.bool_)
        for i, prompt in enumerate(prompts):
            skills[i, : len(prompt.skills)] = prompt.skills
            asked[i, : len(prompt.skills)] = True
        cumulative = np.cumsum(self.probabilities(), axis=1)[skills][:, None]
        points = rng.random((len(prompts), ROLLOUTS, MOST_DECISIONS, 1))
        actions = np.minimum((cumulative < points).sum(axis=3), ACTIONS - 1)
        right = (actions == self.right[skills][:, None]) | ~asked[:, None]
        scores = right.all(axis=2).astype(np.float64)
        luck = rng.integers(2, size=scores.shape)
        for i, prompt in enumerate(prompts):
            if prompt.nature == IMPOSSIBLE:
                scores[i] = 0.0
            elif prompt.nature == COIN_FLIP:
                scores[i] = luck[i]
        return Groups(skills, asked, actions, scores)

    def gradient(self, groups: Groups) -> tuple[Floats, Floats]:
        """Return the gradient of mean advantage x log-likelihood, by own and by shared logits."""
        chosen = np.eye(ACTIONS)[groups.actions] - self.probabilities()[groups.skills][:, None]
        weighted = chosen * groups.advantages[:, :, None, None] * groups.asked[:, None, :, None]
        by_decision = weighted.sum(axis=1) / groups.scores.size
        own = np.zeros_like(self.own)
        np.add.at(own, groups.skills, by_decision)
        shared = np.zeros_like(self.shared)
        np.add.at(shared, self.group, own)
        return own, shared

    def learn(self, groups: Groups) -> None:
        """Take one step up the gradient."""
        own, shared = self.gradient(groups)
        self.own += LEARNING_RATE * own
        self.shared += SHARED_RATE * shared

    def right_chances(self) -> Floats:
        """Return the probability of the right action of each skill, shape (SKILLS,)."""
        return np.asarray(self.probabilities()[np.arange(SKILLS), self.right])

    def success(self, prompt: Prompt) -> float:
        """Return the exact probability that a solvable prompt is answered right."""
        return float(self.right_chances()[list(prompt.skills)].prod())


class PromptTrainee:
    """Takes the drawn prompts 32 at a time; a step and an episode are one prompt's group."""

    def __init__(self, curriculum: Curriculum, seed: int, world: World = USUAL) -> None:
        self._curriculum, self._world = curriculum, world
        self._student = Student(seed)
        self._rng = np.random.default_rng([seed, 0xAC7])
        self._held_out = {
            decisions: np.array([prompt.skills for prompt in prompts])
            for decisions, prompts in held_out_prompts(self._world.least_decisions).items()
        }
        self._teach(np.random.default_rng([seed, 13]))
        self._groups = "trials" in curriculum.config.asks_for
        """Whether a result is a group's, not a mean; then a batch has no prompt twice."""
        self._tasks = curriculum.get_tasks(BATCH, distinct=self._groups)
        self.steps = 0
        self.tally = Tally()

    @property
    def in_flight(self) -> int:
        """The next batch is drawn together with the report of the last one."""
        return len(self._tasks)

    def train(self) -> None:
        """Play one batch, learn, report, draw the next batch: one round trip."""
        prompts = [prompt_of(task, self._world) for task in self._tasks]
        groups = self._student.play(prompts, self._rng)
        self._student.learn(groups)
        scores = groups.scores.mean(axis=1)
        numbers = {"trials": ROLLOUTS} if self._groups else {}
        finished = [(task.task_id, s, numbers) for task, s in zip(self._tasks, scores, strict=True)]
        played, ask = self._tasks, self._curriculum.next_tasks
        self._tasks, outcomes = ask(finished, BATCH, distinct=self._groups)
        for task, prompt, outcome in zip(played, prompts, outcomes, strict=True):
            self.tally.add(task.label, prompt.nature, 1, outcome)
        self.tally.wasted += int(((scores == 0) | (scores == 1)).sum())
        self.steps += len(finished)

    def evaluate(self) -> dict[str, float]:
        """Return the exact mean success on held-out prompts, by number of decisions."""
        right = self._student.right_chances()
        return {
            f"decisions-{decisions}": float(right[skills].prod(axis=1).mean())
            for decisions, skills in self._held_out.items()
        }

    def _teach(self, rng: np.random.Generator) -> None:
        """Teach the student prompts that are neither drawn nor held out, at random."""
        least, first = self._world.least_decisions, N_PROMPTS + 2 * HELD_OUT
        while np.mean([*self.evaluate().values()]) < self._world.taught:
            for _ in range(10):
                decisions = rng.integers(least, MOST_DECISIONS + 1, BATCH)
                numbers = first + rng.integers(HELD_OUT, size=BATCH)
                pairs = zip(decisions.tolist(), numbers.tolist(), strict=True)
                prompts = [Prompt(Prompt.of(asked, number).skills) for asked, number in pairs]
                self._student.learn(self._student.play(prompts, rng))


def held_out_prompts(least_decisions: int = 1) -> dict[int, list[Prompt]]:
    """Return prompts that are never trained on, by decisions; all count as solvable."""
    each = HELD_OUT // MOST_DECISIONS
    return {
        decisions: [
            Prompt(Prompt.of(decisions, N_PROMPTS + decisions * each + i).skills)
            for i in range(each)
        ]
        for decisions in range(least_decisions, MOST_DECISIONS + 1)
    }


def prompt_of(task: Task, world: World) -> Prompt:
    """Return the prompt of a task."""
    return Prompt.of(task.params["decisions"], task.params["prompt"], world)


def _generator(label: str, _: int, least_decisions: int = 1) -> Buckets:
    buckets: dict[str, Any] = {
        "decisions": list(range(least_decisions, MOST_DECISIONS + 1)),
        "prompt": Span(0, N_PROMPTS - 1),
        "topic": list(range(10)),
    }
    return Buckets(label=label, buckets=buckets)


PROMPTS = Family(
    name="prompts",
    about="1,000 prompts, labelled by difficulty, 12 % impossible and 8 % right by luck under"
    " every label; policy gradient in groups of 8",
    tasks=1_000,
    generator=partial(_generator, "decisions-{decisions}"),
    trainee=PromptTrainee,
    budget=32_000,
    every=640,
    thresholds=(0.6,),
    unit="prompts",
)
TOPICS = replace(
    PROMPTS,
    name="topics",
    about="the same prompts under 10 labels that say nothing of difficulty",
    generator=partial(_generator, "topic-{topic}"),
)
SINGLES = replace(
    PROMPTS,
    name="singles",
    about="the same prompts, each under a label of its own",
    generator=partial(_generator, "prompt-{prompt}"),
)


def _groups(tasks: int) -> Family:
    """Return a pool of so many prompts whose results are groups: successes of 8 trials."""
    return replace(
        PROMPTS,
        name=f"groups-{tasks}",
        about=f"{tasks:,} prompts, 12 % impossible and 8 % right by luck; results are groups of 8",
        tasks=tasks,
        budget=40_320,
        algorithms=("uniform", "group_progress", "group_progress:label_factor=progress"),
    )


def _harder(name: str, about: str, world: World, threshold: float = 0.6) -> Family:
    """Return a pool of 2,000 prompts in another world."""
    generator = partial(_generator, "decisions-{decisions}", least_decisions=world.least_decisions)
    return replace(
        _groups(2_000),
        name=f"groups-{name}",
        about=f"2,000 prompts, {about}; results are groups of 8",
        generator=generator,
        trainee=partial(PromptTrainee, world=world),
        thresholds=(threshold,),
        algorithms=("uniform", "group_progress"),
    )


GROUPS = (
    *(_groups(tasks) for tasks in (1_000, 3_000, 5_000)),
    _harder("dirty", "30 % impossible and 20 % right by luck", World(0.3, 0.2)),
    _harder("warm", "of which the student solves 35 % at first", World(taught=0.35), 0.8),
    _harder("hard", "each of two decisions at least", World(least_decisions=2)),
)
