"""Tasks that cannot be built or run: counted, and taken out of the pool before they do harm."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from redis_curriculum._protocol.asking import scan_hash
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store.store import Store
from redis_curriculum.errors import CurriculumError, InvalidInputError
from redis_curriculum.tasks.outcome import Outcome

MOST_ERROR_CHARACTERS: Final = 500
_OUTCOMES: Final = (Outcome.EVICTED, Outcome.APPLIED, Outcome.QUARANTINED)


def report_failure(
    store: Store, task_id: object, error: object, *, permanent: object = False
) -> Plan[Outcome]:
    """Count a failure; replace the task when it has failed too often. See ``Curriculum``."""
    if not isinstance(permanent, bool):
        raise InvalidInputError("permanent", "True or False", permanent)
    reply = yield from store.fail(task_id, message_of(error), permanent=permanent)
    repeated, outcome, next_index, missing = reply
    found = Outcome.DUPLICATE if repeated else _OUTCOMES[outcome]
    if missing and store.can_generate and found in (Outcome.QUARANTINED, Outcome.DUPLICATE):
        with suppress(CurriculumError):  # the report stands; the next draw fills, or says why not
            yield from store.fill(next_index)
    return found


def quarantine(store: Store) -> Plan[dict[int, str]]:
    """Ids of tasks that were taken out for failing, ascending, with their last messages."""
    found = yield from scan_hash(store.keys.quarantine, store.settings.retry_deadline_s)
    return dict(sorted((int(task_id), text) for task_id, text in found.items()))


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
