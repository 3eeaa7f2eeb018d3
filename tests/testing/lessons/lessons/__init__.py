"""One lesson at a time: a label is taught until it is passed, then the one with the fewest tasks.

A label that was passed stays so, whatever its success rate is later; a share of the draws goes over
all tasks, so that nothing is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from redis_curriculum.scorers import (
    STRUCTURAL,
    TUNABLE,
    Count,
    Fraction,
    OwnDraws,
    OwnKey,
    PoolNumbers,
    Scorer,
    Uniforms,
)

PLACE = Path(__file__).parent
Floats = NDArray[np.float64]


class Lessons(OwnDraws):
    """Tasks of the current lesson; with ``review_share`` any task."""

    LUA = PLACE / "draws"

    def distribution(self, pool: PoolNumbers, scorer: Any) -> Floats:
        found = np.full(n := len(pool.task_ids), 1 / max(n, 1))
        lesson = lesson_of(pool)
        if lesson is None:
            return found
        is_taught = pool.label_index == list(pool.labels).index(lesson)
        share: float = scorer.review_share
        found *= share
        found[is_taught] += (1 - share) / is_taught.sum()
        return found

    def pick(
        self,
        pool: PoolNumbers,
        scorer: Any,
        stream: Uniforms,
        count: int,  # noqa: ARG002 - all ways share the form
    ) -> Pick:
        return Pick(pool, scorer, stream)

    def index(self, pool: PoolNumbers, scorer: Any) -> Mapping[str, Mapping[str, float]]:  # noqa: ARG002
        tasks = np.bincount(pool.label_index, minlength=len(pool.labels))
        rows = zip(pool.labels, tasks.tolist(), pool.own.labels["stage"], strict=True)
        return {"open": {label: count for label, count, stage in rows if count and not stage}}


def lesson_of(pool: PoolNumbers) -> str | None:
    """Return the current lesson, or the next one where it is passed or has no tasks; or None."""
    known = pool.own.labels["open"]
    open_ = {label: n for label, n in zip(pool.labels, known, strict=True) if n == n}  # noqa: PLR0124
    current = pool.own.texts["lesson"].get("current")
    if isinstance(current, str) and current in open_:
        return current
    return min(open_, key=lambda label: (open_[label], label.encode()), default=None)


class Pick:
    is_spent = False

    def __init__(self, pool: PoolNumbers, scorer: Any, stream: Uniforms) -> None:
        parts, lesson = pool.parts(scorer), lesson_of(pool)
        self.all = np.concatenate((parts.fresh, parts.learning, parts.ripe))
        self.scorer, self.stream = scorer, stream
        self.taught = list[int]()
        if lesson is not None:
            of = list(pool.labels).index(lesson)
            positions = np.flatnonzero(pool.label_index == of).tolist()
            self.taught = sorted(positions, key=lambda at: str(pool.task_ids[at]))

    def one(self) -> int | None:
        is_review = self.stream.uniform() < self.scorer.review_share
        if is_review or not self.taught:
            return int(self.all[self.stream.index(len(self.all))])
        return self.taught[self.stream.index(len(self.taught))]

    def taken(self, position: int) -> bool:  # noqa: ARG002 - nothing is noted
        return True


class LessonsConfig(Scorer):
    """Teaches one label after the other."""

    DRAWN_BY = ()
    LUA = PLACE / "lessons.lua"
    DRAW = Lessons()
    OWN = (
        OwnKey("stage", "0: not passed yet; 1: passed.", "label", low=0, high=1, first=0),
        OwnKey("lesson", "current: the label that is taught.", "pool", is_text=True),
        OwnKey("notes", "Why a label is where it is.", "label", is_text=True, first="new"),
        OwnKey("open", "Tasks of each label that is not passed.", "label", low=1, is_index=True),
    )

    kind: Annotated[Literal["lessons"], STRUCTURAL] = "lessons"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    pass_rate: Annotated[Fraction, TUNABLE] = Field(
        default=0.8, description="Average success from which a label is passed."
    )
    least_count: Annotated[Count, TUNABLE] = Field(
        default=10, description="Results from which a label may be passed."
    )
    review_share: Annotated[Fraction, TUNABLE] = Field(
        default=0.2, description="Share of the draws that goes over all tasks."
    )
