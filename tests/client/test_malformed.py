"""Whatever somebody has overwritten: a call names it, or works; it never ends in a traceback.

The fields are those that the scripts name, so that a new one is tried too.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest

from redis_curriculum import Curriculum, CurriculumConfig, Outcome, WorkerSettings
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._protocol.records import FIELDS
from redis_curriculum._protocol.scripts import folder
from redis_curriculum._store.variant import READABLE
from redis_curriculum.config import (
    DebiasedProgressConfig,
    GroupProgressConfig,
    LearningProgressConfig,
    PassesConfig,
    UniformConfig,
)
from redis_curriculum.errors import (
    CurriculumError,
    EmptyPoolError,
    KeyTypeError,
    LostWritesWarning,
    MalformedStateError,
    ScriptError,
)
from redis_curriculum.tasks import Buckets, Task
from tests.servers import RunningServer

SIZE = 8
AT_ONCE = WorkerSettings(retry_deadline_s=0, worker_id="w", take_over=True)
VALUES: list[Any] = ["abc", b"\xff\xfe", None, "9" * 400]
ALIKE = {"stats", "distribution", "epoch_report", "check", "snapshot", "configure", "open"}
"""Calls that are tried with one family only."""
FAMILIES = {
    "sigmoid": LearningProgressConfig(
        replacement_rate=0.2, min_samples_for_lp=1, min_presentations_for_eviction=1
    ),
    "label_first": DebiasedProgressConfig(),
    "by_tasks": DebiasedProgressConfig(label_mass="tasks", least_count=2),
    "passes": PassesConfig(),
    "uniform": UniformConfig(),
    "by_state": GroupProgressConfig(label_factor="progress"),
}


def fields_of(key: str) -> list[str]:
    """What the scripts read or write in a hash, by the variable that its key stands in."""
    found = set[str]()
    for path in folder().rglob("*.lua"):
        calls = re.findall(rf"call\('H[A-Z]+', {key},((?:[^()]|\([^()]*\))*)\)", path.read_text())
        found.update(word for call in calls for word in re.findall(r"'([a-z_0-9]+)'", call))
    return sorted(found)


META, WORKER = fields_of("meta_key"), fields_of("worker_key")


def test_the_fields_are_all_that_there_are(server: RunningServer, name: str) -> None:
    assert set(META) >= {"epoch", "random", "hypers", "unindexed", "reserved", "reaped_count"}
    with Scene(server, name, "label_first") as scene:
        for key, fields in (
            (scene.keys.meta, META),
            (scene.keys.worker("w"), WORKER),
            (scene.keys.task(scene.task), [*FIELDS, *READABLE]),
        ):
            assert {field.decode() for field in scene.client.hkeys(key)} <= {*fields}


class Scene:
    """A curriculum that has been played, one task of it, and every call about that task."""

    def __init__(self, server: RunningServer, name: str, family: str) -> None:
        self.server, self.name, self.keys = server, name, Keys(name)
        self.client = server.client(decode_responses=False)
        self.error: MalformedStateError | None = None
        self.config = CurriculumConfig(
            task_generator=Buckets(label="{k}", buckets={"k": ["a", "b"], "s": list(range(400))}),
            num_active_tasks=SIZE,
            algorithm=FAMILIES[family],
        )
        self.curriculum: Any = None
        self.begin()

    def begin(self) -> None:
        self.end()
        for key in self.client.scan_iter(f"{self.keys.prefix}*"):
            self.client.unlink(key)
        self.curriculum = Curriculum.open(self.server.url, self.name, self.config, worker=AT_ONCE)
        for _ in range(4):
            tasks = self.curriculum.get_tasks(SIZE)
            numbers = {"trials": 4} if self.config.asks_for else {}
            self.curriculum.update_many([(task.task_id, 0.5, numbers) for task in tasks])
        self.task, self.other = self.curriculum.task_ids()[:2]
        self.curriculum.report_failure(self.task, "broken")
        self.curriculum.end_epoch()

    def end(self) -> None:
        """Close the handle, whatever the server says of it."""
        if self.curriculum is not None:
            with suppress(CurriculumError, LostWritesWarning):
                self.curriculum.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        for key in self.client.scan_iter(f"{self.keys.prefix}*"):
            self.client.unlink(key)
        self.client.close()

    def calls(self, path: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Of each script that a worker or a reader calls at least one."""
        c, task, other = self.curriculum, self.task, self.other
        yield "get_tasks", lambda: c.get_tasks(4)
        yield "next_tasks", lambda: c.next_tasks([(task, 0.5), (other, 0.25)], 4)
        yield "update_many", lambda: c.update_many([(task, 0.5), (other, 0.25)])
        yield "late", lambda: c.update_task_performance(1, 0.5)
        yield "report_failure", lambda: c.report_failure(task, "broken")
        yield "late failure", lambda: c.report_failure(1, "broken")
        yield "set_label", lambda: c.set_label(task, "b")
        yield "set_weights", lambda: c.set_weights({task: 0.5, other: 1.0})
        yield "end_epoch", c.end_epoch
        yield "renew_lease", c.renew_lease
        yield "get_task_stats", lambda: c.get_task_stats(task)
        yield "stats", c.stats
        yield "distribution", c.distribution
        yield "epoch_report", c.epoch_report
        yield "check", c.check
        yield "snapshot", lambda: c.snapshot(path, overwrite=True)
        yield "configure", lambda: c.configure(max_consecutive_failures=c.epoch % 7 + 3)
        yield "open", lambda: Curriculum.open(self.server.url, self.name, worker=AT_ONCE).close()
        yield "evict", lambda: c.evict(task)
        yield "register", c.register

    def offence(self, call: Callable[[], Any], fields: tuple[str, ...]) -> str | None:
        """What is wrong with how a call ends, if anything is."""
        self.error = None
        try:
            call()
        except MalformedStateError as error:
            self.error = error
            return None if any(name in error.field for name in fields) else str(error)
        except CurriculumError as error:
            self.curriculum._store.unfinished.clear()  # noqa: SLF001
            return repr(error) if isinstance(error, (ScriptError, KeyTypeError)) else None
        except Exception as error:  # noqa: BLE001 - a traceback
            self.curriculum._store.unfinished.clear()  # noqa: SLF001
            return repr(error)
        return None


@pytest.mark.parametrize("holder", ["meta", "worker", "task"])
@pytest.mark.parametrize("family", ["sigmoid", "label_first"])
def test_a_malformed_field_is_named(
    server: RunningServer, name: str, tmp_path: Path, family: str, holder: str
) -> None:
    offences = []
    fields = {"meta": META, "worker": WORKER, "task": FIELDS}[holder]
    with Scene(server, name, family) as scene:
        client = scene.client
        values = VALUES if family == "sigmoid" else VALUES[1:3]
        for field, value in ((field, value) for field in fields for value in values):
            if value == values[0] or not client.exists(scene.keys.task(scene.task)):
                scene.begin()
            keys = {"meta": scene.keys.meta, "worker": scene.keys.worker("w")}
            key = keys.get(holder) or scene.keys.task(scene.task)
            # What a wrong label has moved is named by where it stands.
            named = (field, "active") if field == "label" else (field,)
            for what, call in scene.calls(tmp_path / "x.rcs"):
                if what in ALIKE and family == "label_first":
                    continue
                if not client.exists(key):
                    continue
                good = client.hget(key, field)
                if value is None:
                    client.hdel(key, field)
                else:
                    client.hset(key, field, value)
                if found := scene.offence(call, named):
                    offences.append(f"{holder}.{field} = {value!r:.10}: {what}: {found:.200}")
                if client.exists(key) and good is None:
                    client.hdel(key, field)
                elif client.exists(key):
                    client.hset(key, field, good)
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize("family", ["sigmoid", "label_first"])
def test_results_count_once_where_the_draws_meet_what_is_malformed(
    server: RunningServer, name: str, family: str
) -> None:
    """The results came first: the same call, made again, only draws."""
    with Scene(server, name, family) as scene:
        task_ids = scene.curriculum.task_ids()
        for task_id in task_ids:
            scene.client.hset(scene.keys.task(task_id), "sample_count", "many")
        counts = scene.keys.count("completions")
        before = sum(map(int, scene.client.hvals(counts)))
        for _ in range(2):
            with pytest.raises(MalformedStateError, match="sample_count is 'many'") as caught:
                scene.curriculum.next_tasks([(scene.task, 0.5)], 2)
            assert caught.value.name == name
            assert caught.value.applied == "unknown"
        # Another call in between has a number of its own.
        assert scene.curriculum.report_failure(scene.other, "broken") is Outcome.APPLIED
        for task_id in task_ids:
            scene.client.hset(scene.keys.task(task_id), "sample_count", 4)
        assert len(scene.curriculum.next_tasks([(scene.task, 0.5)], 2).tasks) == 2
        assert sum(map(int, scene.client.hvals(counts))) == before + 1
        assert scene.curriculum.check() == []


def test_a_drawn_task_that_is_malformed_ends_one_call(server: RunningServer, name: str) -> None:
    """Its params are no JSON: the next call draws another."""
    with Scene(server, name, "label_first") as scene:
        scene.client.hset(scene.keys.task(scene.task), "params", "{")
        met = 0
        for _ in range(100):
            try:
                assert scene.curriculum.get_task().task_id != scene.task
            except MalformedStateError as error:
                assert error.field == f"task:{scene.task}.params"  # noqa: PT017
                met += 1
        assert 0 < met < 100


def numbers(value: float) -> Callable[[bytes], bytes]:
    """Packed statistics of the right length, each of that value."""
    return lambda good: struct.pack("<d", value) * (len(good) // 8)


WRONG_NUMBERS = [numbers(float("nan")), numbers(-1e300)]
WRONG_COUNTS = [lambda _: b"many", lambda _: b"1e400"]
AFTER_A_CALL = re.compile(rb"\}:(meta|workers|worker:.*|events|snapshot.*)$")
"""What a call that is refused may have written: lease, random stream, a snapshot's copies."""


def places(scene: Scene) -> Iterator[tuple[str, str, list[Callable[[bytes], bytes]]]]:
    """Key, field and what is written there, of all that is kept by label, and of a task."""
    keys, epoch = scene.keys, scene.curriculum.epoch
    yield keys.labels, "b", WRONG_COUNTS
    yield keys.progress("b"), "stats", WRONG_NUMBERS
    for what in ("completions", "samples", "failures", "evictions", "created"):
        yield keys.count(what), "b", WRONG_COUNTS[:1]
        yield keys.epoch(epoch, what), "b", WRONG_COUNTS[1:]
    for what, name in (
        ("success", "a"),
        ("progress", "a"),
        ("samples", "a"),
        ("times", "ended_ms"),
    ):
        yield keys.epoch(epoch - 1, what), name, WRONG_COUNTS[:1]
    yield keys.quarantine, "never", WRONG_COUNTS[:1]
    yield keys.task(scene.task), "stats", WRONG_NUMBERS


def state_of(scene: Scene) -> list[tuple[bytes, list[tuple[bytes, bytes]]]]:
    """All hashes of the curriculum but those that any call changes; a count of 0 is none."""
    keys = sorted(scene.client.scan_iter(f"{scene.keys.prefix}*", 1000, "hash"))
    keys = [key for key in keys if not AFTER_A_CALL.search(key)]
    with scene.client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hgetall(key)
        found = pipeline.execute()
    counted = ([(n, x) for n, x in sorted(fields.items()) if x != b"0"] for fields in found)
    return [(key, fields) for key, fields in zip(keys, counted, strict=True) if fields]


LEFT_OUT = {"late", "late failure", "renew_lease", "configure", "register"}


def half_done(scene: Scene, key: str, field: str, wrong: bytes, path: Path) -> Iterator[str]:
    """What is wrong with how each call meets a field that is overwritten."""
    client, named = scene.client, (field, field.rpartition(":")[2], "member")
    for what, call in scene.calls(path):
        if what in LEFT_OUT or not client.exists(scene.keys.task(scene.task)):
            continue
        good = client.hget(key, field)
        client.hset(key, field, wrong)
        before = state_of(scene)
        if found := scene.offence(call, named):
            yield f"{key}.{field}: {what}: {found:.200}"
        elif scene.error and scene.error.applied == "no" and state_of(scene) != before:
            yield f"{key}.{field}: {what} wrote half of it"
        if good is None:
            client.hdel(key, field)
        elif client.exists(key):
            client.hset(key, field, good)


@pytest.mark.parametrize("family", ["sigmoid", pytest.param("label_first", marks=pytest.mark.slow)])
def test_a_malformed_count_or_statistic_is_named_and_nothing_is_half_done(
    server: RunningServer, name: str, tmp_path: Path, family: str
) -> None:
    offences = list[str]()
    with Scene(server, name, family) as scene:
        for at, field, values in list(places(scene)):
            for make in values:
                scene.begin()
                key = scene.keys.task(scene.task) if field == "stats" and "task:" in at else at
                wrong = make(scene.client.hget(key, field) or b"")
                offences += half_done(scene, key, field, wrong, tmp_path / "x.rcs")
    assert not offences, "\n".join(offences)


def everything(scene: Scene) -> dict[bytes, Any]:
    """What each key holds, but those that any call changes."""
    keys = list(scene.client.scan_iter(f"{scene.keys.prefix}*", 1000))
    return {key: scene.client.dump(key) for key in keys if not AFTER_A_CALL.search(key)}


def writes(scene: Scene, numbers: dict[str, int]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Calls that change tasks and labels."""
    c, task, other = scene.curriculum, scene.task, scene.other
    label = "b" if c.get_task_stats(task).label == "a" else "a"
    yield "update_many", lambda: c.update_many([(t, 1.0, numbers) for t in (task, other)])
    yield "report_failure", lambda: c.report_failure(task, "broken", permanent=True)
    yield "set_label", lambda: c.set_label(task, label)
    yield "add_tasks", lambda: c.add_tasks([Task(1, "new", {}), Task(2, "a", {}), Task(3, "b", {})])
    yield "remove_tasks", lambda: c.remove_tasks(c.task_ids())
    yield "evict", lambda: c.evict(task)


@pytest.mark.parametrize("family", ["by_tasks", "by_state"])
def test_a_malformed_index_is_met_before_anything_is_written(
    server: RunningServer, name: str, family: str
) -> None:
    """It was met after a part of the results, or of the tasks, was written."""
    met, offences = set[str](), list[str]()
    with Scene(server, name, family) as scene:
        pool, numbers = scene.keys.pool, {"trials": 4} if family == "by_state" else {}
        sums = [(f"{pool}cell_sums", field) for field in scene.client.hkeys(f"{pool}cell_sums")]
        scores = [(f"{pool}masses", "a"), (f"{pool}masses", "b")]
        for key, field in sums if family == "by_state" else scores:
            for what in dict(writes(scene, numbers)):
                call = dict(writes(scene, numbers))[what]
                if family == "by_state":
                    good = scene.client.hget(key, field)
                    scene.client.hset(key, field, "many")
                else:
                    good = scene.client.zscore(key, field)
                    scene.client.zadd(key, {field: float("inf")})
                before = everything(scene)
                try:
                    call()
                except MalformedStateError:
                    met.add(what)
                    if everything(scene) != before:
                        offences.append(f"{key}.{field}: {what} wrote half of it")
                    scene.client.hset(key, field, good) if sums else scene.client.zadd(
                        key, {field: good}
                    )
                else:
                    scene.begin()
    assert not offences, "\n".join(offences)
    assert met >= {"update_many", "remove_tasks", "add_tasks", "evict", "report_failure"}


def test_something_else_in_place_of_the_events_is_met_before_anything_is_written(
    server: RunningServer, name: str
) -> None:
    with Scene(server, name, "label_first") as scene:
        scene.client.delete(scene.keys.events)
        scene.client.set(scene.keys.events, "somebody's")
        calls = [*writes(scene, {}), ("end_epoch", scene.curriculum.end_epoch)]
        for what, call in calls:
            if what in {"update_many", "set_label"}:
                continue
            before = everything(scene)
            with pytest.raises(KeyTypeError, match="events"):
                call()
            assert everything(scene) == before, what


def kept(scene: Scene) -> tuple[dict[bytes, Any], list[Any]]:
    """What each key holds; a count of 0 is none."""
    hashes = state_of(scene)
    others = {key: value for key, value in everything(scene).items() if key not in dict(hashes)}
    return {k: v for k, v in others.items() if scene.client.type(k) != b"hash"}, hashes


@pytest.mark.parametrize("family", ["by_tasks", "by_state"])
def test_something_of_another_kind_is_met_before_anything_is_written(
    server: RunningServer, name: str, family: str
) -> None:
    """It was met after a part of the task, of the label or of the results was written."""
    met, offences = dict[str, set[str]](), list[str]()
    shared = ["groups", "weights"] if family == "by_tasks" else ["weights", "young"]
    parts = ["fresh", "learning", "ripe", "inactive", "task_weights", "quarantine"]
    with Scene(server, name, family) as scene:
        numbers = {"trials": 4} if family == "by_state" else {}
        for place in ("label:a", "label:b", "members:b", *shared, *parts):
            for what in [*dict(writes(scene, numbers)), "set_weights"]:
                scene.begin()
                task, curriculum = scene.task, scene.curriculum
                calls: dict[str, Callable[[], Any]] = {
                    **dict(writes(scene, numbers)),
                    "set_weights": partial(curriculum.set_weights, {task: 2.0}),
                }
                key = f"{scene.keys.pool}{place}"
                scene.client.delete(key)
                scene.client.lpush(key, "somebody's")
                before = kept(scene)
                try:
                    calls[what]()
                except KeyTypeError:
                    met.setdefault(what, set()).add(place)
                    if kept(scene) != before:
                        offences.append(f"{place}: {what} wrote half of it")
    assert not offences, "\n".join(offences)
    cold = {"add_tasks", "remove_tasks", "evict", "report_failure", "set_label"}
    assert all({*parts} <= met[what] for what in cold)
    assert all({"label:a", "label:b"} & met[what] for what in cold)
    assert set(shared) <= met["add_tasks"]
    assert shared[0] in met["update_many"] or family == "by_state"
    assert met["set_weights"] == {"task_weights"}


def test_an_epoch_is_not_closed_whose_report_cannot_be_read(
    server: RunningServer, name: str
) -> None:
    """It was closed first, so that the next call closed another one."""
    with Scene(server, name, "label_first") as scene:
        keys, client, epoch = scene.keys, scene.client, scene.curriculum.epoch
        former = keys.epoch(epoch - 1, "success")
        for key, field in (
            (former, "a"),
            (keys.epoch(epoch, "completions"), "a"),
            (keys.progress("a"), "stats"),
            (keys.meta, "epoch_started_ms"),
        ):
            good = client.hget(key, field)
            client.hset(key, field, "many")
            with pytest.raises(MalformedStateError, match=field):
                scene.curriculum.end_epoch()
            assert client.hget(keys.meta, "epoch") == b"%d" % epoch, key
            client.hset(key, field, good) if good is not None else client.hdel(key, field)
        client.rename(former, "elsewhere")
        client.set(former, "somebody's")
        with pytest.raises(KeyTypeError):
            scene.curriculum.end_epoch()
        assert client.hget(keys.meta, "epoch") == b"%d" % epoch
        client.rename("elsewhere", former)
        assert scene.curriculum.end_epoch().epoch == epoch


@pytest.mark.timeout(60)
def test_a_batch_whose_indices_bring_no_task_ends_with_a_word(
    server: RunningServer, name: str
) -> None:
    """The number of the pass is gone, and every task is of a later one: it went on for ever."""
    with Scene(server, name, "passes") as scene:
        scene.client.delete(f"{scene.keys.pool}own_pool:pass")
        handed_out = f"{scene.keys.pool}own_tasks:handed_out"
        scene.client.zadd(handed_out, dict.fromkeys(scene.curriculum.task_ids(), 10**9))
        with pytest.raises(EmptyPoolError, match="answers in a row"):
            scene.curriculum.get_batch("k", 3)
    with Scene(server, name, "uniform") as scene:
        for part in ("fresh", "learning", "ripe"):
            scene.client.delete(f"{scene.keys.pool}{part}")
        scene.client.zadd(f"{scene.keys.pool}learning", {f"no id {i}": 0 for i in range(SIZE)})
        with pytest.raises(MalformedStateError, match="k"):
            scene.curriculum.get_batch("k", 3)


def test_draws_whose_indices_are_gone_end_with_a_word(server: RunningServer, name: str) -> None:
    """Or with a task, and a repair; they went on for ever."""
    with Scene(server, name, "label_first") as scene:
        for key in scene.client.scan_iter(scene.keys.task("*")):
            scene.client.delete(key)
        with pytest.raises(EmptyPoolError):
            scene.curriculum.get_task()
        scene.begin()
        scene.client.set(scene.keys.groups, b"")
        assert scene.curriculum.get_task()
        scene.client.zadd(f"{scene.keys.pool}young", {"a": float("inf")})
        assert scene.curriculum.check()
        assert scene.curriculum.check(repair=True) == []
        scene.curriculum.get_task()


def test_members_that_are_no_ids_are_named(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    with Scene(server, name, "sigmoid") as scene:
        for part in ("fresh", "learning", "ripe"):
            key = f"{scene.keys.pool}{part}"
            scene.client.zadd(key, {"nobody": 0.5})
            for call in ("stats", "distribution", "check", "snapshot", "records"):
                args = (tmp_path / "x.rcs",) if call == "snapshot" else ()
                with pytest.raises(MalformedStateError, match=f"{part}.member is 'nobody'"):
                    getattr(scene.curriculum, call)(*args)
            scene.client.zrem(key, "nobody")
        assert scene.curriculum.check() == []


def test_statistics_a_little_out_of_range_are_told_by_check(
    server: RunningServer, name: str
) -> None:
    """Too small a thing for the scripts to refuse, and nothing that results can make."""
    with Scene(server, name, "sigmoid") as scene:
        key = scene.keys.task(scene.task)
        good = scene.client.hget(key, "stats")
        scene.client.hset(key, "stats", good[:-8] + struct.pack("<d", 1.5))
        said = [line for line in scene.curriculum.check() if "must be" in line]
        rule = "statistics.learning_progress must be in [0, 1], got 1.5"
        assert said == [f"task {scene.task}: {rule}"]
        with pytest.raises(MalformedStateError, match=r"stats, statistics.learning_progress"):
            scene.curriculum.get_task_stats(scene.task)


def test_thousands_of_unknown_fields_are_not_read(server: RunningServer, name: str) -> None:
    with Scene(server, name, "label_first") as scene:
        keys = scene.keys
        holders = (keys.meta, keys.task(scene.task), keys.progress("a"), keys.worker("w"))
        for key in holders:
            scene.client.hset(key, mapping={f"field-{i}": "x" * 100 for i in range(5000)})
        client = scene.client
        client.config_resetstat()
        assert scene.curriculum.check() == []
        assert scene.curriculum.get_task_stats(scene.task)
        scene.curriculum.state_dict()
        sent = int(client.info("stats")["total_net_output_bytes"])
        assert sent < 100_000, "5,000 fields are 500 kB"
