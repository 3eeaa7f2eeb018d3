"""The command ``redis-curriculum``: look at curricula, run a server, make and restore snapshots.

Results go to standard output, everything else to standard error. Exit codes: 0; 1 where something
failed or was found wrong; 2 for a wrong call; 130 after Ctrl-C. A mistake is one line, never a
traceback, and never holds a password.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Final, Never

import typer

from redis_curriculum.cli import admin, inspect, server, settings, snapshots
from redis_curriculum.cli.output import say
from redis_curriculum.errors import CurriculumError, InvalidInputError, without_password

app = typer.Typer(
    name="redis-curriculum",
    help="Learning-progress curricula in Redis: look at them, check, save and restore them.",
    add_completion=False,
    rich_markup_mode=None,
)
for _module in (server, inspect, settings, snapshots, admin):
    _module.add_to(app)

# Typer has click inside or beside it, depending on its version; this is click's base of errors.
_CallError: Final = typer.BadParameter.__mro__[2]
_INTERRUPTED: Final = 130


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
) -> None:
    """Learning-progress curricula in Redis: look at them, check, save and restore them."""
    if context.invoked_subcommand is None:
        sys.stdout.write(f"{context.get_help()}\n")
        raise typer.Exit(2)


def main(words: Sequence[str] | None = None) -> Never:
    """Run the command line with ``words`` (or the process's arguments) and exit."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = _show_warning
        code = _run(words)
    sys.exit(code)


def _run(words: Sequence[str] | None) -> int:
    command = typer.main.get_command(app)
    try:
        code = command.main(words, prog_name="redis-curriculum", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", _INTERRUPTED)
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


__all__ = ["app", "main"]
