"""Tests for what other packages add to this one; they need pytest."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(f"{__name__}.contract", f"{__name__}.playing")

from redis_curriculum.testing.contract import ScorerContract  # noqa: E402 - rewritten first

__all__ = ["ScorerContract"]
