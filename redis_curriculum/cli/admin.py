"""Commands that tend a server: ``gc``, ``delete``, ``migrate``, ``doctor``, ``acl``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from redis_curriculum._admin import cleanup
from redis_curriculum._admin.acl import acl_lines, load_scripts
from redis_curriculum._admin.doctor import diagnose, schemas
from redis_curriculum._state.migrate import migrating
from redis_curriculum._store.workers import workers
from redis_curriculum.cli.output import print_json, print_line, print_table, progress_bar, say
from redis_curriculum.cli.session import WORKING, AsJson, Name, Session, Url, session
from redis_curriculum.errors import CurriculumError, InvalidInputError


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("gc")(gc)
    app.command("delete")(delete)
    app.command("migrate")(migrate)
    app.command("doctor")(doctor)
    app.command("acl")(acl)


def gc(
    name: Annotated[
        str | None, typer.Argument(show_default=False, help="One curriculum; else all.")
    ] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Remove what dead processes have left.

    Staged and old generations, copies of dead snapshots, expired workers, and what is left of
    deleted curricula. Nothing that a live process may need.
    """
    with session(url, WORKING) as server, progress_bar("gc"):
        if name is not None:
            plan = cleanup.gc(server.about(name), dry_run=dry_run)
        else:
            deadline_s = server.settings.retry_deadline_s
            plan = cleanup.gc_all(server.address, deadline_s, dry_run=dry_run)
        found = server.run(plan)
    if json:
        print_json({"dry_run": dry_run, "removed": found})
    elif found:
        heading = "would remove" if dry_run else "removed"
        rows = ((leftover.name, leftover.what, leftover.count) for leftover in found)
        print_table(("curriculum", heading, ">count"), rows)
    else:
        print_line("nothing to remove")


def delete(
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also while workers hold leases.")] = False,
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Delete a curriculum, after a question.

    Refused while workers hold leases, unless forced: then they get an error with their next call.
    The keys go in small steps; should this be interrupted, the same command or `gc` goes on.
    """
    with session(url, WORKING) as server:
        curriculum = server.about(name)
        if not yes:
            _ask(f"Delete curriculum {name} on {server.address.public}?")
        live = [] if force else server.run(workers(curriculum, live_only=True))
        if live:
            raise CurriculumError(
                f"{len(live)} live workers use curriculum {name!r} (redis-curriculum workers lists"
                " them): end them, wait until their leases have ended, or use --force"
            )
        with progress_bar("delete"):
            keys = server.run(cleanup.delete(curriculum))
    if json:
        print_json({"name": name, "keys": keys})
    else:
        print_line(f"{name} deleted: {keys} keys")


def _ask(question: str) -> None:
    """Let a person at a terminal say yes.

    Raises:
        InvalidInputError: Nobody is there who could.
        CurriculumError: The answer was no.
    """
    if not sys.stdin.isatty():
        raise InvalidInputError("--yes", "given where there is no terminal to ask at", value=False)
    if not typer.confirm(question, err=True):
        raise CurriculumError("nothing was deleted")


def migrate(name: Name, *, url: Url = None, json: AsJson = False) -> None:
    """Bring an older version's curriculum up to this one.

    In place: entirely, or not at all. Workers of the older version must have ended; for 5 seconds
    this waits for them. Afterwards the older version refuses the curriculum.
    """
    with session(url, WORKING) as server, progress_bar("migrate") as progress:
        where = server.address.public
        done = server.run(migrating(server.about(name), where, progress))
    if json:
        print_json({"url": where, **asdict(done)})
    elif done.from_schema == done.to_schema:
        print_line(f"{done.name} on {where}: schema {done.to_schema} already")
    else:
        schemas = f"schema {done.from_schema} to {done.to_schema}"
        print_line(f"{done.name} on {where}: {schemas}, {done.tasks} tasks")


def doctor(
    server_url: Annotated[
        str | None, typer.Argument(metavar="[URL]", show_default=False, help="As --url.")
    ] = None,
    *,
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Say whether the server is fit to keep curricula.

    Everything that is looked at, with pass, warn or fail and the command that mends it. Exit code
    1 if anything fails.
    """
    found = []
    with session(server_url or url) as server:
        for node in server.nodes():
            where = node.address.public
            findings = node.run(diagnose(node.address, node.node))
            found += [{"server": where, **finding._asdict()} for finding in findings]
        findings = server.run(schemas(server.address, server.settings.retry_deadline_s))
        found += [{"server": server.address.public, **finding._asdict()} for finding in findings]
    if json:
        print_json(found)
    else:
        for finding in found:
            print_line(f"{finding['level']}  {finding['what']}")
            if finding["remedy"]:
                print_line(f"      -> {finding['remedy']}")
    if any(finding["level"] == "fail" for finding in found):
        raise typer.Exit(1)


def acl(
    name: Annotated[
        str | None, typer.Argument(show_default=False, help="The curriculum's name.")
    ] = None,
    *,
    load: Annotated[
        bool, typer.Option("--load", help="Load the scripts, which these users may not.")
    ] = False,
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Print least-privilege users, or load the scripts.

    Lines for redis-cli, for this server's version. Put a password of your own where PASSWORD
    stands. The curriculum need not exist. With --load the scripts are loaded that the server (or a
    node of the cluster) or one of its replicas lacks: for workers who may not do that.
    """
    if name is None and not load:
        raise InvalidInputError("NAME", "given, or --load", name)
    with session(url, WORKING) as server:
        found: dict[str, Any] = {}
        if name is not None:
            found = _lines_of(name, server)
        if load:
            found["scripts"] = _loaded(server)
    if json:
        print_json(found)
        return
    for role in ("worker", "viewer") if name is not None else ():
        print_line(found[role])
    if load:
        scripts = found["scripts"]
        say("{known} scripts, {loaded} of them loaded now".format(**scripts))
        if scripts["replicas"]:
            say(f"also on {scripts['replicas']} replicas")
        if scripts["unreached"]:
            where = ", ".join(scripts["unreached"])
            say(f"not on {where}, which cannot be reached: load them again after a failover")


def _loaded(server: Session) -> dict[str, Any]:
    """Load the scripts on each primary, and on its replicas: one of them may be promoted."""
    done, replicas, unreached = list[tuple[int, int]](), 0, list[str]()
    for node in server.nodes():
        done.append(node.run(load_scripts(node.node)))
        for replica in node.replicas():
            try:
                replica.run(load_scripts(replica.node))
                replicas += 1
            except CurriculumError:
                unreached.append("{}:{}".format(*replica.address.hosts[0]))
    loaded = sum(missing for _, missing in done)
    return {"known": done[0][0], "loaded": loaded, "replicas": replicas, "unreached": unreached}


def _lines_of(name: str, server: Session) -> dict[str, Any]:
    info = server.run(server.node.info("server"))
    version = info.get("redis_version", "unknown")
    address = server.address
    in_cluster = address.kind == "cluster"
    lines = acl_lines(name, version, key_prefix=address.prefix, cluster=in_cluster)
    return {"version": version, "worker": lines.worker, "viewer": lines.viewer}
