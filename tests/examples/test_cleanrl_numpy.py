"""examples/cleanrl_numpy.py learns, by what it prints and by what the curriculum holds."""

from __future__ import annotations

import re

from redis_curriculum import Curriculum
from tests.examples.running import run_example

SIZES = (3, 5, 9, 17)


def test_it_learns_and_its_learning_progress_moves(url: str, name: str) -> None:
    printed = run_example("cleanrl_numpy.py", url, name, "--steps", "24576", "--seed", "0")
    for size in SIZES:
        rates = re.search(
            rf"^grid-{size}: (\S+) solved in .* quarter, (\S+) in the last$", printed, re.MULTILINE
        )
        assert rates
        first, last = map(float, rates.groups())
        assert first + 0.1 < last
        assert last > 0.9
        progress = [float(lp) for lp in re.findall(rf"grid-{size}: [^|]* LP (\S+),", printed)]
        assert len(progress) == 8
        assert max(progress[1:]) > 0.03
        assert progress[-1] < max(progress[1:])
    with Curriculum.open(url, name) as curriculum:
        labels = curriculum.labels()
        assert set(labels) == {f"grid-{size}" for size in SIZES}
        assert curriculum.check() == []
