"""Which process of which machine a worker is, so that another process can tell whether it lives.

A pid alone says little: each container has a pid 1, and host names repeat. So a worker's entry also
holds the machine's boot id with the namespace of its pids, and when the process began. Linux says
all of this in ``/proc``. Elsewhere they are empty, and a worker counts as alive while its lease
runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_DEAD: Final = "ZX"
"""States of a process that has ended: its parent has not noticed yet."""


def machine() -> str:
    """Return what all processes share whose pids mean the same: boot id and pid namespace."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def born(pid: int) -> str:
    """Return when a process began, in ticks since the machine's start; empty where not known."""
    return (_stat(pid) or ("", ""))[1]


def is_dead(worker: Mapping[str, str]) -> bool:
    """Whether the process of a worker's entry has surely ended: seen from the same machine."""
    if not worker.get("machine") or worker["machine"] != machine():
        return False
    pid = int(worker["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it belongs to another user
    found = _stat(pid)
    if not found or not worker.get("born"):
        return False
    state, began = found
    return state in _DEAD or began != worker["born"]


def _stat(pid: int) -> tuple[str, str] | None:
    """State and start of a process: what follows its name, which may hold blanks and brackets."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], fields[19]
