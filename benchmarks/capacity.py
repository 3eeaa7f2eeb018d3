"""How many episodes per second one Redis core carries, and what part of it a given load needs.

An episode's server CPU is measured call by call; one core carries a second divided by that. The
check: as many such calls as fit into some seconds are pushed through a server that does nothing
else, and what it really carried is put beside the estimate.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any

from measure import Row, arguments, console, in_turn, machine, report, server_us
from pool import Hand, Planted, config_of, plant
from server import Server

from redis_curriculum._protocol.plan import Run


@dataclass(frozen=True)
class Load:
    """What is asked for."""

    episodes_per_second: float
    tasks: int
    batch: int
    """Episodes per call: 1, or a vector environment's size."""


def capacities(server: Server, client: Any, load: Load, rounds: int, calls: int) -> list[Row]:
    """Estimated and carried episodes per second."""
    planted = plant(server, "capacity", config_of(load.tasks))
    hand = Hand(planted)
    client.script_load(hand.play([(0, 0.5)], 1).script.source)
    hand = Hand(planted)

    def cost() -> float:
        return server_us(server, client, _calls(hand, planted, load.batch, calls), 10) / load.batch

    def carried() -> float:
        return _carried(client, _calls(hand, planted, load.batch, calls)) * load.batch

    found = in_turn({"cost": cost, "carried": carried}, rounds)
    name = f"{load.tasks:,} tasks, {load.batch} episode(s) a call"
    estimate = [1e6 / us for us in found["cost"]]
    needed = [100 * load.episodes_per_second * us / 1e6 for us in found["cost"]]
    asked = f"{load.episodes_per_second:,.0f} episodes per second need of one core"
    return [
        Row(f"{name}: one core carries, by server CPU per episode", estimate, "/s"),
        Row(f"{name}: carried when saturated", found["carried"], "/s"),
        Row(f"{name}: {asked}", needed, "%"),
    ]


def _calls(hand: Hand, planted: Planted, batch: int, count: int) -> list[Run]:
    drawn = [random.choices(planted.ids, k=batch) for _ in range(count)]
    return [hand.play([(task_id, random.random()) for task_id in ids], batch) for ids in drawn]


def _carried(client: Any, calls: list[Run]) -> float:
    """Calls per second while the next ones are already waiting in the server's socket."""
    connection = client.connection_pool.get_connection()
    words = [("EVALSHA", call.script.sha, 1, call.key, *call.args) for call in calls]
    packed = connection.pack_commands(words)
    started = time.perf_counter()
    connection.send_packed_command(packed)
    for _ in calls:
        connection.read_response()
    seconds = time.perf_counter() - started
    client.connection_pool.release(connection)
    return len(calls) / seconds


def main(load: Load | None = None, *, smoke: bool = False) -> list[Row]:
    """Measure, print, store; return the rows."""
    rounds, calls = (1, 10) if smoke else (5, 1_000)
    rate = load.episodes_per_second if load else 1_000.0
    tasks = (200,) if smoke else (1_000, 10_000, 100_000)
    loads = [load] if load else [Load(rate, size, batch) for size in tasks for batch in (1, 64)]
    rows = []
    with Server() as server, server.client() as client:
        where = machine(client)
        for each in loads:
            rows += capacities(server, client, each, rounds, max(10, calls // each.batch))
            client.flushall()
    report("capacity", rows, where)
    first = rows[0]
    console.print(
        f"In words: one Redis core carries about {first.median:,.0f} episodes per second"
        " played one at a time. If episodes last 10 seconds, that is"
        f" {10 * first.median:,.0f} environments."
    )
    return rows


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--episodes-per-second", type=float)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=1, help="episodes per call")
    given = parser.parse_args()
    asked_for = given.episodes_per_second and Load(
        given.episodes_per_second, given.tasks, given.batch
    )
    main(asked_for, smoke=given.smoke)
