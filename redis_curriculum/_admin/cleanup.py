"""What an operator does to curricula: remove what the dead left, delete, back the server up.

Removing goes in steps of 500 keys, each one script that looks again whether anybody needs them
(``lua/scripts/collect.lua``): nothing blocks the server, and whatever happens between looking and
removing is safe. So a deletion is a mark, then steps; ``gc`` ends one that was interrupted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import SCHEMA
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.requirements import is_older
from redis_curriculum._store.contracts import COLLECT, DELETE, FORGET, REAP
from redis_curriculum.errors import CurriculumNotFoundError

_CHUNK: Final = 500
_WITHOUT_END: Final = -1  # PTTL's answer
_LOOKS: Final = 8
"""How often one deletion looks for what has come meanwhile; ``gc`` removes what comes later."""
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


def gc(server: Server, *, dry_run: bool = False) -> Plan[list[Leftover]]:
    """Remove what dead processes left of one curriculum, or only say what there is.

    Staged generations of dead restores, old generations, copies of dead snapshots, expired
    workers, and all of a curriculum that is marked for deletion. Walks over the server's keys
    once; one round trip per 500 leftover keys. One of an unknown schema is left alone.
    """
    keys = server.keys
    claims = yield from _claims(server)
    if not (claims.schema in (None, str(SCHEMA)) or is_older(claims.schema)):
        return []
    leftovers: dict[str, list[str]] = {}
    for key in (yield from server.scan_keys(keys.prefix)):
        short = key.removeprefix(keys.prefix)
        kind = claims.leftover(short)
        if kind:
            leftovers.setdefault(kind, []).append(short)
    counts: Counter[str] = Counter()
    for kind, shorts in sorted(leftovers.items()):
        counts[kind] = len(shorts) if dry_run else (yield from _collect(server, shorts))
    if claims.deleting is None:
        counts["expired workers"] = yield from _expired(server, dry_run=dry_run)
    elif not dry_run:
        counts["deleted curriculum"] += yield from _forget(server, claims.deleting)
    return [Leftover(keys.name, kind, count) for kind, count in counts.items() if count]


def delete(server: Server) -> Plan[int]:
    """Delete a curriculum, live workers or not; return how many keys have gone.

    First a mark: from then on it is gone for everybody, and its name cannot be used. Then its
    keys, 500 a call. Called again (or ``gc``) after an interruption, it goes on. What stays for
    two days is its generation, so that none of its workers takes a new curriculum for its own.

    Raises:
        CurriculumNotFoundError: There is none of that name.
    """
    try:
        yield from server.run(DELETE)
    except CurriculumNotFoundError:
        raise CurriculumNotFoundError(server.keys.name) from None
    return sum(leftover.count for leftover in (yield from gc(server)))


def _claims(server: Server) -> Plan[_Claims]:
    keys = server.keys
    schema, current = yield from server.command("HMGET", keys.meta, "schema", "generation")
    endless = (yield from server.command("PTTL", keys.deleted)) == _WITHOUT_END
    return _Claims(
        schema=schema,
        current=current,
        staged=(yield from server.command("HGET", keys.restore, "generation")),
        copying=(yield from server.command("EXISTS", keys.snapshot)) == 1,
        deleting=(yield from server.command("GET", keys.deleted)) if endless else None,
    )


def _collect(server: Server, shorts: list[str]) -> Plan[int]:
    removed = 0
    for start in range(0, len(shorts), _CHUNK):
        (count,) = yield from server.run(COLLECT, *shorts[start : start + _CHUNK])
        removed += count
    return removed


def _forget(server: Server, generation: str) -> Plan[int]:
    """Remove what came between the look and the mark; once nothing is left, end the deletion."""
    keys, removed = server.keys, 0
    for _ in range(_LOOKS):
        found = yield from server.scan_keys(keys.prefix)
        shorts = [key.removeprefix(keys.prefix) for key in found if key != keys.deleted]
        if not shorts:
            yield from server.at(int(generation)).run(FORGET, _REMEMBER_MS)
            return removed
        gone = yield from _collect(server, shorts)
        removed += gone
        if not gone:  # others have ended the deletion, and the name is in use again
            break
    return removed


def _expired(server: Server, *, dry_run: bool) -> Plan[int]:
    if dry_run:
        now = yield from server.now_ms()
        found = yield from server.command("ZCOUNT", server.keys.workers, "-inf", f"({now}")
        return int(found)
    count = 0
    while gone := (yield from server.run(REAP)):
        count += len(gone)
    return count
