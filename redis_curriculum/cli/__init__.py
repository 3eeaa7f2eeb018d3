"""The command ``redis-curriculum``: look at curricula, run a server, make and restore snapshots.

Results go to standard output, everything else to standard error. Exit codes: 0; 1 where something
failed or was found wrong; 2 for a wrong call; 130 after Ctrl-C. A mistake is one line, never a
traceback, and never holds a password.

The commands are in ``redis_curriculum.cli.app``, which ``main`` imports: that may take a second, in
which Ctrl-C is answered, too.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Never

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C."""


def main(words: Sequence[str] | None = None) -> Never:
    """Run the command line with ``words`` (or the process's arguments) and exit."""
    with _leaving_at_once():
        from redis_curriculum.cli.app import run
    sys.exit(run(words))


@contextmanager
def _leaving_at_once() -> Iterator[None]:
    """Have Ctrl-C end the process in one line, wherever an import is; nothing is to be tidied."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # ignored, or somebody else's
        return
    signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(*_: Any) -> Never:
    os.write(2, b"redis-curriculum: error: interrupted\n")
    os._exit(INTERRUPTED)


__all__ = ["INTERRUPTED", "main"]
