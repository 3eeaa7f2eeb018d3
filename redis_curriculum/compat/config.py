"""The older settings, and what they become."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from redis_curriculum import CurriculumConfig as CoreConfig
from redis_curriculum import LearningProgressConfig as CoreProgress
from redis_curriculum import TaskSpec, UniformConfig
from redis_curriculum.errors import CompatWarning, InvalidInputError

if TYPE_CHECKING:
    from redis_curriculum.compat.curriculum import Curriculum
    from redis_curriculum.scorers import Scorer

_SHARED_MEMORY: Final = "the state lives in Redis, where every process sees it"
_BOUNDED: Final = "memory is bounded by the pool"
_IGNORED: Final = {
    "use_shared_memory": _SHARED_MEMORY,
    "task_struct_size": _SHARED_MEMORY,
    "completion_history_size": _BOUNDED,
    "max_memory_tasks": _BOUNDED,
    "memory": "averages are exponential, no outcomes are kept",
    "max_slice_axes": "figures are by label",
    "enable_detailed_slice_logging": "figures are by label",
    "show_curriculum_troubleshooting_logging": "stats() has all figures",
    "task_default_generator_type": "a task has a label and params",
    "initial_weights": "draws go by what was measured",
    "defer_init": "load_state() replaces the whole pool",
}
"""What has no effect any more, and why."""
_RENAMED: Final = {
    "lp_score_temperature": "temperature",
    "sample_threshold": "min_samples_for_lp",
    "task_default_success_threshold": "success_threshold",
}


def _told(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that mean something, by their names of today; tell of the others."""
    for name in settings.keys() & _IGNORED.keys():
        message = f"{name} has no effect: {_IGNORED[name]}"
        warnings.warn(message, CompatWarning, stacklevel=4)
    kept = {name: value for name, value in settings.items() if name not in _IGNORED}
    return {_RENAMED.get(name, name): value for name, value in kept.items()}


class LearningProgressConfig:
    """Settings of the older algorithm; ``scorer`` is what they become.

    Every setting keeps its name. ``num_active_tasks`` and ``session_id`` are read by
    ``CurriculumConfig`` and ``Curriculum``.

    Raises:
        InvalidInputError: A setting is unknown or breaks a rule.
    """

    type: ClassVar[str] = "learning_progress"

    def __init__(self, **settings: Any) -> None:
        self.num_active_tasks: int | None = settings.pop("num_active_tasks", None)
        self.session_id: str | None = settings.pop("session_id", None)
        settings.pop("type", None)
        self._own = _told(settings)
        self.scorer: Scorer = self._scorer(self._own)

    def evicting_at(self, presentations: int | None) -> Scorer:
        """Return the scorer with the older curriculum's own setting, where that was given."""
        own = {} if presentations is None else {"min_presentations_for_eviction": presentations}
        return self._scorer(own | self._own)

    @classmethod
    def default(cls, num_active_tasks: int = 1000, **settings: Any) -> Self:
        """Return the preset of that name."""
        return cls(num_active_tasks=num_active_tasks, **settings)

    @classmethod
    def stable(cls, num_active_tasks: int = 1000, **settings: Any) -> Self:
        """Return the preset of that name."""
        return cls._preset(CoreProgress.stable(), num_active_tasks, settings)

    @classmethod
    def fast_learning(cls, num_active_tasks: int = 1000, **settings: Any) -> Self:
        """Return the preset of that name."""
        return cls._preset(CoreProgress.fast_learning(), num_active_tasks, settings)

    @classmethod
    def arena_legacy(cls, num_active_tasks: int = 1000, **settings: Any) -> Self:
        """Return the preset of that name."""
        return cls._preset(CoreProgress.arena_legacy(), num_active_tasks, settings)

    @classmethod
    def _preset(cls, preset: CoreProgress, size: int, settings: dict[str, Any]) -> Self:
        usual = CoreProgress()
        own = preset.model_dump(exclude={"kind"})
        own = {name: value for name, value in own.items() if getattr(usual, name) != value}
        return cls(num_active_tasks=size, **(own | settings))

    @staticmethod
    def _scorer(own: dict[str, Any]) -> Scorer:
        least = own.get("min_samples_for_lp", CoreProgress().min_samples_for_lp)
        name = "min_presentations_for_eviction"
        if isinstance(own.get(name), int) and isinstance(least, int) and own[name] < least:
            warnings.warn(
                f"{name} {own[name]} becomes {least}: a task that goes before it has"
                f" min_samples_for_lp {least} results would never be judged",
                CompatWarning,
                stacklevel=4,
            )
            own = own | {name: least}
        return CoreProgress(**own)


class DiscreteRandomConfig(LearningProgressConfig):
    """Draws every task with the same probability."""

    type: ClassVar[str] = "discrete_random"

    @staticmethod
    def _scorer(own: dict[str, Any]) -> Scorer:
        name = "min_presentations_for_eviction"  # nothing is evicted
        return UniformConfig(**{field: value for field, value in own.items() if field != name})


_ALGORITHMS: Final = {kind.type: kind for kind in (LearningProgressConfig, DiscreteRandomConfig)}


class _Former:
    """A task generator with ``get_task(task_id)``, which returns an environment's config."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator

    def generate(self, task_id: int) -> TaskSpec:
        """Make a task: its label is the config's; a dict is kept as params."""
        found = self.env_cfg(task_id)
        if isinstance(found, Mapping):
            return TaskSpec(label=str(found.get("label") or "unknown"), params=dict(found))
        return TaskSpec(label=str(getattr(found, "label", None) or "unknown"), params={})

    def env_cfg(self, task_id: int) -> Any:
        """Make the environment's config, the same for the same task."""
        return self._generator.get_task(task_id)


class CurriculumConfig:
    """The older settings of a curriculum; ``config`` is what they become.

    Args:
        task_generator: An older one (``get_task(task_id)``, or a config with ``create()``), or one
            of ``redis_curriculum.tasks``.
        num_active_tasks: Size of the pool; that of ``algorithm_config`` comes first.
        seed: Decides all draws.
        algorithm_config: One of this module, a dict with its ``type``, or None: uniform draws.
        min_presentations_for_eviction: As there.
        score_range: (lowest, highest) score, which is mapped to [0, 1]. None: [0, 1]. A score
            outside of it counts as the nearest end, with one ``CompatWarning``.
        settings: What else the older class took.

    Raises:
        InvalidInputError: A setting is unknown or breaks a rule.
    """

    def __init__(  # noqa: PLR0917 - as the older class took them
        self,
        task_generator: Any,
        num_active_tasks: int = 1000,
        seed: int = 0,
        algorithm_config: Any = None,
        min_presentations_for_eviction: int | None = None,
        score_range: tuple[float, float] | None = None,
        **settings: Any,
    ) -> None:
        algorithm = algorithm_config
        if isinstance(algorithm, Mapping):
            kind = _ALGORITHMS.get(algorithm.get("type", "learning_progress"))
            if kind is None:
                rule = f"of a type among {', '.join(_ALGORITHMS)}"
                raise InvalidInputError("algorithm_config", rule, algorithm)
            algorithm = kind(**algorithm)
        if algorithm is None:
            algorithm = DiscreteRandomConfig()
        if not isinstance(algorithm, LearningProgressConfig):
            rule = "a LearningProgressConfig or DiscreteRandomConfig of redis_curriculum.compat"
            raise InvalidInputError("algorithm_config", rule, algorithm)
        if unknown := _told(settings):
            raise InvalidInputError("setting", "one that the older system had", *unknown)
        self.algorithm_config = algorithm
        generator = task_generator.create() if hasattr(task_generator, "create") else task_generator
        self.former = None if hasattr(generator, "generate") else _Former(generator)
        self.config = CoreConfig(
            task_generator=self.former or generator,
            num_active_tasks=algorithm.num_active_tasks or num_active_tasks,
            seed=seed,
            score_range=score_range or (0.0, 1.0),
            algorithm=algorithm.evicting_at(min_presentations_for_eviction),
        )

    def make(self) -> Curriculum:
        """Open the curriculum."""
        from redis_curriculum.compat.curriculum import Curriculum

        return Curriculum(self)
