"""The whole server audit, for ``redis-curriculum doctor``: what ``audit`` knows, and more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from redis_curriculum._admin.acl import load_scripts
from redis_curriculum._admin.backup import server_config
from redis_curriculum._admin.overview import curricula
from redis_curriculum._protocol.asking import Node
from redis_curriculum._protocol.keys import SCHEMA
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.requirements import Finding, audit, schema_finding
from redis_curriculum._protocol.scripts import probe
from redis_curriculum._wire.urls import Address
from redis_curriculum.errors import PermissionDeniedError, ScriptError, UnknownCommandError

_CVE: Final = (
    "affected by CVE-2025-46818: whoever may send scripts can gain the rights of who runs one next"
)
_MENDED: Final = (
    "upgrade to Redis 6.2.20, 7.2.11, 7.4.6, 8.0.4, 8.2.2 or Valkey 7.2.11, 8.0.6, 8.1.4, or newer;"
    " until then give nobody EVAL or SCRIPT LOAD (redis-curriculum acl NAME prints such users)"
)
_FSYNC: Final = {
    "always": Finding("pass", "appendfsync always: losing power loses nothing"),
    "everysec": Finding("pass", "appendfsync everysec: losing power loses about a second"),
}


def diagnose(address: Address, node: Node) -> Plan[list[Finding]]:
    """Look at everything of one node, and load the scripts; some seven round trips."""
    info = yield from node.info()
    persistent = address.kind != "embedded" or bool(address.path)
    findings = audit(info, persistent=persistent)
    findings += yield from _scripts(node)
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
    others = []
    for row in rows:
        if row.problem is not None:
            others.append(Finding("fail", row.problem))
        else:
            finding = schema_finding(row.name, row.schema or 0)
            others += [finding] if finding else []
    known = len(rows) - len(others)
    return [*others, Finding("pass", f"{known} curricula of schema {SCHEMA}")]


def _scripts(node: Node) -> Plan[list[Finding]]:
    try:
        known, missing = yield from load_scripts(node)
        shared = yield from _shared_by_scripts(node)
    except PermissionDeniedError:
        what = "this user may not load scripts: whether all are there is not known"
        return [Finding("warn", what, "redis-curriculum acl --load, as a user who may")]
    except UnknownCommandError:
        return [Finding("warn", "SCRIPT is not known here: every script is sent whole (EVAL)")]
    now = f", {missing} of them now" if missing else ""
    return [Finding("pass", f"all {known} scripts are loaded{now}"), shared]


def _shared_by_scripts(node: Node) -> Plan[Finding]:
    """Try CVE-2025-46818 out: distributions mend it without another version."""
    try:
        yield from node.command("EVAL", probe("shared").source, 0)
    except UnknownCommandError:
        raise
    except ScriptError:
        return Finding("pass", "CVE-2025-46818 is mended here")
    return Finding("warn", _CVE, _MENDED)


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
