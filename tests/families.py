"""The scripts as each scorer family has them."""

from __future__ import annotations

from redis_curriculum._protocol.scripts import Script, load
from redis_curriculum._protocol.splice import Variant
from redis_curriculum._store.variant import variant_of
from redis_curriculum.scorers import LearningProgressConfig, family, kinds

VARIANTS: dict[str, Variant] = {kind: variant_of(family(kind).default()) for kind in kinds()}
VARIANTS["learning_progress, baseline"] = variant_of(
    LearningProgressConfig(use_baseline_normalization=True)
)


def whole(name: str, kind: str = "learning_progress") -> Script:
    """A script, spliced for a family."""
    return load(name, VARIANTS[kind])
