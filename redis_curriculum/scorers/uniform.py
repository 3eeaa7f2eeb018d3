"""Draw every task with the same probability: the baseline to compare a curriculum with.

The twin is ``lua/scorers/uniform.lua``.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from redis_curriculum._values.fields import STRUCTURAL
from redis_curriculum.scorers.base import Scorer


class UniformConfig(Scorer):
    """Draws every task of the pool with the same probability and replaces none.

    Results are counted and averaged all the same.
    """

    INDEXED_BY: ClassVar[tuple[str, ...] | None] = ()
    DRAWN_BY: ClassVar[tuple[str, ...] | None] = ()

    kind: Annotated[Literal["uniform"], STRUCTURAL] = "uniform"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen


DiscreteRandomConfig = UniformConfig
"""Its name in version 0.1."""
