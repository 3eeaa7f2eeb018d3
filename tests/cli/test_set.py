"""``set``: settings of a live curriculum, by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from redis_curriculum import Curriculum, CurriculumConfig, LearningProgressConfig
from tests.cli.conftest import MAZES, Cli


@pytest.fixture
def live(url: str, name: str) -> Iterator[Curriculum]:
    config = CurriculumConfig(
        task_generator=MAZES, num_active_tasks=12, algorithm=LearningProgressConfig()
    )
    with Curriculum.open(url, name, config) as opened:
        yield opened


def test_old_and_new_are_printed(cli: Cli, live: Curriculum) -> None:
    answer = cli(
        "set", live.name, "temperature=0.1", "algorithm.pooling=task", "num_active_tasks=20"
    )
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        "num_active_tasks: 12 -> 20",
        'algorithm.pooling: "label" -> "task"',
        "algorithm.temperature: 0.0 -> 0.1",
    ]
    live.get_task()
    assert live.config.algorithm.temperature == 0.1  # type: ignore[attr-defined]
    assert len(live.task_ids()) == 20
    assert cli("check", live.name).code == 0
    assert cli("set", live.name, "temperature=0.1").out == "nothing to change\n"


def test_json(cli: Cli, live: Curriculum) -> None:
    assert cli("set", live.name, "failure_score=0.5", "--json").json == {
        "name": live.name,
        "config_version": 2,
        "changes": [{"field": "algorithm.failure_score", "old": None, "new": 0.5}],
    }


def test_a_generator_as_json(cli: Cli, live: Curriculum) -> None:
    value = '{"kind": "single", "label": "one", "params": {"size": 3}}'
    assert cli("set", live.name, f"task_generator={value}").code == 0
    live.evict(live.task_ids()[0])
    live.get_task()
    assert live.labels()["one"] == 1


def test_a_class_is_not_imported(cli: Cli, live: Curriculum) -> None:
    """Who sets it need not have it."""
    value = '{"kind": "custom", "path": "nowhere_at_all:Tasks", "arguments": {}}'
    assert cli("set", live.name, f"task_generator={value}").code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["seed=1"], 2, "seed must be as it was when the curriculum was created"),
        (["temperature=-1"], 2, "algorithm.temperature must be in [0, 1000], got -1"),
        (["temprature=1"], 2, "did you mean temperature"),
        (["temperature"], 2, "setting must be FIELD=VALUE, each field once, got 'temperature'"),
        (["temperature=1", "temperature=2"], 2, "each field once"),
        (["num_active_tasks=2"], 2, "--shrink"),
        (['task_generator={"kind": "single", "label": ""}'], 2, "task_generator.label must be"),
        ([], 2, "FIELD=VALUE"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(
    cli: Cli, live: Curriculum, words: list[str], code: int, said: str
) -> None:
    before: Any = cli("status", live.name, "--json").json["config"]
    answer = cli("set", live.name, *words)
    assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1)
    assert said in answer.err
    assert cli("status", live.name, "--json").json["config"] == before


def test_shrink(cli: Cli, live: Curriculum) -> None:
    assert cli("set", live.name, "num_active_tasks=2", "--shrink").code == 0
    assert len(live.task_ids()) == 2


def test_where_there_is_none(cli: Cli, name: str) -> None:
    answer = cli("set", name, "temperature=1")
    assert (answer.code, answer.out) == (1, "")
    assert f"no curriculum named {name!r}" in answer.err
