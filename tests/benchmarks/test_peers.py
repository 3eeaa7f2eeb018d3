"""The comparison with other ways to share a curriculum: it runs, with a user's own peer too."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import peers
import pytest
from peer import MODES, Managed, NumpyCurriculum, Ours, RayActor
from peers import Where, named, rows_of, table

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MINE = """\
from contextlib import contextmanager
from functools import partial

import os

from peer import MODES, Peer, Serving


def attached(batch):
    return lambda: batch


class Mine(Peer):
    name = "mine"
    modes = ("one at a time", "steps of 64")

    @contextmanager
    def serving(self, tasks):
        yield Serving(lambda mode: partial(attached, MODES[mode]), os.getpid())


class Absent(Mine):
    name = "absent"

    @classmethod
    def lacks(cls):
        return "no such library is installed"


NOT_ONE = dict
"""


def test_all_sides_are_measured_in_one_run_and_a_users_own_too(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    words = [sys.executable, "-W", "error", str(BENCHMARKS / "peers.py"), "--smoke"]
    words += ["--peer", "mine:Mine", "--peer", "mine:Absent"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "peers: without absent: no such library is installed" in done.stdout
    assert ("without Ray" in done.stdout) == (find_spec("ray") is None)
    rows = json.loads((tmp_path / "out" / "peers.json").read_text())["rows"]
    medians = {row["what"]: row["median"] for row in rows}
    cells = [Where(tasks, 2, mode) for tasks in peers.SMOKE.tasks for mode in MODES]
    for where in cells:
        ours = medians[f"rate of {Ours.name}: {where}"]
        for name in (Managed.name, "mine"):
            if name == "mine" and where.mode == "16 ahead":
                assert f"rate of mine: {where}" not in medians
                continue
            ratio = medians[f"rate against {name}: {where}"]
            assert ratio == pytest.approx(ours / medians[f"rate of {name}: {where}"])
            assert ratio > 0
            assert medians[f"CPU time of {Ours.name}: {where}"] > 0
    assert "<svg" in (tmp_path / "out" / "peers.svg").read_text()
    assert (tmp_path / "out" / "peers.md").read_text().count("| mine |") == 2 * len(MODES)


def test_ratios_are_taken_round_by_round() -> None:
    where = Where(1_000, 4, "one at a time")
    rates = {where: {Ours.name: [10.0, 40.0, 30.0], Managed.name: [10.0, 10.0, 60.0]}}
    costs = {where: {Ours.name: [90.0, 80.0, 70.0], Managed.name: [30.0, 40.0, 70.0]}}
    rate, cost, ours, theirs, *_ = rows_of(rates, costs)
    assert rate.what == "rate against Manager with NumPy: 1,000 tasks, 4 workers, one at a time"
    assert (list(rate.values), rate.verdict) == ([1.0, 4.0, 0.5], "met")
    assert (list(cost.values), cost.verdict) == ([3.0, 2.0, 1.0], "missed")
    assert (ours.median, theirs.median) == (30.0, 10.0)


def test_the_table_leaves_out_what_a_peer_cannot_play() -> None:
    both = {Ours.name: [200.0], Managed.name: [100.0]}
    alone = {Ours.name: [200.0]}
    found = {Where(1_000, 1, mode): both if mode == "one at a time" else alone for mode in MODES}
    assert table(found, found).splitlines()[2:5] == [
        "| Manager with NumPy | one at a time | 2 (2 to 2) |",
        "| Manager with NumPy | 16 ahead |  |",
        "| Manager with NumPy | steps of 64 |  |",
    ]


@pytest.mark.parametrize("word", ["mine:NOT_ONE", "mine:Missing", "mine"])
def test_a_peer_that_is_none_is_refused(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    with pytest.raises(TypeError, match=f"got {word}"):
        named([word])


def test_the_twenty_lines_draw_what_is_being_learned() -> None:
    curriculum, chance = NumpyCurriculum(20), random.Random(0)
    for i in range(400):  # only task 3 is learned; the others stay as they are
        results = [(task, float(i > 200 and chance.random() < 0.9)) for task in (3,)]
        curriculum.step([*results, (5, 1.0)], 1)
    drawn = curriculum.step([], 1_000)
    assert len(drawn) == 1_000
    assert drawn.count(3) == max(drawn.count(task) for task in range(20))
    assert set(drawn) <= set(range(20))


def test_ray_is_named_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.find_spec", lambda _: None)
    assert RayActor.lacks() == "Ray is not installed"
