"""The session's server is shared: each test takes away what it made, and makes nothing unknown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import connect
from tests.keyspace import strangers


@pytest.fixture(autouse=True)
def nothing_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a key that ``keys.py`` does not spell; then remove all keys."""
    used = {"server", "any_server"} & set(request.fixturenames)
    servers = [request.getfixturevalue(fixture) for fixture in used]
    yield
    found: list[str] = []
    for server in servers:
        with connect(server) as client:
            found += strangers(client)
            for key in client.scan_iter(count=10_000):
                client.unlink(key)
    assert not found, "keys that nothing spells"
