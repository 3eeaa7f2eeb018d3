"""Snapshots that were changed and sealed again: refused whole, or a curriculum that works.

The checksum protects from accidents. These are files that somebody has edited. Each is restored
over a good curriculum. ``MUTANTS=2500`` in the environment makes as many of them.
"""

from __future__ import annotations

import copy
import os
import random
import re
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import Curriculum, WorkerSettings
from redis_curriculum._protocol.keys import COUNTS, Keys
from redis_curriculum.errors import CurriculumError, SnapshotError
from tests.servers import RunningServer
from tests.state.test_snapshot import config_of, lines_of, play
from tests.state.test_snapshot_file import Lines, pack

PER_TEST = 50
MUTANTS = int(os.environ.get("MUTANTS", "100"))
IMPATIENT = WorkerSettings(timeout_s=10, retry_deadline_s=10)
"""A script or a plan without end is an error of this many seconds."""

EXTREMES: list[Any] = [
    0, 1, -1, 2**31, 10**12, 2**53 - 1, 2**53, 2**63 - 1, -(2**63), 2**64, 10**400, 0.5, 1.0, -0.0,
    1e-320, 1e300, 1e308, float("nan"), float("inf"), -float("inf"), None, True, "", "0", "a",
    "x" * 300, "x" * 100_000, "\n", [], {}, [0], [0] * 6, [[]] * 9000, {"a": 1}, "__index",
]  # fmt: skip
FIELDS = [
    *("generation", "schema", "random", "config", "epoch", "next_index", "snapshot", "restored"),
    *("oldest_epoch", "late_count", "hypers", "", "a", "stats", "times", *COUNTS),
]


def mutate(lines: Lines, rng: random.Random) -> str:
    """Change one place somewhere; where, and how."""
    index = rng.randrange(len(lines))
    if rng.random() < 0.3:
        index = 0  # the manifest is one line among many
    if rng.random() < 0.1:
        return _move_line(lines, index, rng)
    place: Any = lines[index]
    path = [str(index)]
    while isinstance(place, (dict, list)) and place:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        path.append(str(key))
        inside = place[key]
        if not isinstance(inside, (dict, list)) or not inside or rng.random() < 0.15:
            return ".".join(path) + _change(place, key, rng)
        place = inside
    return ".".join(path)


def _move_line(lines: Lines, index: int, rng: random.Random) -> str:
    line = lines.pop(index)
    if rng.random() < 0.7:
        for _ in range(rng.randint(1, 3)):
            lines.insert(rng.randrange(len(lines) + 1), copy.deepcopy(line))
    return f"line {index} moved"


def _change(place: Any, key: Any, rng: random.Random) -> str:
    kind = rng.randrange(6)
    value = place[key]
    if kind == 0 and isinstance(place, dict):
        del place[key]
        return " taken out"
    if kind == 1 and isinstance(place, dict):
        name = rng.choice(FIELDS)
        place[name] = place.pop(key)
        return f" renamed {name}"
    if kind == 2 and isinstance(place, dict):
        place.update({f"{rng.choice(FIELDS)}{i}": value for i in range(rng.choice([1, 5000]))})
        return " multiplied"
    if kind == 3 and isinstance(value, (int, float)) and not isinstance(value, bool):
        place[key] = rng.choice([value + 1, -value, value * 10**6, value / 3, value + 2**40])
    else:
        place[key] = rng.choice(EXTREMES)
    return f" = {place[key]!r:.60}"


def wrong(curriculum: Curriculum) -> list[str]:
    """What check() finds but for counters: what was counted once, no record can tell."""
    counted = re.compile(r"^created \d+ less|completions in its statistics|in this epoch than ever")
    return [line for line in curriculum.check() if not counted.search(line)]


@pytest.fixture(scope="module")
def good(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """All kinds of line: epochs, quarantined tasks, labels without tasks."""
    path = tmp_path_factory.mktemp("good") / "good.rcs"
    with Curriculum.open(server.url, "good", config_of(24)) as curriculum:
        for _ in range(3):
            play(curriculum, 60)
            curriculum.end_epoch()
        play(curriculum, 10)
        for task_id in curriculum.task_ids()[:2]:
            curriculum.report_failure(task_id, "no way", permanent=True)
        curriculum.set_label(curriculum.task_ids()[0], "once")
        curriculum.set_label(curriculum.task_ids()[0], "now")
        curriculum.get_batch("step 1", 5)
        curriculum.get_batch("step 2", 3)
        curriculum.snapshot(path)
    lines = lines_of(path)
    kinds = {line["type"] for line in lines}
    assert kinds == {"manifest", "label", "epoch", "quarantine", "batch", "task", "end"}
    return lines


def state_of(server: RunningServer, name: str) -> dict[str, Any]:
    """Every key but those of workers."""
    keys = Keys(name)
    with server.client() as client:
        found = sorted(client.scan_iter(f"{keys.prefix}*", count=10_000))
        return {key: client.dump(key) for key in found if not key.startswith(keys.workers[:-1])}


@pytest.mark.parametrize("seed", range(MUTANTS // PER_TEST))
def test_an_edited_snapshot_is_refused_or_works(
    server: RunningServer, name: str, good: Lines, tmp_path: Path, seed: int
) -> None:
    rng, restored = random.Random(seed), 0
    good_path = tmp_path / "good.rcs"
    good_path.write_bytes(pack(good))
    Curriculum.restore(good_path, server.url, name, worker=IMPATIENT).close()
    before = state_of(server, name)
    for i in range(PER_TEST):
        lines = copy.deepcopy(good)
        places = [mutate(lines, rng) for _ in range(rng.randint(1, 2))]
        path = tmp_path / "mutant.rcs"
        path.write_bytes(pack(lines))
        try:
            curriculum = Curriculum.restore(path, server.url, name, replace=True, worker=IMPATIENT)
        except SnapshotError:
            assert state_of(server, name) == before, places
            continue
        except CurriculumError as error:
            raise AssertionError(f"{seed}.{i}: {places}: {error!r}") from error
        restored += 1
        with curriculum:
            _works(curriculum, tmp_path, f"{seed}.{i}: {places}")
        Curriculum.restore(good_path, server.url, name, replace=True, worker=IMPATIENT).close()
        before = state_of(server, name)
    assert restored < PER_TEST


def _works(curriculum: Curriculum, folder: Path, places: str) -> None:
    assert not wrong(curriculum), places
    try:
        play(curriculum, 20)
        assert not wrong(curriculum), places
        curriculum.end_epoch()
        curriculum.epoch_report(0)
        again = curriculum.snapshot(folder / "again.rcs", overwrite=True).path
        Curriculum.restore(
            again, curriculum.url, curriculum.name, replace=True, worker=IMPATIENT
        ).close()
    except CurriculumError as error:
        raise AssertionError(f"{places}: {error!r}") from error
