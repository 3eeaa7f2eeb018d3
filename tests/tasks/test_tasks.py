"""Generators are pure functions of the task id; ids are a bijection; labels hash alike."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from redis_curriculum.config import CurriculumConfig
from redis_curriculum.errors import CurriculumError, GeneratorError, InvalidInputError
from redis_curriculum.tasks import (
    Buckets,
    Custom,
    Single,
    Span,
    TaskGenerator,
    TaskSpec,
    WeightedSet,
)
from redis_curriculum.tasks.build import bind_generator, build, custom_generators
from redis_curriculum.tasks.ids import label_hash, task_id_at
from redis_curriculum.tasks.task import encode_params

IDS = st.integers(0, 2**53 - 1)
MAZES = Buckets(
    label="maze-{size}",
    buckets={"size": [5, 9, 13], "density": Span(0.0, 0.4), "doors": Span(1, 6)},
    params={"agents": 2},
)
EMPTY = Single(label="empty", params={"size": 5, "nested": {"a": [1, 2.5, None]}})
MIXED = WeightedSet([(MAZES, 3.0), (EMPTY, 1.0)])


def specs(generator: TaskGenerator, count: int) -> list[TaskSpec]:
    return [generator.generate(task_id_at(7, index)) for index in range(count)]


# --- determinism ---------------------------------------------------------------------------------


@given(IDS)
def test_the_same_id_gives_the_same_task(task_id: int) -> None:
    again = WeightedSet.model_validate(json.loads(json.dumps(MIXED.model_dump())))
    pickled: WeightedSet = pickle.loads(pickle.dumps(MIXED))
    assert MIXED.generate(task_id) == again.generate(task_id) == pickled.generate(task_id)


# Pinned: a generator that changes would change the tasks of every stored curriculum.
KNOWN = "bc05db322749ee7c35d4731649321d8babfce8be97867bcf589d3499bb672278"
FINGERPRINT = """
import hashlib, json, sys
from redis_curriculum.tasks import WeightedSet
from redis_curriculum.tasks.ids import label_hash, task_id_at
from redis_curriculum.tasks.task import encode_params
tasks, found = WeightedSet.model_validate_json(sys.argv[1]), []
for task_id in (task_id_at(7, index) for index in range(200)):
    spec = tasks.generate(task_id)
    found.append((task_id, spec.label, encode_params(spec.params), label_hash(spec.label)))
print(hashlib.sha256(json.dumps(found).encode()).hexdigest())
"""


@pytest.mark.parametrize("seed", ["0", "4242"])
def test_tasks_are_the_same_in_every_process_and_release(seed: str) -> None:
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", FINGERPRINT, MIXED.model_dump_json()]
    assert subprocess.check_output(words, env=environment, text=True).strip() == KNOWN


def test_what_is_made_is_the_callers_own() -> None:
    """Changing one task's params changes no other task and not the generator."""
    EMPTY.generate(1).params["nested"]["a"].append("mine")
    assert EMPTY.generate(2).params["nested"] == {"a": [1, 2.5, None]}
    nested = WeightedSet([(EMPTY, 1.0)], overrides={"extra": {"b": 1}})
    nested.generate(1).params["extra"]["b"] = 2
    assert nested.generate(1).params["extra"] == {"b": 1}


@pytest.mark.parametrize("generator", [MAZES, EMPTY, MIXED])
@pytest.mark.parametrize("bad", [-1, 2**53, 1.0, "1", None, True])
def test_bad_ids(generator: TaskGenerator, bad: Any) -> None:
    with pytest.raises(InvalidInputError, match="task_id"):
        generator.generate(bad)


# --- buckets and spans ---------------------------------------------------------------------------


def test_every_choice_is_uniform_and_independent_of_the_others() -> None:
    params = [spec.params for spec in specs(MAZES, 6000)]
    pairs = Counter((p["size"], p["doors"]) for p in params)
    assert set(pairs) == {(size, doors) for size in (5, 9, 13) for doors in range(1, 7)}
    assert chisquare(list(pairs.values())).pvalue > 1e-4
    densities = [p["density"] for p in params]
    assert kstest(densities, "uniform", (0, 0.4)).pvalue > 1e-4
    assert abs(np.corrcoef(densities, [p["doors"] for p in params])[0, 1]) < 0.05


def test_spans_of_integers_include_both_ends() -> None:
    assert Span(3, 4).pick(0) == 3
    assert Span(3, 4).pick(2**128 - 1) == 4
    assert Span(-(2**63), 2**63 - 1).pick(2**128 - 1) == 2**63 - 1
    assert Span(5, 5).pick(12345) == 5
    assert type(Span(1, 6).pick(2**127)) is int


@given(st.floats(-1e18, 1e18), st.floats(-1e18, 1e18), st.integers(0, 2**128 - 1))
def test_spans_of_floats_stay_within(one: float, other: float, bits: int) -> None:
    low, high = sorted((one, other))
    value = Span(low, high).pick(bits)
    assert isinstance(value, float)
    assert low <= value <= high


def test_one_float_end_makes_floats() -> None:
    assert not Span(0, 1.0).is_integer
    assert isinstance(Span(0, 1.0).pick(2**100), float)


@pytest.mark.parametrize(
    ("low", "high"),
    [(2, 1), (math.nan, 1), (0, math.inf), ("0", 1), (True, 2), (0, 2**63), (None, 1)],
)
def test_spans_that_cannot_be(low: Any, high: Any) -> None:
    with pytest.raises(InvalidInputError):
        Span(low, high)


def test_labels_are_templates_over_the_values() -> None:
    tasks = Buckets(
        label="{{{kind}}}-d{density:.1f}-{size:03d}",
        buckets={"kind": ["a", "b"], "density": Span(-0.04, 0.04), "size": [7]},
    )
    assert {spec.label for spec in specs(tasks, 100)} == {"{a}-d0.0-007", "{b}-d0.0-007"}


def test_shared_params_are_in_every_task() -> None:
    assert all(spec.params["agents"] == 2 for spec in specs(MAZES, 20))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label": "{nothing}"}, "over the buckets size"),
        ({"label": "{size"}, "template"),
        ({"label": "{size.real}"}, "over the buckets"),
        ({"label": "{size!r}"}, "no conversion"),
        ({"label": "{size:{size}}"}, "nested field"),
        ({"label": "{size:n}"}, "locale"),
        ({"label": "{size:.1q}"}, "can format size"),
        ({"label": "{size:300d}"}, "no width or precision above 200"),
        ({"label": ""}, "1 to 200 bytes"),
        ({"label": "a\n"}, "control"),
        ({"label": 5}, "a text"),
        ({"buckets": {}}, "non-empty|at least 1"),
        ({"buckets": {"size": []}}, "at least one value"),
        ({"buckets": {"size": "567"}}, "at least one value"),
        ({"buckets": {"size": {1, 2}}}, "at least one value"),
        ({"buckets": {"size": [math.nan]}}, "finite"),
        ({"buckets": {"size": [object]}}, "JSON"),
        ({"buckets": {"size": {"low": 1}}}, "low and high"),
        ({"buckets": {"size": [1], 5: [1]}}, "text|string"),
        ({"buckets": {"size": Span(0.0, 1.0)}}, "format for a span of floats"),
        ({"params": {"size": 3}}, "free of the names in buckets"),
        ({"params": [1]}, "JSON object"),
        ({"extra": 1}, "a field of Buckets"),
    ],
    ids=str,
)
def test_buckets_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Buckets(**{"label": "m-{size}", "buckets": {"size": [5]}, **fields})


# --- weighted sets -------------------------------------------------------------------------------


def test_generators_are_chosen_by_weight() -> None:
    tasks = WeightedSet([(Single(label=str(i)), weight) for i, weight in enumerate([1, 2.5, 6.5])])
    counts = Counter(spec.label for spec in specs(tasks, 5000))
    assert chisquare([counts["0"], counts["1"], counts["2"]], [500, 1250, 3250]).pvalue > 1e-4


def test_labels_and_overrides_of_a_set() -> None:
    tasks = WeightedSet(
        [(EMPTY, 1.0), (MAZES, 1.0)], labels=[None, "all mazes"], overrides={"size": 99, "new": 1}
    )
    found = specs(tasks, 60)
    assert {spec.label for spec in found} == {"empty", "all mazes"}
    assert all(spec.params["size"] == 99 and spec.params["new"] == 1 for spec in found)


def test_equal_generators_in_one_set_make_different_tasks() -> None:
    one, other = (WeightedSet([(MAZES, w), (MAZES, 1 - w)]) for w in (1 - 1e-12, 1e-12))
    same = [one.generate(i).params == other.generate(i).params for i in range(50)]
    assert not any(same)


def test_sets_may_be_nested_so_far_and_no_further() -> None:
    tasks = WeightedSet([(EMPTY, 1.0)])
    for _ in range(15):
        tasks = WeightedSet([(tasks, 1.0)])
    assert tasks.generate(0).label == "empty"
    with pytest.raises(InvalidInputError, match="nested at most 16 deep"):
        WeightedSet([(tasks, 1.0)])


@pytest.mark.parametrize(
    ("entries", "fields"),
    [
        ([], {}),
        ([(EMPTY, 0.0)], {}),
        ([(EMPTY, -1.0)], {}),
        ([(EMPTY, math.nan)], {}),
        ([(EMPTY, "1")], {}),
        ([EMPTY], {}),
        ([(EMPTY, 1.0, 2.0)], {}),
        ([("empty", 1.0)], {}),
        ([(TaskSpec, 1.0)], {}),
        ([(EMPTY, 1.0)], {"labels": ["a", "b"]}),
        ([(EMPTY, 1.0)], {"labels": [""]}),
        ([(EMPTY, 1.0)], {"overrides": {"x": math.inf}}),
        ([()], {}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_sets_that_cannot_be(entries: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        WeightedSet(entries, **fields)


# --- the user's own ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rooms:
    """Can be rebuilt from its path and its fields."""

    most: int = 4

    def generate(self, task_id: int) -> TaskSpec:
        return TaskSpec("rooms", {"rooms": 1 + task_id % self.most})


class Stateful:
    """Cannot: nobody knows what its state is."""

    def __init__(self) -> None:
        self.offset = 3

    def generate(self, task_id: int) -> TaskSpec:
        return TaskSpec("stateful", {"n": task_id + self.offset})


def test_an_object_is_stored_by_path_and_arguments() -> None:
    config = CurriculumConfig(task_generator=Rooms(7))
    (custom,) = custom_generators(config.task_generator)
    assert isinstance(custom, Custom)
    assert (custom.path, custom.arguments) == (f"{__name__}:Rooms", {"most": 7})
    again = CurriculumConfig.from_json(config.to_json())
    assert again.task_generator.generate(13) == TaskSpec("rooms", {"rooms": 7})
    assert again.unbound_generators() == []


def test_an_object_that_cannot_be_rebuilt_must_be_passed() -> None:
    config = CurriculumConfig(task_generator=WeightedSet([(Stateful(), 1.0)]))
    again = CurriculumConfig.from_json(config.to_json())
    assert again == config
    assert again.unbound_generators() == [f"{__name__}:Stateful"]
    with pytest.raises(GeneratorError, match=r"pass it as generator= when opening"):
        again.task_generator.generate(1)
    live = Stateful()
    live.offset = 10
    bound = bind_generator(again.task_generator, live)
    assert bound.generate(1) == TaskSpec("stateful", {"n": 11})
    with pytest.raises(InvalidInputError, match="of a class that the config names"):
        bind_generator(again.task_generator, Rooms())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module_here:X", "cannot import"),
        (f"{__name__}:Nothing", "cannot import"),
        (f"{__name__}:specs", "not a class with a generate method"),
        ("os:system", "not a class with a generate method"),
        ("collections:Counter", "not a class with a generate method"),
    ],
)
def test_paths_that_lead_nowhere(path: str, message: str) -> None:
    with pytest.raises(GeneratorError, match=message):
        Custom(path=path).generate(0)


@pytest.mark.parametrize("path", ["", "module", ":X", "a:", "a b:X", "a:X()", "../x:Y", "a:X:Y"])
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(InvalidInputError, match=r"like 'package\.module:Name'"):
        Custom(path=path)


# --- building and invariants ---------------------------------------------------------------------


def test_invariants_hold_for_every_task_or_it_is_refused() -> None:
    assert build(EMPTY, 0, {"size": 5, "nested": {"a": [1, 2.5, None]}}).label == "empty"
    wrongs: list[dict[str, Any]] = [{"size": 6}, {"size": True}, {"agents": None}, {"nested": {}}]
    for wrong in [*wrongs, {"size": 5.0}]:
        with pytest.raises(GeneratorError, match=r"params\.\w+ must be .*an invariant") as caught:
            build(EMPTY, 3, wrong)
        assert caught.value.task_id == 3


def test_params_survive_their_encoding_exactly() -> None:
    params = {"ü": 0.1 + 0.2, "b": [1e-300, -0.0, 2**63 - 1], "a": {"x": None, "y": True}}
    assert json.loads(encode_params(params)) == params
    assert encode_params(dict(reversed(params.items()))) == encode_params(params)


def test_params_of_64_kib_and_no_more() -> None:
    most = {"x": "y" * (65536 - len('{"x":""}'))}
    assert len(encode_params(most)) == 65536
    with pytest.raises(InvalidInputError, match="at most 65536 bytes"):
        encode_params({"x": most["x"] + "y"})
    with pytest.raises(InvalidInputError, match="at most 65536 bytes"):
        encode_params({"x": "ü" * 40_000})


# --- ids and hashes ------------------------------------------------------------------------------


@given(st.integers(0, 2**63 - 1), st.lists(IDS, unique=True, max_size=50))
def test_no_two_indices_meet(seed: int, indices: list[int]) -> None:
    ids = {task_id_at(seed, index) for index in indices}
    assert len(ids) == len(indices)
    assert all(0 <= task_id < 2**53 for task_id in ids)


def inverse(seed: int, task_id: int) -> int:
    """The permutation run backwards, written out here: there is one for every id."""
    mask = 2**64 - 1

    def mix(x: int) -> int:
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    keys = [mix((seed + i * 0x9E3779B97F4A7C15) & mask) for i in range(1, 7)]
    low, high = task_id & (2**26 - 1), task_id >> 26
    for i in (4, 2, 0):
        low ^= mix((high + keys[i + 1]) & mask) >> 38
        high ^= mix((low + keys[i]) & mask) >> 37
    return high << 26 | low


@given(st.integers(0, 2**63 - 1), IDS)
def test_every_id_is_that_of_one_index(seed: int, number: int) -> None:
    assert inverse(seed, task_id_at(seed, number)) == number
    assert task_id_at(seed, inverse(seed, number)) == number


def test_ids_look_like_chance_whatever_the_seed() -> None:
    for seed in (0, 1, 2**63 - 1):
        ids = np.array([task_id_at(seed, index) for index in range(4000)])
        assert kstest(ids / 2**53, "uniform").pvalue > 1e-4
    assert task_id_at(0, 0) != task_id_at(1, 0)


@pytest.mark.parametrize(("seed", "index"), [(0, -1), (0, 2**53), (-1, 0), (2**63, 0)])
def test_ids_out_of_range(seed: int, index: int) -> None:
    with pytest.raises(InvalidInputError):
        task_id_at(seed, index)


@pytest.mark.parametrize("label", ["a", "maze-9x9", "höhle", "漢字", "x" * 200])
def test_a_labels_hash_is_that_of_the_definition(label: str) -> None:
    digest = hashlib.sha256(label.encode()).hexdigest()
    assert label_hash(label) == int(digest[:16], 16) % 2**53


def test_errors_of_this_module_are_the_librarys() -> None:
    for call in (lambda: Single(label=""), lambda: build(Custom(path="x:Y"), 0)):
        with pytest.raises(CurriculumError):
            call()


@pytest.mark.parametrize(
    "spec", [">2000000000", ".2000000000f", ">201", ">" + "9" * 5000, ">\u0662" + "\u0660" * 9]
)
def test_a_template_that_asks_for_gigabytes_is_refused_before_it_is_tried(spec: str) -> None:
    with pytest.raises(InvalidInputError, match="template"):
        Buckets(label=f"{{size:{spec}}}", buckets={"size": [1.5]})
    assert Buckets(label="{size:>200}", buckets={"size": [1]}).generate(1).label == f"{1:>200}"
