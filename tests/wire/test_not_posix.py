"""A system without fcntl and unix sockets, as Windows is: ``redis://`` works, others say why."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.servers import redis_server

ELSEWHERE = """
import contextlib, json, os, signal, socket, sys
import redis  # it and what it imports may ask this system for more than another one has

sys.modules["fcntl"] = None
del socket.AF_UNIX, os.getuid, os.fork, signal.SIGKILL
url, path = sys.argv[1:]
found = {}

import redis_curriculum.envs
import redis_curriculum.reporting
import redis_curriculum.testing
from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.cli import main
from redis_curriculum.tasks import Single

config = CurriculumConfig(task_generator=Single(label="one"), num_active_tasks=3)
with Curriculum.open(url, "run", config) as curriculum:
    tasks = curriculum.get_tasks(3)
    outcomes = curriculum.update_many([(task.task_id, 1.0) for task in tasks])
    found["played"] = [str(outcome) for outcome in outcomes]
    for _ in range(2):
        curriculum.snapshot(path, overwrite=True)
    found["check"] = curriculum.check()
with Curriculum.restore(path, url, "again") as restored:
    found["restored"] = len(restored.task_ids())
for refused in ("embedded://", "unix:///tmp/s"):
    try:
        Curriculum.open(refused, "run", config)
    except Exception as error:
        found[refused] = [type(error).__name__, str(error)]
print(json.dumps(found), flush=True)
for words in (["list", "--url", url], ["serve"]):
    with contextlib.suppress(SystemExit):
        main(words)
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = ["--port", str(port), "--bind", "127.0.0.1"]
    with redis_server(tmp_path, config=config):
        url = f"redis://127.0.0.1:{port}"
        words = [sys.executable, "-c", ELSEWHERE, url, str(tmp_path / "run.rcs")]
        return subprocess.run(words, capture_output=True, text=True, check=False)


def test_without_posix_redis_urls_work_and_the_rest_is_named(
    elsewhere: subprocess.CompletedProcess[str],
) -> None:
    assert "Traceback" not in elsewhere.stderr, elsewhere.stderr
    first, *rest = elsewhere.stdout.splitlines()
    found: dict[str, Any] = json.loads(first)
    assert found["played"] == ["applied"] * 3
    assert (found["check"], found["restored"]) == ([], 3)
    kind, message = found["embedded://"]
    assert kind == "EmbeddedServerError"
    assert message.startswith(
        "embedded:// needs a POSIX system (file locks by fcntl, unix sockets)"
    )
    assert found["unix:///tmp/s"][0] == "InvalidURLError"
    assert "this system has no unix sockets (POSIX)" in found["unix:///tmp/s"][1]
    assert [line.split()[0] for line in rest] == ["name", "again", "run"]
    assert elsewhere.stderr.splitlines()[-1].startswith(
        "redis-curriculum: error: embedded:// needs a POSIX system"
    )
