"""The demo: an agent learns twice, from the default curriculum and from uniform draws."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from redis_curriculum.errors import CurriculumError

if TYPE_CHECKING:
    from rich.console import Console

    from redis_curriculum.demo.report import DemoReport


def run_demo(
    *,
    family: str = "rooms",
    seconds: float = 120.0,
    workers: int = 4,
    seed: int = 0,
    url: str | None = None,
    out: Path = Path("out"),
    console: Console | None = None,
) -> DemoReport:
    """Train with the default curriculum and with uniform draws; print and draw what happened.

    Args:
        family: What is learned: ``rooms`` (key-door rooms in a row: tasks build on each other) or
            ``lakes`` (frozen lakes: all tasks teach the same).
        seconds: What all of it should take, at least 6; 0.38 of it goes to each training.
        workers: Rollout processes, 1 to 64.
        seed: Of weights, maps, curricula and workers; at least 0.
        url: Where the curricula live; None: the private server of this run (``embedded://``).
        out: Directory for the picture; made if it is missing.
        console: Where to print; standard output by default.

    Raises:
        InvalidInputError: An argument is out of its range, or ``out`` cannot be written.
        CurriculumError: The ``demo`` extra is not installed, the server cannot be used, or every
            worker has died. KeyboardInterrupt passes through. All processes are gone either way.
    """
    missing = [name for name in ("gymnasium", "matplotlib") if find_spec(name) is None]
    if missing:
        raise CurriculumError(
            f"the demo needs {' and '.join(missing)}: pip install 'redis-curriculum[demo]'"
        )
    from redis_curriculum.demo.run import run

    return run(
        family=family,
        seconds=seconds,
        workers=workers,
        seed=seed,
        url=url,
        out=out,
        console=console,
    )


__all__ = ["run_demo"]
