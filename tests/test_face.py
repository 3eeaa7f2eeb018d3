"""The package itself: every public name, imported when it is first used."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import redis_curriculum


def test_every_name_is_that_of_its_module() -> None:
    """What type checkers read, and what is imported when the program runs, are one list."""
    tree = ast.parse(Path(redis_curriculum.__file__).read_text(encoding="utf-8"))
    homes = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and "curriculum" in node.module
        for alias in node.names
    }
    assert sorted(homes) == sorted(redis_curriculum.__all__)
    for name, module in homes.items():
        assert getattr(redis_curriculum, name) is getattr(import_module(module), name)
        assert name in dir(redis_curriculum)
    with pytest.raises(AttributeError, match="has no attribute 'Curiculum'"):
        _ = redis_curriculum.Curiculum


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_an_import_of_the_package_imports_nothing_else() -> None:
    heavy = {"asyncio", "numpy", "pydantic", "redis", "typer", "rich"}
    assert not heavy & modules_after("import redis_curriculum, redis_curriculum.cli")
    found = modules_after("import redis_curriculum; redis_curriculum.Curriculum")
    assert heavy - found >= {"typer", "rich"}
    assert "redis_curriculum._client.asyncio" not in found
    assert "redis_curriculum.errors" in modules_after("import redis_curriculum as r; r.errors")
