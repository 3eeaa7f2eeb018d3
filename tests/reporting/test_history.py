"""The history by label: kept by whoever plays, bounded, and never at the cost of a call."""

from __future__ import annotations

import asyncio
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from redis_curriculum import AsyncCurriculum, Curriculum
from redis_curriculum._admin.cleanup import delete
from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._store import history as keeping
from redis_curriculum._store.contracts import NOTE_HISTORY
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.urls import parse
from redis_curriculum.config import CurriculumConfig, GroupProgressConfig, LearningProgressConfig
from redis_curriculum.errors import (
    MalformedStateError,
    MissingLibraryError,
    StaleGenerationError,
)
from redis_curriculum.reporting import History
from redis_curriculum.reporting.history import assembled
from redis_curriculum.tasks import Buckets
from tests.faults.proxy import proxy, the_nth_call
from tests.servers import RunningServer

KINDS = Buckets(label="{kind}", buckets={"kind": ["a", "b", "c"], "seed": list(range(50))})


def config_of(**fields: Any) -> CurriculumConfig:
    algorithm = LearningProgressConfig(replacement_rate=0.0, min_samples_for_lp=1)
    defaults: dict[str, Any] = {"task_generator": KINDS, "num_active_tasks": 12, "seed": 2}
    return CurriculumConfig(**{**defaults, "algorithm": algorithm, **fields})


def store_of(curriculum: Any) -> Any:
    return curriculum._store  # noqa: SLF001


def forget_turn(server: RunningServer, name: str) -> None:
    """The next one who asks gets the turn, as if the interval had passed."""
    with server.client() as client:
        client.hdel(Keys(name).history, "due_ms")


def play(curriculum: Curriculum, rounds: int = 1) -> None:
    for _ in range(rounds):
        tasks = curriculum.get_tasks(20)
        curriculum.update_many([(t.task_id, 1.0 if t.label == "a" else 0.25) for t in tasks])


def keep_point(server: RunningServer, curriculum: Curriculum) -> None:
    """Play, and let the last call come by when a point is due."""
    forget_turn(server, curriculum.name)
    time.sleep(0.002)  # points are told apart by their ms
    play(curriculum)
    store_of(curriculum).history_due = 0.0
    curriculum.update_task_performance(curriculum.task_ids("b")[0], 0.5)


def asking(url: str, name: str) -> Any:
    """Call the script itself; whatever the generation, as a handle of that generation."""
    link = DirectLink(parse(url), 5.0)

    def ask(*args: Any, generation: int = 1) -> tuple[int, int]:
        server = Server(Keys(name, generation), 1.0)
        mine, left = drive(server.run(NOTE_HISTORY, *args), link)
        return mine, left

    return ask


def test_points_hold_what_the_other_readers_say(server: RunningServer, url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        assert len(curriculum.history()) == 0
        keep_point(server, curriculum)
        curriculum.end_epoch()
        keep_point(server, curriculum)
        found, labels = curriculum.history(), curriculum.label_stats()
        assert found.labels == ("a", "b", "c")
        assert found.epoch.tolist() == [0, 1]
        assert found.time_ms[1] > found.time_ms[0]
        assert found.share.shape == found.samples.shape == (2, 3)
        for i, label in enumerate(found.labels):
            record = labels[label]
            for what in keeping.TOTALS:
                assert getattr(found, what)[-1, i] == record.counters[what]
            assert found.tasks[-1, i] == record.tasks
            assert found.probability[-1, i] == pytest.approx(record.probability, rel=1e-6)
            assert found.success_rate[-1, i] == pytest.approx(record.success_rate_ema, rel=1e-6)
            assert found.mean_score[-1, i] == pytest.approx(record.reward_ema, rel=1e-6)
            progress = record.learning_progress
            assert found.learning_progress[-1, i] == pytest.approx(progress, rel=1e-6)
        assert found.samples[0].sum() == 20
        np.testing.assert_array_equal(found.share[0], found.samples[0] / 20)
        np.testing.assert_array_equal(found.share[1], np.diff(found.samples, axis=0)[0] / 20)
        assert curriculum.check() == []

        async def read() -> History:
            async with AsyncCurriculum.open(url, name) as other:
                return await other.history("b*")

        some = asyncio.run(read())
        assert some.labels == ("b",)
        np.testing.assert_array_equal(some.share[:, 0], found.share[:, 1])
        assert curriculum.history(1).labels == (
            max(labels, key=lambda n: found.samples[-1, "abc".index(n)]),
        )


def test_an_asyncio_handle_keeps_it_too(server: RunningServer, url: str, name: str) -> None:
    async def played() -> History:
        async with AsyncCurriculum.open(url, name, config_of()) as curriculum:
            store_of(curriculum).history_due = 0.0
            await curriculum.get_tasks(5)
            return await curriculum.history()

    found = asyncio.run(played())
    assert found.samples.sum() == 5


def test_families_without_progress_of_labels_have_their_own_figures(
    server: RunningServer, url: str, name: str
) -> None:
    algorithm = GroupProgressConfig()
    with Curriculum.open(url, name, config_of(algorithm=algorithm)) as curriculum:
        tasks = curriculum.get_tasks(6)
        results = [(task.task_id, 0.5, {"trials": 8}) for task in tasks]
        store_of(curriculum).history_due = 0.0
        curriculum.update_many(results)
        found = curriculum.history()
        assert found.probability.sum() == pytest.approx(1.0)
        assert np.nansum(found.completions) == 6


def test_one_worker_has_the_turn_and_it_comes_back(
    server: RunningServer, url: str, name: str
) -> None:
    with Curriculum.open(url, name, config_of()) as one, Curriculum.open(url, name) as two:
        for handle in (one, two):
            store_of(handle).history_due = 0.0
            handle.get_task()
            assert store_of(handle).history_due > time.monotonic(), "nothing more for a while"
        assert len(one.history()) == 1
        ask = asking(url, name)
        forget_turn(server, name)
        assert ask(60_000, 0, 4, "") == (1, 60_000)
        mine, left = ask(60_000, 0, 4, "")
        assert mine == 0
        assert 0 < left <= 60_000
        assert ask(2_000, 9_000, 4, "point") == (1, 9_000), "a point that took long: a pause"
        with pytest.raises(StaleGenerationError):
            ask(2_000, 0, 4, "point", generation=2)


def test_there_are_never_more_points_than_asked_for(
    server: RunningServer, url: str, name: str
) -> None:
    with Curriculum.open(url, name, config_of()), server.client() as client:
        ask, keys, kept, pause = asking(url, name), Keys(name), list[str](), 0
        for n in range(1, 40):
            time.sleep(0.002)
            _, pause = ask(2_000, 0, 8, f"point {n}")
            assert client.hlen(keys.history) == client.zcard(keys.history_times) + 2
            times = client.zrange(keys.history_times, 0, -1)
            assert len(times) <= 8
            kept = client.hmget(keys.history, times)
            assert kept[0] == "point 1", "the beginning stays"
            assert kept[-1] == f"point {n}", "and what is newest"
        numbers = [int(text.split()[1]) for text in kept]
        assert pause == 2_000 * 2**8, "with each thinning the distance doubled"
        assert numbers == sorted(numbers)
        client.hset(keys.history, mapping={"interval_ms": "inf", "due_ms": "nan"})
        assert ask(2_000, 0, 8, "") == (1, 2_000), "overwritten by hand: from the beginning"


def test_large_curricula_have_bounded_points(
    server: RunningServer, url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MOST_LABELS", 2)
    monkeypatch.setattr("redis_curriculum.reporting.history.MOST_LABELS", 2)
    monkeypatch.setattr(keeping, "MOST_TASKS", 11)
    with Curriculum.open(url, name, config_of()) as curriculum:
        keep_point(server, curriculum)
        found = curriculum.history()
        draws = {n: record.counters["samples"] for n, record in curriculum.label_stats().items()}
        assert set(found.labels) == set(sorted(draws, key=lambda n: (-draws[n], n))[:2])
        assert np.isnan(found.probability).all()
        assert 0 < found.share.sum() < 1, "the rest is some other label's"
        monkeypatch.setattr(keeping, "MOST_KNOWN", 2)
        keep_point(server, curriculum)
        assert len(curriculum.history()) == 1
        assert curriculum.get_task()


def test_a_label_that_comes_and_goes_has_no_share_that_nobody_knows() -> None:
    def point(at: int, **samples: int) -> keeping.Point:
        counts = np.array(list(samples.values()), dtype=np.float64)
        columns: dict[str, Any] = dict.fromkeys((*keeping.RATES, *keeping.TOTALS), counts)
        return keeping.Point(at, 0, sum(samples.values()), list(samples), columns)

    found = assembled([point(1, a=4), point(2, a=6, b=2), point(3, b=6), point(4, a=5, b=9)])
    nan = np.nan
    expected = [[1.0, nan], [0.5, 0.5], [nan, nan], [nan, 3 / 8]]
    np.testing.assert_array_equal(found.share, expected)
    assert found.share.dtype == np.float64
    empty = assembled([])
    assert (len(empty), empty.labels, empty.share.shape) == (0, (), (0, 0))


@pytest.mark.parametrize("trouble", ["type of a key", "lost reply", "wrong text"])
def test_what_fails_in_it_costs_no_call_its_answer(
    server: RunningServer, name: str, trouble: str
) -> None:
    keys = Keys(name)
    with proxy(server) as between, server.client() as client:
        curriculum = Curriculum.open(between.url, name, config_of())
        store_of(curriculum).history_due = 0.0
        if trouble == "type of a key":
            client.set(keys.history, "somebody's")
        elif trouble == "wrong text":
            client.hset(keys.count("evictions"), "a", "many")
        else:
            between.rule = the_nth_call(1, "lose reply")  # after the draw's own
        task = curriculum.get_task()
        assert store_of(curriculum).history_due > time.monotonic()
        between.rule = the_nth_call(10**9, "pass")
        curriculum.update_task_performance(task.task_id, 1.0)
        assert sum(map(int, client.hvals(keys.count("samples")))) == 1
        assert sum(map(int, client.hvals(keys.count("completions")))) == 1
        client.delete(keys.history, keys.count("evictions"))
        curriculum.close()


def test_an_interruption_in_it_counts_nothing_twice(
    server: RunningServer, url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        task = curriculum.get_task()
        store_of(curriculum).history_due = 0.0

        def interrupted(*_: object) -> Any:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(keeping, "packed", interrupted)
            with pytest.raises(KeyboardInterrupt):
                curriculum.update_task_performance(task.task_id, 1.0)
        curriculum.update_task_performance(task.task_id, 1.0)
        record = curriculum.get_task_stats(task.task_id)
        assert record is not None
        assert record.completion_count == 1


def test_it_stays_at_a_restore_and_goes_with_its_curriculum(
    server: RunningServer, url: str, name: str, tmp_path: Path
) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        play(curriculum)
        curriculum.snapshot(tmp_path / "early.rcs")
        keep_point(server, curriculum)
    restored = Curriculum.restore(tmp_path / "early.rcs", url, name, replace=True)
    with restored:
        assert len(restored.history()) == 1
        keep_point(server, restored)
        found = restored.history()
        assert len(found) == 2
        assert np.isnan(found.share[1]).any() or found.samples[1].sum() >= found.samples[0].sum()
        assert restored.check() == []
    with Curriculum.restore(tmp_path / "early.rcs", url, f"{name}-2") as other:
        assert len(other.history()) == 0, "a snapshot has none"
    with server.client() as client:
        assert client.exists(Keys(name).history, Keys(name).history_times) == 2
        link = DirectLink(parse(url), 5.0)
        drive(delete(Server(Keys(name), 5.0)), link)
        assert client.exists(Keys(name).history, Keys(name).history_times) == 0


def test_points_of_others(server: RunningServer, url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum, server.client() as client:
        keep_point(server, curriculum)
        keys, later = Keys(name), 10**15
        newer = zlib.compress(b'{"format":2}\n')
        client.hset(keys.history, str(later), newer)
        client.zadd(keys.history_times, {str(later): later})
        assert len(curriculum.history()) == 1, "a later version's is left out"
        for text in (b"no zlib", zlib.compress(b'{"format":1,"labels":["a"]}\n')):
            client.hset(keys.history, str(later), text)
            with pytest.raises(MalformedStateError, match=f"history.{later}"):
                curriculum.history()
        client.delete(keys.history, keys.history_times)


def test_a_table_by_pandas_or_polars_or_a_clear_word(
    server: RunningServer, url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        keep_point(server, curriculum)
        found = curriculum.history()
    frame = found.to_dataframe()
    assert list(frame.columns)[:4] == ["time", "epoch", "label", "tasks"]
    assert frame.shape == (3, 3 + 10)
    assert frame.set_index("label")["samples"].to_dict() == dict(
        zip(found.labels, found.samples[0], strict=True)
    )
    assert frame["time"].astype("int64").iloc[0] in (found.time_ms[0], found.time_ms[0] * 10**6)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "polars", None)
        with pytest.raises(MissingLibraryError, match=r"redis-curriculum\[dataframes\]"):
            found.to_dataframe()
    polars = pytest.importorskip("polars")
    table = found.to_dataframe()
    assert isinstance(table, polars.DataFrame)
    assert table["label"].to_list() == list(found.labels)
    assert table["share"].to_list() == found.share[0].tolist()
