"""Faults every few seconds: see ``tests/soak.py``, which goes on for 20 minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import soak

pytestmark = pytest.mark.filterwarnings("ignore::redis_curriculum.errors.ServerWarning")


@pytest.mark.slow
def test_faults_every_few_seconds(tmp_path: Path) -> None:
    counts, is_right = soak(20, 1, tmp_path)
    assert is_right, counts
    assert counts["raise"]["results"] > 100
    assert counts["continue"]["deferred"] > 0
