"""Changes of one task: evict it, move it to another label, report that it failed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.scripts import Script
from redis_curriculum._store.contracts import EVICT, FAIL, SET_LABEL
from redis_curriculum._store.fill import fill
from redis_curriculum._store.once import Argument, Write
from redis_curriculum._store.store import OUTCOMES, Store
from redis_curriculum._values.rules import validate_label, validate_task_id
from redis_curriculum.errors import CurriculumError, InvalidInputError
from redis_curriculum.tasks.outcome import Outcome

QUARANTINE_RETAINED: Final = 1000
MOST_ERROR_CHARACTERS: Final = 500


def evict(store: Store, task_id: object) -> Plan[Outcome]:
    """Take one task out of the pool."""
    args = [validate_task_id(task_id)]
    reply = yield from store.worker.write(store.script(EVICT), args, leased=False)
    return Outcome.DUPLICATE if reply[0] else OUTCOMES[reply[1]]


def set_label(store: Store, task_id: object, label: object) -> Plan[Outcome]:
    """Move one task to another label."""
    task_id, label = validate_task_id(task_id), validate_label(label)
    reply = yield from store.worker.write(store.script(SET_LABEL), [task_id, label])
    return Outcome.DUPLICATE if reply[0] else OUTCOMES[reply[1]]


def report_failure(
    store: Store, task_id: object, error: object, *, permanent: object = False
) -> Plan[Outcome]:
    """Count a failure; replace the task when it has failed too often. See ``Curriculum``."""
    if not isinstance(permanent, bool):
        raise InvalidInputError("permanent", "True or False", permanent)
    args: list[Argument] = [
        int(permanent),
        QUARANTINE_RETAINED,
        validate_task_id(task_id),
        message_of(error),
    ]
    repeated, outcome, next_index, missing = yield from _once(store, store.script(FAIL), args)
    found = Outcome.DUPLICATE if repeated else OUTCOMES[outcome]
    if missing and store.can_generate and found in (Outcome.QUARANTINED, Outcome.DUPLICATE):
        with suppress(CurriculumError):  # the report stands; the next draw fills, or says why not
            yield from fill(store, next_index)
    return found


def _once(store: Store, script: Script, args: list[Argument]) -> Plan[list[Any]]:
    """Send a write that counts each time; made again after an error it is the same write.

    Again means: by the same caller, with the same arguments, before any other of its kind.
    """
    caller = store.caller()
    write = store.unanswered.get(caller)
    if write is None or (write.script, write.args) != (script, args):
        write = Write(script, args)
    store.unanswered[caller] = write
    try:
        reply: list[Any] = yield from store.worker.send(write)
    except CurriculumError as error:
        if error.applied == "no":
            del store.unanswered[caller]
        raise
    del store.unanswered[caller]
    return reply


def message_of(error: object) -> str:
    """Return one printable line of at most 500 characters.

    Raises:
        InvalidInputError: It is neither an exception nor a text with something in it.
    """
    if isinstance(error, BaseException):
        text = f"{type(error).__name__}: {_text_of(error)}".removesuffix(": ")
    elif isinstance(error, str):
        text = error
    else:
        raise InvalidInputError("error", "an exception or a text", error)
    text = " ".join(text[: 8 * MOST_ERROR_CHARACTERS].split())
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    if not text:
        raise InvalidInputError("error", "an exception or a text that says something", error)
    if len(text) > MOST_ERROR_CHARACTERS:
        return text[: MOST_ERROR_CHARACTERS - 3] + "..."
    return text


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the failure
        return ""
