"""Calls at random, by several workers: see ``tests/fuzz.py``, which makes 9,000 of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fuzz import METHODS, fuzz
from tests.servers import RunningServer


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", [0, 1])
def test_a_call_does_what_it_says_or_raises_a_typed_error(
    server: RunningServer, tmp_path: Path, seed: int
) -> None:
    found = asyncio.run(fuzz(server.url, 400, seed, tmp_path))
    assert found.wrong == []
    assert found.answered > 100
    assert found.refused["InvalidInputError"] > 50
    assert len(METHODS) > 30
