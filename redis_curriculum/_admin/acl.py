"""Least privilege: the ACL of a worker of one curriculum, and of somebody who only looks.

Keys: the curriculum's own, and the index of names. Commands: those that this library sends, and
those inside the scripts, for Redis checks these too. Neither of them may bring a script of their
own (no EVAL, no SCRIPT LOAD): a script may run without end, and on servers with CVE-2025-46818 gain
the rights of others. A worker calls the scripts that somebody with more rights has loaded
(``load_scripts``); who only looks calls none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from redis_curriculum._protocol.asking import Node
from redis_curriculum._protocol.keys import Keys, as_pattern, index_of
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store.variant import every_script
from redis_curriculum._values.rules import validate_name

CONNECTING: Final = ("info", "ping", "select")
SCRIPTING: Final = ("evalsha",)
LOADING: Final = ("script|exists", "script|load")
"""What it takes to load the scripts; a user who may, may do much harm."""
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
    "xrevrange",
    "zcard",
    "zcount",
    "zscan",
)
"""What is sent to look at a curriculum. SCAN shows the names of all keys, but no content."""
WRITING: Final = ("get", "scard", "unlink")
"""What is sent beside that to restore and to clear away."""
NAMING: Final = ("zadd", "zscan")
"""What is sent to the index of names: to add one, to read them."""
CLUSTER: Final = ("asking", "cluster|slots")
"""What a cluster needs beside that: to know where slots are, and to ask one that moves."""

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
    common = {*CONNECTING, *READING, *(CLUSTER if cluster else ())}
    if number >= _SETINFO_SINCE:
        common.add("client|setinfo")  # the client library introduces itself
    inside = {command for script in every_script() for command in script.commands}
    return AclLines(
        worker=_line(
            keys,
            "worker",
            common | {*SCRIPTING, *WRITING} | inside,
            _index(keys, number, NAMING),
        ),
        viewer=_line(keys, "viewer", common, _index(keys, number, NAMING[1:])),
    )


def load_scripts(node: Node) -> Plan[tuple[int, int]]:
    """Load the scripts that a server lacks, whatever the algorithm. Two round trips.

    Returns:
        How many scripts there are, and how many of them were not there.

    Raises:
        PermissionDeniedError: This user may not.
        UnknownCommandError: A proxy does not know SCRIPT.
    """
    scripts = every_script()
    known = yield from node.command("SCRIPT", "EXISTS", *(script.sha for script in scripts))
    missing = [script for script, is_there in zip(scripts, known, strict=True) if not is_there]
    if missing:
        yield from node.commands([("SCRIPT", "LOAD", script.source) for script in missing])
    return len(scripts), len(missing)


def _index(keys: Keys, number: tuple[int, ...], commands: Sequence[str]) -> str:
    """The right to the index of names: where a server can say so, for these commands only."""
    index = index_of(keys.key_prefix)
    if number < _SELECTORS_SINCE:
        return f"~{index}"
    return f"(~{index} {' '.join(f'+{command}' for command in commands)})"


def _line(keys: Keys, role: str, commands: set[str], index: str) -> str:
    allowed = " ".join(f"+{command}" for command in sorted(commands))
    user = f"{keys.name}-{role}"
    pattern = f"~{as_pattern(keys.prefix)}*"
    return f"ACL SETUSER {user} reset on >PASSWORD resetchannels {pattern} {allowed} {index}"
