"""Tasks that are held out from training: made here, never on the server."""

from __future__ import annotations

from functools import partial
from typing import Final

from redis_curriculum._protocol.plan import InThread, Plan
from redis_curriculum._store.store import Store
from redis_curriculum._values.rules import In, validate_label
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.errors import Exhausted, GeneratorError, InvalidInputError
from redis_curriculum.tasks.build import build
from redis_curriculum.tasks.task import Task

MOST_TRIED: Final = 100_000
"""So many tasks in a row that are not held out, or of another label, end the search."""
_COUNT: Final = In("[1, 1000000]")


def eval_tasks(store: Store, count: object, label: object = None) -> Plan[list[Task]]:
    """Return the first held-out tasks; see ``Curriculum.get_eval_tasks``."""
    number = int(_COUNT.require(count, "count"))
    wanted = None if label is None else validate_label(label)

    def found() -> Plan[list[Task]]:
        yield from store.reload()
        if store.config.held_out is None:
            raise InvalidInputError("held_out", "set in the config", None)
        if not store.can_generate:
            raise GeneratorError(
                "this process has not what makes the tasks; pass generator= when opening"
            )
        tasks: list[Task] = yield InThread(partial(_first, store.config, number, wanted))
        return tasks

    return found()


def _first(config: CurriculumConfig, count: int, label: str | None) -> list[Task]:
    tasks, index, since = list[Task](), 0, 0
    while len(tasks) < count:
        try:
            task_id = config.task_id_at(index)
        except Exhausted:
            break
        spec = build(config.task_generator, task_id, config.invariants)
        since += 1
        if config.holds_out(task_id, spec.label) and label in (None, spec.label):
            tasks.append(Task(task_id, spec.label, spec.params))
            since = 0
        if since == MOST_TRIED:
            break
        index += 1
    if len(tasks) < count:
        what = "held-out tasks" if label is None else f"held-out tasks of label {label!r}"
        where = "the table" if config.most_tasks else f"{index + 1} tasks"
        raise InvalidInputError("count", f"at most {len(tasks)}, the {what} in {where}", count)
    return tasks
