"""``status --watch``: again and again, until Ctrl-C."""

from __future__ import annotations

import json
import signal
from itertools import takewhile

import pytest

from redis_curriculum import Curriculum
from tests.cli.conftest import Cli, process
from tests.servers import RunningServer


def test_status_is_printed_until_ctrl_c_and_outlasts_the_server(
    name: str, killable: RunningServer
) -> None:
    words = ("status", name, "--watch", "0.1", "--json", "--url", killable.url)
    with process(*words) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        first, second = (json.loads(watching.stdout.readline()) for _ in range(2))
        assert first == second
        assert first["tasks"] == 11
        killable.kill()
        assert "does not answer" in (said := watching.stderr.readline())
        assert "trying again every 0.1 s" in said
        killable.start()
        assert watching.stderr.readline() == "redis-curriculum: there is an answer again\n"
        assert json.loads(watching.stdout.readline())["tasks"] == 11
        watching.send_signal(signal.SIGINT)
        watching.stdout.read()
        assert "Traceback" not in watching.stderr.read()
        assert watching.wait(60) == 130


def test_the_plain_form_has_rates(url: str, curriculum: Curriculum) -> None:
    words = ("status", "--watch", "0.1", curriculum.name, "--url", url)
    with process(*words) as watching:
        assert watching.stdout is not None
        lines = list(takewhile(lambda line: line != "\n", watching.stdout))
        assert lines[0].split() == ["name", curriculum.name]
        assert not any(line.startswith("per second") for line in lines)
        curriculum.report_failure(curriculum.task_ids()[0], "broken")
        for line in watching.stdout:
            if line.startswith("per second") and "failures 0.0" not in line:
                break
        else:
            pytest.fail("no rate of the failure")
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=60)


@pytest.mark.parametrize("words", [("--watch", "0"), ("--watch=x",)])
def test_seconds_that_are_none(cli: Cli, curriculum: Curriculum, words: tuple[str, ...]) -> None:
    answer = cli("status", curriculum.name, *words)
    assert answer.code == 2
    assert "--watch" in answer.err
    assert cli("status", "--watch", "1", "nobody-knows").code == 1
