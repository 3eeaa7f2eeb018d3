"""A family of another package, with keys and a way to draw of its own, found by its entry point."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = [Path(__file__).with_name(name) for name in ("plr", "lessons")]
CONTRACT = """
import pytest
from lessons import LessonsConfig
from replayed import ReplayedConfig
from redis_curriculum.testing import ScorerContract

class TestReplayed(ScorerContract):
    @pytest.fixture
    def scorer(self):
        return ReplayedConfig()

class TestLessons(ScorerContract):
    @pytest.fixture
    def scorer(self):
        return LessonsConfig()
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


TEACH = """
import json, sys
from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.tasks import Buckets
from lessons import LessonsConfig

url, name, path = sys.argv[1:]
mazes = Buckets(label="maze-{size}", buckets={"size": [5, 9, 13]})
config = CurriculumConfig(
    task_generator=mazes, num_active_tasks=30, labels_retained=1, seed=4,
    algorithm=LessonsConfig(review_share=0.0, least_count=5, pass_rate=0.6),
)

def server(curriculum, *words):
    store = curriculum._store
    key = words[1] and f"{store.server.keys.pool}{words[1]}"
    return curriculum._run(store.server.command(words[0], key, *words[2:]))

def lesson(curriculum):
    return server(curriculum, "HGET", "own_texts:lesson", "current")

with Curriculum.open(url, name, config) as curriculum:
    first = {task.label for task in curriculum.get_tasks(20)}
    (taught,) = first
    for task in curriculum.get_tasks(12):
        curriculum.update_task_performance(task.task_id, 1.0)
    told = {"taught": [lesson(curriculum) == taught]}
    following = {task.label for task in curriculum.get_tasks(20)}
    told["others"] = len(following) == 1 and not following & first
    told["notes"] = server(curriculum, "HGET", "own_texts:notes", taught)
    curriculum.snapshot(path)
    told["figure"] = curriculum.stats()[f"label/stage/{taught}"]
    with Curriculum.restore(path, url, name + "-2") as other:
        told["restored"] = other.check()
        both, words = (curriculum, other), (0, -1, "WITHSCORES")
        told["stages"] = [server(one, "ZRANGE", "own_labels:stage", *words) for one in both]
        told["open"] = [server(one, "ZRANGE", "own_labels:open", *words) for one in both]
        told["same"] = other.get_tasks(50) == curriculum.get_tasks(50)
    server(curriculum, "ZADD", "own_labels:open", 77, taught)
    server(curriculum, "ZADD", "own_labels:stage", 1, "nobody")
    server(curriculum, "HDEL", "own_texts:notes", taught)
    server(curriculum, "HSET", "own_texts:other", "a", "b")
    told["damage"] = curriculum.check()
    server(curriculum, "DEL", "own_texts:other")
    told["repaired"] = curriculum.check(repair=True)
    told["mended"] = [
        server(curriculum, "ZSCORE", "own_labels:open", taught),
        server(curriculum, "ZSCORE", "own_labels:stage", "nobody"),
        server(curriculum, "HGET", "own_texts:notes", taught),
    ]
    for label in sorted(curriculum.labels()):
        for task_id in curriculum.task_ids(label=label):
            curriculum.set_label(task_id, "one")
    told["kept"] = sorted(server(curriculum, "ZRANGE", "own_labels:stage", 0, -1))
    told["end"] = curriculum.check()
    print(json.dumps(told | {"label": taught}))
Curriculum.delete(url, name)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is installed, without network."""
    place = tmp_path_factory.mktemp("outside") / "site"
    words = ["pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-index"]
    words += ["--no-deps", "--no-build-isolation", "--target", str(place)]
    run(place, "-m", *words, *map(str, PACKAGES))
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
    assert int(passed[1]) >= 56


def test_it_plays(site: Path, url: str, name: str) -> None:
    told = json.loads(run(site, "-c", PLAY, url, name, str(site.parent / "a.rcs")))
    assert told == {"seen": 30, "draws": 300, "problems": [], "same": True}


def test_keys_of_labels_texts_and_an_index(site: Path, url: str, name: str) -> None:
    """A label's stage and note, the name of the current lesson, and the open labels."""
    told = json.loads(run(site, "-c", TEACH, url, name, str(site.parent / "b.rcs")))
    label = told.pop("label")
    assert told.pop("taught") == [True]
    assert told.pop("others")
    assert told.pop("notes") == "passed"
    assert told.pop("figure") == 1
    assert told.pop("restored") == []
    stages, opened = told.pop("stages"), told.pop("open")
    assert stages[0] == stages[1]
    assert label in stages[0]
    assert opened[0] == opened[1]
    assert label not in opened[0]
    assert told.pop("same")
    damage = told.pop("damage")
    assert len(damage) == 4
    assert "own_texts:other: nothing knows it" in damage[0]
    assert damage[1:] == [
        f"label {label!r}: lacks its notes",
        "label 'nobody': in a key of the family's own, but not known",
        f"own_labels:open of {label!r}: has 77.0, by the records it is None",
    ]
    assert told.pop("repaired") == []
    assert told.pop("mended") == [None, None, "new"]
    kept = told.pop("kept")
    assert len(kept) == 2, "of the labels without tasks one is remembered"
    assert "one" in kept
    assert told.pop("end") == []
    assert told == {}
