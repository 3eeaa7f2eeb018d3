"""Tasks are added and removed by hand, and held-out ones are kept from training."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from redis_curriculum import (
    AsyncCurriculum,
    Curriculum,
    CurriculumConfig,
    LearningProgressConfig,
    Outcome,
    Task,
    TaskSpec,
    WorkerSettings,
)
from redis_curriculum._store import given
from redis_curriculum.envs import EvaluationEnv
from redis_curriculum.errors import (
    ConfigMismatchError,
    GeneratorError,
    GeneratorWarning,
    InvalidInputError,
)
from redis_curriculum.tasks import Buckets, Table, task_id_at
from tests.servers import RunningServer

APPLIED, DUPLICATE, EVICTED = Outcome.APPLIED, Outcome.DUPLICATE, Outcome.EVICTED
MAZES = Buckets(label="maze-{size}", buckets={"size": [5, 9, 13], "seed": list(range(20))})
ENDLESS = CurriculumConfig(task_generator=MAZES, num_active_tasks=10, invariants={})
SMALL = WorkerSettings(chunk=3)


def own(*ids: int, label: str = "own") -> list[Task]:
    return [Task(task_id, label, {"n": task_id}) for task_id in ids]


@pytest.fixture
def table(url: str, name: str) -> Iterator[Curriculum]:
    rows = [{"id": f"p{i}", "level": i % 2} for i in range(8)]
    config = CurriculumConfig(task_generator=Table(rows, label="l{level}", key="id"))
    with Curriculum.open(url, name, config, worker=SMALL) as curriculum:
        yield curriculum


# --- added and removed ---------------------------------------------------------------------------


def test_added_tasks_come_on_top_and_none_replaces_them(
    url: str, name: str, tmp_path: Path
) -> None:
    with Curriculum.open(url, name, ENDLESS, worker=SMALL) as curriculum:
        first = curriculum.task_ids()
        assert curriculum.add_tasks(own(1, 2, 3, 4)) == [APPLIED] * 4
        assert curriculum.add_tasks(own(4, 5)) == [DUPLICATE, APPLIED]
        assert curriculum.task_ids() == [1, 2, 3, 4, 5, *first]
        assert len(curriculum.get_tasks(15, distinct=True)) == 15
        with pytest.raises(InvalidInputError, match="count must be at most 15, what"):
            curriculum.get_tasks(16, distinct=True)
        curriculum.update_many([(task_id, 0.5) for task_id in (1, 2, *first)])
        assert curriculum.remove_tasks([1, 99, 2, *first[:2]]) == [
            *(APPLIED, EVICTED),
            *[APPLIED] * 3,
        ]
        curriculum.get_tasks(20)
        assert curriculum.task_ids() == [3, 4, 5, *first[2:]], "11, so nothing is missing"
        curriculum.remove_tasks([3, 4, 5])
        curriculum.get_tasks(20)
        assert len(curriculum.task_ids()) == 10, "the generator keeps 10 there"
        assert curriculum.check() == []
        curriculum.add_tasks(own(1, 2))
        assert curriculum.get_task_stats(1).completion_count == 0  # type: ignore[union-attr]
        curriculum.snapshot(tmp_path / "a.rcs")
    with Curriculum.restore(tmp_path / "a.rcs", url, f"{name}-2") as again:
        assert len(again.task_ids()) == 12
        again.configure(min_presentations_for_eviction=30)  # builds the indices anew
        assert len(again.task_ids()) == 12
        again.configure(num_active_tasks=7, shrink=True)
        assert len(again.task_ids()) == 9
        assert again.check() == []
    with Curriculum.restore(
        tmp_path / "a.rcs", url, f"{name}-3", overrides={"num_active_tasks": 7}, shrink=True
    ) as again:
        assert len(again.task_ids()) == 9


def test_rows_of_a_table_leave_and_come_again(table: Curriculum) -> None:
    ids = table.task_ids()
    gone = [Table.id_of(key) for key in ("p0", "p3", "p4", "p6")]
    assert table.remove_tasks(gone) == [APPLIED] * 4
    table.get_tasks(20)
    assert table.task_ids() == sorted({*ids} - {*gone})
    assert table.add_tasks([gone[0], {"id": "new", "level": 7}]) == [APPLIED] * 2
    assert table.add_tasks([{"id": "p3", "level": 1}]) == [APPLIED]
    record = table.get_task_stats(Table.id_of("new"))
    assert record is not None
    assert (record.label, record.params) == ("l7", {"id": "new", "level": 7})
    assert table.labels() == {"l0": 2, "l1": 4, "l7": 1}
    assert table.check() == []


def test_added_ids_are_not_made_again_by_the_generator(url: str, name: str) -> None:
    """The next ones of the generator are there already: it makes the others."""
    following = [task_id_at(0, index) for index in range(10, 14)]
    with Curriculum.open(url, name, ENDLESS) as curriculum:
        taken = [following[0], following[2]]
        curriculum.add_tasks(own(*taken))
        curriculum.remove_tasks([task_id_at(0, index) for index in range(6)])
        curriculum.get_tasks(3)
        assert set(following) <= set(curriculum.task_ids())
        assert curriculum.task_ids(label="own") == sorted(taken)
        assert curriculum.check() == []


def test_workers_play_meanwhile_and_every_task_is_added_once(url: str, name: str) -> None:
    rounds = 12
    with Curriculum.open(url, name, ENDLESS):
        pass

    def add(first: int, outcomes: list[list[Outcome]]) -> None:
        with Curriculum.open(url, name, worker=SMALL) as curriculum:
            for i in range(rounds):
                begin = first + 5 * i
                outcomes.append(curriculum.add_tasks(own(*range(begin, begin + 7))))

    def play() -> None:
        with Curriculum.open(url, name) as curriculum:
            task = curriculum.get_task()
            for _ in range(60):
                task = curriculum.next_task((task.task_id, 0.5))

    outcomes = list[list[Outcome]]()
    threads = [threading.Thread(target=add, args=(first, outcomes)) for first in (0, 3)]
    threads += [threading.Thread(target=play) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Curriculum.open(url, name) as curriculum:
        added = curriculum.task_ids(label="own")
        assert added == list(range(5 * rounds + 5))
        flat = [outcome for each in outcomes for outcome in each]
        assert (flat.count(APPLIED), set(flat)) == (len(added), {APPLIED, DUPLICATE})
        assert curriculum.check() == []


def test_the_events_tell_of_chunks_and_of_each_of_a_few_that_left(
    server: RunningServer, name: str
) -> None:
    many = range(100, 117)
    with Curriculum.open(server.url, name, ENDLESS, worker=SMALL) as curriculum:
        curriculum.add_tasks(own(1, 2, 3, 4))
        curriculum.remove_tasks([1, 2, 3, 4])
    with Curriculum.open(server.url, name) as curriculum:
        curriculum.add_tasks(own(*many))
        curriculum.remove_tasks(many)
        events = curriculum.events(8)
    told = [(e.kind, e.fields.get("count"), e.fields.get("task_id")) for e in events]
    assert told == [
        *(("added", 3, None), ("added", 1, None)),
        *(("evicted", None, task_id) for task_id in (1, 2, 3, 4)),
        *(("added", 17, None), ("removed", 17, None)),
    ]
    assert events[-1].fields["first_task_id"] == many[0]


def test_the_asyncio_handle_adds_and_removes(url: str, name: str) -> None:
    async def play() -> list[int]:
        config = CurriculumConfig(task_generator=Table(4), held_out=0.5)
        async with AsyncCurriculum.open(url, name, config) as curriculum:
            (held_out,) = await curriculum.get_eval_tasks(1)
            assert held_out.task_id not in await curriculum.task_ids()
            await curriculum.add_tasks(own(*(n for n in range(90, 99) if is_in_training(n))))
            await curriculum.remove_tasks(await curriculum.task_ids("table"))
            return await curriculum.task_ids()

    def is_in_training(task_id: int) -> bool:
        return not CurriculumConfig(task_generator=Table(4), held_out=0.5).holds_out(task_id, "")

    assert asyncio.run(play()) == [n for n in range(90, 99) if is_in_training(n)]


BAD: list[tuple[Callable[[Any], Any], str]] = [
    (lambda c: c.add_tasks([]), "tasks must be a list of at least one of tasks"),
    (lambda c: c.add_tasks({"id": "x"}), "tasks must be a list"),
    (lambda c: c.add_tasks([*own(1), "x"]), "tasks[1] must be an integer in [0, 2**53), got 'x'"),
    (lambda c: c.add_tasks([17]), "tasks[0] must be the id of a row of the table, got 17"),
    (lambda c: c.add_tasks([{"level": 1}]), "tasks[0] must be with a column 'id'"),
    (lambda c: c.add_tasks(own(1, 2, 1)), "tasks[2] must be another task than those before"),
    (lambda c: c.add_tasks(own(-1)), "tasks[0].task_id must be an integer in [0, 2**53), got -1"),
    (lambda c: c.add_tasks(own(1, label="")), "tasks[0].label must be 1 to 200 bytes"),
    (lambda c: c.add_tasks([Task(1, "a", {"a": {1}})]), "tasks[0].params.a must be JSON"),
    (
        lambda c: c.add_tasks([*own(1), {"id": "p1", "level": 0}]),
        "tasks[1] must be new, or as the task that the pool has under that id",
    ),
    (lambda c: c.remove_tasks([]), "task_ids must be a list of at least one of task ids"),
    (lambda c: c.remove_tasks(own(1)), "task_ids[0] must be an integer"),
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_bad_tasks_change_nothing(table: Curriculum, case: int) -> None:
    call, message = BAD[case]
    before = table.task_ids()
    with pytest.raises(InvalidInputError) as caught:
        call(table)
    assert str(caught.value).startswith(message)
    assert table.task_ids() == before
    assert table.check() == []


def test_a_config_without_a_table_takes_tasks_only(url: str, name: str) -> None:
    with Curriculum.open(url, name, ENDLESS) as curriculum:
        for row in (3, {"id": 3}):
            with pytest.raises(InvalidInputError, match=r"tasks\[0\] must be a Task"):
                curriculum.add_tasks([row])


def test_a_full_pool_takes_no_more(table: Curriculum, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looked before others added gets the same from the script."""
    monkeypatch.setattr(given, "MOST_TASKS", 10)
    monkeypatch.setattr(given.Addition, "HEAD", (10,))
    with pytest.raises(InvalidInputError, match="tasks must be at most 2 new ones"):
        table.add_tasks(own(1, 2, 3))
    monkeypatch.setattr(given, "MOST_TASKS", 100)
    with pytest.raises(InvalidInputError, match="tasks must be fewer: a pool holds"):
        table.add_tasks(own(1, 2, 3))
    assert len(table.task_ids()) == 8
    assert table.add_tasks(own(1, 2)) == [APPLIED] * 2


# --- held out ------------------------------------------------------------------------------------


def test_a_share_is_held_out_by_the_ids_alone(url: str, name: str) -> None:
    config = CurriculumConfig(task_generator=Table(400), held_out=0.25)
    assert 270 < config.num_active_tasks < 330
    algorithm = LearningProgressConfig(replacement_rate=0.025)
    endless = ENDLESS.model_copy(update={"held_out": 0.25, "algorithm": algorithm})
    with Curriculum.open(url, name, config) as curriculum:
        held_out = curriculum.get_eval_tasks(400 - config.num_active_tasks)
        ids = [task.task_id for task in held_out]
        assert sorted([*curriculum.task_ids(), *ids]) == list(range(400))
        assert curriculum.get_eval_tasks(3) == held_out[:3]
        assert curriculum.epoch_report().samples == {}  # type: ignore[union-attr]
        with pytest.raises(InvalidInputError, match=r"count must be at most .* held-out tasks in"):
            curriculum.get_eval_tasks(len(held_out) + 1)
        with pytest.raises(InvalidInputError, match="not held out"):
            curriculum.add_tasks([0, ids[0]] if 0 not in ids else [ids[0]])
        other = CurriculumConfig(task_generator=Table(400), held_out=0.2)
        with pytest.raises(ConfigMismatchError, match="held_out"):
            Curriculum.open(url, name, other)
    with Curriculum.open(url, f"{name}-2", endless) as curriculum:
        seen = set[int]()
        task = curriculum.get_task()
        for _ in range(300):
            task = curriculum.next_task((task.task_id, 0.5))
            seen.add(task.task_id)
            if len(seen) % 7 == 0:
                curriculum.evict(task.task_id)
        assert not any(endless.holds_out(task_id, "") for task_id in seen)
        assert all(endless.holds_out(task.task_id, "") for task in curriculum.get_eval_tasks(20))
        assert len(curriculum.task_ids()) == 10


def test_labels_are_held_out_by_patterns(url: str, name: str, tmp_path: Path) -> None:
    config = ENDLESS.model_copy(update={"held_out": ["maze-1?", "x*"]})
    with Curriculum.open(url, name, config) as curriculum:
        assert set(curriculum.labels()) == {"maze-5", "maze-9"}
        tasks = curriculum.get_eval_tasks(5, label="maze-13")
        assert {(task.label, task.params["size"]) for task in tasks} == {("maze-13", 13)}
        task_id = curriculum.task_ids()[0]
        for label in ("maze-13", "xyz"):
            with pytest.raises(InvalidInputError, match="label must be a label that is not held"):
                curriculum.set_label(task_id, label)
        with pytest.raises(InvalidInputError, match="at most 0, the held-out tasks of label 'x'"):
            curriculum.get_eval_tasks(1, label="x")
        curriculum.snapshot(tmp_path / "a.rcs")
        seen = list[Any]()
        world = gymnasium.make("CartPole-v1")
        env = EvaluationEnv(world, tasks, apply_task=lambda env, task: seen.append(task))
        env.reset()
        assert seen == tasks[:1]
    with Curriculum.restore(tmp_path / "a.rcs", url, f"{name}-2") as again:
        assert again.config == config
        assert again.get_eval_tasks(5, label="maze-13") == tasks


def test_a_rule_that_leaves_nothing_to_train_on(url: str, name: str) -> None:
    for generator in (MAZES, Generated()):
        config = CurriculumConfig(task_generator=generator, num_active_tasks=4, held_out="maze-*")
        with pytest.raises(InvalidInputError, match=r"held_out must be .*the first 1000 are all"):
            Curriculum.open(url, name, config)
    assert Curriculum.names(url) == []
    for rule, message in (("t*", "leaves some of the 9 rows"), ("x", "holds out some of the 9")):
        with pytest.raises(InvalidInputError, match=message):
            CurriculumConfig(task_generator=Table(9), held_out=rule)


class EndsHeldOut:
    """Makes two tasks to train on, and then only tasks that are held out."""

    def __init__(self, first: int) -> None:
        self.left = first

    def generate(self, task_id: int) -> TaskSpec:
        self.left -= 1
        return TaskSpec("maze-1" if self.left < 0 else "room", {"id": task_id})


def test_a_generator_that_only_makes_held_out_tasks_ends_the_filling(url: str, name: str) -> None:
    config = CurriculumConfig(
        task_generator=EndsHeldOut(3), num_active_tasks=4, held_out="maze-*"
    )  # the first one is made to try it out
    with pytest.warns(GeneratorWarning, match="plays on with 2 of 4 tasks: the last 1,000"):
        curriculum = Curriculum.open(url, name, config)
    assert curriculum.labels() == {"room": 2}
    curriculum.close()
    empty = EndsHeldOut(1)
    config = CurriculumConfig(task_generator=empty, num_active_tasks=4, held_out="maze-*")
    with pytest.raises(GeneratorError, match="the last 1,000 tasks were all held out"):
        Curriculum.open(url, f"{name}.2", config)


def test_eval_tasks_need_a_rule_and_a_generator(url: str, name: str) -> None:
    with Curriculum.open(url, name, ENDLESS) as curriculum:
        for bad in (0, True, "3", 2.0):
            with pytest.raises(InvalidInputError, match="count must be"):
                curriculum.get_eval_tasks(bad)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="held_out must be set in the config"):
            curriculum.get_eval_tasks(1)
    rows = Table([{"a": i} for i in range(9)])
    config = CurriculumConfig(task_generator=rows, held_out=0.3)
    Curriculum.open(url, f"{name}-2", config).close()
    with (
        Curriculum.open(url, f"{name}-2") as curriculum,
        pytest.raises(GeneratorError, match="pass generator= when opening"),
    ):
        curriculum.get_eval_tasks(1)
    with Curriculum.open(url, f"{name}-2", generator=rows) as curriculum:
        curriculum.get_eval_tasks(1)


class Generated:
    """A user's own generator."""

    def generate(self, task_id: int) -> TaskSpec:
        return TaskSpec("maze-1", {"id": task_id})
