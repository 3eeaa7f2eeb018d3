"""What differs between two configs, leaf by leaf."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from redis_curriculum._values.rules import canonical_json


def leaf_differences(own: Any, other: Any, field: str) -> Iterator[tuple[str, Any, Any]]:
    """Compare dumps leaf by leaf; objects of another kind or with other keys as a whole."""
    if isinstance(own, dict) and isinstance(other, dict):
        prefix = f"{field}." if field else ""
        if own.get("kind") != other.get("kind"):
            yield f"{prefix}kind", own.get("kind"), other.get("kind")
            return
        if own.keys() == other.keys():
            for key in own:
                yield from leaf_differences(own[key], other[key], f"{prefix}{key}")
            return
    if canonical_json(own) != canonical_json(other):
        yield field, own, other
