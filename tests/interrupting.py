"""Calls that are interrupted at a line of the library, as Ctrl-C would, and made again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeVar

import redis_curriculum

T = TypeVar("T")

PACKAGE: Final = str(Path(redis_curriculum.__file__).parent)


@dataclass
class Lines:
    """The lines of the package that this thread executes; before one of them comes Ctrl-C."""

    stop_at: int = 0
    """Which one, from 1; 0: none."""
    seen: int = 0
    stopped_in: list[str] = field(default_factory=list)
    """Names of the modules on the stack at that line, the innermost first."""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch, in place of whoever else does (coverage)."""
        before = sys.gettrace()
        sys.settrace(self._entered)
        try:
            yield
        finally:
            sys.settrace(before)

    def _entered(self, frame: FrameType, event: str, arg: Any) -> Any:  # noqa: ARG002
        return self._line if frame.f_code.co_filename.startswith(PACKAGE) else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:  # noqa: ARG002
        if event == "line":
            self.seen += 1
            if self.seen == self.stop_at:
                self.stopped_in = list(_modules(frame))
                raise KeyboardInterrupt
        return self._line


def _modules(frame: FrameType | None) -> Iterator[str]:
    while frame:
        yield Path(frame.f_code.co_filename).stem
        frame = frame.f_back


def interrupted(call: Callable[[], T], line: int) -> tuple[T, list[str]]:
    """Make a call, interrupt it before its n-th line, make it again.

    Returns the answer, and the modules that were on the stack at that line: [] where the call had
    fewer lines.
    """
    lines = Lines(line)
    try:
        with lines.watched():
            answer = call()
    except KeyboardInterrupt:
        answer = call()
    else:
        assert not lines.stopped_in, "somebody swallowed the interruption"
    return answer, lines.stopped_in


def count_lines(call: Callable[[], object]) -> int:
    """Return how many lines of the package a call executes."""
    lines = Lines()
    with lines.watched():
        call()
    return lines.seen


def sample(lines: int, most: int) -> list[int]:
    """Choose some of the lines of a call, evenly, and as many of its last."""
    step = max(1, lines // most)
    return sorted({*range(1 + lines % step, lines, step), *range(max(1, lines - most), lines + 1)})
