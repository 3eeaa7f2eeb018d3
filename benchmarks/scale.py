"""Episodes per second of one server with 1 to 8 worker processes, by how a worker plays.

``two calls``: get_task, then update_task_performance. ``episode``: next_task, one round trip.
``vector``: next_tasks for 64 environments, one round trip a step. A handle waits for each answer,
so there is nothing to pipeline within one; several handles or batches are how calls overlap.
"""

from __future__ import annotations

from functools import partial

import processes
from measure import Row, arguments, machine, report
from pool import config_of, plant
from server import Server

KINDS = ("two calls", "episode", "vector")


def main(*, smoke: bool = False) -> list[Row]:
    """Measure, print, store; return the rows."""
    counts, seconds, rounds = ((1, 2), 0.02, 1) if smoke else ((1, 2, 4, 8), 0.6, 3)
    found: dict[tuple[str, int], list[float]] = {}
    used: dict[tuple[str, int], list[float]] = {}
    with Server() as server, server.client() as client:
        where = machine(client)
        planted = plant(server, "scale", config_of(200 if smoke else 10_000))
        for _ in range(rounds):
            for kind in KINDS:
                for count in counts:
                    before = server.cpu_us(client)
                    attach = partial(processes.KINDS[kind], server.url, planted.name)
                    total = sum(processes.rates(attach, count, seconds))
                    busy = (server.cpu_us(client) - before) / 1e6 / seconds
                    found.setdefault((kind, count), []).append(total)
                    used.setdefault((kind, count), []).append(100 * busy)
    rows = []
    for (kind, count), values in found.items():
        name = f"{kind}, {count} worker process{'es' if count > 1 else ''}"
        rows.append(Row(name, values, "/s"))
        rows.append(Row(f"{name}: the server's core", used[kind, count], "%"))
    report("scale", rows, where)
    return rows


if __name__ == "__main__":
    parser = arguments(__doc__)
    main(smoke=parser.parse_args().smoke)
