"""Settings that change while workers run: who takes them over, when, and what is refused."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum
from redis_curriculum._admin.acl import acl_lines
from redis_curriculum._admin.overview import attach
from redis_curriculum._client.open import opening
from redis_curriculum._protocol.asking import Server as Asked
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._store.configure import configure
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.urls import parse
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig, WorkerSettings
from redis_curriculum.errors import GeneratorError, InvalidInputError, PermissionDeniedError
from redis_curriculum.tasks import Buckets, Single, TaskSpec
from tests.harness import connect
from tests.lossy import lossy
from tests.processes import all_together, in_processes
from tests.servers import RunningServer

pytestmark = pytest.mark.filterwarnings("ignore::redis_curriculum.errors.ConfigWarning")


def mazes(stem: str) -> Buckets:
    return Buckets(label=f"{stem}-{{size}}", buckets={"size": [5, 9, 13]})


def config_of(**fields: Any) -> CurriculumConfig:
    hypers: dict[str, Any] = {
        "min_samples_for_lp": 2,
        "min_presentations_for_eviction": 3,
        "replacement_rate": 0.0,
    }
    algorithm = LearningProgressConfig(**hypers | fields.pop("algorithm", {}))
    given: dict[str, Any] = {
        "task_generator": mazes("old"),
        "num_active_tasks": 24,
        "seed": 3,
    } | fields
    return CurriculumConfig(**given, algorithm=algorithm)


@pytest.fixture
def trainer(url: str, name: str) -> Iterator[Curriculum]:
    with Curriculum.open(url, name, config_of()) as opened:
        yield opened


@pytest.fixture
def worker(url: str, trainer: Curriculum) -> Iterator[Curriculum]:
    with Curriculum.open(url, trainer.name) as opened:
        yield opened


def play(curriculum: Curriculum, steps: int = 10, count: int = 8) -> None:
    tasks = curriculum.get_tasks(count)
    for i in range(steps):
        results = [(task.task_id, (i * 3 + j) % 5 / 4) for j, task in enumerate(tasks)]
        tasks = curriculum.next_tasks(results, count).tasks


def sound(curriculum: Curriculum) -> None:
    assert curriculum.check() == []


def events(server: RunningServer, name: str) -> list[dict[str, str]]:
    with connect(server) as client:
        found = [fields for _, fields in client.xrange(Keys(name).events)]
    return [fields for fields in found if fields["event"] == "configured"]


# --- who takes it over, and when -----------------------------------------------------------------


def test_a_worker_goes_by_it_with_its_next_call(trainer: Curriculum, worker: Curriculum) -> None:
    assert trainer.configure(temperature=0.25) == [("algorithm.temperature", 0.0, 0.25)]
    assert trainer.config.algorithm.temperature == 0.25  # type: ignore[attr-defined]
    worker.get_task()
    assert worker.config == trainer.config


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.get_task(),
        lambda c: c.get_tasks(3),
        lambda c: c.next_task(),
        lambda c: c.update_task_performance(c.task_ids()[0], 0.5),
        lambda c: c.distribution(),
        lambda c: c.stats(),
        lambda c: c.labels(),
    ],
)
def test_every_kind_of_call_brings_it(
    trainer: Curriculum, worker: Curriculum, call: Callable[[Curriculum], object]
) -> None:
    trainer.configure(rand_task_rate=0.5)
    call(worker)
    assert worker.config == trainer.config


def test_new_tasks_come_from_the_new_generator(trainer: Curriculum, worker: Curriculum) -> None:
    trainer.configure(generator=mazes("new"))
    assert all(label.startswith("old") for label in worker.labels())  # those in the pool stay
    for task_id in worker.task_ids()[:5]:
        worker.evict(task_id)
    worker.get_task()
    made = sum(count for label, count in worker.labels().items() if label.startswith("new"))
    assert made == 5
    sound(worker)


def test_tasks_that_were_made_by_the_old_generator_meanwhile_are_made_anew(
    trainer: Curriculum, worker: Curriculum, url: str
) -> None:
    """The settings change between the draw that asks for a new task and its creation."""
    other, link = lossy(url, trainer.name, deadline_s=5.0)
    worker.evict(worker.task_ids()[0])
    link.begin = "sample"
    done: list[object] = []

    def meddle() -> None:
        if not done:
            done.append(trainer.configure(generator=mazes("new")))

    link.meddle = meddle
    with other:
        other.get_task()
    assert done
    assert sum(n for label, n in trainer.labels().items() if label.startswith("new")) == 1
    sound(trainer)


def test_the_pool_grows_with_the_next_draws(trainer: Curriculum, worker: Curriculum) -> None:
    trainer.configure(num_active_tasks=40)
    worker.get_task()
    assert len(worker.task_ids()) == 40
    sound(worker)


def test_a_pool_that_would_shrink_needs_leave_to(trainer: Curriculum, worker: Curriculum) -> None:
    play(worker)
    with pytest.raises(InvalidInputError, match="shrink=True") as caught:
        trainer.configure(num_active_tasks=9)
    assert (caught.value.field, caught.value.value) == ("num_active_tasks", 9)
    trainer.configure(num_active_tasks=9, shrink=True)
    assert len(worker.task_ids()) == 9
    play(worker, 2)
    sound(worker)


def test_asyncio(trainer: Curriculum, url: str) -> None:
    asyncio.run(in_a_loop(trainer, url))


async def in_a_loop(trainer: Curriculum, url: str) -> None:
    async with AsyncCurriculum.open(url, trainer.name) as other:
        changes = await other.configure(pooling="task", generator=mazes("new"))
        assert [field for field, *_ in changes] == ["task_generator.label", "algorithm.pooling"]
        trainer.get_task()
        assert trainer.config == other.config
        trainer.configure(temperature=1.5)
        await other.next_task()
        assert trainer.config == other.config
        assert await other.check() == []


def test_nothing_to_change_changes_nothing(trainer: Curriculum, server: RunningServer) -> None:
    assert trainer.configure() == []
    assert trainer.configure(num_active_tasks=24, seed=3) == []
    assert events(server, trainer.name) == []


def test_old_and_new_are_noted(trainer: Curriculum, server: RunningServer) -> None:
    settings: dict[str, Any] = {"algorithm.temperature": 0.5, "epochs_retained": 7}
    trainer.configure(**settings)
    (event,) = events(server, trainer.name)
    assert json.loads(event["changes"]) == {
        "algorithm.temperature": [0.0, 0.5],
        "epochs_retained": [100, 7],
    }
    assert event["config_version"] == "2"


# --- generators that others cannot build ---------------------------------------------------------


class Mine:
    """Its state is not in its path."""

    def __init__(self, label: str) -> None:
        self.label = label

    def generate(self, task_id: int) -> TaskSpec:
        return TaskSpec(self.label, {"id": task_id})


def test_an_object_makes_tasks_where_it_is(
    trainer: Curriculum, worker: Curriculum, caplog: pytest.LogCaptureFixture
) -> None:
    trainer.configure(generator=Mine("mine"))
    trainer.evict(trainer.task_ids()[0])
    with caplog.at_level(logging.WARNING, "redis_curriculum"):
        worker.get_task()
    assert "cannot build the new task generator" in caplog.text
    assert len(worker.task_ids()) == 23
    trainer.get_task()
    assert trainer.labels()["mine"] == 1
    assert trainer.configure(generator=Mine("other")) == []  # no other worker could know
    trainer.evict(trainer.task_ids()[0])
    trainer.get_task()
    assert "other" in trainer.labels() or trainer.labels()["mine"] == 1
    trainer.configure(temperature=0.5)
    trainer.evict(trainer.task_ids()[-1])
    trainer.get_task()  # still by the object
    assert len(trainer.task_ids()) == 24
    sound(trainer)


class Failing(Mine):
    def generate(self, task_id: int) -> TaskSpec:
        raise RuntimeError(f"no {task_id}")


def test_a_generator_that_always_fails_is_refused(trainer: Curriculum) -> None:
    before = trainer.config
    with pytest.raises(GeneratorError, match="RuntimeError: no "):
        trainer.configure(generator=Failing("x"))
    with pytest.raises(GeneratorError, match="invariant"):
        trainer.configure(invariants={"no": 1})
    trainer.get_task()
    assert trainer.config == before


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "refused", "said"),
    [
        ({"seed": 4}, ("seed", 4), "tunable are task_generator, num_active_tasks"),
        ({"score_range": (0, 9)}, ("score_range", (0, 9)), "algorithm.temperature"),
        ({"ema_timescale": 0.5}, ("algorithm.ema_timescale", 0.5), "algorithm.pooling"),
        ({"kind": "uniform"}, ("algorithm.kind", "uniform"), "tunable are"),
        ({"slow_timescale_factor": 2}, ("algorithm.slow_timescale_factor", 2), "tunable are"),
        ({"temperature": -1}, ("algorithm.temperature", -1), r"in \[0, 1000\]"),
        ({"temprature": 1}, ("override", "temprature"), "did you mean temperature"),
        ({"pooling": "both"}, ("algorithm.pooling", "both"), "'label' or 'task'"),
        ({"generator": 5}, ("task_generator", 5), "generate"),
        ({"min_samples_for_lp": 4}, ("algorithm.min_presentations_for_eviction", 3), "at least"),
        (
            {"generator": mazes("a"), "task_generator": mazes("b")},
            ("generator", mazes("a")),
            "once",
        ),
    ],
)
def test_bad_input_is_refused_with_field_and_value(
    trainer: Curriculum,
    server: RunningServer,
    settings: dict[str, Any],
    refused: tuple[str, object],
    said: str,
) -> None:
    with connect(server) as client:
        before = client.hgetall(Keys(trainer.name).meta)
        with pytest.raises(InvalidInputError, match=said) as caught:
            trainer.configure(**settings)
        assert (caught.value.field, caught.value.value) == refused
        assert caught.value.applied == "no"
        assert client.hgetall(Keys(trainer.name).meta) == before


def test_who_may_only_look_cannot_configure(trainer: Curriculum, server: RunningServer) -> None:
    with connect(server) as client:
        version = client.info("server")["redis_version"]
        line = acl_lines(trainer.name, version).viewer.replace("PASSWORD", "secret")
        client.execute_command(*line.split(" "))
        user = line.split(" ")[2]
        link = DirectLink(parse(f"unix://{user}:secret@{server.socket}"), 5.0)
        settings = WorkerSettings(retry_deadline_s=0)
        try:
            store = drive(attach(Asked(Keys(trainer.name), 0.0), settings), link)
            with pytest.raises(PermissionDeniedError):
                drive(configure(store, {"temperature": 0.5}, shrink=False), link)
        finally:
            link.close()
            client.acl_deluser(user)
    assert events(server, trainer.name) == []


# --- several at once, and who is killed ----------------------------------------------------------

FIELDS = ("temperature", "rand_task_rate", "z_score_amplification", "exploration_share")


def set_one(url: str, name: str, field: str) -> None:
    with Curriculum.open(url, name) as curriculum:
        all_together()
        for step in range(1, 6):
            settings: dict[str, Any] = {field: step / 8}
            curriculum.configure(**settings)


def test_several_processes_configure_at_once(
    url: str, trainer: Curriculum, server: RunningServer
) -> None:
    in_processes(set_one, [(url, trainer.name, field) for field in FIELDS])
    trainer.get_task()
    assert {field: getattr(trainer.config.algorithm, field) for field in FIELDS} == dict.fromkeys(
        FIELDS, 5 / 8
    )
    changes = [json.loads(event["changes"]) for event in events(server, trainer.name)]
    assert len(changes) == 20
    for field in FIELDS:
        own = [change[f"algorithm.{field}"] for change in changes if f"algorithm.{field}" in change]
        assert [new for _, new in own] == [step / 8 for step in range(1, 6)]
        assert [old for old, _ in own[1:]] == [new for _, new in own[:-1]]


def keep_playing(url: str, name: str, turns: int) -> int:
    with Curriculum.open(url, name) as curriculum:
        all_together()
        play(curriculum, turns, 4)
        return 4 * turns


def keep_changing(url: str, name: str, turns: int) -> int:
    with Curriculum.open(url, name) as curriculum:
        all_together()
        for turn in range(turns):
            curriculum.configure(
                min_samples_for_lp=1 + turn % 3,
                pooling=("label", "task")[turn % 2],
                performance_bonus_weight=(0.0, 0.5, 0.25)[turn % 3],
                generator=mazes(f"g{turn}"),
            )
        return 0


def test_workers_play_on_while_the_indices_change(url: str, name: str) -> None:
    config = config_of(num_active_tasks=300, algorithm={"replacement_rate": 0.2})
    with Curriculum.open(url, name, config) as curriculum:
        calls = [(keep_playing, 60), (keep_playing, 60), (keep_changing, 25)]
        counts = in_processes(each, [(work, url, name, turns) for work, turns in calls])
        figures = curriculum.stats()
        assert figures["num_completed"] + figures["num_late_updates"] == sum(counts)
        sound(curriculum)


def each(work: Callable[[str, str, int], int], url: str, name: str, turns: int) -> int:
    return work(url, name, turns)


@pytest.mark.parametrize("requests", range(8))
def test_killed_at_any_request_it_leaves_old_or_new(
    url: str, trainer: Curriculum, worker: Curriculum, requests: int
) -> None:
    """A plan that is dropped after so many answers is a process that was killed there."""
    play(worker)
    old, link = trainer.config, DirectLink(parse(url), 5.0)
    store = drive(opening(parse(url), trainer.name, None, WorkerSettings(), None), link)
    plan = configure(store, {"min_samples_for_lp": 1, "pooling": "task"}, shrink=False)
    reply, sent = None, 0
    while sent < requests:
        try:
            request = plan.send(reply)
        except StopIteration:
            break
        reply = drive(_one(request), link)
        sent += 1
    plan.close()
    link.close()
    play(worker, 3)
    new = old.with_overrides({"min_samples_for_lp": 1, "pooling": "task"})
    assert worker.config == (new if requests > 1 else old)
    sound(worker)


def _one(request: Any) -> Any:
    return (yield request)


def test_a_lost_reply_changes_once(url: str, trainer: Curriculum, server: RunningServer) -> None:
    other, link = lossy(url, trainer.name, deadline_s=5.0)
    with other:
        link.lose = "configure"
        assert other.configure(temperature=0.5) == [("algorithm.temperature", 0.0, 0.5)]
        assert link.lose == ""
    assert len(events(server, trainer.name)) == 1


def test_a_write_that_waits_for_the_indices_counts_once(
    url: str, trainer: Curriculum, worker: Curriculum
) -> None:
    """Its reply is lost, then the indices change before it is sent again."""
    other, link = lossy(url, trainer.name, deadline_s=5.0)
    task = worker.get_task()
    with other:
        link.lose, link.begin = "record", "record"
        link.meddle = lambda: trainer.configure(
            min_samples_for_lp=5 - trainer.config.algorithm.min_samples_for_lp,  # type: ignore[attr-defined]
            min_presentations_for_eviction=9,
        )
        other.update_task_performance(task.task_id, 1.0)
    record = trainer.get_task_stats(task.task_id)
    assert record is not None
    assert record.completion_count == 1
    sound(trainer)


def test_a_repair_begins_again_where_the_indices_changed(
    url: str, trainer: Curriculum, worker: Curriculum, server: RunningServer
) -> None:
    play(worker)
    with connect(server) as client:
        client.hincrby(Keys(trainer.name).sums, "s", 12345)
    other, link = lossy(url, trainer.name, deadline_s=5.0)
    turns = iter(range(3))

    def meddle() -> None:
        if next(turns, None) is not None:
            trainer.configure(pooling=("label", "task")[trainer.config == config_of()])

    with other:
        link.begin, link.meddle = "moment_end", meddle
        assert other.check(repair=True) == []
    sound(trainer)


def test_a_single_task_pool(url: str, name: str) -> None:
    config = CurriculumConfig(task_generator=Single(label="one"), num_active_tasks=1)
    with Curriculum.open(url, name, config) as curriculum:
        play(curriculum, 3, 2)
        curriculum.configure(min_presentations_for_eviction=1, floor=0.5)
        play(curriculum, 3, 2)
        sound(curriculum)
