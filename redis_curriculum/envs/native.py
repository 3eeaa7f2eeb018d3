"""Vector environments that are one object, with params for each slot: NumPy, EnvPool, JAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from redis_curriculum.envs.apply import check_function
from redis_curriculum.envs.assignments import Assignments, TaskSource
from redis_curriculum.envs.episode import INFO_KEY, Played, complaint, cut_off, scored
from redis_curriculum.errors import InvalidInputError, TaskApplyError
from redis_curriculum.tasks.task import Task

Infos = dict[str, Any]
ApplyTasks = Callable[[Any, NDArray[np.intp], Sequence[Task]], object]
"""Puts tasks into some slots of an environment: ``apply_tasks(env, indices, tasks)``."""
Scores = Callable[[Infos, int], Any]
"""Makes the score of an episode from the infos of the step that ended it, and its slot."""


class CurriculumNativeVectorEnv(VectorEnv[Any, Any, Any], RecordConstructorArgs):
    """Plays a curriculum's tasks in a vector environment that has no sub-environments.

    Such environments compute all slots at once: what ``gymnasium.make_vec`` makes by default for
    some, EnvPool's, those in JAX. Each slot needs params of its own that ``apply_tasks`` can set.

        >>> def apply_tasks(env, indices, tasks):  # doctest: +SKIP
        ...     env.unwrapped.length[indices] = [task.params["length"] for task in tasks]
        >>> envs = gymnasium.make_vec("CartPole-v1", num_envs=64)  # doctest: +SKIP
        >>> envs = CurriculumNativeVectorEnv(envs, curriculum, apply_tasks)  # doctest: +SKIP

    All episodes that end in a step are reported, and their successors drawn, by one round trip; a
    step in which none ends costs none. ``infos["curriculum"]`` is as of ``CurriculumVectorEnv``.

    ``apply_tasks`` is called before the slots are reset. In the autoreset mode SAME_STEP a slot is
    reset within the step that ends its episode. So there its next task is drawn one episode ahead,
    and what ``apply_tasks`` sets must have no effect before the next reset.

    A reward that is no finite number is handed on as 0. Its episode is played to its end, which is
    then a truncation with reward 0, and is the task's failure, as is one without a score in range.

    Args:
        env: The environment: Gymnasium's ``VectorEnv``, or an object with ``reset`` and ``step``
            that return what such an environment returns.
        curriculum: An open curriculum.
        apply_tasks: ``apply_tasks(env, indices, tasks)``: indices of shape (k,) and k tasks.
        score: ``score(infos, i)`` of slot i; default: the return.
        num_envs: Number of slots, where the environment has no ``num_envs``.
        autoreset_mode: How slots are reset, where ``env.metadata`` does not say; default:
            NEXT_STEP, which is EnvPool's.

    Raises:
        InvalidInputError: An argument cannot be used.
        TaskApplyError: By ``reset`` and ``step``: ``apply_tasks`` raised. Results that were
            reported stay so; the same call applies the same tasks again.
        FailingTasksError: By ``step``: 10 episodes in a row of one slot had no finite score.
    """

    def __init__(
        self,
        env: Any,
        curriculum: TaskSource,
        apply_tasks: ApplyTasks,
        score: Scores | None = None,
        *,
        num_envs: int | None = None,
        autoreset_mode: AutoresetMode | None = None,
    ) -> None:
        RecordConstructorArgs.__init__(
            self, _disable_deepcopy=True, curriculum=curriculum, apply_tasks=apply_tasks
        )
        self.env = env
        self.num_envs = _slots(env, num_envs)
        if apply_tasks is None:
            raise InvalidInputError("apply_tasks", "a function of (env, indices, tasks)", None)
        check_function("apply_tasks", apply_tasks, "env", "indices", "tasks")
        check_function("score", score, "infos", "i")
        self.metadata = dict(getattr(env, "metadata", None) or {})
        mode = self._mode = _mode(self.metadata.get("autoreset_mode"), autoreset_mode)
        self.metadata["autoreset_mode"] = mode
        self._set_spaces(env)
        self._apply_tasks, self._score = apply_tasks, score
        ahead = mode is AutoresetMode.SAME_STEP
        self._assignments = Assignments(curriculum, str(env), self.num_envs, ahead=ahead)
        self._applied: list[Task | None] = [None] * self.num_envs
        self._totals = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)
        self._waits = np.ones(self.num_envs, dtype=np.bool_)
        """Slots that are to be reset: those whose episode has ended, or never began."""

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, Infos]:
        """Begin episodes, where ``options["reset_mask"]`` says so; one round trip at most."""
        mask = np.full(self.num_envs, (options or {}).get("reset_mask", True))
        for i in map(int, np.flatnonzero(mask & (self._lengths > 0) & ~self._waits)):
            self._assignments.abandon(i)
        self._lengths[mask] = 0
        self._assignments.fill()
        self._hand_out(self._assignments.current)
        if isinstance(self.env, VectorEnv):
            observations, infos = self.env.reset(
                seed=seed,  # type: ignore[arg-type]  # its annotation says int, its classes take lists
                options=options and dict(options),
            )
        else:
            observations, infos = self.env.reset()
        self._clear(mask)
        self._begin(mask, infos)
        self._hand_out(self._assignments.upcoming)
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, Infos]:
        """Take a step in every slot; one round trip if any episode ended."""
        if not self._assignments.is_full:  # the server did not answer in the step before
            self._assignments.fill()
        self._hand_out(self._assignments.upcoming)
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        over = np.asarray(terminations, dtype=np.bool_) | np.asarray(truncations, dtype=np.bool_)
        playing = ~self._waits
        self._totals[playing] += np.asarray(rewards, dtype=np.float64)[playing]
        self._lengths[playing] += 1
        if not np.isfinite(rewards).all():  # their totals stay so, and fail at the end
            rewards = np.where(np.isfinite(rewards), rewards, 0)
        ended = {int(i): self._played(int(i), infos) for i in np.flatnonzero(over & playing)}
        within = self._mode is AutoresetMode.SAME_STEP
        begun = over & playing if within else self._waits.copy()
        if self._mode is AutoresetMode.DISABLED:
            begun[:] = False
        self._waits |= over & playing
        self._clear(begun)  # before the report: the server may be gone
        if ended or begun.any():
            ended_in = infos.setdefault("final_info", {}) if within and ended else infos
            failed = self._report(ended, ended_in)
            rewards, terminations, truncations = cut_off(failed, rewards, terminations, truncations)
            self._begin(begun, infos)
            self._hand_out(self._assignments.upcoming)
        return observations, rewards, terminations, truncations, infos

    def render(self) -> Any:
        """Render as the environment does."""
        return self.env.render()

    def close_extras(self, **kwargs: Any) -> None:
        """Close the environment; the curriculum stays open."""
        if hasattr(self.env, "close"):
            self.env.close(**kwargs)

    @property
    def unwrapped(self) -> Any:
        """The innermost environment."""
        return getattr(self.env, "unwrapped", self.env)

    def _played(self, i: int, infos: Infos) -> Played:
        task = self._assignments.current[i]
        assert task is not None  # noqa: S101 - it is being played
        total = float(self._totals[i])
        played, score = Played(task, total, int(self._lengths[i])), self._score
        if not np.isfinite(total):
            what = "a reward of the episode is no finite number"
            error = TaskApplyError(complaint(str(self.env), task, what))
            return replace(played, has_ended=True).failed(error)
        own = None if score is None else lambda infos: score(infos, i)
        return scored(played, own, infos, str(self.env))

    def _report(self, ended: dict[int, Played], infos: Infos) -> list[int]:
        """Report what ended, and tell of it; return the slots whose task failed."""
        reports = self._assignments.settle(ended) if ended else {}
        for i, entries in reports.items():
            self._tell(infos, i, entries)
        return [i for i, entries in reports.items() if "error" in entries]

    def _clear(self, mask: NDArray[np.bool_]) -> None:
        """Some slots have been reset: what is counted there begins anew."""
        self._totals[mask], self._lengths[mask], self._waits[mask] = 0.0, 0, False

    def _begin(self, mask: NDArray[np.bool_], infos: Infos) -> None:
        """Tell of the episodes that begin in some slots."""
        for i in map(int, np.flatnonzero(mask)):
            task = self._assignments.current[i]
            assert task is not None  # noqa: S101 - the slots are full
            self._tell(infos, i, self._assignments.begun(i, task))

    def _tell(self, infos: Infos, i: int, entries: dict[str, Any]) -> None:
        """Add a slot's entries; its params stay one object, not an array for each."""
        self._add_info(infos, {INFO_KEY: {**entries, "params": None}}, i)
        infos[INFO_KEY]["params"][i] = entries["params"]

    def _hand_out(self, tasks: list[Task | None]) -> None:
        """Put its next task into each slot that has another one."""
        changed = [i for i, task in enumerate(tasks) if task is not self._applied[i]]
        if not changed:
            return
        given = [task for i in changed if (task := tasks[i]) is not None]
        try:
            self._apply_tasks(self.env, np.array(changed, dtype=np.intp), given)
        except Exception as error:
            labels = sorted({task.label for task in given})
            raise TaskApplyError(
                f"{self.env}: apply_tasks raised {type(error).__name__}: {error}; it was given the"
                f" slots {changed} and tasks of {', '.join(labels)}",
                task_id=given[0].task_id,
            ) from error
        for i in changed:
            self._applied[i] = tasks[i]

    def _set_spaces(self, env: Any) -> None:
        """Take over the spaces there are; of those of a slot only, make batched ones."""
        for space in ("observation_space", "action_space"):
            own = getattr(env, space, None)
            if own is None:
                continue
            single = getattr(env, f"single_{space}", None)
            setattr(self, f"single_{space}", own if single is None else single)
            setattr(self, space, batch_space(own, self.num_envs) if single is None else own)
        self.spec = getattr(env, "spec", None)
        self.render_mode = getattr(env, "render_mode", None)


def _slots(env: Any, given: int | None) -> int:
    """Return the number of slots.

    Raises:
        InvalidInputError: Nobody says it, the environment says another, or there are
            sub-environments.
    """
    own = getattr(env, "num_envs", None)
    single = isinstance(env, gymnasium.Env) and own is None  # EnvPool's are Env, too
    if single or hasattr(getattr(env, "unwrapped", env), "envs"):
        rule = "one without sub-environments; CurriculumEnv and CurriculumVectorEnv take the others"
        raise InvalidInputError("env", rule, env)
    found = own if given is None else given
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise InvalidInputError("num_envs", "the number of slots", found)
    if isinstance(own, int) and found != own:
        raise InvalidInputError("num_envs", f"{own}, as the environment says", found)
    return found


def _mode(own: Any, given: Any) -> AutoresetMode:
    """Return how slots are reset: as the environment says, else as given, else NEXT_STEP.

    Raises:
        InvalidInputError: It is no ``AutoresetMode``, or the environment says another.
    """
    found = (own or AutoresetMode.NEXT_STEP) if given is None else given
    if not isinstance(found, AutoresetMode):
        raise InvalidInputError("autoreset_mode", "an AutoresetMode of Gymnasium", found)
    if own not in (None, found):
        raise InvalidInputError("autoreset_mode", f"{own}, as the environment says", found)
    return found
