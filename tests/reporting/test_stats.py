"""``stats()``: every figure right on pools made by hand, equal to slow sums over the records."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from redis_curriculum import Curriculum, TaskRecord
from redis_curriculum.config import CurriculumConfig, DiscreteRandomConfig, LearningProgressConfig
from redis_curriculum.errors import InvalidInputError, ManyLabelsWarning
from redis_curriculum.reporting import StatsReporter
from redis_curriculum.reporting.inequality import gini
from redis_curriculum.tasks import Buckets, TaskSpec
from tests.lossy import lossy
from tests.reporting.test_sinks import Kept
from tests.servers import RunningServer

KINDS = Buckets(label="{kind}/x", buckets={"kind": ["a", "b", "c"], "seed": list(range(5000))})


def config_of(**fields: Any) -> CurriculumConfig:
    algorithm = {"replacement_rate": 0.0, "min_samples_for_lp": 2} | fields.pop("algorithm", {})
    algorithm.setdefault("min_presentations_for_eviction", 4)
    defaults: dict[str, Any] = {"task_generator": KINDS, "num_active_tasks": 12, "seed": 1}
    return CurriculumConfig(**defaults | fields, algorithm=LearningProgressConfig(**algorithm))


def everything(curriculum: Curriculum) -> list[TaskRecord]:
    found = [curriculum.get_task_stats(task_id) for task_id in curriculum.task_ids()]
    return [record for record in found if record]


def test_an_untouched_pool_has_counts_and_no_means(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        figures = curriculum.stats()
        assert {k: v for k, v in figures.items() if k.startswith("num_")} == {
            "num_created": 12,
            "num_evicted": 0,
            "num_completed": 0,
            "num_scheduled": 0,
            "num_failures": 0,
            "num_late_updates": 0,
            "num_quarantined": 0,
            "num_active_tasks": 12,
            "num_eligible_tasks": 0,
            "num_labels": 3,
            "num_zeros_lp_dist": 0,
        }
        unknown = {name for name, value in figures.items() if math.isnan(value)}
        assert {n for n in unknown if "/" not in n} == {
            "mean_task_success_rate",
            "mean_learning_progress",
            "mean_lp_score",
        }
        assert figures["mean_sample_prob"] == pytest.approx(1 / 12)
        assert figures["effective_num_tasks"] == pytest.approx(12)
        assert all(type(value) is float for value in figures.values())


def test_an_empty_pool_has_figures_too(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(num_active_tasks=1)) as curriculum:
        curriculum.evict(curriculum.task_ids()[0])
        figures = curriculum.stats()
        assert figures["num_active_tasks"] == figures["effective_num_tasks"] == 0
        assert figures["num_evicted"] == 1
        assert math.isnan(figures["mean_sample_prob"])


def test_reading_resets_nothing(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        task = curriculum.get_task()
        curriculum.update_task_performance(task.task_id, 1)
        curriculum.evict(task.task_id)
        still = [
            {k: v for k, v in curriculum.stats().items() if k != "gini/task_age"} for _ in range(3)
        ]
        np.testing.assert_equal(still[0], still[1])
        np.testing.assert_equal(still[0], still[2])
        assert curriculum.end_epoch().totals["evictions"] == 1
        assert curriculum.stats()["num_evicted"] == 1, "over the curriculum's life"


@pytest.mark.parametrize("pooling", ["label", "task"])
def test_the_figures_are_those_of_the_records(url: str, name: str, pooling: str) -> None:
    config = config_of(num_active_tasks=450, algorithm={"pooling": pooling})
    with Curriculum.open(url, name, config) as curriculum:
        rng = np.random.default_rng(0)
        for _ in range(3):
            tasks = curriculum.get_tasks(400)
            curriculum.update_many([(t.task_id, float(rng.random())) for t in tasks])
        gone = curriculum.task_ids()[:7]
        labels_gone = [r.label for i in gone if (r := curriculum.get_task_stats(i))]
        for task_id in gone:
            curriculum.evict(task_id)
        curriculum.update_task_performance(gone[0], 0.5)
        curriculum.report_failure(curriculum.task_ids()[0], "x", permanent=True)
        figures, records = curriculum.stats(), everything(curriculum)
        distribution = curriculum.distribution()
        played = [r for r in records if r.completion_count]
        assert 0 < len(played) < len(records)
        approx: Callable[[Any], Any] = lambda x: pytest.approx(x, rel=1e-12)  # noqa: E731
        rates = [r.success_rate_ema for r in played if r.success_rate_ema is not None]
        raw = [r.learning_progress for r in played if r.learning_progress is not None]
        assert figures["mean_task_success_rate"] == approx(sum(rates) / len(played))
        assert figures["mean_learning_progress"] == approx(sum(raw) / len(played))
        assert figures["debug/raw_lp_mean"] == approx(np.mean(raw))
        assert figures["debug/raw_lp_std"] == approx(np.std(raw))
        assert (figures["debug/raw_lp_min"], figures["debug/raw_lp_max"]) == (min(raw), max(raw))
        eligible = [r for r in records if r.completion_count >= 2]
        assert figures["num_eligible_tasks"] == len(eligible)
        of_label = {
            label: figures[f"per_label_stats/{label}/learning_progress"]
            for label in curriculum.labels()
        }
        drives = [
            of_label[r.label] if pooling == "label" else r.learning_progress or 0 for r in eligible
        ]
        assert figures["mean_lp_score"] == approx(np.mean(drives))
        assert figures["gini/drives"] == approx(gini(drives))
        assert figures["gini/raw_lp"] == approx(gini([r.learning_progress or 0 for r in eligible]))
        p = np.array(list(distribution.values()))
        assert figures["sampling_entropy"] == approx(-np.sum(p * np.log(p)))
        assert figures["gini/sampling_probs"] == approx(gini(p))
        drawn = [distribution[r.task_id] for r in eligible]
        loss = figures["gini/raw_lp"] - gini(drawn)
        assert figures["gini/selectivity_loss_lp_to_prob"] == approx(loss)
        assert figures["gini/pool_occupancy"] == approx(gini([r.completion_count for r in records]))
        assert figures["gini/sampling_counts"] == approx(gini([r.sample_count for r in records]))
        assert figures["num_late_updates"] == figures["num_failures"] == 1
        assert figures["num_evicted"] == 8
        assert figures["num_created"] == len(records) + 8
        assert figures["num_completed"] == figures["num_scheduled"] == 1200
        for label, active in curriculum.labels().items():
            own = [r for r in records if r.label == label]
            its = f"per_label_stats/{label}/"
            assert figures[f"pool_composition/{label}"] == active == len(own)
            mass = sum(distribution[r.task_id] for r in own)
            assert figures[its + "sample_prob"] == approx(mass)
            assert figures[its + "eligible_tasks"] == sum(r.completion_count >= 2 for r in own)
            assert figures[its + "completions"] == figures[f"sampling_counts/{label}"]
            assert figures[f"eviction_counts/{label}"] - labels_gone.count(label) in (0, 1)


class Alone:
    """Every task has a label of its own."""

    def generate(self, task_id: int) -> TaskSpec:
        return TaskSpec(f"label {task_id}", {})


def test_labels_without_tasks_stay_in_the_counts_and_forgotten_ones_in_the_totals(
    url: str, name: str
) -> None:
    config = config_of(task_generator=Alone(), num_active_tasks=4, labels_retained=1)
    with Curriculum.open(url, name, config) as curriculum:
        first, second = curriculum.task_ids()[:2]
        for task_id in (first, second):
            curriculum.evict(task_id)
        figures = curriculum.stats()
        assert figures["num_evicted"] == 2
        counts = {k: v for k, v in figures.items() if k.startswith("eviction_counts/")}
        assert len(counts) == 3
        assert sum(counts.values()) == 1, "the other label was forgotten"
        composition = [k for k in figures if k.startswith("pool_composition/")]
        assert len(composition) == 2
        assert not any(k.endswith("/") for k in figures)


def test_uniform_draws_have_figures_of_uniform_draws(url: str, name: str) -> None:
    config = CurriculumConfig(
        task_generator=KINDS, num_active_tasks=10, algorithm=DiscreteRandomConfig()
    )
    with Curriculum.open(url, name, config) as curriculum:
        curriculum.update_many([(i, n / 200) for n, i in enumerate(curriculum.task_ids() * 20)])
        figures = curriculum.stats()
        assert figures["effective_num_tasks"] == pytest.approx(10)
        assert figures["gini/sampling_probs"] == pytest.approx(0, abs=1e-12)
        assert figures["gini/selectivity_loss_lp_to_prob"] == pytest.approx(figures["gini/raw_lp"])


def test_tasks_that_go_while_they_are_read_are_left_out(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(num_active_tasks=500)) as other:
        handle, link = lossy(url, name)
        with handle:
            link.begin = "sample"
            handle.get_task()
            goes = iter(other.task_ids()[::-1])
            link.meddle = lambda: other.evict(next(goes))
            figures = handle.stats()
            link.meddle = None
        assert 480 < figures["num_active_tasks"] < 499
        mass = [v for k, v in figures.items() if k.endswith("/sample_prob")]
        assert sum(mass) == pytest.approx(1)
        assert figures["mean_sample_prob"] * figures["num_active_tasks"] == pytest.approx(1)


def test_a_report_is_read_by_plain_commands(server: RunningServer, url: str, name: str) -> None:
    """Cost as counts; no script, so that nobody waits longer than for one record."""
    with Curriculum.open(url, name, config_of(num_active_tasks=2000)) as curriculum:
        with server.client() as client:
            client.config_resetstat()
            curriculum.stats()
            commands = client.info("commandstats")
        assert commands["cmdstat_hmget"]["calls"] == 2000 + 3 + 2, (
            "tasks, labels, counters, settings"
        )
        assert commands["cmdstat_hget"]["calls"] == 4 + 1, "the generation, elsewhere"
        assert "cmdstat_evalsha" not in commands
        assert "cmdstat_hgetall" not in commands
        assert "cmdstat_zrange" not in commands


# --- thousands of labels -------------------------------------------------------------------------


class PerPrompt:
    """A label for each task."""

    def generate(self, task_id: int) -> TaskSpec:
        return TaskSpec(f"prompt-{task_id}", {"id": task_id})


def labels_in(figures: Mapping[str, float]) -> dict[str, set[str]]:
    """Family of figures -> labels that it names."""
    found: dict[str, set[str]] = {}
    for name in figures:
        match = re.fullmatch(r"(.+/)(prompt-\d+)(/\w+)?", name)
        if match:
            found.setdefault(f"{match[1]}{match[3] or ''}", set()).add(match[2])
    return found


@pytest.fixture
def crowd(url: str, name: str) -> Iterator[Curriculum]:
    config = config_of(task_generator=PerPrompt(), num_active_tasks=250, labels_retained=5)
    with Curriculum.open(url, name, config) as curriculum:
        for _ in range(2):
            tasks = curriculum.get_tasks(300)
            curriculum.update_many([(task.task_id, 0.5) for task in tasks])
        for task_id in curriculum.task_ids()[:10]:
            curriculum.evict(task_id)
        yield curriculum


def most_drawn(curriculum: Curriculum, count: int) -> set[str]:
    drawn = {
        name.removeprefix("sampling_counts/"): x
        for name, x in curriculum.stats(labels="*").items()
        if name.startswith("sampling_counts/")
    }
    drawn |= dict.fromkeys(
        labels_in(curriculum.stats(labels="*"))["eviction_counts/"] - {*drawn}, 0
    )
    return set(sorted(drawn, key=lambda label: (-drawn[label], label))[:count])


def test_the_labels_drawn_most_have_figures_and_one_warning_says_so(crowd: Curriculum) -> None:
    with pytest.warns(ManyLabelsWarning, match="more than 100 labels"):
        figures = crowd.stats()
    crowd.stats()  # and no other warning, which would be an error here
    assert len(figures) < 1_300
    chosen, active = most_drawn(crowd, 100), set(crowd.labels())
    for family, labels in labels_in(figures).items():
        both = family in ("sampling_counts/", "eviction_counts/")
        assert labels == (chosen if both else chosen & active)
    everything = crowd.stats(labels="*")
    same = {name for name in figures if not name.startswith("gini/task_age")}
    assert all(np.array_equal(figures[n], everything[n], equal_nan=True) for n in same)
    assert labels_in(everything)["pool_composition/"] == active


@pytest.mark.parametrize("labels", [0, 1, 7, np.int64(7), 10**6, "prompt-*7", "none*", ""])
def test_labels_are_a_count_or_a_pattern(crowd: Curriculum, labels: Any) -> None:
    figures = crowd.stats(labels=labels)  # and no warning
    if isinstance(labels, str):
        expected = {label for label in most_drawn(crowd, 10**6) if label.endswith("7")}
        expected = expected if labels == "prompt-*7" else set()
    else:
        expected = most_drawn(crowd, labels)
    assert set().union(*labels_in(figures).values()) == expected
    assert figures["num_labels"] == 240
    crowd.end_epoch()  # the epoch's own figures: those drawn most in it
    task, sink = crowd.get_task(), Kept()
    StatsReporter(crowd, sink, labels=labels).end_epoch()
    epoch = labels_in(sink.entries[0].figures).get("epoch/samples/", set())
    drawn = {task.label}
    assert epoch == (drawn & expected if isinstance(labels, str) else drawn if labels else set())


@pytest.mark.parametrize("labels", [-1, 1.5, True, ["a"], b"a", math.nan])
def test_other_labels_are_refused(crowd: Curriculum, labels: Any) -> None:
    with pytest.raises(InvalidInputError, match="labels must be a count of labels"):
        crowd.stats(labels=labels)
    with pytest.raises(InvalidInputError, match="labels must be a count of labels"):
        StatsReporter(crowd, labels=labels)
