"""Families of other packages: found by their entry points, refused with the reason."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from redis_curriculum import CurriculumConfig
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers import Scorer, UniformConfig, family, kinds
from redis_curriculum.tasks import Single

MODULE = """
from pathlib import Path
from typing import Annotated, Literal
from redis_curriculum.scorers import STRUCTURAL, Scorer

class Plain(Scorer):
    LUA = Path(__file__).with_suffix(".lua")
    kind: Annotated[Literal["plain"], STRUCTURAL] = "plain"

class NoFile(Plain):
    LUA = Path(__file__).with_name("no_such.lua")

class NoPath(Plain):
    LUA = None

thing = 3
"""

PLAIN = {"task_generator": Single(label="a"), "algorithm": {"kind": "plain"}}

Install = Callable[..., str]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package that registers some families; returns the name of its module."""
    numbers = itertools.count()

    def installed(**families: str) -> str:
        name = f"family_{tmp_path.name.replace('-', '_')}_{next(numbers)}"
        place = tmp_path / name
        about = place / f"{name}-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{kind} = {name}:{what}\n" for kind, what in families.items()]
        (about / "entry_points.txt").write_text(f"[redis_curriculum.scorers]\n{''.join(lines)}")
        (place / f"{name}.py").write_text(MODULE)
        (place / f"{name}.lua").write_text("-- plain: nothing.\n")
        monkeypatch.syspath_prepend(place)
        return name

    return installed


def test_a_family_is_found_by_its_kind(install: Install) -> None:
    assert "plain" not in kinds()
    with pytest.raises(InvalidInputError, match=r"kind must be one of .*uniform, got 'plain'"):
        family("plain")
    module = install(plain="Plain")
    assert "plain" in kinds()
    found = family("plain")
    assert (found.__module__, found.__name__) == (module, "Plain")
    config = CurriculumConfig.model_validate(PLAIN)
    assert type(config.algorithm) is found
    again = CurriculumConfig.from_json(config.to_json())
    assert again == config
    assert again.with_overrides({"success_threshold": 0.25}).algorithm.success_threshold == 0.25


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("thing", "that of a Scorer; .*:thing is none"),
        ("no_such", "importable: .*:no_such: AttributeError"),
        ("NoFile", r"of a family with a Lua file; .*:NoFile\.LUA is .*no_such\.lua"),
        ("NoPath", r"of a family with a Lua file; .*:NoPath\.LUA is None"),
    ],
)
def test_what_is_no_family_is_refused_with_the_reason(
    install: Install, what: str, reason: str
) -> None:
    install(plain=what)
    with pytest.raises(InvalidInputError, match=f"kind must be {reason}.*got 'plain'"):
        CurriculumConfig.model_validate(PLAIN)


def test_a_family_under_another_kind_is_refused(install: Install) -> None:
    install(other="Plain")
    with pytest.raises(InvalidInputError, match=r"kind must be 'plain', as .*:Plain says"):
        family("other")


def test_a_kind_that_two_packages_register_is_refused(install: Install) -> None:
    one, other = install(plain="Plain"), install(plain="Plain")
    with pytest.raises(InvalidInputError, match=f"not by {one}:Plain and {other}:Plain"):
        family("plain")


def test_no_package_replaces_a_family_of_the_library(install: Install) -> None:
    install(uniform="Plain")
    assert family("uniform") is UniformConfig
    assert kinds().count("uniform") == 1


def test_a_class_that_is_not_installed_is_refused() -> None:
    class Mine(Scorer):
        kind: str = "mine"

    with pytest.raises(InvalidInputError, match="kind must be one of"):
        CurriculumConfig(task_generator=Single(label="a"), algorithm=Mine())
