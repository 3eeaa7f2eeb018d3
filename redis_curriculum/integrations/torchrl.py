"""TorchRL: a curriculum's info as numbers of fixed shape, which a tensordict holds.

TorchRL reads numbers out of each ``info``, and nothing out of a nested dict. Put ``FlatInfo``
around the wrapper, and set the reader that takes what it adds::

    env = GymWrapper(FlatInfo(CurriculumEnv(gymnasium.make("Maze-v0"), curriculum)))
    env.set_info_dict_reader(info_reader())

The tensordict of a step then has the keys of ``KEYS`` under ``"next"``. The episodes that ended are
those where ``curriculum_ended`` is true.
"""

from __future__ import annotations

from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from redis_curriculum._values.libraries import imported, require
from redis_curriculum.envs.episode import INFO_KEY
from redis_curriculum.errors import TaskApplyError
from redis_curriculum.tasks.ids import label_hash

KEYS: Final = {
    "curriculum_task_id": np.int64,
    "curriculum_label_hash": np.int64,
    "curriculum_ended": np.bool_,
    "curriculum_score": np.float64,
    "curriculum_return": np.float64,
    "curriculum_length": np.int64,
}
"""What ``FlatInfo`` adds, with types. Score, return and length are 0 where no episode ended."""


class FlatInfo(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Adds the keys of ``KEYS`` to each ``info``; all else stays as it is.

    ``curriculum_label_hash`` stands for the label: ``redis_curriculum.tasks.label_hash(label)``.

    Args:
        env: A ``CurriculumEnv``, or an environment around one.

    Raises:
        TaskApplyError: By ``reset``: the info has no key ``curriculum``.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._task = (0, 0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        if INFO_KEY not in info:
            raise TaskApplyError(f"{self.env}: no info of a curriculum; wrap it in CurriculumEnv")
        return observation, self._flat(info)

    def step(self, action: Any) -> Any:
        """Take a step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, self._flat(info)

    def _flat(self, info: dict[str, Any]) -> dict[str, Any]:
        own = info.get(INFO_KEY, {})
        if own:
            self._task = own["task_id"], label_hash(own["label"])
        has_ended = "score" in own
        ended = (own["score"], own["return"], own["length"]) if has_ended else (0, 0, 0)
        values = (*self._task, has_ended, *ended)
        added = zip(KEYS.items(), values, strict=True)
        return {**info, **{name: kind(value) for (name, kind), value in added}}


def info_reader() -> Any:
    """Return a reader for ``set_info_dict_reader``, which takes what ``FlatInfo`` adds.

    Raises:
        MissingLibraryError: TorchRL is not installed.
        UnsupportedLibraryError: This version has no such reader.
    """
    torch, data, envs = (
        imported(name, "torchrl") for name in ("torch", "torchrl.data", "torchrl.envs")
    )
    require("torchrl", envs, "default_info_dict_reader")
    require("torchrl", data, "Unbounded")
    types = {np.int64: torch.int64, np.bool_: torch.bool, np.float64: torch.float64}
    specs = [data.Unbounded((), dtype=types[kind]) for kind in KEYS.values()]
    return envs.default_info_dict_reader(list(KEYS), spec=specs)
