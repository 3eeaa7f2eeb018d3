"""Draw the README's picture: workers, Redis, and draws that follow learning progress.

    python docs/pictures/overview.py

The right half is a real run of this library on a private server. A simulated student learns four
labels, each once it can do the one before; ``next_task`` decides what it plays. The left half says
how the parts stand to each other. Two files are written, for light and for dark pages.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from numpy.typing import NDArray

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.tasks import Buckets

HERE: Final = Path(__file__).parent
SIZES: Final = (5, 9, 13, 17)
COLOURS: Final = ("#0072b2", "#56b4e9", "#e69f00", "#d55e00")  # Okabe and Ito: for every eye
THEMES: Final = {"light": ("#1f2328", "#d0d7de"), "dark": ("#e6edf3", "#3d444d")}
"""Ink, and lines."""
EPISODES: Final = 6000
WINDOW: Final = 150
"""Episodes over which a share of the draws is counted."""
RATE: Final = 0.004
"""By how much of what it lacks the student gets better with each episode."""

Place = tuple[float, float, float, float]


class Run(NamedTuple):
    """What the run was like, window by window."""

    success: NDArray[np.float64]
    """The student's chance to succeed, shape (windows, labels)."""
    share: NDArray[np.float64]
    """Part of the draws that each label got, shape (windows, labels)."""


def play(episodes: int = EPISODES, seed: int = 1) -> Run:
    """Let a student learn with the curriculum."""
    mazes = Buckets(label="maze-{size}", buckets={"size": list(SIZES), "seed": list(range(50))})
    config = CurriculumConfig(task_generator=mazes, num_active_tasks=128, seed=seed)
    rng = np.random.default_rng(seed)
    skill = np.zeros(len(SIZES))
    success, share = [], []
    with Curriculum.open("embedded://", "picture", config) as curriculum:
        finished = None
        for _ in range(episodes // WINDOW):
            drawn = Counter[int]()
            for _ in range(WINDOW):
                task = curriculum.next_task(finished)
                at = SIZES.index(task.params["size"])
                score = float(np.clip(rng.normal(skill[at], 0.1), 0, 1))
                finished = (task.task_id, score)
                ready = 1.0 if at == 0 else skill[at - 1] ** 2
                skill[at] += RATE * ready * (1 - skill[at])
                drawn[at] += 1
            success.append(skill.copy())
            share.append([drawn[at] / WINDOW for at in range(len(SIZES))])
    return Run(np.array(success), np.array(share))


def draw(run: Run, ink: str, line: str) -> Figure:
    """Return the picture in a theme's colours."""
    figure = Figure(figsize=(9.6, 3.5))
    parts = figure.add_axes((0.0, 0.0, 0.43, 1.0), xlim=(0, 43), ylim=(0, 35))
    parts.set_axis_off()
    for y in (25.0, 15.0, 5.0):
        _box(parts, (1, y, 12, 6), ink, ink, "worker and\nenvironment")
        _arrow(parts, (13.4, y + 4, 27.4, 17 + (y - 15) * 0.35 + 2.4), ink)
        _arrow(parts, (27.4, 17 + (y - 15) * 0.35 + 0.6, 13.4, y + 2.2), ink)
    parts.text(20.5, 20.4, "score", color=ink, ha="center", size=9)
    parts.text(20.5, 14.6, "next task", color=ink, ha="center", size=9)
    _box(parts, (28, 11, 14, 14), "#d82c20", ink, "Redis\n\ntasks, labels,\nscores, progress")
    times = WINDOW * (np.arange(len(run.share)) + 1)
    success = figure.add_axes((0.51, 0.56, 0.39, 0.34), ylim=(0, 1.05))
    share = figure.add_axes((0.51, 0.13, 0.39, 0.34), ylim=(0, 1))
    for at, colour in enumerate(COLOURS):
        success.plot(times, run.success[:, at], color=colour, linewidth=2)
    share.stackplot(times, run.share.T, colors=COLOURS, linewidth=0)
    for axes, title in ((success, "score by label"), (share, "share of the draws")):
        _plain(axes, title, ink, line, (times[0], times[-1]))
    success.tick_params(labelbottom=False)
    share.set_xlabel("episodes", color=ink, size=9)
    for at, colour in enumerate(COLOURS):
        y = 0.86 - 0.085 * at
        figure.text(0.915, y, f"maze-{SIZES[at]}", color=colour, size=9.5, weight="bold")
    return figure


def _box(axes: Axes, place: Place, edge: str, ink: str, text: str) -> None:
    x, y, width, height = place
    style = "round,pad=0,rounding_size=1"
    box = FancyBboxPatch((x, y), width, height, style, fill=False, edgecolor=edge, linewidth=1.5)
    axes.add_patch(box)
    middle = (x + width / 2, y + height / 2)
    axes.text(*middle, text, color=ink, ha="center", va="center", size=9)


def _arrow(axes: Axes, place: Place, colour: str) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xytext=place[:2], xy=place[2:], arrowprops=style)


def _plain(axes: Axes, title: str, ink: str, line: str, across: tuple[float, float]) -> None:
    axes.set_title(title, color=ink, size=9.5, loc="left")
    axes.set_xlim(*across)
    axes.set_yticks([0, 0.5, 1])
    axes.set_facecolor("none")
    axes.tick_params(color=line, labelcolor=ink, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(line)


def main() -> None:
    """Draw it in both themes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the two files")
    parser.add_argument("--episodes", type=int, default=EPISODES, help=f"({EPISODES})")
    words = parser.parse_args()
    run = play(words.episodes)
    mpl.rcParams["svg.hashsalt"] = "redis-curriculum"  # the same file each time
    for theme, (ink, line) in THEMES.items():
        file = words.out / f"overview-{theme}.svg"
        draw(run, ink, line).savefig(file, transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    main()
