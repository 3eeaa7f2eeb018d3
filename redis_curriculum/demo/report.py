"""What the demo shows: the live view, the tables at the end, the picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from redis_curriculum.demo.maps import LABELS
from redis_curriculum.demo.training import Training

BARS = "▁▂▃▄▅▆▇█"
COLOURS = ("cyan", "green", "yellow", "magenta", "red")
SPARK_WIDTH = 36
LINE_EVERY_MOMENTS = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """One training, what it left in the pool, and its success on the held-out maps."""

    title: str
    curriculum: str
    training: Training
    pool: dict[str, int]
    """Active tasks by label."""
    after: dict[str, float]


@dataclass(frozen=True, slots=True)
class DemoReport:
    """All that the demo measured. Success rates are in [0, 1], by label."""

    seed: int
    workers: int
    maps_per_label: int
    before: dict[str, float]
    outcomes: list[Outcome]
    picture: Path
    even_steps: int
    """Steps that every training took: the least of their numbers."""
    even: list[dict[str, float]]
    """Success of each training after so many steps."""
    kept_on: str | None = None
    """The user's own server, on which the curricula stay."""


def overall(rates: Mapping[str, float]) -> float:
    """Return the mean of the labels' rates; every label has the same number of maps."""
    return sum(rates.values()) / len(rates)


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
    labels = "  ".join(
        f"{label} {_percent(training.success(label))} P {now[label]:.2f}" for label in LABELS
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
        f"   {seconds:.0f} of {training.planned_seconds:.0f} s   {episodes:,} episodes"
        f"   {episodes / seconds:,.0f}/s   {training.updates:,} updates",
    )
    table = Table(box=None)
    for name in ("label", "episodes", "success", "P(label)"):
        table.add_column(name, justify="left" if name == "label" else "right")
    table.add_column("P(label) over time", min_width=SPARK_WIDTH)
    top = max(max(m.probability.values()) for m in training.moments)
    for label, colour in zip(LABELS, COLOURS, strict=True):
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


def print_report(console: Console, report: DemoReport) -> None:
    """Print everything that was measured."""
    console.print(_success_table(report), "", _pool_table(report), "")
    _print_probabilities(console, report)
    for outcome in report.outcomes:
        for lost in outcome.training.lost:
            console.print(f"{outcome.title}: lost {lost}", style="red", highlight=False)
    console.print(
        f"\nPicture: {report.picture}\n"
        f"Seed {report.seed} for weights, maps, curriculum and workers. Processes run freely, so "
        "a second run gives other figures.\n"
        "All trainings take the same time. The last row of the first table is of the moment at "
        f"which each had taken {report.even_steps:,} steps.\n"
        "± is the standard error over maps. Each training ran once: how much they differ from seed "
        "to seed is not in it.",
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


def _success_table(report: DemoReport) -> Table:
    n = report.maps_per_label
    table = Table(title=f"Success on held-out maps ({n} per label, each played once)")
    for name in ("label", "maps", "before", *(o.title for o in report.outcomes)):
        table.add_column(name, justify="left" if name == "label" else "right")
    columns = [report.before, *(o.after for o in report.outcomes)]
    for label in LABELS:
        table.add_row(label, str(n), *(_rate([column[label]], n) for column in columns))
    table.add_section()
    table.add_row(
        "all", str(n * len(LABELS)), *(_rate(list(column.values()), n) for column in columns)
    )
    columns = [report.before, *report.even]
    table.add_row(
        "same steps",
        str(n * len(LABELS)),
        *(_rate(list(column.values()), n) for column in columns),
    )
    return table


def _pool_table(report: DemoReport) -> Table:
    table = Table(title="At the end: active tasks, P(label), and episodes played, by label")
    table.add_column("label")
    for outcome in report.outcomes:
        table.add_column(outcome.title, justify="right")
    for label in LABELS:
        table.add_row(
            label,
            *(
                f"{o.pool[label]:3d}  {o.training.moments[-1].probability[label]:.2f}"
                f"  {o.training.episodes(label):7,d}"
                for o in report.outcomes
            ),
        )
    table.add_section()
    trainings = [outcome.training for outcome in report.outcomes]
    table.add_row("all", *(f"{t.episodes():,} episodes" for t in trainings))
    table.add_row("", *(f"{t.steps:,} steps" for t in trainings))
    table.add_row("", *(f"in {t.seconds:.1f} s" for t in trainings))
    return table


def _print_probabilities(console: Console, report: DemoReport) -> None:
    top = max(
        p for o in report.outcomes for m in o.training.moments for p in m.probability.values()
    )
    console.print(f"P(label) over time, from 0 to {top:.2f}", style="italic", highlight=False)
    for outcome in report.outcomes:
        console.print(outcome.title, style="bold", highlight=False)
        for label, colour in zip(LABELS, COLOURS, strict=True):
            history = [m.probability[label] for m in outcome.training.moments]
            line = (
                f"  {label:12} {sparkline(history, top, 60)} {min(history):.2f}-{max(history):.2f}"
            )
            console.print(Text(line, colour), soft_wrap=True)


def draw_picture(outcomes: Sequence[Outcome], path: Path) -> None:
    """Save P(label) and the success of training episodes over time, a column for each training."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(outcomes), 6.0), layout="constrained")
    axes = figure.subplots(2, len(outcomes), sharex=True, sharey="row", squeeze=False)
    for column, outcome in enumerate(outcomes):
        training = outcome.training
        seconds = [m.seconds for m in training.moments]
        for label, colour in zip(
            LABELS, ("#17becf", "#2ca02c", "#bcbd22", "#e377c2", "#d62728"), strict=True
        ):
            probability = [m.probability[label] for m in training.moments]
            axes[0, column].plot(seconds, probability, color=colour, label=label)
            axes[1, column].plot(seconds, _success_curve(training, label), color=colour)
        axes[0, column].set_title(outcome.title)
        axes[1, column].set_xlabel("seconds")
    axes[0, 0].set_ylabel("P(label)")
    axes[1, 0].set_ylabel("success of training episodes")
    axes[0, 0].set_ylim(bottom=0.0)
    axes[1, 0].set_ylim(0.0, 1.0)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    figure.savefig(path, dpi=120)


def _success_curve(training: Training, label: str, window: int = 3) -> list[float]:
    """Successes per episode over ``window`` moments, NaN where the label was not played."""
    moments = training.moments
    curve = []
    for end in range(1, len(moments) + 1):
        stretch = moments[max(0, end - window) : end]
        played = sum(m.played[label] for m in stretch)
        curve.append(sum(m.succeeded[label] for m in stretch) / played if played else math.nan)
    return curve


def _percent(rate: float | None) -> str:
    return "  -" if rate is None else f"{100 * rate:.0f} %"


def _rate(rates: Sequence[float], n: int) -> str:
    mean = sum(rates) / len(rates)
    return f"{100 * mean:.1f} ± {100 * standard_error(rates, n):.1f} %"
