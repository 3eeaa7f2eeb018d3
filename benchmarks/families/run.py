"""One run: one learner of one family on the tasks that one algorithm draws, on a server of its own.

All counts in the result are the server's, read from the curriculum's epochs: each stretch between
two evaluations is one epoch.
"""

from __future__ import annotations

import hashlib
import inspect
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from families.family import Family, Trainee
from redis_curriculum import Curriculum
from redis_curriculum.demo import agent, lakes, rooms

Record = dict[str, Any]
"""The result of a run, as JSON."""

MOST_LABELS = 64
"""With more labels than this their draws are not kept one by one."""


class CountsDifferError(Exception):
    """The server counted other draws or results than the learner made."""


@cache
def code() -> str:
    """Return a checksum of the files that decide results: families, their worlds, all scripts."""
    here = Path(__file__).parent
    files = [path for path in here.glob("*.py") if path.stem not in ("report", "picture")]
    files += [Path(inspect.getfile(module)) for module in (agent, lakes, rooms)]
    files += here.parents[1].glob("lua/**/*.lua")
    return checksum(files)


def checksum(files: Iterable[Path]) -> str:
    """Return the SHA-256 of the files' names and contents, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{path.name}:{len(content := path.read_bytes())}:".encode() + content)
    return total.hexdigest()


def settings(family: Family, algorithm: str, seed: int) -> Record:
    """Return what a result depends on; equal settings need no second run."""
    config = family.config(algorithm, seed)
    return {
        "family": family.name,
        "algorithm": algorithm,
        "seed": seed,
        "budget": family.budget,
        "every": family.every,
        "thresholds": list(family.thresholds),
        "hyperparameters": config.algorithm.model_dump(mode="json"),
        "config": config.sha256(),
        "code": code(),
    }


def run(family: Family, algorithm: str, seed: int) -> Record:
    """Train for the family's budget; return settings, marks, the server's counts and the time.

    Raises:
        CountsDifferError: The server's counts are not those of the learner.
    """
    started, cpu = time.monotonic(), time.process_time()
    with (
        _directory() as directory,
        Curriculum.open(
            f"embedded://{directory}", "learning", family.config(algorithm, seed)
        ) as curriculum,
    ):
        trainee = family.trainee(curriculum, seed)
        marks = list(_marks(family, curriculum, trainee))
        counts = curriculum.stats(labels=0)
        if counts["num_late_updates"] != trainee.tally.late:
            raise CountsDifferError(f"late: {counts['num_late_updates']}, {trainee.tally.late}")
    return {
        **settings(family, algorithm, seed),
        "marks": marks,
        "replaced": int(counts["num_evicted"]),
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def _marks(family: Family, curriculum: Curriculum, trainee: Trainee) -> Iterator[Record]:
    """Train, and tell how it stands at the start and then every ``family.every`` steps."""
    draws: Counter[str] = Counter()
    results: Counter[str] = Counter()
    for mark in range(0, family.budget + 1, family.every):
        while trainee.steps < mark:
            trainee.train()
        report = curriculum.end_epoch()
        draws.update(report.samples)
        results.update(report.completions)
        _compare(draws, results, trainee)
        tally = trainee.tally
        yield {
            "steps": trainee.steps,
            "episodes": results.total() + tally.late,
            "success": {label: round(p, 4) for label, p in trainee.evaluate().items()},
            **({"wasted": tally.wasted} if tally.wasted else {}),
            "draws": dict(draws) if len(draws) <= MOST_LABELS else {"all": draws.total()},
            "nature": {
                nature: {"episodes": episodes, "steps": tally.steps[nature]}
                for nature, episodes in tally.episodes.items()
            },
        }


def _compare(draws: Counter[str], results: Counter[str], trainee: Trainee) -> None:
    if results != trainee.tally.by_label:
        raise CountsDifferError(f"results: {results}, but played: {trainee.tally.by_label}")
    expected = results.total() + trainee.tally.late + trainee.in_flight
    if draws.total() != expected:
        raise CountsDifferError(f"draws: {draws.total()}, but finished or under way: {expected}")


@contextmanager
def _directory() -> Iterator[Path]:
    """Make a directory for an embedded server; remove it when the server has ended."""
    directory = Path(tempfile.mkdtemp(prefix="rcl-"))
    try:
        yield directory
    finally:
        until = time.monotonic() + 10
        while directory.exists() and time.monotonic() < until:
            shutil.rmtree(directory, ignore_errors=True)
            time.sleep(0.01)
