"""Make the pictures of docs/guides/walk.md: python docs/pictures/walk.py (seven minutes).

The demo's agent learns in rooms with keys and doors with the default curriculum, then in frozen
lakes, where a curriculum has nothing to gain. Needs the extra demo.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.cli.session import session
from redis_curriculum.demo.agent import Network
from redis_curriculum.demo.training import Training, train
from redis_curriculum.demo.worlds import WORLDS
from redis_curriculum.reporting import History
from redis_curriculum.reporting.plots import drawing, saved
from redis_curriculum.reporting.portrait import COLOURS, portrait

HERE = Path(__file__).parent
SEED = 1
WORKERS = 2
EARLY_S = 20.0
EPOCH_S = 30.0
PROBABILITY = "Probability of labels over time"
SUCCESS = "Success rate, by label"
PROGRESS = "Learning progress of the tasks"


def play(url: str, name: str, seconds: float, early: str | None = None) -> History:
    """Train in one world, and draw the success rates after 20 seconds as ``early``."""
    world = WORLDS[name]
    network = Network.fresh(SEED, world.n_features)
    config = CurriculumConfig(task_generator=world.generator(), seed=SEED)
    waiting = [early] if early else []
    with Curriculum.open(url, name, config) as curriculum:

        def observe(training: Training) -> None:
            if waiting and training.seconds >= EARLY_S:
                draw(url, name, SUCCESS, waiting.pop())
            if training.seconds >= EPOCH_S * (curriculum.epoch + 1):
                curriculum.end_epoch(step=training.steps)

        done = train(
            name,
            world,
            curriculum,
            network,
            seconds=seconds,
            workers=WORKERS,
            seed=SEED,
            observe=observe,
        )
        print(f"{name}: {done.steps:,} steps, {done.episodes():,} episodes")
        for label, row in curriculum.label_stats().items():
            print(label, row.counters["samples"], row.success_rate_ema, row.learning_progress)
        return curriculum.history()


def draw(url: str, name: str, title: str, file: str) -> None:
    """Draw one picture of ``redis-curriculum plot``."""
    with session(url) as server:
        found = server.run(portrait(server.store(name)))
    save(drawing(found, title), file)


def save(figure: Any, file: str) -> None:
    """Write a small file."""
    (HERE / file).write_bytes(saved(figure, "png", dpi=80))


def success(history: History, file: str) -> None:
    """Draw the success rate of every label over time."""
    figure = Figure(figsize=(7.0, 3.6), layout="constrained")
    axes = figure.add_subplot()
    minutes = (history.time_ms - history.time_ms[0]) / 60_000
    mesh = axes.pcolormesh(
        minutes, range(len(history.labels)), history.success_rate.T, vmin=0.0, vmax=1.0
    )
    axes.set_yticks(range(len(history.labels)), history.labels, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("minutes")
    axes.set_title("Success rate of labels over time", loc="left", fontsize=10)
    figure.colorbar(mesh)
    save(figure, file)


def draws(history: History, file: str) -> None:
    """Draw how often each label was drawn, beside uniform draws."""
    figure = Figure(figsize=(7.0, 3.6), layout="constrained")
    axes = figure.add_subplot()
    counts = history.samples[-1]
    axes.barh(history.labels, counts, color=COLOURS[0])
    axes.axvline(counts.mean(), color="#555555", linestyle="--", label="uniform draws")
    axes.tick_params(axis="y", labelsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("draws in the whole run")
    axes.set_title("Draws of labels", loc="left", fontsize=10)
    axes.legend(frameon=False)
    save(figure, file)


def main() -> None:
    """Train twice, and draw."""
    serve = [sys.executable, "-m", "redis_curriculum", "serve"]
    server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)  # ends after this process
    assert server.stdout is not None  # noqa: S101 - a pipe was asked for
    try:
        url = server.stdout.readline().strip()
        history = play(url, "rooms", 270.0, early="walk-early.png")
        draw(url, "rooms", PROBABILITY, "walk-probability.png")
        draw(url, "rooms", PROGRESS, "walk-progress.png")
        success(history, "walk-success.png")
        draws(history, "walk-draws.png")
        play(url, "lakes", 90.0)
        draw(url, "lakes", PROBABILITY, "walk-lakes-probability.png")
        draw(url, "lakes", SUCCESS, "walk-lakes-success.png")
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
