"""The demo's frozen lakes: all sizes teach the same skill, so no order of them is much better."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Final

from families.episodes import EpisodeTrainee
from families.family import Family
from redis_curriculum import Curriculum
from redis_curriculum.demo.agent import Learner, Network
from redis_curriculum.demo.lakes import N_FEATURES, LakeEnv, held_out_maps, lakes_generator

HELD_OUT: Final = 60
"""Maps of each label, the same for all seeds."""


@lru_cache(maxsize=1)
def _held_out(each: int) -> dict[str, list[LakeEnv]]:
    return {
        label: [LakeEnv(tuple(rows)) for rows in maps]
        for label, maps in held_out_maps(each, seed=0).items()
    }


def trainee(held_out: int, curriculum: Curriculum, seed: int) -> EpisodeTrainee:
    """Return the demo's learner on these lakes, measured on so many maps of each label."""
    network = Network.fresh(seed, N_FEATURES)
    learner, measured_on = Learner(network), _held_out(held_out)
    return EpisodeTrainee(learner, LakeEnv, curriculum, seed, held_out=measured_on, natures={})


LAKES = Family(
    name="lakes",
    about="the demo's frozen lakes under five labels, by size; proximal policy optimisation on"
    " whole episodes",
    tasks=256,
    generator=lambda _: lakes_generator(),
    trainee=partial(trainee, HELD_OUT),
    budget=300_000,
    every=10_000,
    thresholds=(0.55,),
)
