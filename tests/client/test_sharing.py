"""Threads, or tasks of asyncio, that share a handle: calls that wait go together, in one write.

Each has its own tasks, outcomes and errors, and counts once: whatever is lost or interrupted.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum, Outcome, Task, WorkerSettings
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._protocol.plan import Words
from redis_curriculum._wire.steps import Steps
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig
from redis_curriculum.errors import (
    EmptyPoolError,
    InvalidInputError,
    MalformedStateError,
    ServerUnavailableError,
)
from redis_curriculum.tasks import Buckets
from tests.interrupting import Lines, count_lines, sample
from tests.lossy import LossyLink, lossy
from tests.servers import RunningServer

CONFIG: Final = CurriculumConfig(
    task_generator=Buckets(label="{kind}", buckets={"kind": ["a", "b"], "seed": list(range(40))}),
    num_active_tasks=20,
    algorithm=LearningProgressConfig(replacement_rate=0.0),
)
AT_ONCE: Final = WorkerSettings(retry_deadline_s=0)
Made = Callable[[Curriculum], Any]


@pytest.fixture
def keeper(server: RunningServer, name: str) -> Iterator[Curriculum]:
    """Another worker, which keeps the pool and looks."""
    with Curriculum.open(server.url, name, CONFIG) as curriculum:
        yield curriculum


@pytest.fixture
def pair(keeper: Curriculum) -> Iterator[tuple[Curriculum, LossyLink]]:
    """A handle that is shared, and its link; every error is its callers'."""
    curriculum, link = lossy(keeper.url, keeper.name)
    curriculum.next_task((keeper.task_ids()[0], 0.5))  # it is registered, the scripts are known
    with curriculum:
        yield curriculum, link


class Caller:
    """A thread that makes calls of one handle, the first of them as soon as it has begun."""

    def __init__(self, curriculum: Curriculum, calls: Sequence[Made]) -> None:
        self.answers: list[Any] = []
        """An answer or an error for each call."""
        self._curriculum, self._calls = curriculum, calls
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        for call in self._calls:
            try:
                self.answers.append(call(self._curriculum))
            except Exception as error:  # noqa: BLE001 - the test looks at it
                self.answers.append(error)

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()


def waiting_for(curriculum: Curriculum, number: int) -> None:
    """Return once so many calls of a handle wait."""
    until = time.monotonic() + 60
    while len(curriculum._store.unfinished.waiting()) < number:  # noqa: SLF001
        assert time.monotonic() < until
        time.sleep(0.001)


def together(
    curriculum: Curriculum, *callers: Sequence[Made], order: bool = False
) -> list[list[Any]]:
    """Have one thread each make calls; the first of all wait at the same time."""
    with curriculum._lock:  # noqa: SLF001 - as if another call were under way
        threads = []
        for i, calls in enumerate(callers):
            threads.append(Caller(curriculum, calls))
            if order:
                waiting_for(curriculum, i + 1)
        waiting_for(curriculum, len(callers))
    for thread in threads:
        thread.join()
    return [thread.answers for thread in threads]


def scripts_run(keeper: Curriculum) -> int:
    """How many scripts the server has run for anybody."""
    info = keeper._link.call(("INFO", "commandstats"), Keys(keeper.name).meta)  # noqa: SLF001
    line = next(line for line in str(info).splitlines() if line.startswith("cmdstat_evalsha:"))
    return int(line.partition("calls=")[2].partition(",")[0])


def counted(keeper: Curriculum) -> tuple[Counter[int], int]:
    """Completions of each task, and the samples of all labels."""
    records = {task_id: keeper.get_task_stats(task_id) for task_id in keeper.task_ids()}
    found = Counter({i: record.completion_count for i, record in records.items() if record})
    key = Keys(keeper.name)
    samples = keeper._link.call(("HVALS", key.count("samples")), key.meta)  # noqa: SLF001
    return +found, sum(map(int, samples))


def report(task_id: int, score: float = 0.5) -> Made:
    return lambda curriculum: curriculum.update_task_performance(task_id, score)


def step(task_id: int, score: float = 0.5) -> Made:
    return lambda curriculum: curriculum.next_task((task_id, score))


def draw(curriculum: Curriculum) -> Task:
    return curriculum.get_task()


# --- one write for all, one answer for each ------------------------------------------------------


def test_calls_that_wait_are_one_call_of_the_server(
    keeper: Curriculum, pair: tuple[Curriculum, LossyLink]
) -> None:
    curriculum, _ = pair
    a, b, c, gone = keeper.task_ids()[:4]
    keeper.evict(gone)
    keeper.get_task()  # with a new task in its place
    before, samples = counted(keeper)
    start = scripts_run(keeper)
    answers = together(
        curriculum,
        [report(a)],
        [lambda it: it.get_tasks(3)],
        [report(gone)],
        [lambda it: it.update_many([(a, 0.25), (gone, 0.5), (b, 1.0)])],
        [draw],
        [lambda it: it.next_tasks([(b, 0.5), (c, 0.5)], 2)],
        [step(c)],
        order=True,
    )
    assert scripts_run(keeper) - start == 1
    (one,), (drawn,), (late,), (many,), (task,), (both,), (following,) = answers
    applied, evicted = Outcome.APPLIED, Outcome.EVICTED
    assert (one, late, many) == (applied, evicted, [applied, evicted, applied])
    assert (len(drawn), len(both.tasks), both.outcomes) == (3, 2, [applied, applied])
    tasks = [*drawn, task, *both.tasks, following]
    assert {type(task) for task in tasks} == {Task}
    after, now = counted(keeper)
    assert after - before == Counter({a: 2, b: 2, c: 2})
    assert now - samples == len(tasks) == 7
    assert keeper.check() == []


def test_every_draw_is_counted_for_its_own_task(
    keeper: Curriculum, pair: tuple[Curriculum, LossyLink]
) -> None:
    curriculum, _ = pair

    def samples() -> Counter[int]:
        records = [keeper.get_task_stats(task_id) for task_id in keeper.task_ids()]
        return Counter({r.task_id: r.sample_count for r in records if r})

    before = samples()
    answers = together(curriculum, *[[draw, lambda it: it.get_tasks(2)]] * 5)
    drawn = Counter(task.task_id for one, two in answers for task in (one, *two))
    assert samples() - before == drawn
    assert drawn.total() == 15


def test_what_cannot_be_shared_is_not(
    keeper: Curriculum, pair: tuple[Curriculum, LossyLink]
) -> None:
    """Distinct draws, batches of several chunks, other calls: each is a call of its own."""
    curriculum, _ = pair
    a, b = keeper.task_ids()[:2]
    many = [(a, 0.5)] * 101
    before, start = counted(keeper)[0], scripts_run(keeper)
    answers = together(
        curriculum,
        [lambda it: it.get_tasks(3, distinct=True)],
        [lambda it: it.update_many(many)],
        [lambda it: it.set_label(b, "a")],
        [report(b)],
        [step(b)],
    )
    assert scripts_run(keeper) - start == 5, "one, two, one, and one for the last two"
    assert len({task.task_id for task in answers[0][0]}) == 3
    assert answers[1][0] == [Outcome.APPLIED] * 101
    assert counted(keeper)[0] - before == Counter({a: 101, b: 2})


def test_no_write_is_longer_than_a_chunk(server: RunningServer, keeper: Curriculum) -> None:
    a, *_ = keeper.task_ids()
    settings = WorkerSettings(chunk=4)
    with Curriculum.open(server.url, keeper.name, worker=settings) as curriculum:
        curriculum.next_task((a, 0.5))
        start = scripts_run(keeper)
        answers = together(curriculum, *[[lambda it: it.next_tasks([(a, 0.5)] * 2, 1)]] * 5)
        assert scripts_run(keeper) - start == 3
        assert [one.outcomes for (one,) in answers] == [[Outcome.APPLIED] * 2] * 5
    assert counted(keeper)[0] == Counter({a: 11})


def test_tasks_of_a_loop_share_calls(keeper: Curriculum) -> None:
    finished: Counter[int] = Counter()

    async def play(curriculum: AsyncCurriculum, episodes: int) -> None:
        task = await curriculum.get_task()
        for _ in range(episodes):
            finished[task.task_id] += 1
            task = await curriculum.next_task((task.task_id, 0.5))

    async def main() -> int:
        async with AsyncCurriculum.open(keeper.url, keeper.name) as curriculum:
            await curriculum.get_task()
            start = scripts_run(keeper)
            await asyncio.gather(*(play(curriculum, 10) for _ in range(32)))
            return scripts_run(keeper) - start

    assert asyncio.run(main()) < 32 * 11 // 8
    assert counted(keeper) == (finished, 32 * 11 + 1)


def test_threads_share_calls_under_load(keeper: Curriculum) -> None:
    """However they meet; each result counts once."""
    lock, finished = threading.Lock(), Counter[int]()

    def play(curriculum: Curriculum) -> None:
        task = curriculum.get_task()
        for _ in range(40):
            with lock:
                finished[task.task_id] += 1
            task = curriculum.next_task((task.task_id, 0.5))

    with Curriculum.open(keeper.url, keeper.name) as curriculum:
        curriculum.get_task()
        start = scripts_run(keeper)
        together(curriculum, *[[play]] * 8)
        assert scripts_run(keeper) - start < 8 * 41 * 3 // 4
    assert counted(keeper) == (finished, 8 * 41 + 1)


# --- errors are their owner's --------------------------------------------------------------------


def test_a_bad_result_is_its_owners(
    server: RunningServer, keeper: Curriculum, pair: tuple[Curriculum, LossyLink]
) -> None:
    """One is refused before it is sent, one by the server, which may not say whose it is."""
    curriculum, _ = pair
    a, b, broken = keeper.task_ids()[:3]
    keeper.update_task_performance(broken, 0.5)
    before = counted(keeper)[0]
    with server.client(decode_responses=False) as client:
        kept = client.hget(Keys(keeper.name).task(broken), "stats")
        client.hset(Keys(keeper.name).task(broken), "stats", "a text of somebody")
    answers = together(curriculum, [report(a)], [report(broken)], [step(b)])
    wrong = [report(b, 1.5), report(b)]
    too_high = together(curriculum, [report(a)], wrong, [draw])
    assert isinstance(answers[1][0], MalformedStateError)
    assert answers[1][0].applied == "no"
    assert (answers[0][0], type(answers[2][0])) == (Outcome.APPLIED, Task)
    types = [[type(one) for one in answers] for answers in too_high]
    assert types == [[Outcome], [InvalidInputError, Outcome], [Task]]
    with server.client(decode_responses=False) as client:
        client.hset(Keys(keeper.name).task(broken), "stats", kept)
    assert counted(keeper)[0] - before == Counter({a: 2, b: 2})
    assert keeper.check() == []


def test_an_empty_pool_is_an_error_of_those_who_draw(
    keeper: Curriculum, pair: tuple[Curriculum, LossyLink]
) -> None:
    curriculum, _ = pair
    curriculum._store.can_generate = False  # noqa: SLF001 - its pool cannot be filled
    for task_id in keeper.task_ids():
        keeper.evict(task_id)
    answers = together(curriculum, [draw], [report(1)], [step(1)], [report(1)])
    assert isinstance(answers[0][0], EmptyPoolError)
    assert isinstance(answers[2][0], EmptyPoolError)
    assert answers[2][0].applied == "unknown", "its result was counted as late"
    assert [answers[1], answers[3]] == [[Outcome.EVICTED]] * 2
    keeper.get_task()
    curriculum.reopen()
    assert type(together(curriculum, [draw], [draw])[1][0]) is Task


def test_tasks_that_a_generator_makes_meanwhile(
    keeper: Curriculum, pair: tuple[Curriculum, LossyLink]
) -> None:
    """The pool is empty: who draws first fills it, and everyone has what it asked for."""
    curriculum, _ = pair
    for task_id in keeper.task_ids():
        keeper.evict(task_id)
    answers = together(curriculum, *[[lambda it: it.get_tasks(3)]] * 4, [report(1)])
    assert [len(one) for (one,) in answers[:4]] == [3] * 4
    assert answers[4] == [Outcome.EVICTED]
    assert len(keeper.task_ids()) == CONFIG.num_active_tasks
    assert keeper.check() == []


# --- nothing is lost, nothing counts twice -------------------------------------------------------


@pytest.mark.parametrize("repeats", [4, 2, 0])
def test_a_lost_reply(keeper: Curriculum, pair: tuple[Curriculum, LossyLink], repeats: int) -> None:
    """Each caller has its own error; it may repeat its call, or go on otherwise."""
    curriculum, link = pair
    ids = keeper.task_ids()[1:5]
    before, samples = counted(keeper)
    all_know = threading.Barrier(4)
    calls = [
        [step(i), lambda _: all_know.wait(60), step(i) if n < repeats else draw]
        for n, i in enumerate(ids)
    ]
    link.lose = "step"
    answers = together(curriculum, *calls)
    errors = [first for first, *_ in answers]
    assert {type(error) for error in errors} == {ServerUnavailableError}
    assert {error.applied for error in errors} == {"unknown"}
    assert len(set(map(id, errors))) == 4
    assert [type(last) for *_, last in answers] == [Task] * 4
    after, now = counted(keeper)
    assert after - before == Counter(ids)
    assert now - samples == 4 + (4 - repeats)
    assert keeper.check() == []


def test_a_lost_reply_is_repeated_by_the_library(keeper: Curriculum) -> None:
    curriculum, link = lossy(keeper.url, keeper.name, deadline_s=30)
    with curriculum:
        ids = keeper.task_ids()[:4]
        curriculum.get_task()
        link.lose, start = "step", scripts_run(keeper)
        answers = together(curriculum, *[[step(task_id)] for task_id in ids])
        assert scripts_run(keeper) - start == 2
        assert [type(answer) for (answer,) in answers] == [Task] * 4
    assert counted(keeper) == (Counter(ids), 5)


class DownLink(LossyLink):
    """Nothing arrives while it is down."""

    down, tried = False, 0

    def send(self, words: Words, key: str) -> Steps[Any]:
        self.tried += 1
        if self.down:
            raise ServerUnavailableError("the server is down")
        return (yield from super().send(words, key))


def test_a_server_that_is_down_is_tried_once_for_all(
    keeper: Curriculum, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was applied; a call that is not repeated is not sent by another one."""
    monkeypatch.setattr("tests.lossy.LossyLink", DownLink)
    curriculum, link = lossy(keeper.url, keeper.name)
    assert isinstance(link, DownLink)
    with curriculum:
        curriculum.get_task()
        ids = keeper.task_ids()[:4]
        link.down, link.tried = True, 0
        answers = together(curriculum, *[[step(task_id)] for task_id in ids])
        assert link.tried == 1
        assert [(type(e), e.applied) for (e,) in answers] == [(ServerUnavailableError, "no")] * 4
        link.down = False
        assert counted(keeper) == (Counter(), 1)
        together(curriculum, [step(ids[0])], [draw])
    assert counted(keeper) == (Counter(ids[:1]), 3)


def test_after_register_only_repeated_calls_may_count_twice(
    keeper: Curriculum, pair: tuple[Curriculum, LossyLink]
) -> None:
    curriculum, link = pair
    a, b, c = keeper.task_ids()[1:4]
    before, met = counted(keeper)[0], threading.Barrier(3)
    link.lose = "record"

    def wait(_: Curriculum) -> None:
        met.wait(60)

    def become_another(it: Curriculum) -> None:
        it.register()
        met.wait(60)

    together(
        curriculum,
        [report(a), become_another],
        [report(b), wait, report(b)],
        [report(c), wait, report(a)],
    )
    assert counted(keeper)[0] - before == Counter({a: 2, b: 2, c: 1})


def test_played_on_without_the_server(keeper: Curriculum, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.lossy.LossyLink", DownLink)
    curriculum, link = lossy(keeper.url, keeper.name, on_outage="continue")
    assert isinstance(link, DownLink)
    with curriculum:
        curriculum.get_task()
        ids = keeper.task_ids()[:4]
        for lose in (True, False):  # the reply is lost; nothing arrives
            link.down, link.lose = not lose, "step" if lose else ""
            calls = [[lambda it, i=i: it.next_tasks([(i, 0.5)], 1)] for i in ids]
            answers = together(curriculum, *calls)
            assert [one.outcomes for (one,) in answers] == [[Outcome.DEFERRED]] * 4
            assert [len(one.tasks) for (one,) in answers] == [1] * 4
            assert curriculum.waiting_results == 4
            link.down = False
            curriculum._store.backlog._next_try = 0.0  # noqa: SLF001 - instead of waiting for it
            curriculum.get_task()
            assert (curriculum.waiting_results, curriculum.dropped_results) == (0, 0)
        assert counted(keeper)[0] == Counter([*ids, *ids])


def test_ctrl_c_in_the_thread_that_makes_the_call_of_all(
    keeper: Curriculum, pair: tuple[Curriculum, LossyLink]
) -> None:
    """At any line: nobody else notices, and its own call goes on when it is made again."""
    curriculum, _ = pair
    a, b, c = keeper.task_ids()[:3]

    def trial(line: int) -> tuple[int, bool]:
        """Interrupt the call of this thread, which takes two others with it."""
        lines = Lines(line)
        before, samples = counted(keeper)
        with curriculum._lock:  # noqa: SLF001 - this thread is the first of those that wait
            callers = [Caller(curriculum, [step(task_id)]) for task_id in (b, c)]
            waiting_for(curriculum, 2)
            curriculum._turn = threading.RLock()  # noqa: SLF001 - one of the two holds it
            with suppress(KeyboardInterrupt), lines.watched():
                step(a)(curriculum)
            if lines.stopped_in:
                step(a)(curriculum)
        while curriculum._lock._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001
            curriculum._lock.release()  # noqa: SLF001 - traced, the end of a `with` can be skipped
        for caller in callers:
            caller.join()
            assert [type(answer) for answer in caller.answers] == [Task]
        after, now = counted(keeper)
        assert after - before == Counter([a, b, c])
        assert now - samples == 3
        return lines.seen, "sharing" in lines.stopped_in

    lines, _ = trial(0)
    assert lines > 150
    assert sum(trial(line)[1] for line in sample(lines, 25)) > 1
    assert keeper.check() == []


def test_cancelled_at_any_await(keeper: Curriculum) -> None:
    """The first of four asyncio tasks, which makes the call of all, and the last."""

    async def trial(curriculum: AsyncCurriculum, ids: list[int], victim: int, at: int) -> bool:
        async def call(task_id: int) -> Task:
            while True:
                with suppress(asyncio.CancelledError):
                    return await curriculum.next_task((task_id, 0.5))

        async with curriculum._lock:  # noqa: SLF001 - as if another call were under way
            calls = [asyncio.create_task(call(task_id)) for task_id in ids]
            await asyncio.sleep(0)
        for _ in range(at):
            await asyncio.sleep(0)
        was_over = calls[victim].done()
        calls[victim].cancel()
        for task in await asyncio.gather(*calls):
            assert type(task) is Task
        return was_over

    async def main() -> int:
        ids, made = keeper.task_ids()[:4], 0
        async with AsyncCurriculum.open(keeper.url, keeper.name) as curriculum:
            await curriculum.get_task()
            for victim in (0, 3):
                at, is_over = 0, False
                while not is_over:
                    is_over = await trial(curriculum, ids, victim, at)
                    at, made = at + 1, made + 1
                assert at > 2
            assert counted(keeper) == (Counter(ids * made), 4 * made + 1)
        return made

    asyncio.run(main())
    assert keeper.check() == []


def test_one_alone_makes_the_same_calls(keeper: Curriculum) -> None:
    """It shares nothing, not even with calls that were given up."""
    curriculum, link = lossy(keeper.url, keeper.name)
    with curriculum:
        curriculum.get_task()
        a, b = keeper.task_ids()[:2]
        link.lose = "record"
        with pytest.raises(ServerUnavailableError):
            curriculum.update_task_performance(a, 0.5)
        assert curriculum._store.unfinished.waiting() == []  # noqa: SLF001
        assert count_lines(lambda: curriculum.update_task_performance(b, 0.5)) < 400
    assert counted(keeper)[0] == Counter([a, b])
