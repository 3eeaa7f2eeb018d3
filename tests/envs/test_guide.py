"""The guide on environments: its examples, and its table is the truth."""

from __future__ import annotations

import inspect
import re

from redis_curriculum.envs import CurriculumEnv
from tests.docs.pages import blocks, page
from tests.envs.conftest import Opened
from tests.envs.worlds import Walk, broken

PAGE = page("guides/environments.md")
EXAMPLES = blocks(PAGE, "python")


def test_each_kind_of_environment_has_an_example() -> None:
    """They are run by ``tests/docs/test_examples.py``."""
    assert len(EXAMPLES) == 4
    assert all('"embedded://"' in example for example in EXAMPLES)


def test_the_table_names_every_key_and_its_type(opened: Opened) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]+) \|", PAGE, re.MULTILINE)
    types = {"int": int, "float": float, "str": str, "dict": dict}
    env = CurriculumEnv(Walk(), opened(task_generator=broken(["step", "", " "])))
    seen = set()
    for _ in range(30):
        _, info = env.reset()
        begun = info["curriculum"]
        assert set(begun) == {key for key, _, when in rows if when == "both"}
        over = False
        while not over:
            _, _, terminated, truncated, info = env.step(0)
            over = terminated or truncated
        ended = info["curriculum"]
        last = "end, if it failed" if "error" in ended else "end, unless it failed"
        seen.add(last)
        assert set(ended) == {key for key, _, when in rows if when in ("both", "end", last)}
        for key, kind, _ in rows:
            assert key not in ended or type(ended[key]) is types[kind]
    assert len(seen) == 2
    documented = re.findall(
        r"^(\w+) +(?:int|str|dict|float) ", inspect.getdoc(CurriculumEnv) or "", re.MULTILINE
    )
    assert documented == [key for key, _, _ in rows]
