"""Terminals that cannot show every character, and Ctrl-C before the command line is there."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.cli import main
from redis_curriculum.cli.output import moment, print_facts, print_table
from redis_curriculum.tasks import Single
from tests.cli.conftest import Cli, commands

LABEL = "étage 二"
ESCAPED = {"ascii": r"\xe9tage \u4e8c", "cp1252": r"\xe9tage \u4e8c", "utf-8": LABEL}


@pytest.fixture
def abroad(url: str, name: str) -> Iterator[Curriculum]:
    generator = Single(label=LABEL, params={"où": "二"})
    config = CurriculumConfig(task_generator=generator, num_active_tasks=2)
    with Curriculum.open(url, name, config) as curriculum:
        curriculum.report_failure(curriculum.task_ids()[0], "kein Fußboden")
        yield curriculum


def printed(monkeypatch: pytest.MonkeyPatch, url: str, encoding: str, *words: object) -> str:
    """What a command prints to a terminal of that encoding; its exit code is 0."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding) as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        with pytest.raises(SystemExit) as left:
            main([*map(str, words), "--url", url])
        stdout.flush()
        assert left.value.code == 0
        return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ESCAPED)
def test_labels_and_tasks_are_printed_with_escapes(
    monkeypatch: pytest.MonkeyPatch, url: str, abroad: Curriculum, encoding: str
) -> None:
    task_id, name = abroad.task_ids()[0], abroad.name
    text = ""
    for command in (["labels", name], ["tasks", name], ["task", name, task_id]):
        text = printed(monkeypatch, url, encoding, *command)
        assert ESCAPED[encoding] in text
    assert {"ascii": r"Fu\xdfboden"}.get(encoding, "Fußboden") in text
    for line in (f"status {name}", f"workers {name}", f"check {name}", "list", "doctor"):
        assert printed(monkeypatch, url, encoding, *line.split())


@pytest.mark.parametrize("command", sorted(commands()))
def test_help_is_ascii(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert capsys.readouterr().out.isascii()


def test_columns_are_as_wide_as_their_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        print_table(("label", ">tasks"), [("é", 1), ("longer", 22)])
        print_facts([("label", "二")])
        stdout.flush()
        lines = raw.getvalue().decode().splitlines()
    assert lines == ["label   tasks", r"\xe9        1", "longer     22", r"label  \u4e8c"]


def test_times_have_their_zone(cli: Cli, abroad: Curriculum) -> None:
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d"
    task_id = abroad.task_ids()[0]
    for words in (("list",), ("status", abroad.name), ("task", abroad.name, task_id)):
        found = re.search(stamp, cli(*words).out)
        assert found is not None, words
        age = datetime.now().astimezone() - datetime.fromisoformat(found[0])
        assert abs(age.total_seconds()) < 3600
    assert moment(10**17) == "100000000000000000 ms"


INTERRUPTED = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            sys.argv[1:] = ["--version"]
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from redis_curriculum.cli import main
main()
"""
"""Ctrl-C where the module of that name is about to be imported."""


def interrupted(module: str, *, ignoring: bool = False) -> subprocess.CompletedProcess[str]:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if ignoring else signal.SIG_DFL)
    try:
        return subprocess.run(
            [sys.executable, "-c", INTERRUPTED, module], capture_output=True, text=True, check=False
        )
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("module", ["redis_curriculum.cli.app", "typer", "numpy", "redis.client"])
def test_ctrl_c_while_importing_is_one_line(module: str) -> None:
    done = interrupted(module)
    assert done.returncode == 130
    assert (done.stdout, done.stderr) == ("", "redis-curriculum: error: interrupted\n")


def test_ctrl_c_that_is_ignored_stays_ignored() -> None:
    done = interrupted("typer", ignoring=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("redis-curriculum ")
