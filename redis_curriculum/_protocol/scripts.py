"""Find, load and bind the Lua scripts: one file a script, its header is its contract.

The loader looks for ``lua/`` inside the installed package and beside it (checkout, editable
install). A script is its header, generated lines that name its arguments, and its body, in which

- ``--@include x`` stands for ``lua/include/x.lua``, once, after the includes that give what it
  needs (see ``splice.py``); ``--@include scorer`` for the file of the scorer family;
- ``--@generated x`` stands for lines that the scorer family derives from its Python half.

A caller binds a script once, at import, by the names of its arguments: other names, or another
order, are a ``TypeError``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from redis_curriculum._protocol.inline import inlined
from redis_curriculum._protocol.splice import Splice, Variant, without_unused
from redis_curriculum.errors import ScriptError

STRAIGHT: Final = ("record", "sample", "step")
"""Scripts of an episode: what they cost counts more than how they read on the server."""
_KIND: Final = r"(?:doubles|flag|float|int|JSON|str)"
_FIELD: Final = rf"\w+ {_KIND}(?: [\[(][^\])]*[\])])?"
_KEY: Final = re.compile(r"-- (?P<table>KEYS)\[(?P<n>\d+)\] (?P<name>\w+) \w+ \S+")
_ARGUMENT: Final = re.compile(
    rf"-- (?P<table>ARGV)\[(?P<n>\d+)(?P<rest>\.\.)?\] (?P<name>\w+) "
    rf"(?:(?P<kind>{_KIND})(?: .*)?|groups of (?P<group>{_FIELD}(?:, {_FIELD})*)(?:;.*)?)"
)
_CALL: Final = re.compile(r"\bcall\((?:'([A-Z_]+)'|(commands\[))")
_PASSED: Final = ("HSET", "PERSIST", "SADD", "SET", "ZADD")
"""What ``stage`` is told to call."""
_CODE: Final = re.compile(r"\b(RC[A-Z]+)\b")


@dataclass(frozen=True, slots=True)
class Contract:
    """What a script's header promises, whatever the scorer family."""

    name: str
    arguments: tuple[str, ...]
    """Names of ARGV[1], ARGV[2], ...; ``rest`` follows them."""
    rest: str | None
    """Name of the repeated arguments after the fixed ones, if there are any."""
    errors: frozenset[str]
    """Error codes the header names."""

    def script(self, variant: Variant) -> Script:
        """Return the script as it is for one scorer family."""
        return load(self.name, variant)


@dataclass(frozen=True, slots=True)
class Script(Contract):
    """One script: what to send, and what its header promises."""

    source: str = field(repr=False)
    sha: str

    @property
    def commands(self) -> frozenset[str]:
        """Every Redis command that it may call, in lower case."""
        return frozenset(_commands_in(self.source))


_loaded: Final[dict[str, Script]] = {}
"""Every script this process may have sent, by SHA-1: whatever the family."""


_families: Final[set[Variant]] = set()
"""The scorer families of the curricula that this process works on."""


@cache
def folder() -> Path:
    """Where the Lua files are: in the package, else beside it.

    Raises:
        ScriptError: Neither place has them; the installation is broken.
    """
    package = Path(__file__).resolve().parent.parent
    for place in (package / "lua", package.parent / "lua"):
        if (place / "scripts" / "record.lua").is_file():
            return place
    message = f"the lua folder is neither in {package} nor beside it; reinstall redis-curriculum"
    raise ScriptError(message)


def names() -> list[str]:
    """Names of all scripts, sorted."""
    return sorted(path.stem for path in (folder() / "scripts").glob("*.lua"))


@cache
def load(name: str, variant: Variant = Variant()) -> Script:  # noqa: B008  # frozen
    """Read one script, name its arguments and splice in its includes.

    Raises:
        TypeError: A Lua file breaks the loader's rules, or the script needs a scorer family and
            ``variant`` has none. The message names the file and the name.
    """
    where, header, body = _read(name)
    contract, head = _parse(name, where, header)
    whole = Splice(folder(), variant).text(f"{header}\n{head}\n{body}", where)
    source = without_unused(whole)
    source = inlined(source) if name in STRAIGHT else source
    script = Script(
        name=name,
        arguments=contract.arguments,
        rest=contract.rest,
        errors=contract.errors,
        source=source,
        sha=_sha(source),
    )
    _loaded[script.sha] = script
    return script


def probe(name: str) -> Script:
    """Return a script of ``lua/probes``: it looks at a server, and at no curriculum."""
    source = (folder() / "probes" / f"{name}.lua").read_text(encoding="utf-8")
    return Script(name, (), None, frozenset(), source, _sha(source))


def _sha(source: str) -> str:
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


def _read(name: str) -> tuple[str, str, str]:
    """What errors call the file, its header, its body."""
    text = (folder() / "scripts" / f"{name}.lua").read_text(encoding="utf-8")
    header, _, body = text.partition("\n\n")
    return f"lua/scripts/{name}.lua", header, body


def _parse(name: str, where: str, header: str) -> tuple[Contract, str]:
    """The contract of a header, and the lines that make its arguments local variables."""
    keys = _lines("KEYS", _KEY, where, header)
    fixed = _lines("ARGV", _ARGUMENT, where, header)
    if any(argument["rest"] for argument in fixed[:-1]):
        raise TypeError(f"{where}: only the last ARGV may repeat")
    rest = fixed.pop() if fixed and fixed[-1]["rest"] else None
    if any(argument["group"] for argument in fixed):
        raise TypeError(f"{where}: only an ARGV that repeats may be groups")
    head = _local([f"{key['name']}_key" for key in keys], [_value(key) for key in keys])
    head += _local([one["name"] for one in fixed], [_value(one) for one in fixed])
    if rest:
        stem, width = rest["name"], len(re.findall(_FIELD, rest["group"] or "")) or 1
        names = [stem, f"{stem}_first", f"{stem}_last", *([f"{stem}_width"] if width > 1 else [])]
        head += _local(names, ["ARGV", rest["n"], "#ARGV", str(width)][: len(names)])
    contract = Contract(
        name=name,
        arguments=tuple(argument["name"] for argument in fixed),
        rest=rest["name"] if rest else None,
        errors=frozenset(_CODE.findall(header)),
    )
    return contract, head


def _lines(table: str, pattern: re.Pattern[str], where: str, header: str) -> list[re.Match[str]]:
    found = []
    for line in header.split("\n"):
        if line.startswith(f"-- {table}"):
            match = pattern.fullmatch(line)
            if not match:
                raise TypeError(f"{where}: the loader cannot read {line!r}")
            found.append(match)
    if [int(match["n"]) for match in found] != list(range(1, len(found) + 1)):
        raise TypeError(f"{where}: {table} of the header must count 1, 2, ...")
    return found


def _value(line: re.Match[str]) -> str:
    """What was sent, as text; but for a flag, since '0' would be true in Lua."""
    flag = line.groupdict().get("kind") == "flag"
    return f"{line['table']}[{line['n']}]" + (" == '1'" if flag else "")


def _local(names: list[str], values: list[str]) -> str:
    return f"local {', '.join(names)} = {', '.join(values)}\n" if names else ""


def _commands_in(text: str) -> list[str]:
    found: set[str] = set()
    for literal, passed in _CALL.findall(text):
        found.update(_PASSED if passed else (literal,))
    return sorted(command.lower() for command in found)


def all_of(variants: Iterable[Variant]) -> list[Script]:
    """Return every script of some scorer families, each once."""
    found = [load(name, variant) for variant in variants for name in names()]
    return list({script.sha: script for script in found}.values())


def use(variant: Variant) -> None:
    """Note that this process works on a curriculum of that scorer family."""
    _families.add(variant)


def in_use() -> list[Script]:
    """Return every script of the scorer families that this process works on."""
    return all_of(_families)


def loaded(sha: str) -> Script | None:
    """Return the script of that SHA-1, if this process has loaded it, for whatever family."""
    return _loaded.get(sha)


def commands_at(sha: str, line: int) -> list[str]:
    """Return the commands, in lower case, that a script calls in a line, counted from 1."""
    script = loaded(sha)
    return _commands_in(script.source.splitlines()[line - 1]) if script else []


def contract(name: str, *arguments: str, rest: str | None = None) -> Contract:
    """Return a script's contract if its header names exactly these arguments, in this order.

    For scripts that need a scorer family; ``Contract.script`` loads them.

    Raises:
        TypeError: The header says otherwise.
    """
    where, header, _ = _read(name)
    found, _ = _parse(name, where, header)
    if (found.arguments, found.rest) != (arguments, rest):
        theirs = [*found.arguments, *([f"{found.rest}.."] if found.rest else [])]
        ours = [*arguments, *([f"{rest}.."] if rest else [])]
        raise TypeError(f"{where} takes {theirs}, the caller passes {ours}")
    return found


def bind(name: str, *arguments: str, rest: str | None = None) -> Script:
    """Return a script that is the same for every family, checked as ``contract`` checks it.

    Raises:
        TypeError: The header says otherwise, or the script needs a scorer family.
    """
    contract(name, *arguments, rest=rest)
    return load(name)
