"""Snapshots whose numbers were changed and sealed again: refused whole, or a curriculum that works.

The checksum protects from accidents. These are files that somebody has edited.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import Curriculum
from redis_curriculum.errors import CurriculumError, SnapshotError
from tests.servers import RunningServer
from tests.state.test_snapshot import play
from tests.state.test_snapshot_file import Lines, good_lines, pack

EXTREMES: list[Any] = [
    0, 1, -1, 2**31, 2**53 - 1, 2**53, 2**63 - 1, 2**64, 0.5, 1.0, -0.0, 1e-320, 1e300, 1e308,
    None, True, "", "0", "a", "x" * 300, [], {}, [0], {"a": 1}, "__index",
]  # fmt: skip


def mutate(lines: Lines, rng: random.Random) -> str:
    """Replace one value somewhere by another; where."""
    index = rng.randrange(len(lines))
    place: Any = lines[index]
    path = [str(index)]
    while isinstance(place, (dict, list)) and place:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        path.append(str(key))
        inside = place[key]
        if not isinstance(inside, (dict, list)) or not inside or rng.random() < 0.05:
            place[key] = rng.choice(EXTREMES)
            break
        place = inside
    return ".".join(path)


def wrong(curriculum: Curriculum) -> list[str]:
    """What check() finds but for counters: what was counted once, no record can tell."""
    counted = re.compile(r"^created \d+ less|completions in its statistics|in this epoch than ever")
    return [line for line in curriculum.check() if not counted.search(line)]


@pytest.mark.parametrize("seed", range(2))
def test_an_edited_snapshot_is_refused_or_works(
    server: RunningServer, name: str, tmp_path: Path, seed: int
) -> None:
    rng, restored = random.Random(seed), 0
    for i in range(80):
        lines = good_lines()
        places = [mutate(lines, rng) for _ in range(rng.randint(1, 2))]
        path = tmp_path / f"{i}.rcs"
        path.write_bytes(pack(lines))
        own = f"{name}.{i}"
        try:
            curriculum = Curriculum.restore(path, server.url, own)
        except SnapshotError:
            with server.client() as client:
                assert list(client.scan_iter(f"rc:{{{own}}}:*")) == [], places
            continue
        with curriculum:
            restored += 1
            assert not wrong(curriculum), places
            try:
                play(curriculum, 20)
            except CurriculumError as error:
                raise AssertionError(f"{places}: {error}") from error
            assert not wrong(curriculum), places
            curriculum.snapshot(tmp_path / f"{i}.again.rcs")
    assert 3 <= restored < 60
