"""The command that changes settings: ``set``."""

from __future__ import annotations

from typing import Annotated

import typer

from redis_curriculum._store.configure import configure
from redis_curriculum._values.rules import canonical_json
from redis_curriculum.cli.output import print_json, print_line
from redis_curriculum.cli.session import WORKING, AsJson, Name, Url, assignments, session


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command("set")(change)


def change(
    name: Name,
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="FIELD=VALUE...",
            show_default=False,
            help="A tunable setting; the value is JSON, or a text.",
        ),
    ],
    *,
    shrink: Annotated[
        bool, typer.Option("--shrink", help="Let the lowest tasks go if the pool gets smaller.")
    ] = False,
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Change settings of a live curriculum.

    Its workers go by them from their next call on. Prints each field with its old and new value.
    """
    with session(url, WORKING) as server:
        store = server.store(name)
        values = assignments(settings, "setting")
        changes = server.run(configure(store, values, shrink=shrink))
    if json:
        rows = [{"field": field, "old": old, "new": new} for field, old, new in changes]
        print_json({"name": name, "config_version": store.config_version, "changes": rows})
    elif changes:
        for field, old, new in changes:
            print_line(f"{field}: {canonical_json(old)} -> {canonical_json(new)}")
    else:
        print_line("nothing to change")
