"""prime-rl: a sampler of an environment's tasks, with the interface of prime-rl's own samplers.

::

    sampler = CurriculumSampler(tasks, "redis://localhost:6379/0", "run-42/math")
    task = next(sampler)
    sampler.observe(group)

prime-rl's orchestrator makes one sampler for each environment. It asks for a task with ``next``,
reports each finished group with ``observe``, and keeps ``state_dict()`` in its checkpoint. Tasks
are told apart by ``Task.key``, which is the same on each machine and in each run. The class
imports nothing of prime-rl: what it needs is what prime-rl hands over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from redis_curriculum._values.rules import In
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.integrations.prompts import MOST_ROWS, Prompts, opened
from redis_curriculum.tasks import Table

_STATE: Final = ("curriculum", "sampler")
_LEAST_ROLLOUTS: Final = 2
_AHEAD: Final = In(f"[1, {MOST_ROWS}]")


class CurriculumSampler(Iterator[Any]):
    """Draws the tasks of one environment by a curriculum, and learns from each finished group.

    If there is no curriculum of that name, it is created, with ``GroupProgressConfig``. For other
    settings create it before, with ``CurriculumSampler.table(tasks, label)``.

    Args:
        tasks: All tasks of the environment. Each has a ``key`` of its own.
        url: The Redis server, as for ``Curriculum.open``.
        name: The curriculum's name: one for each environment.
        label: Returns the label of a task, such as its difficulty. Default: all have one label.
        ahead: So many tasks are drawn in one round trip (1 to 16,384); they are distinct. Results
            count from the next such draw on. If there are fewer tasks, it is their number.
        key: Tells this run's draws from others, as in ``Prompts``.
        skip_right: As in ``Prompts``, counted in draws of ``ahead`` tasks.
        skip_wrong: Likewise.
        success: A rollout is a success if its reward is at least this.

    Raises:
        InvalidInputError: The tasks have no end, there are none, or two have one key; or as
            ``Prompts`` says.
        ConfigMismatchError: The curriculum of that name has other tasks.
    """

    def __init__(
        self,
        tasks: Sequence[Any],
        url: str,
        name: str,
        *,
        label: Callable[[Any], str] | None = None,
        ahead: int = 32,
        key: str | None = None,
        skip_right: int = 0,
        skip_wrong: int = 0,
        success: float = 1.0,
    ) -> None:
        self.tasks = tasks
        table = self.table(tasks, label)
        self._row_of = {task.key: row for row, task in enumerate(tasks)}
        _AHEAD.require(ahead, "ahead")
        with opened(url, name, table) as self.curriculum:
            self._prompts = Prompts(
                self.curriculum,
                min(ahead, len(tasks)),
                key=key,
                skip_right=skip_right,
                skip_wrong=skip_wrong,
                success=success,
            )
        self._rows = self._prompts.rows()
        self._passed_over = 0

    @staticmethod
    def table(tasks: Any, label: Callable[[Any], str] | None = None) -> Table:
        """Return the ``Table`` of these tasks: a row each, whose id comes from the task's key.

        Raises:
            InvalidInputError: The tasks have no end, there are none, or two have one key.
        """
        if not isinstance(tasks, Sequence):  # an iterator, of an environment without an end
            raise InvalidInputError("tasks", "a sequence: a curriculum needs all of them", tasks)
        rows = [
            {"key": getattr(task, "key", None), "label": "tasks" if label is None else label(task)}
            for task in tasks
        ]
        return Table(rows, key="key", label="{label}")

    def __next__(self) -> Any:
        """Return the next task; one round trip for each ``ahead`` of them."""
        return self.tasks[next(self._rows)]

    def observe(self, group: Sequence[Any]) -> None:
        """Report a finished group: the episodes of one task; one round trip.

        Rewards are those of the traces that prime-rl trains on: without an error, of a trainable
        agent. A group with fewer than two of them is passed over and counted in ``metrics()``.

        Raises:
            InvalidInputError: The group is empty, or its task is none of this environment.
        """
        if not group:
            raise InvalidInputError("group", "a list of episodes, not empty", group)
        key = group[0].task.key
        if key not in self._row_of:
            raise InvalidInputError("group[0].task.key", "that of a task of this sampler", key)
        rewards = [
            float(trace.reward)
            for episode in group
            for trace in episode.traces
            if trace.agent.trainable and not trace.has_error
        ]
        if len(rewards) < _LEAST_ROLLOUTS:
            self._passed_over += 1
        else:
            self._prompts.update([self._row_of[key]], [rewards])

    def state_dict(self) -> dict[str, Any]:
        """Return the curriculum and where its draws stand, for prime-rl's checkpoint.

        It holds bytes: a whole snapshot of the curriculum (``Curriculum.state_dict``).
        """
        return {
            "curriculum": self.curriculum.state_dict(),
            "sampler": self._prompts.state_dict(),
        }

    def load_state_dict(self, state_dict: object) -> None:
        """Go back to a state, all or nothing: the next tasks are those that came then.

        Raises:
            InvalidInputError: It is not what ``state_dict()`` returned, or of other tasks.
            SnapshotError: The snapshot in it cannot be read.
        """
        if not isinstance(state_dict, Mapping) or set(state_dict) != {*_STATE}:
            rule = f"what state_dict() returned, with {', '.join(_STATE)}"
            raise InvalidInputError("state_dict", rule, state_dict)
        found: dict[str, Any] = dict(state_dict)
        before = self._prompts.state_dict()
        self._prompts.load_state_dict(found["sampler"])
        try:
            self.curriculum.load_state_dict(found["curriculum"])
        except BaseException:
            self._prompts.load_state_dict(before)
            raise
        self._rows = self._prompts.rows()

    def metrics(self) -> dict[str, float]:
        """Return the curriculum's figures without those of single labels (``Curriculum.stats``).

        Some four round trips per 1,000 tasks. Figures that are not known yet are left out.
        """
        found = {**self.curriculum.stats(labels=0), "groups_passed_over": float(self._passed_over)}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def close(self) -> None:
        """End the worker and close the connection; the curriculum stays."""
        self.curriculum.close()


__all__ = ["CurriculumSampler"]
