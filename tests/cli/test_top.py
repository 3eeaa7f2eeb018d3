"""``top``: its rows, the application under Textual's Pilot, and a real terminal."""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from redis_curriculum import Curriculum, CurriculumConfig, LearningProgressConfig
from redis_curriculum.cli.session import session
from redis_curriculum.cli.top_app import Record, Top
from redis_curriculum.cli.top_rows import Memory, spark, table
from redis_curriculum.cli.top_table import Rows
from redis_curriculum.reporting.view import Reader, view
from redis_curriculum.tasks import Single
from tests.cli.conftest import Cli
from tests.cli.test_acl import admit
from tests.servers import RunningServer

ROOT = Path(__file__).parents[2]
SLOW_S = 60.0


@contextmanager
def top(url: str, name: str, interval_s: float = 0.1) -> Iterator[Top]:
    """The application as the command makes it."""
    with session(url) as server, session(url) as beside:
        reader = Reader(lambda: server.store(name), server.run)
        details = Reader(lambda: beside.store(name), beside.run)
        first = reader.read(view)
        yield Top(name, url, reader=reader, details=details, first=first, interval_s=interval_s)


def piloted(
    app: Top, act: Callable[[Pilot[None]], Coroutine[Any, Any, None]], width: int = 80
) -> None:
    """Run the application in a terminal of no screen, and act."""

    async def run() -> None:
        async with app.run_test(size=(width, 24)) as pilot:
            await act(pilot)

    asyncio.run(run())


async def until(pilot: Pilot[None], true: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + SLOW_S
    while not true():
        assert time.monotonic() < end, drawn(pilot)
        await pilot.pause(0.02)


def drawn(pilot: Pilot[None]) -> str:
    """What the terminal shows, as text."""
    screen = pilot.app.screen
    return "\n".join(strip.text for strip in screen._compositor.render_strips())  # noqa: SLF001


def rows(app: Top, what: str) -> Rows:
    return app.screen_stack[0].query_one(f"#table-{what}", Rows)


def keys(app: Top, what: str) -> list[Any]:
    """What the rows of a table are about; none before it is first shown."""
    found = rows(app, what).table
    return [] if found is None else list(found.keys)


def test_the_tables_agree_with_the_curriculum(curriculum: Curriculum, url: str) -> None:
    """Every column of the labels and of the tasks, and their order, as the handle reads them."""
    memory = Memory()
    with session(url) as server:
        memory.add(Reader(lambda: server.store(curriculum.name), server.run).read(view))
    labels = table(memory, "labels", "prob.", reverse=False, text="")
    records = curriculum.label_stats()
    assert list(labels.keys) == list(records)
    for at, record in enumerate(records.values()):
        label, chance, _, progress, success, _, draws, tasks, results, failures = labels.row(at)
        assert (label, chance, tasks) == (record.label, record.probability, record.tasks)
        assert progress == (record.learning_progress or progress)
        assert success == (record.success_rate_ema or success)
        assert math.isnan(draws), "there is one reading only"
        assert results == record.counters["completions"]
        assert failures == record.counters["failures"]
    tasks_ = table(memory, "tasks", "draws", reverse=True, text="")
    columns = curriculum.records()
    by_id = dict(zip(columns["task_id"].tolist(), columns["sample_count"].tolist(), strict=True))
    assert sorted(tasks_.keys) == curriculum.task_ids()
    counts = [tasks_.row(at)[5] for at in range(len(tasks_.keys))]
    assert counts == sorted(by_id.values())
    assert [by_id[int(key)] for key in tasks_.keys] == counts
    label = next(iter(records))
    for text in (label.upper(), f"={label}"):
        found = table(memory, "tasks", "age", reverse=False, text=text)
        assert sorted(found.keys) == curriculum.task_ids(label)
    (only,) = table(memory, "tasks", "task", reverse=False, text=str(tasks_.keys[0])).keys
    assert only == tasks_.keys[0]
    (worker,) = table(memory, "workers", "lag", reverse=False, text="").keys
    assert worker == curriculum.worker_id
    kinds = table(memory, "events", "ago", reverse=False, text="evicted")
    assert len(kinds.keys) == sum(event.kind == "evicted" for event in curriculum.events(200))


def test_what_is_not_known_comes_last(url: str, name: str) -> None:
    """Tasks without a result, in either order."""
    config = CurriculumConfig(
        task_generator=Single(label="only"), num_active_tasks=6, algorithm=LearningProgressConfig()
    )
    with Curriculum.open(url, name, config) as curriculum, session(url) as server:
        for _ in range(8):
            curriculum.update_many([(task_id, 0.5) for task_id in curriculum.task_ids()[:2]])
        memory = Memory()
        memory.add(Reader(lambda: server.store(name), server.run).read(view))
        for reverse in (False, True):
            found = table(memory, "tasks", "success", reverse=reverse, text="")
            known = [not math.isnan(found.row(at)[4]) for at in range(6)]
            assert known == [True] * 2 + [False] * 4


def test_a_label_is_text_and_cut_to_its_column(url: str, name: str) -> None:
    """No markup, no control characters, and no more room than there is; also with wide letters."""
    label = "[red]二[/red]" + "二" * 60
    config = CurriculumConfig(task_generator=Single(label=label), num_active_tasks=6)

    async def act(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "[red]二[/red]" in drawn(pilot))
        line = next(line for line in drawn(pilot).splitlines() if "[red]" in line)
        assert "…" in line
        assert "100.00%" in line
        assert cell_len(line) == 80

    with Curriculum.open(url, name, config), top(url, name) as app:
        piloted(app, act)


def test_a_small_history_ends_at_its_latest_value() -> None:
    assert spark([], 4) == "    "
    assert spark([0.0, 0.5, 1.0], 4) == " ▁▅█"
    assert spark([math.nan, 2.0, 4.0, 0.0, 4.0], 4) == "▅█▁█"
    assert spark([0.0, 0.0], 2) == "▁▁"


def test_from_a_label_to_a_record_and_back(curriculum: Curriculum, url: str) -> None:
    label, record = next(iter(curriculum.label_stats().items()))

    async def act(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: f"{100 * record.probability:.2f}%" in drawn(pilot))
        assert curriculum.name in drawn(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: len(keys(app, "tasks")) == record.tasks)
        assert rows(app, "tasks").has_focus
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, Record))
        task_id = rows(app, "tasks").key
        stored = curriculum.get_task_stats(int(task_id or 0))
        assert stored is not None
        await until(pilot, lambda: f"sample_count          {stored.sample_count}" in drawn(pilot))
        curriculum.evict(stored.task_id)
        await until(pilot, lambda: "is not in the pool" in drawn(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Record))
        await pilot.press("escape")
        await until(pilot, lambda: len(keys(app, "tasks")) > record.tasks)
        await pilot.press("q")

    with top(url, curriculum.name) as app:
        piloted(app, act)
    assert app.return_code == 0
    assert label in curriculum.labels()


def test_sorting_filtering_and_what_arrives(curriculum: Curriculum, url: str) -> None:
    async def act(pilot: Pilot[None]) -> None:
        labels = rows(app, "labels")
        await until(pilot, lambda: labels.table)
        await pilot.press("s")
        assert labels.sort == "progress"
        await pilot.press("r")
        assert labels.is_reversed
        assert "progress▲" in drawn(pilot)
        await pilot.click("#table-labels", offset=(3, 0))
        assert (labels.sort, labels.is_reversed) == ("label", False)
        assert keys(app, "labels") == sorted(curriculum.labels())
        held = labels.key
        await pilot.press("r")
        assert labels.key == held, "the cursor stays at its label"
        await pilot.press("slash", *"-13", "enter")
        assert keys(app, "labels") == ["maze-13"]
        assert labels.has_focus
        await pilot.press("2")
        await until(pilot, lambda: rows(app, "tasks").has_focus)
        curriculum.report_failure(curriculum.task_ids()[0], "broken")
        await pilot.press("4")
        await until(pilot, lambda: "error broken" in drawn(pilot))
        await until(pilot, lambda: app.memory.rates["failures"])
        await pilot.press("end", "enter")
        await pilot.press("3")
        await until(pilot, lambda: curriculum.worker_id in drawn(pilot))
        await pilot.resize_terminal(160, 40)
        await until(pilot, lambda: app.screen.query_one("#side-events", Rows).table)
        assert drawn(pilot).count(curriculum.worker_id) == 2

    with top(url, curriculum.name) as app:
        piloted(app, act)


def test_a_server_goes_away_and_comes_back(name: str, killable: RunningServer) -> None:
    async def act(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "11 of 12 tasks" in drawn(pilot))
        killable.kill()
        await until(pilot, lambda: "no reading since" in drawn(pilot))
        assert "does not answer" in drawn(pilot)
        await pilot.press("2", "s", "enter")  # its record cannot be read either
        await until(pilot, lambda: isinstance(app.screen, Record))
        await pilot.press("escape")
        killable.start()
        await until(pilot, lambda: "11 of 12 tasks" in drawn(pilot))
        assert "no reading" not in drawn(pilot)
        Curriculum.delete(killable.url, name)
        await until(pilot, lambda: f"no curriculum named '{name}'" in drawn(pilot))

    with top(killable.url, name) as app:
        piloted(app, act)


def test_a_viewer_may_watch(cli: Cli, curriculum: Curriculum, server: RunningServer) -> None:
    line = cli("acl", curriculum.name, "--json").json["viewer"]
    url = admit(server, line)
    try:

        async def act(pilot: Pilot[None]) -> None:
            await until(pilot, lambda: app.memory.before)
            await pilot.press("2")
            await until(pilot, lambda: rows(app, "tasks").key)
            await pilot.press("enter")
            await until(pilot, lambda: "sample_count" in drawn(pilot))

        with top(url, curriculum.name) as app:
            piloted(app, act)
    finally:
        with server.client() as client:
            client.acl_deluser(line.split()[2])


def test_where_nothing_can_be_drawn(
    cli: Cli, curriculum: Curriculum, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe, a terminal that cannot move its cursor, a tiny one, no Textual: a line each."""
    name = curriculum.name
    assert cli("top", name, "--interval", "0").code == 2
    answer = cli("top", name)
    assert answer.code == 2
    assert "status --watch" in answer.err
    monkeypatch.setattr("redis_curriculum.cli.top.sys", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert "TERM must be" in cli("top", name).err
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "39")
    answer = cli("top", name)
    assert (answer.code, "at least 40 columns" in answer.err) == (2, True)
    monkeypatch.setenv("COLUMNS", "80")
    answer = cli("top", f"{name}x")
    assert answer.code == 1
    assert f"did you mean '{name}'?" in answer.err
    monkeypatch.setitem(sys.modules, "textual", None)
    answer = cli("top", name)
    assert (answer.code, "redis-curriculum[top]" in answer.err) == (1, True)


class Terminal:
    """Streams of a terminal."""

    def __init__(self) -> None:
        self.stdin = self.stdout = self

    def isatty(self) -> bool:
        return True


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_a_real_terminal_is_left_as_it_was(curriculum: Curriculum, url: str) -> None:
    """tmux at 80 by 24: it draws, follows a new size, leaves the screen and its settings."""
    with tmux(url) as call:
        ask = "echo marker-$((40 + 2)); stty -a > $S/before"
        run = f"{sys.executable} -m redis_curriculum top {curriculum.name}; echo code-$?"
        call("send-keys", f"{ask}; {run}; stty -a > $S/after; echo over", "Enter")
        shown(call, "maze-13")
        lines = call("capture-pane", "-p").splitlines()
        assert max(map(len, lines)) <= 80
        assert call("display", "-p", "#{alternate_on}").strip() == "1"
        call("resize-window", "-x", "160", "-y", "50")
        shown(call, curriculum.worker_id)
        call("resize-window", "-x", "50", "-y", "15")
        shown(call, "labels")
        call("send-keys", "q")
        text = shown(call, "\nover")
        assert "marker-42" in text, "the shell's screen is there again"
        assert "code-0" in text
        assert call("display", "-p", "#{alternate_on}#{mouse_any_flag}").strip() == "00"
        folder = Path(call("show-environment", "S").strip().removeprefix("S="))
        before, after = ((folder / name).read_text() for name in ("before", "after"))
        assert before.splitlines()[1:] == after.splitlines()[1:]  # the first has the size


@contextmanager
def tmux(url: str) -> Iterator[Callable[..., str]]:
    """A terminal of 80 by 24 with a shell; yields a function that calls tmux."""
    socket = f"rct-{secrets.token_hex(4)}"
    folder = Path("/tmp") / socket  # noqa: S108 - with a name of its own
    folder.mkdir(mode=0o700)

    def call(*words: str) -> str:
        found = subprocess.run(
            ["tmux", "-L", socket, *words], check=True, capture_output=True, text=True
        )
        return found.stdout

    environment = os.environ | {"PYTHONPATH": str(ROOT), "REDIS_CURRICULUM_URL": url}
    for name in ("COLUMNS", "LINES"):  # a program that has them does not ask the terminal
        environment.pop(name, None)
    try:
        words = ["new-session", "-d", "-x", "80", "-y", "24", f"S={folder} bash --norc --noprofile"]
        subprocess.run(
            ["tmux", "-L", socket, "-f", "/dev/null", *words], check=True, env=environment
        )
        call("set-environment", "S", str(folder))
        yield call
    finally:
        subprocess.run(["tmux", "-L", socket, "kill-server"], check=False)
        shutil.rmtree(folder)


def shown(call: Callable[..., str], text: str) -> str:
    """Wait until the terminal shows a text."""
    end = time.monotonic() + SLOW_S
    while text not in (found := call("capture-pane", "-p")):
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return found
