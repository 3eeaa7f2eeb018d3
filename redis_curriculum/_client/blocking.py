"""The public handle: one curriculum, as one worker sees it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Self, TypeVar

from redis_curriculum._client.catalogue import Catalogue, connecting
from redis_curriculum._client.exits import close_at_exit, is_closed
from redis_curriculum._client.handle import checked_results, one_result
from redis_curriculum._client.lease import renewing
from redis_curriculum._client.live import Live
from redis_curriculum._client.open import ResumeMode, check_ahead, opening, same_data, server_of
from redis_curriculum._client.reading import Reading
from redis_curriculum._client.saving import Saving
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._state.file import Progress
from redis_curriculum._state.intake import take_in
from redis_curriculum._state.restore import restoring
from redis_curriculum._store.calls import Call
from redis_curriculum._store.play import play_one
from redis_curriculum._store.store import Store
from redis_curriculum._store.write import evict, report_failure, set_label
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.urls import Address, Credentials
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.reporting.epochs import EpochReport, end_epoch
from redis_curriculum.tasks.outcome import Outcome, Result, Step
from redis_curriculum.tasks.task import Task, TaskGenerator

T = TypeVar("T")


class Curriculum(Catalogue, Live, Reading, Saving):
    """A pool of tasks on a server, shared by any number of workers; make one with ``open``.

    Nothing of the pool is kept here: every method asks the server, so what one worker wrote every
    other reads next. A handle is one worker with one connection. Threads may share it: calls that
    draw or report while another one is under way then go together, in one call of the server; other
    calls wait for each other. It pickles (name, URL without password, worker settings) and survives
    ``fork``: in the other process it is a new worker.

    A call that stopped before it returned (at an error whose ``applied`` is ``"unknown"``, or at
    Ctrl-C) may be made again with the same arguments. It goes on where it stopped and counts
    nothing twice. It is a new call in four cases:

    - Another thread or another process makes it.
    - Another call of its kind came between. All calls that report results or draw are one kind;
      ``evict`` and ``set_label`` are one; ``report_failure``, ``add_tasks``, ``remove_tasks``,
      ``set_weights`` and ``end_epoch`` are one each.
    - The worker's lease ended, and ``register`` made this handle a new worker.
    - It had returned: Ctrl-C came later, in the statement that makes the call.
    """

    def __init__(self, address: Address, store: Store, link: DirectLink) -> None:
        super().__init__(address, store)
        self._link = link
        self._begin_locks()
        self._close_at_exit()

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
    ) -> Self:
        """Create the curriculum and fill its pool, or attach to the one of that name.

        Three round trips; three more for a new one, and two for every ``worker.chunk`` tasks of a
        new or empty pool. What a pool lacks otherwise the next draws add. The log (INFO) says which
        of the two it was, and what the curriculum holds. One of an older schema is migrated first,
        which the log says too, in some five round trips per 100 tasks.

        Args:
            url: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://``, ``embedded://`` or
                ``redis+cluster://``; the password may be in ``REDIS_CURRICULUM_PASSWORD`` instead.
            name: 1 to 128 characters of ``A-Z a-z 0-9 _ . - = , / + @ ~ [ ]``.
            config: What to create; None attaches to what is there.
            resume: "allow" creates or attaches, "never" only creates, "must" only attaches.
            worker: How this handle talks to the server.
            generator: Your own generator, where the config cannot rebuild it from its path.
            credentials: Called whenever a connection is made, returns ``(user, password)``. None:
                those of the URL, or of the environment at that time.

        Raises:
            InvalidInputError: An argument breaks a rule; nothing was sent.
            CurriculumNotFoundError: There is none, and no config was given, or resume="must".
            CurriculumExistsError: There is one, and resume="never".
            ConfigMismatchError: ``config`` differs from the stored one; lists every field.
            MigrationError: It is of an older schema, and workers of the older version are live.
            UnsupportedServerError: The server is too old or would drop records.
            ServerError: The server could not be reached or refused.
        """
        with connecting(url, worker, credentials) as (address, settings, link):
            store = drive(opening(address, name, config, settings, generator, resume=resume), link)
            return cls(address, store, link)

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
    ) -> Self:
        """Bring a snapshot back and open it: entirely, or not at all.

        The file is checked to its end first; then the state is staged beside what is there,
        verified, and made current in one step. Some four round trips per 100 tasks. A pool that
        lacked tasks is filled by the next draw, as it would have been; one that grows, at once.

        Args:
            path: The snapshot: a file, or a URL that fsspec knows.
            url: The server, as for ``open``.
            name: The curriculum's name; None: as saved.
            overrides: Config fields by name, bare or dotted, to new values; all others are the
                snapshot's.
            replace: Replace a curriculum of that name; its workers get ``StaleGenerationError``.
            force: Allow overrides of structural fields; noted in the curriculum's event stream
                and in its later snapshots.
            shrink: Allow a smaller ``num_active_tasks``: the tasks of lowest LP go.
            worker: As for ``open``.
            generator: As for ``open``.
            credentials: As for ``open``.
            progress: Called with (tasks done, tasks in all).

        Raises:
            SnapshotError: The file, or the name in use; nothing was changed.
            ConfigMismatchError: An override changes a structural field; lists each.
            InvalidInputError: An override is unknown or breaks a rule.
        """
        intake = take_in(path, overrides, force=force, shrink=shrink)
        name = intake.manifest.name if name is None else name
        with connecting(url, worker, credentials) as (address, settings, link):
            check_ahead(intake.config, settings)
            drive(same_data(intake.config, generator), link)
            server = server_of(address, name, settings)
            plan = restoring(server, address.public, intake, replace=replace, progress=progress)
            drive(plan, link)
            attaching = opening(address, name, None, settings, generator, fill=intake.is_to_fill)
            return cls(address, drive(attaching, link), link)

    # --- playing ---------------------------------------------------------------------------------

    def get_task(self) -> Task:
        """Draw the next task to play; counts as one sample. One round trip.

        Raises:
            EmptyPoolError: There is no task, and no generator makes one in ``retry_deadline_s``.
            GeneratorError: Nor can it: it failed for 16 task ids, or has no more (``Exhausted``).
        """
        return self._call(play_one(self._store, (), 1)).tasks[0]

    def get_tasks(self, count: int, *, distinct: bool = False) -> list[Task]:
        """Draw ``count`` (1 to 1,000,000) tasks. One round trip a chunk.

        Args:
            count: How many.
            distinct: Without replacement, one after the other by the probabilities of those left.
                For what the first round trip leaves, the pool is read (six per 1,000 tasks).

        Raises:
            InvalidInputError: More distinct tasks than the pool may hold; none was drawn.
            EmptyPoolError: There are fewer distinct tasks, and this worker cannot make more. Also
                what ``get_task`` raises.
        """
        return self._call(self._play((), count, distinct)).tasks

    def update_task_performance(self, task_id: int, score: float, **numbers: float) -> Outcome:
        """Report a finished episode's score, within ``config.score_range``. One round trip.

        ``numbers`` are what the algorithm asks for beside the score, by name, such as ``cost``
        where ``DebiasedProgressConfig(cost_aware=True)`` is used; none are asked for by default.

        Returns:
            APPLIED; EVICTED, if the task has left the pool (the score is counted as late);
            DUPLICATE, if a retry found it applied; DEFERRED, if it is delivered later
            (``on_outage="continue"``), as with every call that reports or changes a task.
        """
        result = one_result(task_id, score, numbers)
        return self._call(play_one(self._store, [result], 0)).outcomes[0]

    def update_many(self, results: Iterable[Result]) -> list[Outcome]:
        """Report (task_id, score) pairs, applied in order; one outcome each.

        Where the algorithm asks for more, a result is (task_id, score, numbers by name). One round
        trip a chunk. Every result is checked before anything is sent.
        """
        return self._call(play_one(self._store, checked_results(results), 0)).outcomes

    def next_task(self, finished: Result | None = None) -> Task:
        """Report a finished episode, if there is one, and draw the next task: one round trip."""
        results = () if finished is None else (finished,)
        return self._call(play_one(self._store, results, 1)).tasks[0]

    def next_tasks(self, finished: Iterable[Result], count: int, *, distinct: bool = False) -> Step:
        """Report any number of finished episodes and draw ``count`` tasks: one round trip a chunk.

        The draws see the results. ``distinct`` is as in ``get_tasks``.
        """
        return self._call(self._play(finished, count, distinct))

    def evict(self, task_id: int) -> Outcome:
        """Take a task out of the pool: APPLIED, or EVICTED if it was not in it. One round trip.

        A worker with a generator puts a new task in its place with its next draw.
        """
        return self._call(evict(self._store, task_id))

    def report_failure(
        self, task_id: int, error: BaseException | str, *, permanent: bool = False
    ) -> Outcome:
        """Say that a task could not be built or run; it is replaced when that happens too often.

        Counted for the task (``failure_count``, ``consecutive_failures``, ``last_error``), its
        label and the epoch. After ``config.algorithm.max_consecutive_failures`` in a row, or at
        once if ``permanent``, the task is evicted and its id kept with the message
        (``quarantine``); this worker puts a new task in its place if it has a generator, else the
        next one that has. Any score resets the row. Scores and averages do not move, unless
        ``config.algorithm.failure_score`` is set: then it is applied like any score.

        One round trip; three when the task is replaced.

        Args:
            task_id: The task.
            error: The exception, or a text; stored as one printable line of up to 500 characters.
            permanent: The task can never work; do not wait for more failures.

        Returns:
            APPLIED; QUARANTINED, if this failure took the task out; EVICTED, if it was not in the
            pool (counted as late); DUPLICATE, if a retry found it applied.
        """
        return self._call(report_failure(self._store, task_id, error, permanent=permanent))

    def end_epoch(self, *, step: int | None = None) -> EpochReport:
        """Close the current epoch, open the next, and return what happened in the closed one.

        For one owner, the trainer: the epoch that is closed is the one this handle believes
        current (``epoch``). Counting goes on all the time, each count falls into one epoch. Nothing
        else resets a counter. Some 25 round trips, more with hundreds of labels.

        The same call, made again after an error, goes on with the epoch it was closing: never
        are two closed, and the step is that of the first call.

        Args:
            step: Your own step (frames, updates, ...), an integer in [0, 2**53), for
                ``EpochReport.step`` and for loggers.

        Raises:
            EpochError: Another trainer has ended that epoch; nothing was closed. ``error.epoch`` is
                the current one, which this handle now knows: its next call closes that.
            ServerUnavailableError: The server does not answer, also if ``on_outage`` is "continue":
                an epoch cannot end without it. The message says how far the call has come. What
                waits for the server is delivered before the epoch is closed.
        """
        return self._call(end_epoch(self._store, step))

    def set_label(self, task_id: int, label: str) -> Outcome:
        """Move a task to another label: APPLIED, or EVICTED if it is not in the pool.

        Its past results stay in the old label's statistics. One round trip.
        """
        return self._call(set_label(self._store, task_id, label))

    # --- this worker -----------------------------------------------------------------------------

    def register(self) -> str:
        """Become a new worker and return its id: after ``WorkerFencedError``. Two round trips.

        A call whose outcome was unknown is a new one from here on: repeated, it may count twice.
        """
        self._drive(self._store.worker.register())
        return self.worker_id

    def renew_lease(self) -> None:
        """Say that this worker is alive, during an episode longer than its lease. One round trip.

        In an outage with ``on_outage="continue"`` that is done when the server is back.

        Raises:
            WorkerFencedError: It is too late.
        """
        self._drive(self._store.backlog.renew(self._store))

    @contextmanager
    def keeping_lease(self) -> Iterator[None]:
        """Renew the lease while an episode that is longer than the lease runs.

        A thread does it. Three renewals per lease, of two round trips each. A call inside
        waits for one that is under way.

        Raises:
            WorkerFencedError: At the end: the lease ended all the same.
            ServerError: At the end: the last renewal failed.
        """
        with renewing(self.renew_lease, self._renewal_s, f"lease of {self.worker_id}"):
            yield

    def close(self) -> None:
        """Say goodbye to the server and close the connection; the curriculum stays."""
        if self._closed or self._pid != os.getpid():
            return
        try:
            self._drive(self._store.leave())
        finally:
            self._closed = True
            is_closed(self)
            self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """What another process needs to attach as a worker of its own; no secrets."""
        return partial(type(self).open, **self._settings()), (self._url_elsewhere, self.name)

    def _call(self, call: Call[T]) -> T:
        self._here()
        unfinished = self._store.unfinished
        call = unfinished.resumed(call)
        try:
            with self._turn:
                answer = self._lead(call) if call.found is None else call.hand_over()
            unfinished.end(call)
            return answer  # Ctrl-C may come before this very line
        except BaseException:
            unfinished.keep(call)
            raise

    def _lead(self, call: Call[T]) -> T:
        """Make a call, and those that wait with it; whoever comes now waits for the next one."""
        with self._lock:
            self._turn = threading.RLock()
            self._check_open()
            return drive(self._plan(call), self._link)

    def _run(self, plan: Plan[T]) -> T:
        return self._drive(self._store.ahead.before(plan, self._store))

    def _drive(self, plan: Plan[T]) -> T:
        self._here()
        with self._lock:
            self._check_open()
            return drive(plan, self._link)

    def _begin_anew(self) -> None:
        self._begin_locks()
        self._link = DirectLink(self._address, self._store.settings.timeout_s)
        self._close_at_exit()

    def _begin_locks(self) -> None:
        self._lock = threading.RLock()
        self._turn = threading.RLock()
        """Held for a call by the first of the threads that came while another one was under way."""

    def _close_at_exit(self) -> None:
        if self._store.settings.prefetch:
            close_at_exit(self)
