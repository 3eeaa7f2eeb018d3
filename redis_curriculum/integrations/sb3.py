"""Stable-Baselines3: epochs, figures and checkpoints of a curriculum, by a callback."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final, Protocol

from redis_curriculum._values.libraries import imported, require
from redis_curriculum._values.rules import In, validate_path
from redis_curriculum.errors import InvalidInputError, SnapshotError
from redis_curriculum.reporting import Entry, StatsReporter
from redis_curriculum.reporting.reporter import Reporting

_callbacks: Final = imported("stable_baselines3.common.callbacks", "sb3")
require("stable_baselines3", _callbacks, "BaseCallback", "CheckpointCallback")
require("stable_baselines3", _callbacks.BaseCallback, "init_callback", "on_step", "logger")
require("stable_baselines3", _callbacks.CheckpointCallback, "_checkpoint_path")
_Base: Any = _callbacks.BaseCallback

_COUNT: Final = In("[1, 2**53)")
_ON_SCREEN: Final = (
    *("mean_task_success_rate", "mean_learning_progress", "effective_num_tasks"),
    *("num_active_tasks", "epoch/number", "epoch/completions", "epoch/failures"),
)
"""Figures that the tables on the screen have room for; all others go to files."""


class Trained(Reporting, Protocol):
    """What the callback needs of a curriculum."""

    def snapshot(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Any:
        """Write the whole state to a file."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put a state in the place of the present one."""
        ...


class CurriculumCallback(_Base):  # type: ignore[misc]
    """Ends a curriculum's epochs, logs its figures, and saves it with the model.

    ::

        checkpoint = CheckpointCallback(save_freq=10_000, save_path="checkpoints")
        callback = CurriculumCallback(curriculum, epoch_steps=20_000, checkpoint=checkpoint)
        model.learn(1_000_000, callback=callback)

    Figures have names such as ``curriculum/mean_learning_progress`` under Stable-Baselines3's own
    logger, which writes them with its other values at its next dump, over ``num_timesteps``. The
    tables on the screen show a few of them; TensorBoard, CSV and JSON get all.

    One process ends epochs: the one that calls ``learn``. An epoch costs some 25 round trips.

    Args:
        curriculum: An open curriculum; closing it is the caller's.
        epoch_steps: End an epoch after so many steps of all environments together.
        epoch_rollouts: End one after so many rollouts instead; default: 1.
        labels: Which labels have figures of their own, as in ``Curriculum.stats``.
        checkpoint: A ``CheckpointCallback`` to run; do not pass it to ``learn`` too. With each
            model that it saves, the curriculum's snapshot is written beside it: with
            ``rl_model_500_steps.zip`` goes ``rl_model_curriculum_500_steps.rcs``.
        verbose: As of every callback.

    Raises:
        InvalidInputError: Both ``epoch_steps`` and ``epoch_rollouts`` are given, or a value is no
            count, or ``checkpoint`` is no ``CheckpointCallback``.
    """

    def __init__(
        self,
        curriculum: Trained,
        *,
        epoch_steps: int | None = None,
        epoch_rollouts: int | None = None,
        labels: int | str | None = None,
        checkpoint: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        if epoch_steps is not None and epoch_rollouts is not None:
            raise InvalidInputError("epoch_steps", "given without epoch_rollouts", epoch_steps)
        kind = _callbacks.CheckpointCallback
        if checkpoint is not None and not isinstance(checkpoint, kind):
            raise InvalidInputError("checkpoint", "a CheckpointCallback", checkpoint)
        steps = epoch_steps
        self._steps = None if steps is None else int(_COUNT.require(steps, "epoch_steps"))
        rollouts = 1 if epoch_rollouts is None else epoch_rollouts
        self._rollouts = int(_COUNT.require(rollouts, "epoch_rollouts"))
        self._curriculum = curriculum
        self._checkpoint = checkpoint
        self._reporter = StatsReporter(curriculum, self, labels=labels)
        self._began = 0
        """The step at which the epoch began, or the number of rollouts since."""

    def log(self, entry: Entry) -> None:
        """Record the figures of an epoch; the reporter calls it."""
        for name, value in entry.known().items():
            exclude = () if name in _ON_SCREEN else ("stdout", "log")
            self.logger.record(f"curriculum/{name}", value, exclude=exclude)

    def close(self) -> None:
        """Nothing is held back."""

    def _init_callback(self) -> None:
        if self._checkpoint is not None:
            self._checkpoint.init_callback(self.model)

    def _on_training_start(self) -> None:
        self._began = self.num_timesteps if self._steps else 0
        if self._checkpoint is not None:
            self._checkpoint.on_training_start(self.locals, self.globals)

    def _on_step(self) -> bool:
        if self._steps and self.num_timesteps - self._began >= self._steps:
            self._end_epoch()
            self._began = self.num_timesteps
        return self._save()

    def _on_rollout_end(self) -> None:
        if not self._steps:
            self._began += 1
            if self._began >= self._rollouts:
                self._end_epoch()
                self._began = 0

    def _end_epoch(self) -> None:
        self._reporter.end_epoch(step=self.num_timesteps)

    def _save(self) -> bool:
        checkpoint = self._checkpoint
        if checkpoint is None:
            return True
        goes_on = bool(checkpoint.on_step())
        if checkpoint.n_calls % checkpoint.save_freq == 0:
            path = checkpoint._checkpoint_path("curriculum_", extension="rcs")  # noqa: SLF001
            self._curriculum.snapshot(path, overwrite=True)
        return goes_on


_SAVED: Final = re.compile(r"(.*)_(\d+)_steps(?:\.zip)?")


def restore(curriculum: Trained, checkpoint: str | os.PathLike[str]) -> None:
    """Take a curriculum back to the moment of a model's checkpoint.

    ::

        model = PPO.load("checkpoints/rl_model_500_steps", env=envs)
        restore(curriculum, "checkpoints/rl_model_500_steps")
        model.learn(1_000_000, callback=callback, reset_num_timesteps=False)

    All or nothing, and live workers go on, as with ``Curriculum.load_state_dict``.

    Args:
        curriculum: The open curriculum; its present state is replaced.
        checkpoint: The model's file, with or without ``.zip``.

    Raises:
        InvalidInputError: The name is not like ``rl_model_500_steps``.
        SnapshotError: There is no snapshot beside the model, or it is damaged.
    """
    path = validate_path(checkpoint, "checkpoint")
    found = _SAVED.fullmatch(path.name)
    if found is None:
        raise InvalidInputError("checkpoint", "a file like rl_model_500_steps.zip", checkpoint)
    snapshot: Path = path.with_name(f"{found[1]}_curriculum_{found[2]}_steps.rcs")
    try:
        data = snapshot.read_bytes()
    except OSError as error:
        raise SnapshotError(f"{snapshot} cannot be read: {error.strerror or error}") from error
    curriculum.load_state_dict({"snapshot": data})
