"""Changes of one task: evict it, move it to another label, report that it failed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.scripts import Script
from redis_curriculum._store.calls import Argument, Call, Write
from redis_curriculum._store.contracts import EVICT, FAIL, SET_LABEL
from redis_curriculum._store.fill import Filling
from redis_curriculum._store.store import OUTCOMES, Store
from redis_curriculum._store.text import message_of
from redis_curriculum._values.rules import validate_label, validate_task_id
from redis_curriculum.errors import CurriculumError, InvalidInputError
from redis_curriculum.tasks.outcome import Outcome

QUARANTINE_RETAINED: Final = 1000


def evict(store: Store, task_id: object) -> Change:
    """Take one task out of the pool."""
    return Change(store.script(EVICT), [validate_task_id(task_id)])


def set_label(store: Store, task_id: object, label: object) -> Change:
    """Move one task to another label."""
    args: list[Argument] = [validate_task_id(task_id), validate_label(label)]
    if isinstance(store.config.held_out, tuple) and store.config.holds_out(0, str(label)):
        raise InvalidInputError("label", "a label that is not held out", label)
    return Change(store.script(SET_LABEL), args)


@dataclass(slots=True)
class Change(Call[Outcome]):
    """A change that is one write."""

    can_wait = True

    script: Script
    args: list[Argument]
    is_given_up: bool = field(default=False, init=False, compare=False)

    @property
    def left(self) -> int:
        """1 until it is known what became of it."""
        is_answered = self.write is not None and self.write.reply is not None
        return int(not (self.is_given_up or is_answered))

    def without_server(self, store: Store, error: CurriculumError | None) -> Outcome:  # noqa: ARG002
        """Nothing is known but that it waits."""
        return Outcome.DEFERRED

    def give_up(self, store: Store) -> int:  # noqa: ARG002
        """It may have been applied."""
        self.is_given_up = True
        return 1

    def steps(self, store: Store) -> Plan[Outcome]:
        """One round trip."""
        reply = yield from self.answered(store)
        return Outcome.DUPLICATE if reply[0] else OUTCOMES[reply[1]]

    def answered(self, store: Store) -> Plan[list[Any]]:
        """Send it until it is answered."""
        if self.write is None:
            self.write = Write(self.script, self.args)
        reply: list[Any] = yield from store.worker.send(self)
        return reply


def report_failure(
    store: Store, task_id: object, error: object, *, permanent: object = False
) -> Failure:
    """Count a failure; replace the task when it has failed too often. See ``Curriculum``."""
    if not isinstance(permanent, bool):
        raise InvalidInputError("permanent", "True or False", permanent)
    task_id = validate_task_id(task_id)
    args: list[Argument] = [int(permanent), QUARANTINE_RETAINED, task_id, message_of(error)]
    return Failure(store.script(FAIL), args)


@dataclass(slots=True)
class Failure(Change):
    """A failure to count, and a new task for one that failed too often."""

    filling: Filling | None = field(default=None, init=False, compare=False)

    def steps(self, store: Store) -> Plan[Outcome]:
        """One round trip; three when the task is replaced, at once or by the next draw."""
        repeated, outcome, missing = yield from self.answered(store)
        found = Outcome.DUPLICATE if repeated else OUTCOMES[outcome]
        fills = store.can_generate and not self.is_deferred
        if fills and found in (Outcome.QUARANTINED, Outcome.DUPLICATE):
            self.filling = self.filling or Filling(missing, is_patient=False)
            with suppress(CurriculumError):  # the report stands; the next draw fills or says why
                yield from self.filling.steps(store)
        return found
