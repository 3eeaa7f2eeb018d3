"""TRL: GRPO whose prompts a curriculum draws.

::

    table = Table(dataset, label="level-{level}")
    config = CurriculumConfig(task_generator=table, algorithm=GroupProgressConfig())
    curriculum = Curriculum.open(url, "run-42", config)
    trainer = CurriculumGRPOTrainer(
        model, reward_funcs=correct, args=args, train_dataset=dataset,
        curriculum=curriculum, key="run-42",
    )
    trainer.train()

With several processes each opens the curriculum and makes its trainer in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from redis_curriculum._client.blocking import Curriculum
from redis_curriculum._values.libraries import imported, require
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.integrations.prompts import Prompts

_data: Final = imported("torch.utils.data", "trl")
_trl: Final = imported("trl", "trl")
require("trl", _trl, "GRPOTrainer")
require("trl", _trl.GRPOTrainer, "_get_train_sampler", "_calculate_rewards")
_Trainer: Any = _trl.GRPOTrainer
_Sampler: Any = _data.Sampler


class _Repeated(_Sampler):  # type: ignore[misc]
    """Rows as the trainer wants them: each batch so often, and in it each row for its rollouts."""

    def __init__(self, prompts: Prompts, rollouts: int, times: int) -> None:
        self.prompts, self.rollouts, self.times = prompts, rollouts, times

    def __iter__(self) -> Iterator[int]:
        end = self.prompts.begin_pass()
        while self.prompts.step < end:
            rows = self.prompts.next_batch()
            for _ in range(self.times):
                for row in rows:
                    yield from [row] * self.rollouts

    def __len__(self) -> int:
        size = self.prompts.batch_size * self.rollouts
        return self.prompts.num_batches * size * self.times


class CurriculumGRPOTrainer(_Trainer):  # type: ignore[misc]
    """A ``GRPOTrainer`` that takes its prompts from a curriculum, and reports their groups.

    Each generation batch is one batch of distinct prompts, the same on all processes. Its rewards,
    as the trainer has gathered them from all processes and weighted them, are reported by the main
    process, a group for each prompt. Rollouts that no reward function has scored are left out.
    Evaluation reports nothing.

    ``prompts`` (``integrations.prompts.Prompts``) has the state for a checkpoint:
    ``trainer.prompts.state_dict(step=trainer.generations)``. Resume with
    ``ignore_data_skip=True``: skipping would draw the batches that were done.

    Args:
        curriculum: An open curriculum whose ``Table`` has the rows of ``train_dataset``.
        key: As of ``Prompts``; with several processes it must be given.
        skip_right: As of ``Prompts``.
        skip_wrong: As of ``Prompts``.
        success: A rollout is a success if its weighted reward is at least that.
        *arguments: As of ``GRPOTrainer``.
        **named: As of ``GRPOTrainer``.

    Raises:
        InvalidInputError: The table has not as many rows as ``train_dataset``, no ``key`` is given
            though there are several processes, or as ``Prompts`` says.
    """

    def __init__(
        self,
        *arguments: Any,
        curriculum: Curriculum,
        key: str | None = None,
        skip_right: int = 0,
        skip_wrong: int = 0,
        success: float = 1.0,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        if key is None and self.accelerator.num_processes > 1:
            rule = f"given, since {self.accelerator.num_processes} processes must draw alike"
            raise InvalidInputError("key", rule, key)
        self.prompts = Prompts(
            curriculum,
            self.args.generation_batch_size // self.num_generations,
            key=key,
            skip_right=skip_right,
            skip_wrong=skip_wrong,
            success=success,
        )
        rows = len(self.train_dataset)
        if rows != self.prompts.table.count:
            rule = f"as long as the curriculum's table, {self.prompts.table.count}"
            raise InvalidInputError("train_dataset", rule, rows)
        self.generations = 0
        """The generation batch whose rewards come next: the step of ``prompts``."""

    def _get_train_sampler(self, dataset: Any = None) -> Any:  # noqa: ARG002 - it is the table's
        self.generations = self.prompts.step
        times = self.num_iterations * self.args.steps_per_generation
        return _Repeated(self.prompts, self.num_generations, times)

    def _calculate_rewards(self, *arguments: Any, **named: Any) -> Any:
        rewards = super()._calculate_rewards(*arguments, **named)
        if self.model.training:
            if self.accelerator.is_main_process:
                weighted = rewards * self.reward_weights.to(rewards.device).unsqueeze(0)
                is_scored = (~weighted.isnan()).any(dim=1).tolist()
                self._report(weighted.nansum(dim=1).tolist(), is_scored)
            self.generations += 1
        return rewards

    def _report(self, scores: list[float], is_scored: list[bool]) -> None:
        rows, size = self.prompts.batch(self.generations), self.num_generations
        if len(scores) != len(rows) * size:
            rule = f"{len(rows) * size}, {size} for each prompt of the generation batch"
            raise InvalidInputError("rewards", rule, len(scores))
        groups = {
            row: [scores[k] for k in range(i * size, (i + 1) * size) if is_scored[k]]
            for i, row in enumerate(rows)
        }
        known = {row: group for row, group in groups.items() if len(group) > 1}
        if known:
            self.prompts.update([*known], [*known.values()])
