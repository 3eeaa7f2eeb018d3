"""The rows that tests fill, and the table: ``pytest tests/faults --fault-table FILE``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.tally import Row, Tally, write
from tests.servers import RunningServer, redis_server

_TALLY = pytest.StashKey[Tally]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fault-table", type=Path, help="print the table of faults and write it to this file"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TALLY] = Tally()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    path, tally = config.getoption("fault_table", None), config.stash[_TALLY]
    if path and tally.rows:
        terminalreporter.section("faults")
        terminalreporter.write(tally.markdown())
        write(tally.markdown(), path)


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Callable[[str], Row]:
    """The row of a fault."""
    return request.config.stash[_TALLY].row


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of this test's own, to be mistreated; it keeps nothing on disk."""
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as running:
        yield running
