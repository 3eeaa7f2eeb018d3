"""The demo from its arguments to its report: three trainings, the curriculum the one difference."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from redis_curriculum._client.blocking import Curriculum
from redis_curriculum._protocol.keys import ROOT
from redis_curriculum._values.rules import In
from redis_curriculum._wire.blocking import DirectLink
from redis_curriculum._wire.urls import parse
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.demo.agent import Network
from redis_curriculum.demo.maps import (
    DENSITY,
    LABEL_TEMPLATE,
    LABELS,
    N_SEEDS,
    SIZES,
    held_out_maps,
)
from redis_curriculum.demo.report import (
    DemoReport,
    Outcome,
    draw_picture,
    overall,
    print_report,
    progress,
)
from redis_curriculum.demo.training import HeldOut, train
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers import LearningProgressConfig, Scorer, UniformConfig
from redis_curriculum.tasks.buckets import Buckets, Span

TRAINING_SHARE = 0.28
"""Part of the demo's time that each training gets; the rest is starting up and measuring."""


def algorithms() -> dict[str, Scorer]:
    """Return the compared algorithms by title; all is default but for what the title says."""
    return {
        "progress by label": LearningProgressConfig(),
        "uniform": UniformConfig(),
        "progress by task": LearningProgressConfig(pooling="task"),
    }


def demo_config(algorithm: Scorer, seed: int) -> CurriculumConfig:
    """Return the config of one training: lakes of all sizes alike, any number of holes."""
    lakes = Buckets(
        label=LABEL_TEMPLATE,
        buckets={"size": SIZES, "density": Span(*DENSITY), "map_seed": Span(0, N_SEEDS - 1)},
    )
    return CurriculumConfig(task_generator=lakes, seed=seed, algorithm=algorithm)


def run(
    *, seconds: float, workers: int, seed: int, url: str | None, out: Path, console: Console | None
) -> DemoReport:
    """See ``run_demo``."""
    _check(seconds, workers, seed, out)
    kept_on = None if url is None else _reached(url)
    console = console or Console()
    per_label = min(200, max(20, int(2 * seconds)))
    console.print(f"Building {per_label} held-out maps per label ...", highlight=False)
    held_out = HeldOut(held_out_maps(per_label, seed), seed)
    before = held_out.measure(Network.fresh(seed))
    run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    course = _Course(run_id, seconds * TRAINING_SHARE, workers, seed, url, held_out, console)
    outcomes = [course.run(title, algorithm) for title, algorithm in algorithms().items()]
    picture = out / f"demo-{run_id}.png"
    draw_picture(outcomes, picture)
    steps = min(outcome.training.steps for outcome in outcomes)
    even = [held_out.measure(Network(o.training.weights_at(steps))) for o in outcomes]
    report = DemoReport(seed, workers, per_label, before, outcomes, picture, steps, even, kept_on)
    print_report(console, report)
    return report


@dataclass(frozen=True, slots=True)
class _Course:
    """What all trainings of a demo share."""

    run_id: str
    seconds: float
    workers: int
    seed: int
    url: str | None
    held_out: HeldOut
    console: Console

    def run(self, title: str, algorithm: Scorer) -> Outcome:
        """Train once, from the same weights, and play the held-out maps."""
        name = f"demo-{self.run_id}-{title.replace(' ', '-')}"
        network = Network.fresh(self.seed)
        config = demo_config(algorithm, self.seed)
        with (
            Curriculum.open(self.url or "embedded://", name=name, config=config) as curriculum,
            progress(self.console, title) as observe,
        ):
            training = train(
                title,
                curriculum,
                network,
                seconds=self.seconds,
                workers=self.workers,
                seed=self.seed,
                observe=observe,
            )
            pool = {label: len(curriculum.task_ids(label)) for label in LABELS}
        after = self.held_out.measure(network)
        self.console.print(
            f"{title}: {training.episodes():,} episodes, {training.steps:,} steps in "
            f"{training.seconds:.1f} s; {100 * overall(after):.1f} % of held-out maps",
            highlight=False,
            soft_wrap=True,
        )
        return Outcome(title, name, training, pool, after)


def _reached(url: str) -> str:
    """Say at once that a server does not answer, not after the maps; return its public URL."""
    address = parse(url)
    link = DirectLink(address, WorkerSettings().timeout_s)
    try:
        link.call(("PING",), ROOT)
    finally:
        link.close()
    return address.public


def _check(seconds: float, workers: int, seed: int, out: Path) -> None:
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
