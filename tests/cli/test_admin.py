"""``gc``, ``delete``, ``doctor``."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._admin.cleanup import delete, gc
from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import SCHEMA, Keys
from redis_curriculum._protocol.plan import Plan, Request, Run
from redis_curriculum._store.contracts import COLLECT, DELETE, FORGET
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.steps import Steps
from redis_curriculum._wire.urls import parse
from redis_curriculum.errors import (
    CurriculumDeletedError,
    CurriculumNotFoundError,
    ServerWarning,
    StaleGenerationError,
)
from tests.cli.conftest import ROOT, Cli
from tests.cli.test_server import CONFIG
from tests.servers import RunningServer, redis_server


@pytest.fixture
def client(server: RunningServer) -> Iterator[Any]:
    with server.client() as opened:
        yield opened


@pytest.fixture
def link(url: str) -> Iterator[DirectLink]:
    opened = DirectLink(parse(url), 5.0)
    yield opened
    opened.close()


def everything(client: Any, name: str) -> dict[str, Any]:
    """Every key of a curriculum and its content."""
    read = {
        "hash": client.hgetall,
        "set": client.smembers,
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        "string": client.dump,
        "stream": client.xrange,
    }
    keys = client.scan_iter(f"{Keys(name).prefix}*")
    return {key: read[client.type(key)](key) for key in keys}


# --- gc ------------------------------------------------------------------------------------------


def litter(client: Any, name: str) -> dict[str, int]:
    """Leave what a dead restore, a flip, a dead exporter and dead workers leave."""
    old, staged, now = Keys(name, 1), Keys(name, 3), Keys(name, 2)
    for i in range(700):
        client.hset(old.task(i), "task_id", i)
    client.sadd(staged.label("x"), 1)
    client.zadd(staged.fresh, {"1": 0})
    client.hset(now.snapshot_tasks, "1", "")
    for i in range(40):
        client.zadd(now.workers, {f"dead-{i}": 1})
        client.hset(now.worker(f"dead-{i}"), "sequence", 1)
    return {
        "old generation": 700,
        "staged generation": 2,
        "snapshot copies": 1,
        "expired workers": 40,
    }


@pytest.fixture
def second(cli: Cli, curriculum: Curriculum, tmp_path: Path) -> str:
    """A curriculum at generation 2, which has been checked."""
    cli("snapshot", curriculum.name, tmp_path / "a")
    cli("restore", tmp_path / "a", "--name", curriculum.name, "--replace")
    return curriculum.name


def test_gc_removes_what_the_dead_left_and_nothing_else(cli: Cli, second: str, client: Any) -> None:
    before = everything(client, second)
    assert cli("gc", second).out == "nothing to remove\n"
    left = litter(client, second)
    dirty = everything(client, second)
    found = cli("gc", second, "--dry-run", "--json").json
    assert found["dry_run"]
    assert {row["what"]: row["count"] for row in found["removed"]} == left
    assert everything(client, second) == dirty, "a dry run changes nothing"
    text = cli("gc", "--dry-run").out
    assert re.search(rf"^{second} +old generation +700$", text, re.MULTILINE)
    found = cli("gc", second, "--json").json
    assert not found["dry_run"]
    assert {row["what"]: row["count"] for row in found["removed"]} == left
    assert client.hget(Keys(second).meta, "reaped_count") == "40"
    client.hdel(Keys(second).meta, "reaped_count")
    assert everything(client, second) == before
    assert cli("check", second).code == 0


def test_gc_leaves_what_the_living_need(cli: Cli, second: str, client: Any) -> None:
    keys = Keys(second)
    client.hset(keys.restore, mapping={"token": "t", "generation": 3})
    client.sadd(Keys(second, 3).label("x"), 1)
    client.hset(keys.snapshot, mapping={"token": "t", "started": 1})
    client.hset(keys.snapshot_tasks, "1", "")
    before = everything(client, second)
    assert cli("gc").code == 0
    assert everything(client, second) == before
    client.unlink(keys.restore, keys.snapshot)
    assert {row["what"] for row in cli("gc", "--json").json["removed"]} == {
        "staged generation",
        "snapshot copies",
    }


def test_collect_looks_again(second: str, client: Any, link: DirectLink) -> None:
    """Whoever looked a while ago must not remove what has become needed since."""
    keys = Keys(second)
    client.hset(keys.restore, mapping={"token": "t", "generation": 3})
    client.sadd(Keys(second, 3).label("x"), 1)
    client.hset(keys.snapshot, mapping={"token": "t", "started": 1})
    client.hset(keys.snapshot_tasks, "1", "")
    before = everything(client, second)
    shorts = [key.removeprefix(keys.prefix) for key in before]
    assert drive(_one(Run(COLLECT, keys.meta, [1, *shorts])), link) == [0]
    assert everything(client, second) == before
    client.unlink(keys.restore)


def test_only_its_own_deletion_is_ended(curriculum: Curriculum, link: DirectLink) -> None:
    """Somebody late may still hold the generation of the deletion before."""
    meta = Keys(curriculum.name).meta
    assert drive(_one(Run(FORGET, meta, ["1", 1_000])), link) == 0, "none is under way"
    drive(_one(Run(DELETE, meta, [1])), link)
    assert drive(_one(Run(FORGET, meta, ["7", 1_000])), link) == 0
    assert drive(_one(Run(FORGET, meta, ["1", 1_000])), link) == 1
    assert drive(_one(Run(FORGET, meta, ["1", 9_000])), link) == 0, "it has ended"


def _one(request: Request) -> Plan[Any]:
    return (yield request)


def _resumed(plan: Plan[Any], request: Request) -> Plan[None]:
    """Go on with a plan that has asked for ``request``."""
    with suppress(StopIteration):
        while True:
            request = plan.send((yield request))


def test_gc_of_what_never_became_a_curriculum(cli: Cli, client: Any, name: str) -> None:
    client.hset(Keys(name, 2).task(1), "task_id", 1)
    client.persist(Keys(name, 2).task(1))
    client.zadd(Keys(name).workers, {"w": 1})
    found = cli("gc", "--json").json["removed"]
    assert {"name": name, "what": "staged generation", "count": 1} in found
    assert everything(client, name) == {}


def test_gc_leaves_other_schemas_alone(cli: Cli, second: str, client: Any) -> None:
    client.hset(Keys(second).meta, "schema", 99)
    litter(client, second)
    before = everything(client, second)
    cli("gc")
    cli("gc", second)
    assert everything(client, second) == before


# --- delete --------------------------------------------------------------------------------------


def assert_gone(client: Any, name: str) -> None:
    """Nothing is left but the memory of its generation, which has an end."""
    assert list(everything(client, name)) == [Keys(name).deleted]
    assert client.get(Keys(name).deleted) == "1"
    assert client.pttl(Keys(name).deleted) > 86_400_000, "longer than any lease"


def test_delete(cli: Cli, curriculum: Curriculum, client: Any, name: str, url: str) -> None:
    other = f"{name}.other"
    with Curriculum.open(url, other, CONFIG):
        kept, size = everything(client, other), len(everything(client, name))
        answer = cli("delete", "--yes", "--force", name, "--json")
        assert answer.json == {"name": name, "keys": size - 1}  # the mark has replaced meta
        assert_gone(client, name)
        assert everything(client, other) == kept
    for words in (["status"], ["delete", "--yes"]):
        answer = cli(*words, name)
        assert answer.code == 1
        assert f"no curriculum named '{name}'" in answer.err
    with pytest.raises(CurriculumNotFoundError):
        curriculum.get_task()
    with Curriculum.open(url, name, CONFIG) as again:
        assert again.check() == []
        assert again.labels() == {"x": 4}


def test_an_interrupted_deletion(
    cli: Cli, curriculum: Curriculum, client: Any, link: DirectLink, tmp_path: Path
) -> None:
    """Between the mark and the last key the name is nobody's; `gc` or `delete` goes on."""
    name, url = curriculum.name, curriculum.url
    cli("snapshot", name, tmp_path / "a")
    assert drive(_one(Run(DELETE, Keys(name).meta, [1])), link) == 1
    assert cli("status", name).code == 1
    assert name not in cli("list").out
    with pytest.raises(CurriculumDeletedError):
        Curriculum.open(url, name, CONFIG)
    answer = cli("restore", tmp_path / "a", "--name", name)
    assert answer.code == 1
    assert "redis-curriculum gc" in answer.err
    with pytest.raises(CurriculumNotFoundError):
        curriculum.get_task()
    assert drive(_one(Run(DELETE, Keys(name).meta, [1])), link) == 0
    left = len(everything(client, name)) - 1  # but for the mark
    (row,) = [row for row in cli("gc", "--json").json["removed"] if row["name"] == name]
    assert row == {"name": name, "what": "deleted curriculum", "count": left}
    assert_gone(client, name)
    assert cli("restore", tmp_path / "a", "--name", name).code == 0
    assert cli("status", name, "--json").json["generation"] == 3, "2 is for whoever creates it"


def test_two_deletions_at_once_and_a_new_curriculum_after_the_first(
    curriculum: Curriculum, client: Any, name: str, url: str, link: DirectLink
) -> None:
    """The second one still holds the first one's list of keys; it must not touch the new ones."""
    plan = delete(Server(Keys(name), 5.0))
    request, collects = next(plan), 0
    while collects == 0:  # up to where it is about to remove what it saw
        reply = drive(_one(request), link)
        request = plan.send(reply)
        collects += isinstance(request, Run)
    other = DirectLink(parse(url), 5.0)
    assert drive(delete(Server(Keys(name), 5.0)), other) > 0
    other.close()
    with Curriculum.open(url, name, CONFIG) as again:
        again.get_task()
        before = everything(client, name)
        drive(_resumed(plan, request), link)
        assert everything(client, name) == before
        assert again.check() == []


def test_delete_spares_a_curriculum_that_workers_use(
    cli: Cli, curriculum: Curriculum, client: Any, name: str
) -> None:
    before = everything(client, name)
    answer = cli("delete", "--yes", name)
    assert answer.code == 1
    assert "1 live workers" in answer.err
    assert "--force" in answer.err
    assert everything(client, name) == before
    curriculum.close()
    assert cli("delete", "--yes", name).code == 0
    assert_gone(client, name)


@pytest.mark.parametrize(("said", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_delete_asks_at_a_terminal(
    curriculum: Curriculum, client: Any, url: str, said: str, code: int
) -> None:
    name = curriculum.name
    curriculum.close()
    ours, theirs = os.openpty()
    try:
        os.write(ours, said.encode())
        done = subprocess.run(
            [sys.executable, "-m", "redis_curriculum", "delete", name],
            stdin=theirs,
            capture_output=True,
            text=True,
            env=os.environ | {"REDIS_CURRICULUM_URL": url},
            cwd=ROOT,
            timeout=60,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == code, done.stderr
    assert f"Delete curriculum {name} on {url}?" in done.stderr
    assert client.exists(Keys(name).meta) == code
    assert ("nothing was deleted" in done.stderr) == (code == 1)


def test_delete_needs_a_yes_where_nobody_can_be_asked(
    cli: Cli, curriculum: Curriculum, client: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    curriculum.close()
    before = everything(client, name)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    answer = cli("delete", name)
    assert (answer.code, answer.out) == (2, "")
    assert "--yes must be given" in answer.err
    assert everything(client, name) == before


def test_a_worker_that_was_there_before_does_not_write_into_the_new_one(
    cli: Cli, curriculum: Curriculum, client: Any, name: str, url: str
) -> None:
    cli("delete", "--yes", "--force", name)
    with Curriculum.open(url, name, CONFIG) as again:
        before = everything(client, name)
        for call in (curriculum.get_task, curriculum.register, curriculum.renew_lease):
            with pytest.raises(StaleGenerationError):
                call()
        assert everything(client, name) == before
        assert again.check() == []


def test_a_deletion_while_workers_write(
    cli: Cli, curriculum: Curriculum, client: Any, name: str, url: str
) -> None:
    """Each is told so with its next call, and brings nothing back."""
    begun = threading.Barrier(4)

    def work() -> int:
        calls = 0
        with Curriculum.open(url, name) as worker:
            task = worker.get_task()
            begun.wait(10)
            with suppress(CurriculumNotFoundError):
                while True:
                    task = worker.next_task((task.task_id, 0.5))
                    calls += 1
        return calls

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(work) for _ in range(3)]
        begun.wait(10)
        time.sleep(0.2)
        assert cli("delete", "--yes", "--force", name).code == 0
        assert all(job.result(10) > 0 for job in jobs)
    assert_gone(client, name)


def test_gc_is_bounded(curriculum: Curriculum, client: Any, name: str, link: DirectLink) -> None:
    """No call takes more than 500 keys."""
    for i in range(1_201):
        client.hset(Keys(name, 7).task(i), "task_id", i)
    sizes = []
    send = link.send

    def counted(words: Any, key: str) -> Steps[Any]:
        if COLLECT.sha in words:
            sizes.append(len(words) - 5)
        return (yield from send(words, key))

    link.send, link.at_once = counted, False  # type: ignore[method-assign]
    (found,) = drive(gc(Server(Keys(name), 5.0)), link)
    assert found.count == 1_201
    assert [size for size in sizes if size][-3:] == [500, 500, 201]


# --- doctor --------------------------------------------------------------------------------------


def levels(found: list[dict[str, str]]) -> dict[str, str]:
    return {row["what"]: row["level"] for row in found}


def test_doctor_on_a_good_server(cli: Cli, tmp_path: Path) -> None:
    with redis_server(tmp_path, config=["--appendonly", "yes"]) as server:
        Curriculum.open(server.url, "x", CONFIG).close()
        answer = cli("doctor", server.url, "--json", url=None)
        text = cli("doctor", "--url", server.url).out
    assert answer.code == 0
    assert {row["server"] for row in answer.json} == {server.url}
    assert set(levels(answer.json).values()) == {"pass"}
    for words in (
        "version",
        "maxmemory-policy noeviction",
        "primary",
        "append-only file on",
        "appendfsync everysec",
        "all ",
        "CVE-2025-46818 is mended here",
        f"1 curricula of schema {SCHEMA}",
    ):
        assert any(words in what for what in levels(answer.json)), words
        assert f"pass  {words}" in text


def test_doctor_warns_of_scripts_that_gain_rights(cli: Cli, every_server: RunningServer) -> None:
    """Of the tested servers only 6.2.14 was built before the fault was known."""
    with every_server.client() as client:
        affected = client.info("server")["redis_version"] == "6.2.14"
    found = levels(cli("doctor", "--json", url=every_server.url).json)
    (level,) = (level for what, level in found.items() if "CVE-2025-46818" in what)
    assert level == ("warn" if affected else "pass")


def test_doctor_and_backup_without_script_and_info(cli: Cli, tmp_path: Path) -> None:
    config = ["--rename-command", "SCRIPT", "", "--rename-command", "INFO", ""]
    with redis_server(tmp_path, config=config) as server:
        found = levels(cli("doctor", "--json", url=server.url).json)
        assert "INFO is not answered here" in str(found)
        assert "SCRIPT is not known here" in str(found)
        with pytest.warns(ServerWarning, match="INFO is not answered here"):
            Curriculum.open(server.url, "x", CONFIG).close()
        answer = cli("backup", "x", url=server.url)
    assert (answer.code, "INFO is not answered here" in answer.err) == (1, True)


def test_doctor_on_a_bad_server(cli: Cli, tmp_path: Path) -> None:
    config = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]
    with redis_server(tmp_path, config=config) as server, server.client() as client:
        client.hset(Keys("newer").meta, mapping={"schema": 99, "generation": 1})
        answer = cli("doctor", "--json", url=server.url)
        text = cli("doctor", url=server.url)
        client.config_set("appendonly", "yes")
        client.config_set("appendfsync", "no")
        lazy = levels(cli("doctor", "--json", url=server.url).json)
    assert answer.code == text.code == 1
    found = {row["level"]: row for row in reversed(answer.json)}
    assert "would drop task records" in found["fail"]["what"]
    assert found["fail"]["remedy"] == "CONFIG SET maxmemory-policy noeviction"
    assert "-> CONFIG SET maxmemory-policy noeviction" in text.out
    whats = levels(answer.json)
    assert whats["neither append-only file nor saves: a restart loses everything"] == "warn"
    assert whats[f"curriculum 'newer' has keys of schema 99, this library knows {SCHEMA}"] == "fail"
    (what,) = [what for what in lazy if what.startswith("appendfsync no")]
    assert lazy[what] == "warn"


def test_doctor_on_a_replica(cli: Cli, tmp_path: Path) -> None:
    config = ["--replicaof", "127.0.0.1", "1"]
    with redis_server(tmp_path, config=config) as server:
        answer = cli("doctor", "--json", url=server.url)
    assert answer.code == 1
    assert levels(answer.json)["this is a read-only replica"] == "fail"


def test_doctor_asks_which_server(cli: Cli) -> None:
    assert cli("doctor", url=None).code == 2
