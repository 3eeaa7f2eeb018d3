"""What both handles read: tasks, labels, chances, figures, epochs, events."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Coroutine
from typing import Any, TypeVar

from numpy.typing import NDArray

from redis_curriculum._client.handle import Handle
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.records import TaskRecord
from redis_curriculum._state.check import check
from redis_curriculum._store import read
from redis_curriculum.reporting.epochs import EpochReport, epoch_report, epoch_reports
from redis_curriculum.reporting.events import Event, events
from redis_curriculum.reporting.history import History, history
from redis_curriculum.reporting.plots import picture
from redis_curriculum.reporting.portrait import portrait
from redis_curriculum.reporting.records import LabelRecord, columns, label_records
from redis_curriculum.reporting.stats import stats

T = TypeVar("T")


class Reading(Handle):
    """The blocking half."""

    def get_task_stats(self, task_id: int) -> TaskRecord | None:
        """Return a task's record, or None if it is not in the pool. One round trip."""
        return self._run(read.read_one(self._store, task_id))

    def task_ids(self, label: str | None = None) -> list[int]:
        """Return the ids of the pool's tasks, or of one label's, ascending; in bounded chunks."""
        return self._run(read.task_ids(self._store, label))

    def labels(self) -> dict[str, int]:
        """Return each label's number of active tasks; in bounded chunks."""
        return self._run(read.labels(self._store))

    def distribution(self) -> dict[int, float]:
        """Return each task's probability to be drawn next; they sum to 1.

        Reads the pool in chunks of 500: not one moment while others write.
        """
        return self._run(read.distribution(self._store))

    def stats(self, *, labels: int | str | None = None) -> dict[str, float]:
        """Return every figure of the curriculum by name; the guide on epochs explains each.

        Counts are over the curriculum's life, labels' figures have names such as
        ``pool_composition/<label>``. NaN stands for a mean of nothing. Reads the pool and its
        labels in chunks of 500, some four round trips per 1,000 tasks; resets nothing, and is not
        one moment while others write.

        Args:
            labels: Which labels have figures of their own: a count (those drawn most; 0: none) or
                a pattern such as ``"maze-*"`` (``"*"``: all). None: the 100 drawn most, with one
                ``ManyLabelsWarning`` if there are more. The other figures are of all labels.
        """
        return self._run(stats(self._store, labels))

    def label_stats(self) -> dict[str, LabelRecord]:
        """Return every label's record: tasks, chance to be drawn next, counters, statistics.

        Labels with tasks come first, the likeliest on top. About 12 round trips, and two per 500
        tasks or labels: not one moment while others write.
        """
        return self._run(label_records(self._store))

    def records(self) -> dict[str, NDArray[Any]]:
        """Return all tasks by column: an array of shape (tasks,) for each field, by task id.

        The columns are the fields of ``TaskRecord`` and of its statistics, and ``probability``: the
        chance to be drawn next. Counts, ids and times are int64. Statistics are float64, NaN means
        never. ``label``, ``params`` and ``last_error`` are objects. So
        ``pandas.DataFrame(curriculum.records())`` is a table of the pool.

        About four round trips per 500 tasks: not one moment while others write.
        """
        return self._run(columns(self._store))

    def events(self, count: int = 100) -> list[Event]:
        """Return the latest events, the oldest of them first: what came, went and was changed.

        The stream keeps about ``config.events_retained`` of them. One round trip per 1,000.

        Args:
            count: How many at most, 1 to 1,000,000.
        """
        return self._run(events(self._store, count))

    def history(self, labels: int | str | None = "*") -> History:
        """Return how the labels stood over the curriculum's life, as arrays of times by labels.

        Workers keep it while they play, whether or not anybody ends epochs: a point every 2 s at
        first. Beyond 512 points every second one goes, and the distance doubles; where there are
        hundreds of labels, fewer points are kept (4 MiB in all, but at least 64). A point has the
        1,000 labels drawn most. There is none while more than 10,000 labels are known.

        One round trip per 500 times, and one per 16.

        Args:
            labels: A count (those drawn most) or a pattern, as for ``stats``; "*": all.

        Raises:
            MalformedStateError: Somebody has overwritten what was kept.
        """
        return self._run(history(self._store, labels))

    def plot(self) -> Any:
        """Return pictures of the curriculum: a ``matplotlib.figure.Figure``, yours to save or show.

        Probability and success by label over time, the pool, progress, and where selectivity goes.
        Labels beyond the most drawn are shown as one. Needs the extra ``plot``. About 15 round
        trips for each retained epoch, four per 1,000 tasks.

        Raises:
            MissingLibraryError: Matplotlib is missing.
            CurriculumError: There are no tasks to draw yet.
        """
        return picture(self._run(portrait(self._store)))

    def quarantine(self) -> dict[int, str]:
        """Return the ids of tasks that were taken out for failing, with their last messages.

        At most 1,000 are kept; beyond that any one of them makes room for the next.
        """
        return self._run(read.quarantine(self._store))

    def epoch_report(self, epoch: int | None = None) -> EpochReport | None:
        """Return what happened in an epoch: the current one so far, or one that was closed.

        Reads only, from any process. About 15 round trips, more with hundreds of labels.

        Args:
            epoch: Its number, from 0; None: the current one.

        Returns:
            None for an epoch that has not begun or is older than ``config.epochs_retained``.
        """
        return self._run(epoch_report(self._store, epoch))

    def epochs(self) -> list[EpochReport]:
        """Return the reports of all closed epochs that are retained, the oldest first.

        About 15 round trips for each epoch; ``config.epochs_retained`` says how many there are.
        """
        return self._run(epoch_reports(self._store))

    def check(self, *, repair: bool = False) -> list[str]:
        """Name everything that disagrees in the stored state; [] when every invariant holds.

        Reads the pool in chunks of 100 while workers run: about 3 round trips per 100 tasks, and
        the keys of the whole server once. ``repair`` first rebuilds every index from the records.

        Raises:
            SnapshotRunningError: A snapshot or another check was at work on this curriculum for
                all of ``retry_deadline_s``. A check gives way to a snapshot, then begins anew.
        """
        return self._run(check(self._store, repair=repair))

    @abstractmethod
    def _run(self, plan: Plan[T]) -> T:
        """Run a plan over this handle's link."""


class AsyncReading(Handle):
    """The asyncio half."""

    async def get_task_stats(self, task_id: int) -> TaskRecord | None:
        """Return a task's record, or None if it is not in the pool. One round trip."""
        return await self._run(read.read_one(self._store, task_id))

    async def task_ids(self, label: str | None = None) -> list[int]:
        """Return the ids of the pool's tasks, or of one label's, ascending; in bounded chunks."""
        return await self._run(read.task_ids(self._store, label))

    async def labels(self) -> dict[str, int]:
        """Return each label's number of active tasks; in bounded chunks."""
        return await self._run(read.labels(self._store))

    async def distribution(self) -> dict[int, float]:
        """Return each task's probability to be drawn next; they sum to 1.

        Reads the pool in chunks of 500: not one moment while others write.
        """
        return await self._run(read.distribution(self._store))

    async def stats(self, *, labels: int | str | None = None) -> dict[str, float]:
        """Return every figure of the curriculum by name; the guide on epochs explains each.

        Some four round trips per 1,000 tasks; resets nothing, and is not one moment while others
        write. NaN stands for a mean of nothing. ``labels`` says which labels have figures of their
        own, as in ``Curriculum.stats``.
        """
        return await self._run(stats(self._store, labels))

    async def label_stats(self) -> dict[str, LabelRecord]:
        """Return every label's record: tasks, chance to be drawn next, counters, statistics.

        About 12 round trips, and two per 500 tasks or labels. The order is that of
        ``Curriculum.label_stats``.
        """
        return await self._run(label_records(self._store))

    async def records(self) -> dict[str, NDArray[Any]]:
        """Return all tasks by column: an array of shape (tasks,) for each field, by task id.

        About four round trips per 500 tasks. The columns are those of ``Curriculum.records``.
        """
        return await self._run(columns(self._store))

    async def events(self, count: int = 100) -> list[Event]:
        """Return the latest events, the oldest of them first: what came, went and was changed.

        One round trip per 1,000. ``count`` is 1 to 1,000,000.
        """
        return await self._run(events(self._store, count))

    async def history(self, labels: int | str | None = "*") -> History:
        """Return how the labels stood over the curriculum's life, as arrays of times by labels.

        One round trip per 500 times, and one per 16. What is kept, and ``labels``, are as in
        ``Curriculum.history``.
        """
        return await self._run(history(self._store, labels))

    async def plot(self) -> Any:
        """Return pictures of the curriculum: a ``matplotlib.figure.Figure``, yours to save or show.

        As ``Curriculum.plot``.
        """
        return picture(await self._run(portrait(self._store)))

    async def quarantine(self) -> dict[int, str]:
        """Return the ids of tasks that were taken out for failing, with their last messages.

        At most 1,000 are kept; beyond that any one of them makes room for the next.
        """
        return await self._run(read.quarantine(self._store))

    async def epoch_report(self, epoch: int | None = None) -> EpochReport | None:
        """Return what happened in an epoch: the current one so far, or one that was closed.

        Reads only. About 15 round trips, more with hundreds of labels. ``epoch`` counts from 0;
        None is the current one. Returns None for an epoch that has not begun or is older than
        ``config.epochs_retained``.
        """
        return await self._run(epoch_report(self._store, epoch))

    async def epochs(self) -> list[EpochReport]:
        """Return the reports of all closed epochs that are retained, the oldest first.

        About 15 round trips for each epoch; ``config.epochs_retained`` says how many there are.
        """
        return await self._run(epoch_reports(self._store))

    async def check(self, *, repair: bool = False) -> list[str]:
        """Name everything that disagrees in the stored state; [] when every invariant holds.

        About 3 round trips per 100 tasks, and the keys of the whole server once. ``repair`` first
        rebuilds every index from the records.

        Raises:
            SnapshotRunningError: A snapshot or another check was at work on this curriculum for
                all of ``retry_deadline_s``. A check gives way to a snapshot, then begins anew.
        """
        return await self._run(check(self._store, repair=repair))

    @abstractmethod
    def _run(self, plan: Plan[T]) -> Coroutine[Any, Any, T]:
        """Run a plan over this handle's link."""
