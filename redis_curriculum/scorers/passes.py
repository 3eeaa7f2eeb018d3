"""Hand out every task once before any of them again: passes over a data set.

The twin is ``lua/scorers/passes.lua``.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import model_validator

from redis_curriculum._values.fields import STRUCTURAL
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers.base import Draw, Scorer
from redis_curriculum.scorers.own import OwnDraws, OwnKey


class PassesConfig(Scorer):
    """Hands out every task of the pool once, in random order, then every task once more.

    All workers together make one pass. Results are counted and averaged, and change no draw.
    """

    DRAW: ClassVar[Draw | OwnDraws] = "passes"
    TAKES_WEIGHTS: ClassVar[bool] = False
    DRAWS_AHEAD: ClassVar[bool] = False
    INDEXED_BY: ClassVar[tuple[str, ...] | None] = ()
    DRAWN_BY: ClassVar[tuple[str, ...] | None] = ()
    OWN: ClassVar[tuple[OwnKey, ...]] = (
        OwnKey(
            "handed_out",
            "The pass in which the task was handed out last; 0: never.",
            holder="task",
            low=0,
            high=2.0**53,
            first=0,
        ),
        OwnKey("pass", "``number``: the current pass, from 1.", holder="pool", low=1, high=2.0**53),
    )

    kind: Annotated[Literal["passes"], STRUCTURAL] = "passes"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen

    @model_validator(mode="after")
    def _has_no_quotas(self) -> Self:
        if self.label_share:
            rule = "empty, as every task is handed out as often as the others"
            raise InvalidInputError("label_share", rule, self.label_share)
        return self
