"""Indices that workers set aside: each has one maker, and those without a task are given again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from redis_curriculum.config import LearningProgressConfig
from redis_curriculum.errors import IndexTakenError
from tests.harness import Harness, connect, text_config
from tests.servers import RunningServer

CAPACITY = 10


@pytest.fixture
def pool(server: RunningServer, name: str) -> Iterator[tuple[Harness, Harness, Harness]]:
    """Three workers of one empty pool."""
    hypers = LearningProgressConfig(min_samples_for_lp=1, min_presentations_for_eviction=1)
    config = text_config(hypers, num_active_tasks=CAPACITY)
    with connect(server) as client:
        first = Harness(client, name, config)
        yield first, Harness(client, name, config, worker="w1"), worker(first, "w2")
        first.wipe()


def worker(harness: Harness, name: str, **more: Any) -> Harness:
    return Harness(harness.client, harness.keys.name, harness.config, worker=name, **more)


def specs(n: int, first: int = 0) -> list[tuple[int, str, dict[str, Any]]]:
    return [(first + i, "a", {}) for i in range(n)]


def age(harness: Harness) -> None:
    """Let all that is reserved be older than three seconds."""
    lines = harness.client.hget(harness.keys.meta, "reserved").splitlines()
    old = "".join(f"{line.rpartition(' ')[0]} 1\n" for line in lines)
    harness.client.hset(harness.keys.meta, "reserved", old)


def test_no_two_workers_make_the_same_and_none_makes_too_much(
    pool: tuple[Harness, Harness, Harness],
) -> None:
    a, b, c = pool
    assert a.reserve(6, "fill") == [0, 0, 6, 10]
    assert b.reserve(6, "fill") == [0, 6, 4, 10], "only what nobody makes"
    assert c.reserve(6, "fill") == [0, 0, 0, 10]
    assert c.reserve(2, "replace") == [0, 10, 2, 10], "those come beside"
    assert b.create(specs(4, 6), first=6)[1:] == [4, 6]
    assert a.create(specs(6), first=0)[1:] == [6, 0]
    assert b.client.hget(b.keys.meta, "reserved").startswith("w2 ")


def test_indices_without_a_task_are_given_again(pool: tuple[Harness, Harness, Harness]) -> None:
    a, b, _ = pool
    a.reserve(5, "fill")
    assert a.write("create", 1, 0, 3, "", *a.specs(specs(2), 0)) == [0, 2, 8], "tried below 3"
    assert b.reserve(9, "fill")[1:3] == [3, 2], "3 and 4; index 2 failed"
    assert b.reserve(9, "fill")[1:3] == [3, 2], "its earlier reservation has ended"
    assert a.reserve(9, "fill")[1:3] == [5, 6]


def test_what_finds_no_room_is_given_again(pool: tuple[Harness, Harness, Harness]) -> None:
    a, b, _ = pool
    a.reserve(12, "replace")
    assert a.create(specs(12), first=0)[1:] == [10, 0]
    assert b.reserve(1)[1:3] == [10, 1]


@pytest.mark.parametrize("how", ["left", "reaped", "restarted"])
def test_what_a_gone_worker_reserved_is_given_again(
    pool: tuple[Harness, Harness, Harness], how: str
) -> None:
    a, b, _ = pool
    gone = worker(a, "gone", lease_ms=1)
    assert gone.reserve(10, "fill")[1:3] == [0, 10]
    time.sleep(0.01)
    if how == "left":
        gone.leave()
    elif how == "reaped":
        a.renew()
    else:  # another life of that name: its numbers differ in the upper bits
        later = (a.generation, "gone", "another handle", "", 7 * 2**32, 60_000)
        a.call("register", *later, "", "host", 1, "", "")
    assert b.reserve(4, "fill")[1:3] == [0, 4]
    with pytest.raises(IndexTakenError):
        a.create(specs(1), first=0)


def test_what_takes_long_is_made_by_others_too(pool: tuple[Harness, Harness, Harness]) -> None:
    a, b, _ = pool
    a.reserve(10, "fill")
    assert b.reserve(10, "fill")[2] == 0
    age(a)
    assert b.reserve(10, "fill")[1:3] == [10, 10], "of other indices"
    assert b.create(specs(10, 10), first=10)[1:] == [10, 0]
    assert a.create(specs(10), first=0)[1:] == [0, 0]
    assert a.reserve(3)[1:3] == [0, 3]


def test_a_repeated_reservation_is_the_same(pool: tuple[Harness, Harness, Harness]) -> None:
    a, b, _ = pool
    found = a.reserve(4, "fill")
    b.reserve(4, "fill")
    assert a.reserve(4, "fill", sequence=a.sequence) == [1, *found[1:]]
    a.create(specs(4), first=0)
    assert a.reserve(4, "fill", sequence=a.sequence - 1)[:3] == [1, 0, 0], "it has ended"


@pytest.mark.parametrize(
    ("again", "granted"), [("0", True), ("2", True), ("5", True), ("3", False)]
)
def test_a_replayed_reservation_has_the_same_indices(
    pool: tuple[Harness, Harness, Harness], again: str, *, granted: bool
) -> None:
    """The server forgot it; meanwhile others have 4 and what comes after is free."""
    a, b, _ = pool
    a.reserve(5, "fill")
    a.write("create", 1, 0, 4, "", *a.specs(specs(0), 0))
    b.reserve(1, "fill")
    a.client.hdel(a.keys.meta, "reserved")
    a.client.hset(
        a.keys.meta,
        mapping={"reserved": f"* 0 0 4 0 0\nw1 {b.sequence} 4 1 1 1\n", "next_index": 5},
    )
    assert a.reserve(2, "fill", again=again)[1:3] == ([int(again), 2] if granted else [0, 0])
    taken = {int(line.split()[2]) for line in reserved(a) if line.split()[0] == "w0"}
    assert taken == ({int(again)} if granted else set())
    everything = sorted(i for line in reserved(a) for i in indices(line))
    assert everything == sorted(set(everything)), "no index twice"
    assert everything == list(range(int(a.client.hget(a.keys.meta, "next_index"))))


def reserved(harness: Harness) -> list[str]:
    return list(harness.client.hget(harness.keys.meta, "reserved").splitlines())


def indices(line: str) -> range:
    first, count = map(int, line.split()[2:4])
    return range(first, first + count)


def test_trouble_is_noted_once_and_ends_with_the_next_task(
    pool: tuple[Harness, Harness, Harness],
) -> None:
    a, b, _ = pool

    def trouble() -> str | None:
        found: str | None = a.client.hget(a.keys.meta, "generator_trouble")
        return found

    a.create(specs(2), trouble="no more")
    b.create([], trouble="no more maps")
    assert trouble() == "no more"
    b.create([])
    assert trouble() == "no more"
    found = [fields for _, fields in a.client.xrange(a.keys.events)]
    troubles = [fields for fields in found if fields["event"] == "generator_trouble"]
    assert troubles == [{"event": "generator_trouble", "error": "no more", "worker": "w0"}]
    b.create(specs(1, 2))
    assert trouble() is None


def test_a_table_is_complete_once_every_index_has_had_its_task(
    pool: tuple[Harness, Harness, Harness],
) -> None:
    """So a pool of fewer tasks is not asked for, and what a dead worker has left is not lost."""
    a, b, c = pool
    assert a.reserve(5, "fill", most=7) == [0, 0, 5, 10, 0]
    assert b.reserve(5, "fill", most=7) == [0, 5, 2, 10, 0]
    assert c.reserve(5, "fill", most=7) == [0, 0, 0, 10, 0], "a and b are at it"
    age(a)
    assert c.reserve(5, "fill", most=7) == [0, 0, 0, 10, 0], "they still are, if slowly"
    b.create(specs(2, 5), first=5)
    a.leave()
    assert c.reserve(5, "fill", most=7)[1:3] == [0, 5]
    c.create(specs(5), first=0)
    assert c.reserve(5, "fill", most=7) == [0, 0, 0, 3, 1]
    assert c.reserve(5, "fill", most=8)[1:3] == [7, 1], "it has grown"
