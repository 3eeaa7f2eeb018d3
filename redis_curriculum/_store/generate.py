"""Generate the tasks of a config."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from redis_curriculum._store.calls import Argument
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.errors import GeneratorError
from redis_curriculum.tasks.build import build, custom_generators
from redis_curriculum.tasks.ids import task_id_at
from redis_curriculum.tasks.task import encode_params

_FAILING_SPECS: Final = 16


def can_generate(config: CurriculumConfig) -> bool:
    """Whether this process has what the config's generators need."""
    if config.unbound_generators():
        return False
    for custom in custom_generators(config.task_generator):
        try:
            custom.generate(0)
        except GeneratorError:  # its class cannot be imported here
            return False
        except Exception:  # noqa: BLE001, S112 - the class is here; a task that fails is skipped
            continue
    return True


def new_tasks(config: CurriculumConfig, next_index: int, count: int) -> Iterator[Argument]:
    """Generate tasks from ``next_index`` on, as the scripts take them; skip what fails.

    Raises:
        GeneratorError: The generator failed for 16 task ids in a row.
    """
    made, failed, index = 0, 0, next_index
    while made < count:
        task_id = task_id_at(config.seed, index)
        try:
            spec = build(config.task_generator, task_id, config.invariants)
        except GeneratorError:
            failed += 1
            if failed == _FAILING_SPECS:
                raise
        else:
            yield from (index, task_id, spec.label)
            yield encode_params(spec.params)
            made, failed = made + 1, 0
        index += 1
