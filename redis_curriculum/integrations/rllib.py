"""RLlib: a curriculum's epochs, figures and checkpoints by a callback; its environments by name.

Env runners are processes of their own. They get the curriculum's URL and name in ``env_config``::

    def make(env_config):
        return environment(gymnasium.make("Maze-v0"), env_config)

    register_env("mazes", make)
    config = (
        PPOConfig()
        .environment("mazes", env_config={"curriculum": {"url": url, "name": "run-42"}})
        .callbacks(CurriculumCallback)
    )

Create the curriculum before: ``Curriculum.open(url, "run-42", curriculum_config)``. A password is
better set in ``REDIS_CURRICULUM_PASSWORD``: RLlib writes ``env_config`` into its checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis_curriculum._client.blocking import Curriculum
from redis_curriculum._values.libraries import imported, require
from redis_curriculum._values.rules import In, validate_flag
from redis_curriculum.envs import CurriculumEnv, EvaluationEnv, evaluation_tasks
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.reporting import Entry, StatsReporter
from redis_curriculum.tasks import Task

_callbacks: Final = imported("ray.rllib.callbacks.callbacks", "rllib")
require("ray", _callbacks, "RLlibCallback")
require("ray", _callbacks.RLlibCallback, "on_algorithm_init", "on_train_result")
_Callback: Any = _callbacks.RLlibCallback

KEY: Final = "curriculum"
"""Where the curriculum is in ``env_config``, in results and in an algorithm's state."""

_COUNT: Final = In("[1, 2**31)")
_STEPS: Final = "num_env_steps_sampled_lifetime"


class _Handles(dict[tuple[str, str], Curriculum]):
    """This process's handles by URL and name; a copy in another process begins without any."""

    def __reduce__(self) -> tuple[type[_Handles], tuple[()]]:
        return type(self), ()


_opened: Final = _Handles()


@dataclass(frozen=True, slots=True)
class _Settings:
    """What ``env_config["curriculum"]`` holds."""

    url: str
    name: str
    evaluation: bool = False
    per_label: int = 1
    epoch_iterations: int = 1
    labels: int | str | None = None


def _settings(env_config: object) -> _Settings:
    given = env_config.get(KEY) if isinstance(env_config, Mapping) else None
    rule = "a dict with url and name, and perhaps evaluation, per_label, epoch_iterations, labels"
    try:
        found = _Settings(**given)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidInputError(f'env_config["{KEY}"]', rule, given) from None
    validate_flag(found.evaluation, "evaluation")
    _COUNT.require(found.epoch_iterations, "epoch_iterations")
    _COUNT.require(found.per_label, "per_label")
    return found


def curriculum_of(env_config: Mapping[str, Any]) -> Curriculum:
    """Return this process's handle of the curriculum that ``env_config["curriculum"]`` names.

    All environments of an env runner share it: one worker, one connection. It is opened by the
    first call (three round trips) and stays open until the process ends.

    Raises:
        InvalidInputError: ``env_config["curriculum"]`` lacks ``url`` or ``name``, or has a key that
            nobody knows.
        CurriculumNotFoundError: Nobody has created it.
    """
    settings = _settings(env_config)
    place = (settings.url, settings.name)
    if place not in _opened:
        _opened[place] = Curriculum.open(*place, resume="must")
    return _opened[place]


def environment(
    env: Any,
    env_config: Mapping[str, Any],
    apply_task: Callable[[Any, Task], Any] | None = None,
    score: Callable[[dict[str, Any]], Any] | None = None,
) -> CurriculumEnv:
    """Wrap a Gymnasium environment for an env runner.

    It becomes a ``CurriculumEnv``. Where ``env_config["curriculum"]["evaluation"]`` is true it
    becomes an ``EvaluationEnv``: it plays ``per_label`` tasks for each label in turn, and reports
    and counts nothing. If the curriculum holds tasks out (``config.held_out``), it plays these.

    Args:
        env: The environment.
        env_config: What RLlib hands to the function that makes environments.
        apply_task: As of ``CurriculumEnv``.
        score: As of ``CurriculumEnv``.
    """
    curriculum = curriculum_of(env_config)
    settings = _settings(env_config)
    if not settings.evaluation:
        return CurriculumEnv(env, curriculum, apply_task, score)
    if curriculum.config.held_out is None:
        tasks = evaluation_tasks(curriculum, settings.per_label)
    else:
        tasks = curriculum.get_eval_tasks(settings.per_label * max(len(curriculum.labels()), 1))
    return EvaluationEnv(env, tasks, apply_task, score)


class CurriculumCallback(_Callback):  # type: ignore[misc]
    """Ends epochs, reports figures, and makes the curriculum a part of the algorithm's checkpoint.

    Pass the class: ``config.callbacks(CurriculumCallback)``. ``env_config["curriculum"]`` names the
    curriculum, and may have

    - ``epoch_iterations``: an epoch ends after so many training iterations (1);
    - ``labels``: which labels have figures of their own, as in ``Curriculum.stats``;
    - ``evaluation``: whether these env runners evaluate, hence do not report (False);
    - ``per_label``: how many tasks of each label an evaluation plays in turn (1).

    The figures are in ``result["curriculum"]``, and in whatever logs results. An epoch's
    step is the number of sampled environment steps.

    ``algorithm.save_to_path()`` writes the curriculum into the checkpoint, as a part of the
    algorithm's state; ``restore_from_path()`` and ``from_checkpoint()`` take it back, all or
    nothing, and env runners go on with it.

    Raises:
        InvalidInputError: When the algorithm is built: the curriculum is not named, or evaluation
            is on and its env runners would report results.
        UnsupportedLibraryError: This version of RLlib lacks a method of an algorithm's checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reporter: StatsReporter | None = None
        self._figures: dict[str, float] = {}
        self._iterations = 0

    def on_algorithm_init(self, *, algorithm: Any, **_: Any) -> None:
        """Attach to the curriculum; join the checkpoint."""
        config = algorithm.config
        settings = _settings(config.env_config)
        curriculum = curriculum_of(config.env_config)
        _refuse_reports(config)
        _join_state(algorithm, curriculum)
        self._every = settings.epoch_iterations
        self._reporter = StatsReporter(curriculum, self, labels=settings.labels)

    def on_train_result(self, *, result: dict[str, Any], **_: Any) -> None:
        """End an epoch, if it is time, and add the latest figures to the result."""
        if self._reporter is None:
            return
        self._iterations += 1
        if self._iterations % self._every == 0:
            steps = result.get(_STEPS)
            self._reporter.end_epoch(step=None if steps is None else int(steps))
        result[KEY] = dict(self._figures)

    def log(self, entry: Entry) -> None:
        """Keep the figures of an epoch for the result; the reporter calls it."""
        self._figures = entry.known()

    def close(self) -> None:
        """Nothing is held back."""


def _join_state(algorithm: Any, curriculum: Curriculum) -> None:
    """Make a curriculum a part of an algorithm's state.

    Raises:
        UnsupportedLibraryError: This version's algorithms have no such state.
    """
    require("ray", algorithm, "get_state", "set_state", "save_to_path", "restore_from_path")
    get_state, set_state = algorithm.get_state, algorithm.set_state

    def get(components: Any = None, *, not_components: Any = None, **options: Any) -> Any:
        state = get_state(components, not_components=not_components, **options)
        if (components is None or KEY in components) and KEY not in (not_components or ()):
            state[KEY] = curriculum.state_dict()
        return state

    def put(state: Mapping[str, Any]) -> None:
        if KEY in state:  # a checkpoint may be older than the callback
            curriculum.load_state_dict(state[KEY])
        set_state({name: part for name, part in state.items() if name != KEY})

    algorithm.get_state, algorithm.set_state = get, put


def _refuse_reports(config: Any) -> None:
    """Refuse evaluation whose env runners would report, sample and count.

    Raises:
        InvalidInputError: It names the setting.
    """
    if not getattr(config, "evaluation_interval", None):
        return
    given = config.evaluation_config or {}
    given = given if isinstance(given, Mapping) else given.to_dict()
    own = given.get("env_config", config.env_config)
    if not _settings(own).evaluation:
        rule = (
            'one whose env_config["curriculum"] has "evaluation": True, since evaluation must not'
            " report results"
        )
        raise InvalidInputError("evaluation_config", rule, own.get(KEY))
