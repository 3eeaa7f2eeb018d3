"""Draw the tuning guide's pictures: what each hyperparameter of the default algorithm does.

    python docs/pictures/tuning.py

Each panel is a simulation with one setting: a student learns three labels, each once it can do the
one before, beside an impossible label and a coin flip. The rule is the library's own in Python,
``DebiasedProgressConfig`` and the reference of its draw, without a server. A panel shows the share
of the draws that each label gets, the mean over some runs. Its title says after how many episodes
the mean success of the three labels reaches 0.8: the median over the runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from redis_curriculum import DebiasedProgressConfig, UniformConfig
from redis_curriculum._sampling.draw import distribution
from redis_curriculum._sampling.pool import Pool, PoolTask
from redis_curriculum.scorers import Scorer

HERE: Final = Path(__file__).parent
LABELS: Final = ("one step", "two steps", "four steps", "impossible", "coin flip")
COLOURS: Final = ("#56b4e9", "#0072b2", "#009e73", "#999999", "#e69f00")  # Okabe and Ito
TAUGHT: Final = 3
"""The first labels can be learned."""
EPISODES: Final = 12_000
WINDOW: Final = 200
"""Episodes over which a share of the draws is counted."""
BLOCK: Final = 20
"""Draws with the same probabilities, as in a step of a vector of environments."""
RATE: Final = 0.0015
"""By how much of what it lacks the student gets better with each episode."""
GOAL: Final = 0.8
RUNS: Final = 8
FEW_TASKS: Final = (2, 2, 16, 2, 2)
"""Tasks of each label, where the picture is about their number."""
COSTS: Final = (5.0, 10.0, 20.0, 100.0, 5.0)
"""Steps of an episode of each label, where the picture is about costs."""

Rows = NDArray[np.float64]


class Setting(NamedTuple):
    """One panel."""

    title: str
    fields: Mapping[str, Any]
    tasks: Sequence[int] = (1,) * len(LABELS)


class Played(NamedTuple):
    """What the runs of one setting were like."""

    share: Rows
    """Part of the draws that each label got, mean over the runs, shape (windows, labels)."""
    arrival: float
    """Episodes until the goal, median over the runs; inf: not reached."""
    steps: float
    """The same in steps, with ``COSTS``."""


def _ladder(name: str) -> dict[str, Any]:
    preset: DebiasedProgressConfig = getattr(DebiasedProgressConfig, name)()
    return {"rates": preset.rates, "warm_up": preset.warm_up}


def _each(field: str, *values: Any) -> list[Setting]:
    usual = DebiasedProgressConfig.model_fields[field].default
    mark = {True: " (default)", False: ""}
    return [Setting(f"{field} = {value}{mark[value == usual]}", {field: value}) for value in values]


PICTURES: Final[Mapping[str, Sequence[Setting]]] = {
    "rates": [
        Setting("rates, warm_up of .fast()", _ladder("fast")),
        Setting("rates, warm_up of .default()", {}),
        Setting("rates, warm_up of .long_memory()", _ladder("long_memory")),
    ],
    "noise_factor": _each("noise_factor", 0.0, 1.0, 4.0),
    "floor": _each("floor", 0.0, 0.15, 0.6),
    "least_count": _each("least_count", 1, 20, 1000),
    "cap": _each("cap", 0.05, 0.2, 1.0),
    "power": _each("power", 2, 1),
    "label_mass": [one._replace(tasks=FEW_TASKS) for one in _each("label_mass", "equal", "tasks")],
    "cost_aware": _each("cost_aware", *(False, True)),
}
"""The panels by the name of the file."""


def pool_of(
    scorer: Scorer, statistics: Sequence[Mapping[str, float]], tasks: Sequence[int]
) -> Pool:
    """Return a pool in which each label has so many tasks."""
    labels: dict[str, Mapping[str, float]] = dict(zip(LABELS, statistics, strict=True))
    names = [label for label, count in zip(LABELS, tasks, strict=True) for _ in range(count)]
    return Pool.of([PoolTask(at, label, {}) for at, label in enumerate(names)], labels, scorer)


def play(scorer: Scorer, tasks: Sequence[int], episodes: int, seed: int) -> tuple[Rows, Rows]:
    """Let a student learn; return the number of draws and its success, block by block."""
    rng = np.random.default_rng(seed)
    of: list[Mapping[str, float]] = [{} for _ in LABELS]
    chance = np.array([0.02, 0.02, 0.02, 0.0, 0.5])
    drawn, success = [], []
    for _ in range(episodes // BLOCK):
        by_task = distribution(pool_of(scorer, of, tasks), scorer)
        share = np.bincount(np.repeat(np.arange(len(LABELS)), tasks), by_task)
        block = rng.choice(len(LABELS), BLOCK, p=share / share.sum())
        for at in block.tolist():
            score = float(rng.random() < chance[at])
            of[at] = scorer.fold_label(of[at], score, *((COSTS[at],) if scorer.reported else ()))
            if at < TAUGHT:
                ready = 1.0 if at == 0 else chance[at - 1] ** 2
                chance[at] += RATE * ready * (1 - chance[at])
        drawn.append(np.bincount(block, minlength=len(LABELS)))
        success.append(chance[:TAUGHT].mean())
    return np.array(drawn, dtype=float), np.array(success)


def played(scorer: Scorer, tasks: Sequence[int], episodes: int, runs: int) -> Played:
    """Play a setting with several seeds."""
    shares, arrivals, steps = [], [], []
    per_window = WINDOW // BLOCK
    for seed in range(runs):
        drawn, success = play(scorer, tasks, episodes, seed)
        whole = len(drawn) // per_window * per_window
        windows = drawn[:whole].reshape(-1, per_window, len(LABELS)).sum(1)
        shares.append(windows / windows.sum(1, keepdims=True))
        reached = np.flatnonzero(success >= GOAL)
        first = int(reached[0]) + 1 if len(reached) else None
        arrivals.append(np.inf if first is None else first * BLOCK)
        steps.append(np.inf if first is None else float((drawn[:first] @ COSTS).sum()))
    return Played(np.mean(shares, 0), float(np.median(arrivals)), float(np.median(steps)))


def draw(settings: Sequence[Setting], found: Sequence[Played], *, by_steps: bool) -> Figure:
    """Return the picture of one hyperparameter."""
    figure = Figure(figsize=(9.6, 2.5), facecolor="white")
    axes = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    for one, setting, result in zip(axes, settings, found, strict=True):
        _panel(one, setting.title, result, by_steps=by_steps)
    axes[0].set_ylabel("share of the draws", size=8.5)
    figure.subplots_adjust(left=0.06, right=0.86, bottom=0.19, top=0.80, wspace=0.08)
    for at, (label, colour) in enumerate(zip(LABELS, COLOURS, strict=True)):
        y = 0.25 + 0.12 * at
        figure.text(0.872, y, label, color=colour, size=9, weight="bold", va="center")
    return figure


def _panel(axes: Axes, title: str, result: Played, *, by_steps: bool) -> None:
    times = WINDOW * (np.arange(len(result.share)) + 1)
    axes.stackplot(times, result.share.T, colors=COLOURS, linewidth=0)
    number, unit = (result.steps, "steps") if by_steps else (result.arrival, "episodes")
    arrived = f"{GOAL} after {number:,.0f} {unit}" if np.isfinite(number) else f"{GOAL} not reached"
    axes.set_title(f"{title}\n{arrived}", size=8.5, loc="left")
    if np.isfinite(result.arrival):
        axes.axvline(result.arrival, color="white", linewidth=1.2, linestyle="--")
    axes.set_xlim(times[0], times[-1])
    axes.set_ylim(0, 1)
    axes.set_xticks([4000, 8000], ["4,000", "8,000"])
    axes.set_xlabel("episodes", size=8.5)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _say(title: str, result: Played) -> None:
    print(f"{title}: {result.arrival:,.0f} episodes, {result.steps:,.0f} steps")


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the files")
    parser.add_argument("--episodes", type=int, default=EPISODES, help=f"({EPISODES})")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs of each panel ({RUNS})")
    words = parser.parse_args()
    mpl.rcParams["svg.hashsalt"] = "redis-curriculum"  # the same file each time
    mpl.rcParams["svg.fonttype"] = "none"
    for tasks in (PICTURES["rates"][0].tasks, FEW_TASKS):
        uniform = played(UniformConfig(), tasks, words.episodes, words.runs)
        _say(f"uniform draws, tasks {tasks}", uniform)
    for name, settings in PICTURES.items():
        found = [
            played(DebiasedProgressConfig(**one.fields), one.tasks, words.episodes, words.runs)
            for one in settings
        ]
        for one, result in zip(settings, found, strict=True):
            _say(one.title, result)
        figure = draw(settings, found, by_steps=name == "cost_aware")
        figure.savefig(words.out / f"tuning-{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
