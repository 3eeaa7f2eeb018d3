"""The kinds of field that settings are made of, and what a field means at resume.

STRUCTURAL fields say what the stored numbers mean and must match. TUNABLE fields may be changed
by name.
"""

from __future__ import annotations

import enum
from typing import Annotated, Final

from pydantic import Field

from redis_curriculum._values.rules import In


class Resume(enum.Enum):
    """What a field means when a curriculum is resumed or attached to."""

    STRUCTURAL = "structural"
    TUNABLE = "tunable"


STRUCTURAL, TUNABLE = Resume.STRUCTURAL, Resume.TUNABLE

WEIGHT: Final = In("[0, 1000000]")
"""What a task's probability may be multiplied by."""

Flag = Annotated[bool, Field(strict=True)]
Fraction = Annotated[float, In("[0, 1]")]
Rate = Annotated[float, In("(0, 1]")]
Inside = Annotated[float, In("(0, 1)")]
Count = Annotated[int, In("[1, 1000000]")]
