"""What each script does, one by one, on a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from redis_curriculum._protocol.keys import COUNTS, SCHEMA, Keys
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum._store.variant import packed_hypers
from redis_curriculum.config import LearningProgressConfig
from redis_curriculum.errors import (
    CurriculumNotFoundError,
    IndexTakenError,
    SequenceGapError,
    StaleGenerationError,
    WorkerFencedError,
    WorkerInUseError,
)
from tests.harness import Harness, Server, connect, raw, text_config
from tests.invariants import assert_same, stored_state
from tests.model import ModelCurriculum

HYPERS = LearningProgressConfig(
    min_samples_for_lp=1,
    min_presentations_for_eviction=2,
    eviction_threshold_percentile=1.0,
    replacement_rate=0.0,
)


@pytest.fixture
def empty(server: Server, name: str) -> Harness:
    return Harness(connect(server), name, text_config(HYPERS, num_active_tasks=4, seed=3))


@pytest.fixture
def harness(empty: Harness) -> Harness:
    """Task 0 of label a, 1 of b, 2 of a, 3 of b; the pool is full."""
    empty.create([(i, "ab"[i % 2], {"size": i}) for i in range(4)])
    return empty


def another(harness: Harness, worker: str, **settings: Any) -> Harness:
    return Harness(harness.client, harness.keys.name, harness.config, worker=worker, **settings)


# --- open ----------------------------------------------------------------------------------------


def test_open_creates_once_and_then_answers_what_is_stored(empty: Harness) -> None:
    config = empty.config
    assert empty.open() == [0, SCHEMA, 1, config.to_json(), 0, 0, 0, 1]
    meta = empty.client.hgetall(empty.keys.meta)
    assert raw(meta.pop("hypers")) == packed_hypers(config)
    assert len(meta.pop("creator")) == 8
    assert int(meta.pop("created_ms")) == pytest.approx(time.time() * 1000, abs=60_000)
    assert meta == {
        "schema": str(SCHEMA),
        "generation": "1",
        "config": config.to_json(),
        "config_sha256": config.sha256(),
        "config_version": "1",
        "epoch": "0",
        "random": RandomStream.from_seed(3).text,
        "next_index": "0",
        "late_count": "0",
    }
    empty.create([(7, "a", {})])
    other = text_config(HYPERS, seed=99)
    reply = empty.call("open", 1, SCHEMA, other.to_json(), other.sha256(), "", "1 1 1 1 1 1", "")
    assert reply == [0, SCHEMA, 1, config.to_json(), 1, 1, 0, 1]
    assert empty.stream_state == RandomStream.from_seed(3).state


def test_open_without_a_config_creates_nothing(empty: Harness) -> None:
    empty.wipe()
    assert empty.call("open", 1, SCHEMA, "", "", "", "", "") == []
    assert empty.client.exists(empty.keys.meta) == 0


# --- workers -------------------------------------------------------------------------------------


def test_a_handle_that_registers_again_learns_its_last_number(harness: Harness) -> None:
    assert harness.sequence == 2
    assert harness.register() == 2


def test_a_live_workers_id_is_not_given_away(harness: Harness) -> None:
    with pytest.raises(WorkerInUseError, match="'w0'"):
        harness.register("other handle")
    with pytest.raises(WorkerInUseError, match="'w0'"):
        harness.register("other handle", takes="12345")
    assert harness.register() == 2


@pytest.mark.parametrize("named", [True, False], ids=["the one that was entered then", "any"])
def test_a_live_workers_place_is_taken_by_who_says_so(harness: Harness, *, named: bool) -> None:
    entered = harness.client.hget(harness.keys.worker("w0"), "started")
    assert harness.register("other handle", takes=entered if named else "*") == 0


def test_an_earlier_process_of_that_name_is_fenced(harness: Harness) -> None:
    """Whichever way its numbers differ: they are of another life."""
    for ours, theirs in ((3 * 2**32, 7 * 2**32), (7 * 2**32, 3 * 2**32)):
        harness.client.hset(harness.keys.worker("w0"), "sequence", theirs)
        for number in (ours, ours + 1, ours + 2):
            with pytest.raises(WorkerFencedError):
                harness.record([(0, 0.5)], sequence=number)
    harness.client.hset(harness.keys.worker("w0"), "sequence", 7 * 2**32)
    assert harness.record([(0, 0.5)], sequence=7 * 2**32 + 1) == [0, 1]


def test_the_id_of_a_dead_worker_is_free_and_counts_from_0(harness: Harness) -> None:
    dead = another(harness, "dead", lease_ms=1)
    dead.record([(0, 1.0)])
    time.sleep(0.01)
    dead.lease_ms = 60_000
    assert dead.register("other handle") == 0
    assert dead.record([(0, 1.0)]) == [0, 1]


def test_a_worker_whose_lease_ended_is_fenced_and_reaped(harness: Harness) -> None:
    dead = another(harness, "dead", lease_ms=1)
    time.sleep(0.01)
    with pytest.raises(WorkerFencedError, match="dead"):
        dead.renew()
    assert harness.client.exists(harness.keys.worker("dead")) == 1
    harness.renew()  # any worker's renewal reaps
    assert harness.client.exists(harness.keys.worker("dead")) == 0
    assert harness.client.zrange(harness.keys.workers, 0, -1) == ["w0"]
    with pytest.raises(WorkerFencedError, match="dead"):
        dead.record([(0, 1.0)])


def test_reaping_is_bounded(harness: Harness) -> None:
    pipe = harness.client.pipeline()
    for i in range(20):
        pipe.zadd(harness.keys.workers, {f"dead{i}": 1}).hset(
            harness.keys.worker(f"dead{i}"), "x", 1
        )
    pipe.execute()
    harness.renew()
    assert harness.client.zcard(harness.keys.workers) == 5
    harness.renew()
    assert harness.client.zrange(harness.keys.workers, 0, -1) == ["w0"]
    assert len(list(harness.client.scan_iter(f"{harness.keys.prefix}worker:*"))) == 1


def test_a_write_with_a_lease_renews_it(harness: Harness) -> None:
    before = harness.client.zscore(harness.keys.workers, "w0")
    harness.call("sample", 1, "w0", 2, 10**9, 1, 1, "", 0, "")
    after = harness.client.zscore(harness.keys.workers, "w0")
    assert after > before + 10**8


def test_a_write_without_a_lease_leaves_it(harness: Harness) -> None:
    before = harness.client.zscore(harness.keys.workers, "w0")
    harness.sample(1)
    assert harness.client.zscore(harness.keys.workers, "w0") == before


def test_only_the_handle_itself_leaves(harness: Harness) -> None:
    assert harness.leave("other handle") == 0
    assert harness.leave() == 1
    assert harness.leave() == 0
    assert harness.client.exists(harness.keys.worker("w0"), harness.keys.workers) == 0
    with pytest.raises(WorkerFencedError):
        harness.sample(1)


def test_resume_skips_numbers_the_server_has_lost(harness: Harness) -> None:
    with pytest.raises(SequenceGapError) as caught:
        harness.resume(0, 5)
    assert caught.value.last == 2
    assert harness.resume(2, 5) == 1
    assert harness.record([(0, 0.5)], sequence=5) == [1]
    assert harness.record([(0, 0.5)], sequence=6) == [0, 1]
    harness.worker = "who"
    with pytest.raises(WorkerFencedError):
        harness.resume(6, 7)


# --- tasks ---------------------------------------------------------------------------------------


def test_create_fills_the_room_there_is(empty: Harness) -> None:
    assert empty.create([(0, "a", {}), (1, "a", {}), (2, "b", {})]) == [0, 3, 1]
    assert empty.create([(5, "b", {}), (6, "b", {})]) == [0, 1, 0]
    assert empty.create([(7, "b", {})]) == [0, 0, 0]
    assert empty.client.smembers(empty.keys.label("b")) == {"2", "5"}
    events = [fields for _, fields in empty.client.xrange(empty.keys.events)]
    assert events == [
        {"event": "created", "count": "3", "first_task_id": "0", "label": "a", "worker": "w0"},
        {"event": "created", "count": "1", "first_task_id": "5", "label": "b", "worker": "w0"},
    ]


def test_create_skips_indices_whose_task_failed_to_generate(empty: Harness) -> None:
    assert empty.reserve(9) == [0, 0, 9, 4]
    reply = empty.write("create", 1, 0, 9, "", 3, 30, "a", "{}", 8, 80, "a", "{}")
    assert reply == [0, 2, 2]
    with pytest.raises(IndexTakenError) as caught:
        empty.create([], first=0)
    assert caught.value.next_index == 9


def test_a_draw_is_counted_once(harness: Harness) -> None:
    drawn = harness.sample(7).ids + harness.sample(1).ids + harness.step([(0, 0.5)], 2).ids
    for task_id, record in enumerate(harness.read(range(4))):
        assert int(record["sample_count"]) == drawn.count(task_id)
    by_label = {label: sum("ab"[i % 2] == label for i in drawn) for label in "ab"}
    for key in (harness.keys.count("samples"), harness.keys.epoch(0, "samples")):
        assert {k: int(v) for k, v in harness.client.hgetall(key).items()} == by_label


def test_a_replayed_draw_is_counted_and_not_drawn(harness: Harness) -> None:
    state = harness.stream_state
    assert harness.sample(0, replay="2 0 2").ids == [2, 0, 2]
    assert harness.step([(0, 0.5)], 0, replay="1").ids == [1]
    assert harness.sample(3, replay=str(10**9)).ids == []  # evicted meanwhile
    assert harness.stream_state == state
    counts = [record["sample_count"] for record in harness.read(range(4))]
    assert counts == ["1", "1", "2", "0"]


def test_a_repeat_answers_what_was_drawn_though_it_was_evicted_since(harness: Harness) -> None:
    first = harness.sample(6)
    before = harness.client.hgetall(harness.keys.count("samples"))
    another(harness, "w1").evict(first.ids)
    again = harness.sample(6, sequence=harness.sequence)
    assert (again.repeated, again.ids, again.tasks) == (1, first.ids, first.tasks)
    assert harness.client.hgetall(harness.keys.count("samples")) == before
    harness.record([(first.ids[0], 0.5)])
    assert harness.sample(6, sequence=harness.sequence).ids == [], "that number was no draw"


def test_a_late_result_neither_recreates_a_task_nor_lands_on_another(harness: Harness) -> None:
    harness.evict([1])
    before = stored_state(harness)
    assert harness.record([(1, 1.0), (99, 1.0), (1, 0.0)]) == [0, 0, 0, 0]
    assert stored_state(harness) == before | {"late_count": 3}


def test_evict_removes_every_trace_of_a_task(harness: Harness) -> None:
    harness.record([(i, 0.5) for i in range(4)])
    assert harness.evict([1, 3, 3, 17]) == [0, 1, 1, 0, 0]
    keys, client = harness.keys, harness.client
    assert client.exists(keys.task(1), keys.task(3), keys.label("b")) == 0
    assert client.hgetall(keys.labels) == {"a": "2"}
    assert client.zrange(keys.inactive, 0, -1) == ["b"]
    assert client.zrange(keys.learning, 0, -1) == ["0", "2"]
    assert client.hget(keys.progress("b"), "eligible_count") == "0"
    assert client.hget(keys.progress("b"), "completion_count") == "2"  # what it learned stays
    events = [fields for _, fields in client.xrange(keys.events)][1:]
    assert [(e["event"], e["task_id"], e["label"]) for e in events] == [
        ("evicted", "1", "b"),
        ("evicted", "3", "b"),
    ]


def test_replace_takes_the_lowest_and_only_as_many_as_may_go(harness: Harness) -> None:
    for score in (0.5, 0.6):
        harness.record([(1, 0.5), (2, score), (3, 0.5)])
    reply = harness.replace([(10 + i, "new", {"i": i}) for i in range(4)])
    assert reply.ids == [10, 11, 12]  # task 0 is under-sampled
    assert reply.missing == 0
    assert harness.client.smembers(harness.keys.label("new")) == {"10", "11", "12"}
    assert harness.replace([(20, "new", {})]).ids == []
    assert harness.reserve(1)[1] == 7, "the next one has the first index without a task"


def test_replace_without_specs_replaces_nothing(harness: Harness) -> None:
    harness.record([(i, 0.5) for i in range(4)] * 2)
    assert harness.replace([]).ids == []
    assert harness.client.zcard(harness.keys.ripe) == 4


def test_set_label_moves_a_task_and_leaves_the_past(harness: Harness) -> None:
    harness.record([(i, 0.5) for i in range(4)])
    assert harness.set_label(1, "a") == [0, 1]
    assert harness.set_label(1, "a") == [0, 1]  # as it is
    assert harness.set_label(17, "a") == [0, 0]
    keys, client = harness.keys, harness.client
    assert client.smembers(keys.label("a")) == {"0", "1", "2"}
    assert client.hgetall(keys.labels) == {"a": "3", "b": "1"}
    assert client.hget(keys.progress("a"), "eligible_count") == "3"
    assert client.hget(keys.progress("a"), "completion_count") == "2"
    assert client.hget(keys.progress("b"), "completion_count") == "2"


def test_task_id_0_and_the_largest_are_tasks_like_others(empty: Harness) -> None:
    empty.create([(0, "a", {}), (2**53 - 1, "a", {})])
    assert empty.record([(2**53 - 1, 0.5), (0, 0.25)]) == [0, 1, 1]
    drawn = set(empty.sample(50).ids)
    assert drawn == {0, 2**53 - 1}
    assert empty.evict([2**53 - 1, 0]) == [0, 1, 1]


def test_labels_and_params_keep_every_byte(empty: Harness) -> None:
    label, params = "ü {x} 'q' \\ :*", {"t": 'quo"te\\ \n', "f": 0.1 + 0.2, "n": [None, True]}
    empty.create([(1, label, params)])
    assert empty.sample(1).tasks == [(1, label, params)]
    assert empty.client.smembers(empty.keys.label(label)) == {"1"}


# --- labels without tasks ------------------------------------------------------------------------


def test_the_longest_empty_label_is_forgotten_and_its_counts_stay_in_the_totals(
    server: Server, name: str
) -> None:
    config = text_config(HYPERS, num_active_tasks=10, labels_retained=1)
    harness = Harness(connect(server), name, config)
    harness.create([(i, f"l{i}", {}) for i in range(4)])
    harness.record([(i, 0.5) for i in range(4)])
    keys, client = harness.keys, harness.client
    for task_id in range(3):
        harness.evict([task_id])
        time.sleep(0.002)  # the order is by time
    assert client.zrange(keys.inactive, 0, -1) == ["l2"]
    assert client.exists(keys.progress("l0"), keys.progress("l1")) == 0
    assert client.exists(keys.progress("l2"), keys.progress("l3")) == 2
    for what in ("completions", "created", "evictions"):
        for key in (keys.count(what), keys.epoch(0, what)):
            kept = {"": "2", "l2": "1"} | ({} if what == "evictions" else {"l3": "1"})
            assert client.hgetall(key) == kept
    harness.create([(9, "l0", {})])  # a label that was forgotten begins anew
    assert client.hget(keys.progress("l0"), "completion_count") is None
    harness.set_label(9, "l2")
    assert client.zrange(keys.inactive, 0, -1) == ["l0"]
    assert client.hget(keys.progress("l2"), "completion_count") == "1"


def test_the_event_stream_is_capped(server: Server, name: str) -> None:
    config = text_config(HYPERS, num_active_tasks=10, events_retained=5)
    harness = Harness(connect(server), name, config)
    for i in range(400):
        harness.create([(i, "a", {})])
        harness.evict([i])
    assert harness.client.xlen(harness.keys.events) <= 105  # Redis trims whole nodes of 100


# --- reading -------------------------------------------------------------------------------------


def whole(harness: Harness, of: int | str) -> dict[str, str]:
    """A task's or label's hash, its statistics printed by name."""
    keys = harness.keys
    if isinstance(of, int):
        return harness.whole("task", keys.task(of))
    return harness.whole("label", keys.progress(of))


def test_every_script_refuses_another_generation_and_a_missing_curriculum(harness: Harness) -> None:
    calls: list[Callable[[], Any]] = [
        harness.register,
        harness.renew,
        lambda: harness.resume(1, 2),
        lambda: harness.create([(9, "a", {})]),
        lambda: harness.record([(0, 0.5)]),
        lambda: harness.sample(1),
        lambda: harness.step([(0, 0.5)], 1),
        lambda: harness.replace([(9, "a", {})]),
        lambda: harness.evict([0]),
        lambda: harness.set_label(0, "b"),
        lambda: harness.set_weights({0: 2.0}),
        lambda: harness.fail(0, "x"),
        lambda: harness.end_epoch(0),
        lambda: harness.note_epoch(0, [("a", 0.5, 0.1)]),
    ]
    harness.generation = 2
    for call in calls:
        with pytest.raises(StaleGenerationError):
            call()
    harness.wipe()
    for call in calls:
        with pytest.raises(CurriculumNotFoundError):
            call()
    assert list(harness.client.scan_iter(f"{harness.keys.prefix}*")) == []


def test_a_later_generation_has_keys_of_its_own(harness: Harness) -> None:
    before = harness.client.hgetall(harness.keys.task(0))
    harness.client.hset(harness.keys.meta, mapping={"generation": 2, "next_index": 0})
    later = another(harness, "w1")
    assert later.generation == 2
    later.create([(0, "a", {}), (1, "b", {})])
    later.record([(0, 0.5), (0, 1.0)])
    found = set(later.client.scan_iter(f"{later.keys.pool}*"))
    assert later.keys.pool == Keys(harness.keys.name, 2).pool
    assert found >= {later.keys.task(0), later.keys.sums, later.keys.ripe, later.keys.fresh}
    assert harness.client.hgetall(harness.keys.task(0)) == before


# --- the moment of a snapshot --------------------------------------------------------------------


def test_while_a_snapshot_runs_the_first_change_keeps_what_was(harness: Harness) -> None:
    harness.record([(i, 0.5) for i in range(4)])
    keys, client = harness.keys, harness.client
    was = {task_id: whole(harness, task_id) for task_id in range(4)}
    progress = whole(harness, "b")
    index = {"eligible_count": progress.pop("eligible_count")}
    harness.call("moment_begin", harness.generation, "token", 60_000, 0)
    harness.set_weights({1: 0.5})
    harness.record([(0, 1.0)])
    harness.sample(0, replay="1")
    harness.set_label(2, "c")
    harness.evict([3, 0])
    harness.create([(9, "d", {})])
    harness.record([(9, 1.0), (1, 1.0)])
    saved = client.hgetall(keys.snapshot_tasks)
    assert saved.pop("\n") == ""  # the key exists from the start
    assert saved.pop("9") == ""  # it did not exist
    for task_id, text in saved.items():
        flat = json.loads(text)
        assert dict(zip(flat[::2], flat[1::2], strict=True)) == was[int(task_id)]
    assert set(saved) == set("0123")
    labels = {k: json.loads(v) for k, v in client.hgetall(keys.snapshot_labels).items() if v}
    assert set(labels) == set("abcd")
    flat = labels["b"]["progress"]
    assert dict(zip(flat[::2], flat[1::2], strict=True)) == progress
    assert labels["b"]["index"] == index
    assert labels["b"]["count"] == {"completions": "2", "created": "2"} | {
        what: False for what in COUNTS if what not in ("completions", "created")
    }
    assert (labels["b"]["active"], labels["d"]["active"]) == ("2", False)


def test_without_a_running_snapshot_nothing_is_kept(harness: Harness) -> None:
    keys, client = harness.keys, harness.client
    client.hset(keys.meta, "snapshot", "0")  # its exporter died: the key expired
    harness.record([(0, 1.0)])
    assert client.hget(keys.meta, "snapshot") is None
    client.hset(keys.snapshot, "token", "token")
    harness.record([(0, 1.0)])
    assert client.exists(keys.snapshot_tasks, keys.snapshot_labels) == 0


# --- all of it -----------------------------------------------------------------------------------


def test_two_workers_take_turns_on_one_pool(harness: Harness) -> None:
    """Each has its own numbers; both draw from the one random stream."""
    model = ModelCurriculum(HYPERS, 4, seed=3)
    model.create([(i, "ab"[i % 2], {"size": i}) for i in range(4)])
    second = another(harness, "w1")
    for i in range(10):
        worker = (harness, second)[i % 2]
        assert worker.step([(i % 4, i / 10)], 2).outcomes == [1]
        model.record([(i % 4, i / 10)])
        model.sample(2)
    second.leave()
    assert_same(harness, model)
