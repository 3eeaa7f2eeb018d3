"""What somebody has overwritten: every command names it, in one line, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.errors import CurriculumError, MalformedStateError
from tests.cli.conftest import Cli
from tests.cli.test_server import CONFIG
from tests.servers import RunningServer

FIELDS = ["schema", "generation", "config", "epoch", "created_ms", "next_index", "random"]
VALUES = ["abc", b"\xff\xfe", None]


@pytest.fixture
def client(server: RunningServer) -> Iterator[Any]:
    with server.client() as opened:
        yield opened


def everything(client: Any, prefix: str) -> dict[str, Any]:
    return {key: client.dump(key) for key in client.scan_iter(f"{prefix}*", count=10_000)}


def overwrite(client: Any, name: str, field: str, value: Any) -> None:
    if value is None:
        client.hdel(Keys(name).meta, field)
    else:
        client.hset(Keys(name).meta, field, value)


@pytest.mark.parametrize("sick", [(f, v) for f in FIELDS for v in VALUES], ids=repr)
def test_every_command_answers_in_one_line_and_goes_on(
    cli: Cli, curriculum: Curriculum, server: RunningServer, tmp_path: Path, sick: tuple[str, Any]
) -> None:
    """The fixture ``cli`` refuses a traceback, and more than one line."""
    url, name, client = server.url, curriculum.name, server.client()
    well, task_id = f"{name}.well", curriculum.task_ids()[0]
    Curriculum.open(url, well, CONFIG).close()
    curriculum.snapshot(tmp_path / "good.rcs")
    overwrite(client, name, *sick)
    before = everything(client, Keys(name).pool)
    assert well in cli("list").out
    calls: list[list[Any]] = [
        *[[command, name] for command in ("status", "tasks", "labels", "workers", "check")],
        ["task", name, task_id],
        ["snapshot", name, tmp_path / "a.rcs"],
        ["migrate", name],
    ]
    for words in calls:
        cli(*words)
    assert cli("doctor").code in (0, 1)
    gc = cli("gc")
    assert gc.code == 0, gc.err
    assert everything(client, Keys(name).pool).keys() == before.keys(), (
        "gc spares what it cannot read"
    )
    with pytest.raises(CurriculumError):
        Curriculum.open(url, name, CONFIG).get_task()
    cli("restore", tmp_path / "good.rcs", "--name", name, "--replace")
    assert cli("delete", "--yes", "--force", name).code == 0
    assert everything(client, Keys(name).prefix).keys() <= {Keys(name).deleted}
    with Curriculum.open(url, name, CONFIG) as again:
        assert again.check() == []


def test_list_and_doctor_name_what_is_malformed(
    cli: Cli, curriculum: Curriculum, client: Any, name: str
) -> None:
    overwrite(client, name, "epoch", "abc")
    answer = cli("list", "--json")
    (row,) = answer.json
    assert answer.code == 1
    assert row["name"] == curriculum.name
    assert "meta.epoch is 'abc'" in row["problem"]
    assert row["problem"] in answer.err
    assert "meta.epoch is 'abc'" in cli("doctor").out
    assert f"curriculum '{name}': meta.epoch is 'abc'" in cli("status", name).err


def test_gc_says_what_it_spares(cli: Cli, curriculum: Curriculum, client: Any, name: str) -> None:
    assert curriculum.name == name
    overwrite(client, name, "generation", "abc")
    before = everything(client, Keys(name).prefix)
    answer = cli("gc")
    assert answer.code == 0
    assert "nothing of it is removed" in answer.err
    assert "meta.generation is 'abc'" in answer.err
    assert everything(client, Keys(name).prefix) == before


def test_a_handle_names_the_field(curriculum: Curriculum, client: Any, url: str) -> None:
    for field in ("generation", "epoch", "next_index"):
        good = client.hget(Keys(curriculum.name).meta, field)
        overwrite(client, curriculum.name, field, "abc")
        with pytest.raises(MalformedStateError) as caught:
            Curriculum.open(url, curriculum.name)
        assert caught.value.field == f"meta.{field}"
        overwrite(client, curriculum.name, field, good)


def test_thousands_of_unknown_fields_are_left_alone(
    cli: Cli, curriculum: Curriculum, client: Any, name: str, tmp_path: Path
) -> None:
    keys, extra = Keys(name), {f"x{i}": i for i in range(5_000)}
    task_id = curriculum.task_ids()[0]
    for key in (
        *(keys.worker(curriculum.worker_id), keys.meta, keys.sums),
        *(keys.task(task_id), keys.progress("maze-5")),
    ):
        client.hset(key, mapping=extra)
    for words in (["check"], ["status"], ["workers"], ["tasks"], ["labels"]):
        assert cli(*words, name).code == 0, words
    assert cli("snapshot", name, tmp_path / "a.rcs").code == 0
    assert cli("restore", tmp_path / "a.rcs", "--name", f"{name}.2").code == 0
    curriculum.next_task((task_id, 0.5))
