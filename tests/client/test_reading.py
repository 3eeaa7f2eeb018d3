"""What the handles read in bulk: the same that the command line shows, and that records say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from redis_curriculum import AsyncCurriculum, Curriculum, CurriculumConfig
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.tasks import Buckets
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture

MAZES = Buckets(label="maze-{size}", buckets={"size": [5, 9, 13], "walls": [[0], [1, 2]]})


@pytest.fixture
def curriculum(url: str, name: str) -> Iterator[Curriculum]:
    """Results, failures, an eviction, two closed epochs, a change of settings."""
    config = CurriculumConfig(task_generator=MAZES, num_active_tasks=12, seed=3)
    with Curriculum.open(url, name, config) as opened:
        for i in range(12):
            opened.update_many([(task_id, i / 12) for task_id in opened.task_ids()[:7]])
        opened.get_tasks(5)
        opened.report_failure(opened.task_ids()[0], "it broke")
        opened.end_epoch(step=100)
        opened.evict(opened.task_ids()[-1])
        opened.end_epoch()
        opened.configure(replacement_rate=0.25)
        yield opened


def test_records_are_the_records(curriculum: Curriculum) -> None:
    columns = curriculum.records()
    ids = curriculum.task_ids()
    assert columns["task_id"].tolist() == ids
    assert {len(column) for column in columns.values()} == {len(ids)}
    chances = curriculum.distribution()
    for i, task_id in enumerate(ids):
        record = curriculum.get_task_stats(task_id)
        assert record is not None
        assert columns["probability"][i] == chances[task_id]
        for name, value in record.fields().items():
            found = columns[name][i]
            if value is None:
                assert found is None or np.isnan(found)
            else:
                assert found == value
    kinds = {name: column.dtype.kind for name, column in columns.items()}
    assert kinds["task_id"] == kinds["sample_count"] == kinds["completion_count"] == "i"
    assert kinds["label"] == kinds["params"] == kinds["last_error"] == "O"
    assert kinds["success_rate_ema"] == kinds["last_score"] == "f"
    assert np.isnan(columns["success_rate_ema"]).sum() == len(ids) - 7
    assert columns["last_error"].tolist().count("it broke") == 1


def test_records_of_no_task(curriculum: Curriculum) -> None:
    names = curriculum.records().keys()
    for task_id in curriculum.task_ids():
        curriculum.evict(task_id)
    empty = curriculum.records()
    assert empty.keys() == names
    assert all(column.shape == (0,) for column in empty.values())


def test_label_stats_are_what_the_command_line_lists(curriculum: Curriculum, cli: Cli) -> None:  # noqa: F811
    found = curriculum.label_stats()
    assert [row.fields() for row in found.values()] == cli("labels", curriculum.name, "--json").json
    assert list(found) == [row.label for row in found.values()]
    counts = curriculum.labels()
    assert {label: row.tasks for label, row in found.items() if row.tasks} == counts
    assert sum(row.probability for row in found.values()) == pytest.approx(1)
    best = next(iter(found.values()))
    assert best.learning_progress == best.statistics["learning_progress"]
    with pytest.raises(AttributeError, match="no_such"):
        _ = best.no_such


def test_events_tell_what_happened(curriculum: Curriculum) -> None:
    found = curriculum.events()
    assert [event.kind for event in found] == [
        "created", "failed", "epoch", "evicted", "epoch", "configured",
    ]  # fmt: skip
    assert [event.ms for event in found] == sorted(event.ms for event in found)
    created, failed, epoch, *_, configured = (dict(event.fields) for event in found)
    assert (created["count"], failed["error"], epoch["epoch"]) == (12, "it broke", 0)
    assert configured["changes"] == {"algorithm.replacement_rate": [0.0, 0.25]}
    assert [event.kind for event in curriculum.events(2)] == ["epoch", "configured"]
    for count in (0, -1, 2.5, "all"):
        with pytest.raises(InvalidInputError, match="count must be"):
            curriculum.events(count)  # type: ignore[arg-type]


def test_events_come_in_chunks(curriculum: Curriculum, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redis_curriculum.reporting.events._CHUNK", 2)
    assert len(curriculum.events()) == len({event.event_id for event in curriculum.events()}) == 6
    assert len(curriculum.events(3)) == 3


def test_epochs_are_the_closed_ones(curriculum: Curriculum) -> None:
    found = curriculum.epochs()
    assert found == [curriculum.epoch_report(0), curriculum.epoch_report(1)]
    assert [(report.epoch, report.step) for report in found] == [(0, 100), (1, None)]
    curriculum.configure(epochs_retained=1)
    curriculum.end_epoch()
    assert [report.epoch for report in curriculum.epochs()] == [2]


def test_asyncio_reads_the_same(curriculum: Curriculum, url: str) -> None:
    async def session() -> list[Any]:
        async with AsyncCurriculum.open(url, curriculum.name) as opened:
            columns = await opened.records()
            return [
                {name: column.tolist() for name, column in columns.items()},
                await opened.label_stats(),
                await opened.events(),
                await opened.epochs(),
                await opened.quarantine(),
            ]

    columns = {name: column.tolist() for name, column in curriculum.records().items()}
    own = [columns, curriculum.label_stats(), curriculum.events(), curriculum.epochs(), {}]
    assert json.dumps(asyncio.run(session()), default=repr) == json.dumps(own, default=repr)
