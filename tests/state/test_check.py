"""check(): every broken index is named, repair mends it, and neither stops the workers."""

from __future__ import annotations

import multiprocessing as mp
import random
from collections.abc import Callable
from typing import Any

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import Keys
from tests.servers import RunningServer
from tests.state.test_snapshot import config_of, move, play

Breaks = Callable[[Any, Keys, int], Any]
BREAKS: dict[str, tuple[Breaks, str]] = {
    "not in its sorted set": (lambda r, k, i: r.zrem(k.fresh, i), "no sorted set"),
    "in two sorted sets": (lambda r, k, i: r.zadd(k.ripe, {str(i): 0.5}), "ripe"),
    "another score": (lambda r, k, i: r.zincrby(k.fresh, 0.25, i), "its record says"),
    "not in its label's set": (
        lambda r, k, i: r.srem(k.label(r.hget(k.task(i), "label")), i),
        "not in the set of its label",
    ),
    "in another label's set": (lambda r, k, i: r.sadd(k.label("other"), i), "'other'"),
    "a score without a record": (lambda r, k, i: r.zadd(k.learning, {"123": 0.1}), "task 123"),
    "a member without a record": (lambda r, k, i: r.sadd(k.label("maze-5"), 123), "task 123"),
    "another text than the truth": (
        lambda r, k, i: r.hset(k.task(i), "success_rate_ema", "0.123"),
        "success_rate_ema for people",
    ),
    "a label's count": (lambda r, k, i: r.hincrby(k.labels, "maze-5", 1), "'maze-5'"),
    "a label unlisted": (lambda r, k, i: r.hdel(k.labels, "maze-9"), "'maze-9'"),
    "a label's eligible tasks": (
        lambda r, k, i: r.hincrby(k.progress("maze-5"), "eligible_count", 2),
        "eligible_count",
    ),
    "the sums": (
        lambda r, k, i: r.hincrby(k.sums, "q1", 1),
        "sums are",
    ),
    "active and inactive": (lambda r, k, i: r.zadd(k.inactive, {"maze-5": 1}), "inactive"),
}


@pytest.fixture(params=["label", "task"])
def played(request: pytest.FixtureRequest, url: str, name: str) -> Any:
    with Curriculum.open(url, name, config_of(pooling=request.param)) as curriculum:
        play(curriculum, 250)
        yield curriculum


@pytest.mark.parametrize("what", BREAKS)
def test_what_is_broken_is_named_and_mended(
    server: RunningServer, played: Curriculum, what: str
) -> None:
    assert played.check() == []
    keys = Keys(played.name)
    fresh = server.client().zrange(keys.fresh, 0, 0)[0]
    before = played.distribution()
    breaks, word = BREAKS[what]
    breaks(server.client(), keys, int(fresh))
    problems = played.check()
    assert any(word in problem for problem in problems), problems
    assert played.check(repair=True) == []
    assert played.distribution() == before
    play(played, 30)
    assert played.check() == []


def test_what_cannot_be_mended_is_still_named(server: RunningServer, played: Curriculum) -> None:
    keys = Keys(played.name)
    server.client().hset(keys.count("created"), "maze-5", 1)
    server.client().set(f"{keys.pool}what", 1)
    problems = played.check(repair=True)
    assert any("created" in problem for problem in problems)
    assert any("nothing knows it" in problem for problem in problems)
    server.client().unlink(f"{keys.pool}what")


def test_everything_at_once_is_mended_while_workers_go_on(server: RunningServer, name: str) -> None:
    context = mp.get_context("fork")
    stop, rng = context.Event(), random.Random(5)
    with Curriculum.open(server.url, name, config_of(200)) as curriculum:
        play(curriculum, 1500)
        keys, client = Keys(name), server.client()
        args = ((server.url, name, seed, stop) for seed in range(3))
        writers = [context.Process(target=move, args=each) for each in args]
        for writer in writers:
            writer.start()
        try:
            assert [curriculum.check() for _ in range(5)] == [[]] * 5
            for task_id in rng.sample(curriculum.task_ids(), 30):
                client.zrem(keys.fresh, task_id)
                client.sadd(keys.label("maze-5"), task_id)
            client.hincrby(keys.sums, "s", 10**12)
            client.hincrby(keys.progress("maze-13"), "eligible_count", 7)
            assert curriculum.check() != []
            assert curriculum.check(repair=True) == []
            assert [curriculum.check() for _ in range(3)] == [[]] * 3
        finally:
            stop.set()
            for writer in writers:
                writer.join(20)
        assert [writer.exitcode for writer in writers] == [0, 0, 0]
        assert curriculum.check() == []


def test_a_check_writes_nothing(server: RunningServer, played: Curriculum) -> None:
    client, prefix = server.client(), Keys(played.name).prefix
    dumps = {key: client.object("encoding", key) for key in client.keys(f"{prefix}*")}
    random_state = client.hget(f"{prefix}meta", "random")
    played.check()
    assert {key: client.object("encoding", key) for key in client.keys(f"{prefix}*")} == dumps
    assert client.hget(f"{prefix}meta", "random") == random_state
