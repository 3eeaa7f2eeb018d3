"""What the history by label costs: a point, of the server and of the worker whose turn it is.

A call that finds no point due compares two numbers. Every 2 s at most a handle asks for the turn.
One worker gets it; then there is a pause of 200 times the CPU time that its point took, so that
points take 0.5 % of one worker's CPU time at most.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from measure import Row, arguments, machine, report
from pool import Hand, config_of, plant
from server import Server

from redis_curriculum._protocol.keys import Keys
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store import history
from redis_curriculum._store.contracts import NOTE_HISTORY
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.urls import parse

_KINDS = ((1_000, 20), (10_000, 100), (10_000, 1_000), (100_000, 1_000))
"""Tasks and labels."""


def points(server: Server, client: Any, rounds: int, kinds: Sequence[tuple[int, int]]) -> list[Row]:
    """Time of a point, server CPU in it, its bytes, and those of a history that is full."""
    rows: list[Row] = []
    link = DirectLink(parse(server.url), 120.0)
    for tasks, labels in kinds:
        name = f"history-{tasks}-{labels}"
        store = Hand(plant(server, name, config_of(tasks), labels)).store
        keys, took, spent = Keys(name), list[float](), list[float]()
        for _ in range(rounds):
            client.hdel(keys.history, "due_ms")
            before, started = server.cpu_us(client), time.perf_counter()
            drive(history.note(store), link)
            took.append(1000 * (time.perf_counter() - started))
            spent.append((server.cpu_us(client) - before) / 1000)
        packed = _largest(client, keys)
        most = max(64, min(history.MOST_POINTS, 4 * 2**20 // packed))
        where = f"{tasks:,} tasks, {labels:,} labels"
        rows += [
            Row(f"a point, {where}: time of the worker", took, "ms"),
            Row(f"a point, {where}: server CPU", spent, "ms"),
            Row(f"a point, {where}: size", [packed], "B"),
            Row(f"a full history, {where}: {most} points", [most * packed / 2**20], "MiB"),
        ]
    link.close()
    return rows


def _largest(client: Any, keys: Keys) -> int:
    times = client.zrange(keys.history_times, 0, -1)
    return max(int(client.hstrlen(keys.history, at)) for at in times)


def asking(server: Server, client: Any, calls: int) -> Row:
    """Server CPU of one who asks for the turn and does not get it."""
    store = Hand(plant(server, "history-asking", config_of(1_000))).store
    link = DirectLink(parse(server.url), 120.0)

    def asked() -> Plan[None]:
        for _ in range(calls):
            yield from store.server.run(NOTE_HISTORY, 60_000, 0, 512, "")

    before = server.cpu_us(client)
    drive(asked(), link)
    link.close()
    cost = (server.cpu_us(client) - before) / calls
    return Row("a worker asks for the turn, which is another's: server CPU", [cost], "us")


def main(*, smoke: bool = False) -> list[Row]:
    """Measure, print, store; return the rows."""
    rounds, kinds, calls = (1, ((100, 5),), 20) if smoke else (7, _KINDS, 2_000)
    with Server() as server, server.client() as client:
        where = machine(client)
        rows = [*points(server, client, rounds, kinds), asking(server, client, calls)]
    report("history", rows, where)
    return rows


if __name__ == "__main__":
    parser = arguments(__doc__)
    main(smoke=parser.parse_args().smoke)
