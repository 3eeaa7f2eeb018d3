"""The session's server is shared: each test takes away what it made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import connect


@pytest.fixture(autouse=True)
def nothing_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    used = {"name", "server", "any_server"} & set(request.fixturenames)
    values = {fixture: request.getfixturevalue(fixture) for fixture in used}
    yield
    name = values.pop("name", None)
    if name is not None:
        for server in values.values():
            client = connect(server)
            for key in client.scan_iter(f"rc:{{{name}*", count=10_000):
                client.unlink(key)
            client.close()
