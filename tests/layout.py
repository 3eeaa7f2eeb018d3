"""Count the rooms of the package, the arrows between them and the floors (``make layout``).

A room is a top-level folder or module of the package. An arrow goes from a room to another that it
imports, at whatever place. A room stands on the floor above the highest room that it imports.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import redis_curriculum

PACKAGE = Path(redis_curriculum.__file__).parent
NAME = PACKAGE.name
FACE = "__init__"

Graph = dict[str, set[str]]
"""Room to the rooms that it imports."""


class Layout(NamedTuple):
    """What the imports say."""

    arrows: Graph
    floors: list[list[str]]
    """The lowest first."""
    circles: list[tuple[str, str]]
    """Pairs of rooms that reach each other."""

    @property
    def arrow_count(self) -> int:
        """Number of arrows."""
        return sum(map(len, self.arrows.values()))


def room_of(path: Path) -> str:
    """Return the room that a source file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Yield the modules of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            is_face = node.module == NAME
            yield from (f"{NAME}.{a.name}" for a in node.names) if is_face else (node.module,)


def sources() -> list[Path]:
    """Return every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


@cache
def layout() -> Layout:
    """Read the imports of the whole package."""
    arrows: Graph = {room_of(path): set() for path in sources()}
    for path in sources():
        room = room_of(path)
        for module in imported(path):
            package, _, rest = module.partition(".")
            target = rest.partition(".")[0]
            if package == NAME:
                arrows[room].add(target if target in arrows else FACE)
        arrows[room].discard(room)
    reach = {room: _reached(room, arrows) for room in arrows}
    circles = sorted((a, b) for a in arrows for b in reach[a] if a < b and a in reach[b])
    return Layout(arrows, [] if circles else _floors(arrows), circles)


def _reached(room: str, arrows: Graph) -> set[str]:
    found: set[str] = set()
    ahead = set(arrows[room])
    while ahead:
        found |= ahead
        ahead = {target for other in ahead for target in arrows[other]} - found
    return found


def _floors(arrows: Graph) -> list[list[str]]:
    floors: list[list[str]] = []
    below: set[str] = set()
    while len(below) < len(arrows):
        floor = sorted(r for r in arrows.keys() - below if arrows[r] <= below)
        floors.append(floor)
        below |= set(floor)
    return floors


def main() -> None:
    """Print the layout."""
    found = layout()
    out = [f"{' '.join(circle)}: each imports the other" for circle in found.circles]
    for number, floor in reversed(list(enumerate(found.floors, 1))):
        out += [
            f"{number:3}  {room:12} -> {' '.join(sorted(found.arrows[room]))}" for room in floor
        ]
    out.append(
        f"{len(found.arrows)} rooms, {len(found.floors)} floors, {found.arrow_count} arrows,"
        f" {len(found.circles)} circles"
    )
    sys.stdout.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
