"""The first row of the table of releases says what the code says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from redis_curriculum._protocol.keys import SCHEMA
from redis_curriculum._protocol.requirements import OLDEST_VERSION
from redis_curriculum._state.format import FORMAT
from tests.servers import WHEELS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operate" / "compatibility.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    text = PAGE.partition(f"## {heading}\n")[2]
    lines = [line for line in text.split("\n#")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_newest_release_is_this_code() -> None:
    _, schema, writes, reads, python, client, server = rows("Releases")[0]
    assert (schema, writes) == (str(SCHEMA), str(FORMAT))
    assert reads == ", ".join(str(n) for n in range(FORMAT + 1))
    pythons = [
        found[1]
        for line in PROJECT["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line))
    ]
    assert python == f"{pythons[0]} to {pythons[-1]}"
    assert PROJECT["requires-python"] == f">={pythons[0]}"
    (bounds,) = [line for line in PROJECT["dependencies"] if line.startswith("redis>")]
    lowest, below = re.findall(r"\d+", bounds)
    assert client == f"{lowest} to {int(below) - 1}"
    assert server.startswith(f"Redis {'.'.join(map(str, OLDEST_VERSION))} or newer")


def test_every_server_of_the_tests_is_named() -> None:
    named = {cells[-1].strip("`") for cells in rows("What the tests run on")}
    assert named == {"path", *WHEELS}
