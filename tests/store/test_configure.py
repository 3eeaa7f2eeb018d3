"""Indices that are built anew, step by step, after a change of the settings they depend on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from redis_curriculum._protocol.asking import Server as Asked
from redis_curriculum._protocol.keys import PARTS
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._state.consistent_read import Moment, Turn
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.urls import parse
from redis_curriculum.config import (
    CurriculumConfig,
    DebiasedProgressConfig,
    LearningProgressConfig,
    Resume,
    UniformConfig,
    resume_rule,
)
from redis_curriculum.errors import (
    ConfigChangedError,
    StaleGenerationError,
    UnindexedError,
)
from redis_curriculum.scorers import Scorer
from redis_curriculum.scorers.base import hyperparameters
from tests.harness import Harness, Server, connect, text_config
from tests.invariants import assert_same
from tests.model import ModelCurriculum, Spec

T = TypeVar("T")

TASKS = 450
CHANGES: dict[str, tuple[Scorer, dict[str, Any]]] = {
    "later": (LearningProgressConfig(min_samples_for_lp=1), {"min_samples_for_lp": 3}),
    "sooner": (LearningProgressConfig(min_samples_for_lp=4), {"min_samples_for_lp": 1}),
    "ripe": (
        LearningProgressConfig(min_samples_for_lp=1, min_presentations_for_eviction=5),
        {"min_presentations_for_eviction": 2},
    ),
    "own": (LearningProgressConfig(min_samples_for_lp=1), {"pooling": "task"}),
    "bonus": (
        LearningProgressConfig(min_samples_for_lp=1, pooling="task"),
        {"performance_bonus_weight": 0.5},
    ),
    "noise": (DebiasedProgressConfig(least_count=3), {"noise_factor": 0.0, "power": 1}),
    "mass": (DebiasedProgressConfig(least_count=3), {"label_mass": "tasks", "least_count": 9}),
}
pytestmark = pytest.mark.filterwarnings("ignore::redis_curriculum.errors.ConfigWarning")


class Pool:
    """A pool of many tasks, with results, beside its model."""

    def __init__(self, server: Server, name: str, change: str) -> None:
        hypers, self.change = CHANGES[change]
        config = text_config(hypers, num_active_tasks=TASKS, seed=5)
        self.harness = Harness(connect(server), name, config)
        self.model = ModelCurriculum(hypers, TASKS, 5)
        specs: list[Spec] = [(i, f"l{i % 41}", {}) for i in range(TASKS)]
        self.harness.create(specs)
        self.model.create(specs)
        for turn in range(6):
            self.record([(i, (i * 7 + turn) % 5 / 4) for i in range(TASKS) if i % 7 > turn])

    def record(self, results: list[tuple[int, float]]) -> None:
        self.harness.record(results)
        self.model.record(results)

    def changed(self, **fields: Any) -> CurriculumConfig:
        """The config with other hyperparameters; the model has them from now on."""
        self.model.hypers = self.model.hypers.model_copy(update=fields)
        return self.harness.config.model_copy(update={"algorithm": self.model.hypers})

    def parts(self) -> list[Any]:
        client, pool = self.harness.client, self.harness.keys.pool
        return [client.zrange(pool + part, 0, -1, withscores=True) for part in PARTS]


@pytest.fixture(params=CHANGES)
def pool(request: pytest.FixtureRequest, server: Server, name: str) -> Iterator[Pool]:
    made = Pool(server, name, request.param)
    yield made
    made.harness.wipe()


def test_bounded_steps_by_anybody_lead_to_what_the_records_say(pool: Pool) -> None:
    before = pool.parts()
    pool.harness.retune(pool.changed(**pool.change), "x")
    other = Harness(pool.harness.client, pool.harness.keys.name, pool.harness.config, worker="w1")
    steps = 1
    while (pool.harness, other)[steps % 2].reindex():
        steps += 1
        phase = pool.harness.client.hget(pool.harness.keys.meta, "unindexed")
        if not phase.startswith("surplus"):  # until the end the sorted sets in use are whole
            assert pool.parts() == before
        with pytest.raises(UnindexedError):
            pool.harness.sample(1)
    assert 5 < steps < 15
    other.leave()
    assert_same(pool.harness, pool.model)
    pool.record([(i, 0.5) for i in range(0, TASKS, 3)])
    assert pool.harness.sample(20).ids == pool.model.sample(20).task_ids
    assert_same(pool.harness, pool.model)


def test_an_older_build_has_begun_it(pool: Pool) -> None:
    """It wrote no third word: how many tasks are to go."""
    pool.harness.retune(pool.changed(**pool.change), "x")
    meta = pool.harness.keys.meta
    pool.harness.client.hset(meta, "unindexed", "start 0")
    while pool.harness.reindex():
        pass
    assert not pool.harness.client.hexists(meta, "unindexed")


@pytest.fixture
def later(server: Server, name: str) -> Iterator[Pool]:
    made = Pool(server, name, "later")
    yield made
    made.harness.wipe()


def test_a_change_from_another_config_than_the_stored_one_is_refused(later: Pool) -> None:
    config = later.changed(temperature=0.5)
    later.harness.retune(config, "first")
    later.harness.version = 1
    with pytest.raises(ConfigChangedError) as caught:
        later.harness.retune(config, "second")
    assert caught.value.version == 2
    later.harness.generation = 2
    with pytest.raises(StaleGenerationError):
        later.harness.retune(config, "third")
    later.harness.generation = 1


def test_a_repeated_call_changes_nothing(later: Pool) -> None:
    config, harness = later.changed(temperature=0.5), later.harness
    assert harness.retune(config, "same") == 2
    harness.version = 1
    assert harness.retune(config, "same") == 2
    events = harness.client.xrange(harness.keys.events)
    assert [fields["event"] for _, fields in events].count("configured") == 1


def test_the_next_change_waits_for_the_indices_of_the_last(later: Pool) -> None:
    config = later.changed(min_samples_for_lp=2)
    later.harness.retune(config, "first")
    with pytest.raises(UnindexedError):
        later.harness.retune(later.changed(temperature=1.0), "second", begin="")
    while later.harness.reindex():
        pass
    later.harness.retune(later.changed(temperature=1.0), "second", begin="")
    assert_same(later.harness, later.model)


def test_a_pool_that_shrinks_loses_its_lowest(later: Pool) -> None:
    ranked = [member for part in later.parts() for member in part]
    config = later.harness.config.model_copy(update={"num_active_tasks": TASKS - 130})
    later.harness.retune(config, "smaller", begin="surplus 0 130")
    while later.harness.reindex():
        with pytest.raises(UnindexedError):
            later.harness.sample(1)
    left = {member for part in later.parts() for member, _ in part}
    gone = [(score, member) for member, score in ranked if member not in left]
    assert len(gone) == 130
    assert max(gone)[0] <= min(score for member, score in ranked if member in left)
    for _, member in gone:
        later.model.evict(int(member))
    later.model.capacity = TASKS - 130
    assert_same(later.harness, later.model)


def meddled(plan: Plan[T], at: int, meddle: Callable[[], None]) -> Plan[T]:
    """The same plan; before its request of that number, from 1, something else happens."""
    reply, number = None, 0
    while True:
        try:
            request = plan.send(reply)
        except StopIteration as end:
            found: T = end.value
            return found
        number += 1
        if number == at:
            meddle()
        reply = yield request


@pytest.mark.parametrize("at", range(1, 6))
def test_a_snapshot_misses_no_task_while_all_move_back(later: Pool, url: str, at: int) -> None:
    """Its scan stands between two sorted sets when the new ones take the places of the old."""
    harness, link = later.harness, DirectLink(parse(url), 5.0)
    moment = Moment(Asked(harness.keys, 0.0), harness.hypers)

    def move_back() -> None:
        harness.retune(later.changed(min_samples_for_lp=9), "back")
        while harness.reindex():
            pass

    drive(moment.begin(Turn(0)), link)
    assert drive(meddled(moment.task_ids(), at, move_back), link) == list(range(TASKS))
    drive(moment.end(), link)
    link.close()


@pytest.mark.parametrize(
    "algorithm", [LearningProgressConfig, DebiasedProgressConfig, UniformConfig]
)
def test_a_family_names_all_that_its_indices_depend_on(algorithm: type[Scorer]) -> None:
    """Whatever else changes, a task's and a label's weight, rank and place are as before."""
    others: dict[str, Any] = {
        "failure_score": 0.25,
        "exploration": "bonus",
        "max_consecutive_failures": 9,
        "cap": 0.9,
        "floor": 0.9,
    }
    own = algorithm.default()
    named = set(algorithm.INDEXED_BY or ())
    of: dict[str, float] = {}
    for score in (0.2, 0.9, 0.4, 1.0, 0.0, 0.7):
        of = own.fold_label(of, score)
    for name in set(hyperparameters(algorithm)) - named:
        if resume_rule(f"algorithm.{name}") is Resume.STRUCTURAL:
            continue
        value = others[name] if name in others else getattr(own, name) / 2 or 0.125
        kind = type(getattr(own, name))
        other = own.model_copy(update={name: kind(value) if kind in (int, float) else value})
        seen = [
            (s.weight(of), s.rank(of), s.fresh_until, s.ripe_from, dict(s.aliases))
            for s in (own, other)
        ]
        assert seen[0] == seen[1], name


def test_an_event_has_old_and_new(later: Pool) -> None:
    harness = later.harness
    harness.retune(later.changed(temperature=0.5), "x")
    (_, event), *_ = harness.client.xrevrange(harness.keys.events, count=1)
    assert event == {
        "event": "configured",
        "config_version": "2",
        "changes": "{}",
        "host": "host",
        "pid": "1",
    }
    assert json.loads(harness.client.hget(harness.keys.meta, "config"))["algorithm"][
        "temperature"
    ] == pytest.approx(0.5)
