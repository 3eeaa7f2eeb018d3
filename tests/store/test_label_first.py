"""Draws of a label first, on the server: bit for bit, by chi-square, and every number kept."""

from __future__ import annotations

import random
import struct
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import stats

from redis_curriculum._protocol.scripts import load
from redis_curriculum._protocol.splice import Variant
from redis_curriculum._sampling.label_first import FORMAT
from redis_curriculum._store.variant import variant_of
from redis_curriculum.config import DebiasedProgressConfig
from tests.harness import Harness, Server, commands_run, connect, raw, text_config
from tests.invariants import assert_same
from tests.model import ModelCurriculum, Spec
from tests.statistics import Progress

ALPHA = 1e-5


def spec(task_id: int, label: str) -> Spec:
    return task_id, label, {}


def pair(
    server: Server, name: str, scorer: DebiasedProgressConfig, specs: list[Spec], **fields: Any
) -> tuple[Harness, ModelCurriculum]:
    capacity = fields.pop("num_active_tasks", len(specs))
    config = text_config(scorer, num_active_tasks=capacity, **fields)
    harness = Harness(connect(server), name, config)
    model = ModelCurriculum(scorer, capacity, config.seed)
    for start in range(0, len(specs), 1000):
        harness.create(specs[start : start + 1000])
        model.create(specs[start : start + 1000])
    return harness, model


def random_scorer(rng: random.Random, **given: Any) -> DebiasedProgressConfig:
    k = rng.randint(2, 8)
    rates = sorted((rng.choice([0.5, 0.01]) * rng.random() for _ in range(k)), reverse=True)
    fields = {
        "rates": rates,
        "warm_up": [rng.choice([1.0, 16.0, rng.uniform(1, 50)]) for _ in range(k)],
        "task_tracker_ema_alpha": rng.choice([1.0, 0.1, rng.random()]),
        "success_threshold": rng.choice([0.0, 0.5, 1.0]),
        "noise_factor": rng.choice([0.0, 1.0, 2.0, rng.random() * 10]),
        "power": rng.choice([1, 2]),
        "floor": rng.choice([0.0, 0.15, 1.0, rng.random()]),
        "least_count": rng.choice([1, 3, 20]),
        "cap": rng.choice([0.01, 0.2, 1.0]),
        "label_mass": rng.choice(["equal", "tasks"]),
        "min_presentations_for_eviction": rng.choice([1, 5]),
    }
    return DebiasedProgressConfig.model_validate(fields | given)


def play(
    harness: Harness, model: ModelCurriculum, rng: random.Random, results: int, chance: Any
) -> None:
    """Apply results of random tasks, with the chance of success that ``chance`` gives a label."""
    ids = list(model.tasks)
    while results > 0:
        batch = []
        for _ in range(min(results, 500)):
            task_id = rng.choice(ids)
            score = float(rng.random() < chance(model.tasks[task_id].label))
            batch.append((task_id, score))
        harness.record(batch)
        model.record(batch)
        results -= len(batch)


# --- bit for bit ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_results_leave_the_numbers_of_the_reference(
    every_server: Server, name: str, seed: int
) -> None:
    rng = random.Random(f"fold {seed}")
    specs = [spec(i, f"l{i % 3}") for i in range(7)]
    harness, model = pair(every_server, name, random_scorer(rng), specs)
    special = [0.0, 1.0, 0.5, 5e-324, 1e-17, 0.1 + 0.2, 1 - 2**-53]
    done = 0
    while done < 300:
        size = rng.choice([1, 1, 2, 9, 40])
        batch = [
            (rng.randrange(8), rng.choice(special) if rng.random() < 0.3 else rng.random())
            for _ in range(size)
        ]
        assert harness.record(batch) == [0, *map(int, model.record(batch))]
        done += size
        assert_same(harness, model)


@pytest.mark.parametrize("seed", range(10))
def test_draws_equal_the_reference_bit_for_bit(every_server: Server, name: str, seed: int) -> None:
    rng = random.Random(f"draws {seed}")
    labels = rng.choice([1, 2, 5, 60])
    specs = [spec(i, f"l{rng.randrange(labels)}") for i in rng.sample(range(10**6), 120)]
    harness, model = pair(every_server, name, random_scorer(rng), specs)
    assert model.sample(20).task_ids == harness.sample(20).ids  # no result yet
    levels = {f"l{i}": rng.random() for i in range(labels)}
    for _ in range(6):
        play(harness, model, rng, rng.choice([30, 400]), levels.__getitem__)
        levels = {name: min(1.0, level + 0.2 * rng.random()) for name, level in levels.items()}
        for count in (1, 1, 2, 60):
            expected, reply = model.sample(count), harness.sample(count)
            assert reply.ids == expected.task_ids
            assert harness.stream_state == model.stream.state
    assert_same(harness, model)


def test_a_low_cap_costs_no_draws(server: Server, name: str) -> None:
    """One label has nearly all of the weight and 1.5 % of the draws; no call comes back short."""
    scorer = DebiasedProgressConfig(floor=0.0, cap=0.01, least_count=1, noise_factor=0.0)
    harness, model = pair(server, name, scorer, [spec(i, f"l{i}") for i in range(200)])
    batch = [(i, 0.5) for i in range(200)] + [(0, float(i > 30)) for i in range(60)]
    harness.record(batch)
    model.record(batch)
    before = commands_run(server)
    for _ in range(5):
        expected, reply = model.sample(500), harness.sample(500)
        assert reply.ids == expected.task_ids
        assert len(reply.ids) == 500
    assert commands_run(server) - before < 2_500 * 10
    assert_same(harness, model)


# --- chi-square against the formula --------------------------------------------------------------


def literal(model: ModelCurriculum, scorer: DebiasedProgressConfig) -> dict[int, float]:
    """P(task) in the words of ``DebiasedProgressConfig``, with loops."""
    tasks = Counter(task.label for task in model.tasks.values())
    progress = {label: model.labels.get(label, Progress()) for label in tasks}
    known = {
        label: scorer.weight(of.statistics)
        for label, of in progress.items()
        if of.completion_count >= scorer.least_count
    }
    most = max(known.values(), default=1.0)
    w = {label: known.get(label, most) for label in tasks}
    if scorer.label_mass == "tasks":
        w = {label: w[label] * tasks[label] for label in tasks}
    total, n = sum(w.values()), len(tasks)
    p = {label: scorer.floor / n + (1 - scorer.floor) * w[label] / total for label in tasks}
    cut = {label: min(each, scorer.cap + (1 - scorer.cap) / n) for label, each in p.items()}
    total = sum(cut.values())
    return {
        task_id: cut[task.label] / total / tasks[task.label]
        for task_id, task in model.tasks.items()
    }


def chi_square(found: Counter[int], expected: dict[int, float]) -> float:
    """p-value; tasks expected fewer than five times are one cell."""
    total = found.total()
    cells = [(found[task_id], p * total) for task_id, p in expected.items()]
    large = [cell for cell in cells if cell[1] >= 5]
    small = [cell for cell in cells if cell[1] < 5]
    if small:
        large.append((sum(n for n, _ in small), sum(e for _, e in small)))
    observed, wanted = np.array(large, dtype=float).T
    if len(large) == 1:
        return 1.0
    return float(stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue)


SHAPES: dict[str, dict[str, Any]] = {
    "the default": {},
    "no floor": {"floor": 0.0},
    "only the floor": {"floor": 1.0},
    "no cap": {"cap": 1.0, "noise_factor": 0.0},
    "a low cap": {"cap": 0.05, "noise_factor": 0.0},
    "by tasks": {"label_mass": "tasks"},
    "by tasks, low cap": {"label_mass": "tasks", "cap": 0.05},
    "root": {"power": 1},
    "all young": {"least_count": 10_000},
    "all young, by tasks": {"least_count": 10_000, "label_mass": "tasks"},
    "half young": {"least_count": 150},
    "half young, by tasks": {"least_count": 150, "label_mass": "tasks"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_draws_follow_the_formula(server: Server, name: str, shape: str) -> None:
    rng, scorer = random.Random(shape), DebiasedProgressConfig(**SHAPES[shape])
    specs = [spec(i, f"l{min(i % 13, i % 7)}") for i in range(60)]  # labels of 1 to 17 tasks
    harness, model = pair(server, name, scorer, specs)
    for start in range(0, 1500, 300):
        play(harness, model, rng, 300, lambda label, at=start: int(label[1:]) / 7 * at / 1500)
    expected = literal(model, scorer)
    assert sum(expected.values()) == pytest.approx(1)
    assert model.distribution() == pytest.approx(expected, rel=1e-5)
    found: Counter[int] = Counter()
    while found.total() < 25_000:
        found.update(harness.sample(500).ids)
    assert chi_square(found, expected) > ALPHA
    if shape != "only the floor":  # the test would notice another formula
        other = dict.fromkeys(expected, 1 / 60)
        assert chi_square(found, other) < ALPHA


def test_one_label_alone_is_drawn_and_its_tasks_alike(server: Server, name: str) -> None:
    harness, model = pair(server, name, DebiasedProgressConfig(), [spec(i, "l") for i in range(5)])
    play(harness, model, random.Random(0), 100, lambda _: 0.5)
    found = Counter(harness.sample(1000).ids)
    assert chi_square(found, dict.fromkeys(range(5), 0.2)) > ALPHA


@pytest.mark.parametrize("score", [0.0, 0.7, 1.0])
def test_scores_that_are_all_equal_draw_labels_uniformly(
    server: Server, name: str, score: float
) -> None:
    specs = [spec(i, f"l{i % 4}") for i in range(10)]
    harness, model = pair(server, name, DebiasedProgressConfig(), specs)
    batch = [(i % 10, score) for i in range(400)]
    harness.record(batch)
    model.record(batch)
    found = Counter(int(task_id) % 4 for task_id in harness.sample(1000).ids)
    assert chi_square(found, dict.fromkeys(range(4), 0.25)) > ALPHA


# --- what is kept --------------------------------------------------------------------------------


def test_labels_that_lose_their_tasks_leave_and_come_back(server: Server, name: str) -> None:
    scorer = DebiasedProgressConfig(least_count=2)
    specs = [spec(i, f"l{i % 2}") for i in range(4)]
    harness, model = pair(server, name, scorer, specs, num_active_tasks=8)
    harness.record([(i, 1.0) for i in range(4)] * 3)
    model.record([(i, 1.0) for i in range(4)] * 3)
    for step in ("evict", "set_label", "fail", "return"):
        if step == "evict":
            assert harness.evict([0]) == [0, 1]
            model.evict(0)
        elif step == "set_label":  # the last task of l0
            harness.set_label(2, "l1")
            model.set_label(2, "l1")
        elif step == "fail":
            harness.fail(1, "x", permanent=True)
            model.fail(1, "x", permanent=True)
        else:
            harness.create([spec(9, "l0")])
            model.create([spec(9, "l0")])
        assert_same(harness, model)
        expected = model.sample(10)
        assert harness.sample(10).ids == expected.task_ids
    client, keys = harness.client, harness.keys
    assert client.zscore(keys.weights, "l0") is not None  # its results were remembered


def test_a_forgotten_label_that_returns_is_young_again(server: Server, name: str) -> None:
    scorer = DebiasedProgressConfig(least_count=2)
    specs = [spec(i, f"l{i}") for i in range(3)]
    harness, _ = pair(server, name, scorer, specs, labels_retained=1, num_active_tasks=8)
    harness.record([(i, 1.0) for i in range(3)] * 3)
    client, keys = harness.client, harness.keys
    assert client.zcard(keys.weights) == 3
    harness.evict([0])
    harness.evict([1])  # of two labels without tasks one is forgotten
    assert client.zrange(keys.weights, 0, -1) == ["l2"]
    harness.create([spec(10, "l0"), spec(11, "l1")])
    assert client.zrange(keys.young, 0, -1) == ["l0"]
    assert set(client.zrange(keys.weights, 0, -1)) == {"l1", "l2"}
    assert {harness.sample(1).ids[0] for _ in range(100)} == {2, 10, 11}


def test_changed_settings_mend_the_index_label_by_label(server: Server, name: str) -> None:
    """Weights by other settings than those they were stored by: no count is ever wrong."""
    rng = random.Random(5)
    before = DebiasedProgressConfig(noise_factor=0.0, least_count=3)
    after = before.model_copy(update={"noise_factor": 2.0, "least_count": 8, "power": 1})
    specs = [spec(i, f"l{i % 5}") for i in range(10)]
    harness, model = pair(server, name, before, specs)
    play(harness, model, rng, 60, lambda _: rng.random())
    harness.configure(harness.config.model_copy(update={"algorithm": after}))
    model.hypers = after
    batch = [(i, 0.5) for i in range(5)]
    harness.record(batch)
    model.record(batch)
    assert_same(harness, model)


PLACES = """
local call, pool, least_count, label_mass_is_tasks = redis.call, KEYS[1], 20, ARGV[1] == '1'
local function weight(p) return p.weight end
local function unpack_label() end
{body}
for i = 2, #ARGV, 4 do
  local p = {{ completion_count = tonumber(ARGV[i + 1]), weight = tonumber(ARGV[i + 2]) }}
  place_label(ARGV[i], p, tonumber(ARGV[i + 3]))
end
"""


def placing() -> str:
    """The index alone, with weights as they are given."""
    whole = variant_of(DebiasedProgressConfig())
    assert whole.draw
    names = ("drawn", "groups", "rescore", "place_label")
    files = [(whole.draw / f"{name}.lua").read_text() for name in names]
    return PLACES.format(body="\n".join(files))


@pytest.mark.parametrize("by_tasks", [0, 1])
@pytest.mark.parametrize("labels", [5, 100_000])
def test_the_groups_are_the_naive_sums_after_random_changes(
    server: Server, name: str, labels: int, by_tasks: int
) -> None:
    rng, client, pool = random.Random(labels), connect(server), f"rc:{{{name}}}:g1:"
    script, now = client.register_script(placing()), {}
    special = [0.0, 1e-300, 2**-33, 2**-34, 1e-6, 0.25, 0.5, 0.5 + 2**-53, 1.0, 1.000001]
    changes = [f"l{i}" for i in range(labels)] if labels > 5 else []
    changes += [f"l{rng.randrange(labels)}" for _ in range(3000)]
    rows = []
    for label in changes:
        weight = rng.choice(special) if rng.random() < 0.3 else rng.random() ** 9
        row = (label, rng.choice([3, 20, 50]), repr(weight), rng.choice([0, 1, 1, 7, 2**20]))
        if labels > 5:
            row = (*row[:3], rng.choice([0, 1, 2]))
        rows.append(row)
        now[label] = row
    for start in range(0, len(rows), 1500):
        flat = [word for row in rows[start : start + 1500] for word in row]
        script(keys=[pool], args=[by_tasks, *flat])
    sums, counts = [0, 0], [0] * 76
    for _, results, text, tasks in now.values():
        mass = tasks if by_tasks else min(tasks, 1)
        if not tasks:
            continue
        if results < 20:
            sums[1] += mass
            counts[55 + next(i for i in range(21) if mass > 2 ** (19 - i))] += 1
        else:
            score = float(text) * mass
            sums[0] += int(Fraction(score) * 2**32 + Fraction(1, 2))
            counts[next(i for i in range(55) if score > 2.0 ** (20 - i) or i == 54)] += 1
    packed = raw(client.get(f"{pool}groups")).ljust(struct.calcsize(FORMAT), b"\0")
    assert list(struct.unpack(FORMAT, packed)) == [*sums, *counts]
    assert sum(counts[:55]) == client.zcard(pool + ("masses" if by_tasks else "weights"))
    for key in ("groups", "weights", "masses", "young"):
        client.unlink(pool + key)


def test_no_sum_leaves_the_whole_numbers_that_a_double_holds() -> None:
    """A pool of 2**20 tasks, all of the largest weight there is."""
    names = ("average_squared", "average_0", "average_1", "average_2")
    apart = dict(zip(names, (1, 1, 0, 0), strict=True)) | {"completion_count": 1e6}
    largest = DebiasedProgressConfig(noise_factor=0.0).weight(apart)
    assert largest == 1 + 1e-6
    assert 2**20 * round(largest * 2**32) < 2**53


def test_a_draw_takes_as_many_commands_whatever_the_number_of_labels(
    server: Server, name: str
) -> None:
    rng, counted = random.Random(7), {}
    for labels in (10, 2000):
        scorer = DebiasedProgressConfig(floor=0.0, cap=1.0)
        specs = [spec(i, f"l{i}") for i in range(labels)]
        harness, _ = pair(server, f"{name}.{labels}", scorer, specs)
        for start in range(0, labels, 100):
            chunk = range(start, min(start + 100, labels))
            harness.record([(i, rng.random()) for i in chunk for _ in range(20)])
        before = commands_run(server)
        for _ in range(300):
            assert len(harness.sample(1).ids) == 1
        counted[labels] = (commands_run(server) - before) / 300
    assert counted[2000] < counted[10] + 1


# --- eviction ------------------------------------------------------------------------------------


def test_replacements_take_any_ripe_task_alike(server: Server, name: str) -> None:
    scorer = DebiasedProgressConfig(min_presentations_for_eviction=2, replacement_rate=1.0)
    specs = [spec(i, f"l{i % 3}") for i in range(30)]
    harness, model = pair(server, name, scorer, specs)
    batch = [(i, 0.5) for i in range(20)] * 2
    harness.record(batch)
    model.record(batch)
    gone: Counter[int] = Counter()
    for round_ in range(120):
        new = [spec(1000 + 5 * round_ + i, f"l{i % 3}") for i in range(5)]
        evicted = model.replace(new)
        assert harness.replace(new).ids == [task_id for task_id, _, _ in new]
        gone.update(evicted)
        assert len(evicted) == 5
        ripe = [task_id for task_id, _, _ in new]
        harness.record([(task_id, 0.5) for task_id in ripe] * 2)
        model.record([(task_id, 0.5) for task_id in ripe] * 2)
    assert_same(harness, model)
    assert gone.total() == 600
    assert max(gone.values()) == 1  # a task goes once
    assert not any(20 <= task_id < 30 for task_id in gone)  # these were never played


@pytest.mark.parametrize("wanted", [1, 3, 7, 10])
def test_a_replacement_is_uniform_over_the_ripe(server: Server, name: str, wanted: int) -> None:
    scorer = DebiasedProgressConfig(min_presentations_for_eviction=1)
    found: Counter[int] = Counter()
    for seed in range(300):
        specs = [spec(i, "l") for i in range(10)]
        harness, model = pair(server, f"{name}.{seed}", scorer, specs, seed=seed)
        batch = [(i, 0.5) for i in range(7)]
        harness.record(batch)
        model.record(batch)
        evicted = model.replace([spec(100 + i, "l") for i in range(wanted)])
        drawn = harness.replace([spec(100 + i, "l") for i in range(wanted)]).ids
        assert len(drawn) == len(set(evicted)) == min(wanted, 7)
        assert not any(harness.client.exists(harness.keys.task(i)) for i in evicted)
        found.update(evicted)
        harness.wipe()
    assert chi_square(found, dict.fromkeys(range(7), 1 / 7)) > ALPHA


def test_every_script_of_the_family_loads() -> None:
    variant: Variant = variant_of(DebiasedProgressConfig.fast())
    assert "average_4" in load("record", variant).source
