"""The process beside an embedded server: starts it, and stops it when nobody uses it any more.

Run by ``embedded.py`` as a plain script, ``python embedded_keeper.py LOCK COMMAND...``, in the
server's directory, where LOCK is the open, locked file ``keeper``. Only the standard library is
used, and nothing of this package. The kernel frees a lock however its holder ends, so nothing here
depends on anybody saying goodbye.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final, Never

STOP_S: Final = 10.0
"""How long the server may take to end by itself, seconds."""

_BEGIN: Final = b"*1\r\n$5\r\nMULTI\r\n"
_END: Final = b"*1\r\n$4\r\nEXEC\r\n"


def main(lock: int, command: list[str]) -> Never:
    """Start the server unless it runs, wait until the last user has gone, stop it."""
    os.set_inheritable(lock, False)  # noqa: FBT003 - the argument has no name
    if os.fork():
        os._exit(0)  # whoever started this waits for it: no zombie, and no parent to die with
    os.setsid()  # nor a terminal whose Ctrl-C would arrive here
    users = os.open("users", os.O_RDWR)
    start(command)
    server = os.open("server", os.O_RDWR)
    threading.Thread(target=end_with, args=(server,), daemon=True).start()
    fcntl.flock(users, fcntl.LOCK_EX)  # every user holds it shared; newcomers wait from here on
    stop(server)


def start(command: list[str]) -> None:
    """Start the server, which holds the lock ``server`` as long as it lives; its pid is in it."""
    lock = os.open("server", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)  # it runs: the keeper before this one was killed
        return
    cut_torn_script(Path())
    if os.fork() == 0:
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)
        os.set_inheritable(lock, True)  # noqa: FBT003
        try:
            os.execv(command[0], command)  # noqa: S606 - no shell is wanted
        except OSError as error:
            print(f"{command[0]}: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the log
        finally:
            os._exit(1)
    os.close(lock)


def cut_torn_script(directory: Path) -> None:
    """Cut off a script that stands in part at the end of a server's append-only file.

    A server that is killed while it writes leaves one. Redis itself, at its next start, drops only
    the command that is torn. The commands before it stay in the file without their end, so the
    start after that one runs them together with the next script: they count twice
    (https://github.com/valkey-io/valkey/pull/4342). The server must not run.
    """
    files = [*directory.glob("appendonlydir/*.incr.aof"), *directory.glob("appendonly.aof")]
    if not files:
        return
    newest = max(files, key=lambda file: [int(n) for n in file.name.split(".") if n.isdigit()])
    with newest.open("r+b") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            begins, ends = data.rfind(_BEGIN), data.rfind(_END)
        if begins > ends:
            file.truncate(begins)


def end_with(server: int) -> None:
    """End this process as soon as the server has."""
    fcntl.flock(server, fcntl.LOCK_EX)
    os._exit(0)


def stop(server: int) -> Never:
    """Ask the server to end, then make it; the other thread ends this process."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, ValueError):
            os.kill(int(os.pread(server, 20, 0)), number)
        time.sleep(STOP_S)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
