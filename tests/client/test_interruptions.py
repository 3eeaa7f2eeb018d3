"""A call that stopped at any place, made again by its caller, goes on where it stopped.

It may stop at any line (Ctrl-C), at any await (cancelled) or at any lost reply. Whatever was on its
way: the server's counters grow as by one call, and the answer is that call's.
"""

from __future__ import annotations

import asyncio
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from types import FrameType
from typing import Any, Final

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum, Outcome, Step, Task, WorkerSettings
from redis_curriculum._client.open import opening
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._protocol.plan import Words
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.steps import Steps
from redis_curriculum._wire.urls import parse
from redis_curriculum.errors import ServerUnavailableError
from tests.client.calls import AT_ONCE, CASES, Scene
from tests.interrupting import PACKAGE, count_lines, interrupted, sample
from tests.servers import RunningServer

LINES: Final = 10
"""So many of a call's lines, and as many of its last, are tried where time matters."""
ALL: Final = 10**6
WARM_UP: Final = 6
"""Calls until all that follow execute the same lines: the sixth end of an epoch reads five back."""


@pytest.fixture(params=list(CASES))
def scene(request: pytest.FixtureRequest, server: RunningServer, name: str) -> Iterator[Scene]:
    with Scene(server, name, CASES[request.param]) as scene:
        yield scene


def some_or_all(test: Callable[..., None]) -> Any:
    """Try some lines in each run of the tests, and all in a long one."""
    every = pytest.param(ALL, id="every line", marks=[pytest.mark.slow, pytest.mark.timeout(600)])
    return pytest.mark.parametrize("most", [pytest.param(LINES, id="some lines"), every])(test)


# --- Ctrl-C --------------------------------------------------------------------------------------


@some_or_all
def test_ctrl_c(scene: Scene, most: int) -> None:
    with Curriculum.open(scene.server.url, scene.name, worker=AT_ONCE) as curriculum:
        for _ in range(WARM_UP):
            scene.call(curriculum)()
        lines, stopped = count_lines(scene.call(curriculum)), 0
        for line in sample(lines, most):
            call, before = scene.call(curriculum), scene.counts()
            answer, stopped_in = interrupted(call, line)
            scene.judge(before, answer)
            stopped += bool(stopped_in)
            if "fill" in stopped_in:
                assert answer is not Outcome.DUPLICATE, "the report had been answered"
        assert stopped > LINES
    scene.end()


@contextmanager
def storm(seed: int) -> Iterator[Counter[str]]:
    """Signals at any moment; those that come while the package is at work are Ctrl-C, and counted.

    Not those between a call and the next: what a caller does with an answer is its own affair.
    """
    seen, over, main = Counter[str](), threading.Event(), threading.get_ident()

    def raised(number: int, frame: FrameType | None) -> None:
        while frame and "_pytest" not in frame.f_code.co_filename:  # not within its own hooks
            if frame.f_code.co_filename.startswith(PACKAGE):
                seen["interrupted"] += 1
                raise KeyboardInterrupt
            frame = frame.f_back

    def send() -> None:
        choose, longest_s = random.Random(seed), 0.0005
        while not over.wait(choose.uniform(0, longest_s)):
            signal.pthread_kill(main, signal.SIGUSR1)
            longest_s *= 1.5  # until the call comes through

    before, sender = signal.signal(signal.SIGUSR1, raised), threading.Thread(target=send)
    sender.start()
    try:
        yield seen
    finally:
        over.set()
        sender.join()
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # redis-py's sockets
def test_a_storm_of_signals(scene: Scene) -> None:
    """Between any two instructions, several times a call, in redis-py too."""
    with Curriculum.open(scene.server.url, scene.name, worker=AT_ONCE) as curriculum:
        stopped = Counter[str]()
        for seed in range(40):
            call, before = scene.call(curriculum), scene.counts()
            with storm(seed) as seen:
                answer = until_answered(call)
            scene.judge(before, answer)
            stopped += seen
    assert stopped["interrupted"] > 0
    scene.end()


def until_answered(call: Callable[[], Any]) -> Any:
    while True:
        with suppress(KeyboardInterrupt):
            return call()


@some_or_all
def test_ctrl_c_while_it_enters(server: RunningServer, name: str, most: int) -> None:
    """The first call of a handle registers its worker."""
    with Scene(server, name, CASES["next_task"]) as scene:
        with Curriculum.open(server.url, name, worker=AT_ONCE) as curriculum:
            lines = count_lines(scene.call(curriculum))
        for line in sample(lines, most):
            with Curriculum.open(server.url, name, worker=AT_ONCE) as curriculum:
                call, before = scene.call(curriculum), scene.counts()
                scene.judge(before, interrupted(call, line)[0])
        scene.end()


@some_or_all
def test_ctrl_c_while_it_becomes_another_worker(
    server: RunningServer, name: str, most: int
) -> None:
    """What the worker that was has written is not replayed by the new one."""
    with (
        Scene(server, name, CASES["update"]) as scene,
        Curriculum.open(server.url, name, worker=AT_ONCE) as curriculum,
    ):
        scene.call(curriculum)()
        for line in sample(count_lines(curriculum.register), most):
            for _ in range(2):
                scene.call(curriculum)()
            call, was = scene.call(curriculum), curriculum.worker_id
            before = scene.counts()
            interrupted(curriculum.register, line)
            assert curriculum.worker_id != was
            scene.judge(before, call())
        assert curriculum.lost_writes == 0
        scene.end()


@some_or_all
def test_ctrl_c_while_its_lease_is_renewed(server: RunningServer, name: str, most: int) -> None:
    with (
        Scene(server, name, CASES["next_tasks"]) as scene,
        Curriculum.open(server.url, name, worker=AT_ONCE) as curriculum,
    ):
        worker = curriculum._store.worker  # noqa: SLF001 - instead of waiting for each trial

        def due() -> Callable[[], Any]:
            worker._life.lease_from = 0.0  # noqa: SLF001
            return scene.call(curriculum)

        due()()
        for line in sample(count_lines(due()), most):
            call, before = due(), scene.counts()
            scene.judge(before, interrupted(call, line)[0])
        scene.end()


class Failover:
    """Takes a curriculum back to a moment, as a replica does that knew no more."""

    def __init__(self, scene: Scene) -> None:
        self._client = scene.server.client(decode_responses=False)
        self._pattern = f"{Keys(scene.name).prefix}*"
        self._saved = {key: self._client.dump(key) for key in self._keys()}

    def _keys(self) -> list[bytes]:
        return list(self._client.scan_iter(self._pattern, count=10_000))

    def forget(self) -> None:
        pipe = self._client.pipeline()
        pipe.unlink(*self._keys())
        for key, value in self._saved.items():
            pipe.restore(key, 0, value)
        pipe.execute()
        self._client.close()


@some_or_all
@pytest.mark.parametrize("known", [True, False], ids=["known", "forgotten itself"])
def test_ctrl_c_while_it_replays(
    server: RunningServer, name: str, most: int, *, known: bool
) -> None:
    """The server lost a worker's last writes, or all of it: each is replayed once."""
    with Scene(server, name, CASES["next_task"]) as scene:
        (task_id, *_) = scene.pool()

        def trial(line: int) -> int:
            lines = 0
            with Curriculum.open(server.url, name, worker=AT_ONCE) as curriculum:
                finished = (task_id, 0.5)
                if known:
                    curriculum.next_task(finished)
                failover, before = Failover(scene), scene.counts()
                for _ in range(3):
                    curriculum.next_task(finished)
                failover.forget()
                if not known:
                    curriculum._store.worker._run_id = "another server's"  # noqa: SLF001
                if line:
                    interrupted(lambda: curriculum.next_task(finished), line)
                else:
                    lines = count_lines(lambda: curriculum.next_task(finished))
                assert scene.grown(before) == {"completions": 4, "samples": 4}
                assert curriculum.lost_writes == 0
            return lines

        for line in sample(trial(0), most):
            trial(line)
        scene.end()


# --- cancelled -----------------------------------------------------------------------------------


class Cancelling:
    """Awaits something, and is cancelled where that waits for the n-th time."""

    def __init__(self, call: Coroutine[Any, Any, Any], at: int) -> None:
        self._call, self._left = call, at

    @property
    def is_over(self) -> bool:
        """Whether it was cancelled."""
        return self._left <= 0

    def __await__(self) -> Generator[Any, Any, Any]:
        steps, error = self._call.__await__(), None
        while True:
            try:
                waiting = steps.throw(error) if error else steps.send(None)
            except StopIteration as stop:
                return stop.value
            self._left -= 1
            if self._left == 0:
                this_task().cancel()
            error = None
            try:
                yield waiting
            except asyncio.CancelledError as cancelled:
                error = cancelled


def this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def test_cancelled_at_every_await(scene: Scene) -> None:
    async def main() -> None:
        url, name = scene.server.url, scene.name
        async with AsyncCurriculum.open(url, name, worker=AT_ONCE) as curriculum:
            for at in count(1):
                call, before = scene.call(curriculum), scene.counts()
                cancelling = Cancelling(call(), at)
                try:
                    answer = await cancelling
                except asyncio.CancelledError:
                    this_task().uncancel()
                    answer = await call()
                scene.judge(before, answer)
                if not cancelling.is_over:
                    assert at > 1
                    break

    asyncio.run(main())
    scene.end()


# --- lost replies --------------------------------------------------------------------------------


class LosingLink(DirectLink):
    """Loses the n-th reply from now on."""

    at_once = False
    lose = 0
    meanwhile: Callable[[], object] | None = None
    """Called when the reply has been lost."""

    def send(self, words: Words, key: str) -> Steps[Any]:
        reply = yield from super().send(words, key)
        self.lose -= 1
        if self.lose == 0:
            if self.meanwhile:
                self.meanwhile()
            raise ServerUnavailableError("the reply was lost", applied="unknown")
        return reply


RETRIED: Final = AT_ONCE.model_copy(update={"retry_deadline_s": 5.0})
BY_WHOM: Final = pytest.mark.parametrize(
    "worker", [AT_ONCE, RETRIED], ids=["repeated by its caller", "retried by the library"]
)


def losing(scene: Scene, worker: WorkerSettings) -> tuple[Curriculum, LosingLink]:
    """Attach with a link that can lose a reply."""
    address = parse(scene.server.url)
    link = LosingLink(address, worker.timeout_s)
    store = drive(opening(address, scene.name, None, worker, None), link)
    return Curriculum(address, store, link), link


def answered(call: Callable[[], Any], worker: WorkerSettings) -> Any:
    """Make the call, and again if that is for the caller to do."""
    if worker is AT_ONCE:
        with suppress(ServerUnavailableError):
            return call()
    return call()


@BY_WHOM
def test_every_reply_may_be_lost(scene: Scene, worker: WorkerSettings) -> None:
    curriculum, link = losing(scene, worker)
    with curriculum:
        for lost in count(1):
            call, before = scene.call(curriculum), scene.counts()
            link.lose = lost
            answer = answered(call, worker)
            scene.judge(before, answer)
            if link.lose > 0:
                assert lost > 1
                break
    scene.end()


@BY_WHOM
@pytest.mark.parametrize(
    "scene", ["get_task", "get_tasks", "next_task", "next_tasks", "replaced"], indirect=True
)
def test_a_lost_draw_whose_tasks_were_evicted_meanwhile(
    scene: Scene, worker: WorkerSettings
) -> None:
    """They are handed over all the same, as if they had been evicted a moment later."""
    curriculum, link = losing(scene, worker)

    def evict_all() -> None:
        for task_id in scene.pool():
            scene.keeper.evict(task_id)

    link.meanwhile = evict_all
    with curriculum:
        scene.call(curriculum)()  # the server knows the scripts
        for lost in count(1):
            call, before = scene.call(curriculum), scene.counts()
            link.lose = lost
            answer = answered(call, worker)
            assert len(tasks_of(answer)) == scene.case.counted["samples"]
            assert scene.grown(before)["samples"] == scene.case.counted["samples"]
            if link.lose > 0:
                assert lost > 1
                break
    scene.end()


def tasks_of(answer: Any) -> list[Task]:
    if isinstance(answer, Task):
        return [answer]
    return answer.tasks if isinstance(answer, Step) else list(answer)
