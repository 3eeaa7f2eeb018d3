"""Put a Lua file's includes in their places: each once, after those that give what it needs.

The header of an include says, after its purpose, what it uses of others and what it is for::

    -- reap: remove workers whose lease has ended.
    -- Needs: call, prefix, meta_key
    -- Gives: reap

Both are names of local variables and functions. ``--@include reap`` puts the file there. Before it
come the includes that give what it needs, unless the name is there already: by an include, by the
script's arguments, or by its own ``local``. Blocks are told by their indentation: what is included
in one counts to its end, so that functions which are rarely needed are made only then.

A script makes each of its functions anew at every call, and each costs some hundred instructions.
So a function that the whole script does not use is left out of it (``without_unused``).
"""

from __future__ import annotations

import re
import textwrap
from collections import ChainMap, Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

_DIRECTIVE: Final = re.compile(r"--@(include|generated) (\w+)")
_LOCAL: Final = re.compile(r"local (?:function (\w+)|(\w+(?:,\s*\w+)*))")
_FUNCTION: Final = re.compile(
    r"^(?P<indent> *)local (?:function (?P<name>\w+)\([\w, .]*\)\n"
    r"(?:(?!(?P=indent)end$).*\n)*(?P=indent)end\n|(?P<alias>\w+) = \w+\n)",
    re.MULTILINE,
)
_LIST: Final = r"^-- {}: (.+(?:\n--   .+)*)"

Scope = ChainMap[str, str]
"""Where each visible name was declared; an include stands in it under its directive."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What a scorer family puts into the scripts."""

    scorer: Path | None = None
    """The Lua file that ``--@include scorer`` stands for."""
    draw: Path | None = None
    """The folder of its draws: ``index.lua`` keeps what they need, ``pick.lua`` draws."""
    uniform: Path | None = None
    """The folder of uniform draws, for the files that the other one lacks."""
    evictable: Path | None = None
    """The file that says which tasks may be replaced."""
    generated: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The lines that each ``--@generated`` name stands for."""


@dataclass(frozen=True, slots=True)
class _Part:
    where: str
    text: str
    needs: tuple[str, ...]
    gives: tuple[str, ...]
    generated: tuple[str, ...]
    """The lines that stand in it outside of blocks."""


@cache
def _part(path: Path) -> _Part:
    text, where = path.read_text(encoding="utf-8"), f"lua/{path.parent.name}/{path.name}"
    needs, gives = _listed("Needs", text), _listed("Gives", text)
    for name in gives:
        if name not in _locals_of(text):
            raise TypeError(f"{where} gives {name}, but has no local of that name")
    generated = tuple(re.findall(r"^--@generated (\w+)$", text, re.MULTILINE))
    return _Part(where, text, needs, gives, generated)


@cache
def _includes(folder: Path) -> dict[str, _Part]:
    return {path.stem: _part(path) for path in sorted((folder / "include").glob("*.lua"))}


def _listed(word: str, text: str) -> tuple[str, ...]:
    match = re.search(_LIST.format(word), text, re.MULTILINE)
    return tuple(re.findall(r"\w+", match[1])) if match else ()


def _declared(match: re.Match[str]) -> list[str]:
    return re.findall(r"\w+", match[1] or match[2])


def _locals_of(text: str) -> set[str]:
    """The local variables and functions of a file itself, not those of its blocks."""
    found = re.finditer(rf"^{_LOCAL.pattern}", text, re.MULTILINE)
    return {name for match in found for name in _declared(match)}


class Splice:
    """One script on its way to be whole."""

    def __init__(self, folder: Path, variant: Variant) -> None:
        self._generated = variant.generated
        self._parts = dict(_includes(folder))
        if variant.scorer:
            self._parts["scorer"] = _part(variant.scorer)
        if variant.evictable:
            self._parts["evictable"] = _part(variant.evictable)
        for draws in filter(None, (variant.uniform, variant.draw)):
            self._parts |= {path.stem: _part(path) for path in sorted(draws.glob("*.lua"))}
        self._givers: dict[str, list[str]] = {}
        for part in self._parts:
            for name in self._gives(self._parts[part]):
                self._givers.setdefault(name, []).append(part)
        self._open: list[str] = []

    def text(self, source: str, where: str, scope: Scope | None = None) -> str:
        """Return ``source`` with every directive replaced.

        Raises:
            TypeError: An include or generated lines are unknown, a need is given by none, includes
                need each other in a circle, or a name is declared twice in one scope.
        """
        done: list[str] = []
        for start, line, inner in _scoped(source, ChainMap() if scope is None else scope):
            directive = _DIRECTIVE.fullmatch(line.strip())
            declaration = _LOCAL.match(source, start)
            if directive:
                kind, name = directive.groups()
                replace = self._included if kind == "include" else self._written
                indent = line[: line.index("-")]
                done.append(textwrap.indent(replace(name, where, inner), indent))
                continue
            if declaration:
                _declare(_declared(declaration), where, inner)
            done.append(line)
        return "".join(done)

    def _written(self, name: str, where: str, scope: Scope) -> str:
        if name not in self._generated:
            raise TypeError(f"{where}: no scorer family generates {name}")
        text = self.text(self._generated[name], f"generated {name}", scope)
        return f"--#region {name}\n{text}--#endregion\n"

    def _included(self, name: str, where: str, scope: Scope) -> str:
        if f"--@include {name}" in scope:
            return ""
        if name not in self._parts:
            lacking = "a scorer family" if name == "scorer" else f"lua/include/{name}.lua"
            raise TypeError(f"{where} includes {name}, but there is not {lacking}")
        if name in self._open:
            raise TypeError(f"{where}: circle of includes: {' -> '.join([*self._open, name])}")
        part = self._parts[name]
        self._open.append(name)
        before = "".join(self._needed(need, part, scope) for need in part.needs)
        text = self.text(part.text, part.where, scope)
        self._open.pop()
        scope[f"--@include {name}"] = part.where
        return f"{before}--#region {name}\n{text}--#endregion\n"

    def _needed(self, need: str, part: _Part, scope: Scope) -> str:
        if need in scope:
            return ""
        givers = self._givers.get(need, [])
        if len(givers) != 1:
            who = " and ".join(givers)
            why = f"{who} give it: include one before" if who else "nothing gives it"
            raise TypeError(f"{part.where} needs {need}, but {why}")
        return self._included(givers[0], part.where, scope)

    def _gives(self, part: _Part) -> set[str]:
        """What its header says, and the names of lines generated in it."""
        texts = [self._generated.get(name, "") for name in part.generated]
        return {*part.gives, *(name for text in texts for name in _locals_of(text))}


def without_unused(source: str) -> str:
    """Return a whole script without the local functions that nothing in it uses.

    A function's own body does not count as a use, nor does a comment. Functions within functions
    stay: they are made only when the outer one runs.
    """
    used = _words(source)
    functions = [(match, _words(match[0])) for match in _FUNCTION.finditer(source)]
    unused: list[re.Match[str]] = []
    while left := [one for one in functions if used[_name(one[0])] == one[1][_name(one[0])]]:
        for match, inside in left:
            used -= inside
            unused.append(match)
        functions = [one for one in functions if one not in left]
    for match in sorted(unused, key=re.Match.start, reverse=True):
        source = source[: match.start()] + source[match.end() :]
    return source


def _name(function: re.Match[str]) -> str:
    return function["name"] or function["alias"]


def _words(code: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", re.sub(r"--.*", "", code)))


def _scoped(source: str, scope: Scope) -> Iterator[tuple[int, str, Scope]]:
    """Each line of a file, where its first word starts, and the scope that it is in."""
    blocks, at = [(0, scope)], 0
    for line in source.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip(" "))
        if line.strip():
            while indent < blocks[-1][0]:
                blocks.pop()
            if indent > blocks[-1][0]:
                blocks.append((indent, blocks[-1][1].new_child()))
        yield at + indent, line, blocks[-1][1]
        at += len(line)


def _declare(names: list[str], where: str, scope: Scope) -> None:
    for name in names:
        if name in scope.maps[0]:
            raise TypeError(f"{where} declares {name}, which {scope[name]} has declared")
        scope[name] = where
