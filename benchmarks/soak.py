"""A long life under load: memory and rates stay flat, and every invariant holds at its end.

Worker processes play and replace tasks; the pool, its labels and the events stay as large as they
are, so memory must too. The first tenth fills what is bounded (events, replay) and is not judged.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from measure import Row, arguments, machine, report
from processes import KINDS, background
from server import Server

from redis_curriculum import Curriculum, CurriculumConfig, LearningProgressConfig
from redis_curriculum.tasks import Buckets

PROCESSES = 2


@dataclass
class Samples:
    """What was seen, second by second."""

    seconds: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    episodes: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)

    def growth(self, values: list[int]) -> float:
        """Percent by which a straight line through the later nine tenths rises."""
        late = len(values) // 10
        x, y = np.array(self.seconds[late:]), np.array(values[late:], dtype=float)
        slope, at = np.polyfit(x, y, 1)
        return float(100 * slope * (x[-1] - x[0]) / (at + slope * x[0]))

    def rates(self) -> list[int]:
        """Episodes per second between the samples."""
        return [int(rate) for rate in np.diff(self.episodes) / np.diff(self.seconds)]


def config() -> CurriculumConfig:
    """Tasks come and go; few events are kept, so that the stream is full soon."""
    kinds = Buckets(label="kind-{kind}", buckets={"kind": list(range(20)), "seed": list(range(50))})
    return CurriculumConfig(
        task_generator=kinds,
        num_active_tasks=500,
        events_retained=200,
        algorithm=LearningProgressConfig(min_samples_for_lp=3, min_presentations_for_eviction=5),
    )


def main(*, minutes: float = 0.4, smoke: bool = False) -> list[Row]:
    """Run, print, store; return the rows."""
    seconds = 0.6 if smoke else 60 * minutes
    seen = Samples()
    with Server() as server, server.client() as client:
        where = machine(client)
        client.config_set("slowlog-log-slower-than", -1)  # it fills up to 128 entries
        with Curriculum.open(server.url, "soak", config()) as curriculum:
            with background(partial(KINDS["vector"], server.url, "soak"), PROCESSES, seconds):
                started = time.monotonic()
                while time.monotonic() - started < seconds:
                    time.sleep(min(1.0, seconds / 20))
                    seen.seconds.append(time.monotonic() - started)
                    seen.memory.append(client.info("memory")["used_memory"])
                    counts = client.hvals("rc:{soak}:g1:count:completions")
                    seen.episodes.append(sum(map(int, counts)))
                    seen.keys.append(client.dbsize())
            problems = curriculum.check()
    rates = seen.rates()
    rows = [
        Row("minutes", [seconds / 60], ""),
        Row("episodes in all", [float(seen.episodes[-1])], ""),
        Row("episodes per second", [float(rate) for rate in rates], "/s"),
        Row("growth of memory", [seen.growth(seen.memory)], "%", "<= 2"),
        Row("growth of the number of keys", [seen.growth(seen.keys)], "%", "<= 2"),
        Row("rate of the last third over that of the first", [_thirds(rates)], "x", ">= 0.9"),
        Row("violated invariants at the end", [float(len(problems))], "", "<= 0"),
    ]
    report("soak", rows, where)
    return rows


def _thirds(rates: list[int]) -> float:
    third = max(1, len(rates) // 3)
    return float(np.median(rates[-third:]) / max(1.0, float(np.median(rates[:third]))))


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="60 for an hour")
    given = parser.parse_args()
    main(minutes=given.minutes, smoke=given.smoke)
