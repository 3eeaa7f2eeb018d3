"""Curricula for the wrappers, closed when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redis_curriculum.config import CurriculumConfig
from tests.envs.worlds import Watched, config_of

Opened = Callable[..., Watched]


@pytest.fixture
def opened(url: str, name: str) -> Iterator[Opened]:
    """Open handles on this test's curriculum."""
    handles: list[Watched] = []

    def open_one(config: CurriculumConfig | None = None, **fields: Any) -> Watched:
        handles.append(Watched.open(url, name, config or config_of(**fields)))
        return handles[-1]

    yield open_one
    for handle in handles:
        handle.close()
