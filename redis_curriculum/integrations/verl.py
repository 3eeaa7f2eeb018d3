"""verl: a sampler of prompts for ``data.sampler``, with the interface that verl calls.

In verl's config::

    data:
      train_batch_size: 256
      dataloader_num_workers: 0
      sampler:
        class_path: pkg://redis_curriculum.integrations.verl
        class_name: CurriculumSampler
        curriculum: {url: "redis://localhost:6379/0", name: run-42}

verl makes the sampler in the process that drives the training. Set a password in
``REDIS_CURRICULUM_PASSWORD``: verl logs its config.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis_curriculum._values.libraries import imported, require
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.integrations.prompts import opened
from redis_curriculum.integrations.torch import PromptSampler
from redis_curriculum.tasks import Table

_samplers: Final = imported("verl.experimental.dataset.sampler", "verl")
require("verl", _samplers, "AbstractCurriculumSampler")
_Base: Any = _samplers.AbstractCurriculumSampler


@dataclass(frozen=True, slots=True)
class _Settings:
    """What ``data.sampler.curriculum`` holds."""

    url: str
    name: str
    label: str = "table"
    key: str | None = None
    skip_right: int = 0
    skip_wrong: int = 0
    success: float = 1.0


class CurriculumSampler(PromptSampler, _Base):  # type: ignore[misc]
    """Draws prompts by a curriculum, and reports the groups of each training batch.

    Each row of the data set needs its own ``extra_info["index"]``: by that a batch's results are
    told apart, wherever verl has moved them. The config's ``data.sampler.curriculum`` has ``url``
    and ``name``, and perhaps ``label`` (a template over the columns, such as ``"{data_source}"``),
    ``key``, ``skip_right``, ``skip_wrong`` and ``success``.

    If there is no curriculum of that name, it is created, with ``GroupProgressConfig``. For other
    settings create it before, with ``Table(dataset.dataframe, ...)`` of the same rows and label.

    ``StatefulDataLoader``, which verl uses, keeps this sampler's state in its checkpoint.

    Args:
        data_source: verl's data set; its rows are those of ``data_source.dataframe``, if it has
            that.
        data_config: The part ``data`` of verl's config.

    Raises:
        InvalidInputError: The config lacks the url or the name, or has a key that nobody knows; a
            row has no index of its own; or as ``Prompts`` says.
    """

    def __init__(self, data_source: Any, data_config: Mapping[str, Any]) -> None:
        given = _settings(data_config)
        data = getattr(data_source, "dataframe", data_source)
        self._rows = _rows_by_index(data)
        table = Table(data, label=given.label, params=[])
        size: Any = data_config.get("gen_batch_size") or data_config.get("train_batch_size")
        with opened(given.url, given.name, table) as curriculum:
            super().__init__(
                curriculum,
                size,
                key=given.key,
                skip_right=given.skip_right,
                skip_wrong=given.skip_wrong,
                success=given.success,
            )

    def update(self, batch: Any) -> Any:  # type: ignore[override]
        """Report the groups of a training batch (``DataProto``); verl calls it after each step.

        A rollout's score is the sum of its ``token_level_scores``.

        Raises:
            InvalidInputError: The batch has no scores, or a prompt that is not of the data set.
        """
        infos = batch.non_tensor_batch.get("extra_info")
        if infos is None or "token_level_scores" not in batch.batch.keys():  # noqa: SIM118 - a TensorDict
            held = [*batch.non_tensor_batch, *batch.batch.keys()]
            rule = "a DataProto with extra_info and token_level_scores"
            raise InvalidInputError("batch", rule, held)
        rows = list[int]()
        for i, info in enumerate(infos):
            index = info.get("index") if isinstance(info, Mapping) else None
            if index not in self._rows:
                where = f"extra_info[{i}].index"
                raise InvalidInputError(where, "that of a row of the data set", index)
            rows.append(self._rows[index])
        scores = batch.batch["token_level_scores"].sum(-1).float().cpu()
        return super().update(rows, scores)


def _settings(data_config: Mapping[str, Any]) -> _Settings:
    sampler = data_config.get("sampler")
    given = None if sampler is None else sampler.get("curriculum")
    try:
        return _Settings(**given)  # type: ignore[arg-type]
    except TypeError:
        rule = "a dict with url and name, and perhaps label, key, skip_right, skip_wrong, success"
        raise InvalidInputError("data.sampler.curriculum", rule, given) from None


def _rows_by_index(data: Any) -> dict[Any, int]:
    """Return where the row of each index is; one pass over the rows."""
    found = dict[Any, int]()
    for row in range(len(data)):
        info = data[row].get("extra_info")
        index = info.get("index") if isinstance(info, Mapping) else None
        if index is None or index in found:
            rule = "there, and another one than in all rows before"
            raise InvalidInputError(f"rows[{row}].extra_info.index", rule, index)
        found[index] = row
    return found
