"""A family of another package, with keys and a way to draw of its own, found by its entry point."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).with_name("plr")
CONTRACT = """
import pytest
from replayed import ReplayedConfig
from redis_curriculum.testing import ScorerContract

class TestReplayed(ScorerContract):
    @pytest.fixture
    def scorer(self):
        return ReplayedConfig()
"""
PLAY = """
import json, sys
from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.tasks import Table
from replayed import ReplayedConfig

url, name, path = sys.argv[1:]
config = CurriculumConfig(
    task_generator=Table(30), algorithm=ReplayedConfig(staleness_share=1.0)
)
with Curriculum.open(url, name, config) as curriculum:
    drawn = [task.task_id for task in curriculum.get_tasks(300)]
    curriculum.snapshot(path)
    told = {
        "seen": len(set(drawn)),
        "draws": curriculum.stats()["pool/draws/count"],
        "problems": curriculum.check(),
    }
    with Curriculum.restore(path, url, name + "-2") as other:
        told["same"] = other.get_tasks(50) == curriculum.get_tasks(50)
    print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is installed, without network."""
    place = tmp_path_factory.mktemp("outside") / "site"
    words = ["pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-index"]
    words += ["--no-deps", "--no-build-isolation", "--target", str(place), str(PACKAGE)]
    run(place, "-m", *words)
    assert (place / "replayed" / "draws" / "pick.lua").is_file()
    return place


def run(site: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=site.parent,
        env=os.environ | {"PYTHONPATH": str(site), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_passes_the_contract(site: Path) -> None:
    """Among others: its draws are those of its reference, bit for bit; snapshots have its keys."""
    (site.parent / "test_replayed.py").write_text(CONTRACT, encoding="utf-8")
    answer = run(
        site, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_replayed.py"
    )
    passed = re.search(r"^(\d+) passed in", answer, re.MULTILINE)
    assert passed, answer
    assert int(passed[1]) >= 28


def test_it_plays(site: Path, url: str, name: str) -> None:
    told = json.loads(run(site, "-c", PLAY, url, name, str(site.parent / "a.rcs")))
    assert told == {"seen": 30, "draws": 300, "problems": [], "same": True}
