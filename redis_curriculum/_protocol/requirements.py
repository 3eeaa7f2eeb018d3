"""What a server must be to keep a curriculum: version, eviction policy, role, persistence."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from redis_curriculum._protocol.keys import MIGRATED, SCHEMA
from redis_curriculum.errors import ServerWarning, UnsupportedServerError

OLDEST_VERSION: Final = (6, 2)

Level = Literal["pass", "warn", "fail"]


class Finding(NamedTuple):
    """One thing that was looked at; ``remedy`` is the command that mends it."""

    level: Level
    what: str
    remedy: str = ""


_UNSEEN: Final = Finding(
    "warn",
    "INFO is not answered here: version, role, eviction policy and persistence are not known",
    "see that the server is Redis 6.2 or newer, a primary, with maxmemory-policy noeviction",
)


def parse_info(text: str) -> dict[str, str]:
    """Read the reply of INFO."""
    lines = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, found, value in lines if found}


def audit(info: Mapping[str, str], *, fixed: bool = True, persistent: bool = True) -> list[Finding]:
    """Judge a server by its INFO.

    Args:
        info: As ``parse_info`` gives it; empty where INFO is not answered.
        fixed: Whether this very server must be the primary; not where Sentinel or a cluster may
            have made another one so a moment ago.
        persistent: Whether it is meant to survive a restart.
    """
    if not info:
        return [_UNSEEN]
    role = [_role(info)] if fixed else []
    return [_version(info), _eviction(info), *role, *(durability(info) if persistent else [])]


def durability(info: Mapping[str, str]) -> list[Finding]:
    """Judge what a server keeps when it dies."""
    if not info:
        return []
    return [_persistence(info), _last_save(info)]


def require_schema(name: str, found: int | str) -> None:
    """Refuse a curriculum whose keys another version of the library wrote.

    Raises:
        UnsupportedServerError: Its schema is another.
    """
    finding = schema_finding(name, found)
    if finding:
        raise UnsupportedServerError(f"{finding.what}; {finding.remedy}")


def schema_finding(name: str, found: int | str) -> Finding | None:
    """Say that a curriculum's schema is another than this library's, if it is."""
    if str(found) == str(SCHEMA):
        return None
    what = f"curriculum {name!r} has keys of schema {found}, this library knows {SCHEMA}"
    if is_older(found):
        return Finding("fail", what, f"redis-curriculum migrate {name}")
    return Finding("fail", what, "use the library version that wrote it")


def is_older(schema: int | str) -> bool:
    """Whether keys of this schema can be migrated."""
    return str(schema) in map(str, MIGRATED)


def enforce(findings: list[Finding], where: str) -> None:
    """Refuse a server that fails, warn of what else is wrong.

    Raises:
        UnsupportedServerError: It would lose records or cannot run the scripts.
    """
    for level, what, remedy in findings:
        hint = f"; {remedy}" if remedy else ""
        if level == "fail":
            raise UnsupportedServerError(f"{where}: {what}{hint}")
        if level == "warn":
            warnings.warn(f"{where}: {what}{hint}", ServerWarning, stacklevel=4)


def _version(info: Mapping[str, str]) -> Finding:
    text = info.get("redis_version", "unknown")
    number = tuple(int(n) for n in re.findall(r"\d+", text)[:2])
    needed = ".".join(str(n) for n in OLDEST_VERSION)
    if number < OLDEST_VERSION:
        return Finding("fail", f"version {text}, needed is {needed} or newer", "upgrade the server")
    return Finding("pass", f"version {text}")


def _eviction(info: Mapping[str, str]) -> Finding:
    limit, policy = int(info.get("maxmemory", "0")), info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return Finding("pass", "maxmemory-policy noeviction")
    what = f"maxmemory-policy {policy}"
    remedy = "CONFIG SET maxmemory-policy noeviction"
    if limit:
        return Finding("fail", f"{what} with maxmemory {limit} would drop task records", remedy)
    return Finding("warn", f"{what} would drop task records if maxmemory were set", remedy)


def _role(info: Mapping[str, str]) -> Finding:
    if info.get("role") == "slave":
        primary = f"{info.get('master_host')}:{info.get('master_port')}"
        return Finding("fail", "this is a read-only replica", f"connect to the primary {primary}")
    return Finding("pass", "primary")


def _persistence(info: Mapping[str, str]) -> Finding:
    if info.get("aof_enabled") == "1":
        if info.get("aof_last_write_status", "ok") != "ok":
            return Finding("fail", "the append-only file cannot be written", "free disk space")
        return Finding("pass", "append-only file on")
    return Finding(
        "warn",
        "no append-only file: a crash loses what came after the last save",
        "CONFIG SET appendonly yes (and in redis.conf)",
    )


def _last_save(info: Mapping[str, str]) -> Finding:
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        return Finding("warn", "the last background save failed", "see the server's log")
    return Finding("pass", "last background save ok")
