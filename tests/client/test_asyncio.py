"""The asyncio handle: the blocking one's methods, on servers of every kind, cancelled anywhere."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum, Outcome, Task, WorkerSettings
from redis_curriculum._wire import asyncio as wire
from redis_curriculum._wire.steps import Exchange, Step
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig
from redis_curriculum.errors import (
    CurriculumError,
    CurriculumNotFoundError,
    InvalidInputError,
    ServerUnavailableError,
)
from redis_curriculum.tasks import Buckets
from tests.keyspace import strangers
from tests.servers import RunningServer, redis_server
from tests.whole import assert_whole

TASKS = Buckets(label="kind-{kind}", buckets={"kind": [0, 1, 2], "seed": list(range(9))})


def config_of(size: int = 8, **algorithm: Any) -> CurriculumConfig:
    hypers = {"replacement_rate": 0.0, "min_samples_for_lp": 2} | algorithm
    hypers.setdefault("min_presentations_for_eviction", 4)
    return CurriculumConfig(
        task_generator=TASKS,
        num_active_tasks=size,
        seed=3,
        algorithm=LearningProgressConfig(**hypers),
    )


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an ``async def`` test; a loop's warnings and forgotten transports fail it."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@pytest.fixture(autouse=True)
def nothing_stays(server: RunningServer) -> Iterator[None]:
    yield
    with server.client() as client:
        found = strangers(client)
        for key in client.scan_iter(count=10_000):
            client.unlink(key)
    assert not found, "keys that nothing spells"


# --- one description of each call ----------------------------------------------------------------


def public(kind: type) -> dict[str, Any]:
    return {
        name: inspect.getattr_static(kind, name) for name in dir(kind) if not name.startswith("_")
    }


def test_both_handles_have_the_same_methods_and_signatures() -> None:
    ours, theirs = public(AsyncCurriculum), public(Curriculum)
    assert ours.keys() == theirs.keys()
    for name, method in theirs.items():
        assert type(ours[name]) is type(method), name
        if isinstance(method, property):
            continue
        own, twin = (inspect.signature(getattr(k, name)) for k in (AsyncCurriculum, Curriculum))
        assert own.parameters == twin.parameters, name
        if inspect.isgeneratorfunction(inspect.unwrap(method)):  # a context manager
            assert inspect.isasyncgenfunction(inspect.unwrap(ours[name])), name
        elif not isinstance(method, classmethod):
            assert inspect.iscoroutinefunction(getattr(AsyncCurriculum, name)), name
            assert own.return_annotation == twin.return_annotation, name


def first_sentence(method: Any) -> str:
    text = inspect.cleandoc(inspect.unwrap(getattr(method, "__func__", method)).__doc__ or "")
    return " ".join(text.partition("\n\n")[0].split()).partition(". ")[0].removesuffix(".")


def test_both_handles_say_the_same_of_each_method() -> None:
    """Each has its own docstring, written out; only a class says that it is a twin."""
    ours, theirs = public(AsyncCurriculum), public(Curriculum)
    said = {name: first_sentence(method) for name, method in theirs.items()}
    assert {name: first_sentence(method) for name, method in ours.items()} == said
    assert all(len(sentence.split()) > 2 for sentence in said.values())


async def session(curriculum: AsyncCurriculum) -> list[Any]:
    said: list[Any] = [await curriculum.task_ids(), await curriculum.labels()]
    tasks: list[Task] = []
    for i in range(6):
        tasks = await curriculum.get_tasks(5)
        said.append([(task.task_id, task.label) for task in tasks])
        results = [(task.task_id, (i * 3 + n) % 7 / 7) for n, task in enumerate(tasks)]
        said += [await curriculum.update_many(results)]
        said.append((await curriculum.next_task((tasks[0].task_id, 0.9))).task_id)
        said.append(await curriculum.update_task_performance(tasks[1].task_id, 0.25))
        said.append(await curriculum.next_tasks([(tasks[2].task_id, 0.5)], 3))
        said.append((await curriculum.get_task()).task_id)
    said.append(await curriculum.set_label(tasks[3].task_id, "other"))
    said += [await curriculum.evict(tasks[1].task_id), await curriculum.distribution()]
    record = await curriculum.get_task_stats(tasks[0].task_id)
    assert record is not None
    await curriculum.renew_lease()
    return [*said, record.completion_count, record.learning_progress, await curriculum.check()]


def blocking_session(curriculum: Curriculum) -> list[Any]:
    """The same plans in the same order, through the blocking handle."""

    class Twin:
        def __getattr__(self, name: str) -> Any:
            async def call(*args: Any) -> Any:
                return getattr(curriculum, name)(*args)

            return call

    twin: Any = Twin()
    return asyncio.run(session(twin))


def test_the_same_session_has_the_same_answers(url: str, name: str) -> None:
    config = config_of(12, replacement_rate=0.05)

    async def asynchronous() -> list[Any]:
        async with AsyncCurriculum.open(url, f"{name}-a", config) as curriculum:
            return await session(curriculum)

    with Curriculum.open(url, f"{name}-b", config) as curriculum:
        assert asyncio.run(asynchronous()) == blocking_session(curriculum)


# --- many tasks of one loop ----------------------------------------------------------------------


@in_loop
async def test_many_tasks_share_handles(server: RunningServer, url: str, name: str) -> None:
    async with AsyncCurriculum.open(url, name, config_of()) as first:
        handles = [first, *[await AsyncCurriculum.open(url, name) for _ in range(3)]]

        async def play(i: int) -> list[int]:
            mine = handles[i % 4]
            task = await mine.get_task()
            drawn = []
            for n in range(20):
                drawn.append(task.task_id)
                task = await mine.next_task((task.task_id, (i + n) % 64 / 64))
            assert await mine.update_task_performance(task.task_id, 1.0) is Outcome.APPLIED
            return [*drawn, task.task_id]

        async with asyncio.TaskGroup() as group:
            playing = [group.create_task(play(i)) for i in range(40)]
        played = Counter(task_id for task in playing for task_id in task.result())
        assert played.total() == 40 * 21
        for task_id in await first.task_ids():
            record = await first.get_task_stats(task_id)
            assert record is not None
            assert record.sample_count == record.completion_count == played[task_id]
        assert await first.check() == []
        for handle in handles[1:]:
            await handle.close()
        with Curriculum.open(url, name) as blocking:
            assert_whole(server, blocking)


# --- cancelled -----------------------------------------------------------------------------------


class Flaky:
    """Stops calls right after their bytes have gone out, or before, as a cancelled caller does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.stopped = 0

    @contextmanager
    def stopping(self, moment: str) -> Iterator[None]:
        """The next call cancels its task ``before`` it is sent, or once it has been applied."""
        original = wire._perform  # noqa: SLF001 - the place where bytes come and go

        async def perform(step: Step) -> Any:
            assert isinstance(step, Exchange)
            self._monkeypatch.setattr(wire, "_perform", original)
            self.stopped += 1
            task = asyncio.current_task()
            assert task is not None
            if moment == "applied":
                await original(step)
            task.cancel()
            return await original(step if moment == "before" else step._replace(words=("PING",)))

        self._monkeypatch.setattr(wire, "_perform", perform)
        yield
        self._monkeypatch.setattr(wire, "_perform", original)


@pytest.mark.parametrize("moment", ["before", "applied"])
def test_a_cancelled_call_made_again_counts_once(
    monkeypatch: pytest.MonkeyPatch, server: RunningServer, url: str, name: str, moment: str
) -> None:
    flaky = Flaky(monkeypatch)

    async def main() -> None:
        async with AsyncCurriculum.open(url, name, config_of()) as curriculum:
            (task_id, *_) = await curriculum.task_ids()
            await curriculum.update_task_performance(task_id, 0.0)  # the server knows the script
            for n in range(1, 11):
                with flaky.stopping(moment), pytest.raises(asyncio.CancelledError):
                    await curriculum.update_task_performance(task_id, n / 64)
                _uncancel()
                outcome = await curriculum.update_task_performance(task_id, n / 64)
                assert outcome in (Outcome.APPLIED, Outcome.DUPLICATE)
                record = await curriculum.get_task_stats(task_id)
                assert record is not None
                assert record.completion_count == 1 + n
                assert record.total_score == sum(range(1, n + 1)) / 64
            assert flaky.stopped == 10
            assert await curriculum.check() == []

    asyncio.run(main())


def _uncancel() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()


def test_a_cancelled_draw_made_again_is_the_same_draw(
    monkeypatch: pytest.MonkeyPatch, url: str, name: str
) -> None:
    flaky = Flaky(monkeypatch)

    async def main() -> None:
        async with AsyncCurriculum.open(url, name, config_of()) as curriculum:
            await curriculum.get_task()
            with flaky.stopping("applied"), pytest.raises(asyncio.CancelledError):
                await curriculum.get_tasks(7)
            _uncancel()
            drawn = Counter(task.task_id for task in await curriculum.get_tasks(7))
            records = [await curriculum.get_task_stats(i) for i in await curriculum.task_ids()]
            assert sum(r.sample_count for r in records if r) == 8
            assert drawn.total() == 7

    asyncio.run(main())


@in_loop
async def test_a_storm_of_cancellations_leaves_whole_counts(
    server: RunningServer, url: str, name: str
) -> None:
    """Each worker repeats its call until it is answered, whoever cancels it meanwhile."""
    async with AsyncCurriculum.open(url, name, config_of(4)) as curriculum:
        (task_id, *_) = await curriculum.task_ids()

        async def report(i: int) -> None:
            for n in range(20):
                patience_s = 0.0001
                while True:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(patience_s):
                            await curriculum.update_task_performance(task_id, (i + n) % 64 / 64)
                        break
                    patience_s *= 2

        await asyncio.gather(*(report(i) for i in range(10)))
        record = await curriculum.get_task_stats(task_id)
        assert record is not None
        assert record.completion_count == 200
        assert record.total_score == sum((i + n) % 64 for i in range(10) for n in range(20)) / 64
        assert await curriculum.check() == []


@in_loop
async def test_a_cancelled_open_leaves_no_connection(server: RunningServer, url: str) -> None:
    with server.client() as client:
        before = len(client.client_list())
        for patience_s in (0.0, 0.0005, 0.001, 0.002, 0.004):
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    async with AsyncCurriculum.open(url, "cancelled", config_of(200)):
                        pass
        await asyncio.sleep(0.02)
        assert len(client.client_list()) == before


# --- servers -------------------------------------------------------------------------------------


def free_port() -> int:
    """A port that leaves room for a cluster node's second one, 10,000 above."""
    while True:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = int(found.getsockname()[1])
        if port <= 55_535:
            return port


@asynccontextmanager
async def listening(directory: Path, *config: str) -> AsyncIterator[tuple[RunningServer, int]]:
    port = free_port()
    with redis_server(directory, config=["--port", str(port), *config]) as running:
        yield running, port


async def plays(url: str) -> None:
    """A short life of a curriculum; every reply comes from that server."""
    async with AsyncCurriculum.open(url, "life", config_of()) as curriculum:
        assert len(await session(curriculum)) > 10


@in_loop
async def test_a_port(tmp_path: Path) -> None:
    async with listening(tmp_path) as (_, port):
        await plays(f"redis://127.0.0.1:{port}/3")


@in_loop
async def test_a_cluster(tmp_path: Path) -> None:
    async with listening(tmp_path, "--cluster-enabled", "yes") as (running, port):
        with running.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
            while "cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
                time.sleep(0.02)  # noqa: ASYNC251 - nothing else is on the loop
        await plays(f"redis+cluster://127.0.0.1:{port}")


@in_loop
async def test_a_sentinel(tmp_path: Path) -> None:
    sentinel = free_port()
    async with listening(tmp_path) as (_, port):
        written = tmp_path / "sentinel" / "sentinel.conf"
        written.parent.mkdir()
        lines = [f"port {sentinel}", f"sentinel monitor mine 127.0.0.1 {port} 1"]
        written.write_text("\n".join([*lines, f"dir {written.parent}", "protected-mode no"]))
        words = ("redis-server", str(written), "--sentinel")
        with (tmp_path / "sentinel.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(*words, stdout=log, stderr=log)
        try:
            await _accepts(sentinel)
            await plays(f"redis+sentinel://127.0.0.1:{sentinel}/mine")
        finally:
            process.kill()
            await process.wait()


async def _accepts(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.02)


@in_loop
async def test_an_embedded_server(tmp_path: Path) -> None:
    await plays(f"embedded://{tmp_path / 'embedded'}")


@in_loop
async def test_a_killed_server_comes_back(tmp_path: Path) -> None:
    with redis_server(tmp_path, config=["--appendonly", "yes", "--appendfsync", "always"]) as own:
        async with AsyncCurriculum.open(own.url, "back", config_of()) as curriculum:
            task = await curriculum.get_task()
            own.kill()

            async def start_later() -> None:
                await asyncio.sleep(0.1)
                own.start(wait=False)

            starting = asyncio.create_task(start_later())
            outcome = await curriculum.update_task_performance(task.task_id, 0.5)
            await starting
            assert outcome is Outcome.APPLIED


@in_loop
async def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    settings = WorkerSettings(timeout_s=2.0, retry_deadline_s=0.0)
    with redis_server(tmp_path) as own:
        async with AsyncCurriculum.open(own.url, "mute", config_of(), worker=settings) as handle:
            task = await handle.get_task()
            own.send(19)  # SIGSTOP
            with pytest.raises(ServerUnavailableError) as caught:
                await handle.update_task_performance(task.task_id, 0.5)
            assert caught.value.applied == "unknown"
            own.send(18)  # SIGCONT
            outcome = await handle.update_task_performance(task.task_id, 0.5)
            record = await handle.get_task_stats(task.task_id)
            assert outcome in (Outcome.APPLIED, Outcome.DUPLICATE)
            assert record is not None
            assert record.completion_count == 1


# --- the handle ----------------------------------------------------------------------------------


@in_loop
async def test_open_is_awaited_or_entered(url: str, name: str) -> None:
    curriculum = await AsyncCurriculum.open(url, name, config_of())
    assert name in repr(curriculum)
    async with curriculum, AsyncCurriculum.open(url, name) as other:
        assert other.config == curriculum.config
        assert other.worker_id != curriculum.worker_id
    with pytest.raises(CurriculumError, match="closed"):
        await curriculum.get_task()
    await curriculum.close()
    with pytest.raises(TypeError, match="event loop"):
        pickle.dumps(curriculum)


@in_loop
async def test_what_open_refuses(url: str, name: str) -> None:
    with pytest.raises(CurriculumNotFoundError):
        await AsyncCurriculum.open(url, name)
    async with AsyncCurriculum.open(url, name, config_of()) as curriculum:
        with pytest.raises(InvalidInputError, match="count"):
            await curriculum.get_tasks(0)
        with pytest.raises(InvalidInputError, match="results"):
            await curriculum.update_many([])


@in_loop
async def test_snapshot_and_restore(url: str, name: str, tmp_path: Path) -> None:
    async with AsyncCurriculum.open(url, name, config_of()) as curriculum:
        for _ in range(5):
            task = await curriculum.next_task()
            await curriculum.update_task_performance(task.task_id, 0.5)
        info = await curriculum.snapshot(tmp_path / "run.rcs")
        ids = await curriculum.task_ids()
        following = [task.task_id for task in await curriculum.get_tasks(9)]
    async with AsyncCurriculum.restore(info.path, url, f"{name}-2") as again:
        assert await again.task_ids() == ids
        assert [task.task_id for task in await again.get_tasks(9)] == following
