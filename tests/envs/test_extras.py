"""Wrappers whose library is not installed: which extra brings it."""

from __future__ import annotations

import subprocess
import sys

import pytest

NAMES = {
    "CurriculumEnv": "gymnasium",
    "CurriculumParallelEnv": "pettingzoo",
    "CurriculumVectorEnv": "gymnasium",
    "EvaluationEnv": "gymnasium",
    "TaskEnv": "gymnasium",
}


@pytest.mark.parametrize(("name", "extra"), NAMES.items())
def test_an_import_names_the_extra(name: str, extra: str) -> None:
    code = f"""
import sys
sys.modules[{extra!r}] = None  # as if it were not there
from redis_curriculum.envs import CurriculumPufferEnv, TaskSource  # these need nothing
from redis_curriculum.envs import {name}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ModuleNotFoundError: {name}: ")
    assert last.endswith(f"; pip install --upgrade 'redis-curriculum[{extra}]'")


def test_other_faults_of_an_import_stay_what_they_are() -> None:
    code = """
import sys
sys.modules["redis_curriculum.envs.episode"] = None
from redis_curriculum.envs import CurriculumEnv
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "redis_curriculum.envs.episode" in done.stderr.splitlines()[-1]
    assert "pip" not in done.stderr
