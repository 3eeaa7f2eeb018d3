"""The default rule against its formulas as they are written down, and its settings."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from typing import Any

import pytest

from redis_curriculum import CurriculumConfig, DebiasedProgressConfig
from redis_curriculum._values.fields import STRUCTURAL, TUNABLE
from redis_curriculum.config import resume_rule, structural_differences
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers import BASIC, Statistics
from redis_curriculum.tasks import Single

PRESETS = {
    "default": DebiasedProgressConfig.default(),
    "fast": DebiasedProgressConfig.fast(),
    "long_memory": DebiasedProgressConfig.long_memory(),
    "two rates": DebiasedProgressConfig(rates=(0.5, 0.1), warm_up=(1.0, 3.0), noise_factor=2.5),
    "root": DebiasedProgressConfig(power=1, noise_factor=0.0),
}


class Literal:
    """The rule, with lists and loops, in the words of its docstring."""

    def __init__(self, scorer: DebiasedProgressConfig) -> None:
        self.scorer = scorer
        self.a, self.q, self.n = [0.0] * len(scorer.rates), 0.0, 0
        self.rates = [1.0] * len(scorer.rates)

    def add(self, score: float) -> None:
        ladder = zip(self.scorer.rates, self.scorer.warm_up, strict=True)
        self.rates = [max(r, c / (self.n + c)) for r, c in ladder]
        self.a = [(1 - rate) * a + rate * score for a, rate in zip(self.a, self.rates, strict=True)]
        self.q = (1 - self.rates[0]) * self.q + self.rates[0] * score**2
        self.n += 1

    @property
    def weight(self) -> float:
        var = max(self.q - self.a[0] ** 2, 0) + 1 / (self.n + 4)
        found = []
        for (a, x), (b, y) in pairwise(zip(self.a, self.rates, strict=True)):
            v = x / (2 - x) + y / (2 - y) - 2 * x * y / (x + y - x * y)
            found.append(max((a - b) ** 2 - self.scorer.noise_factor * var * v, 0))
        return float((max(found) + 1e-6) ** (self.scorer.power / 2))


def folded(scorer: DebiasedProgressConfig, scores: list[float]) -> Statistics:
    found: Statistics = {}
    for score in scores:
        found = scorer.fold_label(found, score)
    return found


def rising(rng: random.Random, count: int) -> list[float]:
    return [float(rng.random() < i / count) for i in range(count)]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_fold_and_the_weight_are_those_written_down(preset: str) -> None:
    scorer, rng = PRESETS[preset], random.Random(preset)
    for scores in (rising(rng, 900), [rng.random() for _ in range(300)], [0.25] * 100):
        literal = Literal(scorer)
        found: Statistics = {}
        for score in scores:
            literal.add(score)
            found = scorer.fold_label(found, score)
            assert [found[f"average_{k}"] for k in range(len(literal.a))] == pytest.approx(
                literal.a, rel=1e-9, abs=1e-12
            )
            assert found["average_squared"] == pytest.approx(literal.q, rel=1e-9, abs=1e-12)
            widest = max(abs(a - b) for a, b in pairwise(literal.a))
            assert found["learning_progress"] == pytest.approx(widest, rel=1e-9, abs=1e-12)
            assert scorer.weight(found) == pytest.approx(literal.weight, rel=1e-6, abs=1e-9)
            assert scorer.rates_after(literal.n) == pytest.approx(literal.rates)


def test_a_label_keeps_as_many_averages_as_there_are_rates_and_a_task_none() -> None:
    basic = tuple(statistic.name for statistic in BASIC)
    for scorer in PRESETS.values():
        averages = tuple(f"average_{k}" for k in range(len(scorer.rates)))
        assert scorer.names("task") == basic
        assert scorer.names("label") == (
            *basic,
            "learning_progress",
            "average_squared",
            *averages,
        )
        assert set(folded(scorer, [0.5])) == set(scorer.names("label"))
        assert set(scorer.fold({}, 0.5)) == set(basic)


def test_the_first_result_is_every_average() -> None:
    found = folded(DebiasedProgressConfig(), [0.625])
    assert {found[f"average_{k}"] for k in range(3)} == {0.625}
    assert found["average_squared"] == 0.625**2
    assert found["learning_progress"] == 0


@pytest.mark.parametrize("score", [0.0, 0.3, 1.0])
def test_scores_that_are_all_equal_are_no_progress(score: float) -> None:
    scorer = DebiasedProgressConfig()
    found = folded(scorer, [score] * 500)
    assert scorer.weight(found) == pytest.approx(1e-6)


def test_a_label_without_results_has_the_least_weight() -> None:
    assert DebiasedProgressConfig().weight({}) == 1e-6


def test_change_outweighs_chance() -> None:
    """A label that rises from 0 to 1 weighs ten times as much as coin flips do on average."""
    scorer, rng = DebiasedProgressConfig(), random.Random(3)
    rises = scorer.weight(folded(scorer, rising(rng, 600)))
    flips = [
        scorer.weight(folded(scorer, [float(rng.random() < 0.5) for _ in range(600)]))
        for _ in range(20)
    ]
    assert rises > 10 * sum(flips) / len(flips)


# --- settings ------------------------------------------------------------------------------------

BAD: list[tuple[str, Any]] = [
    ("rates", ()),
    ("rates", (0.1,)),
    ("rates", (0.1, 0.1)),
    ("rates", (0.1, 0.2)),
    ("rates", tuple(0.5**k for k in range(9))),
    ("rates", 0.1),
    ("rates", "0.1"),
    ("rates[1]", (0.1, 0.0)),
    ("rates[0]", (1.5, 0.1)),
    ("rates[0]", (math.nan, 0.1)),
    ("rates[0]", (True, 0.1)),
    ("warm_up", (16.0, 8.0)),
    ("warm_up", (16.0, 8.0, 4.0, 2.0)),
    ("warm_up[0]", (0.5, 8.0, 4.0)),
    ("warm_up[2]", (16.0, 8.0, math.inf)),
    ("noise_factor", -0.1),
    ("noise_factor", 10.5),
    ("noise_factor", math.nan),
    ("noise_factor", "1"),
    ("power", 0),
    ("power", 3),
    ("power", 1.5),
    ("power", True),
    ("floor", -0.01),
    ("floor", 1.01),
    ("floor", None),
    ("least_count", 0),
    ("least_count", 2.5),
    ("cap", 0.0),
    ("cap", 1.01),
    ("label_mass", "pool"),
    ("min_presentations_for_eviction", 0),
    ("replacement_rate", 1.5),
    ("ema_timescale", 0.1),
]


@pytest.mark.parametrize(("field", "value"), BAD, ids=map(repr, BAD))
def test_a_bad_value_is_refused_by_its_field(field: str, value: Any) -> None:
    name = field.partition("[")[0]
    with pytest.raises(InvalidInputError) as caught:
        DebiasedProgressConfig.model_validate({name: value})
    assert caught.value.field == field
    assert field in str(caught.value)


def test_the_ladder_is_structural_and_the_rest_tunable() -> None:
    structural = {"kind", "rates", "warm_up", "cost_aware"}
    structural |= {"task_tracker_ema_alpha", "success_threshold"}
    for name in DebiasedProgressConfig.model_fields:
        expected = STRUCTURAL if name in structural else TUNABLE
        assert resume_rule(f"algorithm.{name}") is expected, name


def config_of(algorithm: DebiasedProgressConfig) -> CurriculumConfig:
    return CurriculumConfig(task_generator=Single(label="x"), algorithm=algorithm)


def test_the_default_algorithm_is_this_one_with_the_constants_that_were_measured() -> None:
    scorer = CurriculumConfig(task_generator=Single(label="x")).algorithm
    assert isinstance(scorer, DebiasedProgressConfig)
    assert scorer == DebiasedProgressConfig.default()
    assert scorer.rates == (1 / 128, 1 / 256, 1 / 512)
    assert scorer.warm_up == (16, 8, 4)
    assert (scorer.noise_factor, scorer.power, scorer.floor) == (1, 2, 0.15)
    assert (scorer.least_count, scorer.cap, scorer.label_mass) == (20, 0.2, "equal")
    assert scorer.replacement_rate == 0


def test_presets_say_what_they_change_and_take_overrides() -> None:
    default, fast = PRESETS["default"], PRESETS["fast"]
    assert fast.rates == (1 / 32, 1 / 64, 1 / 128, 1 / 256, 1 / 512)
    assert fast.floor == default.floor
    assert PRESETS["long_memory"].floor == 0.3
    assert DebiasedProgressConfig.long_memory(floor=0.1).floor == 0.1
    with pytest.raises(InvalidInputError, match="warm_up"):
        DebiasedProgressConfig.fast(warm_up=(1.0, 1.0))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_stored_config_reads_back_the_same(preset: str) -> None:
    config = config_of(PRESETS[preset])
    read = CurriculumConfig.from_json(config.to_json())
    assert read == config
    assert read.sha256() == config.sha256()


def test_another_ladder_is_a_structural_difference_with_its_fields() -> None:
    differences = structural_differences(config_of(PRESETS["default"]), config_of(PRESETS["fast"]))
    assert [field for field, _, _ in differences] == ["algorithm.rates", "algorithm.warm_up"]


def test_a_ladder_can_be_given_as_text() -> None:
    config = config_of(PRESETS["default"])
    given = {"rates": "[0.1, 0.01]", "warm_up": "[4, 2]", "floor": "0.5"}
    algorithm = config.with_overrides(given).algorithm
    assert isinstance(algorithm, DebiasedProgressConfig)
    assert (algorithm.rates, algorithm.warm_up, algorithm.floor) == ((0.1, 0.01), (4, 2), 0.5)
