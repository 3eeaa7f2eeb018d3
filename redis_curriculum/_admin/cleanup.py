"""What an operator does to curricula: remove what the dead left, delete, back the server up.

Removing goes in steps of 500 keys, each one script that looks again whether anybody needs them
(``lua/scripts/collect.lua``): nothing blocks the server, and whatever happens between looking and
removing is safe. So a deletion is a mark, then steps; ``gc`` ends one that was interrupted.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from redis_curriculum._admin.names import nodes, split, tidy
from redis_curriculum._protocol.asking import Node, Server
from redis_curriculum._protocol.keys import ROOT, SCHEMA, Keys
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.requirements import is_older
from redis_curriculum._store.contracts import COLLECT, DELETE, FORGET, REAP
from redis_curriculum._wire.urls import Address
from redis_curriculum.errors import (
    CurriculumNotFoundError,
    MalformedStateError,
    ScriptError,
    ServerWarning,
)

_CHUNK: Final = 500
_DELETED: Final = "deleted curriculum"
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

    @property
    def is_known(self) -> bool:
        """Whether there is none, or one of a schema that this library can tell leftovers of."""
        known = self.schema in (None, str(SCHEMA)) or is_older(self.schema)
        return known and not self.is_malformed

    @property
    def is_malformed(self) -> bool:
        """Whether nobody can tell which generation is in use: then all are kept."""
        there = self.schema is not None or self.current is not None
        return there and not (self.current or "").isdecimal()

    @property
    def live(self) -> bool:
        """Whether there is a curriculum, or will be."""
        return self.current is not None or self.staged is not None

    def leftover(self, name: str) -> str | None:
        """Say what kind of leftover a key (without its prefix) is; None: it is needed."""
        if name == "deleted" or not self.is_known:
            return None
        if self.deleting is not None:
            return _DELETED
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
    return (yield from _Sweep([server], keys.key_prefix, keys.prefix).gc(dry_run=dry_run))


def gc_all(address: Address, deadline_s: float, *, dry_run: bool = False) -> Plan[list[Leftover]]:
    """Do the same for every curriculum, in one walk, and make the index of names agree with it."""
    each = yield from nodes(address, deadline_s)
    sweep = _Sweep(each, address.prefix, f"{address.prefix}{ROOT}{{")
    found = yield from sweep.gc(dry_run=dry_run)
    if not dry_run:
        yield from tidy(address, deadline_s, sweep.live)
    return found


class _Sweep:
    """Walks over the keys of some nodes that begin with ``stem``, and removes what may go."""

    def __init__(self, each: Sequence[Node], key_prefix: str, stem: str) -> None:
        self._nodes, self._key_prefix, self._stem = each, key_prefix, stem
        self._known: dict[str, tuple[Server, _Claims]] = {}
        """The curricula that were met, and who may still need something of them."""

    @property
    def live(self) -> set[str]:
        """Names of the curricula that exist, or are being restored."""
        return {name for name, (_, claims) in self._known.items() if claims.live}

    def gc(self, *, dry_run: bool) -> Plan[list[Leftover]]:
        """Remove what nobody needs, or only say what there is."""
        counts: Counter[tuple[str, str]] = Counter()
        found = yield from self._walk()
        for name, (server, claims) in sorted(self._known.items()):
            for kind, shorts in sorted(found.get(name, {}).items()):
                gone = len(shorts) if dry_run else (yield from _collect(server, sorted(shorts)))
                counts[name, kind] = gone
            if claims.deleting is None and claims.is_known:
                gone = yield from _expired(server, dry_run=dry_run)
                counts[name, "expired workers"] = gone
        if not dry_run:
            yield from self._end_deletions(counts)
        return [Leftover(name, kind, count) for (name, kind), count in counts.items() if count]

    def _walk(self) -> Plan[dict[str, dict[str, set[str]]]]:
        """Return the keys that may go, by curriculum and kind, without the curriculum's prefix."""
        found: dict[str, dict[str, set[str]]] = {}
        for node in self._nodes:
            cursor, page = yield from node.scan_page("0", self._stem)
            while True:
                for key in page:
                    place = split(key, self._key_prefix)
                    if place:
                        _, claims = yield from self._claims(place[0], node.deadline_s)
                        kind = claims.leftover(place[1])
                        if kind:
                            found.setdefault(place[0], {}).setdefault(kind, set()).add(place[1])
                if cursor == "0":
                    break
                cursor, page = yield from node.scan_page(cursor, self._stem)
        return found

    def _claims(self, name: str, deadline_s: float) -> Plan[tuple[Server, _Claims]]:
        if name not in self._known:
            server = Server(Keys(name, key_prefix=self._key_prefix), deadline_s)
            claims = yield from _claims(server)
            if claims.is_malformed:
                what = MalformedStateError(name, "meta.generation", claims.current)
                warnings.warn(f"nothing of it is removed: {what}", ServerWarning, stacklevel=2)
            self._known[name] = server, claims
        return self._known[name]

    def _end_deletions(self, counts: Counter[tuple[str, str]]) -> Plan[None]:
        """Remove what came between the look and the mark; once nothing is left, free the names."""
        ending = {n for n, (_, claims) in self._known.items() if claims.deleting is not None}
        for _ in range(_LOOKS if ending else 0):
            found = yield from self._walk()
            for name in sorted(ending):
                server, claims = self._known[name]
                shorts = found.get(name, {}).get(_DELETED)
                gone = 0
                if shorts:
                    gone = yield from _collect(server, sorted(shorts))
                    counts[name, _DELETED] += gone
                else:
                    yield from server.at(int(claims.deleting or 0)).run(FORGET, _REMEMBER_MS)
                if not gone:  # done, or others have ended it and the name is in use again
                    ending.discard(name)
            if not ending:
                break


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
    try:
        schema, current = yield from server.command("HMGET", keys.meta, "schema", "generation")
    except ScriptError:  # no UTF-8
        schema = current = ""
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


def _expired(server: Server, *, dry_run: bool) -> Plan[int]:
    if dry_run:
        now = yield from server.now_ms()
        found = yield from server.command("ZCOUNT", server.keys.workers, "-inf", f"({now}")
        return int(found)
    count = 0
    while gone := (yield from server.run(REAP)):
        count += len(gone)
    return count
