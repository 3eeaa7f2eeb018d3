"""PyTorch: samplers of prompts for ``DataLoader`` and torchdata's ``StatefulDataLoader``.

::

    table = Table(dataset, label="level-{level}")
    config = CurriculumConfig(task_generator=table, algorithm=GroupProgressConfig())
    with Curriculum.open(url, "run-42", config) as curriculum:
        sampler = PromptBatchSampler(curriculum, 32, key="run-42")
        for batch in DataLoader(dataset, batch_sampler=sampler):
            ...
            sampler.update(batch["row"], scores)

Indices are made in the process of the loader; worker processes only fetch what they are told to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from redis_curriculum._values.libraries import imported, require
from redis_curriculum.integrations.prompts import Prompts

_data: Final = imported("torch.utils.data", "torch")
require("torch", _data, "Sampler")
_Sampler: Any = _data.Sampler


class PromptBatchSampler(Prompts, _Sampler):  # type: ignore[misc]
    """Batches of distinct rows, for ``DataLoader(dataset, batch_sampler=sampler)``.

    Arguments, ``update``, ``state_dict`` and ``load_state_dict`` are those of ``Prompts``. One
    ``iter`` is one pass of ``num_batches``; the next one goes on with the next step.
    """

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches of a pass, each drawn when it is asked for: one round trip each."""
        end = self.begin_pass()
        while self.step < end:
            yield self.next_batch()

    def __len__(self) -> int:
        """Return the number of batches in a pass."""
        return self.num_batches


class PromptSampler(Prompts, _Sampler):  # type: ignore[misc]
    """Rows one by one, for ``DataLoader(dataset, batch_size=32, sampler=sampler)``.

    Each ``batch_size`` rows in a row are one batch, hence distinct: give the loader's
    ``batch_size``. All else is that of ``Prompts``.
    """

    def __iter__(self) -> Iterator[int]:
        """Yield the rows of a pass; one round trip for each batch."""
        yield from self.rows(self.begin_pass())

    def __len__(self) -> int:
        """Return the number of rows in a pass."""
        return self.num_batches * self.batch_size
