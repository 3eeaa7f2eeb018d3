"""Least privilege: the ACL of a worker of one curriculum, and of somebody who only looks.

Keys: the curriculum's own, and the index of names. Commands: those that this library sends, and
those inside the scripts, for Redis checks these too; hence a script, whoever wrote it, can do
nothing that its caller may not do directly. EVAL stays refused: scripts are sent once, with SCRIPT
LOAD.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from redis_curriculum._protocol.keys import Keys, as_pattern, index_of
from redis_curriculum._protocol.scripts import load, names
from redis_curriculum._store.variant import variant_of
from redis_curriculum._values.rules import validate_name
from redis_curriculum.scorers.registry import family, kinds

CONNECTING: Final = ("info", "ping", "select")
SCRIPTING: Final = ("evalsha", "script|load")
READING: Final = (
    "exists",
    "hget",
    "hgetall",
    "hlen",
    "hmget",
    "hscan",
    "pttl",
    "scan",
    "sscan",
    "time",
    "zcard",
    "zcount",
    "zscan",
)
"""What is sent to look at a curriculum. SCAN shows the names of all keys, but no content."""
WRITING: Final = ("get", "scard", "unlink")
"""What is sent beside that to restore and to clear away."""
NAMING: Final = ("zadd", "zscan")
"""What is sent to the index of names: to add one, to read them."""
CLUSTER: Final = ("asking", "cluster|slots", "eval")
"""What a cluster needs beside that: to know where slots are, and EVAL to ask one that moves."""
VIEWED: Final = ("numbers", "read")
"""The scripts that read for a viewer."""

_SETINFO_SINCE: Final = (7, 2)
_SELECTORS_SINCE: Final = (7, 0)


@dataclass(frozen=True, slots=True)
class AclLines:
    """What to give to the server, once each, with PASSWORD replaced."""

    worker: str
    viewer: str


def acl_lines(
    name: object, version: str, *, key_prefix: str = "", cluster: bool = False
) -> AclLines:
    """Return the ACL lines of one curriculum for a server of ``version``; nothing is sent.

    Subcommands are spelled as Redis 6.2 understands them too; what a version does not know is
    left out, since it would refuse the line.
    """
    keys = Keys(validate_name(name), key_prefix=key_prefix)
    number = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    common = {*CONNECTING, *SCRIPTING, *READING, *(CLUSTER if cluster else ())}
    if number >= _SETINFO_SINCE:
        common.add("client|setinfo")  # the client library introduces itself
    scripts = _commands(names())
    looking = _commands(VIEWED)
    return AclLines(
        worker=_line(keys, "worker", common | set(WRITING) | scripts, _index(keys, number, NAMING)),
        viewer=_line(keys, "viewer", common | looking, _index(keys, number, NAMING[1:])),
    )


def _index(keys: Keys, number: tuple[int, ...], commands: Sequence[str]) -> str:
    """The right to the index of names: where a server can say so, for these commands only."""
    index = index_of(keys.key_prefix)
    if number < _SELECTORS_SINCE:
        return f"~{index}"
    return f"(~{index} {' '.join(f'+{command}' for command in commands)})"


def _commands(scripts: Iterable[str]) -> set[str]:
    """What the scripts call, whatever the family of the algorithm."""
    variants = [variant_of(family(kind).default()) for kind in kinds()]
    return {c for name in scripts for variant in variants for c in load(name, variant).commands}


def _line(keys: Keys, role: str, commands: set[str], index: str) -> str:
    allowed = " ".join(f"+{command}" for command in sorted(commands))
    user = f"{keys.name}-{role}"
    pattern = f"~{as_pattern(keys.prefix)}*"
    return f"ACL SETUSER {user} reset on >PASSWORD resetchannels {pattern} {allowed} {index}"
