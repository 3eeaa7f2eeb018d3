"""All commands, and what becomes of their mistakes: one line and an exit code."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated, Final

import typer

from redis_curriculum.cli import (
    INTERRUPTED,
    admin,
    dashboard,
    inspect,
    metrics,
    past,
    pictures,
    server,
    settings,
    snapshots,
    top,
)
from redis_curriculum.cli.examples import EXAMPLES
from redis_curriculum.cli.output import say
from redis_curriculum.errors import (
    CurriculumError,
    InvalidInputError,
    ServerUnavailableError,
    without_password,
)

app = typer.Typer(
    name="redis-curriculum",
    help="Learning-progress curricula in Redis: look at them, check, save and restore them.",
    rich_markup_mode=None,
)
_LOOKING: Final = (inspect, top, dashboard, past, pictures, metrics)
for _module in (server, *_LOOKING, settings, snapshots, admin):
    _module.add_to(app)
for _info in app.registered_commands:
    _info.epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in EXAMPLES[_info.name or ""])

# Typer has click inside or beside it, depending on its version; this is click's base of errors.
_CallError: Final = typer.BadParameter.__mro__[2]


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer's way to call it
    if wanted:
        from redis_curriculum._version import __version__

        sys.stdout.write(f"redis-curriculum {__version__}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - its callback has answered
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; may stand anywhere.")] = False,
) -> None:
    """Learning-progress curricula in Redis: look at them, check, save and restore them."""
    if context.invoked_subcommand is None:
        sys.stdout.write(f"{context.get_help()}\n")
        raise typer.Exit(2)
    if json:
        _set_json(context, context.invoked_subcommand)


def _set_json(context: typer.Context, command: str) -> None:
    """Have the command print JSON, as if the option stood behind it."""
    parameters = context.command.commands[command].params  # type: ignore[attr-defined]
    if not any(parameter.name == "json" for parameter in parameters):
        raise InvalidInputError("--json", f"left out: {command} prints no JSON", command)
    context.default_map = {command: {"json": True}}


def run(words: Sequence[str] | None = None) -> int:
    """Run the command line with ``words`` (or the process's arguments); returns the exit code."""
    if isinstance(sys.stdout, TextIOWrapper):  # what the terminal cannot show is escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = _show_warning
        return _run(words)


def _run(words: Sequence[str] | None) -> int:
    command = typer.main.get_command(app)
    try:
        code = int(command.main(words, prog_name="redis-curriculum", standalone_mode=False) or 0)
        sys.stdout.flush()
        # Newer Typer makes an exit code of Ctrl-C, older ones an error.
        return _fail("interrupted", code) if code == INTERRUPTED else code
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", INTERRUPTED)
    except ServerUnavailableError as error:
        return _fail(
            f"{error} (is it running, and is --url right? redis-curriculum serve runs one)", 1
        )
    except (CurriculumError, OSError) as error:
        return _fail(str(error), 2 if isinstance(error, InvalidInputError) else 1)
    except Exception as error:
        if not isinstance(error, _CallError):
            raise
        text = error.format_message()  # type: ignore[attr-defined]
        return _fail(f"{text} (redis-curriculum --help says more)", 2)


def _fail(text: str, code: int) -> int:
    say(f"error: {without_password(text)}")
    return code


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    say(f"warning: {without_password(str(message))}")


__all__ = ["app", "run"]
