"""Work done by several processes at once, all let go at the same moment."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

# One server process has everything imported; each worker is a fork of it.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["redis_curriculum", "numpy"])
_START_S = 60.0
_start: Any = None


def _join(barrier: Any) -> None:
    global _start  # noqa: PLW0603 - how a pool hands a barrier to its processes
    _start = barrier


def all_together() -> None:
    """Wait until every process of this run has come here."""
    _start.wait(_START_S)


def in_processes(work: Callable[..., T], calls: Iterable[tuple[Any, ...]]) -> list[T]:
    """Call ``work`` in one process for each of ``calls``; the results, in their order.

    ``work`` is a function of a module and calls ``all_together`` when it is ready.
    """
    jobs = list(calls)
    barrier = _CONTEXT.Barrier(len(jobs))
    with ProcessPoolExecutor(
        len(jobs), mp_context=_CONTEXT, initializer=_join, initargs=(barrier,)
    ) as pool:
        return [job.result() for job in [pool.submit(work, *call) for call in jobs]]


def in_background(work: Callable[..., object], *args: Any) -> Any:
    """Start one process, which the caller must kill and join."""
    process = _CONTEXT.Process(target=work, args=args, daemon=True)
    process.start()
    return process
