"""The index of names: right for older curricula, after a crash, in a cluster, under a prefix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum._admin.cleanup import gc_all
from redis_curriculum._admin.names import COMPLETE
from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import Keys, index_of
from redis_curriculum._protocol.plan import Command, one
from redis_curriculum._store.contracts import DELETE
from redis_curriculum._store.names import announce
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.urls import parse
from redis_curriculum.errors import ServerWarning
from redis_curriculum.tasks import Single
from tests.cli.conftest import Cli
from tests.faults.topologies import cluster
from tests.harness import connect
from tests.keyspace import TEAM
from tests.servers import RunningServer

CONFIG = CurriculumConfig(task_generator=Single(label="a"), num_active_tasks=4)
OLD_MS = 3 * 86_400_000


@pytest.fixture
def client(server: RunningServer) -> Iterator[Any]:
    with connect(server) as connection:
        yield connection


@pytest.fixture
def link(url: str) -> Iterator[DirectLink]:
    opened = DirectLink(parse(url), 5.0)
    yield opened
    opened.close()


def make(url: str, *names: str) -> None:
    for name in names:
        Curriculum.open(url, name, CONFIG).close()


def listed(cli: Cli, url: str | None = None) -> list[str]:
    """What ``list`` and ``Curriculum.names`` agree on."""
    rows = cli("list", "--json", **({"url": url} if url else {})).json
    return [row["name"] for row in rows]


def scans(client: Any, call: Any) -> int:
    """How many pages of the key space a call looks at."""
    client.config_resetstat()
    call()
    return int(client.info("commandstats").get("cmdstat_scan", {}).get("calls", 0))


def test_a_list_walks_over_no_keys(cli: Cli, url: str, client: Any) -> None:
    make(url, "b", "a")
    assert scans(client, lambda: listed(cli)) == 1, "nobody knows yet whether there are older ones"
    assert scans(client, lambda: listed(cli)) == 0
    make(url, "c")
    assert listed(cli) == ["a", "b", "c"]
    assert scans(client, lambda: Curriculum.names(url)) == 0
    assert scans(client, lambda: cli("doctor", url=url)) == 0
    assert set(client.zrange(index_of(), 0, -1)) == {COMPLETE, "a", "b", "c"}


def test_curricula_older_than_the_index(cli: Cli, url: str, client: Any) -> None:
    make(url, "a", "b")
    client.unlink(index_of())
    make(url, "c")
    assert client.zrange(index_of(), 0, -1) == ["c"]
    assert listed(cli) == ["a", "b", "c"]
    assert set(client.zrange(index_of(), 0, -1)) == {"a", "b", "c", COMPLETE}
    client.unlink(index_of())
    assert Curriculum.names(url) == ["a", "b", "c"]


def test_a_crash_between_the_two_writes(cli: Cli, url: str, client: Any, link: DirectLink) -> None:
    make(url, "a")
    assert listed(cli) == ["a"]
    drive(announce(Server(Keys("dead"), 5.0)), link)  # and nothing after it
    assert listed(cli) == Curriculum.names(url) == ["a"]
    cli("gc")
    assert client.zscore(index_of(), "dead"), "it may still be about to create it"
    client.zincrby(index_of(), -OLD_MS, "dead")
    assert cli("gc", "--dry-run").code == 0
    assert client.zscore(index_of(), "dead"), "only said"
    cli("gc")
    assert client.zscore(index_of(), "dead") is None
    make(url, "dead")
    assert listed(cli) == ["a", "dead"]


def test_gc_keeps_what_is_there_and_adds_what_is_missing(cli: Cli, url: str, client: Any) -> None:
    make(url, "old", "lost")
    listed(cli)
    for member in ("old", COMPLETE):
        client.zincrby(index_of(), -OLD_MS, member)
    client.zrem(index_of(), "lost")  # as a failover of one node of a cluster would
    assert listed(cli) == ["old"]
    cli("gc")
    assert scans(client, lambda: listed(cli)) == 0
    assert listed(cli) == ["lost", "old"]


def test_a_deleted_name_and_a_restored_one(cli: Cli, url: str, tmp_path: Path) -> None:
    make(url, "a", "b")
    with Curriculum.open(url, "a") as curriculum:
        curriculum.snapshot(tmp_path / "a.rcs")
    assert listed(cli) == ["a", "b"]
    assert cli("delete", "a", "--yes").code == 0
    assert listed(cli) == Curriculum.names(url) == ["b"]
    Curriculum.restore(tmp_path / "a.rcs", url, "c").close()
    make(url, "a")
    assert listed(cli) == ["a", "b", "c"]


def test_a_prefix_has_an_index_of_its_own(cli: Cli, url: str, client: Any) -> None:
    under = f"{url}?prefix={TEAM}"
    make(url, "a")
    make(under, "b")
    assert (listed(cli), listed(cli, under)) == (["a"], ["b"])
    assert set(client.zrange(index_of(TEAM), 0, -1)) == {"b", COMPLETE}
    client.unlink(index_of(TEAM))
    assert (Curriculum.names(url), Curriculum.names(under)) == (["a"], ["b"])
    cli("gc", url=under)
    assert set(client.zrange(index_of(), 0, -1)) == {"a", COMPLETE}


def test_something_else_at_the_index_stops_nothing(cli: Cli, url: str, client: Any) -> None:
    client.set(index_of(), "somebody's")
    with pytest.warns(ServerWarning, match="cannot be added to the index"):
        make(url, "a")
    assert listed(cli) == Curriculum.names(url) == ["a"]
    assert cli("gc").code == 0
    assert client.get(index_of()) == "somebody's"
    client.unlink(index_of())


def test_gc_walks_once_for_all_curricula(cli: Cli, url: str, client: Any, link: DirectLink) -> None:
    """And once more where deletions have to be ended, however many."""
    pipe = client.pipeline(transaction=False)
    for i in range(6_000):
        pipe.set(f"strange:{i}", "x")
    pipe.execute()
    make(url, "a")
    once = scans(client, lambda: cli("gc"))
    assert 4 <= once <= 12
    make(url, *"bcdefg")
    assert scans(client, lambda: cli("gc")) == once
    for name in "bcd":
        drive(_marked(name), link)
        client.hset(Keys(name, 7).task(1), "label", "x")
    removed = cli("gc", "--json").json["removed"]
    assert Counter((row["name"], row["what"]) for row in removed) == {
        (name, "deleted curriculum"): 1 for name in "bcd"
    }
    for name in "ef":
        drive(_marked(name), link)
    assert scans(client, lambda: cli("gc")) == 2 * once
    assert listed(cli) == ["a", "g"]
    assert all(client.pttl(Keys(name).deleted) > 0 for name in "bcdef"), "free to be used again"
    client.unlink(*(f"strange:{i}" for i in range(6_000)))


def _marked(name: str) -> Any:
    return Server(Keys(name), 5.0).run(DELETE)


def test_a_name_that_is_used_again_while_gc_removes_it(
    url: str, client: Any, link: DirectLink
) -> None:
    """Between gc's last look and its removal."""
    make(url, "other")
    drive(announce(Server(Keys("dead"), 5.0)), link)
    client.zincrby(index_of(), -OLD_MS, "dead")
    plan = gc_all(parse(url), 5.0)
    request = next(plan)
    while not (isinstance(request, Command) and request.words[0] == "ZREMRANGEBYSCORE"):
        request = plan.send(drive(one(request), link))
    make(url, "dead")
    with pytest.raises(StopIteration):
        plan.send(drive(one(request), link))
    assert Curriculum.names(url) == ["dead", "other"]
    assert client.zscore(index_of(), "dead")


def test_in_a_cluster(cli: Cli, tmp_path: Path) -> None:
    """The index lies on one node, the curricula on all of them."""
    names = [f"x{i}" for i in range(9)]
    with cluster(tmp_path, replicas=False) as system:
        make(system.url, *names)
        owners = {system.owner(name).port for name in names}
        assert len(owners) == 3
        assert listed(cli, system.url) == Curriculum.names(system.url) == names
        _ask(system, "UNLINK", index_of())
        assert listed(cli, system.url) == names, "a walk over every node"
        under = f"{system.url}?prefix={TEAM}"
        make(under, "y")
        assert listed(cli, under) == ["y"]
        for name in names[:4]:
            assert Curriculum.delete(system.url, name) > 4
        _ask(system, "ZREM", index_of(), names[5])
        assert cli("gc", "--json", url=system.url).json["removed"] == []
        assert listed(cli, system.url) == Curriculum.names(system.url) == names[4:]
        assert cli("doctor", "--json", url=system.url).code == 0


def _ask(system: Any, *words: str) -> None:
    link = DirectLink(parse(system.url), 5.0)
    link.call(words, words[1])
    link.close()
