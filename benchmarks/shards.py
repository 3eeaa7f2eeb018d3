"""One curriculum over 16 shards, simulated: what merged and stale sums do to the draws.

The procedure of docs/operate/scaling.md, step by step, beside ``_sampling.pool.distribution`` of
the whole pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from redis_curriculum._sampling.pool import Pool
from redis_curriculum._sampling.sigmoid import Moments, Sums, acceptances, distribution, fresh_share
from redis_curriculum.config import LearningProgressConfig

SHARDS = 16
Floats = NDArray[np.float64]
Positions = NDArray[np.intp]


@dataclass(frozen=True)
class Published:
    """What a shard says of itself now and then; some 40 bytes."""

    fresh: int
    eligible: int
    sums: Sums

    @classmethod
    def of(cls, world: World, shard: int) -> Published:
        """The state of a shard at this moment."""
        eligible = world.eligible & (world.shard == shard)
        size = int((world.shard == shard).sum())
        count = int(eligible.sum())
        return cls(size - count, count, Sums.of(world.progress[eligible]))


class World:
    """Tasks that learn, each in one shard; what a shard knows is up to date, the rest published."""

    def __init__(self, tasks: int, hypers: LearningProgressConfig, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.hypers = hypers
        self.shard = self.random.integers(0, SHARDS, tasks)
        self.count = self.random.integers(0, 40, tasks)
        self.skill, self.fast, self.slow = self.random.random((3, tasks))
        self.published = [Published.of(self, shard) for shard in range(SHARDS)]

    @property
    def progress(self) -> Floats:
        """Learning progress of every task."""
        progress: Floats = np.abs(self.fast - self.slow)
        return progress

    @property
    def eligible(self) -> NDArray[np.bool_]:
        """Which tasks have enough completions."""
        return self.count >= self.hypers.min_samples_for_lp

    def play(self, episodes: int) -> None:
        """Draw from the whole pool and report: students learn what they play."""
        for start in range(0, episodes, 200):
            chances = distribution(self.pool(), self.hypers)
            i = np.unique(self.random.choice(len(chances), min(200, episodes - start), p=chances))
            scores = (self.random.random(len(i)) < self.skill[i]).astype(float)
            self.skill[i] = np.minimum(1, self.skill[i] + 0.01)
            fast = self.hypers.ema_timescale
            self.fast[i] += fast * (scores - self.fast[i])
            self.slow[i] += fast * self.hypers.slow_timescale_factor * (scores - self.slow[i])
            self.count[i] += 1

    def publish(self, shards: Sequence[int]) -> None:
        """These shards say what they are now."""
        for shard in shards:
            self.published[shard] = Published.of(self, shard)

    def pool(self) -> Pool:
        """The whole as one pool."""
        n = len(self.count)
        index = np.zeros(n, dtype=np.intp)
        lp = self.progress
        own = {"completion_count": self.count, "learning_progress": lp, "p_true": self.fast}
        statistics = {name: column.astype(np.float64) for name, column in own.items()}
        return Pool(np.arange(n), statistics, index, dict.fromkeys(statistics, lp[:1]))


def merged(published: Sequence[Published]) -> tuple[Moments, int, int]:
    """Moments and counts of the whole: integers are added, so the order does not matter."""
    sums = Sums(
        sum(each.sums.s for each in published),
        sum(each.sums.q0 for each in published),
        sum(each.sums.q1 for each in published),
        sum(each.sums.q2 for each in published),
    )
    eligible = sum(each.eligible for each in published)
    return Moments.of(sums, eligible), sum(each.fresh for each in published), eligible


class Drawing:
    """A worker's draws by the published tables: a shard by its mass, then a task within it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.moments, fresh, eligible = merged(world.published)
        self.share = fresh_share(fresh, eligible, world.hypers)
        self.rate = world.hypers.rand_task_rate
        everything = np.ones(len(world.count), dtype=bool)
        self.all = self._parts([p.fresh + p.eligible for p in world.published], everything)
        self.fresh = self._parts([p.fresh for p in world.published], ~world.eligible)
        self.eligible = self._parts([p.eligible for p in world.published], world.eligible)

    def _parts(
        self, masses: Sequence[int], who: NDArray[np.bool_]
    ) -> tuple[Floats, list[Positions]]:
        """Each shard's chance, and its tasks; a shard that has none any more is asked no more."""
        tasks = [np.flatnonzero(who & (self.world.shard == shard)) for shard in range(SHARDS)]
        chance = np.array([m * (len(t) > 0) for m, t in zip(masses, tasks, strict=True)], float)
        return chance / max(1.0, chance.sum()), tasks

    def draw(self, count: int) -> Positions:
        """Draw: rejected trials go back to the choice of the shard, so the weights rule alone."""
        random = self.world.random
        drawn = [self._any(self.all, random.binomial(count, self.rate))]
        rest = count - len(drawn[0])
        drawn.append(self._any(self.fresh, random.binomial(rest, self.share)))
        wanted = rest - len(drawn[1])
        while wanted:
            tried = self._any(self.eligible, 4 * wanted)
            w = acceptances(self.world.progress[tried], self.moments, self.world.hypers)
            accepted = tried[random.random(len(tried)) < w][:wanted]
            drawn.append(accepted)
            wanted -= len(accepted)
        return np.concatenate(drawn)

    def _any(self, part: tuple[Floats, list[Positions]], count: int) -> Positions:
        chance, tasks = part
        each = self.world.random.multinomial(count, chance)
        found = [self.world.random.choice(t, n) for t, n in zip(tasks, each, strict=True) if n]
        return np.concatenate([*found, np.empty(0, dtype=np.intp)])[
            self.world.random.permutation(int(each.sum()))
        ]

    def chances(self) -> Floats:
        """The distribution that these draws follow, task by task."""
        n = len(self.world.count)
        whole, fresh, proposal = np.zeros((3, n))
        for part, into in ((self.all, whole), (self.fresh, fresh), (self.eligible, proposal)):
            for chance, tasks in zip(*part, strict=True):
                into[tasks] = chance / max(1, len(tasks))
        w = proposal * acceptances(self.world.progress, self.moments, self.world.hypers)
        eligible = (1 - self.share) * w / w.sum()
        chances: Floats = self.rate * whole + (1 - self.rate) * (self.share * fresh + eligible)
        return chances


def distance(stale: int, tasks: int = 3_200, seed: int = 0) -> float:
    """Total variation between sharded draws and the whole pool's, tables up to ``stale`` old."""
    world = World(tasks, LearningProgressConfig(pooling="task"), seed)
    world.play(10 * tasks)
    world.publish(range(SHARDS))
    for shard in world.random.permutation(SHARDS):  # the last ones publish just now
        world.play(stale // SHARDS)
        world.publish([int(shard)])
    truth = distribution(world.pool(), world.hypers)
    return float(abs(Drawing(world).chances() - truth).sum() / 2)


def main() -> None:
    """Print the distance by staleness."""
    table = Table(title=f"{SHARDS} shards, 3,200 tasks")
    table.add_column("tables are up to so many episodes old", justify="right")
    table.add_column("draws that go elsewhere", justify="right")
    for stale in (0, 32, 320, 3_200, 32_000):
        found = [distance(stale, seed=seed) for seed in range(3)]
        table.add_row(f"{stale:,}", f"{100 * float(np.median(found)):.4f} %")
    Console().print(table)


if __name__ == "__main__":
    main()
