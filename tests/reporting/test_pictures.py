"""Pictures and the report: what they show is what is stored, whatever a label is called."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from redis_curriculum import AsyncCurriculum, Curriculum, CurriculumConfig
from redis_curriculum.errors import CurriculumError
from redis_curriculum.reporting import figures as by_bokeh
from redis_curriculum.reporting.page import report_page
from redis_curriculum.reporting.plots import DRAWINGS, LINES, occupancy, picture
from redis_curriculum.reporting.portrait import REST, Portrait, portrait
from redis_curriculum.tasks import Buckets
from tests.cli.conftest import Cli, cli
from tests.servers import RunningServer

__all__ = ["cli"]  # a fixture

HOSTILE = (
    *("<script>alert(1)</script>", "$x_1^$ & \\frac", "_hidden", "迷路", "long " * 40, "%s {0}"),
    *(f"maze-{i}" for i in range(30)),
)


@pytest.fixture
def hostile(url: str, name: str) -> Iterator[Curriculum]:
    """36 labels, two points of history, one closed epoch."""
    tasks = Buckets(label="{kind}", buckets={"kind": list(HOSTILE), "seed": list(range(500))})
    config = CurriculumConfig(task_generator=tasks, num_active_tasks=180)
    with Curriculum.open(url, name, config) as curriculum:
        for step in range(2):
            drawn = curriculum.get_tasks(200)
            curriculum.update_many([(task.task_id, float(task.task_id % 2)) for task in drawn])
            store = curriculum._store  # noqa: SLF001
            store.history_due = 0.0
            run(curriculum, store.server.command("HDEL", store.server.keys.history, "due_ms"))
            curriculum.get_task()
            if not step:
                curriculum.end_epoch(step=5)
        yield curriculum


def run(curriculum: Curriculum, plan: Any) -> Any:
    return curriculum._run(plan)  # noqa: SLF001


def read(curriculum: Curriculum) -> Portrait:
    found = run(curriculum, portrait(curriculum._store))  # noqa: SLF001
    assert isinstance(found, Portrait)
    return found


def test_lines_are_those_drawn_most_and_the_mean_of_the_rest(hostile: Curriculum) -> None:
    found, history = read(hostile), hostile.history()
    figure = picture(found)
    axes = {one.get_title(loc="left"): one for one in figure.axes}
    assert DRAWINGS.keys() <= axes.keys()
    lines = axes["Success rate, by label"].get_lines()
    texts = [text.get_text() for text in axes["Success rate, by label"].get_legend().get_texts()]
    assert len(lines) == len(texts) == LINES
    assert texts[-1].strip() == f"{REST} ({len(history.labels) - LINES + 1})"
    draws = np.nan_to_num(history.samples[-1])
    shown = sorted(np.argsort(-draws, kind="stable")[: LINES - 1].tolist())
    for line, column in zip(lines, shown, strict=False):
        np.testing.assert_array_equal(line.get_ydata(), history.success_rate[:, column])
    others = sorted(set(range(len(history.labels))) - set(shown))
    np.testing.assert_allclose(
        lines[-1].get_ydata(), np.nanmean(history.success_rate[:, others], axis=1)
    )
    names, known, fresh = occupancy(found, 10**6)
    assert dict(zip(names, (known + fresh).tolist(), strict=True)) == hostile.labels()
    assert occupancy(found, 5)[0][-1] == f"{REST} ({len(names) - 4})"


def test_bokeh_shows_the_same(hostile: Curriculum) -> None:
    found = read(hostile)
    drawn = by_bokeh.figures(found)
    assert drawn.keys() == DRAWINGS.keys()
    lines = drawn["Probability to be drawn, by label"].renderers[::2]
    curves = found.curves.shown(LINES)
    for column, renderer in enumerate(lines):
        data = renderer.data_source.data
        np.testing.assert_array_equal(data["y"], curves.probability[:, column])
        assert set(data["label"]) == {curves.labels[column]}
    page = by_bokeh.page(found)
    assert "<script>alert(1)</script>" not in page
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", page), "nothing is loaded"


def test_a_report_is_one_file_without_scripts(hostile: Curriculum) -> None:
    found = read(hostile)
    page = report_page(found, {"server": "redis://x", "Python": "3"})
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count('src="data:image/svg+xml;base64,') == len(DRAWINGS)
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    for text in ("redis://x", "gini/weights", "task_generator.kind", "num_active_tasks"):
        assert f"<td>{text}</td>" in page
    drawn = found.census.counts["samples"]["maze-7"]
    row = re.search(r"<tr><td>maze-7</td>(.*?)</tr>", page)
    assert row
    assert f"<td>{drawn}</td>" in row[1]


def test_without_history_the_epochs_are_drawn(url: str, name: str) -> None:
    tasks = Buckets(label="{kind}", buckets={"kind": ["a", "b"], "seed": list(range(900))})
    config = CurriculumConfig(task_generator=tasks, num_active_tasks=8)
    with Curriculum.open(url, name, config) as curriculum:
        for _ in range(3):
            curriculum.update_many([(t.task_id, 0.5) for t in curriculum.get_tasks(20)])
            curriculum.end_epoch()
        curves, reports = read(curriculum).curves, curriculum.epochs()
        expected = [[report.samples.get(label, 0) / 20 for label in "ab"] for report in reports]
        np.testing.assert_array_equal(curves.probability, expected)
        assert curriculum.plot().axes

        async def drawn() -> Any:
            async with AsyncCurriculum.open(url, name) as other:
                return await other.plot()

        assert len(asyncio.run(drawn()).axes) == len(DRAWINGS)


def test_nothing_to_draw_is_said(url: str, name: str) -> None:
    tasks = Buckets(label="{kind}", buckets={"kind": ["a"], "seed": list(range(99))})
    with Curriculum.open(
        url, name, CurriculumConfig(task_generator=tasks, num_active_tasks=1)
    ) as one:
        assert one.plot(), "a pool that nobody has drawn from"
        one.evict(one.task_ids()[0])
        with pytest.raises(CurriculumError, match="no tasks to draw yet"):
            one.plot()


def test_files_of_the_command_line(
    cli: Cli,
    hostile: Curriculum,
    server: RunningServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begins = {"a.png": b"\x89PNG", "a.svg": b"<?xml", "a.html": b"<!DOCTYPE html>"}
    for name, begin in begins.items():
        answer = cli("plot", hostile.name, "--out", tmp_path / name)
        assert answer.code == 0
        assert (tmp_path / name).read_bytes().lstrip().startswith(begin)
    assert cli("report", hostile.name, "--out", tmp_path / "r.html").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [*sorted(begins), "r.html"]
    wrong = {
        "a.png": "--overwrite replaces one",
        "no/b.png": "in a directory that exists",
        "b.jpg": "ends in .png or .svg or .html",
    }
    for name, text in wrong.items():
        answer = cli("plot", hostile.name, "--out", tmp_path / name)
        assert (answer.code, answer.out) == (2, "")
        assert text in answer.err
    assert cli("report", hostile.name, "--out", tmp_path / "r.html", "--overwrite").code == 0
    for hidden, file, extra in (
        ("matplotlib.figure", "c.svg", "plot"),
        ("bokeh.plotting", "c.html", "dashboard"),
    ):
        for module in (hidden.partition(".")[0], hidden):
            monkeypatch.setitem(sys.modules, module, None)
        answer = cli("plot", hostile.name, "--out", tmp_path / file)
        assert answer.code == 1
        assert f"redis-curriculum[{extra}]" in answer.err
        assert not (tmp_path / file).exists()
