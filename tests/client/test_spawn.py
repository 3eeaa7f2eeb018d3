"""A generator of the main program in processes that multiprocessing starts, whichever way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from redis_curriculum import Curriculum
from tests.servers import RunningServer

PROGRAM = """
import multiprocessing, sys
from redis_curriculum import Curriculum, CurriculumConfig, TaskSpec

url, name, method = sys.argv[1:]


class Mazes:
    def __init__(self, size=3):
        self.size = size

    def generate(self, task_id):
        return TaskSpec("maze", {"size": self.size + task_id % 9})


class Plain:
    def generate(self, task_id):
        return TaskSpec("maze", {})


def child(handle):
    attach = {
        "a config": lambda: Curriculum.open(url, name, CurriculumConfig(task_generator=Mazes())),
        "a generator": lambda: Curriculum.open(url, name, generator=Mazes()),
        "a handle": lambda: handle,
        "no more than its own": lambda: Curriculum.open(
            url, name + ".own", CurriculumConfig(task_generator=Plain())
        ),
    }
    for what, make in attach.items():
        with make() as curriculum:
            curriculum.evict(curriculum.task_ids()[0])
            curriculum.get_task()
            print(what, len(curriculum.task_ids()), flush=True)


if __name__ == "__main__":
    with (
        Curriculum.open(url, name, CurriculumConfig(task_generator=Mazes())) as curriculum,
        Curriculum.open(url, name + ".own", CurriculumConfig(task_generator=Plain())) as own,
    ):
        process = multiprocessing.get_context(method).Process(target=child, args=(curriculum,))
        process.start()
        process.join()
"""
DREW = [f"{what} 256" for what in ("a config", "a generator", "a handle", "no more than its own")]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "train.py").write_text(PROGRAM)
    return tmp_path


def run(program: Path, *words: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(program)}
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines() or [done.stderr]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("how", ["package/train.py", "-m"])
def test_children_find_the_generator_of_their_program(
    server: RunningServer, name: str, program: Path, how: str, method: str
) -> None:
    words = [how, "package.train"] if how == "-m" else [str(program / how)]
    assert run(program, *words, server.url, name, method) == DREW


def test_a_program_run_with_m_is_found_by_its_name(
    server: RunningServer, name: str, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who can import the module needs no more than the curriculum's name."""
    run(program, "-m", "package.train", server.url, name, "fork")
    monkeypatch.syspath_prepend(str(program))
    monkeypatch.setattr(sys, "argv", ["-", server.url, name, "fork"])
    with Curriculum.open(server.url, f"{name}.own") as curriculum:
        curriculum.evict(curriculum.task_ids()[0])
        curriculum.get_task()
        assert len(curriculum.task_ids()) == 256
    sys.modules.pop("package.train", None)
    sys.modules.pop("package", None)
