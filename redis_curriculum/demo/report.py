"""What the demo shows: the live view, tables, curves and the verdict at the end, the picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Protocol

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from redis_curriculum.demo.curves import Curve, Race, overall
from redis_curriculum.demo.training import Training
from redis_curriculum.demo.worlds import World

BARS = "▁▂▃▄▅▆▇█"
COLOURS = ("cyan", "green", "yellow", "magenta", "red", "blue")
SPARK_WIDTH = 32
LINE_EVERY_MOMENTS = 10
LABELS_IN_LINE = 6
"""Of a line that is printed where there is no terminal: the most drawn ones."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One training and its success on the held-out tasks, in [0, 1]."""

    title: str
    curriculum: str
    training: Training
    after: dict[str, float]
    """At its end, by label."""
    even: float
    """The mean, after as many steps as the other training took too."""
    curve: Curve


@dataclass(frozen=True, slots=True)
class DemoReport:
    """All that the demo measured."""

    world: World
    seed: int
    workers: int
    per_label: int
    """Held-out tasks of each label."""
    before: dict[str, float]
    """Success without any training, by label."""
    outcomes: list[Outcome]
    picture: Path
    even_steps: int
    """Steps that every training took: the least of their numbers."""
    race: Race | None
    """Of the first training against the second; None: one of them has hardly learned."""
    kept_on: str | None = None
    """The user's own server, on which the curricula stay."""


def standard_error(rates: Sequence[float], n: int) -> float:
    """Return the standard error of the mean of rates, each measured on ``n`` maps."""
    return math.sqrt(sum(p * (1.0 - p) / n for p in rates)) / len(rates)


def sparkline(values: Sequence[float], top: float, width: int = SPARK_WIDTH) -> str:
    """Return at most ``width`` bars from 0 to ``top``; each is the mean of its stretch."""
    if not values:
        return ""
    stretches = np.array_split(np.asarray(values), min(width, len(values)))
    heights = [float(s.mean()) / top if top > 0 else 0.0 for s in stretches]
    return "".join(BARS[min(int(h * len(BARS)), len(BARS) - 1)] for h in heights)


class Observer(Protocol):
    """What is called at every moment of a training."""

    def __call__(self, training: Training) -> None:
        """Show how far it has come."""


@contextmanager
def progress(console: Console, title: str) -> Iterator[Observer]:
    """Show a training while it runs: a live view in a terminal, else a line every 5 seconds."""
    if not console.is_terminal:
        yield lambda training: _line(console, title, training)
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield lambda training: live.update(_view(title, training))


def _line(console: Console, title: str, training: Training) -> None:
    if len(training.moments) % LINE_EVERY_MOMENTS:
        return
    now = training.moments[-1].probability
    most = sorted(now, key=lambda label: -now[label])[:LABELS_IN_LINE]
    labels = "  ".join(
        f"{label} {_percent(training.success(label))} P {now[label]:.2f}" for label in most
    )
    console.print(
        f"{title}: {training.seconds:3.0f} s  {training.episodes():,} episodes  {labels}",
        soft_wrap=True,
        highlight=False,
    )


def _view(title: str, training: Training) -> Group:
    episodes, seconds = training.episodes(), training.seconds
    head = Text.assemble(
        (title, "bold"),
        f"   {seconds:.0f} of {training.planned_seconds:.0f} s   {training.steps:,} steps"
        f"   {episodes:,} episodes   {episodes / seconds:,.0f}/s",
    )
    table = Table(box=None)
    for name in ("label", "episodes", "success", "P(label)"):
        table.add_column(name, justify="left" if name == "label" else "right")
    table.add_column("P(label) over time", min_width=SPARK_WIDTH)
    top = max(max(m.probability.values()) for m in training.moments)
    for label, colour in _coloured(training.world):
        history = [m.probability[label] for m in training.moments]
        table.add_row(
            Text(label, colour),
            f"{training.episodes(label):,}",
            _percent(training.success(label)),
            f"{history[-1]:.3f}",
            Text(sparkline(history, top), colour),
        )
    bar = ProgressBar(total=training.planned_seconds, completed=seconds, width=72)
    return Group(head, Padding(bar), table, *(Text(lost, "red") for lost in training.lost))


def _coloured(world: World) -> Iterator[tuple[str, str]]:
    return zip(world.labels, cycle(COLOURS), strict=False)


def print_report(console: Console, report: DemoReport) -> None:
    """Print everything that was measured."""
    console.print(_draws_table(report), "", _success_table(report), "")
    _print_shares(console, report.outcomes[0])
    _print_curves(console, report)
    for outcome in report.outcomes:
        for lost in outcome.training.lost:
            console.print(f"{outcome.title}: lost {lost}", style="red", highlight=False)
    console.print(f"\n{verdict(report)}\n", style="bold", highlight=False, soft_wrap=True)
    console.print(
        f"Picture: {report.picture}\n"
        f"Seed {report.seed} for weights, tasks, curricula and workers. Processes run freely, so "
        "a second run gives other figures.\n"
        'Both trainings take the same time. The row "same steps" is of the moment at which each '
        f"had taken {report.even_steps:,} steps.\n"
        "± is the standard error over tasks. Each training ran once: how much they differ from "
        'seed to seed is not in it. The page "Does it help?" has many seeds.',
        highlight=False,
        soft_wrap=True,
    )
    if report.kept_on:
        names = ", ".join(outcome.curriculum for outcome in report.outcomes)
        console.print(
            f"Kept on {report.kept_on}: {names} (redis-curriculum delete NAME removes one)",
            highlight=False,
            soft_wrap=True,
        )


def verdict(report: DemoReport) -> str:
    """Say how much sooner the first training got as far as the other."""
    first, second = (outcome.title for outcome in report.outcomes)
    found = report.race
    if found is None:
        return "One of the trainings has hardly learned: there is nothing to compare."
    (a, b), (s, t) = found.steps, found.seconds
    return (
        f"{_percent(found.level)} of the held-out tasks: {first} after {a:,.0f} steps ({s:.0f} s), "
        f"{second} after {b:,.0f} steps ({t:.0f} s). In this run {first} is {b / a:.2f} x as fast "
        f"by steps and {t / s:.2f} x by time."
    )


def _draws_table(report: DemoReport) -> Table:
    table = Table(title="Episodes played by label, and their share")
    table.add_column("label")
    for outcome in report.outcomes:
        table.add_column(outcome.title, justify="right")
    trainings = [outcome.training for outcome in report.outcomes]
    totals = [max(training.episodes(), 1) for training in trainings]
    for label in report.world.labels:
        counts = [training.episodes(label) for training in trainings]
        table.add_row(
            label,
            *(f"{n:,}  {n / total:6.1%}" for n, total in zip(counts, totals, strict=True)),
        )
    table.add_section()
    table.add_row("all", *(f"{t.episodes():,} episodes" for t in trainings))
    table.add_row("", *(f"{t.steps:,} steps" for t in trainings))
    table.add_row("", *(f"in {t.seconds:.1f} s" for t in trainings))
    return table


def _success_table(report: DemoReport) -> Table:
    n = report.per_label
    table = Table(title=f"Success on held-out tasks ({n} per label, each played once)")
    for name in ("label", "before", *(o.title for o in report.outcomes)):
        table.add_column(name, justify="left" if name == "label" else "right")
    columns = [report.before, *(o.after for o in report.outcomes)]
    for label in report.before:
        table.add_row(label, *(_rate([column[label]], n) for column in columns))
    table.add_section()
    table.add_row("same time", *(_rate(list(column.values()), n) for column in columns))
    even = [overall(report.before), *(o.even for o in report.outcomes)]
    table.add_row("same steps", *(f"{100 * rate:.1f} %" for rate in even))
    return table


def _print_shares(console: Console, outcome: Outcome) -> None:
    moments = outcome.training.moments
    top = max(p for m in moments for p in m.probability.values())
    head = f"{outcome.title}: P(label) over time, from 0 to {top:.2f}"
    console.print(head, style="bold", highlight=False)
    width = max(map(len, outcome.training.world.labels))
    for label, colour in _coloured(outcome.training.world):
        history = [m.probability[label] for m in moments]
        line = f"  {label:{width}} {sparkline(history, top)} {min(history):.2f}-{max(history):.2f}"
        console.print(Text(line, colour), soft_wrap=True)


def _print_curves(console: Console, report: DemoReport) -> None:
    head = "Mean success on held-out tasks, by steps"
    console.print(f"\n{head}", style="bold", highlight=False)
    width = max(len(outcome.title) for outcome in report.outcomes)
    for outcome in report.outcomes:
        success = [f"{100 * value:.0f}" for value in outcome.curve.success]
        bars = sparkline(outcome.curve.success, 1.0)
        line = f"  {outcome.title:{width}} {bars}  {' '.join(success)} %"
        console.print(line, highlight=False, soft_wrap=True)


def draw_picture(report: DemoReport) -> None:
    """Save the curves, by steps and by time, and each training's share of draws over time."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 8.0), layout="constrained")
    axes = figure.subplots(2, 2)
    for outcome, style in zip(report.outcomes, ("-", "--"), strict=True):
        curve, training = outcome.curve, outcome.training
        seconds = [training.seconds_at(steps) for steps in curve.steps]
        axes[0, 0].plot(curve.steps, curve.success, style, label=outcome.title)
        axes[0, 1].plot(seconds, curve.success, style, label=outcome.title)
    for axis, unit in zip(axes[0], ("steps", "seconds"), strict=True):
        axis.set(xlabel=unit, ylabel="success on held-out tasks", ylim=(0.0, 1.0))
        axis.legend()
    labels = report.world.labels
    colours = colormaps["tab20"](np.arange(len(labels)) % 20)
    for axis, outcome in zip(axes[1], report.outcomes, strict=True):
        moments = outcome.training.moments
        shares = [[m.probability[label] for m in moments] for label in labels]
        seconds = [m.seconds for m in moments]
        axis.stackplot(seconds, shares, labels=labels, colors=colours)
        axis.set(title=outcome.title, xlabel="seconds", ylabel="P(label)", ylim=(0.0, 1.0))
    handles = axes[1, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=6, fontsize="small")
    figure.savefig(report.picture, dpi=120)


def _percent(rate: float | None) -> str:
    return "  -" if rate is None else f"{100 * rate:.0f} %"


def _rate(rates: Sequence[float], n: int) -> str:
    mean = sum(rates) / len(rates)
    return f"{100 * mean:.1f} ± {100 * standard_error(rates, n):.1f} %"
