"""Every ratio that this system is built to, each measured within one run, its goal beside it.

Server CPU is what the server's process used, parsing and replying included, with the calls sent a
hundred at a time. The unit is a script that returns 1, measured in turn with what is compared.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import redis
from growth import growth_rows
from measure import Row, arguments, in_turn, machine, over, report, server_us
from pool import Hand, Planted, config_of, plant
from processes import KINDS, rates
from server import Server

from redis_curriculum import AsyncCurriculum, Curriculum
from redis_curriculum._protocol.plan import Run
from redis_curriculum._protocol.records import FIELDS
from redis_curriculum._protocol.scripts import Script
from redis_curriculum._sampling.pool import Pool, PoolTask
from redis_curriculum._sampling.sigmoid import expected_trials
from redis_curriculum._store.read import numbers
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.urls import parse
from redis_curriculum.config import LearningProgressConfig

BATCH = 256


@dataclass(frozen=True)
class Scale:
    """How much is measured: enough to be steady, or just enough to see that it runs."""

    tasks: int = 10_000
    rounds: int = 9
    calls: int = 2_000
    read: int = 100_000
    updates: int = 300_000
    labels: tuple[int, ...] = (1, 100, 10_000)
    growth: tuple[int, ...] = (1_000, 1_000_000)
    seconds: float = 1.0


FULL = Scale()
SMOKE = Scale(200, 1, 20, 300, 500, (1, 7), (500, 700), 0.05)


def own(client: Any, name: str) -> Script:
    """A script of the benchmarks', loaded."""
    text = Path(__file__).with_name(f"{name}.lua").read_text(encoding="utf-8")
    sha = client.script_load(text)
    return Script(name=name, arguments=(), rest=None, errors=frozenset(), source=text, sha=sha)


def baseline(client: Any) -> Run:
    """The call of a script that returns 1."""
    return Run(own(client, "baseline"), "rc:{baseline}:meta", ())


def load(client: Any, planted: Planted) -> None:
    """Send every script once, so that EVALSHA finds it."""
    other = Hand(planted)
    for call in (other.play([(0, 0.5)], 0), other.play((), 1), other.play([(0, 0.5)], 1)):
        client.script_load(call.script.source)
    for call in other.replace():
        client.script_load(call.script.source)


def server_rows(server: Server, client: Any, scale: Scale) -> list[Row]:
    """Updates and episodes, single and in batches: server CPU against a script that returns 1."""
    planted = plant(server, "update", config_of(scale.tasks))
    load(client, planted)
    hand, one = Hand(planted), baseline(client)

    def plays(count: int, results: int, draws: int, depth: int = 100) -> Callable[[], float]:
        """The cost of so many calls that each report and draw so much."""

        def cost() -> float:
            ids = random.choices(planted.ids, k=count * results)
            scored = [(task_id, random.random()) for task_id in ids]
            parts = [scored[i * results : (i + 1) * results] for i in range(count)]
            return server_us(server, client, [hand.play(part, draws) for part in parts], depth)

        return cost

    calls, commands = scale.calls, own(client, "commands")
    other = plant(server, "commands", config_of(scale.tasks))
    other_hand = Hand(other)

    def bare() -> float:
        """The cost of an update's commands in a script that computes nothing."""
        ids = random.choices(other.ids, k=calls)
        updates = [other_hand.play([(task_id, random.random())], 0) for task_id in ids]
        return server_us(server, client, [replace(call, script=commands) for call in updates])

    found = in_turn(
        {
            "unit": lambda: server_us(server, client, [one] * calls),
            "update": plays(calls, 1, 0),
            "bare": bare,
            "batch": plays(max(1, calls // BATCH), BATCH, 0, depth=1),
            "episode": plays(calls, 1, 1),
            "unit alone": lambda: server_us(server, client, [one] * (calls // 4), depth=1),
            "alone": plays(calls // 4, 1, 0, depth=1),
        },
        scale.rounds,
    )
    found["batch"] = [cost / BATCH for cost in found["batch"]]
    unit, cheaper = "a script that returns 1", "cheaper than pipelined single ones, server CPU"
    return [
        Row(f"one update, server CPU, against {unit}", over(found, "update", "unit"), "x", "<= 10"),
        Row(f"the commands alone of one update, against {unit}", over(found, "bare", "unit")),
        Row(f"updates by {BATCH}: {cheaper}", over(found, "update", "batch"), "x", ">= 1.5"),
        Row(f"one update, unpipelined, against {unit}", over(found, "alone", "unit alone")),
        Row(f"one episode in one call, against {unit}", over(found, "episode", "unit")),
        Row(f"{unit}, server CPU", found["unit"], "us"),
        Row("one update, server CPU", found["update"], "us"),
        Row(f"one update of {BATCH} in a call, server CPU", found["batch"], "us"),
        Row("one episode, server CPU", found["episode"], "us"),
    ]


def draw_rows(server: Server, client: Any, scale: Scale) -> list[Row]:
    """One draw by the task's own progress, and by its label's for few and for many labels."""
    one = baseline(client)
    sides: dict[str, Callable[[], float]] = {
        "unit": lambda: server_us(server, client, [one] * scale.calls)
    }

    def add(name: str, planted: Planted) -> None:
        load(client, planted)
        hand = Hand(planted)
        sides[name] = lambda: server_us(
            server, client, [hand.play((), 1) for _ in range(scale.calls)]
        )

    add("task", plant(server, "draw-task", config_of(scale.tasks, pooling="task")))
    for labels in scale.labels:
        planted = plant(server, f"draw-{labels}", config_of(scale.tasks), labels)
        add(f"{labels} labels", planted)
    found = in_turn(sides, scale.rounds)
    rows = [
        Row(
            'one draw, pooling="task", against a script that returns 1',
            over(found, "task", "unit"),
            "x",
            "<= 8",
        )
    ]
    for labels in scale.labels:
        values = over(found, f"{labels} labels", "unit")
        what = f'one draw, pooling="label", {labels:,} labels, against a script that returns 1'
        rows.append(Row(what, values, "x", "<= 12"))
    return [*rows, Row("one draw by label, server CPU", found[f"{scale.labels[1]} labels"], "us")]


def trial_rows() -> list[Row]:
    """Trials per draw in the worst pool with two values of progress: computed, not timed."""
    size, rows = 250, []
    for amplification, goal in ((10.0, 8.0), (15.0, 12.7)):
        hypers = LearningProgressConfig(pooling="task", z_score_amplification=amplification)
        worst = {}
        for stratified in (False, True):
            worst[stratified] = max(
                expected_trials(_two_values(size, high), hypers, stratified=stratified)
                for high in range(1, size)
            )
        name = f"expected trials per draw, amplification {amplification:g}, worst pool"
        rows.append(Row(name, [worst[False]], "", f"<= {goal}"))
        rows.append(Row(f"{name}, in batches", [worst[True]], "", "<= 1.3"))
    return rows


def _two_values(size: int, high: int) -> Pool:
    known = ({"completion_count": 100, "learning_progress": float(i < high)} for i in range(size))
    tasks = [PoolTask(i, "all", statistics) for i, statistics in enumerate(known)]
    return Pool.of(tasks, {}, LearningProgressConfig())


def memory_rows(server: Server, client: Any, scale: Scale) -> list[Row]:
    """Memory of a task with all its fields and indices, by the server's own account."""
    before = client.info("memory")["used_memory"]
    plant(server, "memory", config_of(scale.tasks))
    used = client.info("memory")["used_memory"] - before
    return [Row("memory per task with all indices", [used / scale.tasks], "B", "<= 850")]


def client_rows(server: Server, client: Any, scale: Scale) -> list[Row]:
    """What a worker's process sees: the library against redis-py alone, blocking and batched."""
    planted, one = plant(server, "client", config_of(scale.tasks)), baseline(client)
    curriculum = Curriculum.open(server.url, planted.name)
    count = scale.calls // 2

    def timed(work: Callable[[], object], times: int) -> float:
        started = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - started) / times

    def task_id() -> int:
        return random.choice(planted.ids)

    sides: dict[str, Callable[[], float]] = {
        "unit": lambda: timed(lambda: client.evalsha(one.script.sha, 1, one.key), count),
        "update": lambda: timed(
            lambda: curriculum.update_task_performance(task_id(), random.random()), count
        ),
        "draw": lambda: timed(curriculum.get_task, count),
        "draws": lambda: timed(lambda: curriculum.get_tasks(BATCH), 4) / BATCH,
        "episode": lambda: timed(lambda: curriculum.next_task((task_id(), random.random())), count),
        "async": lambda: asyncio.run(_async_update(server.url, planted, count)),
    }
    found = in_turn(sides, scale.rounds)
    curriculum.close()
    percent = [100 * ratio for ratio in over(found, "unit", "update")]
    per_s = [1 / seconds for seconds in found["episode"]]
    return [
        Row(
            "blocking client: updates per second, of the same redis-py client calling a script"
            " that returns 1",
            percent,
            "%",
            ">= 55",
        ),
        Row(
            f"draws in batches of {BATCH} against single draws, through the client",
            over(found, "draw", "draws"),
            "x",
            ">= 32",
        ),
        Row("blocking client: one update", [1e6 * s for s in found["update"]], "us"),
        Row("asyncio client: one update", [1e6 * s for s in found["async"]], "us"),
        Row("blocking client: episodes per second, one process", per_s, "/s"),
    ]


async def _async_update(url: str, planted: Planted, count: int) -> float:
    async with AsyncCurriculum.open(url, planted.name) as curriculum:
        await curriculum.update_task_performance(planted.ids[0], 0.5)
        started = time.perf_counter()
        for task_id in random.choices(planted.ids, k=count):
            await curriculum.update_task_performance(task_id, random.random())
        return (time.perf_counter() - started) / count


def longest_ms(client: Any, work: Callable[[], object]) -> float:
    """Milliseconds for which the longest command of some work kept the server."""
    client.config_set("slowlog-max-len", 10_000)
    client.slowlog_reset()
    client.config_set("slowlog-log-slower-than", 0)
    work()
    client.config_set("slowlog-log-slower-than", -1)
    calls = [e for e in client.slowlog_get(10_000) if not e["command"].startswith(b"CONFIG")]
    return max(float(call["duration"]) for call in calls) / 1000


def block_rows(server: Server, client: Any, scale: Scale) -> list[Row]:
    """How long the largest calls that a handle makes by itself keep the server."""
    planted = plant(server, "block", config_of(scale.tasks))
    with Curriculum.open(server.url, planted.name) as curriculum:

        def step() -> None:
            finished = [(task_id, 0.5) for task_id in random.choices(planted.ids, k=BATCH)]
            curriculum.next_tasks(finished, BATCH)

        step()
        longest = [longest_ms(client, step) for _ in range(scale.rounds)]
    name = f"the longest script call: {BATCH} results and {BATCH} draws at once"
    return [Row(name, longest, "ms", "<= 5")]


def read_rows(server: Server, client: Any, scale: Scale) -> list[Row]:
    """All numbers of a large pool into NumPy, against pipelined HGETALL through redis-py."""
    planted = plant(server, "read", config_of(scale.read))
    hand, link = Hand(planted), DirectLink(parse(server.url), 60.0)
    undecoded = redis.Redis.from_url(server.url, protocol=2)
    scorer = hand.store.config.algorithm
    plain = [f for f in FIELDS if f not in ("label", "params", "last_error", "stats")]
    fields = [*plain, *(f for f in scorer.stored("task") if f not in plain)]

    def numbers_of(record: dict[bytes, bytes]) -> dict[str, Any]:
        known = {field: record[field.encode()] for field in plain if field.encode() in record}
        stats = record.get(b"stats")
        return known | scorer.unpacked("task", stats) if stats else known

    def ours() -> float:
        started = time.perf_counter()
        drive(numbers(hand.store, "task", fields, planted.ids), link)
        return time.perf_counter() - started

    def hgetall() -> float:
        started = time.perf_counter()
        for start in range(0, scale.read, 1_000):
            pipe = undecoded.pipeline(transaction=False)
            for task_id in planted.ids[start : start + 1_000]:
                pipe.hgetall(hand.store.server.keys.task(task_id))
            records = [numbers_of(record) for record in pipe.execute()]
            np.array([[float(r.get(field, "nan")) for field in fields] for r in records])
        return time.perf_counter() - started

    found = in_turn(
        {"ours": ours, "hgetall": hgetall, "block": lambda: longest_ms(client, ours)},
        max(1, scale.rounds // 3),
    )
    link.close()
    undecoded.close()
    return [
        Row(
            f"all numbers of {scale.read:,} tasks into NumPy: faster than pipelined HGETALL",
            over(found, "hgetall", "ours"),
            "x",
            ">= 3",
        ),
        Row("the longest call of a bulk read", found["block"], "ms", "<= 2"),
        Row(f"all numbers of {scale.read:,} tasks into NumPy", found["ours"], "s"),
    ]


def sum_rows(server: Server, client: Any, scale: Scale) -> list[Row]:
    """The sums the scripts keep against recomputation, while progress shrinks to nothing."""
    wrong, least = [], 1.0
    for pooling in ("label", "task"):
        hypers = {"pooling": pooling, "ema_timescale": 0.5, "slow_timescale_factor": 0.2}
        config = config_of(max(20, scale.tasks // 100), **hypers)
        planted = plant(server, f"sums-{pooling}", config)
        with Curriculum.open(server.url, planted.name) as curriculum:
            for start in range(0, scale.updates // 2, 2_000):
                # at first any score, later always the same one: progress decays below 1e-9
                score = random.random if start < scale.updates // 8 else lambda: 0.5
                ids = random.choices(planted.ids, k=2_000)
                curriculum.update_many([(task_id, score()) for task_id in ids])
            wrong += curriculum.check()
            records = [curriculum.get_task_stats(task_id) for task_id in planted.ids]
            least = min(
                r.learning_progress for r in records if r and r.learning_progress is not None
            )
    what = f"sums (and all else) that differ from recomputation after {scale.updates:,} updates"
    return [
        Row(what, [float(len(wrong))], "", "<= 0"),
        Row("the least learning progress by then", [least], ""),
    ]


def system_rows(server: Server, client: Any, scale: Scale) -> list[Row]:
    """Four processes that play episodes against four that send two pipelined PINGs."""
    planted = plant(server, "system", config_of(scale.tasks))

    def side(kind: str) -> Callable[[], float]:
        attach = partial(KINDS[kind], server.url, planted.name)
        return lambda: sum(rates(attach, 4, scale.seconds))

    sides = {kind: side(kind) for kind in ("ping", "episode", "vector")}
    found = in_turn(sides, max(1, scale.rounds // 3), warm_up=False)
    percent = [100 * ratio for ratio in over(found, "episode", "ping")]
    return [
        Row(
            "episodes per second, 4 worker processes, of the same doing two pipelined PINGs",
            percent,
            "%",
            ">= 50",
        ),
        Row("episodes per second, 4 worker processes, one at a time", found["episode"], "/s"),
        Row("episodes per second, 4 worker processes, 64 environments each", found["vector"], "/s"),
    ]


PARTS = (
    server_rows,
    draw_rows,
    memory_rows,
    client_rows,
    block_rows,
    read_rows,
    sum_rows,
    system_rows,
)


def measure(scale: Scale) -> list[Row]:
    """All rows, on servers of our own; each part has one, so that none inherits a full one."""
    rows = trial_rows()
    for part in PARTS:
        with Server() as server, server.client() as client:
            rows += part(server, client, scale)
    return rows


def main(*, smoke: bool = False, growth: bool = True) -> list[Row]:
    """Measure, print, store; return the rows, those of growth only where asked for."""
    with Server() as server, server.client() as client:
        where = machine(client)
    scale = SMOKE if smoke else FULL
    rows = measure(scale)
    if growth:
        rows += growth_rows(scale.growth, 3 * scale.rounds, scale.calls // 4)
    report("ratios", rows, where)
    return rows


def only_sums(updates: int) -> list[Row]:
    """The sums after any number of updates; ten million take some minutes."""
    with Server() as server, server.client() as client:
        rows = sum_rows(server, client, replace(FULL, updates=updates))
        report("sums", rows, machine(client))
    return rows


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--updates", type=int, help="only the sums, after so many updates")
    given = parser.parse_args()
    if given.updates:
        only_sums(given.updates)
    else:
        main(smoke=given.smoke)
