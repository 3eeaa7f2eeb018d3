"""Reads by plain commands: many of them in one round trip, nothing of it in a script."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.plan import Plan, T
from redis_curriculum._store import read
from redis_curriculum._store.store import Store
from redis_curriculum._wire import asyncio as asyncio_
from redis_curriculum._wire import blocking
from redis_curriculum._wire.urls import parse
from redis_curriculum.config import LearningProgressConfig, WorkerSettings
from redis_curriculum.errors import (
    CurriculumNotFoundError,
    MalformedStateError,
    PermissionDeniedError,
    StaleGenerationError,
)
from tests.harness import Harness, connect, text_config
from tests.servers import RunningServer

HYPERS = LearningProgressConfig(min_samples_for_lp=1)
Run = Callable[[Plan[Any]], Any]


def run_blocking(server: RunningServer, plan: Plan[T]) -> T:
    link = blocking.DirectLink(parse(server.url), 5.0)
    try:
        return blocking.drive(plan, link)
    finally:
        link.close()


def run_in_a_loop(server: RunningServer, plan: Plan[T]) -> T:
    async def run() -> T:
        link = asyncio_.AsyncLink(parse(server.url), 5.0)
        try:
            return await asyncio_.drive(plan, link)
        finally:
            await link.close()

    return asyncio.run(run())


@pytest.fixture
def harness(every_server: RunningServer, name: str) -> Harness:
    """Tasks 0 to 3, of labels a, b, a, b."""
    harness = Harness(connect(every_server), name, text_config(HYPERS, num_active_tasks=4))
    harness.create([(i, "ab"[i % 2], {"i": i}) for i in range(4)])
    return harness


@pytest.fixture
def store(harness: Harness) -> Store:
    server = Server(harness.keys, 0)
    return Store(server, harness.config, WorkerSettings(retry_deadline_s=0), playing=False)


@pytest.fixture(params=[run_blocking, run_in_a_loop], ids=["blocking", "asyncio"])
def run(request: pytest.FixtureRequest, every_server: RunningServer) -> Run:
    return lambda plan: request.param(every_server, plan)


def test_records_come_in_order(harness: Harness, store: Store, run: Run) -> None:
    harness.record([(2, 0.25)])
    two, none, zero = run(read.read(store, [2, 99, 0]))
    assert none is None
    assert (two.task_id, two.label, two.params, two.last_score) == (2, "a", {"i": 2}, 0.25)
    assert two.statistics["p_fast"] == float(harness.whole("task", harness.keys.task(2))["p_fast"])
    assert (zero.completion_count, zero.last_score) == (0, None)
    assert set(zero.statistics.values()) == {None}
    assert run(read.read(store, [])) == []


def test_numbers_and_the_label_of_each(harness: Harness, store: Store, run: Run) -> None:
    harness.record([(2, 1 / 3), (2, 0.1)])
    fields = ["completion_count", "p_fast", "sample_count"]
    table, labels = run(read.numbers(store, "task", fields, [1, 2, 99, 3, 0]))
    assert labels == ["b", "a"]
    nan = math.nan
    p_fast = 1 / 3 + 0.1 * (0.1 - 1 / 3)
    rows = [[0, nan, 0, 0], [2, p_fast, 0, 1], [nan] * 4, [0, nan, 0, 0], [0, nan, 0, 1]]
    np.testing.assert_array_equal(table, np.array(rows))
    table, labels = run(read.numbers(store, "label", ["p_true"], ["a", "none"]))
    np.testing.assert_array_equal(table, [[p_fast, nan], [nan, nan]])
    assert labels == []
    table, labels = run(read.numbers(store, "task", (), [2, 99]))
    np.testing.assert_array_equal(table, [[0], [nan]])
    assert (labels, run(read.numbers(store, "task", ["p_true"], []))[0].shape) == (["a"], (0, 2))


@pytest.mark.parametrize("reading", ["read", "numbers", "pool"])
def test_a_restore_and_a_deletion_are_noticed(
    harness: Harness, store: Store, run: Run, reading: str
) -> None:
    def plan() -> Plan[Any]:
        if reading == "numbers":
            return read.numbers(store, "task", ["p_true"], [0])
        return read.read(store, [0]) if reading == "read" else read.pool(store)

    harness.client.hset(harness.keys.meta, "generation", 2)
    with pytest.raises(StaleGenerationError):
        run(plan())
    harness.wipe()
    with pytest.raises(CurriculumNotFoundError):
        run(plan())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stats", b"short"),
        ("stats", struct.pack("<3d", 1, 2, 3)),
        ("sample_count", "many"),
        ("label", b"\xff\xfe"),
    ],
)
def test_a_malformed_record_is_named(
    harness: Harness, store: Store, run: Run, field: str, value: Any
) -> None:
    harness.client.hset(harness.keys.task(1), field, value)
    with pytest.raises(MalformedStateError) as caught:
        run(read.read(store, [0, 1]))
    assert caught.value.field == f"task:1.{field}"
    if field != "label":
        with pytest.raises(MalformedStateError, match=rf"task:1\.{field} is"):
            run(read.numbers(store, "task", ["p_true", "sample_count"], [0, 1]))


def test_an_error_among_many_replies_leaves_the_others_out(
    harness: Harness, every_server: RunningServer
) -> None:
    """What comes after it on the connection answers what was asked after it."""
    client, keys = harness.client, harness.keys
    client.execute_command(
        "ACL", "SETUSER", "half", "on", ">p", f"~{keys.prefix}*", "+hget", "+ping"
    )
    try:
        url = every_server.url.replace("unix://", "unix://half:p@")
        link = blocking.DirectLink(parse(url), 5.0)
        node = Server(keys, 0)
        words = [("HGET", keys.meta, "epoch"), ("HLEN", keys.meta), ("HGET", keys.meta, "schema")]
        with pytest.raises(PermissionDeniedError, match="hlen"):
            blocking.drive(node.commands(words), link)
        assert blocking.drive(node.commands(words[::2]), link) == [b"0", b"2"]
        assert link.call(("PING",), keys.meta) == "PONG"
        link.close()
    finally:
        client.execute_command("ACL", "DELUSER", "half")
