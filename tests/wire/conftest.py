"""What tests of the wire share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from redis_curriculum._wire import embedded


@pytest.fixture
def freed() -> Iterator[None]:
    """What a process keeps until its end is freed before the fixtures that were asked for first."""
    yield
    while embedded._KEPT:  # noqa: SLF001
        os.close(embedded._KEPT.popitem()[1])  # noqa: SLF001
