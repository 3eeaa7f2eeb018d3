"""A table: each row is exactly one task, whatever the rows are and whoever plays."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import json
import os
import pickle
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import (
    AsyncCurriculum,
    Curriculum,
    CurriculumConfig,
    LearningProgressConfig,
    Outcome,
    Task,
    WorkerSettings,
)
from redis_curriculum.errors import (
    ConfigMismatchError,
    ConfigWarning,
    EmptyPoolError,
    Exhausted,
    GeneratorError,
    InvalidInputError,
)
from redis_curriculum.tasks import Buckets, Single, Span, Table, WeightedSet

COUNT = 250
ROWS = [{"id": 3 * i, "level": i % 4, "text": f"q{i}"} for i in range(COUNT)]
AT_ONCE = WorkerSettings(retry_deadline_s=0.0)


class DataSet:
    """Rows as a library of data sets has them."""

    def __init__(self, rows: list[Any], pause_s: float = 0.0) -> None:
        self.rows, self.pause_s = rows, pause_s

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        time.sleep(self.pause_s)
        return self.rows[index]


def as_lines(directory: Path, rows: list[Any] = ROWS) -> Path:
    path = directory / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    return path


def arrow(module: str) -> Any:
    """pyarrow has no type information."""
    return importlib.import_module(module)


def as_parquet(directory: Path) -> Path:
    path = directory / "rows.parquet"
    table = arrow("pyarrow").Table.from_pylist(ROWS)
    arrow("pyarrow.parquet").write_table(table, path, row_group_size=60)
    return path


def tasks_of(curriculum: Curriculum) -> dict[int, tuple[str, dict[str, Any]]]:
    found = {}
    for task_id in curriculum.task_ids():
        record = curriculum.get_task_stats(task_id)
        assert record is not None
        found[task_id] = (record.label, record.params)
    return found


SOURCES: dict[str, Callable[[Path], Any]] = {
    "list": lambda directory: ROWS,
    "json lines": as_lines,
    "parquet": as_parquet,
    "data set": lambda directory: DataSet(ROWS),
}


@pytest.mark.parametrize("source", SOURCES)
def test_each_row_is_exactly_one_task(url: str, name: str, tmp_path: Path, source: str) -> None:
    rows = SOURCES[source](tmp_path)
    table = Table(rows, label="math-{level}", key="id", params=["text"])
    config = CurriculumConfig(task_generator=table)
    assert config.num_active_tasks == COUNT
    with Curriculum.open(url, name, config) as curriculum:
        assert tasks_of(curriculum) == {
            row["id"]: (f"math-{row['level']}", {"text": row["text"]}) for row in ROWS
        }
        assert curriculum.check() == []
        assert table.row(3 * 17) == ROWS[17]
        assert sorted(task.task_id for task in curriculum.get_tasks(COUNT, distinct=True)) == [
            row["id"] for row in ROWS
        ]
        with Curriculum.open(url, name, pickle.loads(pickle.dumps(config))) as other:
            assert other.get_task().task_id in curriculum.task_ids()


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (Table(3), {i: ("table", {"row": i}) for i in range(3)}),
        (Table(range(10, 20, 5), label="r{row:03d}"), {
            10: ("r010", {"row": 10}),
            15: ("r015", {"row": 15}),
        }),
        (Table([{"a": 1}, {"a": 2}]), {0: ("table", {"a": 1}), 1: ("table", {"a": 2})}),
        (Table([{"a": 1}], params=[]), {0: ("table", {"row": 0})}),
        (Table(DataSet(["x", "y"])), {i: ("table", {"row": i}) for i in range(2)}),
        (Table([{"k": "p"}], key="k", label="l"), {Table.id_of("p"): ("l", {"k": "p"})}),
    ],
)  # fmt: skip
def test_ids_labels_and_params(url: str, name: str, table: Table, expected: dict[int, Any]) -> None:
    with Curriculum.open(url, name, CurriculumConfig(task_generator=table)) as curriculum:
        assert tasks_of(curriculum) == expected


def test_a_text_key_has_the_same_id_everywhere() -> None:
    digest = hashlib.sha256(b"prompt-17").digest()
    assert Table.id_of("prompt-17") == int.from_bytes(digest[:8], "big") % 2**53


def test_rows_that_leave_do_not_come_back(url: str, name: str) -> None:
    config = CurriculumConfig(
        task_generator=Table(6),
        algorithm=LearningProgressConfig(
            replacement_rate=1.0,
            exploration_share=1.0,
            min_samples_for_lp=1,
            min_presentations_for_eviction=1,
            eviction_threshold_percentile=1.0,
        ),
    )
    with Curriculum.open(url, name, config, worker=AT_ONCE) as curriculum:
        assert curriculum.report_failure(2, "broken", permanent=True) is Outcome.QUARANTINED
        assert curriculum.evict(4) is Outcome.APPLIED
        for _ in range(40):  # every result makes a row evictable, and each draw may replace
            curriculum.update_task_performance(curriculum.get_task().task_id, 0.5)
        assert curriculum.task_ids() == [0, 1, 3, 5]
        assert curriculum.check() == []
        with pytest.raises(EmptyPoolError, match="5 distinct tasks were asked for, the pool has 4"):
            curriculum.get_tasks(5, distinct=True)
        for task_id in curriculum.task_ids():
            curriculum.evict(task_id)
        with pytest.raises(EmptyPoolError, match="every row of the table has left it"):
            curriculum.get_task()


def test_a_pool_that_is_smaller_has_the_first_rows_and_then_the_next(url: str, name: str) -> None:
    config = CurriculumConfig(task_generator=Table(8), num_active_tasks=5)
    with Curriculum.open(url, name, config) as curriculum:
        assert curriculum.task_ids() == [0, 1, 2, 3, 4]
        for task_id, expected in ((1, 5), (0, 6), (3, 7)):
            curriculum.evict(task_id)
            curriculum.get_task()
            curriculum.get_task()
            assert curriculum.task_ids()[-1] == expected
        curriculum.evict(2)
        assert {curriculum.get_task().task_id for _ in range(60)} == {4, 5, 6, 7}
        assert curriculum.check() == []


def test_a_whole_table_is_put_in_however_long_that_takes(url: str, name: str) -> None:
    rows = DataSet([{"id": i} for i in range(120)], pause_s=0.003)
    config = CurriculumConfig(task_generator=Table(rows, key="id"))
    with Curriculum.open(url, name, config, worker=AT_ONCE) as curriculum:
        assert curriculum.task_ids() == list(range(120))


def test_workers_attach_without_the_rows(url: str, name: str, tmp_path: Path) -> None:
    config = CurriculumConfig(task_generator=Table(ROWS))
    snapshot = tmp_path / "a.rcs"
    with Curriculum.open(url, name, config) as curriculum:
        with Curriculum.open(url, name) as worker:
            assert worker.config == config
            task = worker.get_task()
            assert task.params == ROWS[task.task_id]
            worker.evict(task.task_id)
            worker.get_tasks(20)
            assert worker.check() == []
        curriculum.snapshot(snapshot)
        before = curriculum.task_ids()
    with Curriculum.restore(snapshot, url, f"{name}-2") as again:
        assert again.task_ids() == before
        again.get_tasks(20)
    with Curriculum.restore(snapshot, url, f"{name}-3", generator=Table(ROWS)) as again:
        again.get_tasks(20)
        assert again.task_ids() == before


def test_the_asyncio_handle_takes_a_table(url: str, name: str) -> None:
    async def play() -> list[int]:
        config = CurriculumConfig(task_generator=Table(ROWS))
        async with AsyncCurriculum.open(url, name, config) as curriculum:
            return await curriculum.task_ids()

    assert asyncio.run(play()) == list(range(COUNT))


# --- data that changes ---------------------------------------------------------------------------


def test_attaching_with_a_file_that_has_changed(url: str, name: str, tmp_path: Path) -> None:
    path, snapshot = as_lines(tmp_path), tmp_path / "a.rcs"
    with Curriculum.open(url, name, CurriculumConfig(task_generator=Table(path))) as curriculum:
        curriculum.snapshot(snapshot)
    Curriculum.open(url, name).close()
    as_lines(tmp_path, [*ROWS[:-1], {"id": 1}])
    attempts: list[Callable[[], Curriculum]] = [
        lambda: Curriculum.open(url, name),
        lambda: Curriculum.open(url, name, CurriculumConfig(task_generator=Table(path))),
        lambda: Curriculum.restore(snapshot, url, f"{name}-2"),
    ]
    for attach in attempts:
        with pytest.raises(ConfigMismatchError) as caught:
            attach()
        assert [field for field, _, _ in caught.value.differences] == ["task_generator.fingerprint"]
    path.unlink()  # whoever has no file plays
    with Curriculum.open(url, name) as worker:
        worker.get_task()


def test_a_list_that_has_changed_and_a_fingerprint_of_ones_own(url: str, name: str) -> None:
    def config(rows: Any, fingerprint: str | None = None) -> CurriculumConfig:
        return CurriculumConfig(task_generator=Table(rows, fingerprint=fingerprint))

    Curriculum.open(url, name, config(ROWS)).close()
    with pytest.raises(ConfigMismatchError, match="fingerprint"):
        Curriculum.open(url, name, config([*ROWS[:-1], {}]))
    with pytest.raises(ConfigMismatchError, match="data of the task generator"):
        Curriculum.open(url, name, generator=Table([*ROWS[:-1], {}]))
    Curriculum.open(url, f"{name}-2", config(DataSet(ROWS), "release 1")).close()
    Curriculum.open(url, f"{name}-2", config(DataSet(ROWS), "release 1")).close()
    with pytest.raises(ConfigMismatchError, match="release 2"):
        Curriculum.open(url, f"{name}-2", config(DataSet(ROWS), "release 2"))
    with pytest.raises(ConfigMismatchError, match="release 1"):
        Curriculum.open(url, f"{name}-2", generator=Table(DataSet(ROWS), fingerprint="release 3"))


def test_a_longer_table_brings_its_new_rows(url: str, name: str) -> None:
    with Curriculum.open(url, name, CurriculumConfig(task_generator=Table(4))) as curriculum:
        curriculum.evict(1)
        curriculum.configure(generator=Table(6), num_active_tasks=6)
        curriculum.get_tasks(2)
        assert curriculum.task_ids() == [0, 2, 3, 4, 5]
        with pytest.raises(InvalidInputError, match="num_active_tasks must be at most 5"):
            curriculum.configure(generator=Table(5))


def test_no_other_generator_becomes_a_table(url: str, name: str) -> None:
    config = CurriculumConfig(task_generator=Single(label="a"), num_active_tasks=2)
    with Curriculum.open(url, name, config) as curriculum:
        with pytest.raises(InvalidInputError, match="task_generator must be of the kind"):
            curriculum.configure(generator=Table(5))
        assert curriculum.config == config


# --- bad input -----------------------------------------------------------------------------------

BAD: list[tuple[Any, dict[str, Any], str]] = [
    (0, {}, "rows must be in [1, 2**53), got 0"),
    (2.5, {}, "rows must be a number, a range"),
    ([], {}, "rows must be at least one row, got []"),
    ({"a": 1}, {}, "rows must be a number, a range"),
    (range(-1, 3), {}, "rows must be a range within [0, 2**53)"),
    ("rows.csv", {}, "rows must be a path that ends in .jsonl"),
    ("nowhere.jsonl", {}, "rows must be a file that can be read (No such file"),
    ([{"a": 1}, 2], {}, "rows[1] must be params (a dict), got 2"),
    ([{"a": 1}, {"a": {1, 2}}], {}, "rows[1].a must be JSON"),
    ([{"a": "x" * 70_000}], {}, "rows[0] must be at most 65536 bytes of JSON, got 70008"),
    ([{"a": 5}, {"a": 6}, {"a": 5}], {"key": "a"}, "rows[2].a must be another value than in"),
    ([{"a": 1.5}], {"key": "a"}, "rows[0].a must be a text, or an integer in [0, 2**53), got 1.5"),
    ([{"a": 1}], {"key": "b"}, "rows[0] must be with a column 'b', got ['a']"),
    ([{"a": 1}], {"params": ["b"]}, "rows[0] must be with a column 'b', got ['a']"),
    ([{"a": 1}, {}], {"label": "{a}"}, "rows[1] must be with a column 'a', which the label"),
    ([{"a": "x"}], {"label": "{a:d}"}, "rows[0] must be as the label formats it"),
    ([{"a": "\n"}], {"label": "{a}"}, "rows[0].label must be free of control characters"),
    (3, {"label": "{a"}, "label must be a template"),
    (3, {"key": "a"}, "key must be None where the rows are numbers, got 'a'"),
    (3, {"params": "a"}, "params must be a list of names of columns, got 'a'"),
    (3, {"fingerprint": ""}, "fingerprint must be a text of 1 to 200 printable characters"),
]


@pytest.mark.parametrize(("rows", "settings", "message"), BAD)
def test_bad_rows_are_refused(rows: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Table(rows, **settings)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n[1]\n', "rows[1] must be a JSON object, got '[1]'"),
        ('{"a": 1}\n{"a": NaN}\n', "rows[1].a must be finite"),
        ('{"a": 1}\n\n{"a": 1, "a": 2}\n', "rows[1] must be free of duplicate keys"),
        ("\n", "rows must be at least one row"),
    ],
)
def test_bad_lines_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        Table(path)
    assert str(caught.value).startswith(message)


@pytest.mark.timeout(20)
def test_a_pipe_or_device_is_no_file_of_rows(tmp_path: Path) -> None:
    """It waited for a writer, or filled the memory."""
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "zeros.jsonl").symlink_to("/dev/zero")
    (tmp_path / "zeros.parquet").symlink_to("/dev/zero")
    for name in ("pipe.jsonl", "zeros.jsonl", "zeros.parquet"):
        with pytest.raises(InvalidInputError, match=r"rows must be a file that .*not a regular"):
            Table(tmp_path / name)


def test_a_damaged_parquet_file_and_one_without_pyarrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = as_parquet(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(GeneratorError, match=r"pip install 'redis-curriculum\[parquet\]'"):
        Table(path)
    monkeypatch.undo()
    path.write_bytes(b"PAR1 no")
    with pytest.raises(InvalidInputError, match="rows must be a Parquet file"):
        Table(path)


def test_rows_by_id_and_by_index() -> None:
    table = Table(ROWS, key="id")
    assert [table.id_at(i) for i in (0, COUNT - 1)] == [0, 3 * (COUNT - 1)]
    with pytest.raises(Exhausted):
        table.id_at(COUNT)
    for wrong in (1, 3 * COUNT, -1, "a"):
        with pytest.raises(InvalidInputError, match="task_id"):
            table.row(wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="entries"):
        WeightedSet([(table, 1.0)])
    with pytest.raises(InvalidInputError, match="num_active_tasks must be at most 250"):
        CurriculumConfig(task_generator=table, num_active_tasks=251)


def test_parquet_rows_in_any_order(tmp_path: Path) -> None:
    table = Table(as_parquet(tmp_path), key="id")
    for index in (249, 0, 61, 59, 120, 248, 1):
        assert table.row(3 * index) == ROWS[index]


# --- buckets -------------------------------------------------------------------------------------


def test_a_pool_of_every_combination_warns() -> None:
    rows = Buckets(label="a", buckets={"row": Span(1, 500), "side": ["l", "r"]})
    assert rows.combinations == 1000
    with pytest.warns(ConfigWarning, match="about 632 different ones; use Table"):
        CurriculumConfig(task_generator=rows, num_active_tasks=1000)


@pytest.fixture
def silent() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize(
    ("buckets", "size"),
    [
        ({"row": Span(1, 5000)}, 256),
        ({"row": Span(1, 20)}, 30),
        ({"row": Span(1, 100)}, 2000),
        ({"row": Span(0.0, 1.0)}, 2000),
    ],
)
@pytest.mark.usefixtures("silent")
def test_other_pools_do_not_warn(buckets: dict[str, Any], size: int) -> None:
    generator = Buckets(label="a", buckets=buckets)
    CurriculumConfig(task_generator=generator, num_active_tasks=size)


def test_tasks_are_made_of_rows_by_hand() -> None:
    table = Table(ROWS, label="math-{level}", key="id")
    made = table.generate(9)
    assert Task(9, made.label, made.params) == Task(9, "math-3", ROWS[3])


def test_a_row_that_breaks_an_invariant_is_named(url: str, name: str) -> None:
    table = Table([{"size": 5}, {"size": 7}, {"size": 5}])
    rule = r"rows\[1\].params.size must be 5 in every task \(an invariant\), got 7"
    with pytest.raises(InvalidInputError, match=rule):
        CurriculumConfig(task_generator=table, invariants={"size": 5})
    with Curriculum.open(url, name, CurriculumConfig(task_generator=table)) as curriculum:
        with pytest.raises(InvalidInputError, match=rule):
            curriculum.configure(invariants={"size": 5})
        assert curriculum.config.invariants == {}
        assert curriculum.task_ids() == [0, 1, 2]


def test_what_a_worker_without_the_rows_sets_stops_nobody(url: str, name: str) -> None:
    rows = [{"level": i % 2} for i in range(8)]
    table = Table(rows, label="{level}")
    config = CurriculumConfig(task_generator=table, num_active_tasks=2, held_out="1")
    owner = Curriculum.open(url, name, config, worker=AT_ONCE)
    worker = Curriculum.open(url, name, worker=AT_ONCE)
    worker.configure(num_active_tasks=6)  # it cannot know that training has 4 rows
    worker.configure(label_share={"0": (0.0, 0.5)}, invariants={"level": 0})
    assert owner.get_task().label == "0"
    assert owner.task_ids() == worker.task_ids() == [0, 2, 4, 6]
    assert owner.config.num_active_tasks == 6
    other = Curriculum.open(url, name, generator=table, worker=AT_ONCE)
    assert other.get_task().label == "0"
    with pytest.raises(InvalidInputError, match="num_active_tasks must be at most 4"):
        owner.configure(num_active_tasks=7)
    for curriculum in (owner, worker, other):
        curriculum.close()
