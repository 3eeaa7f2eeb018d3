"""The commands that look: what they print, for people and for programs."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import Curriculum, CurriculumConfig, PassesConfig
from redis_curriculum._protocol.keys import SCHEMA, Keys
from redis_curriculum.tasks import Custom, Table
from tests.cli.conftest import ROOT, Cli
from tests.servers import RunningServer

LOOKS = ("status", "tasks", "labels", "workers", "check")


def test_list(cli: Cli, curriculum: Curriculum) -> None:
    (row,) = [row for row in cli("list", "--json").json if row["name"] == curriculum.name]
    assert row.pop("created_ms") > 1_600_000_000_000
    assert row == {
        "name": curriculum.name,
        "schema": SCHEMA,
        "generation": 1,
        "epoch": 0,
        "tasks": 11,
        "capacity": 12,
        "labels": 3,
        "live_workers": 1,
        "problem": None,
    }
    line = next(line for line in cli("list").out.splitlines() if curriculum.name in line)
    assert line.split()[1:6] == ["11", "12", "3", "1", "0"]


def test_list_shows_curricula_of_other_schemas(
    cli: Cli, curriculum: Curriculum, server: RunningServer
) -> None:
    with server.client() as client:
        client.hset(Keys(curriculum.name).meta, "schema", 99)
    (row,) = [row for row in cli("list", "--json").json if row["name"] == curriculum.name]
    assert (row["schema"], row["tasks"], row["live_workers"]) == (99, None, None)
    assert f"{curriculum.name} (schema 99)" in cli("list").out
    answer = cli("status", curriculum.name)
    assert answer.code == 1
    assert "keys of schema 99" in answer.err


def test_list_leaves_out_what_is_no_curriculum(
    cli: Cli, server: RunningServer, name: str, curriculum: Curriculum
) -> None:
    other = f"{name[:-1]}_"
    with server.client() as client:
        client.set(Keys(other).meta, "not ours")
        client.set("rc:{no name}:meta", "x")
    try:
        listed = [row["name"] for row in cli("list", "--json").json]
    finally:
        with server.client() as client:
            client.delete(Keys(other).meta, "rc:{no name}:meta")
    assert curriculum.name in listed
    assert not {other, "no name"} & set(listed)


def test_status(cli: Cli, curriculum: Curriculum, url: str) -> None:
    found = cli("status", curriculum.name, "--json").json
    assert found.pop("config") == curriculum.config.model_dump(mode="json")
    assert found.pop("created_ms") > 1_600_000_000_000
    counts = {"completions": 120, "samples": 5, "evictions": 1, "failures": 0, "created": 12}
    assert found == {
        "url": url,
        "name": curriculum.name,
        "schema": SCHEMA,
        "generation": 1,
        "epoch": 0,
        "tasks": 11,
        "capacity": 12,
        "parts": {"fresh": 5, "learning": 0, "ripe": 6},
        "labels": 3,
        "inactive_labels": 0,
        "live_workers": 1,
        "expired_workers": 0,
        "counters": {**counts, "late": 0},
        "epoch_counters": counts,
        "snapshot_running": False,
        "generator_trouble": None,
        "own": {},
    }
    text = cli("status", curriculum.name).out
    assert re.search(r"^tasks +11 of 12: fresh 5, learning 0, ripe 6$", text, re.MULTILINE)
    assert re.search(r"^lifetime +completions 120, samples 5, ", text, re.MULTILINE)
    assert re.search(r"^algorithm +learning_progress, all settings as usual$", text, re.MULTILINE)


def test_status_has_the_number_of_the_pass(cli: Cli, url: str, name: str) -> None:
    config = CurriculumConfig(task_generator=Table(20), algorithm=PassesConfig())
    with Curriculum.open(url, name, config) as curriculum:
        curriculum.get_tasks(30)
    assert cli("status", name, "--json").json["own"] == {"pass": {"number": 2}}
    assert re.search(r"^pass +number 2$", cli("status", name).out, re.MULTILINE)


def test_tasks(cli: Cli, curriculum: Curriculum) -> None:
    rows = cli("tasks", curriculum.name, "--json").json
    chances = curriculum.distribution()
    assert {row["task_id"]: row.pop("probability") for row in rows} == chances, "to the last bit"
    assert {row["task_id"]: row for row in rows} == {
        task_id: record.fields()
        for task_id in curriculum.task_ids()
        if (record := curriculum.get_task_stats(task_id))
    }
    lines = cli("tasks", curriculum.name).out.splitlines()
    assert len(lines) == 1 + 11
    assert [int(line.split()[0]) for line in lines[1:]] == [row["task_id"] for row in rows]


def test_task(cli: Cli, curriculum: Curriculum) -> None:
    task_id = curriculum.task_ids()[0]
    record = curriculum.get_task_stats(task_id)
    assert record
    assert cli("task", curriculum.name, task_id, "--json").json == record.fields()
    shown = dict(
        line.split(maxsplit=1) for line in cli("task", curriculum.name, task_id).out.splitlines()
    )
    assert list(shown) == list(record.fields())
    assert shown["learning_progress"] == repr(record.learning_progress)
    assert shown["last_error"] == "-"


def test_labels(cli: Cli, curriculum: Curriculum) -> None:
    curriculum.set_label(curriculum.task_ids("maze-9")[0], "lake")
    for task_id in curriculum.task_ids("lake"):
        curriculum.evict(task_id)
    rows = {row["label"]: row for row in cli("labels", curriculum.name, "--json").json}
    active = {label: row["tasks"] for label, row in rows.items()}
    assert active == curriculum.labels() | {"lake": 0}
    assert list(rows)[-1] == "lake", "labels without tasks come last"
    assert sum(row["probability"] for row in rows.values()) == pytest.approx(1)
    assert sum(row["counters"]["completions"] for row in rows.values()) == 120
    chances = curriculum.distribution()
    for label in curriculum.labels():
        expected = sum(chances[task_id] for task_id in curriculum.task_ids(label))
        assert rows[label]["probability"] == pytest.approx(expected)
    assert rows["lake"]["learning_progress"] is None
    lines = cli("labels", curriculum.name).out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(rows)


def test_workers(cli: Cli, curriculum: Curriculum, server: RunningServer) -> None:
    keys = Keys(curriculum.name)
    with server.client() as client:
        client.zadd(keys.workers, {"w-dead": 1_000})
        fields = {"sequence": 7, "token": "t", "host": "h\x1b[31m", "pid": 1, "started": 500}
        client.hset(keys.worker("w-dead"), mapping=fields)
    dead, live = cli("workers", curriculum.name, "--json").json
    assert (dead["worker_id"], dead["sequence"], dead["pid"]) == ("w-dead", 7, 1)
    assert not dead["live"]
    assert dead["lease_left_ms"] < 0
    assert live.pop("started_ms") > 1_600_000_000_000
    assert 0 < live.pop("lease_left_ms") <= 300_000
    assert live == {
        "worker_id": curriculum.worker_id,
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "sequence": 124,
        "live": True,
    }
    text = cli("workers", curriculum.name).out
    assert re.search(r"^w-dead .* expired$", text, re.MULTILINE)
    assert "\x1b" not in text, "what others stored does not steer the terminal"


def test_looking_makes_nobody_a_worker(
    cli: Cli, curriculum: Curriculum, server: RunningServer
) -> None:
    with server.client() as client:
        before = client.hgetall(Keys(curriculum.name).meta)
        for command in LOOKS:
            assert cli(command, curriculum.name).code == 0
        assert client.zrange(Keys(curriculum.name).workers, 0, -1) == [curriculum.worker_id]
        assert client.hgetall(Keys(curriculum.name).meta) == before


def test_looking_imports_nothing_that_the_config_names(
    cli: Cli, curriculum: Curriculum, server: RunningServer
) -> None:
    """A config from Redis may name any class; and here it may be missing."""
    keys = Keys(curriculum.name)
    for path in ("no_such_module:Tasks", "tests.cli.curious:Tasks"):
        generator = Custom(path=path)
        config = curriculum.config.model_copy(update={"task_generator": generator})
        with server.client() as client:
            client.hset(keys.meta, mapping={"config": config.to_json()})
        for command in LOOKS:
            assert cli(command, curriculum.name).code == 0
        assert "tests.cli.curious" not in sys.modules


def test_check_finds_and_repairs(cli: Cli, curriculum: Curriculum, server: RunningServer) -> None:
    answer = cli("check", curriculum.name)
    assert (answer.code, answer.out) == (0, "every index agrees with the records\n")
    assert cli("check", curriculum.name, "--json").json == {"repaired": False, "problems": []}
    keys = Keys(curriculum.name)
    task_id = curriculum.task_ids()[0]
    with server.client() as client:
        client.zrem(keys.ripe, task_id)
    answer = cli("check", curriculum.name)
    assert answer.code == 1
    assert f"task {task_id}: in no sorted set" in answer.out
    assert answer.err == ""
    found = cli("check", curriculum.name, "--json")
    assert found.code == 1
    assert found.json["problems"] == answer.out.splitlines()
    assert cli("check", curriculum.name, "--repair", "--json").json["repaired"]
    assert cli("check", curriculum.name).code == 0


def in_terminal(*words: str, url: str, columns: int = 80) -> list[str]:
    """What a terminal of that width would show."""
    main, side = pty.openpty()
    environment: dict[str, Any] = os.environ | {
        "REDIS_CURRICULUM_URL": url,
        "PYTHONPATH": str(ROOT),
        "COLUMNS": str(columns),
        "TERM": "xterm",
    }
    command = [sys.executable, "-m", "redis_curriculum", *words]
    process = subprocess.Popen(command, env=environment, stdout=side, stderr=side)
    os.close(side)
    shown = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:  # Linux says so at the end
            break
        if not part:
            break
        shown += part
    os.close(main)
    assert process.wait() == 0
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode()).splitlines()


def test_tables_fit_80_columns_and_pipes_keep_rows_whole(
    cli: Cli, curriculum: Curriculum, url: str
) -> None:
    label = "a very long label [bold] " * 6
    curriculum.set_label(curriculum.task_ids()[0], label)
    shown = in_terminal("labels", curriculum.name, url=url)
    assert max(map(len, shown)) <= 80
    assert "100" not in shown[0]
    numbers = [line for line in shown if re.search(r"\d\.\d\d %", line)]
    assert len(numbers) == 4, "one line of numbers for each label"
    piped = cli("labels", curriculum.name).out.splitlines()
    assert len(piped) == 1 + 4
    assert any(line.startswith(label.strip()) for line in piped)
    assert not [line for line in piped if line != line.rstrip()]


def test_a_reader_that_has_seen_enough(curriculum: Curriculum, url: str, tmp_path: Path) -> None:
    script = f"'{sys.executable}' -m redis_curriculum tasks {curriculum.name} | head -n 1"
    done = subprocess.run(
        ["sh", "-c", script],
        env=os.environ | {"REDIS_CURRICULUM_URL": url, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("task ")
    assert done.stderr == ""
