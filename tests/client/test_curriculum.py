"""The public handle on a real server: open, draw, report, change, read, share."""

from __future__ import annotations

import io
import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._sampling.draw import distribution as distribution_of
from redis_curriculum._wire.urls import PASSWORD_VARIABLE
from redis_curriculum.config import (
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
    WorkerSettings,
)
from redis_curriculum.errors import (
    ConfigMismatchError,
    CurriculumError,
    CurriculumNotFoundError,
    EmptyPoolError,
    InvalidInputError,
    WorkerInUseError,
)
from redis_curriculum.tasks import Buckets, Outcome, Single, TaskSpec
from redis_curriculum.tasks.ids import label_hash
from tests.processes import all_together, in_processes
from tests.servers import RunningServer, redis_server
from tests.statistics import PoolTask, make_pool
from tests.whole import assert_whole

APPLIED, EVICTED = Outcome.APPLIED, Outcome.EVICTED
# Pools larger than the combinations of their buckets, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:num_active_tasks is .* Buckets")

MAZES = Buckets(label="maze-{size}", buckets={"size": [5, 9, 13], "seed": list(range(50))})
Open = Callable[..., Curriculum]


@pytest.fixture
def opened(url: str, name: str) -> Iterator[Open]:
    """Open handles on this test's curriculum; all are closed at the end."""
    handles: list[Curriculum] = []

    def open_one(config: CurriculumConfig | None = None, **options: Any) -> Curriculum:
        settings = {key: options.pop(key) for key in list(options) if key in WORKER_FIELDS}
        worker = WorkerSettings(**settings) if settings else None
        handles.append(Curriculum.open(url, name, config, worker=worker, **options))
        return handles[-1]

    yield open_one
    for handle in handles:
        handle.close()


WORKER_FIELDS = set(WorkerSettings.model_fields)


def config_of(**fields: Any) -> CurriculumConfig:
    """A small pool without replacement, so that its tasks stay."""
    algorithm = {"replacement_rate": 0.0, "min_samples_for_lp": 2} | fields.pop("algorithm", {})
    algorithm.setdefault("min_presentations_for_eviction", 4)
    defaults: dict[str, Any] = {"task_generator": MAZES, "num_active_tasks": 12, "seed": 7}
    return CurriculumConfig(**defaults | fields, algorithm=LearningProgressConfig(**algorithm))


# --- open ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 256, 257, 600])
def test_open_fills_the_pool(opened: Open, server: RunningServer, size: int) -> None:
    config = config_of(num_active_tasks=size)
    curriculum = opened(config)
    ids = curriculum.task_ids()
    assert len(ids) == len(set(ids)) == size
    assert sum(curriculum.labels().values()) == size
    for task_id in ids[:5]:
        record = curriculum.get_task_stats(task_id)
        spec = MAZES.generate(task_id)
        assert record is not None
        assert (record.label, record.params) == (spec.label, spec.params)
        assert record.completion_count == record.sample_count == 0
        assert record.p_fast is None
        assert record.learning_progress is None
    assert_whole(server, curriculum)


def test_the_whole_range_of_chunks_gives_the_same_pool(url: str, name: str) -> None:
    pools = []
    for chunk in (1, 7, 1000):
        settings = WorkerSettings(chunk=chunk)
        own = f"{name}-{chunk}"
        with Curriculum.open(url, own, config_of(num_active_tasks=40), worker=settings) as handle:
            pools.append(handle.task_ids())
    assert pools[0] == pools[1] == pools[2]


def test_attach_uses_the_stored_config(opened: Open) -> None:
    config = config_of(score_range=(-3.0, 3.0), invariants={})
    first = opened(config)
    second = opened()
    third = opened(config)
    assert first.config == second.config == third.config == config
    assert first.task_ids() == second.task_ids() == third.task_ids()
    assert len({handle.worker_id for handle in (first, second, third)}) == 3


def test_attach_to_what_is_not_there(opened: Open, server: RunningServer, name: str) -> None:
    with pytest.raises(CurriculumNotFoundError, match=name) as caught:
        opened()
    assert caught.value.name == name
    with server.client() as client:
        assert client.dbsize() == 0


def test_another_config_is_refused_and_every_difference_listed(opened: Open) -> None:
    stored = config_of()
    before = opened(stored)
    other = config_of(
        num_active_tasks=13,
        score_range=(-1.0, 2.0),
        task_generator=Single(label="x"),
        algorithm={"pooling": "task", "ema_timescale": 0.3},
    )
    with pytest.raises(ConfigMismatchError) as caught:
        opened(other)
    fields = {field for field, _, _ in caught.value.differences}
    assert fields == {
        "task_generator.kind",
        "num_active_tasks",
        "algorithm.pooling",
        "algorithm.ema_timescale",
        "score_range",
    }
    for field, ours, theirs in caught.value.differences:
        assert f"{field}: stored {ours!r}, given {theirs!r}" in str(caught.value)
    assert before.config == opened().config == stored


def test_another_algorithm_is_a_difference(opened: Open) -> None:
    opened(config_of())
    with pytest.raises(ConfigMismatchError, match=r"algorithm\.kind"):
        opened(config_of().model_copy(update={"algorithm": DiscreteRandomConfig()}))


# --- draw and report -----------------------------------------------------------------------------


def test_one_task_one_result(opened: Open, server: RunningServer) -> None:
    curriculum = opened(config_of())
    task = curriculum.get_task()
    assert task.label == MAZES.generate(task.task_id).label
    assert task.params == MAZES.generate(task.task_id).params
    assert curriculum.update_task_performance(task.task_id, 0.75) is APPLIED
    record = curriculum.get_task_stats(task.task_id)
    assert record is not None
    assert (record.sample_count, record.completion_count) == (1, 1)
    assert record.last_score == record.reward_ema == record.p_fast == 0.75
    assert record.label_hash == label_hash(record.label)
    assert_whole(server, curriculum)


@pytest.mark.parametrize("chunk", [1, 5, 256])
@pytest.mark.parametrize("count", [1, 5, 64])
def test_many_tasks_many_results(opened: Open, chunk: int, count: int) -> None:
    curriculum = opened(config_of(), chunk=chunk)
    tasks = curriculum.get_tasks(count)
    assert len(tasks) == count
    drawn = Counter(task.task_id for task in tasks)
    outcomes = curriculum.update_many([(task.task_id, 0.5) for task in tasks])
    assert outcomes == [APPLIED] * count
    for task_id in curriculum.task_ids():
        record = curriculum.get_task_stats(task_id)
        assert record is not None
        assert record.sample_count == record.completion_count == drawn[task_id]
    assert curriculum.check() == []


def test_next_task_reports_and_draws(opened: Open) -> None:
    curriculum = opened(config_of())
    task = curriculum.next_task()
    for i in range(20):
        following = curriculum.next_task((task.task_id, i / 20))
        record = curriculum.get_task_stats(task.task_id)
        assert record is not None
        assert record.last_score == i / 20
        task = following
    records = [curriculum.get_task_stats(task_id) for task_id in curriculum.task_ids()]
    assert sum(record.completion_count for record in records if record) == 20
    assert sum(record.sample_count for record in records if record) == 21


@pytest.mark.parametrize("chunk", [3, 256])
def test_next_tasks_gives_an_outcome_for_each_result(opened: Open, chunk: int) -> None:
    curriculum = opened(config_of(), chunk=chunk)
    ids = curriculum.task_ids()
    curriculum.evict(ids[3])
    finished = [(ids[3], 0.1), (ids[0], 0.2), (ids[0], 0.4), (ids[3], 0.3), (ids[1], 0.6)]
    step = curriculum.next_tasks(finished, 7)
    assert step.outcomes == [EVICTED, APPLIED, APPLIED, EVICTED, APPLIED]
    assert len(step.tasks) == 7
    only_draws = curriculum.next_tasks([], 2)
    assert (len(only_draws.tasks), only_draws.outcomes) == (2, [])


def test_scores_are_mapped_from_their_range(opened: Open) -> None:
    curriculum = opened(config_of(score_range=(-10.0, 30.0)))
    first, second, third, *_ = curriculum.task_ids()
    curriculum.update_many([(first, -10.0), (second, 30), (third, 0.0)])
    records = [curriculum.get_task_stats(task_id) for task_id in (first, second, third)]
    assert [record.last_score for record in records if record] == [0.0, 1.0, 0.25]


# --- evict, relabel, read ------------------------------------------------------------------------


def test_evict_then_top_up(opened: Open, server: RunningServer) -> None:
    curriculum = opened(config_of())
    before = curriculum.task_ids()
    gone = before[::3]
    assert [curriculum.evict(task_id) for task_id in gone] == [APPLIED] * len(gone)
    assert [curriculum.evict(task_id) for task_id in gone] == [EVICTED] * len(gone)
    assert curriculum.task_ids() == sorted(set(before) - set(gone))
    assert_whole(server, curriculum)
    curriculum.get_task()
    after = curriculum.task_ids()
    assert len(after) == len(before)
    assert not set(after) & set(gone)
    assert_whole(server, curriculum)


def test_an_emptied_pool_fills_again(opened: Open) -> None:
    curriculum = opened(config_of(num_active_tasks=3))
    before = curriculum.task_ids()
    for task_id in before:
        curriculum.evict(task_id)
    assert (curriculum.task_ids(), curriculum.labels(), curriculum.distribution()) == ([], {}, {})
    task = curriculum.get_task()
    assert task.task_id not in before
    assert len(curriculum.task_ids()) == 3


def test_low_progress_is_replaced_and_ids_stay_new(opened: Open, server: RunningServer) -> None:
    config = config_of(
        algorithm={
            "replacement_rate": 0.1,
            "min_samples_for_lp": 1,
            "min_presentations_for_eviction": 1,
        }
    )
    curriculum = opened(config)
    seen, handed = set(curriculum.task_ids()), Counter[int]()
    for _ in range(30):
        tasks = curriculum.get_tasks(8)
        assert len(tasks) == 8
        handed.update(task.task_id for task in tasks)
        curriculum.update_many([(task.task_id, 0.5) for task in tasks])
        seen |= set(curriculum.task_ids())
    assert len(curriculum.task_ids()) == 12
    assert len(seen) > 12
    for task_id in curriculum.task_ids():
        record = curriculum.get_task_stats(task_id)
        assert record is not None
        assert record.sample_count == handed[task_id]
    assert_whole(server, curriculum)


def test_set_label(opened: Open, server: RunningServer) -> None:
    curriculum = opened(config_of(task_generator=Single(label="old")))
    ids = curriculum.task_ids()
    curriculum.update_many([(task_id, 0.5) for task_id in ids[:4]] * 2)
    for task_id in ids[:2]:
        assert curriculum.set_label(task_id, "neu: ä{}*") is APPLIED
    assert curriculum.labels() == {"neu: ä{}*": 2, "old": 10}
    assert curriculum.task_ids("neu: ä{}*") == ids[:2]
    assert curriculum.task_ids("old") == ids[2:]
    assert curriculum.task_ids("nowhere") == []
    record = curriculum.get_task_stats(ids[0])
    assert record is not None
    assert (record.label, record.completion_count) == ("neu: ä{}*", 2)
    assert record.label_hash == label_hash("neu: ä{}*")
    assert_whole(server, curriculum)
    curriculum.evict(ids[5])
    assert curriculum.set_label(ids[5], "late") is EVICTED
    assert "late" not in curriculum.labels()


def test_what_is_not_in_the_pool_is_none(opened: Open) -> None:
    curriculum = opened(config_of())
    gone = curriculum.task_ids()[0]
    curriculum.evict(gone)
    assert curriculum.get_task_stats(gone) is None
    assert curriculum.get_task_stats(2**53 - 1) is None
    assert curriculum.update_task_performance(gone, 0.5) is EVICTED


@pytest.mark.parametrize("pooling", ["label", "task"])
def test_distribution_is_the_references(opened: Open, pooling: str) -> None:
    curriculum = opened(config_of(algorithm={"pooling": pooling}))
    uniform = curriculum.distribution()
    assert sum(uniform.values()) == pytest.approx(1, abs=1e-12)
    assert max(uniform.values()) == pytest.approx(min(uniform.values()))
    for round_ in range(6):
        tasks = curriculum.get_tasks(10)
        results = [(task.task_id, (task.task_id * 31 + round_ * 7) % 10 / 10) for task in tasks]
        curriculum.update_many(results)
    records = [curriculum.get_task_stats(task_id) for task_id in curriculum.task_ids()]
    assert any(record.completion_count >= 2 for record in records if record)
    rows = []
    for record in records:
        assert record is not None
        rows.append(
            PoolTask(
                record.task_id,
                record.label,
                record.completion_count,
                record.learning_progress,
                record.p_true,
            )
        )
    distribution = curriculum.distribution()
    assert list(distribution) == curriculum.task_ids()
    assert sum(distribution.values()) == pytest.approx(1, abs=1e-12)
    assert min(distribution.values()) > 0
    if pooling == "task":
        pool = make_pool(rows, {})
        expected = distribution_of(pool, curriculum.config.algorithm)
        assert list(distribution.values()) == expected.tolist()


# --- the handle ----------------------------------------------------------------------------------


def test_context_manager_and_closed_handle(server: RunningServer, url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        curriculum.get_task()
        worker_id = curriculum.worker_id
        with server.client() as client:
            assert client.zscore(Keys(name).workers, worker_id)
    with server.client() as client:
        assert client.zscore(Keys(name).workers, worker_id) is None
        assert not client.exists(Keys(name).worker(worker_id))
        assert client.exists(Keys(name).meta), "the curriculum stays"
    curriculum.close()
    for call in (
        curriculum.get_task,
        curriculum.task_ids,
        curriculum.check,
        lambda: curriculum.update_task_performance(1, 0.5),
    ):
        with pytest.raises(CurriculumError, match="closed"):
            call()
    assert name in repr(curriculum)


def test_an_error_inside_the_block_is_passed_on(url: str, name: str) -> None:
    with pytest.raises(ZeroDivisionError), Curriculum.open(url, name, config_of()) as curriculum:
        _ = 1 // 0
    with pytest.raises(CurriculumError, match="closed"):
        curriculum.get_task()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with a password; it is the test's own and needs no cleaning."""
    config = ["--user", "worker", "on", ">hunter2", "~rc:*", "+@all", "--requirepass", "s3cret"]
    running = RunningServer(tmp_path_factory.mktemp("guarded"), config=config)
    running.start(wait=False)
    try:
        running.url = f"unix://:s3cret@{running.socket}"
        running.wait()
        yield running
    finally:
        running.close()


def test_no_secret_in_repr_or_pickle(
    guarded: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user, secret in ((":", "s3cret"), ("worker:", "hunter2")):
        url = f"unix://{user}{secret}@{guarded.socket}"
        with Curriculum.open(url, "secretive", config_of()) as curriculum:
            dumped = pickle.dumps(curriculum)
            for text in (repr(curriculum), str(curriculum), curriculum.url, repr(dumped)):
                assert secret not in text
        with monkeypatch.context() as patched:
            patched.setenv(PASSWORD_VARIABLE, secret)
            with pickle.loads(dumped) as copy:
                assert copy.get_task().task_id in copy.task_ids()


def test_a_pickled_handle_is_a_new_worker(opened: Open) -> None:
    curriculum = opened(config_of(), chunk=3, lease_ms=5000)
    curriculum.get_task()
    with pickle.loads(pickle.dumps(curriculum)) as copy:
        assert copy.worker_id != curriculum.worker_id
        assert (copy.name, copy.url) == (curriculum.name, curriculum.url)
        assert copy.config == curriculum.config
        task = copy.get_task()
        assert copy.update_task_performance(task.task_id, 1.0) is APPLIED
    assert curriculum.get_task() is not None


def test_a_named_worker_pickles_as_another(opened: Open) -> None:
    curriculum = opened(config_of(), worker_id="rollout-0")
    curriculum.get_task()
    assert curriculum.worker_id == "rollout-0"
    with pickle.loads(pickle.dumps(curriculum)) as copy:
        assert copy.get_task()
        assert copy.worker_id != "rollout-0"


def test_two_live_workers_cannot_share_an_id(opened: Open) -> None:
    opened(config_of(), worker_id="same").get_task()
    with pytest.raises(WorkerInUseError, match="same"):
        opened(worker_id="same", retry_deadline_s=0.5).get_task()


def draw_in_child(curriculum: Curriculum, count: int) -> tuple[str, list[int]]:
    """The handle arrives by pickle, in a process started anew."""
    all_together()
    drawn = [task.task_id for task in curriculum.get_tasks(count)]
    curriculum.update_many([(task_id, 0.5) for task_id in drawn])
    worker_id = curriculum.worker_id
    curriculum.close()
    return worker_id, drawn


def test_handles_in_other_processes(opened: Open, server: RunningServer) -> None:
    curriculum = opened(config_of(num_active_tasks=200))
    results = in_processes(draw_in_child, [(curriculum, 40)] * 3)
    assert len({worker_id for worker_id, _ in results} | {curriculum.worker_id}) == 4
    first, second, third = (drawn for _, drawn in results)
    assert first != second != third != first
    handed = Counter(first + second + third)
    for task_id in curriculum.task_ids():
        record = curriculum.get_task_stats(task_id)
        assert record is not None
        assert record.sample_count == record.completion_count == handed[task_id]
    assert_whole(server, curriculum)


def forked(work: Callable[[], Any]) -> Any:
    """What ``work`` returns in a fork of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, pickle.dumps(work()))
        except BaseException as error:  # noqa: BLE001 - the parent shall see it
            os.write(writing, pickle.dumps(repr(error)))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return pickle.load(io.BytesIO(answer))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_handle_survives_fork(opened: Open, server: RunningServer) -> None:
    curriculum = opened(config_of())
    mine = [curriculum.get_task().task_id]
    before = curriculum.worker_id

    def in_child() -> tuple[str, str, list[int]]:
        seen = curriculum.worker_id
        drawn = [curriculum.get_task().task_id for _ in range(5)]
        curriculum.update_many([(task_id, 0.5) for task_id in drawn])
        worker_id = curriculum.worker_id
        curriculum.close()
        return seen, worker_id, drawn

    seen, child_id, theirs = forked(in_child)
    assert seen == child_id != before
    mine += [curriculum.get_task().task_id for _ in range(5)]
    assert curriculum.worker_id == before
    records = [curriculum.get_task_stats(task_id) for task_id in curriculum.task_ids()]
    assert {r.task_id: r.sample_count for r in records if r and r.sample_count} == Counter(
        mine + theirs
    )
    assert sum(r.completion_count for r in records if r) == 5
    with server.client() as client:
        assert client.zrange(Keys(curriculum.name).workers, 0, -1) == [before]
    assert_whole(server, curriculum)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_closing_in_a_fork_leaves_the_parents_handle_alone(opened: Open) -> None:
    curriculum = opened(config_of())
    curriculum.get_task()
    assert forked(curriculum.close) is None
    assert curriculum.get_task()


# --- draws ---------------------------------------------------------------------------------------


def test_two_handles_draw_different_tasks(opened: Open) -> None:
    one = opened(config_of(num_active_tasks=256))
    two = opened()
    first, second = one.get_tasks(20), two.get_tasks(20)
    assert [task.task_id for task in first] != [task.task_id for task in second]


def session(curriculum: Curriculum) -> list[Any]:
    """Some of everything; what it answered."""
    said: list[Any] = []
    for i in range(12):
        tasks = curriculum.get_tasks(5)
        said.append([(task.task_id, task.label) for task in tasks])
        said.append(
            curriculum.update_many([(t.task_id, (i * 3 + n) % 7 / 7) for n, t in enumerate(tasks)])
        )
        said.append(curriculum.next_task((tasks[0].task_id, 0.9)).task_id)
        if i % 4 == 3:
            said.append(curriculum.evict(tasks[1].task_id))
    said += [curriculum.task_ids(), curriculum.labels(), curriculum.distribution()]
    return said


def test_same_seed_one_worker_same_calls_same_draws(url: str, name: str) -> None:
    algorithm = {"replacement_rate": 0.05, "min_samples_for_lp": 1}
    said = []
    for i, seed in enumerate((7, 7, 8)):
        config = config_of(seed=seed, algorithm=algorithm)
        with Curriculum.open(url, f"{name}-{i}", config) as curriculum:
            said.append(session(curriculum))
    assert said[0] == said[1]
    assert said[0] != said[2]


# --- generators ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Levels:
    """A user's own generator, found by its import path; its fields are its arguments."""

    count: int = 4

    def generate(self, task_id: int) -> TaskSpec:
        level = task_id % self.count
        return TaskSpec(f"level-{level}", {"level": level})


class Stateful:
    """A generator that its path cannot rebuild."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def generate(self, task_id: int) -> TaskSpec:
        return TaskSpec(self.names[task_id % len(self.names)], {"id": task_id % 1000})


def test_a_generator_by_import_path(opened: Open) -> None:
    first = opened(config_of(task_generator=Levels(3)))
    second = opened()
    for task_id in second.task_ids():
        second.evict(task_id)
    task = second.get_task()
    spec = Levels(3).generate(task.task_id)
    assert (task.label, task.params) == (spec.label, spec.params)
    assert set(first.labels()) <= {"level-0", "level-1", "level-2"}


def test_a_generator_passed_at_open(opened: Open) -> None:
    generator = Stateful(["red", "green"])
    config = config_of(task_generator=generator)
    first = opened(config, generator=generator)
    assert set(first.labels()) == {"red", "green"}
    second = opened(generator=Stateful(["blue"]))
    second.evict(second.task_ids()[0])
    second.get_task()
    assert second.labels()["blue"] == 1, "the object that this handle was given"
    third = opened()
    task = third.get_task()
    assert task.label in ("red", "green", "blue")
    assert isinstance(task.params["id"], int)


def test_a_worker_without_the_generator_reads_and_never_fills(opened: Open) -> None:
    first = opened(config_of(task_generator=Stateful(["only"])))
    second = opened()
    ids = first.task_ids()
    for task_id in ids[1:]:
        second.evict(task_id)
    for _ in range(3):
        task = second.get_task()
        assert (task.task_id, task.label) == (ids[0], "only")
        assert task.params == {"id": ids[0] % 1000}
    assert second.task_ids() == ids[:1]
    second.evict(ids[0])
    with pytest.raises(EmptyPoolError, match="generator"):
        second.get_task()
    assert first.get_task().label == "only"
    assert second.get_task().label == "only"


def test_a_generator_of_another_class_is_refused(opened: Open) -> None:
    with pytest.raises(InvalidInputError, match="generator"):
        opened(config_of(task_generator=Stateful(["a"])), generator=Levels())
    with pytest.raises(InvalidInputError, match="generator"):
        opened(config_of(), generator=Levels())


def test_a_stateful_generator_travels_with_a_pickled_handle(opened: Open) -> None:
    curriculum = opened(config_of(task_generator=Stateful(["only"])))
    with pickle.loads(pickle.dumps(curriculum)) as copy:
        for task_id in copy.task_ids():
            copy.evict(task_id)
        assert copy.get_task().label == "only"


# --- every server -------------------------------------------------------------------------------


def test_the_same_session_on_every_server(every_server: RunningServer, name: str) -> None:
    config = config_of(algorithm={"replacement_rate": 0.05})
    with Curriculum.open(every_server.url, name, config) as curriculum:
        session(curriculum)
        assert curriculum.check() == []
        assert_whole(every_server, curriculum)


def test_two_databases_are_two_worlds(tmp_path: Any) -> None:
    with redis_server(tmp_path) as own:
        for db in (0, 3):
            with Curriculum.open(f"{own.url}?db={db}", "same", config_of()) as curriculum:
                curriculum.evict(curriculum.task_ids()[0])
                assert len(curriculum.task_ids()) == 11
