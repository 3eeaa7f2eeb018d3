"""Gymnasium vector environments that play a curriculum's tasks, one round trip a step at most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from redis_curriculum.envs.assignments import Assignments, TaskSource
from redis_curriculum.envs.episode import INFO_KEY, Played, cut_off
from redis_curriculum.envs.spaces import are_alike
from redis_curriculum.errors import TaskApplyError, shortened
from redis_curriculum.tasks.task import Task

Infos = dict[str, Any]


class CurriculumVectorEnv(VectorWrapper, RecordConstructorArgs):
    """Plays a curriculum's tasks in all sub-environments of a vector environment.

    Works with ``SyncVectorEnv`` and ``AsyncVectorEnv`` in every autoreset mode. Only this process
    talks to the server: all episodes that end in a step are reported, and their successors drawn,
    by one round trip, whatever their number; a step in which none ends costs none.

    Each sub-environment must be a ``TaskEnv``, outside of all wrappers that end episodes: what
    those outside of it end has no result, and the first such episode is an error.

        >>> def make():  # doctest: +SKIP
        ...     return TaskEnv(gymnasium.make("Maze-v0"))
        >>> envs = CurriculumVectorEnv(AsyncVectorEnv([make] * 8), curriculum)  # doctest: +SKIP

    ``infos["curriculum"]`` holds the entries of ``CurriculumEnv``, as Gymnasium's vector
    environments hold any info: an array for each key and a mask ``_key`` of the sub-environments
    it is there for. In the mode SAME_STEP the ended episodes are in
    ``infos["final_info"]["curriculum"]``, and ``infos["curriculum"]`` has those that begin.

    In SAME_STEP a sub-environment starts its next episode before its result has been reported, so
    there its next task is drawn one episode ahead; in the other modes results are seen first.
    Resets in mid-episode, seeds and failing tasks are as in ``CurriculumEnv``. Each failure costs
    one more round trip.

    Args:
        env: The vector environment.
        curriculum: An open curriculum.

    Raises:
        InvalidInputError: ``curriculum`` cannot be used.
        TaskApplyError: The sub-environments are not ``TaskEnv``s or have different spaces. By
            ``reset`` and ``step``: as of ``CurriculumEnv``, or a wrapper outside of a ``TaskEnv``
            ended an episode; all other results are reported before.
        FailingTasksError: By ``reset`` and ``step``: 100 tasks in a row failed in one of them, or
            10 had no score.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], curriculum: TaskSource) -> None:
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, curriculum=curriculum)
        _check(env)
        super().__init__(env)
        self._within_step = env.metadata.get("autoreset_mode") is AutoresetMode.SAME_STEP
        self._assignments = Assignments(curriculum, str(env), env.num_envs, ahead=self._within_step)
        self._handed_out: list[Task | None] = []
        self._is_under_way = np.zeros(env.num_envs, dtype=np.bool_)
        self._failed_resets: dict[int, Played] = {}
        """Tasks that could not be reset, by sub-environment: to be reported."""
        self._to_reset: set[int] = set()
        """Sub-environments that are to be reset with other tasks."""

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, Infos]:
        """Begin episodes, where ``options["reset_mask"]`` says so; one round trip at most."""
        mask = np.full(self.num_envs, (options or {}).get("reset_mask", True))
        for i in map(int, np.flatnonzero(self._is_under_way & mask)):
            self._assignments.abandon(i)
            self._is_under_way[i] = False
        self._settle_resets()
        self._hand_out(self._assignments.current)
        # A copy: the vector environment takes the mask out of it.
        observations, infos = self._base.reset(seed=seed, options=options and dict(options))
        begun = _take(infos)
        self._to_reset -= set(map(int, np.flatnonzero(mask)))
        self._note(begun)
        try:
            self._refuse(set(map(int, np.flatnonzero(mask))) - begun.keys())
            return self._begin(observations, infos, begun, seed)
        finally:
            self._hand_out(self._assignments.upcoming)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, Infos]:
        """Take a step in every sub-environment; one round trip if any episode ended."""
        if not self._assignments.is_full or self._failed_resets or self._to_reset:
            # The server did not answer in the step before, or failing tasks ended it.
            self._begin(None, {}, {}, None)
            self._hand_out(self._assignments.upcoming)
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        self._is_under_way[:] = True
        over = {int(i) for i in np.flatnonzero(terminations | truncations)}
        begun = _take(infos)
        ended_in = infos.get("final_info", {}) if self._within_step else infos
        if self._within_step:
            ended = _take(ended_in)
        else:
            ended = {i: begun.pop(i) for i in over & begun.keys()}
        self._note(begun)
        stray = over ^ (ended.keys() | {i for i, told in begun.items() if told.score is not None})
        if over or begun:
            self._is_under_way[[*over, *begun]] = False
            try:
                reports = self._settle(ended, stray)
                for i, report in reports.items():
                    self._tell(ended_in, i, report)
                failed = [i for i, report in reports.items() if "error" in report]
                rewards, terminations, truncations = cut_off(
                    failed, rewards, terminations, truncations
                )
                observations, infos = self._begin(observations, infos, begun, None)
            finally:
                self._hand_out(self._assignments.upcoming)
        return observations, rewards, terminations, truncations, infos

    def _settle(self, ended: dict[int, Played], stray: set[int]) -> dict[int, dict[str, Any]]:
        """Report what ended; refuse what a wrapper ended that no ``TaskEnv`` knows of."""
        for i in stray:
            self._assignments.abandon(i)
        reports = self._assignments.settle(ended)
        self._refuse(stray)
        return reports

    def _refuse(self, stray: set[int]) -> None:
        if stray:
            raise TaskApplyError(
                f"{self.env}: a wrapper outside of the TaskEnv of sub-environment {min(stray)} ends"
                " episodes (TimeLimit), hides their end or replaces infos, so their results are not"
                " known; TaskEnv belongs outside: TaskEnv(TimeLimit(env, ...)), not"
                " TimeLimit(TaskEnv(env), ...)"
            )

    def _begin(
        self,
        observations: Any,
        infos: Infos,
        begun: dict[int, Played],
        seed: int | list[int | None] | None,
    ) -> tuple[Any, Infos]:
        """Tell of the episodes that began; where a task could not be reset, try others."""
        self._settle_resets()
        while self._to_reset:
            self._hand_out(self._assignments.current)
            mask = np.zeros(self.num_envs, dtype=np.bool_)
            mask[list(self._to_reset)] = True
            observations, again = self._base.reset(seed=seed, options={"reset_mask": mask})
            told = _take(again)
            for i in self._to_reset:
                self._add_info(infos, _entry(again, i), i)
            self._to_reset = set()
            self._note(told)
            begun |= told
            self._settle_resets()
        for i, playing in begun.items():
            self._tell(infos, i, self._assignments.begun(i, playing.task))
        return observations, infos

    def _note(self, begun: Mapping[int, Played]) -> None:
        """Keep which sub-environments could not be reset, whatever happens before it is settled."""
        self._failed_resets |= {i: told for i, told in begun.items() if told.error is not None}

    def _settle_resets(self) -> None:
        """Report tasks that could not be reset, and give every sub-environment its task."""
        failed, self._failed_resets = self._failed_resets, {}
        self._to_reset |= failed.keys()
        self._assignments.settle(failed)

    def _tell(self, infos: Infos, i: int, entries: dict[str, Any]) -> None:
        """Add a sub-environment's entries; its params stay one object, not an array for each."""
        self._add_info(infos, {INFO_KEY: {**entries, "params": None}}, i)
        infos[INFO_KEY]["params"][i] = entries["params"]

    def _hand_out(self, tasks: list[Task | None]) -> None:
        """Put its task into each sub-environment, for the next reset."""
        if tasks != self._handed_out:
            self._base.set_attr("next_task", list(tasks))
            self._handed_out = list(tasks)

    @property
    def _base(self) -> Any:
        """The sync or async environment: only that knows its sub-environments."""
        return self.env.unwrapped


def _check(env: object) -> None:
    if not isinstance(env, VectorEnv):
        remedy = ": wrap it in CurriculumEnv" if isinstance(env, gymnasium.Env) else ""
        raise TaskApplyError(f"{shortened(env)} is no VectorEnv of Gymnasium{remedy}")
    base: Any = env.unwrapped
    known = base.call("has_wrapper_attr", "takes_tasks") if hasattr(base, "call") else [False]
    if not (all(known) and all(base.get_attr("takes_tasks"))):
        raise TaskApplyError(
            f"{env}: the sub-environments cannot be given tasks; wrap each in TaskEnv where it is"
            " made: AsyncVectorEnv([lambda: TaskEnv(gymnasium.make(...))] * 8)"
        )
    for space in ("observation_space", "action_space"):
        first, *others = base.get_attr(space)
        for i, other in enumerate(others, 1):
            if not are_alike(first, other):
                raise TaskApplyError(
                    f"{env}: sub-environment {i} has the {space} {other}, the first one {first};"
                    " any task may come to any of them: pad the spaces to one for all"
                )


def _take(infos: Infos) -> dict[int, Played]:
    """Take out what the sub-environments told, by their numbers."""
    told, there = infos.pop(INFO_KEY, ()), infos.pop(f"_{INFO_KEY}", ())
    return {int(i): told[i] for i in np.flatnonzero(there)}


def _entry(infos: Infos, i: int) -> dict[str, Any]:
    """One sub-environment's info out of those of all."""
    return {
        key: _entry(value, i) if isinstance(value, dict) else value[i]
        for key, value in infos.items()
        if f"_{key}" in infos and infos[f"_{key}"][i]
    }
