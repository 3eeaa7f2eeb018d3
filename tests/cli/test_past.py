"""What has happened: four commands. Also ``--json`` anywhere, completion, examples."""

from __future__ import annotations

import json
import re
import shlex
import signal
from typing import Any

import numpy as np
import pytest
import typer

from redis_curriculum import Curriculum
from redis_curriculum.cli.app import app
from redis_curriculum.cli.examples import EXAMPLES
from redis_curriculum.cli.output import print_table
from tests.cli.conftest import Cli, commands, process


def keep_point(curriculum: Curriculum) -> None:
    curriculum._store.history_due = 0.0  # noqa: SLF001
    curriculum.get_task()


def test_history(cli: Cli, curriculum: Curriculum) -> None:
    assert cli("history", curriculum.name).out.startswith("no history yet")
    keep_point(curriculum)
    kept = curriculum.history()
    found = cli("history", curriculum.name, "--json").json
    assert found["labels"] == list(kept.labels)
    assert found["time_ms"] == kept.time_ms.tolist()
    np.testing.assert_array_equal(np.array(found["share"], dtype=float), kept.share)
    answer = cli("history", curriculum.name, "--labels", "maze-5")
    assert "1 points" in answer.err
    assert [line.split()[0] for line in answer.out.splitlines()] == ["label", "maze-5"]
    assert f"{100 * kept.share[0, kept.labels.index('maze-5')]:.2f} %" in answer.out
    assert len(cli("history", curriculum.name, "--labels", "2", "--json").json["labels"]) == 2


def test_epochs(cli: Cli, curriculum: Curriculum) -> None:
    closed = curriculum.end_epoch(step=700)
    header, first, second = cli("epochs", curriculum.name).out.splitlines()
    assert header.split()[:4] == ["epoch", "ended", "time", "step"]
    assert first.split()[0] == "0"
    assert {"700", str(closed.totals["samples"])} <= set(first.split())
    assert second.split()[:2] == ["1", "-"]
    found = cli("epochs", curriculum.name, "--json").json
    assert [row["step"] for row in found] == [700, None]
    assert found[0]["samples"] == dict(closed.samples)


def test_events_and_quarantine(cli: Cli, curriculum: Curriculum) -> None:
    assert cli("quarantine", curriculum.name).out == "no task is in quarantine\n"
    bad = curriculum.task_ids()[0]
    curriculum.report_failure(bad, "no door", permanent=True)
    _, row = cli("quarantine", curriculum.name).out.splitlines()
    assert row.split(maxsplit=1) == [str(bad), "no door"]
    lines = cli("events", curriculum.name, "--count", 2).out.splitlines()
    assert len(lines) == 2
    assert f"task_id={bad}" in "".join(lines)
    assert len(cli("events", curriculum.name, "--json").json) == len(curriculum.events(20))
    answer = cli("events", curriculum.name, "--count", 0)
    assert (answer.code, answer.out) == (2, "")


def test_events_are_followed_until_ctrl_c(curriculum: Curriculum, url: str) -> None:
    words = ("events", curriculum.name, "--follow", "--json", "--count", 1)
    watching = process(*words, REDIS_CURRICULUM_URL=url)
    try:
        assert watching.stdout is not None
        before = json.loads(watching.stdout.readline())
        gone = curriculum.task_ids()[0]
        curriculum.evict(gone)
        seen: dict[str, Any] = {}
        while seen.get("fields", {}).get("task_id") != gone:
            seen = json.loads(watching.stdout.readline())
            assert seen["event_id"] > before["event_id"]
        assert seen["kind"] == "evicted"
    finally:
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=60)
    assert (watching.returncode, err) == (130, "redis-curriculum: error: interrupted\n")


def test_tasks_by_label_order_and_number(cli: Cli, curriculum: Curriculum) -> None:
    every = cli("tasks", curriculum.name, "--json").json
    five = cli("tasks", curriculum.name, "--label", "maze-5", "--sort", "samples", "--json").json
    counts = [row["sample_count"] for row in five]
    assert counts == sorted(counts, reverse=True)
    assert len(five) == sum(row["label"] == "maze-5" for row in every)
    answer = cli("tasks", curriculum.name, "--limit", 2, "--sort", "task")
    assert f"the first 2 of {len(every)} tasks by task (--limit)" in answer.err
    ids = [int(line.split()[0]) for line in answer.out.splitlines()[1:]]
    assert ids == sorted(row["task_id"] for row in every)[:2]
    progress = cli("tasks", curriculum.name, "--sort", "progress", "--json").json
    known = [row["learning_progress"] for row in progress]
    assert known.index(None) == sum(value is not None for value in known), "never comes last"


def test_json_may_stand_before_the_command(cli: Cli, curriculum: Curriculum) -> None:
    before, behind = (
        cli("--json", "labels", curriculum.name),
        cli("labels", "--json", curriculum.name),
    )
    assert before.json == behind.json
    answer = cli("--json", "demo")
    assert (answer.code, answer.out) == (2, "")
    assert "demo prints no JSON" in answer.err


def test_every_command_has_examples_that_it_understands(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EXAMPLES.keys() == commands().keys()
    group: Any = typer.main.get_command(app)
    for name, lines in EXAMPLES.items():
        for line in lines:
            program, *words = shlex.split(line)
            words.remove(name)
            words = [word for word in words if word != "--json" or name != "status"]
            assert program == "redis-curriculum"
            with group.make_context("redis-curriculum", [name], resilient_parsing=True) as root:
                group.commands[name].make_context(name, list(words), parent=root)


def test_a_shell_completes_commands_and_names(curriculum: Curriculum, url: str) -> None:
    def completed(words: str) -> list[str]:
        asked = process(
            _REDIS_CURRICULUM_COMPLETE="complete_bash",
            COMP_WORDS=words,
            COMP_CWORD=str(len(words.split(" ")) - 1),
            _TYPER_COMPLETE_ARGS=words,
            REDIS_CURRICULUM_URL=url,
        )
        out, _ = asked.communicate(timeout=60)
        return out.split()

    assert "status" in completed("redis-curriculum sta")
    assert completed(f"redis-curriculum status {curriculum.name[:4]}") == [curriculum.name]


def test_a_narrow_terminal_shows_what_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "30")
    columns = ("label", ">tasks", ">probability", ">progress")
    print_table(columns, [("a label of several words", 12, "12.50 %", "0.1234")])
    shown = capsys.readouterr()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.out)
    assert max(map(len, plain.splitlines())) <= 30
    assert "tasks" in shown.out
    assert "no room for probability, progress" in shown.err
