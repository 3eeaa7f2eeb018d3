"""The families of scorers by their ``kind``: the library's own, and those of other packages.

Another package registers a family by an entry point of the group ``redis_curriculum.scorers``,
whose name is the family's ``kind`` and whose object is its class.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Final

from pydantic import BeforeValidator, SerializeAsAny

from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers.base import Scorer
from redis_curriculum.scorers.debiased_progress import DebiasedProgressConfig
from redis_curriculum.scorers.group_progress import GroupProgressConfig
from redis_curriculum.scorers.learning_progress import LearningProgressConfig
from redis_curriculum.scorers.passes import PassesConfig
from redis_curriculum.scorers.uniform import UniformConfig

GROUP: Final = "redis_curriculum.scorers"
OWN: Final[Mapping[str, type[Scorer]]] = {
    "debiased_progress": DebiasedProgressConfig,
    "group_progress": GroupProgressConfig,
    "learning_progress": LearningProgressConfig,
    "passes": PassesConfig,
    "uniform": UniformConfig,
}


def kinds() -> list[str]:
    """Return the kinds of all families that are installed, sorted."""
    return sorted({*OWN, *(point.name for point in entry_points(group=GROUP))})


def family(kind: object) -> type[Scorer]:
    """Return the class of a family.

    Raises:
        InvalidInputError: No family of that kind is installed, two packages register it, or what is
            registered cannot be imported, is no family of that kind or has no Lua file.
    """
    if isinstance(kind, str) and kind in OWN:
        return OWN[kind]
    found = entry_points(group=GROUP, name=kind) if isinstance(kind, str) else ()
    places = sorted({point.value for point in found})
    if not places:
        raise InvalidInputError("kind", f"one of {', '.join(kinds())}", kind)
    if len(places) > 1:
        raise InvalidInputError("kind", f"registered once, not by {' and '.join(places)}", kind)
    return _loaded(next(iter(found)), str(kind))


def _loaded(point: EntryPoint, kind: str) -> type[Scorer]:
    """Import another package's family."""
    try:
        loaded = point.load()
    except Exception as error:
        raise InvalidInputError("kind", f"importable: {point.value}: {error!r}", kind) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Scorer)):
        raise InvalidInputError("kind", f"that of a Scorer; {point.value} is none", kind)
    own = loaded.model_fields["kind"].default
    if own != kind:
        raise InvalidInputError("kind", f"{own!r}, as {point.value} says", kind)
    if loaded.LUA is None or not loaded.LUA.is_file():
        rule = f"of a family with a Lua file; {point.value}.LUA is {loaded.LUA}"
        raise InvalidInputError("kind", rule, kind)
    return loaded


def _check_algorithm(value: object) -> Scorer:
    if isinstance(value, Mapping):
        return family(value.get("kind")).model_validate(dict(value))
    if not isinstance(value, Scorer):
        raise ValueError("an algorithm, such as LearningProgressConfig()")  # noqa: TRY004
    if family(value.kind) is not type(value):
        raise InvalidInputError("kind", "that of the installed family", value.kind)
    return value


Algorithm = Annotated[SerializeAsAny[Scorer], BeforeValidator(_check_algorithm)]
"""Any installed family's settings; a mapping with ``kind`` is read as that family's."""
