"""Settings: bounds, hints, presets, overrides, what may change at resume, score mapping, JSON."""

from __future__ import annotations

import math
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from redis_curriculum._values.fields import Resume
from redis_curriculum.config import (
    ConfigWarning,
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
    UniformConfig,
    WorkerSettings,
)
from redis_curriculum.config.resume import resume_rule, structural_differences
from redis_curriculum.errors import CurriculumError, InvalidInputError
from redis_curriculum.tasks import Buckets, Single, Span, Table, WeightedSet

ONE = Single(label="a", params={"size": 5})
MAZES = Buckets(label="maze-{size}", buckets={"size": [5, 9], "density": Span(0.0, 0.4)})
PRESETS = ["default", "stable", "fast_learning", "arena_legacy"]


def make(**fields: Any) -> CurriculumConfig:
    given = {"task_generator": ONE, "algorithm": LearningProgressConfig(), **fields}
    return CurriculumConfig(**given)


def quietly(preset: str, **overrides: Any) -> LearningProgressConfig:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        config: LearningProgressConfig = getattr(LearningProgressConfig, preset)(**overrides)
        return config


# --- bounds --------------------------------------------------------------------------------------

# Each field's least and greatest value, and the nearest that are refused.
BOUNDS: list[tuple[str, list[Any], list[Any]]] = [
    *[
        (f"algorithm.{field}", [1e-9, 1.0], [0.0, -0.1, math.nextafter(1.0, 2.0)])
        for field in ("task_tracker_ema_alpha", "ema_timescale", "eviction_threshold_percentile")
    ],
    *[
        (f"algorithm.{field}", [1e-9, 1 - 1e-9], [0.0, 1.0])
        for field in ("slow_timescale_factor", "early_progress_amplification")
    ],
    *[
        (f"algorithm.{field}", [0.0, 1.0, 0, 1], [-1e-9, 1.1])
        for field in (
            "success_threshold",
            "failure_score",
            "rand_task_rate",
            "progress_smoothing",
            "performance_bonus_weight",
        )
    ],
    ("algorithm.exploration_share", [0.2, 1.0], [-1e-9, 1.1]),
    ("algorithm.replacement_rate", [0.0, 0.025], [-1e-9, 1.1]),
    ("algorithm.failure_score", [None], ["none"]),
    ("algorithm.exploration_bonus", [1e-9, 1000], [0, 1000.5]),
    ("algorithm.temperature", [0, 1000], [-1, 1001]),
    ("algorithm.z_score_amplification", [0, 100], [-1, 101]),
    ("algorithm.max_consecutive_failures", [1, 10**6], [0, 10**6 + 1, 2.0]),
    ("algorithm.min_samples_for_lp", [1, 12], [0, 21, 1.5]),
    ("algorithm.min_presentations_for_eviction", [10, 10**6], [9, 10**6 + 1]),
    ("algorithm.pooling", ["label", "task"], ["labels", 1, True]),
    ("algorithm.exploration", ["share", "bonus"], ["both", None]),
    ("algorithm.use_bidirectional", [True, False], [1, "yes", None]),
    ("algorithm.use_baseline_normalization", [True, False], [0, "false"]),
    ("algorithm.label_share", [{}, {"z": [0, 1]}, {"z": (0.1, 0.2)}], [None, 1, {"a": 1}]),
    ("num_active_tasks", [1, 2**20, np.int64(3)], [0, 2**20 + 1, 3.0, "3", True, None]),
    ("seed", [0, 2**63 - 1], [-1, 2**63, 0.5]),
    ("epochs_retained", [1, 10_000], [0, 10_001]),
    ("labels_retained", [1, 10**6], [0, 10**6 + 1]),
    ("held_out", [None, 0.1, "a*", ["a", "b?"]], [0, 1.0, True, "", "*", "**", [], [1], ["a", ""]]),
    ("events_retained", [1, 10**6], [0, 10**6 + 1]),
    (
        "score_range",
        [(0, 1), [-1.5, 2], (-1e300, 1e300)],
        [(1, 0), (1, 1), (0,), (0, math.inf), (math.nan, 1), "01", None, (0, True)],
    ),
]


def with_field(field: str, value: Any) -> CurriculumConfig:
    top, _, name = field.partition(".")
    return make(algorithm=LearningProgressConfig(**{name: value})) if name else make(**{top: value})


@pytest.mark.filterwarnings("ignore:score_range is")
@pytest.mark.parametrize(("field", "good", "bad"), BOUNDS, ids=[b[0] for b in BOUNDS])
def test_every_bound(field: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        with_field(field, value)
    for value in [*bad, math.nan, math.inf, [1, 2, 3], *([] if {} in good else [{}])]:
        with pytest.raises(InvalidInputError) as caught:
            with_field(field, value)
        name = field.rpartition(".")[2]
        assert name in caught.value.field or "min_presentations" in caught.value.field
        assert caught.value.applied == "no"


def test_every_field_has_bounds_here() -> None:
    """A field that is added must be added to the table above as well."""
    tried = {field for field, _, _ in BOUNDS}
    apart = {"task_generator", "algorithm", "invariants", "algorithm.kind"}
    assert tried | apart == set(all_fields())


@pytest.mark.parametrize("field", LearningProgressConfig.model_fields)
@pytest.mark.parametrize("value", [True, "0.5", None])
def test_no_value_is_coerced(field: str, value: Any) -> None:
    kept = LearningProgressConfig.model_fields[field].annotation
    fields: dict[str, Any] = {field: value}
    if (value is None and field == "failure_score") or (value is True and kept is bool):
        return
    with pytest.raises(InvalidInputError, match=field):
        LearningProgressConfig(**fields)


def test_numbers_may_be_of_numpy_and_become_plain() -> None:
    config = make(
        num_active_tasks=np.uint16(7),
        algorithm=LearningProgressConfig.model_validate({"ema_timescale": np.float32(0.5)}),
    )
    assert type(config.num_active_tasks) is int
    assert type(config.algorithm.model_dump()["ema_timescale"]) is float


def test_an_error_quotes_field_rule_and_value() -> None:
    with pytest.raises(InvalidInputError) as caught:
        LearningProgressConfig(ema_timescale=1.5)
    assert str(caught.value) == "ema_timescale must be in (0, 1], got 1.5"
    assert (caught.value.field, caught.value.value) == ("ema_timescale", 1.5)
    assert isinstance(caught.value, ValueError)
    assert not isinstance(caught.value, ValidationError)


@pytest.mark.parametrize(
    ("model", "field", "near"),
    [
        (LearningProgressConfig, "ema_timescael", "ema_timescale"),
        (DiscreteRandomConfig, "max_consecutive_failure", "max_consecutive_failures"),
        (CurriculumConfig, "num_active_task", "num_active_tasks"),
        (WorkerSettings, "lease_s", "lease_ms"),
    ],
)
def test_an_unknown_field_is_refused_with_a_hint(model: Any, field: str, near: str) -> None:
    given: dict[str, Any] = {"task_generator": ONE} if model is CurriculumConfig else {}
    given[field] = 1
    with pytest.raises(InvalidInputError, match=rf"{field} .*did you mean {near}\?"):
        model(**given)


def test_a_missing_generator_is_named() -> None:
    with pytest.raises(InvalidInputError, match="task_generator must be given"):
        CurriculumConfig.model_validate({})


def test_nothing_can_be_changed_afterwards() -> None:
    config = make()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3  # type: ignore[misc]
    with pytest.raises(InvalidInputError, match="seed"):
        config.model_copy(update={"seed": -1})
    assert config.model_copy(update={"seed": 3}).seed == 3


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("worker_id", [None, "w-0", "x" * 128], ["", "a b", "x" * 129, 3]),
        ("lease_ms", [1000, 86_400_000], [999, 86_400_001, 5.0]),
        ("timeout_s", [0.001, 3600], [0, 3601]),
        ("retry_deadline_s", [0, 86_400], [-1, 86_401]),
        ("on_outage", ["raise", "continue"], ["stop", None, True]),
        ("take_over", [True, False], ["a", 2]),
        ("replay_buffer", [0, 10**6], [-1, 10**6 + 1]),
        ("chunk", [1, 1000], [0, 1001]),
    ],
)
def test_bounds_of_worker_settings(field: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        WorkerSettings(**{field: value})
    for value in bad:
        with pytest.raises(InvalidInputError, match=f"^{field} must be"):
            WorkerSettings(**{field: value})


# --- presets and warnings ------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_overrides_of_a_preset_win_and_are_checked(preset: str) -> None:
    changed = quietly(preset, z_score_amplification=3.0)
    assert changed.z_score_amplification == 3.0
    plain = quietly(preset).model_dump()
    assert changed.model_dump() == {**plain, "z_score_amplification": 3.0}


@pytest.mark.parametrize("preset", ["default", "stable", "fast_learning"])
def test_presets_leave_room_for_what_they_replace(preset: str) -> None:
    """The arithmetic of their docstrings; none of them warns (warnings are errors here)."""
    config: LearningProgressConfig = getattr(LearningProgressConfig, preset)()
    asked = config.replacement_rate * config.min_samples_for_lp
    assert asked == pytest.approx(0.2)
    assert asked <= config.exploration_share
    assert config.min_presentations_for_eviction >= config.min_samples_for_lp


def test_replacements_that_outrun_exploration_warn_with_the_arithmetic() -> None:
    with pytest.warns(ConfigWarning, match=r"0\.05 x min_samples_for_lp 10 = 0\.5 .* 0\.25"):
        text = make(algorithm={"kind": "learning_progress", "replacement_rate": 0.05}).to_json()
    config = quietly("default", replacement_rate=0.05)
    assert CurriculumConfig.from_json(text).algorithm == config  # stored: nobody is warned again


def test_uniform_draws_replace_nothing() -> None:
    config = UniformConfig(success_threshold=0.3)
    assert config.weight({}) == config.weight({"completion_count": 5.0}) == 1.0
    assert config.replacement == 0.0
    assert config.success_threshold == 0.3
    assert DiscreteRandomConfig is UniformConfig


def algorithm_of(config: CurriculumConfig) -> LearningProgressConfig:
    assert isinstance(config.algorithm, LearningProgressConfig)
    return config.algorithm


# --- overrides -----------------------------------------------------------------------------------


def test_overrides_by_bare_and_dotted_name() -> None:
    config = make().with_overrides(
        {"replacement_rate": 0.01, "algorithm.temperature": 0.5, "num_active_tasks": 8}
    )
    assert (algorithm_of(config).replacement_rate, config.num_active_tasks) == (0.01, 8)
    assert algorithm_of(config).temperature == 0.5
    assert make().num_active_tasks == 256


def test_overrides_as_text_are_read_as_json() -> None:
    config = make().with_overrides(
        {
            "temperature": "0.25",
            "failure_score": "null",
            "pooling": "task",
            "score_range": "[-1, 1]",
            "invariants": '{"size": 5}',
        }
    )
    hypers = algorithm_of(config)
    assert (hypers.temperature, hypers.failure_score, hypers.pooling) == (0.25, None, "task")
    assert config.score_range == (-1.0, 1.0)
    assert config.invariants == {"size": 5}


def test_overrides_that_name_nothing() -> None:
    with pytest.raises(InvalidInputError, match=r"did you mean temperature") as caught:
        make().with_overrides({"temperatur": 1})
    assert caught.value.field == "override"
    for name in ("algorithm.", "algorithm.seed", "", "algorithm.algorithm"):
        with pytest.raises(InvalidInputError, match="override must be the name of one field"):
            make().with_overrides({name: 1})
    with pytest.raises(InvalidInputError, match="overrides must be a mapping"):
        make().with_overrides(["temperature=1"])  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["many", "1e999", "NaN", "[", "true", 2.5])
def test_overrides_with_bad_values(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="num_active_tasks must be"):
        make().with_overrides({"num_active_tasks": value})


def test_the_other_kind_of_algorithm_takes_over_the_fields_it_has() -> None:
    one = make(algorithm=LearningProgressConfig(success_threshold=0.3, temperature=1.0))
    other = one.with_overrides({"kind": "uniform"})
    assert other.algorithm == UniformConfig(success_threshold=0.3)
    assert other.with_overrides({"kind": "learning_progress"}).algorithm == LearningProgressConfig(
        success_threshold=0.3
    )
    with pytest.raises(InvalidInputError, match=r"temperature must be a field of Uniform"):
        one.with_overrides({"kind": "uniform", "temperature": 1.0})
    with pytest.raises(InvalidInputError, match=r"kind .* got .*no_such"):
        one.with_overrides({"kind": "no_such"})


def test_a_rule_over_two_fields_sees_both_overrides() -> None:
    config = make().with_overrides({"min_samples_for_lp": 12, "min_presentations_for_eviction": 12})
    assert algorithm_of(config).min_presentations_for_eviction == 12
    with pytest.raises(InvalidInputError, match=r"at least min_samples_for_lp \(12\)"):
        make().with_overrides({"min_samples_for_lp": 12, "min_presentations_for_eviction": 11})


# --- resume --------------------------------------------------------------------------------------

STRUCTURAL = {
    "seed",
    "score_range",
    "held_out",
    "algorithm.kind",
    "algorithm.task_tracker_ema_alpha",
    "algorithm.ema_timescale",
    "algorithm.slow_timescale_factor",
    "algorithm.use_bidirectional",
    "algorithm.use_baseline_normalization",
    "algorithm.early_progress_amplification",
    "algorithm.success_threshold",
}


def all_fields() -> list[str]:
    algorithm = [f"algorithm.{field}" for field in LearningProgressConfig.model_fields]
    return [*CurriculumConfig.model_fields, *algorithm]


def test_every_field_says_what_it_means_at_resume() -> None:
    rules = {field: resume_rule(field) for field in all_fields()}
    assert {field for field, rule in rules.items() if rule is Resume.STRUCTURAL} == STRUCTURAL
    for field in DiscreteRandomConfig.model_fields:
        assert resume_rule(f"algorithm.{field}") is rules[f"algorithm.{field}"]
    with pytest.raises(KeyError):
        resume_rule("algorithm.no_such_field")


def test_structural_differences_list_each_field_saved_and_given() -> None:
    saved = make()
    given = make(
        seed=1,
        num_active_tasks=3,
        algorithm=LearningProgressConfig(ema_timescale=0.5, temperature=1.0),
    )
    assert structural_differences(saved, given) == [
        ("seed", 0, 1),
        ("algorithm.ema_timescale", 0.1, 0.5),
    ]
    assert structural_differences(saved, make(num_active_tasks=3)) == []


def test_another_algorithm_is_one_structural_difference() -> None:
    other = make(algorithm=DiscreteRandomConfig())
    assert structural_differences(make(), other) == [
        ("algorithm.kind", "learning_progress", "uniform")
    ]


def test_differences_go_into_generators_and_invariants() -> None:
    one = make(task_generator=WeightedSet([(MAZES, 1.0), (ONE, 2.0)]), invariants={"a": 1})
    two = make(task_generator=WeightedSet([(MAZES, 1.0), (ONE, 3.0)]), invariants={"a": True})
    found = one.differences(two)
    assert [field for field, _, _ in found] == ["task_generator.entries", "invariants.a"]
    assert found[1] == ("invariants.a", 1, True)
    assert one.differences(one.model_copy(deep=True)) == []


# --- scores --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:score_range is")
@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300), st.floats(0, 1))
def test_scores_are_mapped_to_the_unit_interval(one: float, other: float, share: float) -> None:
    low, high = sorted((one, other))
    if low == high:
        return
    config = make(score_range=(low, high))
    assert config.normalize_score(low) == 0.0
    assert config.normalize_score(high) == 1.0
    raw = min(max(low + share * (high - low), low), high)
    assert 0.0 <= config.normalize_score(raw) <= 1.0


def test_known_scores() -> None:
    config = make(score_range=(-1, 3))
    assert [config.normalize_score(raw) for raw in (-1, 0, 1.0, np.float32(2), np.int8(3))] == [
        0.0,
        0.25,
        0.5,
        0.75,
        1.0,
    ]
    assert type(config.normalize_score(np.float64(1.0))) is float
    assert math.copysign(1.0, make().normalize_score(-0.0)) == 1.0


@pytest.mark.parametrize(
    "raw",
    [math.nan, math.inf, -math.inf, -1e-9, 1.0000001, None, True, "0.5", [0.5], np.array(0.5)],
    ids=repr,
)
def test_what_is_no_score(raw: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"score must be .*in \[0, 1\]"):
        make().normalize_score(raw)


# --- JSON ----------------------------------------------------------------------------------------

configs = st.builds(
    make,
    task_generator=st.sampled_from([ONE, MAZES, WeightedSet([(MAZES, 0.1 + 0.2), (ONE, 1e-17)])]),
    num_active_tasks=st.integers(1, 2**20),
    seed=st.integers(0, 2**63 - 1),
    algorithm=st.one_of(
        st.builds(
            LearningProgressConfig,
            ema_timescale=st.floats(0, 1, exclude_min=True),
            temperature=st.floats(0, 1000),
            failure_score=st.none() | st.floats(0, 1),
            pooling=st.sampled_from(["label", "task"]),
        ),
        st.builds(DiscreteRandomConfig, success_threshold=st.floats(0, 1)),
    ),
    invariants=st.dictionaries(
        st.text("abc ü\n"), st.floats(allow_nan=False, allow_infinity=False)
    ),
)


@settings(max_examples=60)
@given(configs)
def test_json_is_exact(config: CurriculumConfig) -> None:
    text = config.to_json()
    again = CurriculumConfig.from_json(text)
    assert again == config
    assert again.to_json() == text
    assert again.sha256() == config.sha256()
    assert config.differences(again) == []
    assert pickle.loads(pickle.dumps(config)) == config


def test_every_field_is_in_the_json() -> None:
    fields = make().model_dump()
    assert {*fields, *(f"algorithm.{name}" for name in fields["algorithm"])} == set(all_fields())


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"seed": 1}', '{"seed": 1, "seed": 1}', "1" * 5000, "[" * 100_000, "null"],
    ids=lambda text: text[:12],
)
def test_texts_that_are_no_config(text: str) -> None:
    with pytest.raises(CurriculumError):
        CurriculumConfig.from_json(text)


def test_a_table_in_json_is_taken_as_a_whole_too() -> None:
    fields = CurriculumConfig(task_generator=Table(range(5)), held_out=0.3).model_dump(mode="json")
    size = fields.pop("num_active_tasks")
    assert CurriculumConfig.model_validate(fields).num_active_tasks == size < 5


def test_an_unknown_field_in_json_is_refused() -> None:
    text = make().to_json().replace('"seed":0', '"sede":0')
    with pytest.raises(InvalidInputError, match=r"sede .*did you mean seed"):
        CurriculumConfig.from_json(text)


@pytest.mark.parametrize("high", [1.2e9, 1e300])
def test_a_score_range_that_hides_what_scores_do_warns_with_the_arithmetic(high: float) -> None:
    tasks = Single(label="a")
    with pytest.warns(ConfigWarning, match=r"score_range is .* wide: .* in steps of .*2\*\*-40"):
        config = CurriculumConfig(task_generator=tasks, score_range=(0.0, high))
    assert CurriculumConfig.from_json(config.to_json()) == config  # and no second warning
    CurriculumConfig(task_generator=tasks, score_range=(-1e8, 1e8))
