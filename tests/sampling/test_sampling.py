"""The reference formulas: properties over random inputs, known values, and chi-square of draws."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import differential_evolution
from scipy.stats import chisquare

from redis_curriculum._sampling import sigmoid
from redis_curriculum._sampling.draw import distribution, draw, pool_weights
from redis_curriculum._sampling.pool import Pool
from redis_curriculum._sampling.pool import evictable as evictable_ids
from redis_curriculum._sampling.random_stream import M1, RandomStream
from redis_curriculum._sampling.sigmoid import Moments, Sums, expected_trials, fixed
from redis_curriculum.config import ConfigWarning, LearningProgressConfig
from redis_curriculum.errors import EmptyPoolError
from redis_curriculum.reporting import gini
from redis_curriculum.scorers.learning_progress import reweight
from tests.statistics import PoolTask, Progress, fold, make_pool

SCORES = st.floats(0, 1)
MIN_SAMPLES, MIN_PRESENTATIONS = 2, 4
FRESH, LEARNING, RIPE = 1, 3, 9  # completion counts that put a task into each part


def make_hypers(**changes: Any) -> LearningProgressConfig:
    settings: dict[str, Any] = {
        "min_samples_for_lp": MIN_SAMPLES,
        "min_presentations_for_eviction": MIN_PRESENTATIONS,
        "rand_task_rate": 0.0,
        "replacement_rate": 0.0,
    }
    return LearningProgressConfig(**{**settings, **changes})


def fold_all(scores: Sequence[float], hypers: LearningProgressConfig) -> Progress:
    progress = Progress()
    for score in scores:
        progress = fold(progress, score, hypers)
    return progress


# --- fold ----------------------------------------------------------------------------------------


def test_before_the_first_completion_everything_is_unknown() -> None:
    progress = Progress()
    assert (progress.completion_count, progress.total_score) == (0, 0.0)
    names = LearningProgressConfig(use_baseline_normalization=True).names("task")
    assert {getattr(progress, name) for name in (*names[2:], "last_score")} == {None}


@given(SCORES)
def test_the_first_completion_sets_the_averages(score: float) -> None:
    hypers = make_hypers(use_baseline_normalization=False, success_threshold=0.5)
    progress = fold(Progress(), score, hypers)
    assert progress.reward_ema == progress.p_fast == progress.p_slow == progress.p_true == score
    assert progress.ema_squared == score * score
    assert progress.success_rate_ema == (1.0 if score >= 0.5 else 0.0)
    assert progress.random_baseline is None
    assert progress.learning_progress == 0


def test_the_second_completion_by_hand() -> None:
    hypers = make_hypers(
        task_tracker_ema_alpha=0.5,
        ema_timescale=0.25,
        slow_timescale_factor=0.5,
        use_baseline_normalization=True,
        use_bidirectional=True,
        early_progress_amplification=0.5,
        success_threshold=1.0,
    )
    progress = fold_all([0.5, 1.0], hypers)
    assert progress == Progress(
        completion_count=2,
        total_score=1.5,
        last_score=1.0,
        reward_ema=0.75,
        ema_squared=0.625,
        success_rate_ema=0.5,
        p_fast=0.25,
        p_slow=0.125,
        p_true=0.625,
        random_baseline=0.5,
        learning_progress=0.125,
    )


def test_zero_is_a_value_and_not_unset() -> None:
    hypers = make_hypers(task_tracker_ema_alpha=0.1, use_baseline_normalization=False)
    progress = fold_all([0.0, 1.0], hypers)
    assert progress.reward_ema == 0.1  # not 1.0, as when 0 stands for "never"
    assert fold_all([0.0, 0.0], hypers).reward_ema == 0.0


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("baseline", [True, False])
def test_first_success_after_fifty_failures_is_progress(
    bidirectional: bool, baseline: bool
) -> None:
    hypers = make_hypers(use_bidirectional=bidirectional, use_baseline_normalization=baseline)
    failed = fold_all([0.0] * 50, hypers)
    assert failed.learning_progress == 0
    succeeded = fold(failed, 1.0, hypers)
    assert succeeded.learning_progress is not None
    assert succeeded.learning_progress > 0


@given(st.lists(SCORES, min_size=1, max_size=10))
def test_the_baseline_is_the_first_score_up_to_three_quarters(scores: list[float]) -> None:
    progress = fold_all(scores, make_hypers(use_baseline_normalization=True))
    assert progress.random_baseline == min(scores[0], 0.75)


@given(SCORES)
def test_reweighting_at_one_half_is_the_identity(p: float) -> None:
    assert reweight(p, 0.5) == p


@given(st.floats(0.01, 0.99), SCORES, SCORES)
def test_reweighting_rises_from_zero_to_one(early: float, p: float, q: float) -> None:
    low, high = sorted((p, q))
    assert reweight(low, early) <= reweight(high, early) + 1e-15
    assert reweight(0.0, early) == 0
    assert reweight(1.0, early) == 1
    assert reweight(-0.1, early) == 0
    assert reweight(1.1, early) == 1
    assert reweight(early, early) == pytest.approx(0.5)


# --- sums and moments ----------------------------------------------------------------------------

DRIVES = st.lists(st.floats(0, 3.9), max_size=40)


@given(DRIVES)
def test_sums_are_exact_integers(drives: list[float]) -> None:
    exact = [math.floor(y * 2**40 + 0.5) for y in drives]
    sums = Sums.of(np.array(drives))
    assert sums.s == sum(exact)
    assert sums.q2 * 2**42 + sums.q1 * 2**22 + sums.q0 == sum(a * a for a in exact)


@given(DRIVES, DRIVES, st.randoms(use_true_random=False))
def test_sums_do_not_depend_on_history(kept: list[float], gone: list[float], rng: Any) -> None:
    steps = [(y, 1) for y in kept + gone] + [(y, -1) for y in gone]
    rng.shuffle(steps)
    sums = Sums()
    for y, count in steps:
        sums = sums.add(y, count)
    assert sums == Sums.of(np.array(kept))


def test_many_tasks_of_one_drive_are_added_at_once() -> None:
    assert Sums().add(0.3, 1000) == Sums.of(np.full(1000, 0.3))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40))
def test_moments_are_those_of_the_drives(drives: list[float]) -> None:
    moments = Moments.of(Sums.of(np.array(drives)), len(drives))
    assert moments.mean / 2**40 == pytest.approx(np.mean(drives), abs=1e-12)
    assert moments.std / 2**40 == pytest.approx(np.std(drives), abs=1e-7)


@pytest.mark.parametrize("y", [0.0, 1e-9, 0.1, 1 / 3, 1.0, 3.9])
def test_equal_drives_are_seen_to_be_equal(y: float) -> None:
    for n in (1, 2, 3, 1000):
        assert Moments.of(Sums().add(y, n), n).equal


def test_a_small_difference_is_seen() -> None:
    assert not Moments.of(Sums().add(0.5, 100).add(0.5001), 101).equal


# --- the random stream ---------------------------------------------------------------------------


def test_the_stream_is_lecuyers_mrg32k3a() -> None:
    stream = RandomStream([12345] * 6)
    numbers = [stream.uniform() for _ in range(100_000)]
    assert numbers[:6] == [
        0.12701112204657714,
        0.3185275653967945,
        0.3091860155832701,
        0.8258468629271136,
        0.2216299157820229,
        0.5333953879182788,
    ]
    assert numbers[999] == 0.98607848680213228
    assert numbers[99_999] == 0.69628910995743587


def test_a_seeds_stream_never_changes() -> None:
    assert RandomStream.from_seed(0).state == (
        2801950868,
        1262604881,
        420228126,
        1744264422,
        1827894741,
        1797826397,
    )
    assert RandomStream.from_seed(1).state != RandomStream.from_seed(0).state


def test_a_stream_goes_on_from_its_state() -> None:
    stream = RandomStream.from_seed(5)
    stream.number()
    twin = RandomStream(stream.state)
    assert [stream.number() for _ in range(50)] == [twin.number() for _ in range(50)]


@given(st.integers(0, 2**53), st.integers(1, 2**32 - 1000))
def test_an_index_is_below_its_bound(seed: int, n: int) -> None:
    stream = RandomStream.from_seed(seed)
    assert all(0 <= stream.index(n) < n for _ in range(5))


def test_an_index_is_unbiased_where_a_remainder_is_not() -> None:
    """At n = 3e9 a plain remainder falls below m1 - n, 43 % of the range, twice as often."""
    n = 3_000_000_000
    stream = RandomStream.from_seed(3)
    low = sum(stream.index(n) < M1 - n for _ in range(2000))
    assert low / 2000 == pytest.approx((M1 - n) / n, abs=0.04)


# --- pools ---------------------------------------------------------------------------------------


def pool_of(
    values: Sequence[float],
    counts: int | Sequence[int] = RIPE,
    labels: Sequence[str] | None = None,
) -> Pool:
    """A pool with the given progress, of each task and of its label alike by default."""
    counts = [counts] * len(values) if isinstance(counts, int) else counts
    names = labels or [f"label-{value:.6f}" for value in values]
    tasks = [
        PoolTask(i, name, count, value, 1 - value)
        for i, (value, count, name) in enumerate(zip(values, counts, names, strict=True))
    ]
    return make_pool(tasks, {t.label: (t.learning_progress, t.p_true) for t in tasks})


POOLS = st.lists(
    st.tuples(st.sampled_from([FRESH, LEARNING, RIPE]), st.sampled_from([0, 0.1, 0.2, 0.7, 1])),
    min_size=1,
    max_size=30,
).map(lambda rows: pool_of([value for _, value in rows], [count for count, _ in rows]))

HYPERS = st.fixed_dictionaries(
    {
        "pooling": st.sampled_from(["label", "task"]),
        "exploration": st.sampled_from(["share", "bonus"]),
        "rand_task_rate": st.sampled_from([0.0, 0.1, 1.0]),
        "performance_bonus_weight": st.sampled_from([0.0, 0.5]),
        "temperature": st.sampled_from([0.0, 1e-6, 0.1, 10.0]),
        "z_score_amplification": st.sampled_from([0.0, 1.0, 10.0, 100.0]),
    }
).map(lambda changes: make_hypers(**changes))


def test_redis_orders_ties_by_the_text_of_the_id() -> None:
    tasks = [PoolTask(i, "a", RIPE, 0.5, 0.5) for i in (100, 9, 10, 2**53 - 1)]
    tasks.append(PoolTask(99, "a", RIPE, 0.4, 0.5))
    pool = make_pool(tasks, {})
    ripe = pool.task_ids[pool.parts(make_hypers()).ripe]
    assert ripe.tolist() == [99, 10, 100, 9, 9007199254740991]


@given(POOLS)
def test_each_task_is_in_one_part(pool: Pool) -> None:
    parts = pool.parts(make_hypers())
    assert sorted(np.concatenate(parts)) == list(range(len(pool)))
    for part, count in zip(parts, (FRESH, LEARNING, RIPE), strict=True):
        assert (pool.completion_count[part] == count).all()
        assert (np.diff(pool.ranks(LearningProgressConfig())[part]) >= 0).all()


# --- distribution --------------------------------------------------------------------------------


@given(POOLS, HYPERS)
def test_a_distribution_sums_to_one(pool: Pool, hypers: LearningProgressConfig) -> None:
    probabilities = distribution(pool, hypers)
    assert probabilities.shape == (len(pool),)
    assert (probabilities >= 0).all()
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)


@given(POOLS, HYPERS)
def test_under_sampled_tasks_get_their_share_evenly(
    pool: Pool, hypers: LearningProgressConfig
) -> None:
    fresh = ~pool.eligible(hypers)
    n, n_fresh = len(pool), int(fresh.sum())
    if n_fresh in (0, n):
        share = n_fresh / n
    elif hypers.exploration == "share":
        share = max(hypers.exploration_share, n_fresh / n)
    else:
        bonus = n_fresh * hypers.exploration_bonus
        share = bonus / (1 + bonus)
    mass = hypers.rand_task_rate * n_fresh / n + (1 - hypers.rand_task_rate) * share
    probabilities = distribution(pool, hypers)[fresh]
    assert probabilities.sum() == pytest.approx(mass)
    assert np.ptp(probabilities) == 0 if n_fresh else mass == 0


def naive_weights(x: Any, hypers: LearningProgressConfig) -> Any:
    """Section 5's formula read literally, with NumPy's own mean and deviation."""
    if hypers.temperature > 0:
        return 1 / (1 + np.exp(-(x + hypers.progress_smoothing) / hypers.temperature))
    if np.ptp(x) == 0:
        return np.ones(len(x))
    z = (x - x.mean()) / x.std()
    return 1 / (1 + np.exp(-hypers.z_score_amplification * z))


@pytest.mark.filterwarnings("ignore:overflow")
@given(POOLS, HYPERS)
def test_eligible_tasks_share_the_rest_by_the_formula(
    pool: Pool, hypers: LearningProgressConfig
) -> None:
    eligible = pool.eligible(hypers)
    if not eligible.any():
        return
    x = (
        pool.statistics["learning_progress"]
        + hypers.performance_bonus_weight * pool.statistics["p_true"]
    )
    w = naive_weights(x[eligible], hypers)
    plain = hypers.rand_task_rate / len(pool)
    by_rule = distribution(pool, hypers)[eligible] - plain
    assert by_rule == pytest.approx(by_rule.sum() * w / w.sum(), abs=1e-8)


def test_pooling_chooses_whose_progress_counts() -> None:
    tasks = [PoolTask(0, "a", RIPE, 0.9, 0.5), PoolTask(1, "b", RIPE, 0.1, 0.5)]
    pool = make_pool(tasks, {"a": (0.1, 0.5), "b": (0.9, 0.5)})
    by_task = distribution(pool, make_hypers(pooling="task"))
    by_label = distribution(pool, make_hypers(pooling="label"))
    assert by_task[0] == by_label[1] > 0.99


def test_a_label_without_completions_counts_as_zero() -> None:
    """A task can come to such a label by set_label, with completions of its own."""
    tasks = [PoolTask(0, "new", RIPE, 0.9, 0.5), PoolTask(1, "b", RIPE, 0.1, 0.5)]
    pool = make_pool(tasks, {"b": (0.2, 0.5)})
    assert pool_weights(pool, make_hypers(pooling="label")).tolist() == [0.0, 0.2]


def test_the_performance_bonus_favours_what_is_played_well() -> None:
    tasks = [PoolTask(i, str(i), RIPE, 0.2, p_true) for i, p_true in enumerate([0.1, 0.9])]
    pool = make_pool(tasks, {str(i): (0.2, p_true) for i, p_true in enumerate([0.1, 0.9])})
    assert distribution(pool, make_hypers()).tolist() == [0.5, 0.5]
    low, high = distribution(pool, make_hypers(performance_bonus_weight=0.5))
    assert low < 0.01
    assert high > 0.99


def test_amplification_zero_weighs_all_alike() -> None:
    pool = pool_of([0.0, 0.5, 1.0])
    assert distribution(pool, make_hypers(z_score_amplification=0.0)) == pytest.approx(1 / 3)


def test_a_tiny_temperature_neither_overflows_nor_starves() -> None:
    pool = pool_of([0.0, 0.5, 1.0])
    hypers = make_hypers(temperature=1e-300, progress_smoothing=0.0)
    assert distribution(pool, hypers).tolist() == [0.2, 0.4, 0.4]  # weights 1/2, 1, 1
    drawn = draw(pool, hypers, RandomStream.from_seed(0), 20).task_ids
    assert set(drawn) == {0, 1, 2}


def test_a_pool_of_one() -> None:
    for count in (FRESH, LEARNING, RIPE):
        pool = pool_of([0.3], count)
        for hypers in (make_hypers(), make_hypers(temperature=0.1, rand_task_rate=0.5)):
            assert distribution(pool, hypers).tolist() == [1.0]
            assert draw(pool, hypers, RandomStream.from_seed(0), 40).task_ids == [0] * 40


def test_an_empty_pool_has_no_distribution_and_no_draws() -> None:
    pool = make_pool([], {})
    assert distribution(pool, make_hypers()).shape == (0,)
    with pytest.raises(EmptyPoolError):
        draw(pool, make_hypers(), RandomStream.from_seed(0), 1)


def test_a_hundred_thousand_tasks() -> None:
    n = 100_000
    rng = np.random.default_rng(0)
    pool = Pool(
        task_ids=rng.permutation(n),
        statistics={
            "completion_count": rng.integers(0, 8, n).astype(float),
            "learning_progress": rng.random(n),
            "p_true": rng.random(n),
        },
        label_index=rng.integers(0, 50, n),
        label_statistics={"learning_progress": rng.random(50), "p_true": rng.random(50)},
    )
    for pooling in ("label", "task"):
        hypers = make_hypers(pooling=pooling)
        assert distribution(pool, hypers).sum() == pytest.approx(1)
        assert len(draw(pool, hypers, RandomStream.from_seed(0), 64).task_ids) == 64


# --- draws ---------------------------------------------------------------------------------------


def folded_pool(*, bidirectional: bool) -> Pool:
    """A pool with the progress that random results leave behind."""
    rng = np.random.default_rng(11)
    hypers = make_hypers(use_bidirectional=bidirectional)
    labels = {name: Progress() for name in "abc"}
    tasks = []
    for i in range(24):
        label, progress = "abc"[i % 3], Progress()
        for score in rng.beta(0.5 + i / 8, 2, size=i % 7).tolist():
            progress = fold(progress, score, hypers)
            labels[label] = fold(labels[label], score, hypers)
        numbers = progress.completion_count, progress.learning_progress, progress.p_true
        tasks.append(PoolTask(i, label, *numbers))
    return make_pool(tasks, {k: (p.learning_progress, p.p_true) for k, p in labels.items()})


MIXED = [FRESH] * 4 + [LEARNING] * 10 + [RIPE] * 10
HEAVY_TAIL = ((np.random.default_rng(7).pareto(0.8, 24) + 1) / 100).clip(0, 1).tolist()
SHAPES: dict[str, Callable[[], Pool]] = {
    "all equal": lambda: pool_of([0.3] * 24, MIXED),
    "all zero": lambda: pool_of([0.0] * 24, MIXED),
    "one outlier": lambda: pool_of([0.01] * 23 + [0.8], MIXED),
    "two clusters": lambda: pool_of([0.05, 0.4] * 12, MIXED),
    "heavy tail": lambda: pool_of(HEAVY_TAIL, MIXED),
    "a ramp": lambda: pool_of([i / 24 for i in range(24)], MIXED),
    "no eligible": lambda: pool_of([0.2, 0.7] * 12, FRESH),
    "no under-sampled": lambda: pool_of([i / 24 for i in range(24)], [LEARNING, RIPE] * 12),
    "bidirectional results": lambda: folded_pool(bidirectional=True),
    "basic results": lambda: folded_pool(bidirectional=False),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "by label": {"pooling": "label"},
    "by task": {"pooling": "task"},
    "bonus rule": {"pooling": "label", "exploration": "bonus"},
    "all at once": {
        "pooling": "task",
        "exploration": "bonus",
        "rand_task_rate": 0.2,
        "performance_bonus_weight": 0.3,
        "temperature": 0.2,
    },
    "warm, by task": {"pooling": "task", "temperature": 0.1, "progress_smoothing": 0.0},
}
BATCHES = [1, 31, 64]  # 64 uses strata where they apply, 31 does not


def drawn_counts(
    pool: Pool, hypers: LearningProgressConfig, total: int, batch: int, seed: int = 0
) -> Counter[int]:
    stream = RandomStream.from_seed(seed)
    counts: Counter[int] = Counter()
    while counts.total() < total:
        counts.update(draw(pool, hypers, stream, batch).task_ids)
    return counts


def p_value(counts: Counter[int], pool: Pool, probabilities: Any) -> float:
    """Chi-square of the counts; bins with fewer than 8 expected are thrown together."""
    observed = np.array([counts[int(i)] for i in pool.task_ids], dtype=float)
    expected = probabilities * counts.total()
    assert not observed[expected == 0].any()
    small = expected < 8
    observed = np.append(observed[~small], observed[small].sum())
    expected = np.append(expected[~small], expected[small].sum())
    used = expected > 0
    if used.sum() == 1:
        return 1.0
    return float(chisquare(observed[used], expected[used], sum_check=False).pvalue)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_draws_follow_the_distribution(shape: str, setting: str, batch: int) -> None:
    pool, hypers = SHAPES[shape](), make_hypers(**SETTINGS[setting])
    counts = drawn_counts(pool, hypers, 600 if batch == 1 else 3000, batch)
    assert p_value(counts, pool, distribution(pool, hypers)) > 1e-4


@pytest.mark.parametrize("setting", ["by label", "by task"])
@pytest.mark.parametrize("batch", BATCHES)
def test_the_chi_square_can_tell_a_wrong_distribution(setting: str, batch: int) -> None:
    """The replaced system normalised over all tasks, the ineligible included (defect 4.2)."""
    pool, hypers = SHAPES["a ramp"](), make_hypers(**SETTINGS[setting])
    x = pool.statistics["learning_progress"]
    naive = naive_weights(x, hypers)
    counts = drawn_counts(pool, hypers, 600 if batch == 1 else 3000, batch)
    assert p_value(counts, pool, naive / naive.sum()) < 1e-9


@pytest.mark.parametrize("amplification", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("batch", BATCHES)
def test_draws_are_exact_at_any_amplification(amplification: float, batch: int) -> None:
    pool = SHAPES["one outlier"]()
    hypers = make_hypers(pooling="task", z_score_amplification=amplification)
    counts = drawn_counts(pool, hypers, 600 if batch == 1 else 3000, batch)
    assert p_value(counts, pool, distribution(pool, hypers)) > 1e-4


def test_strata_after_failed_trials_are_exact_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sigmoid, "TRIALS_BEFORE_STRATA", 1)
    pool, hypers = SHAPES["heavy tail"](), make_hypers(pooling="task")
    counts = drawn_counts(pool, hypers, 3000, 5)
    assert p_value(counts, pool, distribution(pool, hypers)) > 1e-4


def test_a_call_that_ends_short_biases_nothing_among_the_eligible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sigmoid, "TRIALS_BEFORE_SHORT", 1)
    pool, hypers = SHAPES["heavy tail"](), make_hypers(pooling="label")
    stream, counts = RandomStream.from_seed(0), Counter[int]()
    some_short = False
    for _ in range(400):
        left = 8
        while left:  # as the client does
            draws = draw(pool, hypers, stream, left)
            assert draws.short == (len(draws.task_ids) < left)
            some_short |= draws.short
            counts.update(draws.task_ids)
            left -= len(draws.task_ids)
    assert some_short
    eligible = pool.eligible(hypers)
    among = np.where(eligible, distribution(pool, hypers), 0.0)
    for task_id in pool.task_ids[~eligible]:
        del counts[task_id]
    assert p_value(counts, pool, among / among.sum()) > 1e-4


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("batch", BATCHES)
def test_same_state_and_calls_give_the_same_draws_and_state(setting: str, batch: int) -> None:
    pool, hypers = SHAPES["a ramp"](), make_hypers(**SETTINGS[setting], replacement_rate=0.02)
    one, two = RandomStream.from_seed(9), RandomStream.from_seed(9)
    for _ in range(20):
        assert draw(pool, hypers, one, batch) == draw(pool, hypers, two, batch)
        assert one.state == two.state
    assert one.state != RandomStream.from_seed(9).state


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_order_of_the_tasks_given_does_not_matter(setting: str) -> None:
    pool, hypers = SHAPES["two clusters"](), make_hypers(**SETTINGS[setting])
    order = np.random.default_rng(1).permutation(len(pool))
    shuffled = Pool(
        pool.task_ids[order],
        {name: column[order] for name, column in pool.statistics.items()},
        pool.label_index[order],
        pool.label_statistics,
    )
    for batch in BATCHES:
        draws = draw(pool, hypers, RandomStream.from_seed(2), batch)
        assert draws == draw(shuffled, hypers, RandomStream.from_seed(2), batch)


def test_a_draw_step_by_step() -> None:
    """The order in which numbers are used is part of the contract with the scripts."""
    tasks = [PoolTask(i, "a", FRESH if i < 3 else RIPE, 0.5, 0.5) for i in range(12)]
    pool, hypers = make_pool(tasks, {"a": (0.5, 0.5)}), make_hypers(rand_task_rate=0.5)
    stream, twin = RandomStream.from_seed(4), RandomStream.from_seed(4)
    expected = []
    for _ in range(50):
        if twin.uniform() < 0.5:
            expected.append([0, 1, 2, 10, 11, 3, 4, 5, 6, 7, 8, 9][twin.index(12)])
        elif twin.uniform() < 0.25:
            expected.append([0, 1, 2][twin.index(3)])
        else:
            expected.append([10, 11, 3, 4, 5, 6, 7, 8, 9][twin.index(9)])
    assert draw(pool, hypers, stream, 50).task_ids == expected
    assert stream.state == twin.state


def test_replacements_stop_where_nothing_more_may_go() -> None:
    pool = pool_of([0.1] * 8)
    with pytest.warns(ConfigWarning, match="outrun"):
        hypers = make_hypers(eviction_threshold_percentile=0.25, replacement_rate=1.0)
    draws = draw(pool, hypers, RandomStream.from_seed(0), 5)
    assert draws.wanted_replacements == 2
    assert len(draws.task_ids) == 3


# --- eviction ------------------------------------------------------------------------------------


def evictable(pool: Pool, hypers: LearningProgressConfig, limit: int) -> int:
    """How many may be evicted; those of lowest rank go, so no random number is drawn."""
    stream = RandomStream.from_seed(0)
    found = evictable_ids(pool, hypers, limit, stream)
    assert stream.state == RandomStream.from_seed(0).state
    assert found == pool.task_ids[pool.parts(hypers).ripe[: len(found)]].tolist()
    return len(found)


@given(POOLS, st.sampled_from([0.01, 0.1, 0.3, 0.5, 1.0]), st.integers(0, 40))
def test_evictable_counts_by_rank(pool: Pool, percentile: float, limit: int) -> None:
    hypers = make_hypers(eviction_threshold_percentile=percentile)
    parts = pool.parts(hypers)
    others = pool.ranks(LearningProgressConfig())[np.concatenate((parts.fresh, parts.learning))]
    ranks = [
        j + int((others < score).sum())
        for j, score in enumerate(pool.ranks(LearningProgressConfig())[parts.ripe])
    ]
    within = itertools.takewhile(lambda rank: rank < percentile * len(pool), ranks[:limit])
    assert evictable(pool, hypers, limit) == len(list(within))


def test_ties_do_not_make_the_whole_pool_evictable() -> None:
    pool = pool_of([0.0] * 40)
    assert evictable(pool, make_hypers(eviction_threshold_percentile=0.25), 40) == 10


def test_only_ripe_tasks_are_evictable() -> None:
    hypers = make_hypers(eviction_threshold_percentile=0.5)
    assert evictable(pool_of([0.0] * 10, LEARNING), hypers, 10) == 0
    assert evictable(pool_of([0.0] * 9 + [0.9], [LEARNING] * 9 + [RIPE]), hypers, 10) == 0
    assert evictable(pool_of([0.5] * 9 + [0.1], [LEARNING] * 9 + [RIPE]), hypers, 10) == 1


# --- cost of a draw ------------------------------------------------------------------------------


def three_point_trials(point: Sequence[float], hypers: LearningProgressConfig) -> float:
    """Minus the expected trials where drives are 0, x and 1 with probabilities of one's choice."""
    first, second, x = point
    p = np.array([first, (1 - first) * second, (1 - first) * (1 - second)])
    y = fixed(np.array([0.0, x, 1.0]))
    mean = float(p @ y)
    std = math.sqrt(float(p @ (y - mean) ** 2))
    if std == 0:
        return -1.0
    moments = Moments(mean, std, equal=False)
    return -1 / float(p @ sigmoid.acceptances(y / 2.0**40, moments, hypers))


def test_no_three_point_distribution_needs_eight_trials() -> None:
    """Mean and deviation are fixed, so the extreme distributions have at most three points."""
    hypers = make_hypers(z_score_amplification=10.0)
    found = differential_evolution(
        three_point_trials, [(0, 1)] * 3, args=(hypers,), rng=1, tol=1e-9, polish=False
    )
    assert 7.9 < -found.fun < 8


@pytest.mark.parametrize("high", [1, 10, 40, 70, 76, 80, 100, 500, 999])
def test_no_two_point_pool_needs_eight_trials(high: int) -> None:
    pool = pool_of([0.0] * (1000 - high) + [1.0] * high)
    trials = expected_trials(pool, make_hypers(z_score_amplification=10.0))
    assert 1 <= trials < 8
    if high == 76:
        assert trials > 7.9


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([0, 1e-3, 0.1, 0.11, 0.5, 0.9, 1]), min_size=1, max_size=200),
    st.sampled_from([1.0, 10.0, 100.0]),
    st.sampled_from([0.0, 0.01, 1.0]),
    st.booleans(),
)
def test_strata_need_at_most_a_quarter_more_than_one_trial(
    values: list[float], amplification: float, temperature: float, mixed: bool
) -> None:
    counts = [LEARNING if mixed and i % 3 else RIPE for i in range(len(values))]
    hypers = make_hypers(
        pooling="task", z_score_amplification=amplification, temperature=temperature
    )
    trials = expected_trials(pool_of(values, counts), hypers, stratified=True)
    assert 1 - 1e-12 <= trials <= 1.25 + 1e-12


class CountingStream(RandomStream):
    """A stream that knows how many numbers were taken."""

    taken = 0

    def number(self) -> int:
        self.taken += 1
        return super().number()


@pytest.mark.parametrize(("batch", "most"), [(31, 2 * 8), (1000, 3 * 1.3)])
def test_numbers_taken_per_draw_are_bounded(batch: int, most: float) -> None:
    """A trial takes two numbers by rejection, three by strata."""
    pool = pool_of([0.0] * 924 + [1.0] * 76)
    hypers = make_hypers(pooling="task", z_score_amplification=10.0)
    stream = CountingStream([12345] * 6)
    for _ in range(1984 // batch):
        draw(pool, hypers, stream, batch)
    assert stream.taken / (1984 // batch * batch) < most * 1.05


# --- inequality ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], 0), ([0, 0, 0], 0), ([5], 0), ([2, 2, 2], 0), ([0, 0, 0, 1], 0.75), ([1, 2, 3, 4], 0.25)],
)
def test_gini_of_known_values(values: list[float], expected: float) -> None:
    assert gini(values) == pytest.approx(expected)


@pytest.mark.parametrize("n", [3, 5, 29, 100])
def test_gini_of_equals_is_never_below_0(n: int) -> None:
    assert 0 <= min(gini([1 / n + k * 2**-55] * n) for k in range(50)) < 1e-12


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_gini_is_half_the_relative_mean_difference(values: list[float], rng: Any) -> None:
    n = len(values)
    differences = sum(abs(a - b) for a in values for b in values)
    expected = differences / (2 * n * sum(values))
    rng.shuffle(values)
    assert gini(values) == pytest.approx(expected, abs=1e-9)
    assert gini([3 * value for value in values]) == pytest.approx(expected, abs=1e-9)
    assert gini(values + values) == pytest.approx(expected, abs=1e-9)
