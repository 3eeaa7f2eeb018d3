"""Every Python block of the README and of the pages runs, and every command line is one."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from redis_curriculum import Curriculum
from tests.cli.conftest import commands
from tests.docs.pages import PAGES, blocks, page

EXAMPLES: dict[str, list[str]] = {}
"""Page to its blocks; one that several pages show belongs to the first."""
_seen = set[str]()
for _name in PAGES:
    if new := [block for block in blocks(page(_name), "python") if block not in _seen]:
        EXAMPLES[_name] = new
        _seen.update(new)

BEFORE = {
    "guides/checkpoints.md": """
        from redis_curriculum import Curriculum, CurriculumConfig
        from redis_curriculum.tasks import Single
        url = "redis://localhost:6379/0"
        config = CurriculumConfig(task_generator=Single(label="one"), num_active_tasks=8)
        curriculum = Curriculum.open(url, "run-42", config)
    """,
}
"""What a page takes for granted."""

AFTER = {
    "guides/asyncio.md": """
        from redis_curriculum import Curriculum, CurriculumConfig
        from redis_curriculum.tasks import Single
        async def play(params):
            return 0.5
        url = "redis://localhost:6379/0"
        config = CurriculumConfig(task_generator=Single(label="one"), num_active_tasks=8)
        with Curriculum.open(url, "asyncio", config) as curriculum:
            asyncio.run(rollouts(url, "asyncio", 3))
            assert curriculum.stats()["num_completed"] == 3
    """,
    "guides/checkpoints.md": """
        assert resumed.config.algorithm.replacement_rate == 0.01
    """,
}
"""What shows that a page's example did what it is for, where the example itself does not."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_a_page_run(
    name: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDIS_CURRICULUM_URL", raising=False)
    names: dict[str, Any] = {"__name__": "example"}
    parts = [dedent(BEFORE.get(name, "")), *EXAMPLES[name], dedent(AFTER.get(name, ""))]
    try:
        for part in parts:
            text = re.sub(r"redis://localhost:6379/0|embedded://(?!/)", url, part)
            exec(text, names)  # noqa: S102 - our own pages
    finally:
        for value in names.values():
            if isinstance(value, Curriculum):
                value.close()


def test_there_are_examples() -> None:
    assert sum(map(len, EXAMPLES.values())) >= 12
    assert BEFORE.keys() | AFTER.keys() <= EXAMPLES.keys()


@pytest.mark.parametrize("name", PAGES)
def test_every_command_line_names_a_command_and_its_options(name: str) -> None:
    known = commands()
    for line in "".join(blocks(page(name), "(?:sh|console)")).splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if "redis-curriculum" in words:
            command, *rest = words[words.index("redis-curriculum") + 1 :]
            options = {word.partition("=")[0] for word in rest if word.startswith("--")}
            assert options <= known[command], line
