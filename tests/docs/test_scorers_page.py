"""The family of the page "Add a scorer" is built, installed, played and tested from outside."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._values import fields
from redis_curriculum._values.rules import In
from redis_curriculum.errors import InvalidInputError
from tests.docs.pages import page, rows, section

PAGE = page("develop/scorers.md")
_BLOCK = re.compile(
    r"^```\{code-block\} \w+\n:caption: (\S+)\n\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
FILES = {name.replace("\\", ""): text for name, text in _BLOCK.findall(PAGE)}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files; the package is installed in ``site/``, without network."""
    place = tmp_path_factory.mktemp("intermediate")
    for name, text in FILES.items():
        path = place / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    words = ["pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-index"]
    words += ["--no-deps", "--no-build-isolation", "--target", str(place / "site")]
    run(place, *words, str(place / "project"))
    assert (place / "site" / "intermediate" / "intermediate.lua").is_file()
    return place


def run(project: Path, *words: str, **environment: str) -> str:
    """What ``python -m`` prints, with the installed family and without the tests' own modules."""
    known = {"PYTHONPATH": str(project / "site"), "COLUMNS": "200", **environment}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=project,
        env=os.environ | known,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_has_a_package_of_a_few_lines() -> None:
    assert set(FILES) == {
        "intermediate/__init__.py",
        "intermediate/intermediate.lua",
        "pyproject.toml",
        "tests/test_intermediate.py",
        "play.py",
    }
    of_class = FILES["intermediate/__init__.py"].partition("class ")[2]
    assert len(of_class.splitlines()) <= 30


def test_the_family_plays(project: Path, url: str) -> None:
    text = FILES["play.py"].replace("redis://localhost:6379/0", url)
    (project / "played.py").write_text(text, encoding="utf-8")
    doubt, drawn = map(float, run(project, "played").splitlines())
    assert 0 <= doubt <= 1
    assert drawn > 500, "most of 1,000 draws: the others succeed always, or never"

    def told(*words: str) -> Any:
        command = ("redis_curriculum", *words, "mazes", "--json")
        return json.loads(run(project, *command, REDIS_CURRICULUM_URL=url))

    for row in (*told("tasks"), *told("labels")):
        p = row["success_rate_ema"]
        assert row["doubt"] == (None if p is None else 4 * p * (1 - p))
    assert any(row["doubt"] for row in told("tasks")), "stored on the server"
    assert told("status")["config"]["algorithm"]["kind"] == "intermediate"
    assert told("check")["problems"] == []
    with pytest.raises(InvalidInputError, match=r"kind must be one of .*got 'intermediate'"):
        Curriculum.open(url, "mazes")


def test_the_family_passes_the_contract(project: Path) -> None:
    """With a private server, which the contract starts by itself."""
    words = ["pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "project/tests"]
    answer = run(project, *words)
    passed = re.search(r"^(\d+) passed in", answer, re.MULTILINE)
    assert passed, answer
    assert int(passed[1]) >= 40


def test_the_types_have_the_intervals_of_the_reference() -> None:
    table = dict(rows(page("reference/scorers.md")))
    for name, values in table.items():
        notes = getattr(fields, name.strip("`")).__metadata__
        for interval in (note.interval for note in notes if isinstance(note, In)):
            assert values.endswith(f" in {interval}")
    assert len(table) == 5


def test_the_page_names_what_is_there() -> None:
    from redis_curriculum import scorers

    for name in re.findall(r"`(\w+)`", section(PAGE, "What a family says")):
        known = {**vars(scorers), **vars(scorers.Scorer), **scorers.Scorer.model_fields}
        known |= {**vars(scorers.StateDraws), "STATES": scorers.StateDraws}
        locals_of_lua = {"p", "track", "weight_is_rank", "is_optional", "low", "high", "Needs"}
        locals_of_lua |= {"Literal", "exp", "log"}
        assert name in known or name in locals_of_lua, name
