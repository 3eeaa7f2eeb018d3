"""Sentinel and Cluster: failovers and migrations under load lose and double nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.tasks import Task
from tests.faults.ledger import Ledger, config_of, judge, read_journal, settings_of
from tests.faults.proxy import proxy
from tests.faults.tally import Row
from tests.faults.topologies import (
    Cluster,
    Node,
    cluster,
    follows,
    free_ports,
    leads,
    node,
    partition,
    sentinels,
    wait_for,
    wait_for_replicas,
)
from tests.schema_1 import plant
from tests.servers import executables

Rows = Callable[[str], Row]
ROOT = Path(__file__).resolve().parents[2]
Binary = pytest.mark.parametrize("binary", list(executables()))


@contextmanager
def load(url: str, ledgers: list[Ledger]) -> Iterator[None]:
    """Workers that play until the block ends, and then look once more."""
    done = threading.Event()

    def work(ledger: Ledger, seed: int) -> None:
        settings = settings_of(retry_deadline_s=60.0, replay_buffer=1_000_000)
        with Curriculum.open(url, "x", worker=settings) as curriculum:
            while not done.is_set():
                ledger.play(curriculum, 5, seed)
            ledger.draw(curriculum)
            assert curriculum.lost_writes == 0

    with ThreadPoolExecutor(len(ledgers)) as pool:
        workers = [pool.submit(work, ledger, i) for i, ledger in enumerate(ledgers)]
        try:
            time.sleep(0.5)
            yield
            time.sleep(0.3)
        finally:
            done.set()
        for worker in workers:
            worker.result()


# --- a replica takes over ------------------------------------------------------------------------


@contextmanager
def address(tmp_path: Path, binary: str, refusal: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """The address of a primary, and how to give it to its replica; connections are kept.

    The old one refuses from then on, as a replica or as one that has no link to its primary yet.
    """
    ports, executable = free_ports(2), executables()[binary]
    with (
        node(tmp_path / "a", ports[0], executable=executable) as old,
        node(tmp_path / "b", ports[1], executable=executable) as new,
        proxy(old.server) as front,
    ):
        new.ask("REPLICAOF", old.host, old.port)
        wait_for(partial(follows, new), "the replica in step")

        def give() -> None:
            wait_for_replicas(old, 1)
            new.ask("REPLICAOF", "NO", "ONE")
            if refusal == "MASTERDOWN":
                old.ask("CONFIG", "SET", "replica-serve-stale-data", "no")
            old.ask("REPLICAOF", new.host, new.port if refusal == "READONLY" else free_ports(1)[0])
            front.server = new.server

        yield front.url, give


Refusal = pytest.mark.parametrize("refusal", ["READONLY", "MASTERDOWN"])


@Binary
@Refusal
def test_a_demoted_primary_is_left(tmp_path: Path, row: Rows, binary: str, refusal: str) -> None:
    """Its connections live on, and it refuses: the link looks for the primary again."""
    ledger = Ledger()
    with address(tmp_path, binary, refusal) as (url, give):
        settings = settings_of(retry_deadline_s=5.0)
        with Curriculum.open(url, "x", config_of(), worker=settings) as curriculum:
            ledger.play(curriculum, 5)
            give()
            ledger.play(curriculum, 5)
            judge(row("primary demoted, connections kept"), curriculum, [ledger])


@Binary
@Refusal
def test_a_demoted_primary_is_left_by_the_asyncio_handle(
    tmp_path: Path, binary: str, refusal: str
) -> None:
    async def draw_before_and_after(url: str, give: Callable[[], None]) -> None:
        settings = settings_of(retry_deadline_s=5.0)
        async with await AsyncCurriculum.open(url, "x", config_of(), worker=settings) as curriculum:
            await curriculum.get_tasks(1)
            give()
            assert len(await curriculum.get_tasks(1)) == 1

    with address(tmp_path, binary, refusal) as (url, give):
        asyncio.run(draw_before_and_after(url, give))


# --- Sentinel ------------------------------------------------------------------------------------


def fail_over(tmp_path: Path, row: Row, binary: str, times: int) -> None:
    """Kill the primary, wait for another, bring the old one back as its replica; again."""
    executable = executables()[binary]
    ledgers = [Ledger() for _ in range(3)]
    with sentinels(tmp_path, executables_=(executable,) * 3) as system:
        Curriculum.open(system.url, "x", config_of(), worker=settings_of()).close()
        wait_for_replicas(system.primary(), 2)  # results are replayed, the creation is not
        with load(system.url, ledgers):
            for _ in range(times):
                old = system.primary()
                old.server.kill()
                # It comes back empty: no worker may be sent to it before it follows.
                wait_for(partial(system.is_forgotten, old), "a failover")
                new = system.primary()
                time.sleep(0.3)
                old.server.start()
                old.ask("REPLICAOF", new.host, new.port)  # as a Sentinel would, some time later
                wait_for(system.settled, "the Sentinels agree")
        with Curriculum.open(system.url, "x", worker=settings_of()) as curriculum:
            judge(row, curriculum, ledgers, trials=times)


def test_sentinel_failover(tmp_path: Path, row: Rows) -> None:
    fail_over(tmp_path, row("Sentinel failover, primary killed"), "path", 1)


def test_a_sentinel_that_hangs_is_passed_over(tmp_path: Path) -> None:
    settings = settings_of(timeout_s=0.5, retry_deadline_s=5.0)

    async def draw(url: str) -> list[Task]:
        async with await AsyncCurriculum.open(url, "x", config_of(), worker=settings) as curriculum:
            return await curriculum.get_tasks(2)

    with sentinels(tmp_path) as system:
        pid = int(system.sentinels[0].ask("INFO", "server")["process_id"])
        os.kill(pid, signal.SIGSTOP)
        try:
            with Curriculum.open(system.url, "x", config_of(), worker=settings) as curriculum:
                assert len(curriculum.get_tasks(2)) == 2
            assert len(asyncio.run(draw(system.url))) == 2
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.slow
@Binary
def test_sentinel_failovers(tmp_path: Path, row: Rows, binary: str) -> None:
    fail_over(tmp_path, row("Sentinel failover, primary killed"), binary, 4)


@pytest.mark.slow
def test_sentinel_failover_by_partition(tmp_path: Path, row: Rows) -> None:
    """The old primary goes on acknowledging to the worker on its side; all of that is replayed."""
    with partition() as net:
        hosts = (net.hosts[0], net.hosts[1], net.hosts[1])
        sides = [net.executable(side, tmp_path) for side in (0, 1)]
        with sentinels(
            tmp_path, hosts=hosts, executables_=(sides[0], sides[1], sides[1])
        ) as system:
            old = system.nodes[0]
            Curriculum.open(old.server.url, "x", config_of()).close()
            stop = tmp_path / "stop"
            players = []
            for side in (0, 1):
                words = [sys.executable, "-m", "tests.faults.player", system.url]
                words += [str(tmp_path / f"journal-{side}"), str(stop), str(side + 1)]
                players.append(subprocess.Popen([*net.words(side), *words], cwd=ROOT))
            for side in (0, 1):
                journal = tmp_path / f"journal-{side}"
                wait_for(partial(is_longer, journal, 10_000), "both play")
            net.part()
            wait_for(partial(system.is_forgotten, old), "a failover")
            new, apart = system.primary(), size(tmp_path / "journal-0")
            time.sleep(2.0)
            assert size(tmp_path / "journal-0") > apart, "it is still acknowledged"
            net.heal()
            wait_for(lambda: old.ask("ROLE")[0] == "slave", "the old primary follows")
            time.sleep(1.0)
            stop.touch()
            for player in players:
                assert player.wait(60) == 0
            ledgers = []
            for side in (0, 1):
                ledger, on_its_way = read_journal(tmp_path / f"journal-{side}")
                ledger.longest_s = float((tmp_path / f"journal-{side}.end").read_text())
                assert on_its_way is None
                ledgers.append(ledger)
            with Curriculum.open(new.server.url, "x") as curriculum:
                judge(row("Sentinel failover, partition"), curriculum, ledgers)


def is_longer(path: Path, than: int) -> bool:
    return size(path) > than


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


# --- Cluster -------------------------------------------------------------------------------------


def is_owner(system: Cluster, node: Node) -> bool:
    return system.owner("x") is node


def migrate(tmp_path: Path, row: Row, binary: str, times: int, pause_s: float) -> None:
    ledgers = [Ledger() for _ in range(3)]
    with cluster(tmp_path, replicas=False, executable=executables()[binary]) as system:
        Curriculum.open(system.url, "x", config_of(), worker=settings_of()).close()
        with load(system.url, ledgers):
            for _ in range(times):
                source = system.owner("x")
                target = next(one for one in system.nodes if one is not source)
                system.move("x", source, target, pause_s)
                wait_for(partial(is_owner, system, target), "the slot has moved")
                time.sleep(0.3)
        with Curriculum.open(system.url, "x", worker=settings_of()) as curriculum:
            judge(row, curriculum, ledgers, trials=times)


def test_slot_migration(tmp_path: Path, row: Rows) -> None:
    migrate(tmp_path, row("Cluster slot migration"), "path", 2, 0.01)


@pytest.mark.slow
@Binary
def test_slot_migrations(tmp_path: Path, row: Rows, binary: str) -> None:
    migrate(tmp_path, row("Cluster slot migration"), binary, 12, 0.02)


@pytest.mark.slow
@Binary
def test_cluster_primary_killed(tmp_path: Path, row: Rows, binary: str) -> None:
    ledgers = [Ledger() for _ in range(3)]
    with cluster(tmp_path, replicas=True, executable=executables()[binary]) as system:
        Curriculum.open(system.url, "x", config_of(), worker=settings_of()).close()
        wait_for_replicas(system.owner("x"), 1)  # results are replayed, the creation is not
        with load(system.url, ledgers):
            for _ in range(3):
                old = system.owner("x")
                old.server.kill()
                wait_for(partial(is_elsewhere, system, old), "a replica takes over")
                new = system.owner("x")
                time.sleep(0.3)
                old.server.start()
                # It holds the curriculum then; what it has not received of the stream is replayed.
                wait_for(partial(leads, new, 1), "the old primary follows")
                wait_for(partial(follows, old), "it has loaded the copy")
        with Curriculum.open(system.url, "x", worker=settings_of()) as curriculum:
            judge(row("Cluster primary killed"), curriculum, ledgers, trials=3)


def is_elsewhere(system: Cluster, old: Node) -> bool:
    try:
        return system.owner("x") is not old
    except AssertionError:
        return False


def test_everything_works_on_a_cluster(tmp_path: Path) -> None:
    ledger = Ledger()
    with cluster(tmp_path / "nodes", replicas=False) as system:
        with Curriculum.open(system.url, "x", config_of(), worker=settings_of()) as curriculum:
            ledger.play(curriculum, 20)
            curriculum.renew_lease()
            task_id = curriculum.task_ids()[0]
            curriculum.set_label(task_id, "moved")
            assert curriculum.task_ids("moved") == [task_id]
            assert sum(curriculum.labels().values()) == len(curriculum.distribution()) == 16
            curriculum.snapshot(tmp_path / "x.rcs")
            assert curriculum.check(repair=True) == []
        with Curriculum.restore(tmp_path / "x.rcs", system.url, "y") as restored:
            assert restored.get_task_stats(task_id) is not None
            assert restored.check() == []
        with system.owner("z").server.client() as client:
            plant(client, "labels", "z")
        with Curriculum.open(system.url, "z") as migrated:
            assert len(migrated.task_ids()) == 40
            assert migrated.check() == []
        owner = system.owner("x")
        with owner.server.client() as client:
            assert client.exists(Keys("x").meta)
