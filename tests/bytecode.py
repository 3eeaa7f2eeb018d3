"""What Lua 5.1's own compiler makes of a source: its globals, its locals, and how many there are.

Redis runs Lua 5.1, so its compiler decides what is a global and what exceeds a limit: no second
parser can be wrong about it. The layout of a dumped function is that of lundump.c and lopcodes.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from lupa.lua51 import LuaRuntime

T = TypeVar("T")
GETGLOBAL, SETGLOBAL = 5, 7
LIBRARIES = {"bit", "cjson", "cmsgpack", "math", "redis", "string", "struct", "table"}
FUNCTIONS = {
    *("assert", "error", "ipairs", "next", "pairs", "pcall", "select", "tonumber", "tostring"),
    *("type", "unpack"),
}
REDIS = frozenset({"ARGV", "KEYS", *LIBRARIES, *FUNCTIONS})
"""The globals that every server gives to scripts and that a script may want."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function of a compiled source; the first one is the source itself."""

    reads: tuple[tuple[str, int], ...]
    """Globals that it reads, each with its line."""
    writes: tuple[tuple[str, int], ...]
    variables: tuple[tuple[str, int, int], ...]
    """Its local variables: name, and from and to which instruction."""
    upvalues: int

    @property
    def most_locals(self) -> int:
        """How many of its locals live at once; Lua allows 200."""
        starts = {start for _, start, _ in self.variables}
        return max((sum(a <= at < b for _, a, b in self.variables) for at in starts), default=0)


def functions(source: str) -> list[Function]:
    """Compile a source and return its functions, outermost first.

    Raises:
        lupa.LuaSyntaxError: It is not Lua, or exceeds one of Lua's limits.
    """
    runtime: Any = LuaRuntime(encoding=None)  # type: ignore[call-arg,unused-ignore]  # pyright: ignore[reportCallIssue]
    compiler = runtime.eval(b"function(s) return string.dump(assert(loadstring(s, '=script'))) end")
    dumped = compiler(source.encode())
    return list(_Reader(dumped).functions())


def foreign(source: str) -> list[str]:
    """Return each use of a global that Redis does not have, and each write of any global."""
    found = []
    for function in functions(source):
        found += [f"line {at}: reads {name}" for name, at in function.reads if name not in REDIS]
        found += [f"line {at}: writes {name}" for name, at in function.writes]
    return found


class _Reader:
    def __init__(self, dumped: bytes) -> None:
        if dumped[:12] != b"\x1bLua\x51\x00\x01\x04\x08\x04\x08\x00":
            raise ValueError(f"not a 64-bit, little-endian dump of Lua 5.1: {dumped[:12]!r}")
        self._bytes, self._at = dumped, 12

    def functions(self) -> Iterator[Function]:
        self._text()  # the name of the source
        self._take("<ii")  # first and last line
        upvalues, _, _, _ = self._take("<4B")
        code = self._list(lambda: self._take("<I")[0])
        constants = self._list(self._constant)
        (count,) = self._take("<i")
        inner = [function for _ in range(count) for function in self.functions()]
        lines = self._list(lambda: self._take("<i")[0])
        variables = self._list(self._variable)
        self._list(self._text)  # names of upvalues
        yield Function(
            reads=_globals(GETGLOBAL, code, constants, lines),
            writes=_globals(SETGLOBAL, code, constants, lines),
            variables=tuple(variables),
            upvalues=upvalues,
        )
        yield from inner

    def _take(self, form: str) -> tuple[int, ...]:
        found = struct.unpack_from(form, self._bytes, self._at)
        self._at += struct.calcsize(form)
        return found

    def _list(self, read: Callable[[], T]) -> list[T]:
        (count,) = self._take("<i")
        return [read() for _ in range(count)]

    def _text(self) -> str:
        (size,) = self._take("<Q")
        text = self._bytes[self._at : self._at + size]
        self._at += size
        return text.rstrip(b"\0").decode()

    def _variable(self) -> tuple[str, int, int]:
        name, (start, end) = self._text(), self._take("<ii")
        return name, start, end

    def _constant(self) -> str | None:
        (kind,) = self._take("<B")
        if kind == 4:
            return self._text()
        self._at += {0: 0, 1: 1, 3: 8}[kind]  # nil, boolean, number
        return None


def _globals(
    wanted: int, code: list[int], constants: list[str | None], lines: list[int]
) -> tuple[tuple[str, int], ...]:
    """Names and lines of the instructions of one kind: 6 bits opcode, 8 bits A, 18 bits Bx."""
    found = [
        (constants[word >> 14], line)
        for word, line in zip(code, lines, strict=True)
        if word & 63 == wanted
    ]
    return tuple((name, line) for name, line in found if name is not None)
