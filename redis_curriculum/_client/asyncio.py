"""The handle for asyncio: the methods of ``Curriculum``, over the same plans."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Generator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from redis_curriculum._client.handle import Handle, checked_count, checked_results, checked_settings
from redis_curriculum._client.open import opening
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.records import TaskRecord
from redis_curriculum._state.check import check
from redis_curriculum._state.export import export
from redis_curriculum._state.file import Progress, SnapshotInfo
from redis_curriculum._state.intake import take_in
from redis_curriculum._state.restore import restoring
from redis_curriculum._store.failures import quarantine, report_failure
from redis_curriculum._store.once import RENEWALS_PER_LEASE
from redis_curriculum._store.store import Store
from redis_curriculum._wire.asyncio import AsyncLink, drive
from redis_curriculum._wire.urls import Address, parse
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.errors import CurriculumError
from redis_curriculum.reporting.epochs import EpochReport, end_epoch, epoch_report
from redis_curriculum.reporting.stats import stats
from redis_curriculum.tasks.outcome import Outcome, Step
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


class AsyncCurriculum(Handle):
    """A ``Curriculum`` for one event loop; every method takes, does and raises what its twin does.

    A handle is one worker with one connection: tasks of the loop may share it, their calls then
    wait for each other. Open several handles to have several calls under way.

    A call may be cancelled at any moment. Whether it was applied is then unknown; made again by
    the same asyncio task it goes on where it stopped and counts nothing twice. (Use
    ``asyncio.timeout``: before Python 3.12 ``wait_for`` makes every call in a task of its own.)

    On the loop's own time run the task generator's ``generate``, and the reading and writing of a
    snapshot's lines, 200 tasks at a time.
    """

    def __init__(self, address: Address, store: Store, link: AsyncLink) -> None:
        super().__init__(address, store)
        self._link = link
        self._lock = asyncio.Lock()
        store.caller = asyncio.current_task

    @classmethod
    def open(
        cls,
        url: str,
        name: str,
        config: CurriculumConfig | None = None,
        *,
        worker: WorkerSettings | None = None,
        generator: TaskGenerator | None = None,
    ) -> Opening[Self]:
        """As ``Curriculum.open``; await it, or ``async with AsyncCurriculum.open(...)``."""

        async def opened() -> Self:
            async with _connecting(url, worker) as (address, settings, link):
                store = await drive(opening(address, name, config, settings, generator), link)
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
        progress: Progress | None = None,
    ) -> Opening[Self]:
        """As ``Curriculum.restore``; await it, or enter it. The file is checked in a thread."""

        async def restored() -> Self:
            intake = await asyncio.to_thread(
                take_in, Path(path), overrides, force=force, shrink=shrink
            )
            async with _connecting(url, worker) as (address, settings, link):
                plan = restoring(
                    address.public, intake, name, settings, replace=replace, progress=progress
                )
                own_name = await drive(plan, link)
                attaching = opening(
                    address, own_name, None, settings, generator, fill=intake.is_to_fill
                )
                store = await drive(attaching, link)
                return cls(address, store, link)

        return Opening(restored())

    # --- playing ---------------------------------------------------------------------------------

    async def get_task(self) -> Task:
        """As ``Curriculum.get_task``."""
        return (await self._run(self._store.play((), 1))).tasks[0]

    async def get_tasks(self, count: int) -> list[Task]:
        """As ``Curriculum.get_tasks``."""
        return (await self._run(self._store.play((), checked_count(count)))).tasks

    async def update_task_performance(self, task_id: int, score: float) -> Outcome:
        """As ``Curriculum.update_task_performance``."""
        return (await self._run(self._store.play([(task_id, score)], 0))).outcomes[0]

    async def update_many(self, results: Iterable[tuple[int, float]]) -> list[Outcome]:
        """As ``Curriculum.update_many``."""
        return (await self._run(self._store.play(checked_results(results), 0))).outcomes

    async def next_task(self, finished: tuple[int, float] | None = None) -> Task:
        """As ``Curriculum.next_task``."""
        results = () if finished is None else (finished,)
        return (await self._run(self._store.play(results, 1))).tasks[0]

    async def next_tasks(self, finished: Iterable[tuple[int, float]], count: int) -> Step:
        """As ``Curriculum.next_tasks``."""
        return await self._run(self._store.play(finished, checked_count(count)))

    async def evict(self, task_id: int) -> Outcome:
        """As ``Curriculum.evict``."""
        return await self._run(self._store.evict(task_id))

    async def set_label(self, task_id: int, label: str) -> Outcome:
        """As ``Curriculum.set_label``."""
        return await self._run(self._store.set_label(task_id, label))

    async def report_failure(
        self, task_id: int, error: BaseException | str, *, permanent: bool = False
    ) -> Outcome:
        """As ``Curriculum.report_failure``."""
        plan = report_failure(self._store, task_id, error, permanent=permanent)
        return await self._run(plan)

    async def end_epoch(self) -> EpochReport:
        """As ``Curriculum.end_epoch``."""
        return await self._run(end_epoch(self._store))

    # --- reading ---------------------------------------------------------------------------------

    async def get_task_stats(self, task_id: int) -> TaskRecord | None:
        """As ``Curriculum.get_task_stats``."""
        return await self._run(self._store.read_one(task_id))

    async def task_ids(self, label: str | None = None) -> list[int]:
        """As ``Curriculum.task_ids``."""
        return await self._run(self._store.task_ids(label))

    async def labels(self) -> dict[str, int]:
        """As ``Curriculum.labels``."""
        return await self._run(self._store.labels())

    async def distribution(self) -> dict[int, float]:
        """As ``Curriculum.distribution``."""
        return await self._run(self._store.distribution())

    async def stats(self) -> dict[str, float]:
        """As ``Curriculum.stats``."""
        return await self._run(stats(self._store))

    async def quarantine(self) -> dict[int, str]:
        """As ``Curriculum.quarantine``."""
        return await self._run(quarantine(self._store))

    async def epoch_report(self, epoch: int | None = None) -> EpochReport | None:
        """As ``Curriculum.epoch_report``."""
        return await self._run(epoch_report(self._store, epoch))

    async def check(self, *, repair: bool = False) -> list[str]:
        """As ``Curriculum.check``."""
        return await self._run(check(self._store, repair=repair))

    async def snapshot(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        keep: int = 0,
        progress: Progress | None = None,
    ) -> SnapshotInfo:
        """As ``Curriculum.snapshot``; cancelled, it leaves the older file as it was."""
        plan = export(self._store, Path(path), overwrite=overwrite, keep=keep, progress=progress)
        return await self._run(plan)

    # --- this worker -----------------------------------------------------------------------------

    async def register(self) -> str:
        """As ``Curriculum.register``."""
        await self._run(self._store.worker.register())
        return self.worker_id

    async def renew_lease(self) -> None:
        """As ``Curriculum.renew_lease``."""
        await self._run(self._store.worker.renew())

    @asynccontextmanager
    async def keeping_lease(self) -> AsyncIterator[None]:
        """As ``Curriculum.keeping_lease``, from a task of the loop."""
        failures = deque[CurriculumError](maxlen=1)

        async def renew() -> None:
            while True:
                await asyncio.sleep(self._store.settings.lease_ms / 1000 / RENEWALS_PER_LEASE)
                failures.clear()
                try:
                    await self.renew_lease()
                except CurriculumError as error:
                    failures.append(error)

        renewing = asyncio.create_task(renew(), name=f"lease of {self.worker_id}")
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])
        if failures:
            raise failures[0]

    async def close(self) -> None:
        """As ``Curriculum.close``."""
        if self._closed or self._pid != os.getpid():
            return
        try:
            await self._run(self._store.worker.leave())
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

    async def _run(self, plan: Plan[T]) -> T:
        self._here()
        async with self._lock:
            self._check_open()
            return await drive(plan, self._link)

    def _begin_anew(self) -> None:
        self._lock = asyncio.Lock()
        self._link = AsyncLink(self._address, self._store.settings.timeout_s)


@asynccontextmanager
async def _connecting(
    url: str, worker: WorkerSettings | None
) -> AsyncIterator[tuple[Address, WorkerSettings, AsyncLink]]:
    """A link for a handle to keep; closed if there will be none."""
    address, settings = parse(url), checked_settings(worker)
    link = AsyncLink(address, settings.timeout_s)
    try:
        yield address, settings, link
    except BaseException:
        await link.close()
        raise
