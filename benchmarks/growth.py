"""What one call costs the server as the pool grows from a thousand tasks to a million."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from measure import OUT, Row, arguments, in_turn, machine, report, server_us
from pool import Hand, config_of, plant
from server import Server

GOALS = {"update": 1.6, "draw": 1.25, "replace": 1.4}
SIZES = (1_000, 10_000, 100_000, 1_000_000)
_REPLACED = 10  # a round; a small pool soon has no more tasks that may be evicted


def costs(sizes: Sequence[int], rounds: int, calls: int) -> dict[str, dict[int, list[float]]]:
    """Microseconds of server CPU of each operation at each size, all sizes in turn."""
    with Server() as server, server.client() as client:
        work: dict[int, dict[str, Callable[[], float]]] = {}
        for size in sizes:
            planted = plant(server, f"growth-{size}", config_of(size, pooling="task"))
            hand, ids = Hand(planted), planted.ids

            def update(hand: Hand = hand, ids: list[int] = ids) -> float:
                drawn = random.choices(ids, k=calls)
                each = [hand.play([(task_id, random.random())], 0) for task_id in drawn]
                return server_us(server, client, each)

            def draw(hand: Hand = hand) -> float:
                return server_us(server, client, [hand.play((), 1) for _ in range(calls)])

            def replace(hand: Hand = hand) -> float:
                calls = [call for _ in range(_REPLACED) for call in hand.replace()]
                return 2 * server_us(server, client, calls)

            work[size] = {"update": update, "draw": draw, "replace": replace}
            if size == sizes[0]:
                other = Hand(planted)
                for call in (other.play([(0, 0.5)], 0), other.play((), 1), *other.replace()):
                    client.script_load(call.script.source)
        # What is compared stands side by side: the machine changes its pace within seconds.
        sides = {f"{what} {size}": work[size][what] for what in GOALS for size in sizes}
        found = in_turn(sides, rounds)
    return {what: {size: found[f"{what} {size}"] for size in sizes} for what in GOALS}


def growth_rows(sizes: Sequence[int], rounds: int, calls: int) -> list[Row]:
    """How many times as much each operation costs in the largest pool as in the smallest."""
    return rows_of(costs(sizes, rounds, calls))


def rows_of(found: dict[str, dict[int, list[float]]]) -> list[Row]:
    """Growth from the smallest to the largest, against its goal."""
    rows = []
    for what, by_size in found.items():
        small, large = min(by_size), max(by_size)
        ratios = [b / a for a, b in zip(by_size[small], by_size[large], strict=True)]
        name = f"growth from {small:,} to {large:,} tasks, server CPU: {what}"
        rows.append(Row(name, ratios, "x", f"<= {GOALS[what]}"))
    return rows


def plot(found: dict[str, dict[int, list[float]]]) -> None:
    """Draw the medians with the middle half of the repetitions."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for what, by_size in found.items():
        low, middle, high = np.percentile(list(by_size.values()), (25, 50, 75), axis=1)
        axes.plot(list(by_size), middle, marker="o", label=what)
        axes.fill_between(list(by_size), low, high, alpha=0.2)
    axes.set(
        xscale="log", xlabel="tasks in the pool", ylabel="server CPU per call (us)", ylim=(0, None)
    )
    axes.legend()
    figure.savefig(OUT / "growth.png", dpi=150)
    plt.close(figure)


def main(*, smoke: bool = False) -> list[Row]:
    """Measure, print, store, draw; return the rows."""
    with Server() as server, server.client() as client:
        where = machine(client)
    found = costs((500, 700) if smoke else SIZES, 1 if smoke else 31, 20 if smoke else 500)
    rows = rows_of(found)
    for what, by_size in found.items():
        rows += [Row(f"{what}, {size:,} tasks", by_size[size], "us") for size in by_size]
    report("growth", rows, where)
    plot(found)
    return rows


if __name__ == "__main__":
    parser = arguments(__doc__)
    main(smoke=parser.parse_args().smoke)
