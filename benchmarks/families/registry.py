"""Every family by name; and the same so small that the figures mean nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any

from families import lakes, minigrid, prompts, rooms
from families.family import Family

_ALL = (
    rooms.ROOMS,
    minigrid.MINIGRID,
    prompts.PROMPTS,
    prompts.TOPICS,
    prompts.SINGLES,
    *prompts.GROUPS,
    lakes.LAKES,
)
FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}

_SMALL: tuple[tuple[Family, int, dict[str, Any]], ...] = (
    (rooms.ROOMS, 4_000, {"trainee": partial(rooms.trainee, 2)}),
    (minigrid.MINIGRID, 4_096, {"trainee": partial(minigrid.GridTrainee, 1)}),
    (prompts.PROMPTS, 1_280, {}),
    (prompts.TOPICS, 1_280, {}),
    (prompts.SINGLES, 1_280, {}),
    *((groups, 1_280, {"tasks": 200}) for groups in prompts.GROUPS),
    (lakes.LAKES, 2_000, {"trainee": partial(lakes.trainee, 1)}),
)
SMOKE: dict[str, Family] = {
    family.name: replace(family, budget=budget, every=budget // 2, seeds=1, **more)
    for family, budget, more in _SMALL
}


def installed(family: str) -> bool:
    """Return whether the family's package is there; only MiniGrid needs one."""
    return family != minigrid.MINIGRID.name or find_spec("minigrid") is not None
