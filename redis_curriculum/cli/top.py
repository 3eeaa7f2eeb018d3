"""The command ``top``: a curriculum in the terminal, live."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Annotated, Final

import typer

from redis_curriculum._values.libraries import imported
from redis_curriculum.cli.session import Name, Url, session
from redis_curriculum.cli.watch import SECONDS
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.reporting.view import Reader, view

LEAST_WIDTH: Final = 40
LEAST_HEIGHT: Final = 12


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command("top")(top)


def top(
    name: Name,
    *,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", help="From one reading to the next, 0.1 to 3600.")
    ] = 1.0,
    url: Url = None,
) -> None:
    """Watch a curriculum in the terminal, live.

    Rates, labels, tasks, workers, events and alerts; sort, filter, and open a task's record.
    Reads only. q leaves. Needs the extra top; status --watch is the plain form.
    """
    SECONDS.require(interval, "--interval", integer=False)
    _require_terminal()
    imported("textual", "top")
    from redis_curriculum.cli.top_app import Top

    with session(url) as server, session(url) as beside:
        reader = Reader(lambda: server.store(name), server.run)
        details = Reader(lambda: beside.store(name), beside.run)
        first = reader.read(view)  # what is wrong from the beginning is one line
        app = Top(
            name,
            server.address.public,
            reader=reader,
            details=details,
            first=first,
            interval_s=interval,
        )
        app.run()
    if app.return_code:
        raise typer.Exit(app.return_code)


def _require_terminal() -> None:
    """Refuse where nothing can be drawn.

    Raises:
        InvalidInputError: There is no terminal, one that cannot move its cursor, or a tiny one.
    """
    plain = "redis-curriculum status --watch is the plain form"
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInputError("top", f"called at a terminal ({plain})", "a pipe or a file")
    kind = os.environ.get("TERM", "")
    if kind in ("", "dumb", "unknown"):
        raise InvalidInputError("TERM", f"a terminal that can move its cursor ({plain})", kind)
    columns, lines = shutil.get_terminal_size()
    if columns < LEAST_WIDTH or lines < LEAST_HEIGHT:
        rule = f"at least {LEAST_WIDTH} columns by {LEAST_HEIGHT} lines ({plain})"
        raise InvalidInputError("the terminal", rule, f"{columns} by {lines}")
