"""The command ``dashboard``: pages in the browser."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from redis_curriculum._values.libraries import imported
from redis_curriculum.cli.output import print_line
from redis_curriculum.cli.session import LOOKING, Session, Url, session
from redis_curriculum.cli.watch import SECONDS


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command("dashboard")(dashboard)


def dashboard(
    name: Annotated[
        str | None, typer.Argument(show_default=False, help="Whose page comes first; else a list.")
    ] = None,
    *,
    address: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 5006,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT",
            show_default=False,
            help="By which the browsers call this server, if not as --address. May be repeated.",
        ),
    ] = None,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", help="From one reading to the next, 0.1 to 3600.")
    ] = 1.0,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Let the pages set tunable settings.")
    ] = False,
    url: Url = None,
) -> None:
    """Show curricula in the browser, live.

    Prints the URL of the page; Ctrl-C or SIGTERM ends it. Reads only, unless changes are allowed.
    Listens on this machine alone, unless --address says more: then the URL has a token. Needs the
    extra dashboard.
    """
    SECONDS.require(interval, "--interval", integer=False)
    imported("bokeh", "dashboard")
    from redis_curriculum.dashboard.server import Dashboard

    with session(url, LOOKING) as server:
        _require(server, name)
    made = Dashboard(
        url or "",
        name,
        address=address,
        port=port,
        origins=origin or (),
        allow_changes=allow_changes,
        interval_s=interval,
    )
    print_line(made.url)
    sys.stdout.flush()
    made.run()


def _require(server: Session, name: str | None) -> None:
    """Raise at once what would else stand on every page."""
    if name is None:
        server.run(server.node.now_ms())
    else:
        server.store(name)
