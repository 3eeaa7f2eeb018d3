"""Calls that go to the server in one write, since they wait for the same handle.

Several threads, or tasks of asyncio, may share a handle. While one call is under way, others wait.
The next one takes those that report or draw with it (a group commit): one write has the results of
all, then the draws of all. It then carries the others on as well, each by its own plan. That plan
finds the write answered, and takes its own part of the answer. So each call has its own tasks,
outcomes and errors, and goes on alone where that is not all.

If a write fails since the server does not answer, all who wait for it get that error, and each call
made again goes on from there. If the server refuses it, one call may be why: each is sent alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Final, NamedTuple

from redis_curriculum._protocol.asking import is_retriable
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store.calls import Write
from redis_curriculum.errors import CurriculumError

if TYPE_CHECKING:
    from redis_curriculum._store.play import Play
    from redis_curriculum._store.store import Store

NOT_SENT: Final = CurriculumError("interrupted before the write was whole")
"""Why a write that is shared was not answered: nobody has sent it, and nobody will."""


class Part(NamedTuple):
    """Which part of a write is one call's."""

    first_result: int
    first_draw: int
    draws: int


WHOLE: Final = Part(0, 0, 0)


def company(call: Play, store: Store) -> Sequence[Play]:
    """Return the calls that wait now and that a call takes with it, in the order they came."""
    unfinished = store.unfinished
    if not unfinished.are_several_waiting() or store.settings.prefetch or not call.can_be_shared:
        return ()
    results, draws = store.settings.chunk - call.left, store.settings.chunk - call.count
    found: list[Play] = []
    for other in unfinished.waiting():
        if other is call or not isinstance(other, type(call)) or not other.can_be_shared:
            continue
        if other.left <= results and other.count <= draws:
            results, draws = results - other.left, draws - other.count
            found.append(other)
    return found


def heed(call: Play, store: Store) -> None:
    """Look what has become of a call's write, if others share it.

    Raises:
        CurriculumError: It failed while the call waited, and not by what one of them asked.
    """
    write = call.write
    if write is None or not write.is_shared:
        return
    error = write.failure
    if (error and not write.number) or store.worker.is_of_another_life(write):
        call.write, call.is_alone = None, True
    is_told = error is call.told or call.is_deferred or write.reply is not None
    if error and not (is_told or _is_refusal(error)):
        call.told = error
        raise copy(error) from error


def answer_all(calls: Sequence[Play], store: Store) -> Plan[None]:
    """Carry on the calls that another one took with it, as far as their callers wait."""
    for call in calls:
        if store.unfinished.is_waiting(call):
            try:
                call.found = yield from call.plan(store)
            except CurriculumError as error:
                call.found = error


def fail(call: Play, write: Write, error: CurriculumError) -> None:
    """Raise the error with which a call's write failed, unless the call now goes alone."""
    if write.is_shared:
        call.told = write.failure = error
        if _is_refusal(error):
            call.write, call.is_alone = None, True
            return
    raise error


def _is_refusal(error: CurriculumError) -> bool:
    """Whether what one call asked may be why the server refused what several did."""
    return error.applied == "no" and not is_retriable(error)
