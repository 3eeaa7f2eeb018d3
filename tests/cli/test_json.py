"""The fields of ``--json`` are those that the reference promises."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.scorers import Scorer
from tests.cli.conftest import Cli, commands, process
from tests.docs.pages import page
from tests.servers import RunningServer


def promised(scorer: Scorer) -> dict[str, list[str]]:
    """Each command's fields, as the page lists them; it leaves the statistics to the scorer."""
    items = re.findall(
        r"^- `(\w+)`(.*?)(?=^-|\Z|^$)", page("reference/json.md"), re.MULTILINE | re.DOTALL
    )
    found = {command: re.findall(r"`(\w+)`", text) for command, text in items}
    found["task"] += [name for name in scorer.names("task") if name not in found["task"]]
    found["labels"] += scorer.names("label")
    found["tasks"] = [*found["task"], *found["tasks"][1:]]
    return found


def test_every_command_keeps_its_promise(
    cli: Cli, curriculum: Curriculum, server: RunningServer, tmp_path: Path
) -> None:
    name, file = curriculum.name, tmp_path / "a.rcs"
    curriculum.report_failure(curriculum.task_ids()[0], "broken", permanent=True)
    with server.client() as client:
        client.zadd(Keys(name).workers, {"dead": 1})
    calls: dict[str, tuple[object, ...]] = {
        "list": (),
        "status": (name,),
        "tasks": (name,),
        "task": (name, curriculum.task_ids()[0]),
        "labels": (name,),
        "workers": (name,),
        "history": (name,),
        "epochs": (name,),
        "events": (name,),
        "quarantine": (name,),
        "plot": (name, "--out", tmp_path / "a.svg"),
        "report": (name, "--out", tmp_path / "a.html"),
        "set": (name, "num_active_tasks=300"),
        "check": (name,),
        "snapshot": (name, file),
        "restore": (file, "--name", f"{name}.2"),
        "backup": (name,),
        "gc": (),
        "delete": ("--yes", "--force", f"{name}.2"),
        "migrate": (name,),
        "doctor": (),
        "acl": (name,),
    }
    shown = {command: _fields(cli(command, *words, "--json")) for command, words in calls.items()}
    shown["serve"] = _first_line("serve", tmp_path / "served")
    shown["metrics"] = _first_line("metrics", "--port", 0, REDIS_CURRICULUM_URL=server.url)
    assert shown == promised(curriculum.config.algorithm)
    assert shown.keys() == commands().keys() - {"demo", "top", "dashboard"}


def _fields(answer: Any) -> list[str]:
    """The fields of an object, of the first of a list, of the first in a list within."""
    assert answer.out.count("\n") == 1, "one line"
    data = answer.json
    found = data[0] if isinstance(data, list) else data
    within = found.get("removed") or found.get("changes")
    return [*found, *(within[0] if within else ())]


def _first_line(*words: object, **environment: str) -> list[str]:
    serving = process(*words, "--json", **environment)
    try:
        assert serving.stdout
        return list(json.loads(serving.stdout.readline()))
    finally:
        serving.terminate()
        serving.communicate()
