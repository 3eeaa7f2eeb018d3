"""Tasks drawn ahead: what is drawn and reported, when, and that each result counts once.

A result that a call has taken in is reported once: whatever is lost, interrupted or forked, until
the handle is closed or the process ends.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum, Outcome, Task, WorkerSettings
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig, PassesConfig
from redis_curriculum.errors import (
    InvalidInputError,
    LostWritesWarning,
    ServerUnavailableError,
    StaleGenerationError,
    WorkerFencedError,
)
from redis_curriculum.tasks import Buckets, TaskSpec
from tests.interrupting import count_lines, interrupted, sample
from tests.lossy import LossyLink, lossy
from tests.servers import RunningServer, redis_server

CONFIG = CurriculumConfig(
    task_generator=Buckets(label="{kind}", buckets={"kind": ["a", "b"], "seed": list(range(40))}),
    num_active_tasks=20,
    algorithm=LearningProgressConfig(replacement_rate=0.0),
)
AHEAD = WorkerSettings(prefetch=8, prefetch_age_s=3600, retry_deadline_s=0)


@pytest.fixture
def keeper(server: RunningServer, name: str) -> Iterator[Curriculum]:
    """Another worker, which keeps the pool and looks."""
    with Curriculum.open(server.url, name, CONFIG) as curriculum:
        yield curriculum


def counted(keeper: Curriculum) -> tuple[int, int]:
    """Completions and samples of all labels."""
    totals = keeper.stats()
    return int(totals["num_completed"]), int(sum(map(int, _samples(keeper))))


def _samples(keeper: Curriculum) -> list[Any]:
    words = ("HVALS", Keys(keeper.name).count("samples"))
    found: list[Any] = keeper._link.call(words, Keys(keeper.name).meta)  # noqa: SLF001
    return found


def calls_of(keeper: Curriculum) -> int:
    """How many scripts that draw or report the server has run for anybody."""
    info = keeper._link.call(("INFO", "commandstats"), Keys(keeper.name).meta)  # noqa: SLF001
    line = next(line for line in str(info).splitlines() if line.startswith("cmdstat_evalsha:"))
    return int(line.partition("calls=")[2].partition(",")[0])


def play(curriculum: Curriculum, episodes: int) -> None:
    """Report one episode after the other, of tasks that are drawn ahead."""
    task = curriculum.get_task()
    for _ in range(episodes):
        task = curriculum.next_task((task.task_id, 0.5))


# --- what is sent, and when ----------------------------------------------------------------------


def test_an_episode_costs_a_fraction_of_a_call(keeper: Curriculum) -> None:
    with Curriculum.open(keeper.url, keeper.name, worker=AHEAD) as curriculum:
        play(curriculum, 6)  # 2 and 4 were drawn, then 8
        before, start = counted(keeper), calls_of(keeper)
        play(curriculum, 79)  # with the one that is drawn first 80, of which 7 were in hand
        calls = calls_of(keeper) - start
        assert calls == 10
        completions, samples = counted(keeper)
        assert (before[1], samples - before[1]) == (14, 80)
        assert curriculum.waiting_results == 85 - completions < 8
    assert counted(keeper) == (85, 94)
    assert keeper.check() == []


def test_other_calls_of_the_handle_see_its_results(keeper: Curriculum) -> None:
    with Curriculum.open(keeper.url, keeper.name, worker=AHEAD) as curriculum:
        task = curriculum.get_task()
        answer = curriculum.update_task_performance(task.task_id, 0.25)
        assert (answer, counted(keeper)[0]) == (Outcome.DEFERRED, 0)
        record = curriculum.get_task_stats(task.task_id)
        assert record is not None
        assert record.last_score == 0.25
        assert (curriculum.waiting_results, counted(keeper)[0]) == (0, 1)
        assert curriculum.update_many([(task.task_id, 1.0)] * 3) == [Outcome.DEFERRED] * 3
        assert curriculum.end_epoch().totals["completions"] == 4
        curriculum.update_many([(task.task_id, 1.0)])
        assert curriculum.evict(task.task_id) is Outcome.APPLIED
        assert counted(keeper)[0] == 5
        curriculum.update_many([(task.task_id, 1.0)])
        curriculum.renew_lease()
        assert curriculum.waiting_results == 1
        assert curriculum.state_dict()["name"] == keeper.name
        assert curriculum.waiting_results == 0


def test_as_many_results_as_are_drawn_ahead_are_reported_at_once(keeper: Curriculum) -> None:
    with Curriculum.open(keeper.url, keeper.name, worker=AHEAD) as curriculum:
        task_id = curriculum.task_ids()[0]
        for i in range(1, 9):
            curriculum.update_task_performance(task_id, 0.5)
            assert counted(keeper)[0] == (8 if i == 8 else 0)


def test_what_is_old_is_not_handed_out_and_does_not_wait(
    keeper: Curriculum, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    settings = AHEAD.model_copy(update={"prefetch_age_s": 10.0})
    with Curriculum.open(keeper.url, keeper.name, worker=settings) as curriculum:
        play(curriculum, 8)  # drawn: 2, 4, 8; two of the last are handed out, the third is next
        assert counted(keeper) == (6, 14)
        task = curriculum.get_task()
        now[0] += 11
        curriculum.next_task((task.task_id, 0.5))  # five are given up; four were played in time
        assert counted(keeper) == (9, 18)
        curriculum.update_task_performance(task.task_id, 0.5)
        assert curriculum.waiting_results == 1
        now[0] += 11
        curriculum.update_task_performance(task.task_id, 0.5)
        assert (curriculum.waiting_results, counted(keeper)) == (0, (11, 18))


def test_draws_of_many_are_not_ahead(keeper: Curriculum) -> None:
    with Curriculum.open(keeper.url, keeper.name, worker=AHEAD) as curriculum:
        task = curriculum.get_task()
        curriculum.update_task_performance(task.task_id, 0.5)
        step = curriculum.next_tasks([(task.task_id, 0.5)], 3)
        assert (len(step.tasks), step.outcomes) == (3, [Outcome.APPLIED])
        assert counted(keeper) == (2, 5)


def test_tasks_of_a_loop_draw_ahead(keeper: Curriculum) -> None:
    async def play_some() -> None:
        async with AsyncCurriculum.open(keeper.url, keeper.name, worker=AHEAD) as curriculum:
            task = await curriculum.get_task()
            for _ in range(20):
                task = await curriculum.next_task((task.task_id, 0.5))
            assert 0 < curriculum.waiting_results < 8

    asyncio.run(play_some())
    assert counted(keeper)[0] == 20


def test_threads_share_what_is_drawn(keeper: Curriculum) -> None:
    with Curriculum.open(keeper.url, keeper.name, worker=AHEAD) as curriculum:
        threads = [threading.Thread(target=play, args=(curriculum, 25)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counted(keeper)[0] == 100


# --- nothing is lost, nothing counts twice -------------------------------------------------------


@pytest.fixture
def pair(keeper: Curriculum) -> Iterator[tuple[Curriculum, LossyLink]]:
    curriculum, link = lossy(keeper.url, keeper.name, prefetch=8, prefetch_age_s=3600)
    with curriculum:
        yield curriculum, link


@pytest.mark.parametrize("repeated", [True, False])
def test_a_lost_reply_counts_once(
    keeper: Curriculum, pair: tuple[Curriculum, LossyLink], repeated: bool
) -> None:
    """Also if the caller goes on otherwise than by the same call: what was taken in is reported."""
    curriculum, link = pair
    play(curriculum, 4)
    task = curriculum.get_task()
    assert counted(keeper) == (2, 6)
    link.lose = "step"
    with pytest.raises(ServerUnavailableError):
        curriculum.next_task((task.task_id, 0.75))
    curriculum.next_task((task.task_id, 0.75 if repeated else 0.25))
    assert curriculum.waiting_results == (0 if repeated else 1)
    curriculum.close()
    assert counted(keeper) == (5 if repeated else 6, 14)


def test_a_report_before_another_call_is_lost(
    keeper: Curriculum, pair: tuple[Curriculum, LossyLink]
) -> None:
    curriculum, link = pair
    play(curriculum, 3)
    link.lose = "record"
    with pytest.raises(ServerUnavailableError) as caught:
        curriculum.evict(curriculum._store.ahead._tasks[0].task_id)  # noqa: SLF001
    assert caught.value.applied == "no", "it is said of the eviction"
    assert counted(keeper)[0] == 3
    curriculum.close()
    assert counted(keeper)[0] == 3


@pytest.mark.parametrize(("prefetch", "least"), [(1, 30), (8, 4)])
def test_ctrl_c_at_any_line(keeper: Curriculum, prefetch: int, least: int) -> None:
    """Of calls that all draw and report, and of calls that mostly have a task in hand."""
    settings = AHEAD.model_copy(update={"prefetch": prefetch})
    with Curriculum.open(keeper.url, keeper.name, worker=settings) as curriculum:
        play(curriculum, 22)
        total, stopped, task = 22, 0, curriculum.get_task()

        def call() -> Task:
            return curriculum.next_task((task.task_id, 0.5))

        lines = count_lines(curriculum.get_task)
        for line in sample(lines, 40):
            before = counted(keeper)[0] + curriculum.waiting_results
            task, where = interrupted(call, line)
            stopped, total = stopped + bool(where), total + 1
            assert counted(keeper)[0] + curriculum.waiting_results == before + 1
        assert stopped >= least
    assert counted(keeper)[0] == total
    assert keeper.check() == []


def test_a_fork_takes_nothing_along(keeper: Curriculum) -> None:
    with Curriculum.open(keeper.url, keeper.name, worker=AHEAD) as curriculum:
        play(curriculum, 3)
        assert curriculum.waiting_results == 1
        pid = os.fork()
        if not pid:
            try:
                assert curriculum.worker_id
                assert curriculum.waiting_results == 0
                play(curriculum, 3)
                curriculum.close()
            except BaseException:  # noqa: BLE001 - a child of a test must not go on with the tests
                os._exit(1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert counted(keeper)[0] == 2 + 3
        with pickle.loads(pickle.dumps(curriculum)) as twin:
            assert (twin.waiting_results, twin._store.settings.prefetch) == (0, 8)  # noqa: SLF001
            play(twin, 1)
    assert counted(keeper)[0] == 3 + 3 + 1


def test_a_restore_gives_up_what_waits(keeper: Curriculum) -> None:
    with Curriculum.open(keeper.url, keeper.name, worker=AHEAD) as curriculum:
        play(curriculum, 3)
        keeper.load_state_dict(keeper.state_dict())
        with (
            pytest.warns(LostWritesWarning, match="1 results"),
            pytest.raises(StaleGenerationError),
        ):
            curriculum.stats()
        curriculum.reopen()
        assert (curriculum.dropped_results, curriculum.waiting_results) == (1, 0)
        play(curriculum, 3)
    assert counted(keeper)[0] == 2 + 3


def test_a_worker_whose_lease_ended_reports_as_another(keeper: Curriculum) -> None:
    with Curriculum.open(keeper.url, keeper.name, worker=AHEAD) as curriculum:
        play(curriculum, 3)
        keys = Keys(keeper.name)
        keeper._link.call(("HINCRBY", keys.meta, "reaped_count", 1), keys.meta)  # noqa: SLF001
        keeper._link.call(("DEL", keys.worker(curriculum.worker_id)), keys.meta)  # noqa: SLF001
        with pytest.raises(WorkerFencedError):
            curriculum.stats()
        curriculum.register()
        play(curriculum, 3)
        assert curriculum.dropped_results == 0
    assert counted(keeper)[0] == 6


# --- the end of a process ------------------------------------------------------------------------

SCRIPT = """
import sys
from redis_curriculum import Curriculum, WorkerSettings
curriculum = Curriculum.open(*sys.argv[1:3], worker=WorkerSettings(prefetch=8))
task = curriculum.get_task()
for _ in range(5):
    task = curriculum.next_task((task.task_id, 0.5))
assert curriculum.waiting_results == 3
sys.exit({status})
"""


@pytest.mark.parametrize("status", ["0", "'an error'"])
def test_the_end_of_a_process_reports(keeper: Curriculum, status: str) -> None:
    words = [sys.executable, "-c", SCRIPT.format(status=status), keeper.url, keeper.name]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == (status != "0"), done.stderr
    assert counted(keeper)[0] == 5


def work(url: str, name: str) -> None:
    play(Curriculum.open(url, name, worker=AHEAD), 5)


def test_the_end_of_a_process_of_multiprocessing_reports(keeper: Curriculum) -> None:
    """``atexit`` does not see it; the parent has a handle too, which stays the parent's."""
    with Curriculum.open(keeper.url, keeper.name, worker=AHEAD) as curriculum:
        play(curriculum, 1)
        child = multiprocessing.get_context("fork").Process(
            target=work, args=(keeper.url, keeper.name)
        )
        child.start()
        child.join()
        assert child.exitcode == 0
        assert counted(keeper)[0] == 5
    assert counted(keeper)[0] == 6


def test_a_handle_that_is_closed_without_a_server_says_what_it_loses(keeper: Curriculum) -> None:
    curriculum, link = lossy(keeper.url, keeper.name, prefetch=8)
    play(curriculum, 3)
    link.lose = "record"
    with pytest.warns(LostWritesWarning, match="1 results were not reported"):
        curriculum.close()


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"prefetch": -1}, "prefetch must be in"),
        ({"prefetch": 101}, "prefetch must be at most chunk"),
        ({"prefetch": True}, "prefetch must be"),
        ({"prefetch_age_s": 0}, "prefetch_age_s must be in"),
        ({"prefetch_age_s": float("nan")}, "prefetch_age_s must be"),
    ],
)
def test_bad_settings_are_refused(fields: dict[str, Any], error: str) -> None:
    with pytest.raises(InvalidInputError, match=error):
        WorkerSettings(**fields)


def test_a_bad_result_is_not_taken_in(keeper: Curriculum) -> None:
    with Curriculum.open(keeper.url, keeper.name, worker=AHEAD) as curriculum:
        with pytest.raises(InvalidInputError, match="score"):
            curriculum.next_task((1, 1.5))
        with pytest.raises(InvalidInputError, match="score"):
            curriculum.update_many([(1, 0.5), (2, float("nan"))])
        assert curriculum.waiting_results == 0


def test_an_algorithm_may_refuse_tasks_drawn_ahead(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    """When a handle is opened, restored or reopened: before anything is written."""
    config = CONFIG.model_copy(update={"algorithm": PassesConfig()})
    refused = pytest.raises(InvalidInputError, match=r'prefetch must be 0 .*"passes".*, got 8')
    with refused as caught:
        Curriculum.open(server.url, name, config, worker=AHEAD)
    assert (caught.value.field, caught.value.value) == ("prefetch", 8)
    assert name not in Curriculum.names(server.url), "nothing was created"
    with Curriculum.open(server.url, name, config) as curriculum:
        with refused:
            Curriculum.open(server.url, name, worker=AHEAD)
        with refused:
            asyncio.run(attached(server.url, name))
        path = curriculum.snapshot(tmp_path / "a.rcs").path
        with refused:
            Curriculum.restore(path, server.url, f"{name}.b", worker=AHEAD)
        assert f"{name}.b" not in Curriculum.names(server.url), "nothing was restored"


async def attached(url: str, name: str) -> None:
    async with AsyncCurriculum.open(url, name, worker=AHEAD):
        pass


class Slow:
    """A generator that takes longer for a task than a handle takes for all that it draws ahead."""

    def __init__(self, may_go: threading.Event) -> None:
        self.may_go, self.fill = may_go, True

    def generate(self, task_id: int) -> TaskSpec:
        if not self.fill:
            self.may_go.wait(60)
        return TaskSpec("slow", {"id": task_id})


def test_a_generator_that_is_slower_than_the_draws_ahead(server: RunningServer, name: str) -> None:
    """The handle plays on from the pool; what is made in the end comes into it."""
    may_go = threading.Event()
    slow = Slow(may_go)
    settings = AHEAD.model_copy(update={"retry_deadline_s": 5.0})
    config = CurriculumConfig(
        task_generator=slow,
        num_active_tasks=20,
        algorithm=LearningProgressConfig(replacement_rate=0.0),
    )
    with Curriculum.open(server.url, name, config, worker=settings) as curriculum:
        slow.fill = False
        curriculum.evict(curriculum.task_ids()[0])
        play(curriculum, 40)
        curriculum.renew_lease()
        assert len(curriculum.task_ids()) == 19
        may_go.set()
        until = time.monotonic() + 60
        while len(curriculum.task_ids()) < 20:
            assert time.monotonic() < until
            play(curriculum, 8)
        assert curriculum.check() == []


def test_a_server_that_goes_away_with_tasks_in_hand(tmp_path: Path, name: str) -> None:
    """They are handed out all the same; when it is back, their results count once."""
    with (
        redis_server(tmp_path, config=("--appendonly", "yes", "--appendfsync", "always")) as own,
        Curriculum.open(own.url, name, CONFIG, worker=AHEAD) as curriculum,
    ):
        play(curriculum, 6)  # drawn: 2, 4, 8; the first of the eight is next
        task = curriculum.get_task()
        own.kill()
        for _ in range(6):
            task = curriculum.next_task((task.task_id, 0.5))
        with pytest.raises(ServerUnavailableError):
            curriculum.next_task((task.task_id, 0.5))
        with pytest.raises(ServerUnavailableError):
            curriculum.stats()
        assert curriculum.waiting_results == 7
        own.start()
        curriculum.next_task((task.task_id, 0.5))
        assert curriculum.waiting_results == 0
        assert counted(curriculum)[0] == 13
