"""``acl``: what a least-privilege user can do, and what it cannot, asked of real servers."""

from __future__ import annotations

import asyncio
import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import redis_curriculum
from redis_curriculum import (
    AsyncCurriculum,
    Curriculum,
    CurriculumConfig,
    LearningProgressConfig,
    Outcome,
)
from redis_curriculum._admin.acl import (
    CLUSTER,
    CONNECTING,
    NAMING,
    READING,
    SCRIPTING,
    WRITING,
    acl_lines,
)
from redis_curriculum._protocol.keys import Keys, index_of
from redis_curriculum._protocol.scripts import commands_at, folder
from redis_curriculum._wire.blocking import DirectLink
from redis_curriculum._wire.urls import parse
from redis_curriculum.errors import PermissionDeniedError, ScriptError, ServerWarning
from tests.cli.conftest import MAZES, Cli
from tests.families import whole
from tests.harness import connect
from tests.servers import RunningServer, redis_server

PASSWORD = "chosen"  # noqa: S105 - of a server of these tests
HYPERS = LearningProgressConfig(
    min_samples_for_lp=1,
    min_presentations_for_eviction=1,
    replacement_rate=0.5,
    exploration_share=1.0,
)
CONFIG = CurriculumConfig(task_generator=MAZES, num_active_tasks=12, algorithm=HYPERS)
REFUSED = [
    ("GET", "rc:{another}:meta"),
    ("HGETALL", "rc:{another}:meta"),
    ("SET", "elsewhere", "1"),
    ("KEYS", "*"),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("EVAL", "return 1", "0"),
    ("SCRIPT", "FLUSH"),
    ("ACL", "LIST"),
    ("CLIENT", "LIST"),
    ("MONITOR",),
    ("SHUTDOWN", "NOSAVE"),
    ("SUBSCRIBE", "x"),
    ("PUBLISH", "x", "y"),
    ("SAVE",),
    ("REPLICAOF", "NO", "ONE"),
]


def admit(server: RunningServer, line: str, **changes: str) -> str:
    """Give an ACL line to the server as redis-cli would; the URL of that user."""
    for old, new in {"PASSWORD": PASSWORD, **changes}.items():
        line = line.replace(old, new)
    words = shlex.split(line)
    with server.client() as client:
        client.execute_command("SCRIPT", "FLUSH")
        client.execute_command(*words)
    return f"unix://{words[2]}:{PASSWORD}@{server.socket}"


@pytest.fixture
def lines(cli: Cli, every_server: RunningServer, name: str) -> Iterator[dict[str, str]]:
    """What the command prints for each server."""
    yield cli("acl", name, "--json", url=every_server.url).json
    with connect(every_server) as client:
        for user in client.acl_users():
            if user != "default":
                client.acl_deluser(user)


def test_what_is_printed(
    cli: Cli, every_server: RunningServer, lines: dict[str, str], name: str
) -> None:
    with connect(every_server) as client:
        assert lines["version"] == client.info()["redis_version"]
    text = cli("acl", name, url=every_server.url).out
    assert text.splitlines() == [lines["worker"], lines["viewer"]]
    for line in text.splitlines():
        assert f" ~rc:{{{name}}}:* " in line
        assert not re.search(r"\+@|allkeys|allcommands|nopass|%| \+eval ", line)


def test_a_worker_of_an_event_loop_can_too(
    every_server: RunningServer, lines: dict[str, str], name: str
) -> None:
    async def work(url: str) -> None:
        async with AsyncCurriculum.open(url, name, CONFIG) as curriculum:
            task = await curriculum.get_task()
            with connect(every_server) as client:
                client.script_flush()
            assert await curriculum.update_task_performance(task.task_id, 0.5) is Outcome.APPLIED

    asyncio.run(work(admit(every_server, lines["worker"])))


def test_a_worker_can_do_all_of_it(
    cli: Cli, every_server: RunningServer, lines: dict[str, str], name: str, tmp_path: Path
) -> None:
    url = admit(every_server, lines["worker"])
    with Curriculum.open(url, name, CONFIG) as curriculum:
        finished = curriculum.get_task().task_id, 0.0
        for i in range(200):
            finished = curriculum.next_task(finished).task_id, (i % 10) / 10
        curriculum.update_many([finished] * 3)
        curriculum.get_tasks(20)
        curriculum.set_label(curriculum.task_ids()[0], "lake")
        curriculum.evict(curriculum.task_ids()[1])
        curriculum.report_failure(curriculum.task_ids()[2], "no such maze", permanent=True)
        curriculum.end_epoch()
        assert curriculum.epoch_report(0) is not None
        assert curriculum.quarantine()
        assert curriculum.stats()
        curriculum.renew_lease()
        curriculum.distribution()
        curriculum.register()
        curriculum.snapshot(tmp_path / "a.rcs")
        assert curriculum.check() == []
        assert curriculum.check(repair=True) == []
    Curriculum.restore(tmp_path / "a.rcs", url, name, replace=True).close()
    for words in (["status"], ["tasks"], ["labels"], ["workers"], ["check"], ["gc"]):
        assert cli(*words, name, url=url).code == 0
    assert cli("list", url=url).code == 0
    assert cli("delete", name, url=url).code == 0
    assert PASSWORD not in repr(curriculum)


def test_a_viewer_can_look_and_change_nothing(
    cli: Cli, every_server: RunningServer, lines: dict[str, str], name: str, tmp_path: Path
) -> None:
    with Curriculum.open(every_server.url, name, CONFIG) as curriculum:
        task = curriculum.get_task()
        url = admit(every_server, lines["viewer"])
        for words in (["status"], ["tasks"], ["labels"], ["workers"]):
            assert cli(*words, name, url=url).code == 0
        assert cli("task", name, task.task_id, url=url).code == 0
        assert [row["name"] for row in cli("list", "--json", url=url).json] == [name]
        with connect(every_server) as client:
            before = client.hgetall(Keys(name).task(task.task_id)), client.hgetall(Keys(name).meta)
        for words in (
            ["check", name],
            ["check", name, "--repair"],
            ["snapshot", name, str(tmp_path / "a")],
            ["delete", name],
            ["backup", name],
        ):
            answer = cli(*words, url=url)
            assert (answer.code, answer.out) == (1, "")
            assert "this user may not use" in answer.err
        with pytest.raises(PermissionDeniedError):
            Curriculum.open(url, name)
        link = DirectLink(parse(url), 5.0)
        for command in ("HSET", "UNLINK"):
            with pytest.raises(PermissionDeniedError) as denied:
                link.call((command, Keys(name).meta, "x", "1"), Keys(name).meta)
            assert denied.value.command == command.lower()
        sha = link.call(("SCRIPT", "LOAD", "return redis.call('UNLINK', KEYS[1])"), "")
        with pytest.raises((PermissionDeniedError, ScriptError)):
            link.call(("EVALSHA", sha, 1, Keys(name).meta), "")
        link.close()
        with connect(every_server) as client:
            after = client.hgetall(Keys(name).task(task.task_id)), client.hgetall(Keys(name).meta)
        assert after == before


@pytest.mark.parametrize("role", ["worker", "viewer"])
def test_what_is_refused(
    every_server: RunningServer, lines: dict[str, str], name: str, role: str
) -> None:
    link = DirectLink(parse(admit(every_server, lines[role])), 5.0)
    for words in REFUSED:
        with pytest.raises(PermissionDeniedError):
            link.call(words, words[-1])
    sha = link.call(("SCRIPT", "LOAD", "return redis.call('HGETALL', 'rc:{another}:meta')"), "")
    with pytest.raises(PermissionDeniedError, match="one of our keys"):
        link.call(("EVALSHA", sha, 1, Keys(name).meta), "")
    link.close()


def test_another_curriculum_is_out_of_reach(
    cli: Cli, every_server: RunningServer, lines: dict[str, str], name: str
) -> None:
    url = admit(every_server, lines["worker"])
    with Curriculum.open(every_server.url, f"{name}.2", CONFIG):
        for attempt in (CONFIG, None):
            with pytest.raises(PermissionDeniedError):
                Curriculum.open(url, f"{name}.2", attempt)
        assert cli("status", f"{name}.2", url=url).code == 1
        assert cli("list", "--json", url=url).json == []


@pytest.mark.parametrize("command", ["hincrby", "xadd", "evalsha", "info", "script|load", "time"])
def test_a_missing_command_is_named(
    every_server: RunningServer, lines: dict[str, str], name: str, command: str
) -> None:
    """On its own or inside a script, whatever the server's version says of it."""
    url = admit(every_server, lines["worker"], **{f"+{command} ": ""})
    with pytest.raises(PermissionDeniedError) as denied:
        Curriculum.open(url, name, CONFIG)
    assert denied.value.command in (command, command.partition("|")[0])
    assert str(denied.value.command) in str(denied.value)
    assert denied.value.applied == ("unknown" if command in ("hincrby", "xadd") else "no")


def test_a_scripts_line_says_what_it_calls() -> None:
    source = whole("record").source
    found = [commands_at(whole("record").sha, i + 1) for i in range(len(source.splitlines()))]
    assert ["hset"] in found
    assert sorted({command for line in found for command in line}) == sorted(
        whole("record").commands
    )
    assert commands_at("0" * 40, 1) == []


def test_every_call_of_a_script_is_seen() -> None:
    """``call`` with a name in quotes, or with what ``stage`` was given: nothing else is written."""
    for path in folder().rglob("*.lua"):
        text = path.read_text()
        calls = re.findall(r"\bcall\((.{6,9})", text)
        seen = [call for call in calls if re.match(r"'[A-Z_]{2,}|commands\[", call)]
        assert calls == seen, path
        assert "pcall" not in text
        assert text.count("redis.call") == ("keys.lua" in str(path))


def test_all_that_is_sent_is_in_the_lists(every_server: RunningServer) -> None:
    """Each word of the package that is a command is a worker's, or an operator's."""
    with connect(every_server) as client:
        known = {entry[0].upper() for entry in client.execute_command("COMMAND")}
    lists = (*CONNECTING, *SCRIPTING, *READING, *WRITING, *CLUSTER, *NAMING)
    listed = {command.partition("|")[0].upper() for command in lists}
    operators = {"CONFIG", "BGSAVE", "BGREWRITEAOF", "ZREMRANGEBYSCORE"}
    passed = {"HSET", "SADD", "SET", "ZADD", "PERSIST"}  # to the script stage
    found: set[str] = set()
    for path in Path(redis_curriculum.__file__).parent.rglob("*.py"):
        found.update(re.findall(r"\"([A-Z_]{3,})\"", path.read_text()))
    assert {"HMGET", "SCAN", "EVALSHA", "ZCARD", "CONFIG"} <= found
    assert (found & known) - operators - passed <= listed


def test_the_index_of_names_can_be_read_and_added_to(
    every_server: RunningServer, lines: dict[str, str], name: str
) -> None:
    """From Redis 7 on no more than that; a viewer may only read, whatever the version."""
    index = index_of()
    worker, viewer = (
        DirectLink(parse(admit(every_server, lines[role])), 5.0) for role in ("worker", "viewer")
    )
    worker.call(("ZADD", index, "1", "another"), index)
    for link in (worker, viewer):
        assert link.call(("ZSCAN", index, "0"), index) == ["0", ["another", "1"]]
    writing = [("ZADD", index, "2", "x"), ("ZREM", index, "x"), ("UNLINK", index)]
    has_selectors = not lines["version"].startswith("6.")
    for link, refused in ((viewer, writing), (worker, writing[1:] if has_selectors else [])):
        for words in refused:
            with pytest.raises(PermissionDeniedError):
                link.call(words, index)
        link.close()


def test_a_worker_of_an_older_line_may_still_create(
    cli: Cli, every_server: RunningServer, lines: dict[str, str], name: str
) -> None:
    """It is told that the index lacks the name; the next ``gc`` adds it."""
    assert cli("list", "--json", url=every_server.url).json == []  # from now on it is complete
    older = re.sub(r" \(.*\)| ~rc:names", "", lines["worker"])
    assert older != lines["worker"]
    url = admit(every_server, older)
    with pytest.warns(ServerWarning, match=r"cannot be added to the index rc:names"):
        Curriculum.open(url, name, CONFIG).close()
    Curriculum.open(url, name, CONFIG).close()
    assert [row["name"] for row in cli("list", "--json", url=url).json] == [name]  # it walks
    assert cli("list", "--json", url=every_server.url).json == []
    assert cli("gc", url=every_server.url).code == 0
    assert [row["name"] for row in cli("list", "--json", url=every_server.url).json] == [name]


def test_versions() -> None:
    old, new = acl_lines("x", "6.2.14"), acl_lines("x", "7.2.4")
    assert "client|setinfo" not in old.worker + old.viewer
    assert "+client|setinfo" in new.worker
    assert "+client|setinfo" in new.viewer
    assert "+eval " not in new.worker
    assert "+eval " in acl_lines("x", "7.2.4", cluster=True).worker


def test_in_a_cluster(cli: Cli, tmp_path: Path, name: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1] % 50_000 + 1_024  # the bus takes the one 10,000 above
    words = ["--port", str(port), "--cluster-enabled", "yes", "--bind", "127.0.0.1"]
    with redis_server(tmp_path, config=words) as server:
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                pass
        url = f"redis+cluster://127.0.0.1:{port}"
        line = cli("acl", name, "--json", url=url).json["worker"]
        admit(server, line)
        user = f"redis+cluster://{name}-worker:{PASSWORD}@127.0.0.1:{port}"
        with Curriculum.open(user, name, CONFIG) as curriculum:
            curriculum.get_task()
            assert curriculum.check() == []
        listed: list[Any] = cli("list", "--json", url=user).json
        assert [row["name"] for row in listed] == [name]
        assert cli("gc", "--json", url=url).json["removed"] == []
        assert cli("doctor", "--json", url=url).code == 0
