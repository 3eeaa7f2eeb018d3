"""What both handles do to a live curriculum: change its settings, follow it over a restore."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from redis_curriculum._client.handle import Handle
from redis_curriculum._client.open import reopening
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store.calls import Call
from redis_curriculum._store.configure import Changes, configure
from redis_curriculum._store.evaluate import eval_tasks
from redis_curriculum._store.given import add_tasks, remove_tasks, set_weight, set_weights
from redis_curriculum._store.keyed import keyed_draw
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.tasks.outcome import Outcome
from redis_curriculum.tasks.task import Task, TaskGenerator

T = TypeVar("T")


class Live(Handle):
    """The blocking half."""

    def get_batch(
        self, key: str, count: int, *, skip_right: int = 0, skip_wrong: int = 0
    ) -> list[int]:
        """Draw a batch of distinct tasks by a key, and return their ids: once, whoever asks.

        For trainers of several processes that must agree: whoever asks with that key gets the same
        ids in the same order, also after a restart, and each task counts as one sample. They are
        drawn without replacement by the probabilities of ``get_tasks``. The server keeps the
        latest 256 batches (fewer if they are larger than 1,024), a snapshot has them too; a key
        that is no longer kept is a new one.

        One round trip a chunk; six more for each 1,000 tasks of the pool, if nearly all of it is
        asked for.

        Args:
            key: 1 to 200 bytes of UTF-8, such as "run-42 step 17".
            count: How many, 1 to 16,384.
            skip_right: Pass over a task of the latest so many other batches (0 to 255) if its last
                score is 1, the greatest.
            skip_wrong: The same where it is 0, the lowest. If too few tasks are left, those that
                would be passed over are drawn all the same.

        Raises:
            InvalidInputError: The batch of that key was first asked for with another ``count``, or
                the pool has fewer tasks; none was drawn.
        """
        return self._call(keyed_draw(key, count, skip_right, skip_wrong))

    def configure(
        self, *, generator: TaskGenerator | None = None, shrink: bool = False, **settings: Any
    ) -> Changes:
        """Change tunable settings, or the task generator, while workers run.

        The change is made entirely or not at all. Every worker goes by the new settings from its
        next call on, without a restart. The event stream keeps the old and the new value of each
        field. Two processes may configure at once: both changes are made, and of one field the
        later stays.

        Tasks that are in the pool stay as they are: a new generator makes those that come.

        Two round trips. Some settings decide where tasks stand in the indices, such as
        ``least_count`` or ``noise_factor``: then one more for every 100 tasks. Calls of
        workers wait meanwhile, and help.

        Args:
            generator: Makes the tasks from now on. A worker that cannot build it (an object that
                its import path does not rebuild) makes no more tasks, with a warning in its log.
            shrink: Allow a smaller ``num_active_tasks``: the tasks of lowest rank go.
            **settings: Tunable fields of the config to values. Names are bare (``temperature``) or
                dotted (``**{"algorithm.temperature": 0.1}``).

        Returns:
            (dotted field, old value, new value) of each field that changed.

        Raises:
            InvalidInputError: A name is unknown, a value breaks a rule, or a field is structural;
                then the message lists the tunable ones. Nothing was changed.
            GeneratorError: The new generator fails for 16 task ids in a row. Nothing was changed.
        """
        return self._run(configure(self._store, _all(settings, generator), shrink=shrink))

    def add_tasks(self, tasks: Iterable[Task | int | Mapping[str, Any]]) -> list[Outcome]:
        """Put given tasks into the pool, while workers play; one outcome each.

        They come on top: the pool may hold more than ``num_active_tasks``, which is what the
        generator keeps there. When one of them leaves, none takes its place. Each begins without
        results, also one that was in the pool before. Everything is checked first; then each chunk
        is added entirely or not at all, with an event ``added``. One round trip for each 500 tasks,
        and one for each chunk.

        Args:
            tasks: ``Task``s of your own. If the config has a ``Table``, also ids of its rows, and
                rows of the same kind (dicts) if the table has a ``key``.

        Returns:
            APPLIED; DUPLICATE, if the pool has that very task, which stays as it is.

        Raises:
            InvalidInputError: A task breaks a rule, is given twice, is held out, differs from the
                one that the pool has under that id, or has no room. Nothing was added.
            GeneratorError: The rows of the table are not in this process.
        """
        return self._call(add_tasks(self._store, tasks))

    def remove_tasks(self, task_ids: Iterable[int]) -> list[Outcome]:
        """Take tasks out of the pool, while workers play; one outcome each.

        As ``evict`` for many: one round trip a chunk. The event stream has an event ``evicted`` for
        each task that left, or one event ``removed`` for a chunk with more than 16 of them. A
        generator fills the pool again, up to ``num_active_tasks``; the rows of a ``Table`` do not
        come back.

        Returns:
            APPLIED; EVICTED, if it was not in the pool; DUPLICATE, if a retry found it applied.

        Raises:
            InvalidInputError: One is no task id; nothing was removed.
        """
        return self._call(remove_tasks(self._store, task_ids))

    def set_weight(self, task_id: int, weight: float) -> Outcome:
        """Multiply the probability of a task by a weight from 0 to 1,000,000. One round trip.

        As ``set_weights`` with one task.
        """
        return self._call(set_weight(self._store, task_id, weight))[0]

    def set_weights(self, weights: Mapping[int, float]) -> list[Outcome]:
        """Multiply the probabilities of tasks by weights, while workers play; one outcome each.

        For what the trainer knows of tasks and the results do not say: a model finds a task
        interesting (OMNI), or its value error is large. With P the probabilities by the algorithm
        and w the weights, a task is drawn with ``P w / sum of P w``. Every task has weight 1 until
        it gets another one, and a task that is added again begins with 1. Of weight 0 it is never
        drawn. Replacements and eviction do not go by weights. Quotas (``label_share``) hold as
        they are; the tasks of a label share its part by their weights.

        One round trip a chunk, with an event ``weighted``. Draws cost more then: a pick is accepted
        with its weight over the largest one, in up to 1,024 + 16 x count trials. If no pick was
        accepted, or if labels have quotas, each call reads the pool to choose: some six round trips
        per 1,000 tasks.

        Args:
            weights: Task ids to weights, each from 0 to 1,000,000. 1 takes a weight back.

        Returns:
            APPLIED; EVICTED, if it is not in the pool; DUPLICATE, if a retry found it applied.

        Raises:
            InvalidInputError: One is no task id or no weight; nothing was set. Draws raise
                ``EmptyPoolError`` while every task has weight 0.
        """
        return self._call(set_weights(self._store, weights))

    def get_eval_tasks(self, count: int, label: str | None = None) -> list[Task]:
        """Return the first ``count`` tasks that are held out (``config.held_out``), of a label.

        They are the same for every caller, and a larger ``count`` begins with those of a smaller
        one. Nothing is sampled, counted or stored: this process makes them, after one round trip
        for the settings. If one in k tasks is held out, k tasks are made for each.

        Raises:
            InvalidInputError: The config holds nothing out, or too little: a table ends, or
                100,000 tasks in a row are no such tasks.
            GeneratorError: The generator fails, or is not in this process.
        """
        return self._run(eval_tasks(self._store, count, label))

    def reopen(self) -> None:
        """Go on with the state that a restore has put in the place of this handle's.

        For use after ``StaleGenerationError``. The handle becomes a new worker and takes over the
        settings that are stored there. What was not reported, and unfinished calls, are given up.
        Some five round trips, and those of ``open`` if the pool is empty.

        Raises:
            CurriculumNotFoundError: There is none of that name any more.
            UnsupportedServerError: It is of another schema.
        """
        self._store = self._run(reopening(self._address, self._store))

    @abstractmethod
    def _run(self, plan: Plan[T]) -> T:
        """Run a plan over this handle's link."""

    @abstractmethod
    def _call(self, call: Call[T]) -> T:
        """Carry a call out, or on."""


class AsyncLive(Handle):
    """The asyncio half."""

    async def get_batch(
        self, key: str, count: int, *, skip_right: int = 0, skip_wrong: int = 0
    ) -> list[int]:
        """Draw a batch of distinct tasks by a key, and return their ids: once, whoever asks.

        Arguments, rules, cost and errors are those of ``Curriculum.get_batch``.
        """
        return await self._call(keyed_draw(key, count, skip_right, skip_wrong))

    async def configure(
        self, *, generator: TaskGenerator | None = None, shrink: bool = False, **settings: Any
    ) -> Changes:
        """Change tunable settings, or the task generator, while workers run.

        Two round trips, more where settings change that the indices depend on. Arguments, rules and
        errors are those of ``Curriculum.configure``.
        """
        return await self._run(configure(self._store, _all(settings, generator), shrink=shrink))

    async def add_tasks(self, tasks: Iterable[Task | int | Mapping[str, Any]]) -> list[Outcome]:
        """Put given tasks into the pool, while workers play; one outcome each.

        Rules, cost, outcomes and errors are those of ``Curriculum.add_tasks``.
        """
        return await self._call(add_tasks(self._store, tasks))

    async def remove_tasks(self, task_ids: Iterable[int]) -> list[Outcome]:
        """Take tasks out of the pool, while workers play; one outcome each.

        Rules, cost, outcomes and errors are those of ``Curriculum.remove_tasks``.
        """
        return await self._call(remove_tasks(self._store, task_ids))

    async def set_weight(self, task_id: int, weight: float) -> Outcome:
        """Multiply the probability of a task by a weight from 0 to 1,000,000. One round trip.

        As ``set_weights`` with one task.
        """
        return (await self._call(set_weight(self._store, task_id, weight)))[0]

    async def set_weights(self, weights: Mapping[int, float]) -> list[Outcome]:
        """Multiply the probabilities of tasks by weights, while workers play; one outcome each.

        One round trip a chunk. Rules, outcomes and errors are those of ``Curriculum.set_weights``.
        """
        return await self._call(set_weights(self._store, weights))

    async def get_eval_tasks(self, count: int, label: str | None = None) -> list[Task]:
        """Return the first ``count`` tasks that are held out (``config.held_out``), of a label.

        They are made in a thread. Rules and errors are those of ``Curriculum.get_eval_tasks``.
        """
        return await self._run(eval_tasks(self._store, count, label))

    async def reopen(self) -> None:
        """Go on with the state that a restore has put in the place of this handle's.

        For use after ``StaleGenerationError``. Some five round trips. Rules and errors are those of
        ``Curriculum.reopen``.
        """
        self._store = await self._run(reopening(self._address, self._store))

    @abstractmethod
    def _run(self, plan: Plan[T]) -> Coroutine[Any, Any, T]:
        """Run a plan over this handle's link."""

    @abstractmethod
    def _call(self, call: Call[T]) -> Coroutine[Any, Any, T]:
        """Carry a call out, or on."""


def _all(settings: dict[str, Any], generator: TaskGenerator | None) -> dict[str, Any]:
    """The settings, with the generator among them."""
    if generator is None:
        return settings
    if "task_generator" in settings:
        raise InvalidInputError("generator", "given once, without task_generator", generator)
    return settings | {"task_generator": generator}
