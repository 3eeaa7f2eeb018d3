"""The curves of all runs: success over steps and over episodes, and what draws are lost on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from families.family import COIN_FLIP, IMPOSSIBLE, Family
from families.report import AXES, UNIFORM, Curve
from families.run import Record

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b")
UNIFORM_COLOUR = "#7f7f7f"
POINTS = 200


def draw(families: Sequence[Family], records: Sequence[Record], path: Path) -> None:
    """Save a row for each family: medians as lines, lowest to highest seed as areas."""
    from matplotlib.figure import Figure

    shown = [f for f in families if any(r["family"] == f.name for r in records)]
    names = sorted({r["algorithm"] for r in records}, key=lambda name: (name != UNIFORM, name))
    others = [name for name in names if name != UNIFORM]
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(others)}
    colours[UNIFORM] = UNIFORM_COLOUR
    figure = Figure(figsize=(13.0, 3.4 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 3, squeeze=False)
    for row, family in zip(axes, shown, strict=True):
        for name in names:
            curves = [
                Curve(r) for r in records if r["family"] == family.name and r["algorithm"] == name
            ]
            if curves:
                _success(row[0], curves, "steps", name, colours[name])
                _success(row[1], curves, "episodes", name, colours[name])
                _lost(row[2], curves, name, colours[name])
        _label(row, family)
    lines, texts = axes[0, 0].get_legend_handles_labels()
    figure.legend(lines, texts, loc="outside lower center", ncols=len(names))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _success(axis: Any, curves: Sequence[Curve], by: str, name: str, colour: str) -> None:
    x = np.linspace(0, min(c.by[by][-1] for c in curves), POINTS)
    found = np.array([c.at(x, by) for c in curves])
    axis.plot(x, np.median(found, axis=0), color=colour, label=name)
    axis.fill_between(x, found.min(axis=0), found.max(axis=0), color=colour, alpha=0.15, lw=0)


def _lost(axis: Any, curves: Sequence[Curve], name: str, colour: str) -> None:
    """Share of episodes so far on impossible tasks (solid) and coin flips (dashed)."""
    for nature, style in ((IMPOSSIBLE, "-"), (COIN_FLIP, "--")):
        shares = []
        for curve in curves:
            marks = curve.record["marks"][1:]
            lost = [m["nature"].get(nature, {"episodes": 0})["episodes"] for m in marks]
            shares.append(np.array(lost) / np.array([max(m["episodes"], 1) for m in marks]))
        x = np.median([c.by["steps"][1:] for c in curves], axis=0)
        axis.plot(x, 100 * np.median(shares, axis=0), style, color=colour, label=name)


def _label(row: Sequence[Any], family: Family) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    for axis in row:
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    for axis, by in zip(row, AXES, strict=False):
        axis.axhline(family.thresholds[0], color="black", lw=0.6, ls=":")
        axis.set_ylim(0, 1)
        axis.set_xlabel(family.unit if by == "steps" else by)
    row[0].set_ylabel(f"{family.name}: held-out success")
    row[2].set_ylabel("% of episodes so far:\nimpossible -, coin flips - -")
    row[2].set_ylim(bottom=0)
    row[2].set_xlabel(family.unit)
