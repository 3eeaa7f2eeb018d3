"""Put the body of a Lua function where it is called, so that a script makes fewer functions.

A script makes each of its functions anew at every call. A function of five outer variables costs
some 2,000 instructions, as much as a small command. So the loader writes a function's body in
place of its calls wherever that says the same; includes stay functions, which read better::

    local function doubled(n)          local four
      return 2 * n                     do -- doubled
    end                                  local n = 2
    local four = doubled(2)              four = 2 * n
                                       end

Only what can be told from the text alone is replaced: a function that is called as a statement, as
the one value of an assignment; that returns at its end only; and whose outer
names mean at the call what they mean where it stands. Every other function stays as it is, and so
does a script with texts that are not in single quotes.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

MOST_REPEATED: Final = 60
"""Lines that a script may grow by where one function is called in several places."""
_CACHED: Final = 16_384
"""Lines whose parts are kept: scripts share most of theirs."""
_CALL: Final = re.compile(
    r"(?P<indent> *)(?:(?P<local>local )?(?P<to>[^=()]+) = )?"
    r"(?P<name>\w+)\((?P<given>.*)\)(?P<or> or \w+)?"
)
_MARK: Final = "local function "
_HEAD: Final = re.compile(r"^( *)local function (\w+)\(([\w, ]*)\)( end\b.*)?\n", re.MULTILINE)
_ALIAS: Final = re.compile(r"^ *local (\w+) = (\w+)\n", re.MULTILINE)
_LOCAL: Final = re.compile(r"\blocal (?!function)(\w+(?:, *\w+)*)")
_NAMED: Final = re.compile(r"\blocal function (\w+)")
_INNER: Final = re.compile(r"\bfor (\w+(?:, *\w+)*) (?:in|=)|\bfunction(?: \w+)?\(([\w, ]*)\)")
_COMMENT: Final = re.compile(r" *--.*")
_TABLE: Final = re.compile(r"\{[^{}]*\}")
_FIELD: Final = re.compile(r"\w+ = ")
_OTHER_TEXTS: Final = re.compile(r"\"|\[=*\[")
_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.)*'")


@dataclass(frozen=True, slots=True)
class _Function:
    name: str
    parameters: tuple[str, ...]
    body: tuple[str, ...]
    """Its lines, without its own indentation."""
    start: int
    stop: int
    """Its first line, and the one after its last."""

    def value(self) -> str | None:
        """Return what it returns: '' for nothing; None where it does so before its end."""
        code = [_code(line) for line in self.body]
        returns = [i for i, line in enumerate(code) if "return" in _names(line)]
        if not returns:
            return ""
        last = max((i for i, line in enumerate(code) if line.strip()), default=0)
        ends = returns == [last] and code[last].startswith("return ")
        return _COMMENT.sub("", self.body[last]).strip().removeprefix("return ") if ends else None

    def own(self) -> set[str]:
        """Return the names that it declares."""
        found = set(self.parameters)
        for line in self.body:
            found |= _declared(_code(line), inner=True)
        return found


def inlined(source: str) -> str:
    """Return a whole script with bodies in place of calls, wherever that says the same."""
    if _OTHER_TEXTS.search(source):
        return source
    source = _without_aliases(source)
    heads = sorted(_HEAD.finditer(source), key=lambda head: -len(head[1]))  # first those in others
    lines = source.splitlines(keepends=True)
    for name in dict.fromkeys(head[2] for head in heads):
        start = _lines_with(f"{_MARK}{name}(", source)[0]
        head = _HEAD.fullmatch(lines[start])
        function = _function(lines, start, head) if head else None
        changed = _in_place(function, lines) if function else None
        if changed is not None:
            lines, source = changed, "".join(changed)
    return source


def _without_aliases(source: str) -> str:
    """A second name of a function becomes the first one, where each is declared once."""
    functions = {match[2] for match in _HEAD.finditer(source)}
    code = [_code(line) for line in source.splitlines()]
    declared = Counter(name for line in code for name in _declared(line))
    for match in _ALIAS.finditer(source):
        alias, name = match.groups()
        if name not in functions or not declared[alias] == 1 == declared[name]:
            continue
        again = re.compile(rf"^ *(?:\w+, )*{alias}(?:, \w+)* =[^=]|\.{alias}\b")
        if not any(again.search(line) for line in code if alias in line):
            source = source.replace(match[0], "", 1)
            source = re.sub(rf"(?<![\w.'-]){alias}\b(?!')", name, source)
    return source


def _function(lines: list[str], start: int, head: re.Match[str]) -> _Function | None:
    """Return the function that begins in a line; None where its end cannot be told by its place."""
    indent, name, parameters, empty = head.groups()
    after = range(start + 1, len(lines))
    ends = (i for i in after if lines[i].strip() and _indent(lines[i]) <= len(indent))
    stop = start if empty else next(ends, start)
    if not empty and lines[stop] != f"{indent}end\n":
        return None
    body = textwrap.dedent("".join(lines[start + 1 : stop])).splitlines(keepends=True)
    return _Function(name, tuple(re.findall(r"\w+", parameters)), tuple(body), start, stop + 1)


def _in_place(function: _Function, lines: list[str]) -> list[str] | None:
    """The lines with a function's body in place of each call; None where one has to stay."""
    name, rest = function.name, [*lines[: function.start], *lines[function.stop :]]
    found = [(i, _names(rest[i]).count(name)) for i in _lines_with(name, "".join(rest))]
    uses = [i for i, times in found if times]
    if not uses:
        return rest
    if any(times > 1 for _, times in found) or uses[0] < function.start:
        return None
    if len(function.body) * (len(uses) - 1) > MOST_REPEATED or function.value() is None:
        return None
    if any(name in _names(line) for line in function.body):
        return None
    own = function.own()
    outer = _words(function.body) - own
    for i in reversed(uses):
        written = _written(function, rest[i], own)
        if written is None or _shadowed(rest, function.start, i) & outer:
            return None
        rest[i : i + 1] = written
    return rest


def _written(function: _Function, line: str, own: set[str]) -> list[str] | None:
    """A function's body in place of the line that calls it; None where it cannot stand there."""
    call = _CALL.fullmatch(_COMMENT.sub("", line).rstrip("\n"))
    given = _arguments(call["given"]) if call else None
    value, target = function.value() or "", call["to"] if call else None
    if not call or call["name"] != function.name or given is None:
        return None
    if target and not value and not call["local"]:
        return None
    names = list(function.parameters)
    given = [*given, *["nil"] * (len(names) - len(given))]
    same = {a for a, b in zip(names, given, strict=False) if a == b} - _assigned(function.body)
    words = _words((target or "",))
    if words & (own - same) or (call["local"] and words & _words(tuple(given))):
        return None
    passed = [(a, b) for a, b in zip(names, given, strict=False) if a not in same]
    left, right = ", ".join(a for a, _ in passed), ", ".join(b for _, b in passed)
    body = [f"local {left} = {right}\n", *function.body] if passed else list(function.body)
    if value:
        last = max(i for i, one in enumerate(body) if _code(one).strip())
        value = f"({value}){call['or']}" if call["or"] else value
        if target:
            body[last] = f"{target} = {value}\n"
        elif _is_call(value):
            body[last] = f"{value}\n"
        else:
            del body[last]
    if target and len(body) == 1:
        found = [f"{call['local'] or ''}{body[0]}"]
    else:
        found = [f"local {target}\n"] if call["local"] else []
        if any(_code(one).strip() for one in body):
            found += [f"do -- {function.name}\n", *(f"  {one}" for one in body), "end\n"]
    return [call["indent"] + one if one.strip() else "\n" for one in found]


def _arguments(given: str) -> list[str] | None:
    """The arguments of a call, one by one; None where the brackets do not close in it."""
    found, depth = [""], 0
    for char, plain in zip(given, _QUOTED.sub(lambda text: "'" * len(text[0]), given), strict=True):
        depth += {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(plain, 0)
        if depth < 0:
            return None
        if plain == "," and not depth:
            found.append("")
        else:
            found[-1] += char
    return [one.strip() for one in found if one.strip()] if not depth else None


def _assigned(body: tuple[str, ...]) -> set[str]:
    """The names that some lines set, without declaring them there."""
    found = (re.match(r" *(\w+(?:, *\w+)*) =[^=]", _code(line)) for line in body)
    return {name for match in found if match for name in re.findall(r"\w+", match[1])}


def _shadowed(lines: list[str], start: int, stop: int) -> set[str]:
    """The names declared between two lines that can be seen at the second one."""
    depth, found = _indent(lines[stop]), set[str]()
    deeper = " " * (depth + 1)
    for line in reversed(lines[start:stop]):
        if line.startswith(deeper):
            continue
        indent = _indent(line)
        if not line.isspace() and not line.startswith("--", indent):
            found |= _declared(_code(line), inner=indent < depth)  # less: it opens the block
            depth, deeper = indent, " " * (indent + 1)
    return found


def _lines_with(text: str, source: str) -> list[int]:
    """The numbers of the lines that have a text, from 0 on."""
    found = list[int]()
    at = number = 0
    while (place := source.find(text, at)) >= 0:
        number += source.count("\n", at, place)
        end = source.find("\n", place) + 1
        found.append(number)
        at, number = end, number + 1
    return found


@lru_cache(maxsize=_CACHED)
def _declared(code: str, *, inner: bool = False) -> frozenset[str]:
    """The names that a line declares; ``inner``: also those of the block that it opens."""
    if "local " not in code and not inner:
        return frozenset()
    found = [match[1] for match in (*_LOCAL.finditer(code), *_NAMED.finditer(code))]
    if inner:
        found += [match[1] or match[2] or "" for match in _INNER.finditer(code)]
    return frozenset(name for names in found for name in re.findall(r"\w+", names))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _words(lines: tuple[str, ...]) -> set[str]:
    """The names in some lines that are no fields."""
    code = [_TABLE.sub(lambda table: _FIELD.sub("", table[0]), _code(line)) for line in lines]
    return {word for line in code for word in re.findall(r"(?<![\w.])[A-Za-z_]\w*", line)}


@lru_cache(maxsize=_CACHED)
def _code(line: str) -> str:
    """A line without its texts and its comment."""
    return _COMMENT.sub("", _QUOTED.sub("''", line))


@lru_cache(maxsize=_CACHED)
def _names(line: str) -> tuple[str, ...]:
    """Each word of a line, as often as it stands there."""
    return tuple(re.findall(r"\w+", _code(line)))


def _is_call(value: str) -> bool:
    return bool(re.fullmatch(r"\w+\(.*\)", value))
