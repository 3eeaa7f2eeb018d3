"""Resuming: exactly what was saved, or a reason; entirely old or entirely new, whenever killed."""

from __future__ import annotations

import dataclasses
import multiprocessing as mp
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import (
    Curriculum,
    CurriculumConfig,
    LearningProgressConfig,
    Task,
    UniformConfig,
)
from redis_curriculum._protocol.keys import PARTS, Keys
from redis_curriculum._protocol.plan import Words
from redis_curriculum._wire.blocking import DirectLink
from redis_curriculum._wire.steps import Steps
from redis_curriculum.errors import (
    ConfigMismatchError,
    CurriculumError,
    InvalidInputError,
    SnapshotError,
    StaleGenerationError,
)
from redis_curriculum.reporting import gini
from redis_curriculum.tasks import Single
from tests.servers import RunningServer, redis_server
from tests.state.test_snapshot import config_of, lines_of, play

HYPERS: dict[str, Any] = {
    "task_tracker_ema_alpha": 0.3,
    "ema_timescale": 0.2,
    "slow_timescale_factor": 0.1,
    "replacement_rate": 0.03,
    "z_score_amplification": 4.0,
}


def saved(url: str, name: str, path: Path, episodes: int = 600, **hypers: Any) -> Path:
    """A curriculum that was played, and its snapshot."""
    with Curriculum.open(url, name, config_of(**{**HYPERS, **hypers})) as curriculum:
        play(curriculum, episodes)
        curriculum.snapshot(path)
        return path


def state_of(curriculum: Curriculum) -> dict[str, Any]:
    """Everything a user can read, to the last bit."""
    ids = curriculum.task_ids()
    distribution = curriculum.distribution()
    return {
        "records": [curriculum.get_task_stats(task_id) for task_id in ids],
        "distribution": distribution,
        "labels": curriculum.labels(),
        "gini": gini(list(distribution.values())),
        "config": curriculum.config,
    }


def timeless(state: dict[str, Any]) -> dict[str, Any]:
    """Tasks that were created later have another time of creation, and nothing else."""
    records = [dataclasses.replace(record, created_ms=0) for record in state["records"]]
    return state | {"records": records}


# --- exact resume --------------------------------------------------------------------------------


def test_restoring_under_other_names_gives_the_same_state_and_the_same_draws(
    url: str, name: str, tmp_path: Path
) -> None:
    with Curriculum.open(url, name, config_of(**HYPERS)) as original:
        play(original, 700)
        path = original.snapshot(tmp_path / "a.rcs").path
        before = state_of(original)
        with (
            Curriculum.restore(path, url, f"{name}.1") as one,
            Curriculum.restore(path, url, f"{name}.2") as two,
        ):
            assert state_of(one) == state_of(two) == before
            draws = play(original, 500, seed=9)  # not interrupted
            assert play(one, 500, seed=9) == draws
            assert play(two, 500, seed=9) == draws
            assert (
                timeless(state_of(one)) == timeless(state_of(two)) == timeless(state_of(original))
            )
            assert one.check() == two.check() == []


def test_a_run_that_is_torn_down_and_restored_goes_on(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    with Curriculum.open(server.url, f"{name}.whole", config_of(**HYPERS)) as whole:
        expected = play(whole, 300, seed=1) + play(whole, 300, seed=2)
    with Curriculum.open(server.url, name, config_of(**HYPERS)) as first:
        drawn = play(first, 300, seed=1)
        path = first.snapshot(tmp_path / "a.rcs").path
    for key in server.client().scan_iter(f"rc:{{{name}}}:*"):
        server.client().unlink(key)
    with Curriculum.restore(path, server.url) as second:
        assert second.name == name
        drawn += play(second, 300, seed=2)
    assert drawn == expected


def test_a_pool_with_a_gap_is_restored_with_it(url: str, name: str, tmp_path: Path) -> None:
    """The next draw fills it, as it would have done: filled before, that draw would be another."""
    with Curriculum.open(url, name, config_of(**HYPERS)) as original:
        play(original, 200)
        for task_id in original.task_ids()[:25]:
            original.evict(task_id)
        path = original.snapshot(tmp_path / "a.rcs").path
        with Curriculum.restore(path, url, f"{name}.1") as restored:
            assert state_of(restored) == state_of(original)
            assert play(restored, 100, seed=9) == play(original, 100, seed=9)
            assert timeless(state_of(restored)) == timeless(state_of(original))
            assert len(restored.task_ids()) == 60


def test_who_attaches_leaves_a_gap_to_the_next_draw(url: str, name: str, tmp_path: Path) -> None:
    """As after a restore by the command line, which opens nothing."""
    with Curriculum.open(url, name, config_of(**HYPERS)) as original:
        original.evict(original.task_ids()[0])
        path = original.snapshot(tmp_path / "a.rcs").path
        Curriculum.restore(path, url, f"{name}.1").close()
        with Curriculum.open(url, f"{name}.1") as attached:
            assert state_of(attached) == state_of(original)
            assert play(attached, 100, seed=9) == play(original, 100, seed=9)


def test_another_server_and_another_version(
    every_server: RunningServer, url: str, name: str, tmp_path: Path
) -> None:
    path = saved(url, name, tmp_path / "a.rcs")
    with (
        Curriculum.open(url, name) as here,
        Curriculum.restore(path, every_server.url, f"{name}.there") as there,
    ):
        assert state_of(here) == state_of(there)
        assert there.check() == []


def test_a_snapshot_of_a_restored_curriculum_is_the_same_snapshot(
    url: str, name: str, tmp_path: Path
) -> None:
    path = saved(url, name, tmp_path / "a.rcs")
    with Curriculum.restore(path, url, f"{name}.b") as restored:
        again = restored.snapshot(tmp_path / "b.rcs").path
    one, other = lines_of(path), lines_of(again)
    assert one[1:-1] == other[1:-1]
    fields = (
        "config",
        "epoch",
        "seed",
        "next_index",
        "random",
        "counters",
        "curriculum_created_ms",
    )
    assert {f: one[0][f] for f in fields} == {f: other[0][f] for f in fields}


# --- the defects of the replaced system ----------------------------------------------------------


def test_1_1_resume_takes_the_saved_hyperparameters(url: str, name: str, tmp_path: Path) -> None:
    path = saved(url, name, tmp_path / "a.rcs")
    with Curriculum.restore(path, url, f"{name}.b") as restored:
        assert restored.config == config_of(**HYPERS)
        assert restored.config.algorithm != LearningProgressConfig()
        task = restored.get_task()
        before = restored.get_task_stats(task.task_id)
        restored.update_task_performance(task.task_id, 1.0)
        after = restored.get_task_stats(task.task_id)
        assert before is not None
        assert after is not None
        if before.reward_ema is not None:  # and they are at work
            expected = before.reward_ema + 0.3 * (1.0 - before.reward_ema)
            assert after.reward_ema == expected


@pytest.mark.parametrize("defect", ["1.2", "2.4"])
def test_1_2_and_2_4_labels_survive_a_resume(
    url: str, name: str, tmp_path: Path, defect: str
) -> None:
    path = saved(url, name, tmp_path / "a.rcs")
    with (
        Curriculum.open(url, name) as original,
        Curriculum.restore(path, url, f"{name}.b") as restored,
    ):
        assert "größe/0" in restored.labels()
        for label, count in original.labels().items():
            assert restored.task_ids(label) == original.task_ids(label)
            assert len(restored.task_ids(label)) == count
        for task_id in original.task_ids():
            one, other = original.get_task_stats(task_id), restored.get_task_stats(task_id)
            assert one == other


# --- hyperparameters -----------------------------------------------------------------------------


def test_overrides_by_name_hold_and_the_indices_follow(url: str, name: str, tmp_path: Path) -> None:
    path = saved(url, name, tmp_path / "a.rcs")
    overrides = {"min_samples_for_lp": 6, "pooling": "task", "algorithm.temperature": "0.5"}
    with Curriculum.restore(path, url, f"{name}.b", overrides=overrides) as restored:
        hypers: Any = restored.config.algorithm
        assert (hypers.min_samples_for_lp, hypers.pooling, hypers.temperature) == (6, "task", 0.5)
        assert restored.check() == []
        play(restored, 200)
        assert restored.check() == []


@pytest.mark.parametrize(
    "case",
    [
        ("ema_timescale", 0.5, 0.2),
        ("task_tracker_ema_alpha", 0.9, 0.3),
        ("slow_timescale_factor", 0.7, 0.1),
        ("use_bidirectional", False, True),
        ("use_baseline_normalization", True, False),
        ("success_threshold", 0.9, 0.5),
        ("seed", 4, 3),
        ("score_range", (-1.0, 1.0), (0.0, 1.0)),
    ],
)
def test_a_structural_mismatch_lists_the_field_and_writes_nothing(
    server: RunningServer, name: str, tmp_path: Path, case: tuple[str, Any, Any]
) -> None:
    field, value, saved_value = case
    path = saved(server.url, name, tmp_path / "a.rcs", episodes=5)
    before = set(server.client().keys("*"))
    with pytest.raises(ConfigMismatchError) as caught:
        Curriculum.restore(path, server.url, f"{name}.b", overrides={field: value})
    ((told, old, new),) = caught.value.differences
    assert told.endswith(field)
    assert (old, new) == (saved_value, value)
    assert set(server.client().keys("*")) == before


def test_force_is_noted_in_the_event_stream_and_in_later_snapshots(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    path = saved(server.url, name, tmp_path / "a.rcs", episodes=50)
    target = f"{name}.b"
    overrides = {"ema_timescale": 0.5}
    with Curriculum.restore(path, server.url, target, overrides=overrides, force=True) as restored:
        assert restored.config.algorithm.model_dump()["ema_timescale"] == 0.5
        later = lines_of(restored.snapshot(tmp_path / "b.rcs").path)[0]
        assert later["forced"] == [{"field": "algorithm.ema_timescale", "saved": 0.2, "given": 0.5}]
        events = [fields for _, fields in server.client().xrange(f"rc:{{{target}}}:events")]
        (event,) = [fields for fields in events if fields["event"] == "restored"]
        assert "ema_timescale" in event["forced"]


def test_the_pool_grows_freely_and_shrinks_when_told(url: str, name: str, tmp_path: Path) -> None:
    path = saved(url, name, tmp_path / "a.rcs", episodes=900)
    with Curriculum.restore(path, url, f"{name}.1", overrides={"num_active_tasks": 80}) as grown:
        assert len(grown.task_ids()) == 80
        assert grown.check() == []
    with pytest.raises(SnapshotError, match="shrink"):
        Curriculum.restore(path, url, f"{name}.2", overrides={"num_active_tasks": 20})
    with Curriculum.restore(
        path, url, f"{name}.2", overrides={"num_active_tasks": 20}, shrink=True
    ) as shrunk:
        tasks = [line for line in lines_of(path) if line["type"] == "task"]
        progress = {
            t["task_id"]: t.get("statistics", {}).get("learning_progress", 0) for t in tasks
        }
        ranked = sorted((progress[task_id], task_id) for task_id in progress)
        assert shrunk.task_ids() == sorted(task_id for _, task_id in ranked[-20:])
        assert shrunk.check() == []
        play(shrunk, 100)
        assert shrunk.check() == []


def test_a_label_that_loses_all_its_tasks_to_a_smaller_pool(
    url: str, name: str, tmp_path: Path
) -> None:
    with Curriculum.open(url, name, config_of(30)) as curriculum:
        for task_id in curriculum.task_ids("maze-5"):  # the only ones whose results change
            for score in (0.0, 0.0, 0.0, 1.0):
                curriculum.update_task_performance(task_id, score)
        kept = curriculum.task_ids("maze-5")
        before = curriculum.labels()
        path = curriculum.snapshot(tmp_path / "a.rcs").path
    overrides = {"num_active_tasks": len(kept)}
    with Curriculum.restore(path, url, f"{name}.1", overrides=overrides, shrink=True) as shrunk:
        assert shrunk.task_ids() == kept
        assert shrunk.labels() == {"maze-5": len(kept)}
        assert len(before) == 4
        assert shrunk.check() == []
        evicted = shrunk.epoch_report()
        assert evicted is not None
        assert evicted.evictions == {k: n for k, n in before.items() if k != "maze-5"}


def test_overrides_that_cannot_be(url: str, name: str, tmp_path: Path) -> None:
    path = saved(url, name, tmp_path / "a.rcs", episodes=5)
    for overrides in ({"no_such": 1}, {"replacement_rate": 2.0}, {"num_active_tasks": 0}):
        with pytest.raises(InvalidInputError):
            Curriculum.restore(path, url, f"{name}.b", overrides=overrides)


def test_the_other_algorithm_needs_force(url: str, name: str, tmp_path: Path) -> None:
    path = saved(url, name, tmp_path / "a.rcs", episodes=50)
    other = {"algorithm": UniformConfig(success_threshold=0.25)}
    with pytest.raises(ConfigMismatchError):
        Curriculum.restore(path, url, f"{name}.b", overrides=other)
    with Curriculum.restore(path, url, f"{name}.b", overrides=other, force=True) as restored:
        probabilities = restored.distribution().values()
        assert set(probabilities) == {1 / 60}


# --- names, workers, flips -----------------------------------------------------------------------


def test_a_name_in_use_needs_replace(server: RunningServer, name: str, tmp_path: Path) -> None:
    path = saved(server.url, name, tmp_path / "a.rcs")
    with Curriculum.open(server.url, name) as old:
        kept = play(old, 50)
        before = state_of(old)
        with pytest.raises(SnapshotError, match="replace"):
            Curriculum.restore(path, server.url)
        assert state_of(old) == before
        with Curriculum.restore(path, server.url, replace=True) as new:
            assert state_of(new) != before
            with pytest.raises(StaleGenerationError, match=r"reopen\(\)"):
                old.update_task_performance(kept[0], 1.0)
            with pytest.raises(StaleGenerationError):
                old.get_task()
            assert new.check() == []
            keys = server.client().keys(f"rc:{{{name}}}:g*")
            assert {key.split(":")[2] for key in keys} == {"g2"}  # the old one is gone
    with Curriculum.open(server.url, name) as again:
        assert len(again.task_ids()) == 60


def test_epoch_counters_are_those_of_the_snapshot(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    with Curriculum.open(server.url, name, config_of()) as curriculum:
        play(curriculum, 100)
        path = curriculum.snapshot(tmp_path / "a.rcs").path
        play(curriculum, 100)
    client = server.client()

    def completions() -> int:
        return sum(map(int, client.hvals(f"rc:{{{name}}}:epoch:0:completions")))

    assert completions() == 200
    Curriculum.restore(path, server.url, replace=True).close()
    assert completions() == 100


def test_two_restores_race_and_one_wins(url: str, name: str, tmp_path: Path) -> None:
    path = saved(url, name, tmp_path / "a.rcs")
    results: list[object] = []

    def restore() -> None:
        try:
            Curriculum.restore(path, url, replace=True).close()
            results.append(None)
        except CurriculumError as error:
            results.append(error)

    for _ in range(5):
        results.clear()
        threads = [threading.Thread(target=restore) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results.count(None) >= 1
        assert all(error is None or isinstance(error, SnapshotError) for error in results)
        with Curriculum.open(url, name) as curriculum:
            assert len(curriculum.task_ids()) == 60
            assert curriculum.check() == []


def sample_on(url: str, name: str, stop: Any, queue: Any) -> None:
    """Play until stopped; reopen when told; say how many writes each handle had acknowledged."""
    reopened, played = 0, 0
    curriculum = Curriculum.open(url, name)
    task: Task | None = None
    while not stop.is_set():
        try:
            finished = None if task is None else (task.task_id, 0.5)
            task = curriculum.next_task(finished)
            played += 1
        except StaleGenerationError:
            curriculum.close()
            curriculum, task = Curriculum.open(url, name), None
            reopened += 1
    curriculum.close()
    queue.put((reopened, played))


def test_peers_in_the_middle_of_sampling_go_on_with_the_new_generation(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    path = saved(server.url, name, tmp_path / "a.rcs")
    context = mp.get_context("fork")
    stop, queue = context.Event(), context.Queue()
    args = (server.url, name, stop, queue)
    peers = [context.Process(target=sample_on, args=args) for _ in range(3)]
    for peer in peers:
        peer.start()
    try:
        for _ in range(4):
            time.sleep(0.2)
            with Curriculum.restore(path, server.url, replace=True) as restored:
                assert restored.check() == []
    finally:
        time.sleep(0.3)
        stop.set()
    results = [queue.get(timeout=20) for _ in peers]
    for peer in peers:
        peer.join(20)
    assert [peer.exitcode for peer in peers] == [0, 0, 0]
    assert all(reopened >= 1 for reopened, _ in results)
    with Curriculum.open(server.url, name) as curriculum:
        assert curriculum.check() == []
    keys = server.client().keys(f"rc:{{{name}}}:g*")
    assert {key.split(":")[2] for key in keys} == {"g5"}  # nobody wrote into an old one


def restored_and_killed(path: Path, url: str, left: int, *, before: bool) -> int:
    """Restore in a child that dies with its request number ``left``, sent or not; its exit code."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    send = DirectLink.send

    def dying(link: DirectLink, words: Words, key: str) -> Steps[Any]:
        nonlocal left
        left -= 1
        if left == 0 and before:
            os.kill(os.getpid(), signal.SIGKILL)
        reply = yield from send(link, words, key)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return reply

    try:
        pytest.MonkeyPatch().setattr(DirectLink, "at_once", False)
        pytest.MonkeyPatch().setattr(DirectLink, "send", dying)
        Curriculum.restore(path, url, replace=True).close()
    except BaseException:  # noqa: BLE001 - a child of a test must not go on with the tests
        os._exit(1)
    os._exit(0)


def test_an_importer_killed_at_any_point_leaves_the_old_or_the_new(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    path = saved(server.url, name, tmp_path / "a.rcs", episodes=300)
    with Curriculum.open(server.url, name) as curriculum:
        play(curriculum, 200, seed=4)
    rng, flipped, finished = random.Random(1), 0, 0
    old = stable_state(server, name)
    new = None
    for _ in range(30):
        status = restored_and_killed(
            path, server.url, rng.randrange(1, 34), before=rng.random() < 0.5
        )
        assert status in (0, -signal.SIGKILL)
        finished += status == 0
        client = server.client()
        client.pexpire(f"rc:{{{name}}}:restore", 0)  # time passes: the claim of the dead one
        now = stable_state(server, name)
        if now != old:
            flipped += 1
            new = new or now
            assert now == new  # whenever it was killed: the snapshot's state, whole
            with Curriculum.open(server.url, name) as curriculum:
                assert curriculum.check() == []
                play(curriculum, 20)  # and somewhere else again
            old = stable_state(server, name)
    assert 0 < flipped < 30
    with Curriculum.restore(path, server.url, replace=True) as last:
        assert stable_state(server, name) == new
        assert last.check() == []
    keys = server.client().keys(f"rc:{{{name}}}:g*")
    assert len({key.split(":")[2] for key in keys}) == 1  # it took the others' leftovers away


def stable_state(server: RunningServer, name: str) -> dict[str, Any]:
    with Curriculum.open(server.url, name) as curriculum:
        return state_of(curriculum)


def other_results() -> bytes:
    """A field ``stats`` that is no task's."""
    scorer = config_of(**HYPERS).algorithm
    return scorer.packed("task", {**scorer.fold({}, 0.5), "completion_count": 10**6})


DAMAGE: dict[str, Callable[[Any, Keys, int], object]] = {
    "a task gone": lambda client, keys, task: client.unlink(keys.task(task)),
    "a task in no set": lambda client, keys, task: [
        client.zrem(keys.pool + p, task) for p in PARTS
    ],
    "a task in two sets": lambda client, keys, task: [
        client.zadd(keys.pool + part, {task: 0.5}) for part in PARTS
    ],
    "a task without its label": lambda client, keys, task: client.srem(
        keys.label(client.hget(keys.task(task), "label")), task
    ),
    "other results": lambda client, keys, task: client.hset(
        keys.task(task), "stats", other_results()
    ),
    "a task more": lambda client, keys, task: client.zadd(keys.fresh, {1: 0.0}),
    "a label's task more": lambda client, keys, task: client.sadd(keys.label("größe/0"), 1),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_was_staged_is_read_back_before_it_counts(
    server: RunningServer, name: str, tmp_path: Path, damage: str
) -> None:
    path = saved(server.url, name, tmp_path / "a.rcs")
    before = stable_state(server, name)
    task = next(line["task_id"] for line in lines_of(path) if line["type"] == "task")

    def meddle(done: int, total: int) -> None:
        assert done <= total == 60
        with server.client() as client:
            DAMAGE[damage](client, Keys(name, 2), task)

    with pytest.raises(SnapshotError, match="staging failed"):
        Curriculum.restore(path, server.url, replace=True, progress=meddle)
    assert stable_state(server, name) == before
    with Curriculum.restore(path, server.url, replace=True) as restored:
        assert restored.check() == []


def test_what_a_failover_has_lost_is_not_made_current(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    """A call was acknowledged, but had not been copied: the new primary lacks it."""
    path = saved(server.url, name, tmp_path / "a.rcs")
    before = stable_state(server, name)

    def lose(done: int, total: int) -> None:
        if done == total:
            with server.client() as client:
                client.hincrby(Keys(name).restore, "step", -1)

    with pytest.raises(SnapshotError, match="failover lost some"):
        Curriculum.restore(path, server.url, replace=True, progress=lose)
    assert stable_state(server, name) == before
    with Curriculum.restore(path, server.url, replace=True) as restored:
        assert restored.check() == []


def test_what_a_killed_restore_staged_expires(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    path = saved(server.url, name, tmp_path / "a.rcs")
    code = f"""
        import os, signal
        from redis_curriculum import Curriculum
        def die(done, total):
            os.kill(os.getpid(), signal.SIGKILL)
        Curriculum.restore({str(path)!r}, {server.url!r}, {name + ".b"!r}, progress=die)
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert process.returncode == -signal.SIGKILL
    client = server.client()
    left = client.keys(f"rc:{{{name}.b}}:*")
    assert left
    assert all(client.pttl(key) > 0 for key in left)
    client.unlink(*left)


def test_a_restored_curriculum_does_not_expire(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    path = saved(server.url, name, tmp_path / "a.rcs")
    with Curriculum.restore(path, server.url, f"{name}.b"):
        client = server.client()
        keys = client.keys(f"rc:{{{name}.b}}:*")
        assert [key for key in keys if client.pttl(key) != -1] == []


def test_it_can_be_killed_with_the_server_and_comes_back(name: str, tmp_path: Path) -> None:
    config = ("--appendonly", "yes", "--appendfsync", "always")
    with redis_server(tmp_path / "redis", config=config) as server:
        path = saved(server.url, name, tmp_path / "a.rcs")
        with Curriculum.restore(path, server.url, f"{name}.b") as restored:
            before = state_of(restored)
        server.kill()
        server.start()
        with Curriculum.open(server.url, f"{name}.b") as again:
            assert state_of(again) == before
            assert again.check() == []


def test_a_snapshot_of_an_empty_pool(url: str, name: str, tmp_path: Path) -> None:
    config = CurriculumConfig(task_generator=Single(label="l"), num_active_tasks=3)
    with Curriculum.open(url, name, config) as curriculum:
        for task_id in curriculum.task_ids():
            curriculum.evict(task_id)
        info = curriculum.snapshot(tmp_path / "a.rcs")
        assert info.tasks == 0
        with Curriculum.restore(info.path, url, f"{name}.b") as restored:
            assert len(restored.task_ids()) == 3  # filled up at open
            assert restored.check() == []


def test_forked_children_of_a_restored_handle(url: str, name: str, tmp_path: Path) -> None:
    path = saved(url, name, tmp_path / "a.rcs")
    with Curriculum.restore(path, url, f"{name}.b") as restored:
        pid = os.fork()
        if pid == 0:
            restored.get_task()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert restored.check() == []


@pytest.mark.parametrize("number", [0, 1])
def test_every_format_there_has_been_can_be_restored(url: str, name: str, number: int) -> None:
    path = Path(__file__).parents[1] / "fixtures" / f"format-{number}.rcs"
    with Curriculum.restore(path, url, name) as restored:
        assert restored.check() == []
        play(restored, 100)
        assert restored.check() == []
