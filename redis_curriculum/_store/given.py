"""Put given tasks into the pool, take given ones out, weigh them: a chunk a round trip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.scripts import Script
from redis_curriculum._store.calls import Argument, Call, Write
from redis_curriculum._store.contracts import ADD, EVICT, SET_WEIGHTS
from redis_curriculum._store.store import Store
from redis_curriculum._values.fields import WEIGHT
from redis_curriculum._values.rules import validate_task_id
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.tasks.build import checked_spec
from redis_curriculum.tasks.outcome import Outcome
from redis_curriculum.tasks.table import Table
from redis_curriculum.tasks.task import Task, TaskSpec

MOST_TASKS: Final = 2**20
"""So many tasks a pool holds at most."""


@dataclass(slots=True)
class Batch(Call[list[Outcome]]):
    """Rows to be sent in chunks, each chunk one write."""

    script: Script
    rows: list[tuple[Argument, ...]]
    outcomes: list[Outcome] = field(default_factory=list, init=False, compare=False)
    """Those that are known, in the order of the rows."""

    HEAD: ClassVar[tuple[Argument, ...]] = ()
    """Arguments before the rows."""
    OTHERWISE: ClassVar[Outcome] = Outcome.EVICTED
    """What became of a row that changed nothing."""

    def steps(self, store: Store) -> Plan[list[Outcome]]:
        """One round trip a chunk."""
        while len(self.outcomes) < len(self.rows):
            start = len(self.outcomes)
            chunk = self.rows[start : start + store.settings.chunk]
            if self.write is None:
                words = [word for row in chunk for word in row]
                self.write = Write(self.script, [*self.HEAD, *words])
            repeated, *flags = yield from store.worker.send(self)
            found = [Outcome.APPLIED if flag else self.OTHERWISE for flag in flags]
            self.is_begun = True
            self.outcomes[start:], self.write = (
                [Outcome.DUPLICATE] * len(chunk) if repeated else found,
                None,
            )
        return self.outcomes


@dataclass(slots=True)
class Removal(Batch):
    """Tasks to be taken out of the pool."""


@dataclass(slots=True)
class Weighing(Batch):
    """Weights of tasks to be set."""


@dataclass(slots=True)
class Addition(Batch):
    """Tasks to be put into the pool; those that are there must be the same."""

    HEAD: ClassVar[tuple[Argument, ...]] = (MOST_TASKS,)
    OTHERWISE: ClassVar[Outcome] = Outcome.DUPLICATE

    def steps(self, store: Store) -> Plan[list[Outcome]]:
        """One round trip for each 500 tasks that are looked for, and one a chunk."""
        if not self.is_begun and self.write is None:
            yield from self._compare(store)
        return (yield from Batch.steps(self, store))

    def _compare(self, store: Store) -> Plan[None]:
        """Look at what is there under these ids, before anything is written."""
        keys, size, new = store.server.keys, 0, 0
        for start in range(0, len(self.rows), _LOOK):
            chunk = self.rows[start : start + _LOOK]
            words = [("HMGET", keys.task(int(row[0])), "label", "params") for row in chunk]
            sizes = [("ZCARD", key) for key in (keys.fresh, keys.learning, keys.ripe)]
            *found, fresh, learning, ripe = yield from store.server.commands([*words, *sizes])
            size = fresh + learning + ripe
            for i, ((task_id, *given), stored) in enumerate(zip(chunk, found, strict=True), start):
                if stored[0] is None:
                    new += 1
                elif [text and text.decode(errors="replace") for text in stored] != given:
                    rule = "new, or as the task that the pool has under that id"
                    raise InvalidInputError(f"tasks[{i}]", rule, task_id)
        if size + new > MOST_TASKS:
            rule = f"at most {MOST_TASKS - size} new ones, since a pool holds {MOST_TASKS}"
            raise InvalidInputError("tasks", rule, new)


_LOOK: Final = 500


def add_tasks(store: Store, tasks: object) -> Addition:
    """Put tasks into the pool; see ``Curriculum.add_tasks``."""
    config, rows = store.config, dict[int, tuple[Argument, ...]]()
    for i, given in enumerate(_listed(tasks, "tasks", "tasks, task ids or rows of the table")):
        where = f"tasks[{i}]"
        task_id, spec = _task_of(config, given, where)
        if task_id in rows:
            raise InvalidInputError(where, "another task than those before", task_id)
        try:
            checked, params = checked_spec(spec, config.invariants)
        except InvalidInputError as error:
            raise InvalidInputError(f"{where}.{error.field}", error.rule, error.value) from None
        if config.holds_out(task_id, checked.label):
            raise InvalidInputError(where, "a task that is not held out", task_id)
        rows[task_id] = (task_id, checked.label, params)
    return Addition(store.script(ADD), list(rows.values()))


def remove_tasks(store: Store, task_ids: object) -> Removal:
    """Take tasks out of the pool; see ``Curriculum.remove_tasks``."""
    ids = list[tuple[Argument, ...]]()
    for i, task_id in enumerate(_listed(task_ids, "task_ids", "task ids")):
        ids.append((validate_task_id(task_id, field=f"task_ids[{i}]"),))
    return Removal(store.script(EVICT), ids)


def set_weights(store: Store, weights: object) -> Weighing:
    """Set factors of tasks' probabilities; see ``Curriculum.set_weights``."""
    if not isinstance(weights, Mapping) or not weights:
        raise InvalidInputError("weights", "a mapping of at least one task id to a weight", weights)
    _check_takes(store)
    rows = list[tuple[Argument, ...]]()
    for task_id, weight in weights.items():
        number = validate_task_id(task_id, field="weights")
        rows.append((number, WEIGHT.require(weight, f"weights[{number}]", integer=False)))
    return Weighing(store.script(SET_WEIGHTS), rows)


def set_weight(store: Store, task_id: object, weight: object) -> Weighing:
    """Set the factor of one task's probability."""
    _check_takes(store)
    row = (validate_task_id(task_id), WEIGHT.require(weight, "weight", integer=False))
    return Weighing(store.script(SET_WEIGHTS), [row])


def _check_takes(store: Store) -> None:
    scorer = store.config.algorithm
    if not scorer.TAKES_WEIGHTS:
        raise InvalidInputError("algorithm", "one whose draws go by weights", scorer.kind)


def _listed(given: object, field: str, what: str) -> list[Any]:
    is_one = isinstance(given, (str, bytes, Mapping)) or getattr(given, "ndim", 1) == 0
    found = list(given) if isinstance(given, Iterable) and not is_one else []
    if not found:
        raise InvalidInputError(field, f"a list of at least one of {what}", given)
    return found


def _task_of(config: CurriculumConfig, given: object, where: str) -> tuple[int, TaskSpec]:
    """Id and spec of a task, of a row of the table's kind, or of a row that the table has."""
    if isinstance(given, Task):
        task_id = validate_task_id(given.task_id, field=f"{where}.task_id")
        return task_id, TaskSpec(given.label, given.params)
    table = config.task_generator
    if not isinstance(table, Table):
        raise InvalidInputError(where, "a Task, since the config has no Table", given)
    if isinstance(given, Mapping):
        return table.task_of(given, where)
    task_id = validate_task_id(given, field=where)
    table.index_of(task_id, where)
    return task_id, table.generate(task_id)
