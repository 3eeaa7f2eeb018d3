"""``migrate``, and what the other commands do with a curriculum of an older schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import SCHEMA, Keys
from tests.cli.conftest import Cli
from tests.harness import connect
from tests.schema_1 import OldWorker, dump, plant
from tests.servers import RunningServer


@pytest.fixture
def client(server: RunningServer) -> Iterator[Any]:
    with connect(server) as opened:
        yield opened


@pytest.fixture
def old(client: Any, name: str) -> Iterator[str]:
    """The name of a curriculum of schema 1."""
    plant(client, "labels", name)
    yield name
    client.unlink(f"{Keys(name, 2).pool}sums")  # a key of schema 1, which nothing spells any more


def test_migrate(cli: Cli, old: str, url: str) -> None:
    answer = cli("migrate", old)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"{old} on {url}: schema 1 to {SCHEMA}, 40 tasks\n"
    again = cli("migrate", old)
    assert (again.code, again.out) == (0, f"{old} on {url}: schema {SCHEMA} already\n")
    assert cli("check", old).code == 0
    assert "40 of 40" in cli("status", old).out
    with Curriculum.open(url, old) as curriculum:
        assert len(curriculum.task_ids()) == 40


def test_migrate_json(cli: Cli, old: str, url: str) -> None:
    expected = {"url": url, "name": old, "from_schema": 1, "to_schema": SCHEMA, "tasks": 40}
    assert cli("migrate", old, "--json").json == expected
    done = {"from_schema": SCHEMA, "tasks": 0}
    assert cli("migrate", old, "--json").json == expected | done


def test_live_workers_are_named_in_one_line(
    cli: Cli, old: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from redis_curriculum.cli import admin, session

    monkeypatch.setattr(admin, "WORKING", session.LOOKING)  # which waits for nobody
    OldWorker(client, old).register()
    before = dump(client, old)
    answer = cli("migrate", old)
    assert (answer.code, answer.out) == (1, "")
    assert "workers of the older version are live: old (host elsewhere, process 4321" in answer.err
    assert dump(client, old) == before


def test_list_shows_the_schema(cli: Cli, old: str) -> None:
    assert f"{old} (schema 1)" in cli("list").out
    (row,) = [row for row in cli("list", "--json").json if row["name"] == old]
    assert (row["schema"], row["generation"], row["epoch"], row["tasks"]) == (1, 2, 4, None)


def test_doctor_names_the_remedy(cli: Cli, old: str) -> None:
    answer = cli("doctor", "--json")
    assert answer.code == 1
    (row,) = [row for row in answer.json if old in row["what"]]
    assert row["level"] == "fail"
    assert row["what"].endswith(f"has keys of schema 1, this library knows {SCHEMA}")
    assert row["remedy"] == f"redis-curriculum migrate {old}"


@pytest.mark.parametrize(
    "words",
    [
        *(("status",), ("tasks",), ("labels",), ("workers",), ("check",), ("check", "--repair")),
        *(("task", "1"), ("snapshot", "a.rcs"), ("backup",)),
    ],
    ids=" ".join,
)
def test_the_others_say_migrate_first(
    cli: Cli, old: str, client: Any, tmp_path: Path, words: tuple[str, ...]
) -> None:
    before = dump(client, old)
    command, *more = words
    more = [str(tmp_path / word) if word == "a.rcs" else word for word in more]
    answer = cli(command, old, *more)
    assert (answer.code, answer.out) == (1, "")
    assert f"schema 1, this library knows {SCHEMA}" in answer.err
    assert f"redis-curriculum migrate {old}" in answer.err
    assert dump(client, old) == before


def test_gc_works(cli: Cli, old: str, client: Any) -> None:
    client.hset(Keys(old, 1).task(1), "task_id", 1)
    before = dump(client, old)
    found = cli("gc", old, "--json").json["removed"]
    assert [(row["what"], row["count"]) for row in found] == [
        ("old generation", 1),
        ("expired workers", 1),
    ]
    after = dump(client, old)
    assert before.keys() - after.keys() == {"g1:task:1", "workers", "worker:killed"}
    assert cli("migrate", old).code == 0


def test_delete_works(cli: Cli, old: str, client: Any) -> None:
    assert cli("delete", "--yes", "--force", old).code == 0
    assert list(dump(client, old)) == ["deleted"]
    assert cli("migrate", old).code == 1


def test_a_worker_s_user_can_migrate(
    cli: Cli, old: str, client: Any, server: RunningServer
) -> None:
    assert cli("acl", "--load").code == 0
    line = cli("acl", old, "--json").json["worker"].replace("PASSWORD", "chosen")
    client.execute_command(*line.split())
    try:
        url = f"unix://{line.split()[2]}:chosen@{server.socket}"
        with Curriculum.open(url, old) as curriculum:
            assert curriculum.check() == []
    finally:
        client.acl_deluser(line.split()[2])
