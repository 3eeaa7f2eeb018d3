"""The rooms of the package: their order, their arrows and their size."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import redis_curriculum
from tests.layout import FACE, PACKAGE, layout, sources

MOST_ROOMS, MOST_FLOORS, MOST_ARROWS = 24, 10, 110
MOST_LINES_OF_A_MODULE, MOST_LINES_OF_A_FUNCTION = 450, 50


def rooms_in_order() -> list[set[str]]:
    """The map in the package's docstring: one line a step, the highest first."""
    text = (redis_curriculum.__doc__ or "").partition("::")[2]
    steps = re.findall(r"^    (\S.*?)  ", text, re.MULTILINE)
    return [set(step.split(", ")) for step in steps]


def test_the_map_of_the_package_names_every_room() -> None:
    assert set().union(*rooms_in_order()) == set(layout().arrows) - {FACE}


def test_no_arrow_points_upwards() -> None:
    """The map is the order: a room imports only what stands on a lower line of it."""
    steps = rooms_in_order()
    height = {room: -line for line, rooms in enumerate(steps) for room in rooms}
    upwards = [
        f"{room} -> {target}"
        for room, targets in layout().arrows.items()
        for target in targets
        if FACE not in (room, target) and height[room] < height[target]
    ]
    assert upwards == []
    assert layout().circles == []


def test_the_house_keeps_its_size() -> None:
    found = layout()
    assert len(found.arrows) <= MOST_ROOMS
    assert len(found.floors) <= MOST_FLOORS
    assert found.arrow_count <= MOST_ARROWS


def test_the_store_and_the_wire_do_not_know_each_other() -> None:
    arrows = layout().arrows
    assert "_wire" not in arrows["_store"]
    assert "_store" not in arrows["_wire"]


def test_the_wrappers_need_only_tasks_and_errors() -> None:
    assert layout().arrows["envs"] <= {"tasks", "errors"}


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_and_functions_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES_OF_A_MODULE
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    lengths = {
        node.name: _length(node)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, functions)
    }
    long = {name: n for name, n in lengths.items() if n > MOST_LINES_OF_A_FUNCTION}
    assert long == {}


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    lines = (node.end_lineno or 0) - node.lineno + 1
    if ast.get_docstring(node) is None:
        return lines
    return lines - ((node.body[0].end_lineno or 0) - node.body[0].lineno + 1)
