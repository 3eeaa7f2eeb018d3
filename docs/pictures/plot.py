"""Make docs/pictures/plot.png: one run of a simulated learner, as `redis-curriculum plot` draws it.

python docs/pictures/plot.py [FILE]
"""

from __future__ import annotations

import math
import random
import sys
import time

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.tasks import Buckets

LEVELS = [5, 7, 9, 11, 13]
ROUNDS = 60
MAZES = Buckets(label="maze-{size}", buckets={"size": LEVELS, "seed": list(range(2000))})


def main(path: str) -> None:
    """Play for two minutes, then draw."""
    config = CurriculumConfig(task_generator=MAZES, num_active_tasks=500, seed=1)
    skill = dict.fromkeys(LEVELS, 0.0)
    chance = random.Random(1)
    with Curriculum.open("embedded://", "mazes", config) as curriculum:
        for _ in range(ROUNDS):
            until = time.monotonic() + 2.0
            results = []
            for task in curriculum.get_tasks(200):
                level = LEVELS.index(int(task.params["size"]))
                known = sum(skill[easier] for easier in LEVELS[: level + 1]) / (level + 1)
                success = 1 / (1 + math.exp(2.5 * level + 2 - known / 150))
                skill[LEVELS[level]] += 0.2 + success
                results.append((task.task_id, float(chance.random() < success)))
            curriculum.update_many(results)
            time.sleep(max(0.0, until - time.monotonic()))
        curriculum.plot().savefig(path, dpi=70)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "docs/pictures/plot.png")
