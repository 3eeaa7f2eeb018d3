"""All benchmarks one after the other (`make bench`).

out/bench.md is the table of docs/understand/performance.md.
"""

from __future__ import annotations

import time

import capacity
import costs
import growth
import history
import instructions
import ratios
import scale
import soak
from measure import OUT, arguments, console, machine, markdown
from server import Server


def main(*, smoke: bool) -> None:
    """Run them, then write the tables as Markdown."""
    started = time.monotonic()
    with Server() as server, server.client() as client:
        where = machine(client)
    parts = {
        "ratios": ratios.main(smoke=smoke, growth=False),
        "costs": costs.main(smoke=smoke),
        "instructions": instructions.main(smoke=smoke),
        "growth": growth.main(smoke=smoke),
        "history": history.main(smoke=smoke),
        "scale": scale.main(smoke=smoke),
        "capacity": capacity.main(smoke=smoke),
        "soak": soak.main(smoke=smoke),
    }
    text = "Measured on " + ", ".join(f"{k} {v}" for k, v in where.items()) + ".\n\n"
    goals = [row for rows in parts.values() for row in rows if row.goal]
    text += markdown({row.what: row for row in goals}.values())
    for name, rows in parts.items():
        text += f"\n{name}:\n\n" + markdown(row for row in rows if not row.goal)
    written = OUT / "bench.md"
    written.write_text(text, encoding="utf-8")
    console.print(f"{written} written, {time.monotonic() - started:.0f} s in all")


if __name__ == "__main__":
    parser = arguments(__doc__)
    main(smoke=parser.parse_args().smoke)
