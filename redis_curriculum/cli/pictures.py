"""Commands that write files to look at: ``plot``, ``report``."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Annotated, Final

import typer

from redis_curriculum._values.files import can_be_replaced, write_whole
from redis_curriculum._version import __version__
from redis_curriculum.cli.output import print_json, print_line
from redis_curriculum.cli.session import AsJson, Name, Session, Url, session
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.reporting.figures import page
from redis_curriculum.reporting.page import report_page
from redis_curriculum.reporting.plots import picture, saved
from redis_curriculum.reporting.portrait import Portrait, portrait

_FORMATS: Final = ("png", "svg", "html")

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("plot")(plot)
    app.command("report")(report)


def plot(
    name: Name,
    *,
    out: Annotated[
        Path, typer.Option("--out", show_default=False, help="A file: .png, .svg or .html.")
    ],
    overwrite: Overwrite = False,
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Draw a curriculum into a file.

    Probability and success by label over time, the pool, progress, and where selectivity goes.
    PNG and SVG need the extra `plot`; HTML, which is interactive, the extra `dashboard`.
    """
    kind = _checked(out, _FORMATS, overwrite=overwrite)
    with session(url) as server:
        found = server.run(portrait(server.store(name)))
    data = page(found).encode() if kind == "html" else saved(picture(found), kind)
    _write(out, data, found, json=json)


def report(
    name: Name,
    *,
    out: Annotated[Path, typer.Option("--out", show_default=False, help="A file: .html.")],
    overwrite: Overwrite = False,
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Write a report: pictures, settings, counters, epochs.

    One HTML file that loads nothing from elsewhere, to be mailed. It needs the extra `plot`.
    """
    _checked(out, ("html",), overwrite=overwrite)
    with session(url) as server:
        found = server.run(portrait(server.store(name)))
        facts = _facts(server)
    _write(out, report_page(found, facts).encode(), found, json=json)


def _facts(server: Session) -> dict[str, object]:
    info = server.run(server.node.info("server"))
    kind = "valkey_version" if "valkey_version" in info else "redis_version"
    return {
        "server": server.address.public,
        kind.replace("_", " "): info.get(kind, "unknown"),
        "redis-curriculum": __version__,
        "Python": platform.python_version(),
    }


def _checked(out: Path, kinds: tuple[str, ...], *, overwrite: bool) -> str:
    """Return the format of a file that can be written, before anything is read."""
    kind = out.suffix.lower().removeprefix(".")
    if kind not in kinds:
        raise InvalidInputError("--out", f"a file that ends in .{' or .'.join(kinds)}", str(out))
    if not out.absolute().parent.is_dir():
        raise InvalidInputError("--out", "in a directory that exists", str(out))
    if not can_be_replaced(out):
        raise InvalidInputError("--out", "a file, no directory, device or pipe", str(out))
    if os.path.lexists(out) and not overwrite:
        raise InvalidInputError("--out", "a new file (--overwrite replaces one)", str(out))
    return kind


def _write(out: Path, data: bytes, found: Portrait, *, json: bool) -> None:
    write_whole(out, data)
    if json:
        print_json({"path": str(out), "bytes": len(data), "labels": len(found.curves.labels)})
    else:
        print_line(f"{out}: {len(data)} bytes")
