"""What makes a server fit, from its INFO alone."""

from __future__ import annotations

import warnings

import pytest

from redis_curriculum._protocol.requirements import Finding, audit, enforce, parse_info
from redis_curriculum.errors import ServerWarning, UnsupportedServerError

GOOD = {
    "redis_version": "7.0.15",
    "maxmemory": "0",
    "maxmemory_policy": "noeviction",
    "role": "master",
    "aof_enabled": "1",
    "aof_last_write_status": "ok",
    "rdb_last_bgsave_status": "ok",
}


def levels(**changes: str) -> list[str]:
    return [finding.level for finding in audit({**GOOD, **changes}) if finding.level != "pass"]


def test_info_is_read_line_by_line() -> None:
    text = "# Server\r\nredis_version:7.0.15\r\n\r\n# Keyspace\r\ndb0:keys=1,expires=0\r\nodd\r\n"
    assert parse_info(text) == {"redis_version": "7.0.15", "db0": "keys=1,expires=0"}


def test_a_fit_server_passes() -> None:
    assert levels() == []
    assert len(audit(GOOD)) == 5


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("6.2.0", []),
        ("6.10.0", []),
        ("10.0.1", []),
        ("255.255.255", []),
        ("6.1.99", ["fail"]),
        ("5.9.0", ["fail"]),
        ("6", ["fail"]),
        ("", ["fail"]),
    ],
)
def test_versions(version: str, expected: list[str]) -> None:
    assert levels(redis_version=version) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, ["warn"]),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": "1"}, ["fail"]),
        ({"maxmemory_policy": "volatile-lru", "maxmemory": "1"}, ["fail"]),
        ({"maxmemory": "100"}, []),
        ({"role": "slave", "master_host": "h", "master_port": "7"}, ["fail"]),
        ({"aof_enabled": "0"}, ["warn"]),
        ({"aof_last_write_status": "err"}, ["fail"]),
        ({"rdb_last_bgsave_status": "err"}, ["warn"]),
    ],
    ids=str,
)
def test_what_is_wrong_is_found_with_its_remedy(
    changes: dict[str, str], expected: list[str]
) -> None:
    assert levels(**changes) == expected
    assert all(finding.remedy for finding in audit({**GOOD, **changes}) if finding.level != "pass")


def test_persistence_matters_only_where_it_is_meant() -> None:
    changed = {**GOOD, "aof_enabled": "0", "rdb_last_bgsave_status": "err"}
    assert [finding.level for finding in audit(changed, persistent=False)] == ["pass"] * 3


def test_a_failure_is_raised_and_a_warning_warned() -> None:
    findings = [Finding("pass", "fine"), Finding("warn", "no file", "make one")]
    with pytest.warns(ServerWarning, match="redis://h: no file; make one"):
        enforce(findings, "redis://h")
    with pytest.raises(UnsupportedServerError, match="redis://h: too old; upgrade"):
        enforce([Finding("fail", "too old", "upgrade")], "redis://h")
    with warnings.catch_warnings():
        enforce([Finding("pass", "fine")], "redis://h")


def test_the_primary_of_a_replica_is_named() -> None:
    info = {**GOOD, "role": "slave", "master_host": "there", "master_port": "7"}
    with pytest.raises(UnsupportedServerError, match="there:7"):
        enforce(audit(info), "redis://h")
