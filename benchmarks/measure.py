"""Numbers that can be compared: measured in turn within one run, with median and spread."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from server import Server

from redis_curriculum._protocol.plan import Run

OUT = Path("out")
console = Console()


@dataclass(frozen=True)
class Row:
    """One measured quantity, and the goal where there is one."""

    what: str
    values: Sequence[float]
    unit: str = "x"
    goal: str = ""
    """``<= 10`` or ``>= 55``; empty: none."""

    @property
    def median(self) -> float:
        """The middle of the repetitions."""
        return statistics.median(self.values)

    @property
    def spread(self) -> str:
        """Half of the repetitions lie in here."""
        if len(self.values) == 1:
            return ""
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return f"{low:,.4g} to {high:,.4g}"

    @property
    def verdict(self) -> str:
        """Whether the median meets the goal."""
        if not self.goal:
            return ""
        sense, bound = self.goal.split()
        met = self.median <= float(bound) if sense == "<=" else self.median >= float(bound)
        return "met" if met else "missed"


def in_turn(
    sides: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: bool = True
) -> dict[str, list[float]]:
    """Measure each side once a round, A B A B ...; the first round warms up and is dropped."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + warm_up):
        for name, side in sides.items():
            found[name].append(side())
    return {name: values[warm_up:] for name, values in found.items()}


def over(found: Mapping[str, Sequence[float]], name: str, base: str) -> list[float]:
    """The ratios of two sides, pair by pair."""
    return [a / b for a, b in zip(found[name], found[base], strict=True)]


def server_us(server: Server, client: Any, requests: Iterable[Run], depth: int = 100) -> float:
    """Microseconds of server CPU for each of the calls, sent ``depth`` at a time."""
    calls = list(requests)
    pipes = []
    for start in range(0, len(calls), depth):
        pipe = client.pipeline(transaction=False)
        for call in calls[start : start + depth]:
            pipe.execute_command("EVALSHA", call.script.sha, 1, call.key, *call.args)
        pipes.append(pipe)
    before = server.cpu_us(client)
    for pipe in pipes:
        pipe.execute()
    return (server.cpu_us(client) - before) / len(calls)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """What every benchmark takes from the command line; SIGTERM ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # no server stays behind
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--smoke", action="store_true", help="so small that it means nothing")
    return parser


def machine(client: Any) -> dict[str, str]:
    """Where this was measured."""
    names = Path("/proc/cpuinfo")
    lines = names.read_text(encoding="utf-8").splitlines() if names.exists() else []
    model = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "?")
    return {
        "cpu": f"{model}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "redis": str(client.info("server")["redis_version"]),
        "redis-py": version("redis"),
        "hiredis": version("hiredis"),
        "redis-curriculum": version("redis-curriculum"),
        "load": f"{os.getloadavg()[0]:.2f}",
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
    }


def report(title: str, rows: Sequence[Row], where: Mapping[str, str]) -> None:
    """Print the rows beside the last stored ones of that title, and store them."""
    stored = OUT / f"{title}.json"
    last = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else {"rows": []}
    before = {row["what"]: row["median"] for row in last["rows"]}
    table = Table(title=title, caption=", ".join(f"{k} {v}" for k, v in where.items()))
    for head in ("what", "median", "half within", "goal", "", "last"):
        table.add_column(head, justify="left" if head == "what" else "right")
    for row in rows:
        old = f"{before[row.what]:,.4g}" if row.what in before else ""
        shown = f"{row.median:,.4g} {row.unit}"
        table.add_row(
            row.what,
            shown,
            row.spread,
            row.goal,
            row.verdict,
            old,
        )
    console.print(table)
    OUT.mkdir(exist_ok=True)
    content = {"machine": dict(where), "rows": [_as_json(row) for row in rows]}
    stored.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _as_json(row: Row) -> dict[str, Any]:
    own = {"what": row.what, "unit": row.unit, "median": row.median, "values": list(row.values)}
    return own | ({"goal": row.goal, "verdict": row.verdict} if row.goal else {})


def markdown(rows: Iterable[Row]) -> str:
    """The rows as a table for the page on performance."""
    head = "| what | measured | half of the runs within | goal | |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| {row.what} | {row.median:,.4g} {row.unit} | {row.spread} | {row.goal}"
        f" | {row.verdict} |\n"
        for row in rows
    )
