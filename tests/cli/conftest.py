"""The command line, called in this process or as one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest
import typer

from redis_curriculum import Curriculum, CurriculumConfig, LearningProgressConfig
from redis_curriculum.cli import main
from redis_curriculum.cli.app import app
from redis_curriculum.tasks import Buckets
from tests.servers import RunningServer, redis_server

ROOT = Path(__file__).parents[2]
MAZES = Buckets(label="maze-{size}", buckets={"size": [5, 9, 13]})


def commands() -> dict[str, set[str]]:
    """Every command and its options."""
    group = typer.main.get_command(app)
    return {
        name: {option for p in command.params for option in p.opts if option.startswith("--")}
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli(Protocol):
    def __call__(self, *words: object, url: str | None = None) -> Answer: ...


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str) -> Cli:
    """``main`` in this process, with the session's server in the environment."""

    def call(*words: object, url: str | None = url) -> Answer:
        with monkeypatch.context() as patch:
            patch.delenv("REDIS_CURRICULUM_URL", raising=False)
            if url is not None:
                patch.setenv("REDIS_CURRICULUM_URL", url)
            capsys.readouterr()
            with pytest.raises(SystemExit) as left:
                main([str(word) for word in words])
        captured = capsys.readouterr()
        code = left.value.code
        assert isinstance(code, int)
        assert "Traceback" not in captured.err
        if code:
            assert captured.out or "\n" not in captured.err.strip(), "a mistake is one line"
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture
def curriculum(url: str, name: str) -> Iterator[Curriculum]:
    """A curriculum in which everything has happened: results, evictions, two labels' progress."""
    config = CurriculumConfig(
        task_generator=MAZES, num_active_tasks=12, seed=3, algorithm=LearningProgressConfig()
    )
    with Curriculum.open(url, name, config) as opened:
        for i in range(20):
            for task_id in opened.task_ids()[:6]:
                opened.update_task_performance(task_id, i / 20)
        opened.get_tasks(5)
        opened.evict(opened.task_ids()[-1])
        yield opened


@pytest.fixture
def killable(tmp_path: Path, name: str, curriculum: Curriculum) -> Iterator[RunningServer]:
    """A server of its own that has the same curriculum, also after a kill."""
    snapshot = tmp_path / "a.rcs"
    curriculum.snapshot(snapshot)
    with redis_server(tmp_path, config=("--appendonly", "yes")) as server:
        Curriculum.restore(snapshot, server.url, name).close()
        yield server


def process(*words: object, **environment: str) -> subprocess.Popen[str]:
    """``python -m redis_curriculum`` in a process of its own, which the caller ends."""
    return subprocess.Popen(
        [sys.executable, "-m", "redis_curriculum", *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
