"""The whole server audit, for ``redis-curriculum doctor``: what ``audit`` knows, and more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from redis_curriculum._admin.backup import server_config
from redis_curriculum._admin.overview import curricula
from redis_curriculum._protocol.asking import Node
from redis_curriculum._protocol.keys import SCHEMA
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.requirements import Finding, audit, schema_finding
from redis_curriculum._wire.urls import Address
from redis_curriculum.errors import PermissionDeniedError

_FSYNC: Final = {
    "always": Finding("pass", "appendfsync always: losing power loses nothing"),
    "everysec": Finding("pass", "appendfsync everysec: losing power loses about a second"),
}


def diagnose(address: Address, node: Node) -> Plan[list[Finding]]:
    """Look at everything of one node; some five round trips."""
    info = yield from node.info()
    persistent = address.kind != "embedded" or bool(address.path)
    findings = audit(info, persistent=persistent)
    if persistent:
        try:
            config = yield from server_config(node)
        except PermissionDeniedError:
            findings.append(Finding("warn", "CONFIG is denied: appendfsync and save are not known"))
        else:
            findings += _settings(config)
    return findings


def schemas(address: Address, deadline_s: float) -> Plan[list[Finding]]:
    """Look at the schema of every curriculum."""
    rows = yield from curricula(address, deadline_s)
    findings = [schema_finding(row.name, row.schema) for row in rows]
    others = [finding for finding in findings if finding]
    known = len(rows) - len(others)
    return [*others, Finding("pass", f"{known} curricula of schema {SCHEMA}")]


def _settings(config: Callable[[str], str]) -> list[Finding]:
    if config("appendonly") == "yes":
        fsync = config("appendfsync")
        lazy = Finding(
            "warn",
            f"appendfsync {fsync}: losing power loses what the system had not written yet",
            "CONFIG SET appendfsync everysec (and in redis.conf)",
        )
        return [_FSYNC.get(fsync, lazy)]
    if config("save"):
        return [Finding("pass", f"saves to {config('dbfilename')}: {config('save')}")]
    return [
        Finding(
            "warn",
            "neither append-only file nor saves: a restart loses everything",
            "CONFIG SET appendonly yes (and in redis.conf)",
        )
    ]
