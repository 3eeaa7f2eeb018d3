"""A data set that has changed is noticed by whoever attaches or restores."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum, CurriculumConfig, TaskSpec
from redis_curriculum.errors import ConfigMismatchError, GeneratorError, InvalidInputError
from redis_curriculum.tasks import Custom, Single, WeightedSet

MODULE = """
import dataclasses, hashlib
from pathlib import Path
from redis_curriculum import TaskSpec

@dataclasses.dataclass
class Rows:
    file: str

    def generate(self, task_id):
        rows = Path(self.file).read_text().split()
        return TaskSpec("row", {"text": rows[task_id % len(rows)]})

    def fingerprint(self):
        return hashlib.sha256(Path(self.file).read_bytes()).hexdigest()
"""


class Said:
    """Says whatever it was told to."""

    def __init__(self, says: Any) -> None:
        self.says = says

    def generate(self, task_id: int) -> TaskSpec:
        return TaskSpec("said", {"n": task_id % 3})

    def fingerprint(self) -> Any:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of rows, and the module ``rows_of`` whose class reads it."""
    (tmp_path / "rows_of.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "rows.txt"
    file.write_text("a b c")
    yield file
    sys.modules.pop("rows_of", None)


def by_path(rows: Path) -> Custom:
    return Custom(path="rows_of:Rows", arguments={"file": str(rows)})


def by_object(rows: Path) -> Any:
    return importlib.import_module("rows_of").Rows(str(rows))


def nested(rows: Path) -> Any:
    return WeightedSet([(Single(label="s"), 1.0), (by_path(rows), 1.0)])


def config_of(generator: Any) -> CurriculumConfig:
    return CurriculumConfig(task_generator=generator, num_active_tasks=4)


@pytest.mark.parametrize("make", [by_path, by_object, nested])
def test_attaching_with_other_data(
    url: str, name: str, rows: Path, make: Callable[[Path], Any]
) -> None:
    Curriculum.open(url, name, config_of(make(rows))).close()
    Curriculum.open(url, name, config_of(make(rows))).close()
    Curriculum.open(url, name).close()
    before = hashlib.sha256(rows.read_bytes()).hexdigest()
    rows.write_text("a b c d")
    for config in (None, config_of(make(rows))):
        with pytest.raises(ConfigMismatchError, match=before):
            Curriculum.open(url, name, config)
    rows.write_text("a b c")
    Curriculum.open(url, name).close()


def test_a_handle_brings_other_data(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(Said("3 rows"))) as curriculum:
        assert curriculum.config.to_json().count('"fingerprint":"3 rows"') == 1
    with pytest.raises(ConfigMismatchError, match="'3 rows', given '4 rows'") as caught:
        Curriculum.open(url, name, generator=Said("4 rows"))
    assert caught.value.differences == [("task_generator.fingerprint", "3 rows", "4 rows")]
    Curriculum.open(url, name, generator=Said("3 rows")).close()
    Curriculum.open(url, name).close()  # who has no generator makes no task


def test_restoring_with_other_data_changes_nothing(
    url: str, name: str, rows: Path, tmp_path: Path
) -> None:
    with Curriculum.open(url, name, config_of(by_path(rows))) as curriculum:
        info = curriculum.snapshot(tmp_path / "a.rcs")
    rows.write_text("other")
    target = f"{name}.restored"
    with pytest.raises(ConfigMismatchError, match="restore a snapshot with an override"):
        Curriculum.restore(info.path, url, target)

    async def restore() -> None:
        await AsyncCurriculum.restore(info.path, url, target)

    with pytest.raises(ConfigMismatchError):
        asyncio.run(restore())
    with Curriculum.open(url, target, config_of(Single(label="free"))) as curriculum:
        assert curriculum.labels() == {"free": 4}, "the name is still free"
    going_on = {"task_generator": by_object(rows)}
    with Curriculum.restore(info.path, url, f"{name}.new", overrides=going_on) as curriculum:
        curriculum.evict(curriculum.task_ids()[0])
        assert len({curriculum.get_task().task_id for _ in range(9)}) > 1
    Curriculum.open(url, f"{name}.new").close()


@pytest.mark.parametrize("said", [7, None, "", "x" * 201, "a\nb"])
def test_what_is_no_fingerprint(said: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"fingerprint\(\) must be a text of 1 to 200"):
        config_of(Said(said))


def test_a_fingerprint_that_fails() -> None:
    with pytest.raises(GeneratorError, match="OSError: no such disk"):
        config_of(Said(OSError("no such disk")))
