"""Commands about files: ``snapshot``, ``restore``, ``backup``."""

from __future__ import annotations

from typing import Annotated

import typer

from redis_curriculum._admin.backup import backup as backup_plan
from redis_curriculum._state.export import export
from redis_curriculum._state.intake import take_in
from redis_curriculum._state.restore import restoring
from redis_curriculum.cli.output import print_json, print_line, progress_bar
from redis_curriculum.cli.session import WORKING, AsJson, Name, Url, assignments, session


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("snapshot")(snapshot)
    app.command("restore")(restore)
    app.command("backup")(backup)


def snapshot(
    name: Name,
    file: Annotated[
        str, typer.Argument(show_default=False, help="The file to write, or a URL for fsspec.")
    ],
    *,
    keep: Annotated[
        int, typer.Option(metavar="N", min=0, help="Keep N older files as FILE.1, FILE.2, ...")
    ] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.")
    ] = False,
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Write the whole state of one moment to a file."""
    with session(url, WORKING) as server, progress_bar("snapshot") as progress:
        plan = export(server.store(name), file, overwrite=overwrite, keep=keep, progress=progress)
        info = server.run(plan)
    if json:
        found = {"path": str(info.path), "tasks": info.tasks, "labels": info.labels}
        print_json(found | {"bytes": info.size, "sha256": info.sha256})
    else:
        print_line(f"{info.path}: {info.tasks} tasks, {info.size} bytes")


def restore(
    file: Annotated[str, typer.Argument(show_default=False, help="A snapshot, or its URL.")],
    *,
    name: Annotated[str, typer.Option("--name", show_default=False, help="The curriculum's name.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Change a setting; the value is JSON, or a text. May be repeated.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a curriculum of that name.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Let --set change what the stored numbers mean.")
    ] = False,
    shrink: Annotated[
        bool, typer.Option("--shrink", help="Drop the lowest-LP tasks if the pool gets smaller.")
    ] = False,
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Bring a snapshot back: entirely, or not at all."""
    with session(url, WORKING) as server, progress_bar("restore") as progress:
        overrides = assignments(settings or [], "--set")
        intake = take_in(file, overrides or None, force=force, shrink=shrink)
        about, where = server.about(name), server.address.public
        server.run(restoring(about, where, intake, replace=replace, progress=progress))
    tasks, dropped = intake.totals.parts.total(), len(intake.dropped)
    if json:
        found = {"name": name, "url": server.address.public, "tasks": tasks}
        print_json(found | {"dropped": dropped, "forced": intake.forced})
    else:
        without = f", without the {dropped} of lowest progress" if dropped else ""
        print_line(f"{name} on {server.address.public}: {tasks} tasks{without}")


def backup(
    name: Name,
    *,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Wait so long for the saved file.")
    ] = 600,
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Have the server write its data to disk, and wait for it.

    All of the server, by BGREWRITEAOF where the append-only file is on, else by BGSAVE.
    """
    with session(url, WORKING) as server:
        done = server.run(backup_plan(server.store(name).server, timeout))
    if json:
        print_json(done)
    elif done.path is None:
        print_line(f"{done.kind} written; the server does not say where (CONFIG is denied)")
    else:
        print_line(done.path)
