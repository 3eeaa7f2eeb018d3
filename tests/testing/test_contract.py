"""The contract notices: each family here has one fault, and the test that is for it fails."""

from __future__ import annotations

import dataclasses
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field
from scipy.stats import chisquare, norm

from redis_curriculum._protocol.records import TaskRecord
from redis_curriculum._protocol.scripts import folder
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum._values.fields import STRUCTURAL, TUNABLE, Count, Fraction
from redis_curriculum.errors import InvalidInputError, ScriptError
from redis_curriculum.scorers import (
    BASIC,
    LearningProgressConfig,
    Scorer,
    Statistic,
    Statistics,
    registry,
)
from redis_curriculum.scorers.base import Floats
from redis_curriculum.scorers.registry import family, kinds
from redis_curriculum.testing import ScorerContract
from redis_curriculum.testing.contract import RESERVED
from redis_curriculum.testing.playing import changed, deviation, settings_like

CONTRACT = ScorerContract()
LUA = (folder() / "scorers" / "learning_progress.lua").read_text(encoding="utf-8")


class Sound(LearningProgressConfig):
    """The library's own rule under another kind."""

    LUA: ClassVar[Path | None] = folder() / "scorers" / "learning_progress.lua"

    kind: Annotated[Literal["sound"], STRUCTURAL] = "sound"  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]
    pooling: Annotated[Literal["label", "task"], TUNABLE] = Field(default="task", description="-")


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Scorer]], Scorer]:
    """Makes a family known under its kind, and returns its defaults."""

    def register(model: type[Scorer]) -> Scorer:
        kind = model.model_fields["kind"].default
        monkeypatch.setattr(registry, "OWN", {**registry.OWN, kind: model})
        return model.default()

    return register


Register = Callable[[type[Scorer]], Scorer]


# --- faults in Lua -------------------------------------------------------------------------------

GROWING = """\
local function fold_task(p, s)
  local pool = 'rc:{' .. string.match(p.key, '{(.-)}') .. '}:g1:'
  for _ = 1, redis.call('ZCARD', pool .. 'fresh') do
    redis.call('TIME')
  end
"""

FAULTS: dict[str, tuple[str, str, str]] = {
    "another baseline": ("fold", "s < 0.75 and s or 0.75", "s < 0.7 and s or 0.7"),
    "another order of operations": (
        "fold",
        "p.ema_squared + task_tracker_ema_alpha * (s * s - p.ema_squared)",
        "(1 - task_tracker_ema_alpha) * p.ema_squared + task_tracker_ema_alpha * s * s",
    ),
    "a first result that is not told from others": ("fold", "if first then", "if false then"),
    "labels are folded twice": (
        "fold",
        "local fold_label = fold_task",
        "local function fold_label(p, s)\n  fold_task(p, s)\n  fold_task(p, s)\nend",
    ),
    "rank": (
        "fold",
        "local function rank(p)\n  return p.learning_progress or 0",
        "local function rank(p)\n  return p.p_true or 0",
    ),
    "ripe too late": (
        "fold",
        "ripe_from = min_samples_for_lp, min_presentations_for_eviction",
        "ripe_from = min_samples_for_lp, min_presentations_for_eviction + 1",
    ),
    "weight": (
        "draw",
        "return weight_is_rank and progress or",
        "return weight_is_rank and (progress > 0 and 0.5 or 0) or",
    ),
    "fewer are replaced": (
        "draw",
        "evictable_share = replacement_rate",
        "evictable_share = 0.5 * replacement_rate",
    ),
    "a hyperparameter that the model does not have": (
        "load",
        "early_progress_amplification, task",
        "early_progress, task",
    ),
    "a cost that grows with the pool": (
        "cost",
        "local function fold_task(p, s)\n",
        GROWING,
    ),
}


def contract_test(kind: str, scorer: Scorer, url: str) -> None:
    match kind:
        case "fold":
            CONTRACT.test_the_server_folds_as_python_does(scorer, url)
        case "draw":
            CONTRACT.test_the_server_draws_as_the_reference_does(scorer, url)
        case "cost":
            CONTRACT.test_a_result_costs_the_same_in_a_large_pool(scorer, url)
        case "load":
            CONTRACT.test_every_script_loads(scorer)


@pytest.mark.filterwarnings("ignore::redis_curriculum.errors.ConfigWarning")
@pytest.mark.parametrize("kind", ["fold", "draw", "cost", "load"])
def test_a_sound_family_passes(kind: str, registered: Register, url: str) -> None:
    contract_test(kind, registered(Sound), url)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_lua_is_seen(fault: str, registered: Register, url: str, tmp_path: Path) -> None:
    kind, sound, wrong = FAULTS[fault]
    assert LUA.count(sound) == 1
    path = tmp_path / "sound.lua"
    path.write_text(LUA.replace(sound, wrong), encoding="utf-8")

    class Faulty(Sound):
        LUA: ClassVar[Path | None] = path

    scorer = registered(Faulty)
    if fault == "another baseline":
        scorer = scorer.model_copy(update={"use_baseline_normalization": True})
    with pytest.raises(TypeError if kind == "load" else (AssertionError, ScriptError)):
        contract_test(kind, scorer, url)


# --- faults in Python ----------------------------------------------------------------------------


class Unregistered(Sound):
    """Its kind is another family's."""


class OutOfRange(Sound):
    def fold(self, of: Statistics, score: float) -> dict[str, float]:
        return {**super().fold(of, score), "p_fast": score * 1.01}


class Forgetful(Sound):
    def fold(self, of: Statistics, score: float) -> dict[str, float]:
        found = super().fold(of, score)
        del found["ema_squared"]
        return found


class Meddling(Sound):
    def fold(self, of: Statistics, score: float) -> dict[str, float]:
        found = super().fold(of, score)
        if isinstance(of, dict):
            of.update(found)
        return found


class Negative(Sound):
    def weight(self, of: Statistics) -> float:
        return super().weight(of) - 0.01


class Undeclared(Sound):
    def rank(self, of: Statistics) -> float:
        return of.get("reward_ema", 0.0)


class OtherColumns(Sound):
    def weights(self, columns: Mapping[str, Floats]) -> Floats:
        return super().weights(columns) * (1 + 2**-52)


class Twice(Sound):
    STATISTICS: ClassVar[tuple[Statistic, ...]] = (*BASIC, BASIC[-1])


class Reserved(Sound):
    STATISTICS: ClassVar[tuple[Statistic, ...]] = (*BASIC, Statistic("key", "-"))


class Unmarked(Sound):
    another: Fraction = Field(default=0.5, description="Neither structural nor tunable.")


class Lenient(Sound):
    another: Annotated[float, TUNABLE] = Field(default=0.5, description="Any number at all.")


class RipeBeforeLearning(Sound):
    @property
    def ripe_from(self) -> int:
        return self.min_samples_for_lp - 1


class BeginsOutside(Sound):
    def first(self, name: str, mean: float) -> float:
        return super().first(name, mean) + 2


class WrongAlias(Sound):
    @property
    def aliases(self) -> Mapping[str, str]:
        return {"p_slow": "p_fast"}


IN_PYTHON: dict[type[Scorer], Callable[[Scorer], None]] = {
    OutOfRange: lambda s: CONTRACT.test_a_fold_keeps_every_statistic_in_its_range(s, "task"),
    Forgetful: lambda s: CONTRACT.test_a_fold_keeps_every_statistic_in_its_range(s, "label"),
    Meddling: CONTRACT.test_a_fold_depends_on_what_it_is_given_and_changes_none_of_it,
    Negative: lambda s: CONTRACT.test_ranks_and_weights_are_finite(s, "task"),
    Undeclared: lambda s: CONTRACT.test_ranks_and_weights_use_what_is_declared(s, "task"),
    OtherColumns: lambda s: CONTRACT.test_ranks_and_weights_use_what_is_declared(s, "label"),
    Twice: CONTRACT.test_statistics_are_declared,
    Reserved: CONTRACT.test_statistics_are_declared,
    Unmarked: CONTRACT.test_every_setting_is_described_and_marked,
    Lenient: CONTRACT.test_a_setting_of_the_wrong_kind_is_refused,
    RipeBeforeLearning: CONTRACT.test_tasks_ripen_in_order,
    BeginsOutside: lambda s: CONTRACT.test_a_fold_goes_on_with_what_another_family_kept(s, "task"),
    WrongAlias: lambda s: CONTRACT.test_statistics_survive_packing(s, "task"),
}


@pytest.mark.parametrize("model", IN_PYTHON, ids=lambda model: model.__name__)
def test_a_fault_in_python_is_seen(model: type[Scorer], registered: Register) -> None:
    IN_PYTHON[model](registered(Sound))
    with pytest.raises((AssertionError, InvalidInputError, pytest.fail.Exception)):
        IN_PYTHON[model](registered(model))


def test_a_kind_that_is_another_familys_is_seen() -> None:
    with pytest.raises(InvalidInputError, match="kind must be one of"):
        CONTRACT.test_its_kind_finds_it(Unregistered())


def test_names_of_what_scripts_and_records_keep_beside_statistics_are_reserved() -> None:
    """Whatever the scripts put into the table of a task or label, and the fields of its record."""
    written = re.compile(r"\b(?:p|task|label)\.([a-z_]+) ?[,=](?!=)")
    made = re.compile(r"local p = \{ (.*) \}")
    found = {field.name for field in dataclasses.fields(TaskRecord)}
    for path in [*(folder() / "include").glob("*.lua"), *(folder() / "draws").rglob("*.lua")]:
        text = path.read_text(encoding="utf-8")
        found.update(re.findall(r"(\w+) = ", " ".join(made.findall(text))))
        found.update(written.findall(text))
    of_families = {one.name for kind in kinds() for one in family(kind).STATISTICS}
    assert found - of_families <= RESERVED
    assert {"key", "joining", "weight_before", "last_error"} <= found


# --- what the contract is made of ----------------------------------------------------------------


def test_other_settings_differ_and_are_the_same_each_time() -> None:
    scorer = LearningProgressConfig()
    found = [settings_like(scorer, random.Random(seed)) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    same = [name for name, value in found[0] if getattr(scorer, name) == value]
    assert len(same) < 4, same


def test_a_setting_that_allows_nothing_else_stays() -> None:
    class Narrow(Sound):
        only: Annotated[Literal["one"], TUNABLE] = Field(default="one", description="-")
        few: Annotated[Count, TUNABLE] = Field(default=3, description="-")

    assert changed(Narrow(), "only", random.Random(1)) is None
    assert changed(Narrow(), "few", random.Random(1)) != Narrow()


def dealt(probabilities: dict[int, float], count: int) -> Counter[int]:
    stream = RandomStream.from_seed(3)
    known = list(probabilities.items())
    found = Counter[int]()
    for _ in range(count):
        at, x = 0, stream.uniform()
        while x >= known[at][1] and at < len(known) - 1:
            x -= known[at][1]
            at += 1
        found[known[at][0]] += 1
    return found


def test_the_deviation_tells_one_distribution_from_another() -> None:
    one = {i: (i + 1) / 210 for i in range(20)}
    other = {i: (20 - i) / 210 for i in range(20)}
    near = {i: (i + 4) / 270 for i in range(20)}
    found = dealt(one, 6000)
    assert abs(deviation(found, one)) < 3
    assert deviation(found, other) > 20
    assert deviation(found, near) > 4
    assert deviation(Counter({1: 10, 99: 1}), {1: 1.0}) > 1e9, "what has no probability"
    assert deviation(Counter({1: 10}), {1: 1.0}) == 0
    assert deviation(Counter({1: 6000, 2: 9}), {1: 0.9999, 2: 0.0001}) == 0, "rare ones with others"


def test_the_deviation_is_that_of_the_p_value() -> None:
    one = {i: (i + 1) / 210 for i in range(20)}
    for shift in (0.0, 0.5, 1.0):
        found = dealt({i: (i + 1 + shift) / (210 + 20 * shift) for i in range(20)}, 6000)
        wanted = [p * 6000 for p in one.values()]
        p = chisquare([found[i] for i in one], wanted).pvalue
        assert deviation(found, one) == pytest.approx(float(norm.isf(p)), rel=0.02, abs=0.02)
