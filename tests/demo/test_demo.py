"""The demo as a user starts it: a private server, worker processes, a picture, nothing left."""

from __future__ import annotations

import io
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from redis_curriculum import Curriculum
from redis_curriculum.config import DebiasedProgressConfig, UniformConfig
from redis_curriculum.demo import run_demo
from redis_curriculum.demo.run import algorithms, demo_config
from redis_curriculum.demo.worlds import WORLDS
from redis_curriculum.errors import CurriculumError, InvalidInputError, ServerUnavailableError


@pytest.mark.parametrize("family", list(WORLDS))
def test_the_whole_demo_in_short(tmp_path: Path, url: str, family: str) -> None:
    text = io.StringIO()
    report = run_demo(
        family=family,
        seconds=6,
        workers=2,
        seed=5,
        url=url,
        out=tmp_path / "new",
        console=Console(file=text),
    )
    assert active_children() == []
    assert report.picture.parent == tmp_path / "new"
    assert report.picture.is_file()
    assert [outcome.title for outcome in report.outcomes] == list(algorithms())
    for outcome in report.outcomes:
        assert outcome.training.lost == []
        assert outcome.training.episodes() > 0
        assert outcome.curve.steps[0] == 0
        assert set(outcome.after) == set(report.before) <= set(WORLDS[family].labels)
        with Curriculum.open(url, outcome.curriculum) as curriculum:
            stored = [curriculum.get_task_stats(task_id) for task_id in curriculum.task_ids()]
            applied = sum(record.completion_count for record in stored if record)
            assert applied >= outcome.training.episodes(), "what was learned from was reported"
            assert curriculum.check() == []
    printed = text.getvalue().replace("\n", "")
    assert str(report.picture.name) in printed
    assert all(outcome.curriculum in printed for outcome in report.outcomes)


def test_a_server_that_does_not_answer_is_named_at_once(tmp_path: Path) -> None:
    text = io.StringIO()
    with pytest.raises(ServerUnavailableError, match="does not answer"):
        run_demo(url=f"unix://{tmp_path}/none", out=tmp_path, console=Console(file=text))
    assert text.getvalue() == "", "no map was built before"


def test_what_is_compared_differs_in_the_curriculum_alone() -> None:
    assert algorithms() == {
        "debiased progress": DebiasedProgressConfig(),
        "uniform": UniformConfig(),
    }
    for world in WORLDS.values():
        first, second = (demo_config(world, given, 3) for given in algorithms().values())
        assert first.task_generator.generate(7) == second.task_generator.generate(7)
        assert first.model_copy(update={"algorithm": second.algorithm}) == second


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("family", "mazes"),
        ("seconds", 5),
        ("seconds", float("nan")),
        ("seconds", "60"),
        ("workers", 0),
        ("workers", 65),
        ("workers", 2.0),
        ("seed", -1),
        ("seed", None),
    ],
)
def test_bad_arguments(tmp_path: Path, field: str, value: Any) -> None:
    arguments: dict[str, Any] = {"out": tmp_path / "out", field: value}
    with pytest.raises(InvalidInputError, match=f"^{field} must be"):
        run_demo(**arguments)
    assert not (tmp_path / "out").exists()


def test_an_out_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(InvalidInputError, match="out must be a directory"):
            run_demo(out=out)


def test_without_the_extra_it_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redis_curriculum.demo.find_spec", lambda _: None)
    with pytest.raises(CurriculumError, match=r"gymnasium and matplotlib.*\[demo\]"):
        run_demo(out=tmp_path)
