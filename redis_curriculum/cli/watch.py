"""Commands that go on until Ctrl-C: what is read is printed again and again."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from typer.core import TyperCommand

from redis_curriculum._values.rules import In
from redis_curriculum.cli.output import say
from redis_curriculum.errors import CurriculumError

T = TypeVar("T")

SECONDS: Final = In("[0.1, 3600]")
USUAL_SECONDS: Final = "2"
"""What ``--watch`` alone means."""


class Watchable(TyperCommand):
    """A command whose ``--watch`` may stand without its number of seconds."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the usual number where there is none."""
        if "--watch" in args:
            at = args.index("--watch") + 1
            if not (at < len(args) and re.fullmatch(r"[-+.\d][-+.\de]*", args[at])):
                args = [*args[:at], USUAL_SECONDS, *args[at:]]
        found: list[str] = super().parse_args(ctx, args)
        return found


def follow(read: Callable[[], T], show: Callable[[T], None], seconds: float) -> None:
    """Show what is read, every so many seconds, until Ctrl-C.

    A server that goes away is told once on standard error, and once that it is back.

    Raises:
        InvalidInputError: The seconds are none.
        CurriculumError: The first reading failed.
    """
    SECONDS.require(seconds, "--watch", integer=False)
    has_shown = is_silent = False
    while True:
        began = time.monotonic()
        try:
            found = read()
        except CurriculumError as error:
            if not has_shown:
                raise
            if not is_silent:
                say(f"{error}; trying again every {seconds:g} s")
            is_silent = True
        else:
            if is_silent:
                say("there is an answer again")
            is_silent, has_shown = False, True
            show(found)
            sys.stdout.flush()
        time.sleep(max(0.0, began + seconds - time.monotonic()))


__all__ = ["SECONDS", "Watchable", "follow"]
