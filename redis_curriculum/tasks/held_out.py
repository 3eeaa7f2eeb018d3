"""Which tasks are held out: kept from training, for evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from redis_curriculum._values.rules import In
from redis_curriculum.tasks.base import bits_of, uniform

HeldOut = float | tuple[str, ...]
"""A share of the tasks by their ids, or patterns of labels."""
if TYPE_CHECKING:  # one pattern, or a list, may be given; it is kept as a tuple
    HeldOutRule = float | str | Sequence[str]
else:
    HeldOutRule = HeldOut

_SHARE: Final = In("(0, 1)")


def check_held_out(value: object) -> object:
    """Return a rule of held-out tasks; one pattern stands for a list of it. For pydantic."""
    if value is None:
        return None
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, (list, tuple)):
        return float(_SHARE.check(value, integer=False))
    if not patterns or not all(isinstance(pattern, str) and pattern for pattern in patterns):
        raise ValueError("a share in (0, 1), a pattern of labels or a list of such patterns")
    if any(not pattern.strip("*") for pattern in patterns):
        raise ValueError("a rule that leaves tasks to train on")
    return tuple(patterns)


def is_held_out(rule: HeldOutRule | None, task_id: int, label: str) -> bool:
    """Whether a task is held out; the same on every machine.

    A share goes by BLAKE2b of the id alone: neither seed nor label decides.
    """
    if rule is None:
        return False
    if isinstance(rule, (int, float)):
        return uniform(bits_of(task_id, "held out")) < rule
    return any(fnmatchcase(label, pattern) for pattern in rule)
