"""`make learning`: what is compared, how it is summed up, and that runs are the server's own."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import learning
import numpy as np
import pytest
from families.family import Family
from families.prompts import PromptTrainee
from families.registry import FAMILIES, SMOKE
from families.report import (
    BEGIN,
    END,
    Curve,
    Spread,
    as_json,
    markdown,
    smoothed,
    speed,
    summarise,
    write_between_marks,
)
from families.run import CountsDifferError, checksum, code, run, settings

from redis_curriculum import Curriculum, DiscreteRandomConfig, LearningProgressConfig
from redis_curriculum.errors import InvalidInputError
from tests.benchmarks.conftest import BENCHMARKS

# --- what is compared ----------------------------------------------------------------------------


def test_an_algorithm_is_a_kind_with_its_defaults_and_what_differs() -> None:
    family = FAMILIES["rooms"]
    assert family.config("uniform", 1).algorithm == DiscreteRandomConfig()
    assert family.config("learning_progress", 1).algorithm == LearningProgressConfig()
    changed = family.config("learning_progress:pooling=task, temperature=0.5", 1).algorithm
    assert changed == LearningProgressConfig(pooling="task", temperature=0.5)
    for wrong in ("no_such_kind", "learning_progress:no_such_field=1", "uniform:temperature=1"):
        with pytest.raises(InvalidInputError):
            family.config(wrong, 1)


def test_where_the_tasks_are_given_none_is_replaced() -> None:
    algorithm = FAMILIES["minigrid"].config("learning_progress", 1).algorithm
    assert algorithm == LearningProgressConfig(replacement_rate=0.0)


@pytest.mark.parametrize("name", FAMILIES)
def test_algorithms_are_paired_by_seed(name: str) -> None:
    """The same tasks at first, as many as the family says."""
    family = FAMILIES[name]
    one, two = (family.config(algorithm, 3) for algorithm in ("uniform", "learning_progress"))
    assert one.task_generator == two.task_generator
    assert one.seed == two.seed == 3
    assert one.num_active_tasks == family.tasks
    assert family.budget % family.every == 0
    assert family.seeds >= 8


def test_reported_seeds_are_those_nobody_looked_at() -> None:
    jobs = learning.plan(list(FAMILIES), ["uniform", "x"], None, smoke=False)
    assert min(job.seed for job in jobs) == learning.FIRST_SEED
    by_family = {name: {j.seed for j in jobs if j.family == name} for name in FAMILIES}
    assert {name: len(seeds) for name, seeds in by_family.items()} == {
        name: family.seeds for name, family in FAMILIES.items()
    }
    assert len(by_family["minigrid"]) == 12
    assert len(set(jobs)) == len(jobs) == 2 * sum(map(len, by_family.values()))


def test_seeds_and_algorithms_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "learning.py --seeds 1-3,7 --algorithms uniform,learning_progress:a=1,b=2,other"
    monkeypatch.setattr(sys, "argv", words.split())
    given = learning.arguments_given()
    assert given.seeds == [1, 2, 3, 7]
    assert given.algorithms == ["uniform", "learning_progress:a=1,b=2", "other"]


# --- how it is summed up -------------------------------------------------------------------------


def record(success: Sequence[float], *, episodes: int = 10, seed: int = 1, **more: Any) -> Any:
    """A run with an evaluation every 100 steps, ``episodes`` episodes between two."""
    marks = [
        {
            "steps": 100 * i,
            "episodes": episodes * i,
            "success": {"a": p + 0.1, "b": p - 0.1},
            "nature": {
                "impossible": {"episodes": i, "steps": 40 * i},
                "solvable": {"episodes": (episodes - 1) * i, "steps": 60 * i},
            },
        }
        for i, p in enumerate(success)
    ]
    found = {"family": "rooms", "algorithm": "uniform", "seed": seed, "replaced": 0, "marks": marks}
    return found | more


STRAIGHT = np.linspace(0, 1, 11)


def test_each_evaluation_is_averaged_with_its_neighbours() -> None:
    assert smoothed(np.array([0.0, 3.0, 6.0, 0.0])) == pytest.approx([1.5, 3.0, 3.0, 3.0])


def test_a_threshold_is_reached_between_evaluations() -> None:
    curve = Curve(record(STRAIGHT.tolist(), episodes=7))
    assert curve.reaches(0.43, "steps") == pytest.approx(430)
    assert curve.reaches(0.43, "episodes") == pytest.approx(0.43 * 70)
    assert curve.reaches(0.97, "steps") == math.inf, "the last point is the mean of two"
    assert curve.reaches(0.0, "steps") == 0.0
    assert curve.at(np.array([250.0, 1_200.0]), "steps") == pytest.approx(
        [0.25, math.nan], nan_ok=True
    )


def test_shares_are_of_episodes_and_of_their_steps() -> None:
    curve = Curve(record([0.0, 0.5, 1.0], episodes=10))
    assert curve.share("impossible", "episodes") == 0.1
    assert curve.share("impossible", "steps") == 0.4
    assert curve.share("coin flip", "steps") == 0.0


def test_median_and_spread_bear_runs_that_never_got_there() -> None:
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0)
    assert Spread.of([1.0, math.inf, 2.0]) == Spread(2.0, 1.0, math.inf)
    assert Spread.of([1.0, math.inf, math.inf, 2.0]).median == math.inf
    assert Spread.of([math.inf, math.inf]).median == math.inf
    assert math.isnan(Spread.of([math.nan]).median)


def curves(*slopes: float) -> dict[int, Curve]:
    return {
        seed: Curve(record((slope * STRAIGHT).tolist(), seed=seed))
        for seed, slope in enumerate(slopes)
    }


def test_speed_is_of_medians_and_paired_by_seed() -> None:
    found = speed(curves(1.0, 1.0, 0.8), curves(0.5, 1.0, 0.5), 0.4, "steps")
    assert astuple(found.time) == pytest.approx((400, 400, 500))
    assert found.of_medians == pytest.approx(800 / 400)
    assert astuple(found.paired) == pytest.approx((1.6, 1.0, 2.0))


def test_who_never_gets_there_is_infinitely_slow_and_uniform_then_counts_to_its_end() -> None:
    lost = speed(curves(0.1, 0.1), curves(1.0, 1.0), 0.5, "steps")
    assert (lost.time.median, lost.of_medians, lost.paired.median) == (math.inf, 0.0, 0.0)
    won = speed(curves(1.0, 1.0), curves(0.1, 0.1), 0.5, "steps")
    assert won.of_medians == won.paired.median == pytest.approx(2.0)
    neither = speed(curves(0.1), curves(0.1), 0.5, "steps")
    assert math.isnan(neither.of_medians)
    assert math.isnan(neither.paired.median)


def rooms_records() -> list[Any]:
    uniform = [record((s * STRAIGHT).tolist(), seed=i) for i, s in enumerate((0.9, 1.0, 0.95))]
    other = [
        record((s * STRAIGHT).tolist(), seed=i, episodes=20, algorithm="a|b", replaced=3)
        for i, s in enumerate((1.0, 1.2, 0.1))
    ]
    return [*other, *uniform]


def rooms() -> Family:
    return replace(FAMILIES["rooms"], budget=1_000)


def test_a_summary_has_uniform_first_and_losses_in_it() -> None:
    uniform, other = summarise(rooms(), rooms_records())
    assert (uniform.algorithm, other.algorithm) == ("uniform", "a|b")
    assert (uniform.seeds, uniform.reached, other.reached) == ([0, 1, 2], {"0.80": 3}, {"0.80": 2})
    assert uniform.steps.of_medians == 1.0
    assert other.steps.time.highest == math.inf
    assert other.steps.paired.lowest == 0.0
    assert other.episodes.of_medians == pytest.approx(other.steps.of_medians / 2)
    assert uniform.success["steps"] == pytest.approx([0.2375, 0.475, 0.7125, 0.9025])
    assert other.success["episodes"] == pytest.approx([0.125, 0.25, 0.375, 0.5], abs=0.01)
    assert other.draws["impossible"].median == 0.05
    assert other.replaced.median == 3


def test_wasted_groups_are_counted_up_to_the_threshold() -> None:
    found = record(STRAIGHT.tolist(), seed=0)
    assert math.isnan(Curve(found).wasted(0.8))
    for mark in found["marks"]:
        mark["wasted"] = mark["episodes"] // 2 if mark["steps"] <= 800 else mark["episodes"]
    assert Curve(found).wasted(0.75) == pytest.approx(0.5, abs=0.02)
    assert Curve(found).wasted(2.0) == 1.0


def test_the_table_has_a_row_an_algorithm_and_losses_stand_in_it() -> None:
    text = markdown([rooms()], summarise(rooms(), rooms_records()))
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| rooms")]
    assert len(rows) == 4
    assert {len(row) for row in rows[:2]} == {10}
    assert {len(row) for row in rows[2:]} == {10}
    assert "800" in rows[0][3].replace(",", "") or "842" in rows[0][3]
    assert "never" in rows[1][3]
    assert "0.00 - " in rows[1][5]


def test_the_json_has_none_where_there_is_no_number() -> None:
    _, other = summarise(rooms(), rooms_records())
    found = json.loads(json.dumps(as_json(other), allow_nan=False))
    assert found["steps"]["time"]["highest"] is None
    assert found["steps"]["time"]["lowest"] > 0


def test_the_table_goes_between_the_marks_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_between_marks("| new \\1 |", page)
    assert page.read_text() == f"before\n{BEGIN}\n| new \\1 |\n{END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match=BEGIN):
        write_between_marks("text", page)
    assert page.read_text() == "no marks"


# --- runs ----------------------------------------------------------------------------------------

TINY = replace(SMOKE["prompts"], budget=640, every=320)


def test_a_run_holds_what_the_server_counted() -> None:
    found = run(TINY, "learning_progress", 2)
    assert found == json.loads(json.dumps(found))
    assert settings(TINY, "learning_progress", 2).items() <= found.items()
    assert [mark["steps"] for mark in found["marks"]] == [0, 320, 640]
    for mark in found["marks"]:
        assert mark["episodes"] == mark["steps"]
        assert sum(mark["draws"].values()) == mark["steps"] + 32
        assert sum(n["episodes"] for n in mark["nature"].values()) == mark["episodes"]
        assert set(mark["success"]) == {f"decisions-{n}" for n in range(1, 9)}


def test_the_same_run_again_gives_the_same() -> None:
    first, second = (run(TINY, "learning_progress", 2)["marks"] for _ in range(2))
    assert first == second
    assert run(TINY, "learning_progress", 3)["marks"] != first


class Forgets(PromptTrainee):
    """Forgets one of its episodes."""

    def train(self) -> None:
        super().train()
        self.tally.by_label[next(iter(self.tally.by_label))] -= 1


class DrawsAside(PromptTrainee):
    """Draws tasks that it does not play."""

    def __init__(self, curriculum: Curriculum, seed: int) -> None:
        super().__init__(curriculum, seed)
        curriculum.get_task()


@pytest.mark.parametrize("trainee", [Forgets, DrawsAside])
def test_a_run_that_the_server_counted_otherwise_is_none(trainee: Any) -> None:
    with pytest.raises(CountsDifferError):
        run(replace(TINY, trainee=trainee), "uniform", 1)


def test_other_code_is_another_run(tmp_path: Path) -> None:
    files = [tmp_path / "a.py", tmp_path / "b.lua"]
    sums = set()
    for contents in (("x", "y"), ("x", "z"), ("xy", ""), ("", "xy")):
        for path, content in zip(files, contents, strict=True):
            path.write_text(content)
        sums.add(checksum(files))
        assert checksum(files[::-1]) in sums
    assert len(sums) == 4
    assert code() == settings(TINY, "uniform", 1)["code"]


def test_runs_that_are_there_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "runs.jsonl"
    [job] = learning.plan(["prompts"], ["uniform"], [1], smoke=True)
    changed = replace(job, algorithm="uniform:success_threshold=0.25")
    made = {**job.settings(), "marks": "made before"}
    store.write_text(json.dumps(made) + "\n")
    before, now = learning.complete([job, changed], store, 1)
    assert before == made
    assert now["hyperparameters"]["success_threshold"] == 0.25
    assert [json.loads(line) for line in store.read_text().splitlines()] == [before, now]
    assert learning.complete([job, changed], store, 1) == [before, now]
    assert len(store.read_text().splitlines()) == 2


@pytest.mark.timeout(600)
def test_the_smoke_run_leaves_table_picture_and_json(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    words = [sys.executable, "-W", "error", str(BENCHMARKS / "learning.py"), "--smoke"]
    done = subprocess.run(
        [*words, "--table", str(page)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    runs = [json.loads(line) for line in (out / "learning-smoke.jsonl").read_text().splitlines()]
    content = json.loads((out / "learning-smoke.json").read_text())
    families = set(content["families"])
    assert families in (set(FAMILIES), set(FAMILIES) - {"minigrid"})
    assert (
        len(runs)
        == len(content["summaries"])
        == sum(len(SMOKE[name].algorithms) for name in families)
    )
    for found in runs:
        budget = SMOKE[found["family"]].budget
        last = found["marks"][-1]
        assert last["steps"] >= budget
        assert 0 < last["episodes"] <= sum(last["draws"].values())
        assert set(last["success"])
    assert {"cpu", "redis", "python"} <= content["machine"].keys()
    assert page.read_text().count("| uniform |") == 2 * len(families)
    assert (out / "learning-smoke.md").read_text() in page.read_text()
    assert (out / "learning-smoke.png").read_bytes().startswith(b"\x89PNG")
