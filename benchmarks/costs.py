"""Where the server's time of one call goes: each Redis command in the script, and the rest.

By the server's own account (INFO commandstats). The rest is Lua itself, and carrying values between
it and Redis: the arguments, 17 digits of every float, strings to numbers and back.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from measure import Row, arguments, machine, report, server_us
from pool import Hand, config_of, plant
from server import Server

from redis_curriculum._protocol.plan import Run


def costs(server: Server, client: Any, calls: int, rounds: int, tasks: int) -> list[Row]:
    """Microseconds and number of each command within an update, a draw and an episode."""
    planted = plant(server, "costs", config_of(tasks))
    hand = Hand(planted)

    def result() -> tuple[int, float]:
        return random.choice(planted.ids), random.random()

    kinds: Mapping[str, Callable[[], Run]] = {
        "update": lambda: hand.play([result()], 0),
        "draw": lambda: hand.play((), 1),
        "episode": lambda: hand.play([result()], 1),
    }
    for make in kinds.values():
        client.script_load(make().script.source)
    hand = Hand(planted)
    rows = []
    for kind, make in kinds.items():
        found: dict[str, list[float]] = {}
        numbers: dict[str, float] = {}
        for _ in range(rounds):
            stats = _stats(server, client, [make() for _ in range(calls)])
            whole = stats.pop("evalsha")["usec"]
            for command, stat in stats.items():
                found.setdefault(command, []).append(stat["usec"] / calls)
                numbers[command] = stat["calls"] / calls
            inside = sum(stat["usec"] for stat in stats.values())
            found.setdefault("the rest", []).append((whole - inside) / calls)
        for command, values in found.items():
            times = f"{numbers[command]:.2f} " if command in numbers else ""
            name = command if command == "the rest" else command.upper()
            rows.append(Row(f"{kind}: {times}{name}", values, "us"))
    return rows


def _stats(server: Server, client: Any, calls: list[Run]) -> dict[str, dict[str, float]]:
    client.config_resetstat()
    server_us(server, client, calls)
    found = client.info("commandstats")
    ours = ("evalsha", "hmget", "hget", "hset", "hincrby", "zadd", "zrem", "bitfield", "zrange")
    names = (*ours, "zcard", "zrevrange", "hdel", "zcount", "time", "zscore")
    return {name: found[f"cmdstat_{name}"] for name in names if f"cmdstat_{name}" in found}


def main(*, smoke: bool = False) -> list[Row]:
    """Measure, print, store; return the rows."""
    calls, rounds, tasks = (20, 1, 200) if smoke else (2_000, 7, 10_000)
    with Server() as server, server.client() as client:
        where = machine(client)
        rows = costs(server, client, calls, rounds, tasks)
    report("costs", rows, where)
    return rows


if __name__ == "__main__":
    parser = arguments(__doc__)
    main(smoke=parser.parse_args().smoke)
