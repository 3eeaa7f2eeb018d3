"""``acl``: what a least-privilege user can do, and what it cannot, asked of real servers."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
import shlex
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
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
    WorkerSettings,
)
from redis_curriculum._admin.acl import (
    CLUSTER,
    CONNECTING,
    LOADING,
    NAMING,
    READING,
    SCRIPTING,
    WRITING,
    acl_lines,
    load_scripts,
)
from redis_curriculum._protocol.asking import Node
from redis_curriculum._protocol.keys import Keys, index_of
from redis_curriculum._protocol.plan import one
from redis_curriculum._protocol.scripts import commands_at, folder, in_use
from redis_curriculum._state.consistent_read import Moment, Turn
from redis_curriculum._store.contracts import STAGE_BEGIN
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.urls import parse
from redis_curriculum.errors import (
    PermissionDeniedError,
    ServerRefusedError,
    ServerWarning,
    SnapshotRunningError,
)
from redis_curriculum.scorers import Scorer, family, kinds
from tests.cli.conftest import MAZES, Cli
from tests.families import whole
from tests.faults.topologies import follows, free_ports, node, wait_for, wait_for_replicas
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
AT_ONCE = WorkerSettings(retry_deadline_s=0)
LAYOUTS = [scorer for kind in kinds() for scorer in family(kind).layouts()]
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
    ("SCRIPT", "LOAD", "return 1"),
    ("SCRIPT", "EXISTS", "0" * 40),
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


def load(server: RunningServer) -> tuple[int, int]:
    """Load the scripts, as ``acl --load`` does."""
    link = DirectLink(parse(server.url), 5.0)
    try:
        return drive(load_scripts(Node("", 0)), link)
    finally:
        link.close()


def admit(server: RunningServer, line: str, **changes: str) -> str:
    """Give an ACL line to the server as redis-cli would, and the scripts; the user's URL."""
    for old, new in {"PASSWORD": PASSWORD, **changes}.items():
        line = line.replace(old, new)
    words = shlex.split(line)
    with server.client() as client:
        client.execute_command(*words)
    load(server)
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
        assert not re.search(r"\+@|allkeys|allcommands|nopass|%|\+(eval|script)\b", line)
    assert "+evalsha" in lines["worker"]
    assert "+evalsha" not in lines["viewer"]


def test_a_worker_of_an_event_loop_can_too(
    every_server: RunningServer, lines: dict[str, str], name: str
) -> None:
    async def work(url: str) -> None:
        async with AsyncCurriculum.open(url, name, CONFIG) as curriculum:
            task = await curriculum.get_task()
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
    assert cli("delete", "--yes", "--force", name, url=url).code == 0
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
            ["delete", "--yes", "--force", name],
            ["backup", name],
        ):
            answer = cli(*words, url=url)
            assert (answer.code, answer.out) == (1, "")
            assert "this user may not use" in answer.err
            assert "cut short" not in answer.err, "refused before any script ran"
        assert not list(tmp_path.iterdir())
        with pytest.raises(PermissionDeniedError):
            Curriculum.open(url, name)
        link = DirectLink(parse(url), 5.0)
        for command in ("HSET", "UNLINK"):
            with pytest.raises(PermissionDeniedError) as denied:
                link.call((command, Keys(name).meta, "x", "1"), Keys(name).meta)
            assert denied.value.command == command.lower()
        with connect(every_server) as client:
            sha = client.script_load("return redis.call('HGET', KEYS[1], 'epoch')")
        with pytest.raises(PermissionDeniedError):
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
    with connect(every_server) as client:
        sha = client.script_load("return redis.call('HGETALL', 'rc:{another}:meta')")
    refused = "one of our keys" if role == "worker" else "evalsha"
    with pytest.raises(PermissionDeniedError, match=refused):
        link.call(("EVALSHA", sha, 1, Keys(name).meta), "")
    link.close()


# --- scripts -------------------------------------------------------------------------------------


def test_load_says_what_it_did(cli: Cli, every_server: RunningServer, name: str) -> None:
    with connect(every_server) as client:
        client.script_flush()
    found = cli("acl", "--load", "--json", url=every_server.url).json["scripts"]
    assert found["known"] == found["loaded"] > 30
    answer = cli("acl", name, "--load", url=every_server.url)
    assert answer.err == f"redis-curriculum: {found['known']} scripts, 0 of them loaded now\n"
    assert len(answer.out.splitlines()) == 2
    assert cli("acl", url=every_server.url).code == 2
    doctor = cli("doctor", url=every_server.url)
    assert f"pass  all {found['known']} scripts are loaded\n" in doctor.out
    with connect(every_server) as client:
        client.script_flush()
    assert f"{found['known']} of them now" in cli("doctor", url=every_server.url).out


def test_a_promoted_replica_has_the_scripts(cli: Cli, tmp_path: Path, name: str) -> None:
    """The worker, who may load none, goes on there; a replica out of reach is named."""
    ports = free_ports(3)
    with node(tmp_path / "a", ports[0]) as primary, node(tmp_path / "b", ports[1]) as replica:
        replica.ask("REPLICAOF", primary.host, primary.port)
        wait_for(partial(follows, replica), "the replica in step")
        lines = cli("acl", name, "--json", url=primary.server.url).json
        admit(replica.server, lines["worker"])
        replica.ask("SCRIPT", "FLUSH")
        found = cli("acl", "--load", "--json", url=primary.server.url).json["scripts"]
        assert (found["replicas"], found["unreached"]) == (1, [])
        with Curriculum.open(primary.server.url, name, CONFIG) as curriculum:
            task = curriculum.get_task()
        wait_for_replicas(primary, 1)
        replica.ask("REPLICAOF", "NO", "ONE")
        url = f"unix://{name}-worker:{PASSWORD}@{replica.server.socket}"
        with Curriculum.open(url, name, worker=AT_ONCE) as curriculum:
            assert curriculum.update_task_performance(task.task_id, 0.5) is Outcome.APPLIED
        replica.ask("CONFIG", "SET", "replica-announce-port", ports[2])
        replica.ask("REPLICAOF", primary.host, primary.port)
        wait_for(lambda: str(ports[2]) in repr(primary.ask("INFO", "replication")), "its port")
        told = cli("acl", "--load", url=primary.server.url).err
        assert f"not on 127.0.0.1:{ports[2]}" in told


@pytest.mark.parametrize("algorithm", LAYOUTS, ids=str)
def test_a_worker_finds_its_scripts_whatever_the_algorithm(
    every_server: RunningServer, lines: dict[str, str], name: str, algorithm: Scorer
) -> None:
    """It may also create the curriculum."""
    url = admit(every_server, lines["worker"])
    config = CONFIG.model_copy(update={"algorithm": algorithm})
    with Curriculum.open(url, name, config, worker=AT_ONCE) as curriculum:
        numbers = dict.fromkeys(curriculum.config.asks_for, 2)
        curriculum.next_task((curriculum.get_task().task_id, 0.5, numbers))
        assert curriculum.check() == []


def test_without_scripts_a_worker_says_who_loads_them(
    every_server: RunningServer, lines: dict[str, str], name: str
) -> None:
    url = admit(every_server, lines["worker"])
    with Curriculum.open(url, name, CONFIG, worker=AT_ONCE) as curriculum:
        task = curriculum.get_task()
        with connect(every_server) as client:
            client.script_flush()
        with pytest.raises(ServerRefusedError, match="redis-curriculum acl --load") as caught:
            curriculum.update_task_performance(task.task_id, 0.5)
        assert (caught.value.code, caught.value.applied) == ("NOSCRIPT", "no")
        load(every_server)
        assert curriculum.update_task_performance(task.task_id, 0.5) is Outcome.APPLIED
        record = curriculum.get_task_stats(task.task_id)
    assert record is not None
    assert record.completion_count == 1


@pytest.mark.parametrize("gone_by", ["SCRIPT FLUSH", "a restart"])
def test_a_worker_waits_until_somebody_loads_them(tmp_path: Path, name: str, gone_by: str) -> None:
    """Here the owner, who meets one missing script and loads all that the worker may need."""
    users = tmp_path / "users.acl"
    users.write_text("user default on nopass ~* &* +@all\n")
    config = ["--appendonly", "yes", "--aclfile", str(users)]
    with redis_server(tmp_path / "data", config=config) as server:
        with server.client() as client:
            version = client.info("server")["redis_version"]
        url = admit(server, acl_lines(name, version).worker)
        with (
            Curriculum.open(server.url, name, CONFIG) as owner,
            Curriculum.open(url, name) as worker,
            ThreadPoolExecutor() as pool,
        ):
            task = worker.get_task()
            if gone_by == "a restart":
                with server.client() as client:
                    client.acl_save()
                server.stop()
                server.start()
            else:
                with server.client() as client:
                    client.script_flush()
            waiting = pool.submit(worker.next_tasks, [(task.task_id, 0.5)], 1)
            with server.client() as client:
                while "errorstat_NOSCRIPT" not in client.info("errorstats"):
                    time.sleep(0.01)
            assert not waiting.done()
            owner.end_epoch()
            assert waiting.result().outcomes == [Outcome.APPLIED]
            with server.client() as client:
                assert all(client.script_exists(*(script.sha for script in in_use())))
            assert owner.stats()["num_completed"] == 1


# --- tokens --------------------------------------------------------------------------------------


def test_no_token_stands_on_the_server_or_in_a_snapshot(
    server: RunningServer, url: str, name: str, tmp_path: Path
) -> None:
    with Curriculum.open(url, name, CONFIG) as curriculum:
        curriculum.get_task()
        curriculum.snapshot(tmp_path / "a.rcs")
        store = curriculum._store  # noqa: SLF001
        moment = Moment(store.server, store.config.algorithm)
        link = DirectLink(parse(url), 5.0)
        drive(moment.begin(Turn(0)), link)
        claim = store.server.request(STAGE_BEGIN, 1, "claimed-by", 60_000)
        drive(one(replace(claim, args=(2, *claim.args[1:]))), link)
        secrets = [store.worker._life.token, moment.token, "claimed-by"]  # noqa: SLF001
        with connect(server) as client:
            kinds = {key: client.type(key) for key in client.scan_iter(f"{Keys(name).prefix}*")}
            stored = {key: client.hgetall(key) for key in kinds if kinds[key] == "hash"}
        assert {Keys(name).snapshot, Keys(name).restore} <= set(stored)
        digests = [hashlib.sha1(secret.encode()).hexdigest() for secret in secrets]  # noqa: S324
        assert [digest for digest in digests if digest not in str(stored)] == []
        text = gzip.decompress((tmp_path / "a.rcs").read_bytes()).decode()
        for secret in secrets:
            assert secret not in str(stored)
            assert secret not in text
        assert digests[0] not in text
        with pytest.raises(SnapshotRunningError) as refused:
            drive(store.server.run(STAGE_BEGIN, 1, "another", 60_000), link)
        assert not any(secret in str(refused.value) for secret in secrets)
        drive(moment.end(), link)
        link.call(("UNLINK", Keys(name).restore), "")
        link.close()


# --- the lines -----------------------------------------------------------------------------------


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


@pytest.mark.parametrize("command", ["hincrby", "xadd", "evalsha", "info", "time"])
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
        assert "redis.pcall" not in text
        assert text.count("redis.call") == ("keys.lua" in str(path))


def test_all_that_is_sent_is_in_the_lists(every_server: RunningServer) -> None:
    """Each word of the package that is a command is a worker's, or an operator's."""
    with connect(every_server) as client:
        known = {entry[0].upper() for entry in client.execute_command("COMMAND")}
    lists = (*CONNECTING, *SCRIPTING, *LOADING, *READING, *WRITING, *CLUSTER, *NAMING)
    listed = {command.partition("|")[0].upper() for command in lists}
    operators = {"CONFIG", "BGSAVE", "BGREWRITEAOF", "EVAL", "ZREMRANGEBYSCORE"}
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
    assert "+asking" not in new.worker
    assert "+asking" in acl_lines("x", "7.2.4", cluster=True).worker


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
