"""What an operator does to curricula: remove what the dead left, delete, back the server up.

Removing goes in steps of 500 keys, each one script that looks again whether anybody needs them
(``lua/collect.lua``): nothing blocks the server, and whatever happens between looking and removing
is safe. So a deletion is a mark, then steps; ``gc`` ends one that was interrupted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from redis_curriculum._protocol.asking import ask, scan_keys, server_now_ms
from redis_curriculum._protocol.keys import SCHEMA, Keys
from redis_curriculum._protocol.plan import Command, Plan, Run
from redis_curriculum._store.contracts import COLLECT, DELETE, FORGET, REAP
from redis_curriculum._values.rules import validate_name
from redis_curriculum.errors import CurriculumNotFoundError

_CHUNK: Final = 500
_WITHOUT_END: Final = -1  # PTTL's answer
_REMEMBER_MS: Final = 2 * 86_400_000  # no lease is longer than one day


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that nobody needs any more."""

    name: str
    """The curriculum's."""
    what: str
    count: int
    """Keys; of expired workers, workers."""


@dataclass(frozen=True, slots=True)
class _Claims:
    """Who may still need something of one curriculum; as ``collect.lua`` sees it."""

    schema: str | None
    current: str | None
    staged: str | None
    copying: bool
    deleting: str | None
    """Its last generation."""

    def leftover(self, name: str) -> str | None:
        """Say what kind of leftover a key (without its prefix) is; None: it is needed."""
        if name == "deleted":
            return None
        if self.deleting is not None:
            return "deleted curriculum"
        head = name.partition(":")[0]
        if head.startswith("g") and head[1:].isdecimal():
            return self._of_generation(head[1:])
        if name in ("snapshot:tasks", "snapshot:labels"):
            return None if self.copying else "snapshot copies"
        return None if self.current or self.staged else "no curriculum"

    def _of_generation(self, generation: str) -> str | None:
        if generation in (self.current, self.staged):
            return None
        if self.current and int(generation) < int(self.current):
            return "old generation"
        return "staged generation"


def gc(name: object, deadline_s: float, *, dry_run: bool = False) -> Plan[list[Leftover]]:
    """Remove what dead processes left of one curriculum, or only say what there is.

    Staged generations of dead restores, old generations, copies of dead snapshots, expired
    workers, and all of a curriculum that is marked for deletion. Walks over the server's keys
    once; one round trip per 500 leftover keys. One of another schema is left alone.
    """
    keys = Keys(validate_name(name))
    claims = yield from _claims(keys, deadline_s)
    if claims.schema not in (None, str(SCHEMA)):
        return []
    leftovers: dict[str, list[str]] = {}
    for key in (yield from scan_keys(keys.prefix, keys.meta, deadline_s)):
        short = key.removeprefix(keys.prefix)
        kind = claims.leftover(short)
        if kind:
            leftovers.setdefault(kind, []).append(short)
    counts: Counter[str] = Counter()
    for kind, shorts in sorted(leftovers.items()):
        counts[kind] = len(shorts) if dry_run else (yield from _collect(keys, shorts, deadline_s))
    if claims.deleting is None:
        counts["expired workers"] = yield from _expired(keys, deadline_s, dry_run=dry_run)
    elif not dry_run:
        counts["deleted curriculum"] += yield from _forget(keys, claims.deleting, deadline_s)
    return [Leftover(keys.name, kind, count) for kind, count in counts.items() if count]


def delete(name: object, deadline_s: float) -> Plan[int]:
    """Delete a curriculum, live workers or not; return how many keys have gone.

    First a mark: from then on it is gone for everybody, and its name cannot be used. Then its
    keys, 500 a call. Called again (or ``gc``) after an interruption, it goes on. What stays for
    two days is its generation, so that none of its workers takes a new curriculum for its own.

    Raises:
        CurriculumNotFoundError: There is none of that name.
    """
    keys = Keys(validate_name(name))
    try:
        yield from ask(Run(DELETE, keys.meta, [keys.generation]), deadline_s)
    except CurriculumNotFoundError:
        raise CurriculumNotFoundError(keys.name) from None
    return sum(leftover.count for leftover in (yield from gc(keys.name, deadline_s)))


def _claims(keys: Keys, deadline_s: float) -> Plan[_Claims]:
    def answer(*words: str) -> Plan[Any]:
        return (yield from ask(Command(words, keys.meta), deadline_s))

    schema, current = yield from answer("HMGET", keys.meta, "schema", "generation")
    endless = (yield from answer("PTTL", keys.deleted)) == _WITHOUT_END
    return _Claims(
        schema=schema,
        current=current,
        staged=(yield from answer("HGET", keys.restore, "generation")),
        copying=(yield from answer("EXISTS", keys.snapshot)) == 1,
        deleting=(yield from answer("GET", keys.deleted)) if endless else None,
    )


def _collect(keys: Keys, shorts: list[str], deadline_s: float) -> Plan[int]:
    removed = 0
    for start in range(0, len(shorts), _CHUNK):
        args = [keys.generation, *shorts[start : start + _CHUNK]]
        (count,) = yield from ask(Run(COLLECT, keys.meta, args), deadline_s)
        removed += count
    return removed


def _forget(keys: Keys, generation: str, deadline_s: float) -> Plan[int]:
    """Remove what came between the look and the mark; once nothing is left, end the deletion."""
    removed = 0
    while True:
        found = yield from scan_keys(keys.prefix, keys.meta, deadline_s)
        shorts = [key.removeprefix(keys.prefix) for key in found if key != keys.deleted]
        if not shorts:
            yield from ask(Run(FORGET, keys.meta, [generation, _REMEMBER_MS]), deadline_s)
            return removed
        gone = yield from _collect(keys, shorts, deadline_s)
        removed += gone
        if not gone:  # others have ended the deletion, and the name is in use again
            return removed


def _expired(keys: Keys, deadline_s: float, *, dry_run: bool) -> Plan[int]:
    if dry_run:
        now = yield from server_now_ms(keys.meta, deadline_s)
        words = ("ZCOUNT", keys.workers, "-inf", f"({now}")
        return int((yield from ask(Command(words, keys.meta), deadline_s)))
    count = 0
    while gone := (yield from ask(Run(REAP, keys.meta, [keys.generation]), deadline_s)):
        count += len(gone)
    return count
