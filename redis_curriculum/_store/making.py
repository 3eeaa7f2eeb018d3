"""Have the generator make tasks for reserved indices: in a thread, where it may take long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from redis_curriculum._protocol.plan import Plan, Wait
from redis_curriculum._store.calls import Argument
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.errors import Exhausted, GeneratorError, InvalidInputError
from redis_curriculum.tasks.build import built, custom_generators

PATIENCE_S: Final = 0.25
"""So long a draw waits for a generator before it goes on from the pool; a batch takes no longer."""
FAILING_TASKS: Final = 16
_HELD_OUT_TASKS: Final = 1000
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a batch of indices."""

    specs: list[Argument]
    """The tasks, as the scripts take them."""
    through: int
    """The indices below are done with: they have a task, or the generator failed for them."""
    failed: int
    """For how many ids in a row it has failed, up to the last."""
    held_out: int
    """How many tasks in a row were held out, up to the last."""
    trouble: GeneratorError | None
    """Why the generator makes no more: it failed for 16 ids in a row, it has no more, or the last
    1,000 tasks were held out; a table, which has an end, may hold out any number."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Tasks that are being made for indices that this worker has reserved."""

    first: int
    version: int
    """That of the config by which they are made."""
    making: Future[Made]
    began: float


class Maker:
    """What one handle's generator is making: one batch at a time, whoever asks."""

    def __init__(self) -> None:
        self.batch: Batch | None = None
        self.has_warned = False
        self._lock = threading.RLock()  # should Ctrl-C leave it held, its thread goes on
        self._pace_s: float | None = None
        self._last: Made | None = None
        self._pause_s, self._rests_until = _FIRST_PAUSE_S, 0.0

    @property
    def is_resting(self) -> bool:
        """Whether it has made no more lately, so that it is not asked: 1 s, then longer."""
        return time.monotonic() < self._rests_until

    @property
    def is_free(self) -> bool:
        """Whether a new task could be had without waiting for an earlier one."""
        return not self.is_resting and (self.batch is None or self.batch.making.done())

    @property
    def hurries_from(self) -> float:
        """When draws no longer wait for the batch: at once if the last one took long."""
        began = self.batch.began if self.batch else 0.0
        return began if (self._pace_s or 0.0) > PATIENCE_S else began + PATIENCE_S

    def size(self, wish: int, config: CurriculumConfig) -> int:
        """How many indices to reserve at once: no more than can be made in time."""
        if not is_custom(config):
            return wish
        if self._pace_s is None:
            return 1
        return max(1, min(wish, int(PATIENCE_S / max(self._pace_s, 1e-6))))

    def begin(self, config: CurriculumConfig, version: int, first: int, count: int) -> None:
        """Make the tasks of some indices. Ours are made at once, a user's own in a thread."""
        making = _started(partial(self._make, config, first, count), config)
        self.batch = Batch(first, version, making, time.monotonic())

    def made(self) -> Made | None:
        """What the batch has come to; None while it is being made.

        Raises:
            BaseException: What ended the generator's thread, such as SystemExit.
        """
        batch = self.batch
        if batch is None or not batch.making.done():
            return None
        try:
            return batch.making.result()
        except BaseException:
            self.batch = None
            raise

    def go_on(self, version: int) -> None:
        """Let the batch count for another version of the config, by which it would be the same."""
        if self.batch:
            self.batch = replace(self.batch, version=version)

    def rest(self) -> None:
        """Ask for nothing for a minute: all that the generator can make was made."""
        self._rests_until = time.monotonic() + _LONGEST_PAUSE_S

    def end(self, first: object) -> GeneratorError | None:
        """Forget the batch of those indices; return its trouble, and rest after that.

        Each rest is twice as long as the one before.
        """
        made = self.made()
        if made is None or self.batch is None or self.batch.first != first:
            return None
        if made.trouble is not None:
            self._rests_until = time.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        elif made.specs:
            self._pause_s, self.has_warned = _FIRST_PAUSE_S, False
        self.batch = None
        return made.trouble

    def _make(self, config: CurriculumConfig, first: int, count: int) -> Made:
        with self._lock:  # a batch that its call has left may still be at it
            began = time.monotonic()
            made = self._last = _make(config, first, count, before=self._last)
            self._pace_s = (time.monotonic() - began) / max(1, made.through - first)
            return made


def _make(
    config: CurriculumConfig,
    first: int,
    count: int,
    *,
    before: Made | None = None,
    enough: int | None = None,
    patience_s: float = PATIENCE_S,
) -> Made:
    specs, index, streak = list[Argument](), first, first
    failed, held_out = (before.failed, before.held_out) if before else (0, 0)
    left, until = enough or count, time.monotonic() + patience_s
    while index < first + count and left and time.monotonic() < until:
        try:
            task_id = config.task_id_at(index)
            spec, params = built(config.task_generator, task_id, config.invariants)
        except GeneratorError as error:
            failed += 1
            if isinstance(error, Exhausted) or failed >= FAILING_TASKS:
                return Made(specs, streak, 0, 0, error)
        else:
            failed, streak = 0, index + 1
            if not config.holds_out(task_id, spec.label):
                specs += [index, task_id, spec.label, params]
                left, held_out = left - 1, 0
            elif (held_out := held_out + 1) >= _HELD_OUT_TASKS and not config.most_tasks:
                said = f"the last {held_out:,} tasks were all held out"
                return Made(specs, streak, 0, 0, GeneratorError(said))
        index += 1
    return Made(specs, index, failed, held_out, None)


def is_custom(config: CurriculumConfig) -> bool:
    """Whether a user's own code makes tasks, which may take any time."""
    return any(custom_generators(config.task_generator))


def tried_out(config: CurriculumConfig, deadline_s: float) -> Plan[None]:
    """Make one task first: a generator that always fails is for no curriculum.

    It is that of the first index for which the generator does not fail.

    Raises:
        GeneratorError: It fails for 16 ids in a row.
        InvalidInputError: The first 1,000 tasks are all held out.
    """
    tries = config.most_tasks or (FAILING_TASKS if config.held_out is None else _HELD_OUT_TASKS)
    longest_s = max(deadline_s, PATIENCE_S)
    work = partial(_make, config, 0, tries, enough=1, patience_s=longest_s)
    trying = _started(work, config)
    yield Wait(trying, longest_s)
    if not trying.done() or (made := trying.result()).specs:
        return
    if made.trouble and made.through < tries:
        raise made.trouble
    if config.held_out is not None and made.through == tries:
        rule = f"a rule that leaves tasks to train on (the first {tries} are all held out)"
        raise InvalidInputError("held_out", rule, config.held_out)


def _started(work: Callable[[], Made], config: CurriculumConfig) -> Future[Made]:
    future = Future[Made]()
    future.set_running_or_notify_cancel()
    if not is_custom(config):
        future.set_result(work())
        return future

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
            future.set_exception(error)

    context = copy_context()
    threading.Thread(target=context.run, args=(run,), name="task generator", daemon=True).start()
    return future
