"""While the server does not answer: the log says so, and who wants to plays on.

Whatever was on its way when it stopped: each result counts once, or is counted as dropped.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum, Outcome, Task, WorkerSettings
from redis_curriculum._client.open import opening
from redis_curriculum._protocol import asking
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._protocol.plan import Words
from redis_curriculum._store import outage
from redis_curriculum._wire import asyncio as wire_asyncio
from redis_curriculum._wire import blocking
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.steps import Steps
from redis_curriculum._wire.urls import parse
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig
from redis_curriculum.errors import (
    LostWritesWarning,
    ServerUnavailableError,
    StaleGenerationError,
)
from redis_curriculum.tasks import Buckets
from tests.interrupting import count_lines, interrupted, sample
from tests.servers import RunningServer

TASKS = Buckets(label="{kind}", buckets={"kind": ["a", "b"], "seed": list(range(40))})
CONFIG = CurriculumConfig(
    task_generator=TASKS,
    num_active_tasks=8,
    algorithm=LearningProgressConfig(replacement_rate=0.0),
)
GOES_ON = WorkerSettings(on_outage="continue", retry_deadline_s=0.0, chunk=2)


class FailingLink(DirectLink):
    """Fails while it is down: before a call arrives, or after it."""

    at_once = False
    down = False
    lose = 0
    """Loses the n-th reply from now on, and is down from then on."""
    scripts_only = False
    """Whether only replies of scripts count for ``lose``."""

    def send(self, words: Words, key: str) -> Steps[Any]:
        if self.down:
            raise ServerUnavailableError("the server is down")
        reply = yield from super().send(words, key)
        counts = not self.scripts_only or words[0] == "EVALSHA"
        self.lose -= counts
        if counts and self.lose == 0:
            self.down = True
            raise ServerUnavailableError("the reply was lost", applied="unknown")
        return reply

    def send_all(self, each: Sequence[Words], key: str) -> Steps[list[Any]]:
        if self.down:
            raise ServerUnavailableError("the server is down")
        return (yield from super().send_all(each, key))


class Player:
    """Plays, and knows what it has reported."""

    def __init__(self, server: RunningServer, name: str, worker: WorkerSettings = GOES_ON) -> None:
        address = parse(server.url)
        self.link = FailingLink(address, worker.timeout_s)
        store = drive(opening(address, name, CONFIG, worker, None), self.link)
        self.curriculum = Curriculum(address, store, self.link)
        self.reported: Counter[int] = Counter()
        self.server, self.name = server, name

    @property
    def backlog(self) -> outage.Backlog:
        return self.curriculum._store.backlog  # noqa: SLF001

    def play(self, episodes: int) -> list[Outcome]:
        outcomes = []
        tasks = self.curriculum.get_tasks(1)
        for _ in range(episodes):
            self.reported[tasks[0].task_id] += 1
            tasks, found = self.curriculum.next_tasks([(tasks[0].task_id, 0.5)], 1)
            outcomes += found
        return outcomes

    def up(self) -> None:
        """The server is back, and the next call tries it."""
        self.link.down, self.link.lose = False, 0
        self.backlog._next_try = 0.0  # noqa: SLF001 - instead of waiting for it
        self.curriculum.get_task()

    def held(self) -> Counter[int]:
        found = Counter[int]()
        for task_id in self.curriculum.task_ids():
            record = self.curriculum.get_task_stats(task_id)
            assert record
            found[task_id] = record.completion_count
        return +found


@pytest.fixture
def player(server: RunningServer, name: str) -> Iterator[Player]:
    player = Player(server, name)
    with player.curriculum:
        yield player


def test_it_plays_on_and_delivers(player: Player, caplog: pytest.LogCaptureFixture) -> None:
    assert player.play(5) == [Outcome.APPLIED] * 5
    player.link.down = True
    assert player.play(20) == [Outcome.DEFERRED] * 20
    assert player.curriculum.waiting_results == 20
    player.up()
    assert player.curriculum.waiting_results == player.curriculum.dropped_results == 0
    assert player.held() == player.reported
    assert player.play(5) == [Outcome.APPLIED] * 5
    assert player.held() == player.reported
    lines = [line for line in caplog.messages if line.startswith("curriculum")]
    assert len(lines) == 2, "one when it goes, one when it comes"
    assert "playing on without the server" in lines[0]
    assert "results delivered: 20, dropped: 0" in lines[1]


def test_whatever_reply_was_lost(player: Player) -> None:
    """The call that met the outage had several writes: some arrived, one perhaps."""
    ids = player.curriculum.task_ids()[:5]
    for lost in count(1):
        player.curriculum.get_task()
        player.link.lose = lost
        player.reported.update(ids)
        outcomes = player.curriculum.next_tasks([(task_id, 0.5) for task_id in ids], 3).outcomes
        assert len(outcomes) == 5
        met = player.link.down
        player.up()
        assert player.held() == player.reported, lost
        if not met:
            assert lost > 3
            break


@pytest.mark.parametrize("most", [8, pytest.param(10**6, marks=pytest.mark.slow)])
def test_ctrl_c_while_it_plays_on_and_while_it_delivers(player: Player, most: int) -> None:
    task_id = player.curriculum.get_task().task_id

    def report() -> Outcome:
        return player.curriculum.update_task_performance(task_id, 0.5)

    for meets in (True, False):  # with the call that meets the outage, and with a later one
        player.link.down = True
        player.reported[task_id] += 1
        lines = count_lines(report)
        for line in sample(lines, most):
            if meets:
                player.up()
                player.link.down = True
            player.reported[task_id] += 1
            assert interrupted(report, line)[0] is Outcome.DEFERRED
        player.up()
        assert player.held() == player.reported

    def waits() -> None:
        player.link.down = True
        for _ in range(2):
            player.reported[task_id] += 1
            assert report() is Outcome.DEFERRED

    waits()
    lines = count_lines(player.up)
    for line in sample(lines, most):
        waits()
        interrupted(player.up, line)
        assert player.held() == player.reported
    assert player.curriculum.dropped_results == 0


def test_what_waits_is_bounded(player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "MOST_WAITING", 6)
    player.play(1)
    player.link.down = True
    player.play(20)
    assert player.curriculum.waiting_results == 6
    assert player.curriculum.dropped_results == 14
    player.up()
    assert player.held().total() == 7


WAIT = (
    "get_task",
    "get_tasks",
    "next_task",
    "next_tasks",
    "update_task_performance",
    "update_many",
)
CHANGE = ("evict", "set_label", "report_failure")
NEED_AN_ANSWER = {
    *("end_epoch", "configure", "register", "reopen", "get_task_stats", "task_ids", "labels"),
    *("distribution", "stats", "quarantine", "epoch_report", "check", "snapshot"),
    *("label_stats", "records", "events", "epochs", "state_dict", "load_state_dict"),
    *("add_tasks", "remove_tasks", "get_eval_tasks", "get_batch"),
    *("set_weight", "set_weights", "history", "plot"),
}
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "get_tasks": (2,),
    "next_task": ((1, 0.5),),
    "next_tasks": ([(1, 0.5)], 2),
    "update_task_performance": (1, 0.5),
    "update_many": ([(1, 0.5), (2, 0.5)],),
    "evict": (1,),
    "set_label": (1, "a"),
    "report_failure": (1, "broken"),
    "add_tasks": ([Task(1, "a", {})],),
    "remove_tasks": ([1],),
    "get_eval_tasks": (2,),
    "get_batch": ("step 1", 2),
    "set_weight": (1, 2.0),
    "set_weights": ({1: 2.0},),
    "get_task_stats": (1,),
    "snapshot": ("never-written.rcs",),
}


def test_what_every_call_does_in_an_outage(
    player: Player, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that is new has to be named here."""
    monkeypatch.chdir(tmp_path)
    others = {"renew_lease", "keeping_lease", "close", "open", "restore", "names", "delete"}
    public = {
        name
        for name in dir(Curriculum)
        if not name.startswith("_") and callable(getattr(Curriculum, name))
    }
    assert public == {*WAIT, *CHANGE, *NEED_AN_ANSWER, *others}
    curriculum = player.curriculum
    curriculum.get_task()
    arguments = ARGUMENTS | {"load_state_dict": (curriculum.state_dict(),)}
    player.link.down = True
    for method in sorted({*WAIT, *CHANGE}):
        before = curriculum.waiting_results
        answer = getattr(curriculum, method)(*ARGUMENTS.get(method, ()))
        reported = {"next_task": 1, "next_tasks": 1, "update_task_performance": 1, "update_many": 2}
        waits = reported.get(method, int(method in CHANGE))
        assert curriculum.waiting_results == before + waits, method
        if method in CHANGE:
            assert answer is Outcome.DEFERRED
    curriculum.renew_lease()
    with curriculum.keeping_lease():
        pass
    for method in sorted(NEED_AN_ANSWER):
        options = {"max_consecutive_failures": 4} if method == "configure" else {}
        with pytest.raises(ServerUnavailableError) as caught:
            getattr(curriculum, method)(*arguments.get(method, ()), **options)
        if method == "end_epoch":
            assert "epoch 0 is not closed (the same call" in str(caught.value)
    assert curriculum.waiting_results == 8
    player.link.down = False


def test_failures_and_changes_are_delivered_once(player: Player) -> None:
    """Whichever reply was lost; what waits counts into the epoch that is then closed."""
    for lost in range(1, 6):
        evicted, moved, *others = player.curriculum.task_ids()
        failed = others[lost]
        player.link.lose = lost
        found = [
            player.curriculum.report_failure(failed, "broken"),
            player.curriculum.evict(evicted),
            player.curriculum.set_label(moved, f"new-{lost}"),
            player.curriculum.update_task_performance(moved, 0.5),
        ]
        assert player.link.down == (lost < 5)
        assert found == [Outcome.APPLIED] * (lost - 1) + [Outcome.DEFERRED] * (5 - lost)
        player.link.down, player.link.lose = False, 0
        report = player.curriculum.end_epoch()
        assert player.curriculum.waiting_results == player.curriculum.dropped_results == 0
        counted = {what: report.totals[what] for what in ("completions", "evictions", "failures")}
        assert set(counted.values()) == {1}
        record = player.curriculum.get_task_stats(moved)
        assert record
        assert record.label == f"new-{lost}"
        assert player.curriculum.get_task_stats(evicted) is None
        player.curriculum.get_task()  # fills the pool
        player.curriculum.end_epoch()


def test_an_epoch_whose_reply_was_lost(player: Player) -> None:
    """The trainer plays on, and closes it later: once, with what was played meanwhile."""
    player.play(3)
    player.link.lose, player.link.scripts_only = 1, True  # it reads before it closes
    with pytest.raises(ServerUnavailableError, match="epoch 0 may be closed"):
        player.curriculum.end_epoch(step=7)
    player.play(3)
    assert player.curriculum.waiting_results == 3
    player.link.down, player.link.lose = False, 0
    report = player.curriculum.end_epoch()
    assert (report.epoch, report.step, report.totals["completions"]) == (0, 7, 3)
    assert player.curriculum.end_epoch().totals["completions"] == 3


def test_who_joins_anew_by_hand(player: Player) -> None:
    """A report that had arrived before ``register()`` is dropped, not counted again."""
    task_id = player.curriculum.get_task().task_id
    player.link.lose = 1
    assert player.curriculum.report_failure(task_id, "broken") is Outcome.DEFERRED
    player.link.down, player.link.lose = False, 0
    player.curriculum.register()
    player.up()
    record = player.curriculum.get_task_stats(task_id)
    assert record
    assert record.failure_count == 1
    assert (player.curriculum.waiting_results, player.curriculum.dropped_results) == (0, 1)


def test_a_restore_meanwhile(player: Player, tmp_path: Path) -> None:
    """What waited was for the state that is gone."""
    path = tmp_path / "x.rcs"
    player.play(2)
    player.curriculum.snapshot(path)
    player.link.down = True
    player.play(3)
    Curriculum.restore(path, player.server.url, player.name, replace=True).close()
    player.link.down = False
    with pytest.raises(StaleGenerationError):
        player.up()
    player.curriculum.reopen()
    assert (player.curriculum.waiting_results, player.curriculum.dropped_results) == (0, 3)
    player.curriculum.get_task()


def test_what_waits_is_delivered_in_batches(
    player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its order; each time that some of it arrives, the server is tried again soon."""
    settings = player.curriculum._store.settings  # noqa: SLF001
    player.curriculum._store.settings = settings.model_copy(update={"chunk": 10})  # noqa: SLF001
    player.play(1)
    task_id = player.curriculum.task_ids()[0]
    player.link.down = True
    player.play(12)
    player.curriculum.report_failure(task_id, "broken")
    player.play(8)
    sent = []
    send = FailingLink.send

    def noted(link: FailingLink, words: Words, key: str) -> Steps[Any]:
        sent.append(words)
        return send(link, words, key)

    monkeypatch.setattr(FailingLink, "send", noted)
    player.link.down, player.link.lose = False, 5
    player.backlog._next_try, player.backlog._pause_s = 0.0, 15.0  # noqa: SLF001
    player.play(1)
    assert len(sent) == 5, "INFO and renewal, ten results, two, the failure"
    assert player.backlog._pause_s == 2 * outage._FIRST_PAUSE_S  # noqa: SLF001
    assert player.curriculum.waiting_results == 10
    player.up()
    assert player.held() == player.reported
    record = player.curriculum.get_task_stats(task_id)
    assert record
    assert record.failure_count == 1


@pytest.mark.parametrize("arrived", [True, False])
def test_an_outage_that_outlasts_the_lease(player: Player, *, arrived: bool) -> None:
    """Nobody knows what became of the write that was on its way: it is dropped, not doubled."""
    task_id = player.curriculum.get_task().task_id
    if arrived:
        player.link.lose = 1
    else:
        player.link.down = True
    for _ in range(3):
        player.curriculum.update_task_performance(task_id, 0.5)
    keys, worker_id = Keys(player.name), player.curriculum.worker_id
    with player.server.client() as client:
        client.delete(keys.worker(worker_id))
        client.zrem(keys.workers, worker_id)
        client.hincrby(keys.meta, "reaped_count", 1)
    player.up()
    assert player.curriculum.worker_id != worker_id
    assert player.held().total() == 3
    assert player.curriculum.dropped_results == int(arrived)


def test_it_asks_now_and_then(player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    player.play(1)
    player.link.down = True
    tried = []
    send = FailingLink.send

    def noted(link: FailingLink, words: Words, key: str) -> Steps[Any]:
        tried.append(words)
        return send(link, words, key)

    monkeypatch.setattr(FailingLink, "send", noted)
    player.play(50)
    assert len(tried) == 1, "the call that met it"
    for _ in range(3):
        player.backlog._next_try = 0.0  # noqa: SLF001
        player.play(1)
    assert len(tried) == 4
    player.up()


def test_who_has_drawn_nothing_makes_a_task(server: RunningServer, name: str) -> None:
    player = Player(server, name)
    with player.curriculum:
        player.link.down = True
        assert player.curriculum.get_task().task_id in set(pool_of(server, name))
        player.link.down = False
    viewer = WorkerSettings(on_outage="continue", retry_deadline_s=0.0)
    with Curriculum.open(server.url, name, worker=viewer) as other:
        other._store.can_generate = False  # noqa: SLF001
        other._link.send = player.link.send  # type: ignore[method-assign]  # noqa: SLF001
        other._link.at_once = False  # noqa: SLF001
        player.link.down = True
        with pytest.raises(ServerUnavailableError):
            other.get_task()
        player.link.down = False


def test_what_it_makes_is_not_held_out(player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    store = player.curriculum._store  # noqa: SLF001
    config = CurriculumConfig(task_generator=TASKS, num_active_tasks=64, held_out="a")
    monkeypatch.setattr(store, "config", config)
    made = [outage._made(store) for _ in range(30)]  # noqa: SLF001
    assert [[task.label for task in tasks] for tasks in made] == [["b"]] * 30


def test_a_deferred_call_for_more_than_the_pool_has_is_delivered(player: Player) -> None:
    curriculum = player.curriculum
    with Curriculum.open(player.server.url, player.name) as other:
        added = [Task(i, "own", {}) for i in range(1, 5)]
        other.add_tasks(added)
        tasks = curriculum.get_tasks(12, distinct=True)
        player.link.down = True
        curriculum.next_tasks([(tasks[0].task_id, 0.5)], 12, distinct=True)
        assert curriculum.waiting_results == 1
        other.remove_tasks([task.task_id for task in added])
        player.up()
        assert curriculum.waiting_results == 0


def pool_of(server: RunningServer, name: str) -> list[int]:
    with Curriculum.open(server.url, name) as curriculum:
        return curriculum.task_ids()


def test_what_is_not_delivered_at_the_end_is_said(server: RunningServer, name: str) -> None:
    player = Player(server, name)
    player.play(1)
    player.link.down = True
    player.play(3)
    with pytest.warns(LostWritesWarning, match="3 results were not delivered"):
        player.curriculum.close()
    assert player.curriculum.dropped_results == 3


def test_what_waits_is_delivered_at_the_end(server: RunningServer, name: str) -> None:
    player = Player(server, name)
    player.play(1)
    player.link.down = True
    player.play(3)
    player.link.down = False
    player.curriculum.close()
    with Curriculum.open(server.url, name) as curriculum:
        assert curriculum.stats()["num_completed"] == 4


def test_asyncio_plays_on(server: RunningServer, name: str) -> None:
    async def main() -> None:
        async with AsyncCurriculum.open(server.url, name, CONFIG, worker=GOES_ON) as curriculum:
            task = await curriculum.get_task()
            send, down = curriculum._link.send, True  # noqa: SLF001

            def failing(words: Words, key: str) -> Steps[Any]:
                if down:
                    raise ServerUnavailableError("down")
                return (yield from send(words, key))

            curriculum._link.send = failing  # type: ignore[method-assign]  # noqa: SLF001
            for _ in range(3):
                step = await curriculum.next_tasks([(task.task_id, 0.5)], 1)
                assert step.outcomes == [Outcome.DEFERRED]
            down = False
            curriculum._store.backlog._next_try = 0.0  # noqa: SLF001
            await curriculum.get_task()
            record = await curriculum.get_task_stats(task.task_id)
            assert record
            assert record.completion_count == 3

    asyncio.run(main())


def test_the_log_tells_of_a_server_that_hangs(
    server: RunningServer,
    name: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within the first second, while its reply is waited for; both handles."""
    monkeypatch.setattr(blocking, "FIRST_WORD_S", 0.05)
    monkeypatch.setattr(wire_asyncio, "FIRST_WORD_S", 0.05)
    said = "no answer for 1 s, waiting for another 60 s"

    def paused(seconds: float) -> threading.Timer:
        server.send(signal.SIGSTOP)
        timer = threading.Timer(seconds, server.send, [signal.SIGCONT])
        timer.start()
        return timer

    async def main() -> None:
        async with AsyncCurriculum.open(server.url, name, worker=patient) as curriculum:
            timer = paused(0.3)
            await curriculum.get_task()
            timer.join()
            assert said in caplog.messages
            caplog.clear()
            await curriculum._link.close()  # noqa: SLF001 - now it opens a connection, too
            timer = paused(0.3)
            await curriculum.get_task()
            timer.join()

    patient, before = WorkerSettings(timeout_s=60.05), threading.active_count()
    with Curriculum.open(server.url, name, CONFIG, worker=patient) as curriculum:
        curriculum.get_task()
        timer = paused(0.3)
        curriculum.get_task()
        timer.join()
        assert said in caplog.messages
        caplog.clear()
        curriculum._link.close()  # noqa: SLF001
        timer = paused(0.3)
        curriculum.get_task()
        timer.join()
        assert said in caplog.messages
        curriculum.report_failure(0, "answers soon")
    assert threading.active_count() == before
    caplog.clear()
    asyncio.run(main())
    assert said in caplog.messages


def test_the_log_has_lines_while_it_lasts(
    server: RunningServer,
    name: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "FIRST_WORD_S", 0.05)
    player = Player(server, name, WorkerSettings(retry_deadline_s=0.5))
    with player.curriculum, caplog.at_level(logging.WARNING, "redis_curriculum"):
        player.curriculum.get_task()
        assert not caplog.messages
        player.link.down = True
        with pytest.raises(ServerUnavailableError):
            player.curriculum.get_task()
        said = [line for line in caplog.messages if line.startswith("no answer for")]
        assert 1 <= len(said) <= 5
        assert "trying for another" in said[0]
        assert "the server is down" in said[0]
        player.link.down = False
        player.curriculum.get_task()
        assert not any(line.startswith("answered") for line in caplog.messages), "a new call"


def test_what_the_server_refuses_for_good_holds_up_nothing_else(
    server: RunningServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One record was overwritten meanwhile: its results are dropped, the others count."""
    player = Player(server, name, WorkerSettings(on_outage="continue", retry_deadline_s=0.0))
    with player.curriculum, server.client() as client:
        task_ids = player.curriculum.task_ids()
        player.curriculum.get_task()
        player.link.down = True
        for _ in range(3):
            results = [(task_id, 0.5) for task_id in task_ids]
            assert set(player.curriculum.update_many(results)) == {Outcome.DEFERRED}
        key = Keys(name).task(task_ids[2])
        client.hset(key, "stats", "nothing")
        player.up()
        client.hdel(key, "stats")
        assert player.held() == {task_id: 3 for task_id in task_ids if task_id != task_ids[2]}
        assert (player.backlog.dropped, player.backlog.waiting) == (3, 0)
        assert sum("stats is 'nothing'" in line for line in caplog.messages) == 3
        assert player.curriculum.get_task()
        assert player.curriculum.check() == []
