"""Every benchmark runs, so small that its numbers mean nothing; no test asserts a time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make bench` leaves."""
    place = tmp_path_factory.mktemp("bench")
    words = [sys.executable, "-W", "error", str(BENCHMARKS / "run.py"), "--smoke"]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place / "out"


@pytest.mark.parametrize(
    "name", ["ratios", "costs", "growth", "history", "scale", "capacity", "soak"]
)
def test_each_says_machine_versions_medians_and_all_values(out: Path, name: str) -> None:
    found = json.loads((out / f"{name}.json").read_text())
    assert {"cpu", "redis", "redis-py", "python"} <= found["machine"].keys()
    assert found["rows"]
    for row in found["rows"]:
        low, high = min(row["values"]), max(row["values"])
        assert low <= row["median"] <= high, row["what"]


def test_what_is_counted_and_not_timed_meets_its_goal(out: Path) -> None:
    rows = [
        row
        for name in ("ratios", "soak")
        for row in json.loads((out / f"{name}.json").read_text())["rows"]
    ]
    exact = [row for row in rows if row["what"].startswith(("expected trials", "sums", "violated"))]
    assert len(exact) == 6
    assert {row["verdict"] for row in exact} == {"met"}


def test_the_table_of_the_documentation_and_the_plot_are_written(out: Path) -> None:
    table = (out / "bench.md").read_text()
    assert (out / "instructions.json").exists() == bool(shutil.which("callgrind_control"))
    assert table.count("| met |") + table.count("| missed |") >= 15
    assert (out / "growth.png").read_bytes().startswith(b"\x89PNG")
