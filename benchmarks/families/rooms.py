"""Key-door rooms in a row: tasks build on each other, a quarter of the labels teaches nothing."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Final

from families.episodes import EpisodeTrainee
from families.family import COIN_FLIP, IMPOSSIBLE, Family
from redis_curriculum import Curriculum
from redis_curriculum.demo.rooms import (
    COIN_FLIPS,
    RoomsEnv,
    held_out_rooms,
    rooms_generator,
    rooms_learner,
)
from redis_curriculum.demo.rooms import IMPOSSIBLE as NO_KEY

HELD_OUT: Final = 40
"""Layouts of each solvable label."""
NATURES: Final = {rooms.label: IMPOSSIBLE for rooms in NO_KEY} | {
    rooms.label: COIN_FLIP for rooms in COIN_FLIPS
}


@lru_cache(maxsize=1)
def _held_out(each: int) -> dict[str, list[RoomsEnv]]:
    return {
        label: [_playing(params) for params in tasks]
        for label, tasks in held_out_rooms(each).items()
    }


def _playing(params: dict[str, object]) -> RoomsEnv:
    env = RoomsEnv()
    env.set_task(params)
    return env


def trainee(held_out: int, curriculum: Curriculum, seed: int) -> EpisodeTrainee:
    """Return the demo's learner in these rooms, measured on so many layouts of each label."""
    learner, measured_on = rooms_learner(seed), _held_out(held_out)
    return EpisodeTrainee(
        learner, RoomsEnv, curriculum, seed, held_out=measured_on, natures=NATURES
    )


ROOMS = Family(
    name="rooms",
    about="1 to 8 key-door rooms in a row under 12 labels, 2 impossible labels, 2 coin flips;"
    " proximal policy optimisation on whole episodes",
    tasks=256,
    generator=lambda _: rooms_generator(),
    trainee=partial(trainee, HELD_OUT),
    budget=450_000,
    every=15_000,
    thresholds=(0.8,),
)
