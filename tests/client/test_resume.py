"""``open(resume=...)``, what it says in the log, ``names`` and ``delete``; blocking and asyncio."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum, CurriculumConfig
from redis_curriculum._client.open import _ago, opening
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._wire.blocking import drive
from redis_curriculum._wire.urls import parse
from redis_curriculum.config import WorkerSettings
from redis_curriculum.errors import (
    ConfigMismatchError,
    CurriculumExistsError,
    CurriculumNotFoundError,
    InvalidInputError,
)
from redis_curriculum.tasks import Single
from tests.harness import connect
from tests.lossy import LossyLink
from tests.servers import RunningServer

CONFIG = CurriculumConfig(task_generator=Single(label="a"), num_active_tasks=4)
OTHER = CONFIG.model_copy(update={"seed": 7})


def blocking(*arguments: Any, **named: Any) -> None:
    Curriculum.open(*arguments, **named).close()


def in_loop(*arguments: Any, **named: Any) -> None:
    async def opened() -> None:
        async with AsyncCurriculum.open(*arguments, **named):
            pass

    asyncio.run(opened())


BOTH = pytest.mark.parametrize("opened", [blocking, in_loop])
Opened = Callable[..., None]


@BOTH
def test_never_only_creates(opened: Opened, url: str, server: RunningServer, name: str) -> None:
    opened(url, name, CONFIG, resume="never")
    with connect(server) as client:
        before = client.hgetall(Keys(name).meta)
        for config in (CONFIG, OTHER):
            with pytest.raises(CurriculumExistsError, match=name) as caught:
                opened(url, name, config, resume="never")
            assert caught.value.name == name
            assert caught.value.applied == "no"
        assert client.hgetall(Keys(name).meta) == before
    with pytest.raises(InvalidInputError, match="config must be given"):
        opened(url, name, resume="never")


@BOTH
def test_must_only_attaches(opened: Opened, url: str, server: RunningServer, name: str) -> None:
    with connect(server) as client:
        for config in (None, CONFIG):
            with pytest.raises(CurriculumNotFoundError):
                opened(url, name, config, resume="must")
        assert client.dbsize() == 0
    opened(url, name, CONFIG)
    for config in (None, CONFIG):
        opened(url, name, config, resume="must")
    with pytest.raises(ConfigMismatchError):
        opened(url, name, OTHER, resume="must")


@BOTH
def test_allow_does_both(opened: Opened, url: str, name: str) -> None:
    opened(url, name, CONFIG, resume="allow")
    opened(url, name, CONFIG, resume="allow")
    for bad in ("Allow", "", None, True, 1, ["never"]):
        with pytest.raises(InvalidInputError, match="resume must be"):
            opened(url, name, CONFIG, resume=bad)


def test_of_many_that_may_only_create_one_does(url: str, name: str) -> None:
    def attempt(_: int) -> bool:
        try:
            blocking(url, name, CONFIG, resume="never")
        except CurriculumExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(attempt, range(24))).count(True) == 1


def test_a_creation_whose_reply_was_lost_is_not_anothers(url: str, name: str) -> None:
    """Its own retry finds what it has made: that is no reason to refuse."""
    settings = WorkerSettings(retry_deadline_s=5)
    link = LossyLink(parse(url), 5.0)
    link.lose, link.skip = "open", 1  # the first call only looks
    store = drive(opening(parse(url), name, CONFIG, settings, None, resume="never"), link)
    assert link.lose == "", "a reply was lost"
    assert store.config == CONFIG
    link.close()
    with Curriculum.open(url, name, CONFIG) as curriculum:
        assert len(curriculum.task_ids()) == 4


# --- the log -------------------------------------------------------------------------------------


def test_the_log_says_what_it_attached_to(
    url: str, server: RunningServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "redis_curriculum")
    with Curriculum.open(url, name, CONFIG) as curriculum:
        assert caplog.messages == [f"created {name!r}, epoch 0"]
        for task in curriculum.get_tasks(3):
            curriculum.update_many([(task.task_id, 0.5)] * 400)
        for _ in range(3):
            curriculum.end_epoch()
    with connect(server) as client:
        long_ago = int(client.hget(Keys(name).meta, "created_ms")) - 3 * 86_400_000
        client.hset(Keys(name).meta, "created_ms", long_ago)
    for opened in (blocking, in_loop):
        caplog.clear()
        opened(url, name)
        said = f"attached to {name!r}: 1,200 results, created 3 days ago, epoch 3"
        assert caplog.messages == [said]


def test_it_asks_nothing_for_a_log_that_nobody_reads(
    url: str, server: RunningServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    blocking(url, name, CONFIG)
    counts = []
    with connect(server) as client:
        for level in (logging.INFO, logging.WARNING):
            caplog.set_level(level, "redis_curriculum")
            before = client.info("stats")["total_commands_processed"]
            blocking(url, name)
            counts.append(client.info("stats")["total_commands_processed"] - before)
    assert counts[1] < counts[0]


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("2026-03-10 12:00:00", "just now"),
        ("2026-03-10 11:58:30", "1 minute ago"),
        ("2026-03-10 11:01:00", "59 minutes ago"),
        ("2026-03-10 11:00:00", "1 hour ago"),
        ("2026-03-10 00:30:00", "11 hours ago"),
        ("2026-03-09 23:50:00", "yesterday"),
        ("2026-03-09 00:10:00", "yesterday"),
        ("2026-03-08 23:50:00", "2 days ago"),
        ("2025-03-10 12:00:00", "365 days ago"),
        ("2026-03-10 13:00:00", "just now"),
    ],
)
def test_how_long_ago(then: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    now, moment = (
        int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
        for text in ("2026-03-10 12:00:00", then)
    )
    assert _ago(moment, now) == said


# --- names and delete ----------------------------------------------------------------------------


def names(url: str) -> list[str]:
    found = Curriculum.names(url)
    assert asyncio.run(AsyncCurriculum.names(url)) == found
    return found


def test_names_and_delete(url: str, server: RunningServer, name: str) -> None:
    assert names(url) == []
    for own in (f"{name}.b", f"{name}.a"):
        blocking(url, own, CONFIG)
    assert names(url) == [f"{name}.a", f"{name}.b"]
    assert Curriculum.delete(url, f"{name}.a") > 4
    assert names(url) == [f"{name}.b"]
    assert asyncio.run(AsyncCurriculum.delete(url, f"{name}.b")) > 4
    assert names(url) == []
    for own in (f"{name}.a", f"{name}.b"):
        with pytest.raises(CurriculumNotFoundError, match=own):
            Curriculum.delete(url, own)
        with pytest.raises(CurriculumNotFoundError, match=own):
            asyncio.run(AsyncCurriculum.delete(url, own))
    with connect(server) as client:
        assert not list(client.scan_iter("rc:{*}:meta"))
    blocking(url, f"{name}.a", CONFIG, resume="never")
    assert names(url) == [f"{name}.a"]


CALLS: dict[str, list[Callable[..., Any]]] = {
    "names": [Curriculum.names, lambda *a, **k: asyncio.run(AsyncCurriculum.names(*a, **k))],
    "delete": [Curriculum.delete, lambda *a, **k: asyncio.run(AsyncCurriculum.delete(*a, **k))],
}


@pytest.mark.parametrize("bad", [None, 7, "a b", "", b"x", ["x"]])
def test_odd_arguments(url: str, bad: Any) -> None:
    for call in CALLS["delete"]:
        with pytest.raises(InvalidInputError, match="name"):
            call(url, bad)
    for call in CALLS["names"]:
        with pytest.raises(InvalidInputError, match="url"):
            call(bad)
        with pytest.raises(InvalidInputError, match="worker"):
            call(url, worker=bad or 3)
