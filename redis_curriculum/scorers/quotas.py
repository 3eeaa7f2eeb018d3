"""Quotas: the least and the greatest share of the draws that a label gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from redis_curriculum._values.rules import In, validate_label
from redis_curriculum.errors import InvalidInputError

Quotas = dict[str, tuple[float, float]]
"""Label to (least, greatest) share."""

MOST_QUOTAS: Final = 100
_SHARE: Final = In("[0, 1]")
_ROUNDING: Final = 1e-9


def check_quotas(value: object) -> object:
    """Return quotas that can be kept together, by label in the order of its bytes; for pydantic."""
    if not isinstance(value, Mapping):
        raise ValueError("a mapping of labels to (least, greatest)")  # noqa: TRY004 - pydantic's
    if len(value) > MOST_QUOTAS:
        raise InvalidInputError("", f"at most {MOST_QUOTAS} labels", len(value))
    found = {}
    for label, pair in value.items():
        validate_label(label, field="every label")
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:  # noqa: PLR2004
            raise InvalidInputError(f"[{label!r}]", "a pair (least, greatest)", pair)
        least, greatest = (
            float(_SHARE.require(share, f"[{label!r}][{i}]", integer=False))
            for i, share in enumerate(pair)
        )
        if least > greatest or greatest == 0:
            raise InvalidInputError(f"[{label!r}]", "least <= greatest, and greatest > 0", pair)
        found[label] = (least, greatest)
    total = sum(least for least, _ in found.values())
    if total > 1 + _ROUNDING:
        raise InvalidInputError("", "of least shares that sum to at most 1", total)
    return dict(sorted(found.items(), key=lambda pair: pair[0].encode()))


def falls_short(quotas: Mapping[str, tuple[float, float]], labels: set[str]) -> float | None:
    """Return the sum of the greatest shares, if all of these labels have one and it is below 1."""
    if not labels or not labels <= quotas.keys():
        return None
    total = sum(quotas[label][1] for label in labels)
    return total if total < 1 - _ROUNDING else None
