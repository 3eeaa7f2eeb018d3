"""The README's list of modules says what each module says of itself."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "redis_curriculum"


def rooms() -> str:
    """One row for each module or folder of the package, with the first line of its docstring."""
    places = [*PACKAGE.glob("[a-z]*.py"), *(p.parent for p in PACKAGE.glob("*/__init__.py"))]
    rows = []
    for place in sorted(places):
        source = place if place.suffix else place / "__init__.py"
        says = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8")))
        assert says, f"{source} says nothing of itself"
        name = place.name if place.suffix else f"{place.name}/"
        rows.append(f"| `{name}` | {says.splitlines()[0].replace('|', '/')} |")
    return "\n".join(rows)


def test_every_module_is_listed_with_its_own_words() -> None:
    table = rooms()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert table in readme, f"README.md should have:\n{table}"
