"""Commands that run something: the demo, a server."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from redis_curriculum.cli.output import print_json, print_line
from redis_curriculum.cli.session import AsJson
from redis_curriculum.errors import InvalidInputError

_LOOK_S = 1.0


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("demo")(demo)
    app.command("serve")(serve)


def demo(
    *,
    family: Annotated[str, typer.Option(help="What is learned: rooms or lakes.")] = "rooms",
    seconds: Annotated[float, typer.Option(help="What all of it may take, at least 6.")] = 120.0,
    workers: Annotated[int, typer.Option(help="Rollout processes, 1 to 64.")] = 4,
    seed: Annotated[int, typer.Option(help="Of weights, maps, curricula and workers.")] = 0,
    redis: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Use this server instead of a private one."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory for the picture.")] = Path("out"),
) -> None:
    """Train an agent: the default curriculum beside uniform draws."""
    from redis_curriculum.demo import run_demo

    run_demo(family=family, seconds=seconds, workers=workers, seed=seed, url=redis, out=out)


def serve(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            show_default=False,
            help="Where the data is kept (append-only file). Without it nothing is kept.",
        ),
    ] = None,
    *,
    json: AsJson = False,
) -> None:
    """Run the embedded server and print its URL.

    Ctrl-C or SIGTERM ends it. Other processes of this machine use it by the same URL; if some
    still do at the end, it goes on until the last of them has gone.
    """
    from redis_curriculum._wire.embedded import attach, run_id

    if directory is not None and directory.exists() and not directory.is_dir():
        raise InvalidInputError("DIR", "a directory", str(directory))
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    directory = directory and directory.absolute()
    with attach(directory) as server:
        url = f"embedded://{server.directory}" if directory else f"embedded://?run={run_id()}"
        if json:
            print_json({"url": url, "socket": str(server.socket_path)})
        else:
            print_line(url)
        sys.stdout.flush()
        while not over.wait(_LOOK_S):
            server.ensure_running()
