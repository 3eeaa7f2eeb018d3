"""What is known of a task: the one list of its fields, and the record they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json

from redis_curriculum._protocol.stored import field, text, whole

STATS: Final = "stats"
"""The field that holds the exact statistics, packed."""


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task as it stands in Redis. None means "never".

    Scores and averages lie in [0, 1]. What else is kept depends on the family of the algorithm:
    ``statistics`` has it by name, and each name is an attribute too, such as
    ``record.learning_progress``.
    """

    task_id: int
    """Never used again."""
    label: str
    """The group of tasks that it belongs to."""
    label_hash: int
    """The low 53 bits of the first 8 bytes of SHA-256 of the label."""
    params: dict[str, Any]
    """What the environment gets."""
    created_ms: int
    """When the task was created, ms of the server's clock."""
    sample_count: int
    """How often it was drawn."""
    completion_count: int
    """How many results were applied."""
    failure_count: int
    """How many failures were reported."""
    statistics: Mapping[str, float | None]
    """Every statistic of the family by name; None before the first result."""
    last_score: float | None = None
    consecutive_failures: int = 0
    """Failures since the last result."""
    last_error: str | None = None
    """Message of the last failure."""
    weight: float = 1.0
    """Factor of its probability (``set_weights``)."""

    def __getattr__(self, name: str) -> float | None:
        """Return a statistic of the family."""
        if name != "statistics" and name in self.statistics:
            return self.statistics[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def total_score(self) -> float:
        """Sum of all scores; 0 before the first."""
        return self.statistics.get("total_score") or 0.0

    def fields(self) -> dict[str, Any]:
        """Return everything by name, the statistics among the others."""
        own = {name: getattr(self, name) for name in self.__slots__ if name != "statistics"}
        return {**own, **self.statistics, "completion_count": self.completion_count}

    @classmethod
    def parse(
        cls, task_id: int, label_hash: int, fields: Mapping[str, Any], statistics: Sequence[str]
    ) -> TaskRecord:
        """Read a record from texts; unknown fields (of newer writers) are left out.

        ``statistics`` are the names of those that the family keeps of a task. In ``fields`` they
        may be numbers.

        Raises:
            InvalidInputError: A field cannot be read, or lacks.
        """
        known = known_fields(fields)
        found = {n: field(fields, n, float) if n in fields else None for n in statistics}
        if not known["completion_count"]:
            found = dict.fromkeys(statistics)
        return cls(task_id=task_id, label_hash=label_hash, statistics=found, **known)


def _completions(stored: str | float) -> int:
    """Of the packed statistics it is a number."""
    return whole(stored) if isinstance(stored, str) else int(stored)


_READ: Final[dict[str, Callable[[str], Any]]] = {
    "label": text,
    "params": from_json,
    "created_ms": whole,
    "sample_count": whole,
    "completion_count": _completions,
    "failure_count": whole,
    "last_score": float,
    "consecutive_failures": whole,
    "last_error": text,
    "weight": float,
}
_OPTIONAL: Final = {"last_score", "consecutive_failures", "last_error", "weight"}
FIELDS: Final[tuple[str, ...]] = (*_READ, STATS)
"""Names of the fields of a task's hash."""


def known_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Read the fields of a task's hash but the statistics; unknown ones are left out.

    Raises:
        InvalidInputError: One cannot be read, or lacks.
    """
    names = [name for name in _READ if name in fields or name not in _OPTIONAL]
    return {name: field(fields, name, _READ[name]) for name in names}


def pairs(flat: Sequence[str]) -> dict[str, str]:
    """Turn Redis's flat list of field, value, ... into a dict; the last of a name counts."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
