"""What the demo prints and draws, from numbers made up here."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from redis_curriculum.demo.curves import Curve, Race, overall
from redis_curriculum.demo.report import (
    DemoReport,
    Outcome,
    draw_picture,
    print_report,
    progress,
    sparkline,
    standard_error,
    verdict,
)
from redis_curriculum.demo.training import Moment, Training
from redis_curriculum.demo.worlds import WORLDS

LAKES = WORLDS["lakes"]
LABELS = LAKES.labels


def training_of(moments: int) -> Training:
    training = Training("t", LAKES, planned_seconds=10.0, seconds=moments / 2, steps=12_345)
    training.checkpoints.append((0, np.zeros(1, np.float32)))
    for i in range(moments):
        training.moments.append(
            Moment(
                seconds=(i + 1) / 2,
                probability={label: (j + 1) / 15 for j, label in enumerate(LABELS)},
                played=dict.fromkeys(LABELS, 10) | {LABELS[-1]: 0},
                succeeded=dict.fromkeys(LABELS, 5) | {LABELS[-1]: 0},
            )
        )
        training.checkpoints.append((1000 * (i + 1), np.zeros(1, np.float32)))
    return training


def report_of(picture: Path) -> DemoReport:
    outcomes = [
        Outcome(
            title,
            f"demo-{title}",
            training_of(20),
            dict.fromkeys(LABELS, rate),
            even=even,
            curve=Curve([0, 10_000, 20_000], [0.01, rate / 2, rate]),
        )
        for title, rate, even in (("debiased progress", 0.5, 0.375), ("uniform", 0.25, 0.125))
    ]
    outcomes[1].training.lost.append("worker 7: exit code -9")
    return DemoReport(
        world=LAKES,
        seed=3,
        workers=4,
        per_label=100,
        before=dict.fromkeys(LABELS, 0.01),
        outcomes=outcomes,
        picture=picture,
        even_steps=54_321,
        race=Race(0.25, (10_000.0, 20_000.0), (5.0, 8.0)),
    )


def test_everything_measured_is_printed(tmp_path: Path) -> None:
    text = io.StringIO()
    print_report(Console(file=text, width=100), report_of(tmp_path / "x.png"))
    printed = text.getvalue()
    for expected in (
        *LABELS,
        "debiased progress",
        "50.0 ± 2.2 %",  # sqrt(0.25 / 500) over all, of 500 tasks
        "25.0 ± 4.3 %",  # sqrt(0.1875 / 100) for one label
        "1.0 ± 1.0 %",
        "800 episodes",
        "200   25.0%",
        "12,345 steps",
        "same time",
        "same steps",
        "37.5 %",
        "12.5 %",
        "54,321 steps",
        "in 10.0 s",
        "1 25 50 %",
        "25 % of the held-out tasks: debiased progress after 10,000 steps (5 s)",
        "uniform after 20,000 steps (8 s)",
        "2.00 x as fast by steps and 1.60 x by time",
        "uniform: lost worker 7: exit code -9",
        "Seed 3",
        f"Picture: {tmp_path / 'x.png'}",
    ):
        assert expected in printed
    assert max(map(len, printed.splitlines()[:12])) <= 100


def test_the_verdict_does_not_compare_who_has_not_learned(tmp_path: Path) -> None:
    report = replace(report_of(tmp_path), race=None)
    assert "nothing to compare" in verdict(report)


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    draw_picture(report_of(tmp_path / "p.png"))
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("terminal", [True, False])
def test_the_view_while_it_runs(terminal: bool) -> None:
    text = io.StringIO()
    console = Console(file=text, width=110, force_terminal=terminal)
    with progress(console, "uniform") as observe:
        for moments in (1, 10, 11):
            observe(training_of(moments))
    printed = text.getvalue()
    assert "uniform" in printed
    if terminal:
        assert "lake-24x24" in printed
        assert "12,345 steps" in printed
        assert not [line for line in printed.splitlines() if "━" in line and "episodes" in line]
    else:
        assert printed.count("\n") == 1, "a line every 5 seconds"
        assert "50 %" in printed
        assert "  - P" in printed, "a label that was not played has no success rate"


def test_means_and_errors() -> None:
    assert overall({"a": 0.0, "b": 0.5}) == 0.25
    assert standard_error([0.5], 25) == pytest.approx(0.1)
    assert standard_error([0.5, 0.5], 25) == pytest.approx(0.1 / math.sqrt(2))
    assert standard_error([0.0, 1.0], 25) == 0.0


def test_sparklines() -> None:
    assert sparkline([], 1.0) == ""
    assert sparkline([0.0, 0.5, 1.0], 1.0) == "▁▅█"
    assert sparkline([0.0] * 8 + [1.0] * 8, 1.0, width=2) == "▁█"
    assert sparkline([0.0, 0.0], 0.0) == "▁▁"
