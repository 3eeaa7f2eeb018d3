"""The examples that need PyTorch, which is gigabytes: `make examples` installs it and runs them."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest

from tests.examples.running import run_example

LINE = r"^pole-(\S+): mean return (\d+) in the first quarter, (\d+) in the last$"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("script", "module"), [("pytorch.py", "torch"), ("sb3.py", "stable_baselines3")]
)
def test_it_learns(url: str, name: str, script: str, module: str) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install redis-curriculum[examples]")
    printed = run_example(script, url, name, warnings="default")
    found = re.findall(LINE, printed, re.MULTILINE)
    assert {label for label, _, _ in found} == {"0.25", "0.5", "1.0", "2.0"}
    for _, first, last in found:
        assert int(last) > 1.5 * int(first)
