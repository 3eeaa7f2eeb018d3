"""The families of scorers, by their ``kind``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator

from redis_curriculum.scorers.learning_progress import LearningProgressConfig
from redis_curriculum.scorers.uniform import DiscreteRandomConfig

Algorithm = Annotated[LearningProgressConfig | DiscreteRandomConfig, Discriminator("kind")]
