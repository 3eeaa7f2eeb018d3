"""Close the handles that hold results, when their process ends."""

from __future__ import annotations

import os
from multiprocessing import util
from typing import Final, Protocol


class _Closable(Protocol):
    def close(self) -> None: ...


_open: Final[set[_Closable]] = set()
_watched: Final[set[int]] = set()
"""The processes, this one and those that it was forked from, that close them at their end."""


def close_at_exit(handle: _Closable) -> None:
    """Close a handle at the end of this process, if nobody has closed it before.

    Also in a process of ``multiprocessing``, whose end ``atexit`` does not see.
    """
    if os.getpid() not in _watched:
        _watched.add(os.getpid())
        util.Finalize(None, _close_all, exitpriority=1)
    _open.add(handle)


def is_closed(handle: _Closable) -> None:
    """Note that a handle was closed."""
    _open.discard(handle)


def _close_all() -> None:
    for handle in list(_open):
        handle.close()  # one of another process does nothing
