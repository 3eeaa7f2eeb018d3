"""Check, repair, snapshots and exact resume of draws that choose a label first."""

from __future__ import annotations

import multiprocessing as mp
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from redis_curriculum import Curriculum, CurriculumConfig, DebiasedProgressConfig
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.errors import ConfigMismatchError, MalformedStateError
from tests.servers import RunningServer
from tests.state.test_restore import state_of, timeless
from tests.state.test_snapshot import MAZES, lines_of, move, play
from tests.whole import assert_whole

Breaks = Callable[[Any, Keys, int], Any]
BREAKS: dict[str, tuple[Breaks, str]] = {
    "a label without a weight": (lambda r, k, i: r.zrem(k.weights, "maze-5"), "'maze-5'"),
    "another weight": (lambda r, k, i: r.zincrby(k.weights, 0.25, "maze-5"), "'maze-5'"),
    "judged and young": (lambda r, k, i: r.zadd(k.young, {"maze-5": 1}), "'maze-5'"),
    "young for judged": (
        lambda r, k, i: (r.zrem(k.weights, "maze-9"), r.zadd(k.young, {"maze-9": 1})),
        "'maze-9'",
    ),
    "a stray mass": (lambda r, k, i: r.zadd(k.masses, {"maze-5": 9}), "'maze-5'"),
    "a label that has no tasks": (lambda r, k, i: r.zadd(k.weights, {"who": 0.5}), "'who'"),
    "a young label that has no tasks": (lambda r, k, i: r.zadd(k.young, {"who": 1}), "'who'"),
    "no groups": (lambda r, k, i: r.unlink(k.groups), "sums are"),
    "another sum": (
        lambda r, k, i: r.bitfield(k.groups).incrby("i64", "#0", 12345).execute(),
        "sums are",
    ),
    "another size of a group": (
        lambda r, k, i: r.bitfield(k.groups).incrby("u32", "#30", 3).execute(),
        "sums are",
    ),
    "not among its label's tasks": (
        lambda r, k, i: r.zrem(k.members(r.hget(k.task(i), "label")), i),
        "not in the set of its label",
    ),
    "among another label's tasks": (lambda r, k, i: r.zadd(k.members("other"), {i: 0}), "'other'"),
    "a task without a record": (lambda r, k, i: r.zadd(k.members("maze-5"), {123: 0}), "task 123"),
    "another place among the tasks": (
        lambda r, k, i: r.zadd(k.members(r.hget(k.task(i), "label")), {i: 5}),
        "not in the set of its label",
    ),
}


def config_of(n: int = 60, **given: Any) -> CurriculumConfig:
    fields: dict[str, Any] = {"least_count": 40, "min_presentations_for_eviction": 3}
    fields |= {"replacement_rate": 0.05} | given
    algorithm = DebiasedProgressConfig(**fields)
    return CurriculumConfig(task_generator=MAZES, num_active_tasks=n, seed=3, algorithm=algorithm)


@pytest.fixture(params=["equal", "tasks"])
def played(request: pytest.FixtureRequest, url: str, name: str) -> Any:
    with Curriculum.open(url, name, config_of(label_mass=request.param)) as curriculum:
        play(curriculum, 250)
        yield curriculum


def test_some_labels_are_judged_and_some_young(server: RunningServer, played: Curriculum) -> None:
    """What the tests below stand on."""
    keys, client = Keys(played.name), server.client()
    assert client.zcard(keys.weights) > 0
    assert client.zscore(keys.weights, "maze-5") is not None
    assert client.zscore(keys.weights, "maze-9") is not None
    assert_whole(server, played)
    assert played.check() == []


@pytest.mark.parametrize("what", BREAKS)
def test_what_is_broken_is_named_and_mended(
    server: RunningServer, played: Curriculum, what: str
) -> None:
    keys, client = Keys(played.name), server.client()
    task_id = int(client.zrange(keys.fresh, 0, 0)[0] if client.zcard(keys.fresh) else 0)
    task_id = task_id or played.task_ids()[0]
    before = played.distribution()
    breaks, word = BREAKS[what]
    breaks(client, keys, task_id)
    problems = played.check()
    assert any(word in problem for problem in problems), problems
    assert played.check(repair=True) == []
    assert played.distribution() == before
    assert_whole(server, played)
    play(played, 30)
    assert played.check() == []


def test_a_draw_without_the_sizes_of_the_groups_names_them(
    server: RunningServer, played: Curriculum
) -> None:
    keys = Keys(played.name)
    server.client().delete(keys.groups)
    with pytest.raises(MalformedStateError, match=r"groups\.counts"):
        played.get_task()
    assert played.check(repair=True) == []
    assert played.get_task().task_id in played.task_ids()


def go_on(url: str, name: str, seed: int, stop: Any) -> None:
    """As ``move``: a call that meets what is broken is refused by name, and others follow."""
    while not stop.is_set():
        with suppress(MalformedStateError):
            move(url, name, seed, stop)


def test_everything_at_once_is_mended_while_workers_go_on(server: RunningServer, name: str) -> None:
    context = mp.get_context("fork")
    stop, rng = context.Event(), random.Random(5)
    with Curriculum.open(server.url, name, config_of(200)) as curriculum:
        play(curriculum, 1500)
        keys, client = Keys(name), server.client()
        args = ((server.url, name, seed, stop) for seed in range(3))
        writers = [context.Process(target=go_on, args=each) for each in args]
        for writer in writers:
            writer.start()
        try:
            assert [curriculum.check() for _ in range(3)] == [[]] * 3
            for task_id in rng.sample(curriculum.task_ids(), 20):
                client.zadd(keys.members("maze-5"), {str(task_id): 0})
            client.bitfield(keys.groups).incrby("i64", "#0", 10**9).execute()
            client.zadd(keys.young, {"maze-13": 1, "nobody": 1})
            assert curriculum.check() != []
            assert curriculum.check(repair=True) == []
            assert [curriculum.check() for _ in range(3)] == [[]] * 3
        finally:
            stop.set()
            for writer in writers:
                writer.join(20)
        assert [writer.exitcode for writer in writers] == [0, 0, 0]
        assert curriculum.check() == []
        assert_whole(server, curriculum)


# --- snapshots -----------------------------------------------------------------------------------


def test_a_restored_curriculum_draws_what_the_original_draws(
    server: RunningServer, played: Curriculum, tmp_path: Path
) -> None:
    path = played.snapshot(tmp_path / "a.rcs").path
    before = state_of(played)
    with (
        Curriculum.restore(path, server.url, f"{played.name}.1") as one,
        Curriculum.restore(path, server.url, f"{played.name}.2") as two,
    ):
        assert state_of(one) == state_of(two) == before
        assert_whole(server, one)
        draws = play(played, 400, seed=9)
        assert play(one, 400, seed=9) == draws
        assert play(two, 400, seed=9) == draws
        assert timeless(state_of(one)) == timeless(state_of(played))
        assert one.check() == two.check() == []


def test_a_snapshot_holds_the_averages_of_labels_and_none_of_tasks(
    played: Curriculum, tmp_path: Path
) -> None:
    lines = lines_of(played.snapshot(tmp_path / "a.rcs").path)
    for line in lines:
        names = set(line.get("statistics", {}))
        if line["type"] == "label" and names:
            assert names >= {"average_squared", "average_0", "average_1", "average_2"}
            assert "average_3" not in names
        elif line["type"] == "task":
            assert not any(name.startswith("average") for name in names)


def test_other_tunables_at_resume_give_the_draws_of_these(
    server: RunningServer, played: Curriculum, tmp_path: Path
) -> None:
    path = played.snapshot(tmp_path / "a.rcs").path
    given = {"noise_factor": 0.0, "least_count": 10, "power": 1, "cap": 0.5}
    with Curriculum.restore(path, server.url, f"{played.name}.1", overrides=given) as restored:
        assert restored.check() == []
        assert_whole(server, restored)
        assert restored.distribution() != played.distribution()


def test_another_ladder_at_resume_is_refused_with_its_fields(
    url: str, played: Curriculum, tmp_path: Path
) -> None:
    path = played.snapshot(tmp_path / "a.rcs").path
    given = {"rates": (0.1, 0.05, 0.01)}
    with pytest.raises(ConfigMismatchError) as caught:
        Curriculum.restore(path, url, f"{played.name}.1", overrides=given)
    assert [field for field, _, _ in caught.value.differences] == ["algorithm.rates"]


FORCED: dict[str, dict[str, Any]] = {
    "fewer rates": {"rates": (0.1, 0.05), "warm_up": (4.0, 2.0)},
    "more rates": {"rates": (0.1, 0.05, 0.02, 0.01), "warm_up": (8.0, 4.0, 2.0, 1.0)},
    "uniform": {"kind": "uniform"},
    "learning progress": {
        "kind": "learning_progress",
        "min_presentations_for_eviction": 12,
        "replacement_rate": 0.01,
    },
}


@pytest.mark.parametrize("what", FORCED)
def test_forced_settings_go_on_with_what_was_kept(
    server: RunningServer, played: Curriculum, tmp_path: Path, what: str
) -> None:
    path = played.snapshot(tmp_path / "a.rcs").path
    forced = f"{played.name}.1"
    with Curriculum.restore(path, server.url, forced, overrides=FORCED[what], force=True) as one:
        assert_whole(server, one)
        play(one, 100)
        assert one.check() == []
        assert_whole(server, one)
        for task_id in one.task_ids():
            record = one.get_task_stats(task_id)
            assert record is not None
            values = [value for value in record.statistics.values() if value is not None]
            assert np.isfinite(values).all()
            names = set(one.config.algorithm.names("task")) - {"random_baseline"}
            assert record.completion_count == 0 or len(values) >= len(names)
        back = one.snapshot(tmp_path / "b.rcs").path
    given = {"algorithm": played.config.algorithm}
    with Curriculum.restore(back, server.url, f"{forced}.2", overrides=given, force=True) as two:
        assert two.config.algorithm == played.config.algorithm
        assert sum(two.distribution().values()) == pytest.approx(1)
        play(two, 100)
        assert_whole(server, two)


def test_a_smaller_pool_keeps_its_indices(
    server: RunningServer, played: Curriculum, tmp_path: Path
) -> None:
    path = played.snapshot(tmp_path / "a.rcs").path
    given = {"num_active_tasks": 17}
    with Curriculum.restore(
        path, server.url, f"{played.name}.1", overrides=given, shrink=True
    ) as restored:
        assert len(restored.task_ids()) == 17
        assert_whole(server, restored)
        assert restored.check() == []


def test_an_algorithm_of_another_kind_at_resume_is_refused(
    url: str, played: Curriculum, tmp_path: Path
) -> None:
    path = played.snapshot(tmp_path / "a.rcs").path
    with pytest.raises(ConfigMismatchError) as caught:
        Curriculum.restore(path, url, f"{played.name}.1", overrides={"kind": "uniform"})
    assert [field for field, _, _ in caught.value.differences] == ["algorithm.kind"]
