"""Statistics and hyperparameters are declared once: everything else follows from the declaration.

A copy of the package gets one statistic and one hyperparameter more, by one edit each. A process
that uses the copy says what has followed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import redis_curriculum
from redis_curriculum._protocol.scripts import folder
from redis_curriculum.scorers import DebiasedProgressConfig, LearningProgressConfig, SigmoidDraws
from tests.docs.pages import ROOT

PACKAGE = Path(redis_curriculum.__file__).parent
PYTHON, LUA = "redis_curriculum/scorers/learning_progress.py", "scorers/learning_progress.lua"

STATISTIC = (
    '        Statistic("p_true", ',
    '        Statistic("best_score", "Highest score, fading.", is_optional=True),\n',
)
HYPERPARAMETER = (
    "    performance_bonus_weight: Annotated",
    """\
    fading: Annotated[Fraction, TUNABLE] = Field(
        default=0.25, description="Part of best_score that a result takes away."
    )
""",
)
RULE = (
    '        found["learning_progress"] = ',
    """\
        faded = of.get("best_score", 0.0) * (1 - self.fading)
        found["best_score"] = max(faded, score)
""",
)
RULE_IN_LUA = (
    "  if first then\n",
    "  p.best_score = math.max((p.best_score or 0) * (1 - fading), s)\n",
)

CHILD = """
import json, sys
from from_code import settings, statistics
from typer.testing import CliRunner
import redis_curriculum
from redis_curriculum import Curriculum, CurriculumConfig, LearningProgressConfig
from redis_curriculum._protocol.scripts import load
from redis_curriculum._store.variant import variant_of
from redis_curriculum.cli.app import app
from redis_curriculum.config import resume_rule
from redis_curriculum.tasks import Single

url, name, path = sys.argv[1:]
def shown(*words):
    answer = CliRunner().invoke(app, [*words, "--url", url])
    assert answer.exit_code == 0, answer.output
    return answer.output

scorer = LearningProgressConfig(fading=0.5)
config = CurriculumConfig(task_generator=Single(label="l"), num_active_tasks=3, algorithm=scorer)
with Curriculum.open(url, name, config) as curriculum:
    task_id = curriculum.task_ids()[0]
    curriculum.update_many([(task_id, 0.5), (task_id, 0.75), (task_id, 0.125)])
    record = curriculum.get_task_stats(task_id)
    curriculum.snapshot(path)
with Curriculum.restore(path, url, name + ".2", overrides={"fading": 1.0}) as restored:
    restored.update_task_performance(task_id, 0.0625)
    again = restored.get_task_stats(task_id)
    assert restored.check() == []
print(json.dumps({
    "package": redis_curriculum.__file__,
    "record": record.fields(),
    "attribute": record.best_score,
    "restored": again.fields(),
    "config": restored.config.model_dump()["algorithm"],
    "rule": resume_rule("algorithm.fading").value,
    "task": json.loads(shown("task", name, str(task_id), "--json")),
    "facts": shown("task", name, str(task_id)),
    "labels": json.loads(shown("labels", name, "--json")),
    "settings": settings("LearningProgressConfig"),
    "statistics": statistics("LearningProgressConfig"),
    "step": load("step", variant_of(scorer)).source,
    "moment": load("moment_tasks", variant_of(scorer)).source,
}))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the package and its Lua files."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "copy" / PACKAGE.name, ignore=ignore)
    if folder().parent != PACKAGE:
        shutil.copytree(folder(), tmp_path / "copy" / "lua")
    return tmp_path / "copy"


def insert(path: Path, before: str, lines: str) -> None:
    """One edit: new lines before a line that is there once."""
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, lines + before), encoding="utf-8")


def lua_of(copy: Path) -> Path:
    inside = copy / PACKAGE.name / "lua" / LUA
    return inside if inside.is_file() else copy / "lua" / LUA


def followed(copy: Path, url: str, name: str) -> dict[str, Any]:
    """What a process with the copy answers."""
    place = os.pathsep.join([str(copy), str(ROOT / "docs" / "_ext")])
    words = [sys.executable, "-c", CHILD, url, name, str(copy / "a.rcs")]
    environment = os.environ | {"PYTHONPATH": place, "COLUMNS": "200"}
    done = subprocess.run(
        words, cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert Path(found["package"]).parent == copy / PACKAGE.name
    return found


def assert_everywhere(found: dict[str, Any]) -> None:
    for row in (found["record"], found["restored"], found["task"], found["labels"][0]):
        names = list(row)
        assert names.index("best_score") == names.index("p_true") - 1, "in the declared order"
    assert re.search(r"^best_score", found["facts"], re.MULTILINE)
    assert found["config"]["fading"] == 1.0
    assert found["rule"] == "tunable"
    assert re.search(
        r"^\| `fading` \| `0\.25` \| tunable \| .* \|$", found["settings"], re.MULTILINE
    )
    assert re.search(
        r"^\| `best_score` \| task and label \| .* \|$", found["statistics"], re.MULTILINE
    )
    assert re.search(r"^local .*, fading, performance_bonus_weight, ", found["step"], re.MULTILINE)
    assert len(re.findall(r"p\.best_score, p\.p_true|p\.best_score or 0 / 0", found["step"])) >= 1
    assert "'best_score', 'p_true'" in found["moment"]


def test_one_edit_each_and_everything_follows(copy: Path, url: str, name: str) -> None:
    insert(copy / PYTHON, *STATISTIC)
    insert(copy / PYTHON, *HYPERPARAMETER)
    found = followed(copy, url, name)
    assert_everywhere(found)
    assert found["attribute"] is None, "no rule gives it a value yet"


def test_a_line_in_each_twin_gives_the_statistic_its_value(copy: Path, url: str, name: str) -> None:
    insert(copy / PYTHON, *STATISTIC)
    insert(copy / PYTHON, *HYPERPARAMETER)
    insert(copy / PYTHON, *RULE)
    insert(lua_of(copy), *RULE_IN_LUA)
    found = followed(copy, url, name)
    assert_everywhere(found)
    assert found["attribute"] == 0.375, "max of 0.125 and half of 0.75"
    assert found["task"]["best_score"] == found["labels"][0]["best_score"] == 0.375
    assert found["restored"]["best_score"] == 0.0625, "the snapshot had it, and fading was 1 then"


# --- names ---------------------------------------------------------------------------------------

MOST_FILES = 3
SETTINGS = (
    LearningProgressConfig.model_fields.keys()
    - SigmoidDraws.model_fields.keys()
    - DebiasedProgressConfig.model_fields.keys()
)
"""Those of one family, which its draws do not share."""


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_setting_is_named_in_few_files(name: str) -> None:
    assert "performance_bonus_weight" in SETTINGS
    sources = [*PACKAGE.rglob("*.py"), *folder().rglob("*.lua")]
    used = re.compile(rf"\b{name}(?:_is_\w+)?\b")
    files = [str(path) for path in sources if used.search(path.read_text(encoding="utf-8"))]
    assert 2 <= len(files) <= MOST_FILES, files
