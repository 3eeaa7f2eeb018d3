"""Every redis-cli recipe of the page on keys gives what the page shows, on a real server."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any, cast

import pytest

from redis_curriculum import (
    Curriculum,
    CurriculumConfig,
    LearningProgressConfig,
    WorkerSettings,
)
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.tasks import Buckets
from tests.docs.pages import blocks, page, rows
from tests.protocol.test_keys import ARGUMENTS, PINNED
from tests.servers import RunningServer, redis_server

PAGE = page("understand/keys.md")
RECIPES = [
    recipe.split("\n", 1)
    for block in blocks(PAGE, "console")
    for recipe in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The curriculum that the page looks at."""
    mazes = Buckets(label="maze-{size}", buckets={"size": [5, 9, 13]})
    algorithm = LearningProgressConfig()
    config = CurriculumConfig(task_generator=mazes, num_active_tasks=6, algorithm=algorithm)
    worker = WorkerSettings(worker_id="rollout-1")
    with (
        redis_server(tmp_path_factory.mktemp("recipes")) as server,
        Curriculum.open(server.url, "run-42", config, worker=worker) as curriculum,
    ):
        for i in range(25):
            for at, task_id in enumerate(curriculum.task_ids()[:4]):
                curriculum.update_task_performance(task_id, min(1.0, i * (1 + at) / 64))
        curriculum.get_tasks(8)
        curriculum.evict(curriculum.task_ids()[5])
        yield server


@pytest.mark.skipif(not shutil.which("redis-cli"), reason="no redis-cli on PATH")
@pytest.mark.parametrize(("command", "shown"), RECIPES, ids=[command for command, _ in RECIPES])
def test_a_recipe_shows_what_the_page_shows(
    recorded: RunningServer, command: str, shown: str
) -> None:
    words = shlex.split(command)
    assert words[0] == "redis-cli"
    done = subprocess.run(
        [words[0], "-s", str(recorded.socket), *words[1:]],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout, "a recipe that shows nothing"
    assert _timeless(done.stdout) == _timeless(shown)


def _timeless(text: str) -> str:
    """Times differ: ms since 1970, and the ids of stream entries."""
    return re.sub(r"\b1\d{12}(-\d+)?\b", "TIME", text.rstrip("\n"))


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 10


def test_the_table_has_every_key_and_its_type() -> None:
    keys = Keys("<name>", cast("int", "<g>"))
    arguments: dict[str, tuple[Any, ...]] = {
        "worker": ("<id>",),
        "epoch": ("<n>", "<what>"),
        "task": ("<task_id>",),
        "reindexed": ("<what>",),
        "label": ("<label>",),
        "members": ("<label>",),
        "progress": ("<label>",),
        "cell": ("<state>:<label>",),
        "own_tasks": ("<name>",),
        "own_labels": ("<name>",),
        "own_pool": ("<name>",),
        "own_texts": ("<name>",),
        "count": ("<what>",),
    }
    assert arguments.keys() == ARGUMENTS.keys()
    types = {}
    for name in PINNED.keys() - {"prefix", "pool"}:
        found = getattr(keys, name)
        spelled = str(found(*arguments[name]) if callable(found) else found)
        text = str(getattr(Keys, name).__doc__)
        types[f"`{spelled.removeprefix(keys.prefix)}`"] = re.split(r"[,:]| of | by ", text)[
            0
        ].lower()
    assert {key: kind for key, kind, _ in rows(PAGE)} == types


def test_the_recipes_name_no_key_that_the_library_does_not(recorded: RunningServer) -> None:
    with recorded.client() as client:
        for command, _ in RECIPES:
            for key in re.findall(r"rc:\{\S+", command):
                assert client.exists(key.strip("'\"")), command
