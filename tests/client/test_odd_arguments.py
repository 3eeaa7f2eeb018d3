"""Whatever a public call is given: it works, or raises an error of this library."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from redis_curriculum import (
    AsyncCurriculum,
    Curriculum,
    CurriculumConfig,
    GroupProgressConfig,
    LearningProgressConfig,
    WorkerSettings,
)
from redis_curriculum.config import resume_rule, structural_differences
from redis_curriculum.envs import (
    CurriculumEnv,
    CurriculumNativeVectorEnv,
    CurriculumParallelEnv,
    CurriculumPufferEnv,
    CurriculumVectorEnv,
    TaskEnv,
    evaluation_tasks,
)
from redis_curriculum.errors import CurriculumError, InvalidInputError
from redis_curriculum.integrations.prompts import Prompts, groups_of
from redis_curriculum.reporting import JsonLines, Prometheus, WeightsAndBiases, gini
from redis_curriculum.tasks import (
    Buckets,
    Single,
    Span,
    Table,
    WeightedSet,
    label_hash,
    task_id_at,
)

CONFIG = CurriculumConfig(task_generator=Single(label="a"), num_active_tasks=4)


class Unprintable:
    """Even its repr fails."""

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")


def _deep(wrap: Callable[[Any], Any]) -> Any:
    value: Any = None
    for _ in range(5_000):
        value = wrap(value)
    return value


_ITSELF: list[Any] = []
_ITSELF.append(_ITSELF)
_NESTED: dict[str, Any] = {}
_NESTED["a"] = _NESTED
ODD: dict[str, Any] = {
    "none": None,
    "flag": True,
    "negative": -1,
    "zero": 0,
    "huge": 2**70,
    "gigantic": 10**5_000,
    "nan": math.nan,
    "infinite": math.inf,
    "empty": "",
    "text": "x",
    "surrogate": "\ud800",
    "null character": "a\0b",
    "long": "a" * 100_000,
    "bytes": b"x",
    "memory": memoryview(b"x"),
    "list": [],
    "pairs": [(1, 2, 3)],
    "pair of none": [(None, None)],
    "set": {1},
    "dict": {},
    "dict by number": {1: 2},
    "dict by unknown name": {"a": 1},
    "object": object(),
    "unprintable": Unprintable(),
    "itself": _ITSELF,
    "dict of itself": _NESTED,
    "deep list": _deep(lambda value: [value]),
    "deep dict": _deep(lambda value: {"a": value}),
    "class": int,
    "function": len,
    "array": np.arange(3),
    "array of no dimension": np.array(1),
    "array of objects": np.array([None, 1], dtype=object),
    "matrix": np.array([[1, 0.5]]),
    "numpy integer": np.uint64(2**64 - 1),
    "numpy nan": np.float64("nan"),
    "decimal": Decimal(1),
    "complex": 1j,
    "directory": Path(__file__).parent,
    "error": ValueError("x"),
    "config": CONFIG,
}
Odd = pytest.mark.parametrize("odd", list(ODD.values()), ids=list(ODD))


def typed(call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    """Make a call; errors of this library are welcome."""
    if callable(named.get("progress")):
        return  # what it raises is its own
    try:
        answer = call(*arguments, **named)
        if isinstance(answer, Curriculum):
            answer.close()
    except CurriculumError as error:
        assert str(error)  # noqa: PT017 - its message can be made, whatever the value's repr does


@pytest.fixture
def played(url: str, name: str) -> Iterator[Curriculum]:
    with Curriculum.open(url, name, CONFIG) as curriculum:
        yield curriculum


@Odd
def test_opening(url: str, name: str, odd: Any) -> None:
    def in_loop(*arguments: Any, **named: Any) -> None:
        async def opened() -> None:
            async with AsyncCurriculum.open(*arguments, **named):
                pass

        asyncio.run(opened())

    for opened in (Curriculum.open, in_loop):
        for arguments in ((odd, name, CONFIG), (url, odd, CONFIG), (url, name, odd)):
            typed(opened, *arguments)
        for field in ("worker", "generator", "resume"):
            typed(opened, url, name, CONFIG, **{field: odd})


@Odd
def test_calls_of_a_handle(played: Curriculum, tmp_path: Path, odd: Any) -> None:
    task_id = played.task_ids()[0]
    typed(played.get_tasks, odd)
    typed(played.update_task_performance, odd, 0.5)
    typed(played.update_task_performance, task_id, odd)
    typed(played.update_many, odd)
    typed(played.next_task, odd)
    typed(played.next_tasks, odd, 2)
    typed(played.next_tasks, [(task_id, 0.5)], odd)
    typed(played.report_failure, odd, "x")
    typed(played.report_failure, task_id, odd)
    typed(played.report_failure, task_id, "x", permanent=odd)
    typed(played.evict, odd)
    typed(played.set_label, odd, "b")
    typed(played.set_label, task_id, odd)
    typed(played.set_weight, odd, 0.5)
    typed(played.set_weight, task_id, odd)
    typed(played.set_weights, odd)
    typed(played.get_task_stats, odd)
    typed(played.task_ids, odd)
    typed(played.epoch_report, odd)
    typed(played.check, repair=odd)
    typed(played.get_batch, odd, 2)
    typed(played.get_batch, "k", odd)
    typed(played.add_tasks, odd)
    typed(played.add_tasks, [odd])
    typed(played.remove_tasks, odd)
    typed(played.end_epoch, step=odd)
    typed(played.stats, labels=odd)
    typed(played.history, labels=odd)
    typed(played.events, odd)
    typed(played.load_state_dict, odd)
    typed(played.configure, floor=odd)
    for field in ("overwrite", "keep", "progress"):
        typed(played.snapshot, tmp_path / "a.rcs", **{field: odd})
    assert played.check() == []


@Odd
def test_snapshots(played: Curriculum, url: str, name: str, tmp_path: Path, odd: Any) -> None:
    path = tmp_path / "a.rcs"
    played.snapshot(path)
    if not isinstance(odd, (str, Path)):  # a name of a file in the current directory
        typed(played.snapshot, odd)
    typed(Curriculum.restore, odd, url, f"{name}.2")
    for field in ("overrides", "replace", "force", "shrink", "worker", "generator", "progress"):
        typed(Curriculum.restore, path, url, f"{name}.{field}", **{field: odd})
        typed(Curriculum.restore, path, url, name, **{"replace": True, field: odd})


@pytest.mark.filterwarnings("ignore::redis_curriculum.errors.ConfigWarning")
@Odd
def test_settings(odd: Any) -> None:
    for model in (CONFIG, WorkerSettings(), LearningProgressConfig()):
        kind: Any = type(model)
        for field in kind.model_fields:
            typed(kind, **{**dict(model), field: odd})
        typed(kind.model_validate, odd)
        typed(kind.model_validate_json, odd)
        typed(model.model_copy, update=odd)
        typed(kind, odd)
    for call in (
        CurriculumConfig.from_json,
        CONFIG.with_overrides,
        CONFIG.normalize_score,
        CONFIG.bind,
        CONFIG.differences,
        lambda value: CONFIG.with_overrides({"num_active_tasks": value}),
        lambda value: structural_differences(CONFIG, value),
    ):
        typed(call, odd)


@Odd
def test_generators(odd: Any) -> None:
    typed(lambda: Single(label=odd))
    typed(lambda: Single(label="a", params=odd))
    typed(lambda: Buckets(label=odd, buckets={"size": [1]}))
    typed(lambda: Buckets(label="m-{size}", buckets=odd))
    typed(lambda: Buckets(label="m-{size}", buckets={"size": odd}))
    typed(lambda: Span(odd, odd))
    typed(lambda: WeightedSet(odd))
    typed(lambda: WeightedSet([(odd, 1.0)]))
    typed(lambda: WeightedSet([(Single(label="a"), odd)]))
    typed(task_id_at, odd, 1)
    typed(task_id_at, 1, odd)
    typed(label_hash, odd)


@Odd
def test_prompts(url: str, name: str, odd: Any) -> None:
    table = Table([{"a": i} for i in range(8)], label="r")
    config = CurriculumConfig(task_generator=table, algorithm=GroupProgressConfig())
    with Curriculum.open(url, name, config) as curriculum:
        prompts = Prompts(curriculum, 4)
        for field in ("key", "num_batches", "num_replicas", "rank", "skip_right", "success"):
            typed(Prompts, curriculum, 4, **{field: odd})
        rows = prompts.next_batch()
        typed(prompts.batch, odd)
        typed(prompts.update, odd, [[1.0, 0.0]])
        typed(prompts.update, rows[:1], odd)
        typed(prompts.update, rows[:1], [[1.0, odd]])
        typed(groups_of, rows[:1], [[1.0, 0.0]], odd)
        state = prompts.state_dict()
        for field in state:
            typed(prompts.load_state_dict, {**state, field: odd})
        typed(prompts.load_state_dict, odd)
        assert curriculum.check() == []


@Odd
def test_environments(played: Curriculum, odd: Any) -> None:
    wrappers = (CurriculumEnv, CurriculumVectorEnv, CurriculumParallelEnv, CurriculumPufferEnv)
    for wrapper in wrappers:
        typed(wrapper, odd, played)
    typed(CurriculumNativeVectorEnv, odd, played, lambda *_: None)
    typed(TaskEnv, odd)
    typed(evaluation_tasks, odd)
    typed(evaluation_tasks, played, odd)


@Odd
def test_reporting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: Any) -> None:
    monkeypatch.chdir(tmp_path)
    if not isinstance(odd, (str, Path)):  # names of files, which the system may refuse
        typed(JsonLines, odd)
        typed(Prometheus, odd)
    if odd is not None:
        typed(WeightsAndBiases, odd)
    typed(gini, odd)


@pytest.mark.parametrize("field", ["overwrite", "replace", "force", "shrink", "repair"])
def test_a_flag_is_no_text(
    played: Curriculum, url: str, name: str, tmp_path: Path, field: str
) -> None:
    """``replace="no"`` would replace."""
    path = tmp_path / "a.rcs"
    played.snapshot(path)

    def call(flag: object) -> None:
        given: dict[str, Any] = {field: flag}
        if field == "repair":
            played.check(**given)
        elif field == "overwrite":
            played.snapshot(path, **given)
        else:
            Curriculum.restore(path, url, name, **given)

    texts: list[object] = ["no", "", 0, 1, None, []]
    for flag in texts:
        with pytest.raises(InvalidInputError, match=f"{field} must be True or False"):
            call(flag)


def test_what_is_no_field_is_refused() -> None:
    for bad in (7, None, b"seed"):
        with pytest.raises(InvalidInputError):
            resume_rule(bad)  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        resume_rule("nothing")
