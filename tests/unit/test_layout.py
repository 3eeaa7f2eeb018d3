"""The map of the package names every module."""

from __future__ import annotations

import pkgutil
import re

import redis_curriculum


def test_the_map_of_the_package_names_every_module() -> None:
    text = redis_curriculum.__doc__ or ""
    named = set(re.findall(r"\w+", text.partition("::")[2]))
    modules = {module.name for module in pkgutil.iter_modules(redis_curriculum.__path__)}
    assert modules - {"__main__"} <= named
