"""Sentinels and clusters of plain processes on loopback ports, and a network that can be parted."""

from __future__ import annotations

import random
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import redis
from redis.exceptions import AskError, ClusterDownError, MovedError

from tests.servers import RunningServer, executables

_PATIENCE_S: Final = 40.0
_BUS: Final = 10_000


def wait_for(true: Callable[[], object], what: str) -> None:
    """Wait until something is so; while it cannot be asked, it is not."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            if true():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < until, what
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens, nor on the cluster bus port that goes with each.

    All below 32,768, where Linux begins to take ports for outgoing connections.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(12_000, 22_000)
        if port not in found and _is_free(port) and _is_free(port + _BUS):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@dataclass
class Node:
    """A server on a port, and on its unix socket, which no partition cuts."""

    server: RunningServer
    host: str
    port: int

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def ask(self, *words: Any) -> Any:
        with self.server.client() as client:
            return client.execute_command(*words)


@contextmanager
def node(
    directory: Path,
    port: int,
    config: Sequence[str] = (),
    *,
    host: str = "127.0.0.1",
    executable: Path | None = None,
) -> Iterator[Node]:
    directory.mkdir(parents=True)
    words = ["--port", str(port), "--bind", host, "--protected-mode", "no"]
    words += ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]
    server = RunningServer(directory, executable, [*words, *config])
    try:
        server.start()
        yield Node(server, host, port)
    finally:
        server.close()


# --- Sentinel ------------------------------------------------------------------------------------


@dataclass
class Sentinels:
    """A primary, its replicas, and three Sentinels that watch them."""

    nodes: list[Node]
    addresses: list[str]
    sentinels: list[Node] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(self.addresses)}/main"

    def primary(self) -> Node:
        """Who the Sentinels say is the primary."""
        host, port = self.sentinels[0].ask("SENTINEL", "get-master-addr-by-name", "main")
        return next(node for node in self.nodes if node.address == f"{host}:{port}")

    def is_forgotten(self, old: Node) -> bool:
        """Whether no Sentinel calls a node the primary any more."""
        words = ("SENTINEL", "get-master-addr-by-name", "main")
        return all(one.ask(*words) != [old.host, str(old.port)] for one in self.sentinels)

    def settled(self) -> bool:
        """Whether every Sentinel is done with the same primary, and the other nodes follow it.

        The nodes are asked for that: what a Sentinel knows of a replica may be 10 s old.
        """
        primary = self.primary()
        for one in self.sentinels:
            known = named(one.ask("SENTINEL", "master", "main"))
            if (known["flags"], f"{known['ip']}:{known['port']}") != ("master", primary.address):
                return False
        followed = ["slave", primary.host, primary.port, "connected"]
        others = [node for node in self.nodes if node is not primary]
        return leads(primary, 2) and all(one.ask("ROLE")[:4] == followed for one in others)


@contextmanager
def sentinels(
    directory: Path,
    *,
    hosts: Sequence[str] = ("127.0.0.1",) * 3,
    executables_: Sequence[Path | None] = (None,) * 3,
) -> Iterator[Sentinels]:
    """The first of ``hosts`` has the primary, the others a replica; the last all the Sentinels."""
    ports = free_ports(len(hosts) + 3)
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                node(directory / f"node-{i}", ports[i], host=host, executable=executables_[i])
            )
            for i, host in enumerate(hosts)
        ]
        for replica in nodes[1:]:
            replica.ask("REPLICAOF", nodes[0].host, nodes[0].port)
        for replica in nodes[1:]:
            wait_for(partial(follows, replica), "replicas in step")
        system = Sentinels(nodes, [])
        for i, port in enumerate(ports[len(hosts) :]):
            one = sentinel(directory / f"sentinel-{i}", port, nodes[0], hosts[-1], executables_[-1])
            system.sentinels.append(stack.enter_context(one))
            system.addresses.append(system.sentinels[-1].address)
        for one_ in system.sentinels:
            wait_for(partial(knows_all, one_, len(hosts) - 1), "Sentinels know each other")
        yield system


def follows(replica: Node) -> bool:
    """Whether a replica is in step with its primary."""
    with replica.server.client() as client:
        return bool(client.info("replication").get("master_link_status") == "up")


def leads(primary: Node, count: int, offset: int = 0) -> bool:
    """Whether so many replicas follow a primary and have confirmed its stream up to an offset."""
    with primary.server.client() as client:
        found = [one for one in client.info("replication").values() if isinstance(one, dict)]
    ready = [one for one in found if one["state"] == "online" and one["offset"] >= offset]
    return len(ready) == count


def wait_for_replicas(primary: Node, count: int) -> None:
    """Wait until so many replicas have confirmed all that a primary holds now.

    "online" and "up" do not say so. After a sync without a disk, Redis 7's default, a primary is
    silent until the replica's next ACK, for up to a second: a replica promoted then lacks it all.
    """
    with primary.server.client() as client:
        offset = client.info("replication")["master_repl_offset"]
    wait_for(partial(leads, primary, count, offset), "the replicas have it all")


def named(flat: Any) -> dict[str, str]:
    """A Sentinel's answer about one server."""
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))


def knows_all(one: Node, replicas: int) -> bool:
    known = named(one.ask("SENTINEL", "master", "main"))
    return (int(known["num-other-sentinels"]), int(known["num-slaves"])) == (2, replicas)


@contextmanager
def sentinel(
    directory: Path, port: int, primary: Node, host: str, executable: Path | None
) -> Iterator[Node]:
    directory.mkdir()
    file = directory / "sentinel.conf"
    server = RunningServer(directory, executable)
    # A Sentinel pings a new primary for the first time after a second, or after the time it takes
    # for down, if that is shorter: then a healthy one counts as down, and a second failover begins.
    file.write_text(
        f"port {port}\nbind {host}\nprotected-mode no\ndir {directory}\n"
        f"unixsocket {server.socket}\n"
        f"sentinel monitor main {primary.host} {primary.port} 2\n"
        "sentinel down-after-milliseconds main 1500\n"
        "sentinel failover-timeout main 3000\n"
        "sentinel parallel-syncs main 2\n"
    )
    with (directory / "server.log").open("ab") as log:
        words = [str(server.executable), str(file), "--sentinel"]
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        one = Node(server, host, port)
        wait_for(lambda: one.ask("PING"), "a Sentinel answers")
        yield one
    finally:
        process.kill()
        process.wait()
        server.close()


# --- Cluster -------------------------------------------------------------------------------------


@dataclass
class Cluster:
    """Three primaries, and a replica of each if asked for."""

    nodes: list[Node]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(one.address for one in self.nodes)}"

    def id_of(self, one: Node) -> str:
        return str(one.ask("CLUSTER", "MYID"))

    def owner(self, name: str) -> Node:
        """The primary that serves a curriculum."""
        for one in self.nodes:
            if one.server.is_running and serves(one, name):
                return one
        raise AssertionError("nobody serves it")

    def move(self, name: str, source: Node, target: Node, pause_s: float = 0.0) -> None:
        """Move the slot of a curriculum, a few keys at a time."""
        slot = slot_of(source, name)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 4):
            source.ask("MIGRATE", target.host, target.port, "", 0, 5000, "KEYS", *keys)
            time.sleep(pause_s)
        for one in (target, source):
            one.ask("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target))


def slot_of(one: Node, name: str) -> int:
    return int(one.ask("CLUSTER", "KEYSLOT", f"{{{name}}}"))


def serves(one: Node, name: str) -> bool:
    """Whether a node takes requests about a curriculum."""
    try:
        one.ask("EXISTS", f"{{{name}}}")
    except (MovedError, AskError, ClusterDownError):
        return False
    return True


@contextmanager
def cluster(
    directory: Path, *, replicas: bool, executable: Path | None = None
) -> Iterator[Cluster]:
    """Made of CLUSTER commands alone: no redis-cli is needed."""
    ports = free_ports(6 if replicas else 3)
    config = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]
    config += ["--cluster-replica-validity-factor", "0", "--appendonly", "yes"]
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(node(directory / f"node-{i}", port, config, executable=executable))
            for i, port in enumerate(ports)
        ]
        for i, one in enumerate(nodes):
            one.ask("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for one in nodes[1:]:
            nodes[0].ask("CLUSTER", "MEET", one.host, one.port)
        for i, one in enumerate(nodes[:3]):
            one.ask("CLUSTER", "ADDSLOTS", *range(16384 * i // 3, 16384 * (i + 1) // 3))
        made = Cluster(nodes)
        for one in nodes:
            wait_for(partial(in_step, one, len(nodes)), "the nodes know each other")
        for primary, replica in zip(nodes, nodes[3:], strict=False):
            replica.ask("CLUSTER", "REPLICATE", made.id_of(primary))
        for one in nodes[3:]:
            wait_for(partial(follows, one), "replicas in step")
        yield made


def in_step(one: Node, count: int) -> bool:
    info = str(one.ask("CLUSTER", "INFO"))
    return "state:ok" in info and f"known_nodes:{count}" in info


# --- a network that can be parted ----------------------------------------------------------------


@dataclass
class Partition:
    """Two network namespaces with one wire between them."""

    names: tuple[str, str]
    hosts: tuple[str, str] = ("10.213.77.1", "10.213.77.2")

    def words(self, side: int) -> list[str]:
        """What to put before a command to run it on one side."""
        return ["ip", "netns", "exec", self.names[side]]

    def executable(self, side: int, directory: Path) -> Path:
        """A redis-server that runs on one side."""
        script = directory / f"redis-server-{side}"
        command = " ".join([*self.words(side), str(next(iter(executables().values())))])
        script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        script.chmod(0o755)
        return script

    def part(self) -> None:
        _ip("-n", self.names[0], "link", "set", "wire0", "down")

    def heal(self) -> None:
        _ip("-n", self.names[0], "link", "set", "wire0", "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextmanager
def partition() -> Iterator[Partition]:
    """Skip where no namespaces can be made: that needs root and iproute2."""
    if not shutil.which("ip"):
        pytest.skip("there is no ip command to make network namespaces with")
    tag = secrets.token_hex(4)
    made = Partition((f"rca{tag}", f"rcb{tag}"))
    try:
        for name in made.names:
            _ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
    try:
        _ip("-n", made.names[0], "link", "add", "wire0", "type", "veth", "peer", "name", "wire1")
        _ip("-n", made.names[0], "link", "set", "wire1", "netns", made.names[1])
        for side, name in enumerate(made.names):
            _ip("-n", name, "addr", "add", f"{made.hosts[side]}/24", "dev", f"wire{side}")
            _ip("-n", name, "link", "set", f"wire{side}", "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield made
    finally:
        for name in made.names:
            _ip("netns", "del", name)
