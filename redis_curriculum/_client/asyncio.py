"""The handle for asyncio: the methods of ``Curriculum``, over the same plans."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Generator, Iterable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from redis_curriculum._client.catalogue import AsyncCatalogue, connecting_in_loop
from redis_curriculum._client.handle import checked_results, one_result
from redis_curriculum._client.lease import renewing_in_loop
from redis_curriculum._client.live import AsyncLive
from redis_curriculum._client.open import ResumeMode, check_ahead, opening, same_data, server_of
from redis_curriculum._client.reading import AsyncReading
from redis_curriculum._client.saving import AsyncSaving
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._state.file import Progress
from redis_curriculum._state.intake import take_in
from redis_curriculum._state.restore import restoring
from redis_curriculum._store.calls import Call
from redis_curriculum._store.play import play_one
from redis_curriculum._store.store import Store
from redis_curriculum._store.write import evict, report_failure, set_label
from redis_curriculum._wire.asyncio import AsyncLink, drive
from redis_curriculum._wire.urls import Address, Credentials
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.reporting.epochs import EpochReport, end_epoch
from redis_curriculum.tasks.outcome import Outcome, Result, Step
from redis_curriculum.tasks.task import Task, TaskGenerator

T = TypeVar("T")
H = TypeVar("H", bound="AsyncCurriculum")


class Opening(Generic[H]):
    """A handle to come: ``await`` it, or enter it with ``async with``, which also closes it."""

    def __init__(self, opened: Coroutine[Any, Any, H]) -> None:
        self._opened = opened
        self._handle: H | None = None

    def __await__(self) -> Generator[Any, Any, H]:
        return self._opened.__await__()

    async def __aenter__(self) -> H:
        self._handle = await self._opened
        return self._handle

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            await self._handle.close()


class AsyncCurriculum(AsyncCatalogue, AsyncLive, AsyncReading, AsyncSaving):
    """A ``Curriculum`` for one event loop; every method takes, does and raises what its twin does.

    A handle is one worker with one connection. Tasks of the loop may share it: calls that draw or
    report while another one is under way then go together, in one call of the server; other calls
    wait for each other. Open several handles to have several calls under way.

    A call may be cancelled at any moment. Whether it was applied is then unknown; made again by
    the same asyncio task it goes on where it stopped and counts nothing twice. (Use
    ``asyncio.timeout``: before Python 3.12 ``wait_for`` makes every call in a task of its own.)

    A user's own task generator runs in a thread. On the loop's own time run the reading and writing
    of a snapshot's lines, 200 tasks at a time.
    """

    def __init__(self, address: Address, store: Store, link: AsyncLink) -> None:
        super().__init__(address, store)
        self._link = link
        self._lock = asyncio.Lock()
        store.unfinished.caller = asyncio.current_task

    @classmethod
    def open(
        cls,
        url: str,
        name: str,
        config: CurriculumConfig | None = None,
        *,
        resume: ResumeMode = "allow",
        worker: WorkerSettings | None = None,
        generator: TaskGenerator | None = None,
        credentials: Credentials | None = None,
    ) -> Opening[Self]:
        """Create the curriculum and fill its pool, or attach to the one of that name.

        Await it, or enter it: ``async with AsyncCurriculum.open(...) as curriculum`` also closes
        it. Arguments, cost and errors are those of ``Curriculum.open``.
        """

        async def opened() -> Self:
            async with connecting_in_loop(url, worker, credentials) as (address, settings, link):
                plan = opening(address, name, config, settings, generator, resume=resume)
                store = await drive(plan, link)
                return cls(address, store, link)

        return Opening(opened())

    @classmethod
    def restore(
        cls,
        path: str | os.PathLike[str],
        url: str,
        name: str | None = None,
        *,
        overrides: Mapping[str, Any] | None = None,
        replace: bool = False,
        force: bool = False,
        shrink: bool = False,
        worker: WorkerSettings | None = None,
        generator: TaskGenerator | None = None,
        credentials: Credentials | None = None,
        progress: Progress | None = None,
    ) -> Opening[Self]:
        """Bring a snapshot back and open it: entirely, or not at all.

        Await it, or enter it, as ``open``. The file is checked in a thread. Arguments, cost and
        errors are those of ``Curriculum.restore``.
        """

        async def restored() -> Self:
            intake = await asyncio.to_thread(take_in, path, overrides, force=force, shrink=shrink)
            async with connecting_in_loop(url, worker, credentials) as (address, settings, link):
                own_name = intake.manifest.name if name is None else name
                check_ahead(intake.config, settings)
                await drive(same_data(intake.config, generator), link)
                server = server_of(address, own_name, settings)
                plan = restoring(server, address.public, intake, replace=replace, progress=progress)
                await drive(plan, link)
                attaching = opening(
                    address, own_name, None, settings, generator, fill=intake.is_to_fill
                )
                store = await drive(attaching, link)
                return cls(address, store, link)

        return Opening(restored())

    # --- playing ---------------------------------------------------------------------------------

    async def get_task(self) -> Task:
        """Draw the next task to play; counts as one sample. One round trip.

        Raises:
            EmptyPoolError: There is no task, and no generator makes one in ``retry_deadline_s``.
            GeneratorError: Nor can it: it failed for 16 task ids, or has no more (``Exhausted``).
        """
        return (await self._call(play_one(self._store, (), 1))).tasks[0]

    async def get_tasks(self, count: int, *, distinct: bool = False) -> list[Task]:
        """Draw ``count`` (1 to 1,000,000) tasks. One round trip a chunk.

        ``distinct`` draws without replacement, as in ``Curriculum.get_tasks``: each task at most
        once. Raises what that raises.
        """
        return (await self._call(self._play((), count, distinct))).tasks

    async def update_task_performance(
        self, task_id: int, score: float, **numbers: float
    ) -> Outcome:
        """Report a finished episode's score, within ``config.score_range``. One round trip.

        ``numbers`` are what the algorithm asks for beside the score, by name, such as ``cost``
        where ``DebiasedProgressConfig(cost_aware=True)`` is used; none are asked for by default.

        Returns:
            APPLIED; EVICTED, if the task has left the pool (the score is counted as late);
            DUPLICATE, if a retry found it applied.
        """
        result = one_result(task_id, score, numbers)
        return (await self._call(play_one(self._store, [result], 0))).outcomes[0]

    async def update_many(self, results: Iterable[Result]) -> list[Outcome]:
        """Report (task_id, score) pairs, applied in order; one outcome each.

        Where the algorithm asks for more, a result is (task_id, score, numbers by name). One round
        trip a chunk. Every result is checked before anything is sent.
        """
        return (await self._call(play_one(self._store, checked_results(results), 0))).outcomes

    async def next_task(self, finished: Result | None = None) -> Task:
        """Report a finished episode, if there is one, and draw the next task: one round trip."""
        results = () if finished is None else (finished,)
        return (await self._call(play_one(self._store, results, 1))).tasks[0]

    async def next_tasks(
        self, finished: Iterable[Result], count: int, *, distinct: bool = False
    ) -> Step:
        """Report any number of finished episodes and draw ``count`` tasks: one round trip a chunk.

        The draws see the results. ``distinct`` is as in ``get_tasks``.
        """
        return await self._call(self._play(finished, count, distinct))

    async def evict(self, task_id: int) -> Outcome:
        """Take a task out of the pool: APPLIED, or EVICTED if it was not in it. One round trip.

        A worker with a generator puts a new task in its place with its next draw.
        """
        return await self._call(evict(self._store, task_id))

    async def set_label(self, task_id: int, label: str) -> Outcome:
        """Move a task to another label: APPLIED, or EVICTED if it is not in the pool.

        Its past results stay in the old label's statistics. One round trip.
        """
        return await self._call(set_label(self._store, task_id, label))

    async def report_failure(
        self, task_id: int, error: BaseException | str, *, permanent: bool = False
    ) -> Outcome:
        """Say that a task could not be built or run; it is replaced when that happens too often.

        One round trip; three when the task is replaced. Rules, arguments and outcomes are those of
        ``Curriculum.report_failure``: APPLIED, QUARANTINED, EVICTED or DUPLICATE.
        """
        return await self._call(report_failure(self._store, task_id, error, permanent=permanent))

    async def end_epoch(self, *, step: int | None = None) -> EpochReport:
        """Close the current epoch, open the next, and return what happened in the closed one.

        For one owner, the trainer. Some 25 round trips, more with hundreds of labels. Never are
        two epochs closed by one call and its repetitions; the step is that of the first call.

        Raises:
            EpochError: Another trainer has ended that epoch; nothing was closed. The next call
                closes ``error.epoch``, the current one.
        """
        return await self._call(end_epoch(self._store, step))

    # --- this worker -----------------------------------------------------------------------------

    async def register(self) -> str:
        """Become a new worker and return its id: after ``WorkerFencedError``. Two round trips.

        A call whose outcome was unknown is a new one from here on: repeated, it may count twice.
        """
        await self._drive(self._store.worker.register())
        return self.worker_id

    async def renew_lease(self) -> None:
        """Say that this worker is alive, during an episode longer than its lease. One round trip.

        Raises:
            WorkerFencedError: It is too late.
        """
        await self._drive(self._store.backlog.renew(self._store))

    @asynccontextmanager
    async def keeping_lease(self) -> AsyncIterator[None]:
        """Renew the lease while an episode that is longer than the lease runs.

        A task of the loop does it. Three renewals per lease, of two round trips each. A call inside
        waits for one that is under way.

        Raises:
            WorkerFencedError: At the end: the lease ended all the same.
            ServerError: At the end: the last renewal failed.
        """
        name = f"lease of {self.worker_id}"
        async with renewing_in_loop(self.renew_lease, self._renewal_s, name):
            yield

    async def close(self) -> None:
        """Say goodbye to the server and close the connection; the curriculum stays."""
        if self._closed or self._pid != os.getpid():
            return
        try:
            await self._drive(self._store.leave())
        finally:
            self._closed = True
            await self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("an AsyncCurriculum belongs to its event loop; open another one there")

    async def _call(self, call: Call[T]) -> T:
        self._here()
        unfinished = self._store.unfinished
        call = unfinished.resumed(call)
        try:
            async with self._lock:
                if call.found is None:
                    self._check_open()
                    answer = await drive(self._plan(call), self._link)
                else:
                    answer = call.hand_over()
            unfinished.end(call)
            return answer  # Ctrl-C may come before this very line
        except BaseException:
            unfinished.keep(call)
            raise

    async def _run(self, plan: Plan[T]) -> T:
        return await self._drive(self._store.ahead.before(plan, self._store))

    async def _drive(self, plan: Plan[T]) -> T:
        self._here()
        async with self._lock:
            self._check_open()
            return await drive(plan, self._link)

    def _begin_anew(self) -> None:
        self._lock = asyncio.Lock()
        self._link = AsyncLink(self._address, self._store.settings.timeout_s)
