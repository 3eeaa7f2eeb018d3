"""Every mistake is one line on standard error, exit code 2 or 1, no traceback, no password."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import redis_curriculum
from redis_curriculum import Curriculum, CurriculumError
from redis_curriculum._admin import overview
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.cli import main
from tests.cli.conftest import Cli, commands, process
from tests.servers import RunningServer

SECRET = "s3cr3t-p@ss"  # noqa: S105 - of a server of these tests


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"redis-curriculum {redis_curriculum.__version__}\n"


def test_help_lists_every_command(cli: Cli) -> None:
    shown = cli("--help")
    assert shown.code == 0
    assert commands().keys() <= set(shown.out.split())
    assert "..." not in shown.out.split("Commands:")[1], "what a command does is said whole"
    nothing = cli()
    assert (nothing.code, nothing.out) == (2, shown.out)
    assert max(map(len, shown.out.splitlines())) <= 80


@pytest.mark.parametrize("command", commands())
def test_each_command_explains_itself(cli: Cli, command: str) -> None:
    shown = cli(command, "--help")
    assert shown.code == 0
    assert max(map(len, shown.out.splitlines())) <= 80
    assert re.search(r"^  [A-Z].*[.:]$", shown.out, re.MULTILINE), "a sentence"


def test_the_command_is_installed() -> None:
    (entry,) = entry_points(group="console_scripts", name="redis-curriculum")
    assert entry.load() is main


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["no-such-command"], "no-such-command"),
        (["status"], "Missing argument"),
        (["task", "x", "not-a-number"], "valid integer"),
        (["task", "x", "-1"], "-1"),
        (["list", "--no-such-option"], "--no-such-option"),
        (["status", "white space"], "white space"),
        (["status", "x" * 129], "name must be"),
        (["demo", "--seconds", "1"], "seconds must be in [6, 86400]"),
        (["demo", "--workers", "0"], "workers must be in [1, 64]"),
        (["demo", "--redis", "ftp://x"], "ftp"),
        (["list", "--url", "nowhere"], "url must be"),
        (["list", "--url", "redis://localhost:0/x"], "url must be"),
        (["list", "--url", "redis://localhost?colour=red"], "colour"),
    ],
)
def test_wrong_calls(cli: Cli, words: list[str], text: str, tmp_path: Path) -> None:
    more = ["--out", str(tmp_path)] if words[0] == "demo" else []
    answer = cli(*words, *more)
    assert (answer.code, answer.out) == (2, "")
    assert text in answer.err


def test_no_server_named(cli: Cli) -> None:
    answer = cli("list", url=None)
    assert answer.code == 2
    assert "--url" in answer.err
    assert "REDIS_CURRICULUM_URL" in answer.err
    assert cli("list", url="").code == 2


def test_an_unwritable_directory_of_the_demo(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = cli("demo", "--out", tmp_path / "file" / "below")
    assert answer.code == 2
    assert "out must be a directory" in answer.err


def test_unknown_curriculum_and_task(cli: Cli, curriculum: Curriculum) -> None:
    for command in ("status", "tasks", "labels", "workers", "check"):
        answer = cli(command, "nobody-knows")
        assert (answer.code, answer.out) == (1, "")
        assert "no curriculum named 'nobody-knows'" in answer.err
        assert f"there are: {curriculum.name}" in answer.err
        assert "did you mean" not in answer.err
    answer = cli("delete", "--yes", curriculum.name[:-1])
    assert answer.code == 1
    assert f"did you mean {curriculum.name!r}?" in answer.err
    answer = cli("task", curriculum.name, 7)
    assert (answer.code, answer.err) == (1, "redis-curriculum: error: task 7 is not in the pool\n")


def test_something_else_at_our_key(cli: Cli, server: RunningServer, name: str) -> None:
    with server.client() as client:
        client.set(Keys(name).meta, "a text")
        answer = cli("status", name)
        client.delete(Keys(name).meta)
    assert answer.code == 1
    assert "something else stands at one of our keys" in answer.err


def test_a_server_that_is_down(cli: Cli) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for url in (f"redis://127.0.0.1:{port}", "unix:///no/such/socket"):
        answer = cli("list", url=url)
        assert (answer.code, answer.out) == (1, "")
        assert f"{url}" in answer.err
        assert "does not answer" in answer.err
        assert "is it running" in answer.err


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with a password."""
    server = RunningServer(
        tmp_path_factory.mktemp("guarded"), config=["--requirepass", SECRET, "--port", "0"]
    )
    try:
        server.start(wait=False)
        server.url = f"unix://:{SECRET.replace('@', '%40')}@{server.socket}"
        server.wait()
        yield server
    finally:
        server.close()


def test_a_wrong_password_is_tried_once_and_not_shown(cli: Cli, guarded: RunningServer) -> None:
    with guarded.client() as client:
        client.config_resetstat()
        for wrong in ("wr0ng-w0rd", "wr0ng%40w0rd"):
            answer = cli("list", url=f"unix://:{wrong}@{guarded.socket}")
            assert (answer.code, answer.out) == (1, "")
            assert "wrong user or password" in answer.err
            assert "wr0ng" not in answer.err
        stats = client.info("commandstats")
    assert stats["cmdstat_auth"]["failed_calls"] == 2


def test_no_password(cli: Cli, guarded: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = cli("list", url=f"unix://{guarded.socket}")
    assert answer.code == 1
    assert "REDIS_CURRICULUM_PASSWORD" in answer.err
    monkeypatch.setenv("REDIS_CURRICULUM_PASSWORD", SECRET)
    assert cli("list", url=f"unix://{guarded.socket}").code == 0


def test_no_output_shows_the_password(cli: Cli, guarded: RunningServer) -> None:
    with Curriculum.open(guarded.url, "secretive", _config()) as curriculum:
        task_id = curriculum.task_ids()[0]
        for words in (
            ["list"],
            ["status", "secretive"],
            ["status", "secretive", "--json"],
            ["task", "secretive", task_id],
            ["task", "secretive", 1],
            ["status", "nobody"],
            ["list", "--help"],
        ):
            answer = cli(*words, url=guarded.url)
            assert SECRET not in answer.out + answer.err
            assert "p%40ss" not in answer.out + answer.err


def test_whatever_an_error_says_a_password_is_cut_out(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise CurriculumError(f"cannot reach redis://me:{SECRET}@host/0\nnor its replica")

    monkeypatch.setattr(overview, "curricula", failing)
    expected = "redis-curriculum: error: cannot reach redis://me:***@host/0; nor its replica\n"
    assert cli("list").err == expected


def _config() -> redis_curriculum.CurriculumConfig:
    from redis_curriculum.tasks import Single

    return redis_curriculum.CurriculumConfig(task_generator=Single(label="x"), num_active_tasks=4)


def test_a_mistake_of_ours_is_not_hidden(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no rule foresees is a bug, and comes with its traceback."""
    monkeypatch.setattr(overview, "curricula", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli("list")


def test_ctrl_c(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(overview, "curricula", interrupted)
    assert cli("list").code == 130


def test_the_module_is_the_command() -> None:
    by_module = process("--version")
    out, err = by_module.communicate()
    assert (by_module.returncode, err) == (0, "")
    assert out == f"redis-curriculum {redis_curriculum.__version__}\n"


def test_a_picture_or_report_replaces_files_only(cli: Cli, tmp_path: Path) -> None:
    """``--overwrite`` replaced a pipe, and a link to a device."""
    make_pipe, to_device = tmp_path / "pipe.html", tmp_path / "device.svg"
    os.mkfifo(make_pipe)
    to_device.symlink_to("/dev/null")
    (tmp_path / "dangling.html").symlink_to(tmp_path / "nowhere")
    for command, out in (("report", make_pipe), ("plot", make_pipe), ("plot", to_device)):
        answer = cli(command, "x", "--out", out, "--overwrite")
        assert answer.code == 2
        assert "--out must be a file, no directory, device or pipe" in answer.err
    assert make_pipe.is_fifo()
    assert to_device.is_symlink()
    answer = cli("report", "x", "--out", tmp_path / "dangling.html")
    assert "a new file (--overwrite replaces one)" in answer.err
