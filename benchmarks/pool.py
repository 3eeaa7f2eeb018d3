"""Pools with a past, planted in seconds; and one worker's calls, made so that they pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from server import Server

from redis_curriculum._client.open import opening
from redis_curriculum._protocol.keys import COUNTS, Keys
from redis_curriculum._protocol.plan import Run
from redis_curriculum._sampling.sigmoid import Sums
from redis_curriculum._state.expected import part_of
from redis_curriculum._store.calls import Argument, Call
from redis_curriculum._store.contracts import REPLACE, RESERVE
from redis_curriculum._store.play import play
from redis_curriculum._store.variant import readable
from redis_curriculum._store.write import Change
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.urls import parse
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig, WorkerSettings
from redis_curriculum.tasks import Single
from redis_curriculum.tasks.build import build
from redis_curriculum.tasks.ids import task_id_at
from redis_curriculum.tasks.task import encode_params

PARAMS = {"size": 9, "density": 0.25}
_CHUNK = 500
_BEYOND = 2**40  # indices of planted ids: new tasks count from 0
_PATIENT = WorkerSettings(lease_ms=3_600_000, timeout_s=120.0, chunk=1000)


def config_of(tasks: int, **hypers: Any) -> CurriculumConfig:
    """The defaults, but for what a benchmark is about."""
    hypers.setdefault("replacement_rate", 0.0)
    return CurriculumConfig(
        task_generator=Single(label="new", params=PARAMS),
        num_active_tasks=tasks,
        algorithm=LearningProgressConfig(**hypers),
    )


@dataclass(frozen=True)
class Planted:
    """A curriculum whose pool is full of tasks with a past."""

    server: Server
    name: str
    config: CurriculumConfig
    ids: list[int]


_EMAS: Final = {"reward_ema": 0.5, "ema_squared": 0.3, "success_rate_ema": 0.5, "p_true": 0.5}


def plant(server: Server, name: str, config: CurriculumConfig, labels: int = 20) -> Planted:
    """Fill a pool: 10 % of the tasks under-sampled, 30 % learning, 60 % ripe, LP mostly small."""
    size, hypers, keys = config.num_active_tasks, config.algorithm, Keys(name)
    random = np.random.default_rng(size)
    counts = np.where(
        random.random(size) < 0.1, random.integers(0, 10, size), random.integers(10, 28, size)
    )
    lps = np.where(counts > 0, 0.4 * random.random(size) ** 3, 0.0)
    slows = 0.5 * random.random(size)
    names = [f"skill-{i}" for i in range(labels)]
    ids = [task_id_at(config.seed, _BEYOND + i) for i in range(size)]
    rows = zip(ids, counts.tolist(), lps.tolist(), slows.tolist(), strict=True)
    flat: list[Any] = []
    for i, (task_id, count, lp, slow) in enumerate(rows):
        known = {"completion_count": count, "total_score": count / 2, **_EMAS}
        known |= {"p_fast": slow + lp, "p_slow": slow, "learning_progress": lp}
        stats = hypers.packed("task", known) if count else ""
        flat += [part_of(count, hypers), task_id, names[i % labels], count, stats, lp]
    with server.client() as client:
        source = Path(__file__).with_name("plant.lua").read_text(encoding="utf-8")
        script = client.register_script(source)
        for start in range(0, len(flat), 6 * _CHUNK):
            part = flat[start : start + 6 * _CHUNK]
            script(keys=[keys.meta], args=[keys.pool, encode_params(PARAMS), *part])
        _plant_labels(client, config, name, names, (counts, lps))
    planted = Planted(server, name, config, ids)
    Hand(planted)  # creates the curriculum around its pool
    return planted


def _plant_labels(
    client: Any,
    config: CurriculumConfig,
    name: str,
    labels: Sequence[str],
    tasks: tuple[NDArray[np.int64], NDArray[np.float64]],
) -> None:
    hypers, keys, (counts, lps) = config.algorithm, Keys(name), tasks
    if not isinstance(hypers, LearningProgressConfig):
        raise TypeError(hypers)
    own = np.random.default_rng(len(labels)).random(len(labels)) ** 3 * 0.4
    eligible = counts >= hypers.min_samples_for_lp
    pipe = client.pipeline(transaction=False)
    drives = np.where(eligible, own[np.arange(len(counts)) % len(labels)], 0.0)
    for i, label in enumerate(labels):
        mine = slice(i, None, len(labels))
        done, lp = int(counts[mine].sum()), float(own[i])
        known = {"completion_count": done, "total_score": done / 2, **_EMAS}
        known |= {"p_fast": 0.3 + lp, "p_slow": 0.3, "learning_progress": lp}
        fields: dict[str, Any] = dict(readable(hypers, "label", known, 0.5))
        fields["eligible_count"] = int(eligible[mine].sum())
        pipe.hset(keys.progress(label), mapping=fields)
        pipe.hset(keys.labels, label, len(counts[mine]))
        done_by = {"completions": done, "samples": done, "created": len(counts[mine])}
        for what in set(COUNTS) & done_by.keys():
            pipe.hset(keys.count(what), label, done_by[what])
            pipe.hset(keys.epoch(0, what), label, done_by[what])
    sums = Sums.of((drives if hypers.pooling == "label" else lps)[eligible])
    pipe.hset(keys.sums, mapping=asdict(sums))
    pipe.execute()


class Hand:
    """One worker whose calls do not wait for answers, so that they pipeline."""

    def __init__(self, planted: Planted) -> None:
        address, link = parse(planted.server.url), DirectLink(parse(planted.server.url), 120.0)
        plan = opening(address, planted.name, planted.config, _PATIENT, None)
        self.planted, self.store = planted, drive(plan, link)
        drive(self.store.worker.register(), link)
        link.close()
        self.next_index = 0

    def play(self, results: Sequence[tuple[int, float]], count: int) -> Run:
        """The one call that reports these results and draws ``count`` tasks."""
        drawn, n = ["0", "unknown", "{}"] * count, len(results)
        answer = [0, 1, 0, 0, n, *[1] * n, *drawn] if count else [0, 1, *[1] * n]
        return self._sent(play(self.store, results, count), answer)

    def replace(self) -> list[Run]:
        """The calls that evict one task and create another; nobody else may create meanwhile."""
        first, config = self.next_index, self.store.config
        self.next_index += 1
        task_id = task_id_at(config.seed, first)
        spec = build(config.task_generator, task_id)
        made: list[Argument] = [self.store.config_version, first, self.next_index]
        made += [first, task_id, spec.label, encode_params(spec.params)]
        return [
            self._sent(Change(self.store.script(RESERVE), [1, "replace", "", 0]), [0, 1]),
            self._sent(Change(self.store.script(REPLACE), made), [0, 1]),
        ]

    def _sent(self, call: Call[Any], answer: list[Any]) -> Run:
        """What the call sends, which then takes it for answered."""
        plan = call.plan(self.store)
        request = next(plan)
        assert isinstance(request, Run)  # noqa: S101 - it is registered: nothing comes first
        with suppress(StopIteration):
            plan.send(answer)
        return request
