"""Copy the server's own files."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from redis_curriculum._protocol.asking import Node
from redis_curriculum._protocol.plan import Plan, Sleep
from redis_curriculum.errors import (
    PermissionDeniedError,
    ScriptError,
    ServerRefusedError,
    UnsupportedServerError,
)

_PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Backup:
    """What the server has written."""

    kind: str
    """``aof`` or ``rdb``."""
    path: str | None
    """On the server's machine: a file, or (AOF since Redis 7) a directory; None: not said."""


def backup(node: Node, timeout_s: float) -> Plan[Backup]:
    """Have the server write its data to disk, wait for the end, and say where it is.

    BGREWRITEAOF where the append-only file is on (it is what a restart reads), else BGSAVE. The
    whole server is written, not one curriculum. A save that is running already is waited for first.

    Args:
        node: The server.
        timeout_s: How long to wait for both together.

    Raises:
        ServerRefusedError: It could not write (its log says why), or a save was still running at
            the end of that time; the server goes on with it.
    """
    until = time.monotonic() + timeout_s
    info = yield from _when_idle(node, until, "another save")
    aof = info.get("aof_enabled") == "1"
    command, result = (
        ("BGREWRITEAOF", "aof_last_bgrewrite_status")
        if aof
        else ("BGSAVE", "rdb_last_bgsave_status")
    )
    try:
        yield from node.command(command)
    except ScriptError as error:  # what the server says has no code
        raise ServerRefusedError(f"{command} failed: {error}", code="MISCONF") from None
    info = yield from _when_idle(node, until, command)
    if info.get(result) != "ok":
        message = f"{command} failed: the server says {result}:{info.get(result)}; see its log"
        raise ServerRefusedError(message, code="MISCONF")
    path = yield from _where(node, aof=aof)
    return Backup("aof" if aof else "rdb", path)


def _when_idle(node: Node, until: float, what: str) -> Plan[Mapping[str, str]]:
    """Wait until no save or rewrite is running or scheduled."""
    busy = ("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled")
    while True:
        info = yield from node.info("persistence")
        if not info:
            raise UnsupportedServerError("INFO is not answered here: a save cannot be waited for")
        if not any(info.get(field, "0") != "0" for field in busy):
            return info
        if time.monotonic() >= until:
            raise ServerRefusedError(
                f"{what} was still running at the end of the timeout; the server goes on with it"
                " (redis-cli INFO persistence), try again when it has ended",
                code="BUSY",
            )
        yield Sleep(_PAUSE_S)


def _where(node: Node, *, aof: bool) -> Plan[str | None]:
    try:
        config = yield from server_config(node)
    except PermissionDeniedError:
        return None
    folder = PurePosixPath(config("dir"))
    if not aof:
        return str(folder / config("dbfilename"))
    return str(folder / (config("appenddirname") or config("appendfilename")))


def server_config(node: Node) -> Plan[Callable[[str], str]]:
    """Read the server's configuration; an unknown name gives an empty text.

    Raises:
        PermissionDeniedError: This user, or this server, does not show it.
    """
    flat = yield from node.command("CONFIG", "GET", "*")
    found = dict(zip(flat[::2], flat[1::2], strict=True))
    return lambda name: str(found.get(name, ""))
