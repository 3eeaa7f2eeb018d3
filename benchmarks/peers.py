"""This library beside other ways to share a curriculum among processes: episodes per second.

An episode is one report and one draw. All processes are on this machine: what keeps the curriculum,
and the workers. Each side fills its pool first, which is not measured. The sides take turns within
one run, and what counts is the ratio of two sides in the same round: of their rates, and of the CPU
time of an episode, which other work on the machine disturbs less.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from measure import OUT, Row, arguments, console, machine, over, report
from peer import MODES, PEERS, Ours, Peer
from processes import Attach, background
from server import Server

COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")  # Okabe and Ito


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    tasks: tuple[int, ...] = (1_000, 10_000, 100_000)
    workers: tuple[int, ...] = (1, 4)
    rounds: int = 5
    seconds: float = 1.0


FULL = Scale()
SMOKE = Scale((100,), (2,), 1, 0.02)


class Where(NamedTuple):
    """What is compared: one cell of the table."""

    tasks: int
    workers: int
    mode: str

    def __str__(self) -> str:
        """Words for a row."""
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        return f"{self.tasks:,} tasks, {workers}, {self.mode}"


Figures = Mapping[Where, Mapping[str, Sequence[float]]]
"""One figure of each round, by the name of the side."""


def measured(peers: Sequence[type[Peer]], scale: Scale) -> tuple[Figures, Figures]:
    """Measure all sides in turn, round after round; all workers together.

    Returns:
        Episodes per second; and microseconds of CPU time for an episode, of all workers and of the
        process that keeps the curriculum together.
    """
    found: dict[Where, dict[str, list[float]]] = {}
    costs: dict[Where, dict[str, list[float]]] = {}
    for tasks in scale.tasks:
        with ExitStack() as stack:
            serving = {peer: stack.enter_context(peer().serving(tasks)) for peer in peers}
            for _ in range(scale.rounds):
                for workers, mode in product(scale.workers, MODES):
                    where = Where(tasks, workers, mode)
                    for peer, (attach, pid) in serving.items():
                        if mode in peer.modes:
                            rate, cost = _side(attach(mode), pid, workers, scale.seconds)
                            found.setdefault(where, {}).setdefault(peer.name, []).append(rate)
                            costs.setdefault(where, {}).setdefault(peer.name, []).append(cost)
    return found, costs


def _side(attach: Attach, pid: int, workers: int, seconds: float) -> tuple[float, float]:
    with background(attach, workers, seconds) as found:
        before = _cpu_s(pid)
        each = found()
        used = _cpu_s(pid) - before + sum(one.cpu_s for one in each)
    return sum(one.rate for one in each), 1e6 * used / sum(one.episodes for one in each)


def _cpu_s(pid: int) -> float:
    """CPU time of another process so far, as Linux says; NaN elsewhere."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return math.nan
    fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rows_of(rates: Figures, costs: Figures) -> list[Row]:
    """How many times each peer's rate, and its CPU time, this library has; then the figures."""
    rows = []
    for where, sides in rates.items():
        for name in sides:
            if name != Ours.name:
                ratios = over(sides, Ours.name, name)
                rows.append(Row(f"rate against {name}: {where}", ratios, "x", ">= 1"))
                ratios = over(costs[where], Ours.name, name)
                rows.append(Row(f"CPU time against {name}: {where}", ratios, "x", "<= 1"))
    for what, unit, figures in (("rate", "/s", rates), ("CPU time", "us", costs)):
        for where, sides in figures.items():
            rows += [Row(f"{what} of {name}: {where}", sides[name], unit) for name in sides]
    return rows


def table(rates: Figures, costs: Figures) -> str:
    """The ratios as tables for the page on performance: a row for each peer and mode."""
    text = ""
    for what, figures in (("rate", rates), ("CPU time of an episode", costs)):
        cells = sorted({(where.workers, where.tasks) for where in figures})
        heads = [f"{tasks:,} tasks, {workers}" for workers, tasks in cells]
        text += f"| {what}, against | played | " + " | ".join(heads) + " |\n"
        text += "|---" * (2 + len(heads)) + "|\n"
        names = dict.fromkeys(name for sides in figures.values() for name in sides)
        for name, mode in product([name for name in names if name != Ours.name], MODES):
            words = []
            for workers, tasks in cells:
                sides = figures[Where(tasks, workers, mode)]
                words.append(_cell(over(sides, Ours.name, name)) if name in sides else "")
            text += f"| {name} | {mode} | " + " | ".join(words) + " |\n"
        text += "\n"
    return text


def _cell(ratios: Sequence[float]) -> str:
    low, middle, high = np.percentile(ratios, (25, 50, 75))
    return f"{middle:.2g} ({low:.2g} to {high:.2g})"


def plot(found: Figures, path: Path) -> None:
    """Draw the medians with the middle half of the rounds; a panel for each mode and count."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "peers"  # the same picture from the same numbers
    workers = sorted({where.workers for where in found})
    sizes = sorted({where.tasks for where in found})
    names = dict.fromkeys(name for sides in found.values() for name in sides)
    figure, axes = plt.subplots(
        *(len(workers), len(MODES)),
        figsize=(9, 2.6 * len(workers)),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for (row, count), (column, mode) in product(enumerate(workers), enumerate(MODES)):
        panel = axes[row, column]
        for name, colour in zip(names, COLOURS, strict=False):
            own = [found[Where(size, count, mode)].get(name) for size in sizes]
            there = [(size, values) for size, values in zip(sizes, own, strict=True) if values]
            if there:
                at = [size for size, _ in there]
                low, middle, high = np.percentile([v for _, v in there], (25, 50, 75), axis=1)
                panel.plot(at, middle, marker="o", markersize=4, label=name, color=colour)
                panel.fill_between(at, low, high, alpha=0.2, color=colour, linewidth=0)
        panel.set_title(f"{mode}, {count} worker{'s' if count > 1 else ''}", fontsize=9)
        panel.set(xscale="log", yscale="log")
    figure.supxlabel("tasks in the pool", fontsize=9)
    figure.supylabel("episodes per second", fontsize=9)
    axes[0, 0].legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def named(words: Sequence[str]) -> list[type[Peer]]:
    """Return the peers of a user's own, each given as ``module:Class``.

    Raises:
        TypeError: It is no ``Peer``.
    """
    sys.path.append("")  # modules in the current directory, as with python -m
    peers = []
    for word in words:
        module, _, name = word.partition(":")
        peer = getattr(import_module(module), name or "missing", None)
        if not (isinstance(peer, type) and issubclass(peer, Peer)):
            raise TypeError(f"--peer must be module:Class of a class derived from Peer, got {word}")
        peers.append(peer)
    return peers


def main(*, smoke: bool = False, peers: Sequence[type[Peer]] = ()) -> list[Row]:
    """Measure, print, store, draw; return the rows."""
    there: list[type[Peer]] = [Ours]
    for peer in (*PEERS, *peers):
        reason = peer.lacks()
        if reason:
            console.print(f"peers: without {peer.name}: {reason}")
        else:
            there.append(peer)
    with Server() as server, server.client() as client:
        where = machine(client)
    figures, costs = measured(there, SMOKE if smoke else FULL)
    rows = rows_of(figures, costs)
    report("peers", rows, where)
    plot(figures, OUT / "peers.svg")
    (OUT / "peers.md").write_text(table(figures, costs), encoding="utf-8")
    return rows


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="MODULE:CLASS",
        help="also a class of yours that is derived from Peer (benchmarks/peer.py); repeatable",
    )
    given = parser.parse_args()
    main(smoke=given.smoke, peers=named(given.peer))
