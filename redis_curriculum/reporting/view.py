"""What a live view shows: one reading of a curriculum, and a thread that repeats it.

Reads only: nobody becomes a worker, and the ``viewer`` of ``redis-curriculum acl`` may do it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store.store import Store
from redis_curriculum._store.workers import WorkerRow, workers
from redis_curriculum.errors import CurriculumError
from redis_curriculum.reporting.epochs import EpochReport, epoch_report
from redis_curriculum.reporting.events import Event, events
from redis_curriculum.reporting.stats import Census, read_census

T = TypeVar("T")

LATEST_EVENTS: Final = 200
"""So many events are read each time."""
REST: Final = 3.0
"""A reader waits at least so many times as long as its last reading took, for the server's sake."""


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a curriculum; its parts may see different moments."""

    now_ms: int
    """By the server's clock."""
    capacity: int
    census: Census
    report: EpochReport
    """The current epoch so far, with its alerts."""
    workers: list[WorkerRow]
    events: list[Event]
    """The latest, the oldest of them first."""
    trouble: str | None
    """What the task generator said last; None: it makes tasks."""

    @property
    def totals(self) -> dict[str, int]:
        """Lifetime counts over all labels: completions, samples, evictions, failures, created."""
        return {what: sum(by_label.values()) for what, by_label in self.census.counts.items()}


def view(store: Store) -> Plan[View]:
    """Read everything that a live view shows.

    About four round trips per 1,000 tasks, with some eight numbers of each; eight per 500 labels,
    one per 500 workers, and 30. So 10,000 tasks of 1,000 labels are some 100 round trips.
    """
    words = ("HGET", store.server.keys.meta, "generator_trouble")
    trouble = yield from store.server.command(*words)
    census = yield from read_census(store)
    _ = census.probabilities  # computed here, in the thread that reads
    report = yield from epoch_report(store)
    assert report is not None  # noqa: S101 - the current epoch has one
    return View(
        workers=(yield from workers(store.server)),
        events=(yield from events(store, LATEST_EVENTS)),
        now_ms=(yield from store.server.now_ms()),
        capacity=store.config.num_active_tasks,
        census=census,
        report=report,
        trouble=trouble,
    )


def rates(before: View | None, now: View) -> dict[str, float]:
    """Return how often a second each of ``COUNTS`` happened between two views.

    Empty where that cannot be known: there is no earlier view, or a restore has come between.
    """
    if before is None or now.now_ms <= before.now_ms:
        return {}
    seconds = (now.now_ms - before.now_ms) / 1000
    earlier = before.totals
    grown = {what: count - earlier[what] for what, count in now.totals.items()}
    if min(grown.values()) < 0:
        return {}
    return {what: count / seconds for what, count in grown.items()}


def label_rates(before: View | None, now: View, what: str) -> Mapping[str, float]:
    """Return the same of one count, by label."""
    if not rates(before, now) or before is None:
        return {}
    seconds, earlier = (now.now_ms - before.now_ms) / 1000, before.census.counts[what]
    counts = now.census.counts[what].items()
    return {label: (count - earlier.get(label, 0)) / seconds for label, count in counts}


class Drive(Protocol):
    """Runs a plan to its end."""

    def __call__(self, plan: Plan[T], /) -> T: ...


class Reader:
    """Runs plans about one curriculum, one at a time; attaches anew after each error.

    So it goes on once a server is back, once a restore has replaced the state, and once a deleted
    curriculum has been made again.

    Args:
        attach: Returns the store; raises ``CurriculumError``.
        drive: Runs a plan on the connection that belongs to this reader.
    """

    def __init__(self, attach: Callable[[], Store], drive: Drive) -> None:
        self._attach, self._drive = attach, drive
        self._store: Store | None = None
        self._lock = threading.Lock()

    def read(self, plan_of: Callable[[Store], Plan[T]]) -> T:
        """Run a plan to its end; any thread may call this.

        Raises:
            CurriculumError: It failed; the next call attaches again.
        """
        with self._lock:
            try:
                if self._store is None:
                    self._store = self._attach()
                return self._drive(plan_of(self._store))
            except CurriculumError:
                self._store = None
                raise


class Watch(threading.Thread, Generic[T]):
    """Calls ``read`` again and again until ``stop``, and hands its result to ``tell``.

    A daemon: a process ends without waiting for an answer that is under way.

    Args:
        read: Reads once. A ``CurriculumError`` is handed over like a result.
        tell: Takes a result or an error, in this thread.
        interval_s: From one beginning to the next; longer where reading takes long (``REST``).
    """

    def __init__(
        self,
        read: Callable[[], T],
        tell: Callable[[T | CurriculumError], None],
        interval_s: float,
    ) -> None:
        super().__init__(name="redis-curriculum-watch", daemon=True)
        self._read, self._tell, self._interval_s = read, tell, interval_s
        self._over = threading.Event()

    def run(self) -> None:
        """Read until ``stop``."""
        while not self._over.is_set():
            began = time.monotonic()
            try:
                found: T | CurriculumError = self._read()
            except CurriculumError as error:
                found = error
            took = time.monotonic() - began
            if not self._over.is_set():
                self._tell(found)
            self._over.wait(max(self._interval_s - took, REST * took))

    def stop(self) -> None:
        """Read no more; a reading that is under way is given up."""
        self._over.set()


__all__ = ["LATEST_EVENTS", "Reader", "View", "Watch", "label_rates", "rates", "view"]
