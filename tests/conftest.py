"""What all tests share: servers of this session, a curriculum's name for each test.

The session's servers are shared, so each test takes away what it made, and makes nothing unknown.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.harness import connect
from tests.keyspace import strangers
from tests.servers import RunningServer, executables, redis_server

# As a user's server should be; one that keeps nothing is warned of.
PERSISTENT = ("--appendonly", "yes", "--appendfsync", "no")


settings.register_profile("unhurried", deadline=None)  # no test asserts a duration


def pytest_configure() -> None:
    """No deadlines, nothing sent elsewhere; ``embedded://`` starts the chosen server, too."""
    settings.load_profile("unhurried")
    os.environ["WANDB_ERROR_REPORTING"] = "false"  # it would write to a server of its own
    if "TEST_SERVERS" in os.environ:
        first = next(iter(executables().values()))
        os.environ.setdefault("REDIS_CURRICULUM_SERVER", str(first))


@pytest.fixture(scope="session", params=list(executables()))
def every_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """Each redis-server there is, in turn."""
    directory = tmp_path_factory.mktemp(f"redis-{request.param}")
    executable = executables()[request.param]
    with redis_server(directory, executable=executable, config=PERSISTENT) as running:
        yield running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One redis-server of this session, the first there is."""
    with redis_server(tmp_path_factory.mktemp("redis"), config=PERSISTENT) as running:
        yield running


@pytest.fixture(autouse=True)
def no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call of this process adds a point to a history: tests count requests."""
    monkeypatch.setattr("redis_curriculum._store.store.HISTORY_INTERVAL_S", math.inf)


@pytest.fixture
def url(server: RunningServer) -> str:
    return server.url


@pytest.fixture
def name() -> str:
    """A curriculum's name that no other test uses."""
    return f"t-{secrets.token_hex(6)}"


@pytest.fixture(autouse=True)
def nothing_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a key that ``keys.py`` does not spell; then remove all keys."""
    used = {"server", "every_server"} & set(request.fixturenames)
    servers = [request.getfixturevalue(fixture) for fixture in used]
    yield
    found: list[str] = []
    for server in servers:
        with connect(server) as client:
            found += strangers(client)
            client.flushdb(asynchronous=True)
    assert not found, "keys that nothing spells"
