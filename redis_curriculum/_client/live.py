"""What both handles do to a live curriculum: change its settings, follow it over a restore."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Coroutine
from typing import Any, TypeVar

from redis_curriculum._client.handle import Handle
from redis_curriculum._client.open import reopening
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store.configure import Changes, configure
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.tasks.task import TaskGenerator

T = TypeVar("T")


class Live(Handle):
    """The blocking half."""

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


class AsyncLive(Handle):
    """The asyncio half."""

    async def configure(
        self, *, generator: TaskGenerator | None = None, shrink: bool = False, **settings: Any
    ) -> Changes:
        """Change tunable settings, or the task generator, while workers run.

        Two round trips, more where settings change that the indices depend on. Arguments, rules and
        errors are those of ``Curriculum.configure``.
        """
        return await self._run(configure(self._store, _all(settings, generator), shrink=shrink))

    async def reopen(self) -> None:
        """Go on with the state that a restore has put in the place of this handle's.

        For use after ``StaleGenerationError``. Some five round trips. Rules and errors are those of
        ``Curriculum.reopen``.
        """
        self._store = await self._run(reopening(self._address, self._store))

    @abstractmethod
    def _run(self, plan: Plan[T]) -> Coroutine[Any, Any, T]:
        """Run a plan over this handle's link."""


def _all(settings: dict[str, Any], generator: TaskGenerator | None) -> dict[str, Any]:
    """The settings, with the generator among them."""
    if generator is None:
        return settings
    if "task_generator" in settings:
        raise InvalidInputError("generator", "given once, without task_generator", generator)
    return settings | {"task_generator": generator}
