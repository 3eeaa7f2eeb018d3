"""Which labels have figures of their own.

A label has some 16 figures in the entry of an epoch. With one label for each prompt or level that
is more than a logger takes, so there is a limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final

from redis_curriculum._values.rules import In
from redis_curriculum.errors import InvalidInputError

MOST_LABELS: Final = 100
"""So many labels have figures of their own where nothing else is asked for."""

_COUNT: Final = In("[0, 2**53)")

_OF_LABEL: Final = re.compile(
    r"(?P<family>pool_composition|sampling_counts|eviction_counts|epoch/\w+)/(?P<label>.+)"
    r"|per_label_stats/(?P<its>.+)/(?P<name>\w+)",
    re.DOTALL,
)

Labels = int | str | None
"""How many (those drawn most), a pattern (``fnmatch``), or None: the ``MOST_LABELS`` drawn most."""


def checked_labels(labels: object) -> Labels:
    """Return a choice of labels, if it is one.

    Raises:
        InvalidInputError: It is no count, no pattern and not None.
    """
    if labels is None or isinstance(labels, str):
        return labels
    try:
        return int(_COUNT.require(labels, "labels"))
    except InvalidInputError:
        rule = "a count of labels (0: none), or a pattern such as 'maze-*'"
        raise InvalidInputError("labels", rule, labels) from None


def chosen_labels(labels: Labels, known: Iterable[str], draws: Mapping[str, int]) -> set[str]:
    """Return which of the known labels have figures of their own.

    Of a count, those with the most ``draws``; among equals the first by name.
    """
    own = {label for label in known if label}  # '' holds the counts of forgotten labels
    if isinstance(labels, str):
        return {label for label in own if fnmatchcase(label, labels)}
    most = MOST_LABELS if labels is None else labels
    if len(own) <= most:
        return own
    return set(sorted(own, key=lambda label: (-draws.get(label, 0), label))[:most])


def of_label(figure: str) -> tuple[str, str | None]:
    """Return a figure's name without the label, and the label; None: it is of no label.

    ``per_label_stats/maze-5/success_rate`` is ``per_label_stats/success_rate`` of ``maze-5``.
    """
    found = _OF_LABEL.fullmatch(figure)
    if found is None:
        return figure, None
    return found["family"] or f"per_label_stats/{found['name']}", found["label"] or found["its"]
