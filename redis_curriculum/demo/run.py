"""The demo from its arguments to its report: two trainings, the curriculum the one difference."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from redis_curriculum._client.blocking import Curriculum
from redis_curriculum._values.rules import In
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.demo.agent import Network
from redis_curriculum.demo.curves import curve_of, overall, race
from redis_curriculum.demo.report import (
    DemoReport,
    Outcome,
    draw_picture,
    print_report,
    progress,
)
from redis_curriculum.demo.training import Training, train
from redis_curriculum.demo.worlds import WORLDS, HeldOut, World
from redis_curriculum.errors import InvalidInputError, without_password
from redis_curriculum.scorers import Scorer, UniformConfig

TRAINING_SHARE = 0.38
"""Part of the demo's time that each training gets; the rest is starting up and measuring."""
TASKS_PER_CURVE = 240
"""Held-out tasks of each point of a curve; the tables take more."""


def algorithms() -> dict[str, Scorer]:
    """Return the two compared algorithms by title: the default, and uniform draws."""
    default = demo_config(WORLDS["rooms"], None, 0).algorithm
    return {default.kind.replace("_", " "): default, "uniform": UniformConfig()}


def demo_config(world: World, algorithm: Scorer | None, seed: int) -> CurriculumConfig:
    """Return the config of one training; all that is not given is the default."""
    config = CurriculumConfig(task_generator=world.generator(), seed=seed)
    return config if algorithm is None else config.model_copy(update={"algorithm": algorithm})


def run(
    *,
    family: str,
    seconds: float,
    workers: int,
    seed: int,
    url: str | None,
    out: Path,
    console: Console | None,
) -> DemoReport:
    """See ``run_demo``."""
    _check(family, seconds, workers, seed, out)
    world = WORLDS[family]
    kept_on = None if url is None else _reached(url)
    console = console or Console()
    per_label = min(200, max(20, int(2 * seconds)))
    console.print(f"{family}: {world.about}.", highlight=False)
    console.print(f"Building {per_label} held-out tasks per label ...", highlight=False)
    held_out = HeldOut.of(world, per_label, seed)
    before = held_out.measure(Network.fresh(seed, world.n_features))
    run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    course = _Course(world, run_id, seconds * TRAINING_SHARE, workers, seed, url, held_out, console)
    trainings = [course.run(title, algorithm) for title, algorithm in algorithms().items()]
    console.print("Measuring the curves ...", highlight=False)
    steps = min(training.steps for training in trainings)
    few = held_out.first(max(1, TASKS_PER_CURVE // len(before)))
    outcomes = [course.measure(training, steps, few) for training in trainings]
    first, second = outcomes
    picture = out / f"demo-{run_id}.png"
    report = DemoReport(
        world=world,
        seed=seed,
        workers=workers,
        per_label=per_label,
        before=before,
        outcomes=outcomes,
        picture=picture,
        even_steps=steps,
        race=race((first.training, second.training), (first.curve, second.curve)),
        kept_on=kept_on,
    )
    draw_picture(report)
    print_report(console, report)
    return report


@dataclass(frozen=True, slots=True)
class _Course:
    """What all trainings of a demo share."""

    world: World
    run_id: str
    seconds: float
    workers: int
    seed: int
    url: str | None
    held_out: HeldOut
    console: Console

    def curriculum_of(self, title: str) -> str:
        """The name of a training's curriculum."""
        return f"demo-{self.run_id}-{title.replace(' ', '-')}"

    def run(self, title: str, algorithm: Scorer) -> Training:
        """Train once, from the same weights."""
        name = self.curriculum_of(title)
        network = Network.fresh(self.seed, self.world.n_features)
        config = demo_config(self.world, algorithm, self.seed)
        with (
            Curriculum.open(self.url or "embedded://", name=name, config=config) as curriculum,
            progress(self.console, title) as observe,
        ):
            training = train(
                title,
                self.world,
                curriculum,
                network,
                seconds=self.seconds,
                workers=self.workers,
                seed=self.seed,
                observe=observe,
            )
        self.console.print(
            f"{title}: {training.episodes():,} episodes, {training.steps:,} steps in "
            f"{training.seconds:.1f} s",
            highlight=False,
            soft_wrap=True,
        )
        return training

    def measure(self, training: Training, even_steps: int, few: HeldOut) -> Outcome:
        """Play the held-out tasks with the weights that a training kept."""
        features = self.world.n_features
        last = training.checkpoints[-1][1]
        even = training.weights_at(even_steps)
        return Outcome(
            training.name,
            self.curriculum_of(training.name),
            training,
            after=self.held_out.measure(Network(last, features)),
            even=overall(self.held_out.measure(Network(even, features))),
            curve=curve_of(training, few),
        )


def _reached(url: str) -> str:
    """Say at once that a server does not answer, not after the maps; return its public URL."""
    Curriculum.names(url)
    return without_password(url)


def _check(family: str, seconds: float, workers: int, seed: int, out: Path) -> None:
    if family not in WORLDS:
        raise InvalidInputError("family", f"one of {', '.join(WORLDS)}", family)
    rules = {
        "seconds": (seconds, In("[6, 86400]"), False),
        "workers": (workers, In("[1, 64]"), True),
        "seed": (seed, In("[0, 2**63)"), True),
    }
    for field, (value, interval, integer) in rules.items():
        interval.require(value, field, integer=integer)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError("out", f"a directory ({error.strerror})", str(out)) from None
