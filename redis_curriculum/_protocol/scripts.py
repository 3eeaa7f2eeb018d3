"""Find, parse and bind the Lua scripts: one file a script, its header is its contract.

The loader looks for ``lua/`` inside the installed package and beside it (checkout, editable
install). ``--@include x`` splices in ``lua/include/x.lua``. A caller binds a script once, at
import, by the names of its arguments: other names, or another order, are a ``TypeError``.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from redis_curriculum.errors import ScriptError

_INCLUDE: Final = re.compile(r"^--@include (\w+)\n", re.MULTILINE)
_ARGUMENT: Final = re.compile(r"^-- ARGV\[(\d+)(\.\.)?\] (\w+) ", re.MULTILINE)
_CALL: Final = re.compile(r"\bcall\((?:'([A-Z_]+)'|(ARGV\[))")
_PASSED: Final = ("HSET", "PERSIST", "SADD", "ZADD")
"""What ``stage`` is told to call."""
_CODE: Final = re.compile(r"\b(RC[A-Z]+)\b")


@dataclass(frozen=True, slots=True)
class Script:
    """One script: what to send, and what its header promises."""

    name: str
    source: str
    sha: str
    arguments: tuple[str, ...]
    """Names of ARGV[1], ARGV[2], ...; ``rest`` follows them."""
    rest: str | None
    """Name of the repeated arguments after the fixed ones, if there are any."""
    errors: frozenset[str]
    """Error codes the header names."""

    @property
    def commands(self) -> frozenset[str]:
        """Every Redis command that it may call, in lower case."""
        return frozenset(_commands_in(self.source))


@cache
def folder() -> Path:
    """Where the scripts are: in the package, else beside it.

    Raises:
        ScriptError: Neither place has them; the installation is broken.
    """
    package = Path(__file__).resolve().parent.parent
    for place in (package / "lua", package.parent / "lua"):
        if (place / "record.lua").is_file():
            return place
    message = f"the lua folder is neither in {package} nor beside it; reinstall redis-curriculum"
    raise ScriptError(message)


def names() -> list[str]:
    """Names of all scripts, sorted."""
    return sorted(path.stem for path in folder().glob("*.lua"))


@cache
def load(name: str) -> Script:
    """Read one script, splice in its includes and parse its header."""
    text = (folder() / f"{name}.lua").read_text(encoding="utf-8")
    header = text.split("\n\n", 1)[0] + "\n"
    found = [(int(n), bool(rest), word) for n, rest, word in _ARGUMENT.findall(header)]
    if [n for n, _, _ in found] != list(range(1, len(found) + 1)):
        raise TypeError(f"lua/{name}.lua: ARGV of the header must count 1, 2, ...")
    if any(rest for _, rest, _ in found[:-1]):
        raise TypeError(f"lua/{name}.lua: only the last ARGV may repeat")
    rest = found.pop()[2] if found and found[-1][1] else None
    source = _INCLUDE.sub(_included, text)
    return Script(
        name=name,
        source=source,
        sha=hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(),
        arguments=tuple(word for _, _, word in found),
        rest=rest,
        errors=frozenset(_CODE.findall(header)),
    )


def _included(match: re.Match[str]) -> str:
    path = folder() / "include" / f"{match[1]}.lua"
    source = _INCLUDE.sub(_included, path.read_text(encoding="utf-8"))
    return f"--#region {match[1]}\n{source}--#endregion\n"


def _commands_in(text: str) -> list[str]:
    found: set[str] = set()
    for literal, passed in _CALL.findall(text):
        found.update(_PASSED if passed else (literal,))
    return sorted(command.lower() for command in found)


def commands_at(sha: str, line: int) -> list[str]:
    """Return the commands, in lower case, that a script calls in a line, counted from 1."""
    for script in map(load, names()):
        if script.sha == sha:
            return _commands_in(script.source.splitlines()[line - 1])
    return []


def bind(name: str, *arguments: str, rest: str | None = None) -> Script:
    """Return the script if its header names exactly these arguments, in this order.

    Raises:
        TypeError: The header says otherwise.
    """
    script = load(name)
    if (script.arguments, script.rest) != (arguments, rest):
        theirs = [*script.arguments, *([f"{script.rest}.."] if script.rest else [])]
        ours = [*arguments, *([f"{rest}.."] if rest else [])]
        raise TypeError(f"lua/{name}.lua takes {theirs}, the caller passes {ours}")
    return script
