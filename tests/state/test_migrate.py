"""A curriculum of schema 1 becomes one of this schema: whole, or not at all.

The curricula were made by version 0.1.0 (``fixtures/schema_1.py``), and so were the scripts with
which its workers write.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from redis_curriculum import AsyncCurriculum, Curriculum, WorkerSettings
from redis_curriculum._admin.cleanup import gc
from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import PARTS, SCHEMA, Keys
from redis_curriculum._protocol.plan import Words
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum._state import migrate as migrate_module
from redis_curriculum._state.format import COUNTERS, Manifest, TaskLine
from redis_curriculum._state.migrate import Migration, migrating
from redis_curriculum._state.reader import read
from redis_curriculum._store.contracts import MIGRATE, MOMENT_BEGIN, STAGE
from redis_curriculum._store.variant import variant_of
from redis_curriculum._values.rules import canonical_json
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.steps import Steps
from redis_curriculum._wire.urls import parse
from redis_curriculum.errors import (
    CurriculumError,
    CurriculumNotFoundError,
    MigrationError,
    ServerError,
    ServerRefusedError,
    ServerUnavailableError,
    SnapshotError,
    UnsupportedServerError,
)
from redis_curriculum.scorers import LearningProgressConfig, UniformConfig
from tests.fixtures.schema_1 import MORE, play
from tests.harness import connect
from tests.schema_1 import NAMES, WRITES, OldWorker, dump, fixture, plant, snapshot_of
from tests.servers import RunningServer, redis_server

PLAYED = tuple(name for name in NAMES if name != "empty")
HASTY = WorkerSettings(retry_deadline_s=0)


@pytest.fixture
def client(server: RunningServer) -> Any:
    with connect(server) as opened:
        yield opened
        for key in opened.scan_iter("*:sums", count=1000):
            opened.unlink(key)  # a key of schema 1, which nothing spells any more


def migrated(
    url: str,
    name: str,
    settings: WorkerSettings = HASTY,
    progress: Callable[[int, int], None] | None = None,
) -> Migration:
    """Migrate as the command line does."""
    address = parse(url)
    link = DirectLink(address, settings.timeout_s)
    try:
        server = Server(Keys(name), settings.retry_deadline_s)
        return drive(migrating(server, address.public, progress), link)
    finally:
        link.close()


def forget_claims(client: Any, name: str) -> None:
    """Time passes: what the dead have claimed ends."""
    for key in (Keys(name).restore, Keys(name).snapshot):
        client.unlink(key)


def old_state(client: Any, name: str) -> dict[str, Any]:
    """All that schema 1 knows of a curriculum; without what a killed exporter leaves there too."""
    generation = fixture_generation(client, name)
    passing = ("restore", "snapshot", f"g{generation + 1}:")
    found = {k: v for k, v in dump(client, name).items() if not k.startswith(passing)}
    kind, meta, stays = found["meta"]
    return found | {"meta": (kind, {k: v for k, v in meta.items() if k != "snapshot"}, stays)}


def fixture_generation(client: Any, name: str) -> int:
    return int(client.hget(Keys(name).meta, "generation"))


def new_state(client: Any, name: str) -> dict[str, Any]:
    """All that this schema knows of a curriculum, but for what differs from run to run."""
    generation = fixture_generation(client, name)
    found = dump(client, name)
    assert not [k for k in found if k.startswith("g") and not k.startswith(f"g{generation}:")]
    renamed = {k.replace(f"g{generation}:", "g:"): v for k, v in found.items()}
    meta = {"forced": "[]"} | renamed.pop("meta")[1]
    for passing in ("generation", "restored"):
        meta.pop(passing)
    meta.setdefault("oldest_epoch", "0")
    for passing in ("events", "workers", "worker:killed"):
        renamed.pop(passing, None)
    return renamed | {"meta": meta}


# --- what comes out ------------------------------------------------------------------------------


@pytest.mark.parametrize("which", PLAYED)
def test_it_is_what_a_restore_of_its_snapshot_is(
    server: RunningServer, client: Any, name: str, tmp_path: Path, which: str
) -> None:
    plant(client, which, name)
    done = migrated(server.url, name)
    assert (done.from_schema, done.to_schema) == (1, SCHEMA)
    Curriculum.restore(snapshot_of(which, tmp_path), server.url, f"{name}.b").close()
    ours, theirs = new_state(client, name), new_state(client, f"{name}.b")
    counters = {field: ours["meta"].pop(field) for field in COUNTERS if field in ours["meta"]}
    assert counters == {f: theirs["meta"].pop(f) for f in COUNTERS if f in theirs["meta"]}
    ours["meta"].pop("reaped_count", None)
    assert ours == theirs
    assert all(stays for _, _, stays in dump(client, name).values())


@pytest.mark.parametrize("which", PLAYED)
def test_it_goes_on_as_the_old_library_did(
    server: RunningServer, client: Any, name: str, tmp_path: Path, which: str
) -> None:
    plant(client, which, name)
    with Curriculum.open(server.url, name) as curriculum:
        assert curriculum.check() == []
        drawn = play(curriculum, MORE, seed=11)
        assert curriculum.check() == []
        if which == "uniform":  # a family of its own now, which asks the stream less often
            assert isinstance(curriculum.config.algorithm, UniformConfig)
            assert {*curriculum.distribution().values()} == {1 / 20}
            return
        assert drawn == fixture(which)["drawn"]
        ours = [*read(curriculum.snapshot(tmp_path / "a.rcs").path)]
    theirs = [*read(snapshot_of(which, tmp_path, "after"))]
    manifests = [lines.pop(0) for lines in (ours, theirs)]
    for lines in (ours, theirs):
        lines.pop()  # the closing one has the hash of the others
    assert list(map(timeless, ours)) == list(map(timeless, theirs))
    one, other = (manifest.model_dump() for manifest in manifests)
    assert older(one["config"], other["config"]) == other["config"]
    for field in ("epoch", "next_index", "random", "counters", "forced", "seed"):
        assert one[field] == other[field], field


def older(config: Any, like: Any) -> Any:
    """A config without the fields that the older library did not know."""
    if not isinstance(like, dict):
        return config
    return {key: older(config[key], value) for key, value in like.items()}


def test_on_every_server_there_is(every_server: RunningServer, name: str) -> None:
    with connect(every_server) as client:
        plant(client, "labels", name)
    with Curriculum.open(every_server.url, name) as curriculum:
        assert curriculum.check() == []
        assert play(curriculum, MORE, seed=11) == fixture("labels")["drawn"]


def timeless(line: Any) -> Any:
    """When a task was created, and a label lost its last one, depends on when this test runs."""
    if isinstance(line, Manifest):
        return line
    fields = line.model_dump()
    if isinstance(line, TaskLine):
        fields.pop("created_ms")
    elif fields.get("inactive_ms"):
        fields["inactive_ms"] = 1
    elif fields.get("what") == "times":
        fields["counts"] = sorted(fields["counts"])
    return fields


def test_what_stands_outside_of_a_generation_stays(
    server: RunningServer, client: Any, name: str
) -> None:
    plant(client, "labels", name)
    before = dump(client, name)
    with Curriculum.open(server.url, name) as curriculum:
        assert curriculum.epoch == 4
        report = curriculum.epoch_report(3)
        assert report is not None
        assert report.success_rate
        assert len(curriculum.quarantine()) == 1
    after = dump(client, name)
    outside = {key for key in before if key.startswith("epoch:")}
    assert outside
    assert {key: after[key] for key in outside} == {key: before[key] for key in outside}
    *events, (_, last) = after["events"][1]
    assert events == before["events"][1]
    assert last == {"event": "migrated", "generation": "3", "from_schema": "1"}
    kept = before["meta"][1].keys() - {"schema", "generation", "config", "config_sha256"}
    changed = {k for k in kept if after["meta"][1].get(k) != before["meta"][1][k]}
    assert changed == {"random", "restored"}
    state = map(int, before["meta"][1]["random"].split(" "))
    assert RandomStream.from_text(after["meta"][1]["random"]).state == tuple(state)


def test_an_empty_pool_is_filled_as_it_is_at_any_open(
    server: RunningServer, client: Any, name: str
) -> None:
    plant(client, "empty", name)
    assert migrated(server.url, name).tasks == 0
    with Curriculum.open(server.url, name) as curriculum:
        assert len(curriculum.task_ids()) == 3
        assert curriculum.check() == []


def test_the_given_config_is_compared_with_the_migrated_one(
    server: RunningServer, client: Any, name: str
) -> None:
    plant(client, "uniform", name)
    with Curriculum.open(server.url, name) as curriculum:
        config = curriculum.config
    assert config.algorithm == UniformConfig(task_tracker_ema_alpha=0.3, failure_score=0.25)
    plant(client, "uniform", f"{name}.b")
    with Curriculum.open(server.url, f"{name}.b", config) as curriculum:
        assert curriculum.config == config


def test_open_says_so_in_the_log(
    server: RunningServer, client: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    plant(client, "usual", name)
    with caplog.at_level(logging.INFO, "redis_curriculum"):
        Curriculum.open(server.url, name).close()
        Curriculum.open(server.url, name).close()
    line, *attached = caplog.messages
    assert [text.partition(":")[0] for text in attached] == [f"attached to {name!r}"] * 2
    assert line == f"curriculum {name!r}: schema 1 to {SCHEMA}, 20 tasks"


def test_the_handle_for_asyncio_migrates_too(server: RunningServer, client: Any, name: str) -> None:
    plant(client, "tasks", name)

    async def draws() -> list[int]:
        async with AsyncCurriculum.open(server.url, name) as curriculum:
            assert await curriculum.check() == []
            return [(await curriculum.get_task()).task_id for _ in range(3)]

    assert len(asyncio.run(draws())) == 3


def test_progress_goes_from_reading_to_writing(
    server: RunningServer, client: Any, name: str
) -> None:
    plant(client, "labels", name)
    seen: list[tuple[int, int]] = []
    migrated(server.url, name, progress=lambda *done: seen.append(done))
    assert seen == [(40, 80), (80, 80)]


def test_once_is_enough(server: RunningServer, client: Any, name: str) -> None:
    plant(client, "usual", name)
    assert migrated(server.url, name).from_schema == 1
    before = dump(client, name)
    assert migrated(server.url, name) == Migration(name, SCHEMA, SCHEMA, 0)
    assert dump(client, name) == before


# --- what is refused -----------------------------------------------------------------------------


def test_names_that_are_not_there_and_newer_schemas(
    server: RunningServer, client: Any, name: str
) -> None:
    with pytest.raises(CurriculumNotFoundError):
        migrated(server.url, name)
    plant(client, "usual", name)
    client.hset(Keys(name).meta, "schema", SCHEMA + 1)
    before = dump(client, name)
    opening: list[Callable[[], object]] = [
        lambda: migrated(server.url, name),
        lambda: Curriculum.open(server.url, name),
    ]
    for call in opening:
        with pytest.raises(UnsupportedServerError, match=f"schema {SCHEMA + 1}.*wrote it") as found:
            call()
        assert not isinstance(found.value, MigrationError)
    assert dump(client, name) == before


def test_a_snapshot_is_not_restored_over_it(
    server: RunningServer, client: Any, name: str, tmp_path: Path
) -> None:
    plant(client, "usual", name)
    before = dump(client, name)
    with pytest.raises(SnapshotError, match=f"redis-curriculum migrate {name}"):
        Curriculum.restore(snapshot_of("usual", tmp_path), server.url, name, replace=True)
    assert dump(client, name) == before


BROKEN: dict[str, tuple[Callable[[Any, Keys, str], object], str]] = {
    "a record gone": (
        lambda client, keys, task: client.unlink(keys.task(task)),
        r"the pool had 20 tasks, 19 were found",
    ),
    "no label": (
        lambda client, keys, task: client.hdel(keys.task(task), "label"),
        r"task:\d+\.label is None",
    ),
    "an average above 1": (
        lambda client, keys, task: client.hset(keys.task(task), "p_true", "1.5"),
        r"statistics.p_true must be in \[0, 1\]",
    ),
    "no number": (
        lambda client, keys, task: client.hset(keys.task(task), "p_slow", "much"),
        r"task:\d+\.p_slow is 'much'",
    ),
    "a config of nobody": (
        lambda client, keys, task: client.hset(keys.meta, "config", '{"seed":"x"}'),
        "task_generator must be given",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_state_that_cannot_be_read_stays_as_it_is(
    server: RunningServer, client: Any, name: str, broken: str
) -> None:
    damage, told = BROKEN[broken]
    plant(client, "usual", name)
    keys = Keys(name)
    damage(client, keys, client.zrange(keys.ripe, 0, 0)[0])
    before = dump(client, name)
    with pytest.raises(MigrationError, match=f"was not migrated and is as it was: .*{told}"):
        migrated(server.url, name)
    assert dump(client, name) == before


# --- workers of the older version ----------------------------------------------------------------


@contextmanager
def on_request(
    number: int = 0, then: Callable[[], object] = lambda: None, *, sent: bool = False
) -> Iterator[list[str]]:
    """Do something with the request of that number, before or after it is sent.

    Yields what the requests were, as they come: a script's SHA-1, or a command.
    """
    send, seen = DirectLink.send, list[str]()

    def noting(link: DirectLink, words: Words, key: str) -> Steps[Any]:
        seen.append(str(words[1] if words[0] == "EVALSHA" else words[0]))
        at = len(seen)
        if at == number and not sent:
            then()
        reply = yield from send(link, words, key)
        if at == number and sent:
            then()
        return reply

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DirectLink, "at_once", False)
        patch.setattr(DirectLink, "send", noting)
        yield seen


def requests_of(client: Any, url: str, which: str, name: str) -> tuple[int, int, int]:
    """By number, from 1: the request that marks the moment, the one that flips, the last one."""
    plant(client, which, name)
    migrated(url, name)  # from now on the server knows the scripts
    wipe(client, name)
    plant(client, which, name)
    with on_request() as seen:
        migrated(url, name)
    wipe(client, name)
    families = (LearningProgressConfig(), UniformConfig())
    begins = {MOMENT_BEGIN.script(variant_of(family)).sha for family in families}
    begin = next(i for i, sha in enumerate(seen, start=1) if sha in begins)
    return begin, seen.index(MIGRATE.sha) + 1, len(seen)


def wipe(client: Any, name: str) -> None:
    for key in client.scan_iter(f"{Keys(name).prefix}*", count=1000):
        client.unlink(key)


def test_live_workers_are_named_and_nothing_is_written(
    server: RunningServer, client: Any, name: str
) -> None:
    plant(client, "labels", name)
    worker = OldWorker(client, name)
    worker.register(lease_ms=90_000)
    before = dump(client, name)
    calls: list[Callable[[], object]] = [
        lambda: migrated(server.url, name),
        lambda: Curriculum.open(server.url, name),  # it waits for nobody
    ]
    for call in calls:
        started = time.monotonic()
        with pytest.raises(MigrationError) as found:
            call()
        assert time.monotonic() - started < 25  # and not for its deadline of 30 s
        assert found.value.workers == ["old"]
        text = str(found.value)
        assert "old (host elsewhere, process 4321, its lease ends in" in text
        assert text.endswith(f"run: redis-curriculum migrate {name}")
        assert dump(client, name) == before
    worker.leave()
    assert migrated(server.url, name).tasks == 40


def test_a_lease_that_ends_in_time_is_waited_for(
    server: RunningServer, client: Any, name: str
) -> None:
    plant(client, "labels", name)
    OldWorker(client, name).register(lease_ms=700)
    assert migrated(server.url, name, WorkerSettings(retry_deadline_s=20)).tasks == 40


@pytest.mark.parametrize("script", WRITES)
@pytest.mark.parametrize("half", [1, 2])
def test_a_write_of_the_older_version_meanwhile(
    server: RunningServer, client: Any, name: str, script: str, half: int
) -> None:
    """After the state was read, and while it is written: nothing happens but that write."""
    plant(client, "labels", name)
    worker, calls, then = OldWorker(client, name), 0, {}

    def meddle(_done: int, _total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == half:
            worker.register()
            worker.write(script)
            worker.leave()
            then.update(old_state(client, name))

    before = old_state(client, name)
    with pytest.raises(MigrationError, match="wrote meanwhile"):
        migrated(server.url, name, progress=meddle)
    assert then != before
    assert old_state(client, name) == then
    assert nothing_is_left_of_it(client, name)
    worker.register()
    worker.write(script)  # the older version goes on
    worker.leave()
    assert migrated(server.url, name).tasks
    with Curriculum.open(server.url, name) as curriculum:
        assert curriculum.check() == []


def nothing_is_left_of_it(client: Any, name: str, *, but_the_marker: bool = False) -> bool:
    """No claim, no copy, no staged key; the marker of the dead the next write takes away."""
    generation = fixture_generation(client, name)
    time.sleep(0.01)  # what was staged expires in a millisecond
    found = dump(client, name)
    assert but_the_marker or "snapshot" not in found["meta"][1]
    passing = ("restore", "snapshot", f"g{generation + 1}:")
    return not [key for key in found if key.startswith(passing)]


def test_a_write_with_any_request_is_part_of_it_or_stops_it_or_is_too_late(
    server: RunningServer, client: Any, name: str
) -> None:
    moment, flip, last = requests_of(client, server.url, "usual", name)
    assert moment < flip < last
    for number in range(1, last + 1):
        plant(client, "usual", name)
        worker = OldWorker(client, name)
        task = worker.task

        def write(worker: OldWorker = worker) -> None:
            worker.register()
            worker.write("record")
            worker.leave()

        with on_request(number, write):
            if number <= moment:
                migrated(server.url, name)
            elif number <= flip:
                with pytest.raises(MigrationError, match="wrote meanwhile"):
                    migrated(server.url, name)
                assert client.hget(Keys(name).meta, "schema") == "1"
                assert nothing_is_left_of_it(client, name)
            else:
                with pytest.raises(redis.ResponseError, match="RCSTALE 2"):
                    migrated(server.url, name)
        with Curriculum.open(server.url, name) as curriculum:
            assert curriculum.check() == []
            record = curriculum.get_task_stats(int(task))
        before = fixture("usual")["keys"][f"g1:task:{task}"][1]["completion_count"]
        assert record is not None
        assert record.completion_count == int(before) + (number <= flip)
        wipe(client, name)


def test_a_worker_that_comes_meanwhile(server: RunningServer, client: Any, name: str) -> None:
    plant(client, "labels", name)
    worker = OldWorker(client, name)

    def come(done: int, total: int) -> None:
        if done == total:
            worker.register()

    with pytest.raises(MigrationError, match="registered meanwhile"):
        migrated(server.url, name, progress=come)
    assert nothing_is_left_of_it(client, name)
    worker.write("step")
    worker.leave()
    assert migrated(server.url, name).tasks == 40


def test_an_epoch_that_is_closed_meanwhile(server: RunningServer, client: Any, name: str) -> None:
    """Epochs stand outside of a generation: whatever happens to them is kept."""
    plant(client, "labels", name)
    worker = OldWorker(client, name)

    def close(done: int, total: int) -> None:
        if done < total:
            worker.register()
            worker.write("end_epoch")
            worker.write("note_epoch")
            worker.leave()

    migrated(server.url, name, progress=close)
    with Curriculum.open(server.url, name) as curriculum:
        assert curriculum.epoch == 5
        report = curriculum.epoch_report(4)
        assert report is not None
        assert report.learning_progress == {"kept": 0.25}
        assert report.totals["completions"] > 0
        assert curriculum.check() == []


def test_the_older_version_is_refused_from_then_on(
    server: RunningServer, client: Any, name: str
) -> None:
    plant(client, "labels", name)
    worker = OldWorker(client, name)
    worker.register(lease_ms=300)
    migrated(server.url, name, WorkerSettings(retry_deadline_s=20))
    before = dump(client, name)
    for script in WRITES:
        with pytest.raises(redis.ResponseError, match=r"^RCSTALE 3"):
            worker.call(script, "old", 1, 0, 1)
    for script in ("register", "renew", "moment_begin"):
        with pytest.raises(redis.ResponseError, match=r"^RCSTALE 3"):
            worker.call(script, "old", "token", "", 0, 60_000, "elsewhere", 4321)
    created, schema, *_ = worker.call("open", 1, "", "", "")
    assert (created, schema) == (0, SCHEMA)  # its library says: schema 2, this library knows 1
    assert dump(client, name) == before


# --- killed, or refused --------------------------------------------------------------------------


def in_a_child(number: int, *, sent: bool, url: str, name: str) -> int:
    """Migrate in a child that is killed with a request, before or after it is sent."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        with on_request(number, lambda: os.kill(os.getpid(), signal.SIGKILL), sent=sent):
            migrated(url, name)
    except BaseException:  # noqa: BLE001 - a child of a test must not go on with the tests
        os._exit(1)
    os._exit(0)


def test_killed_at_thirty_points_it_is_the_old_or_the_new(
    server: RunningServer, client: Any, name: str
) -> None:
    _, flip, last = requests_of(client, server.url, "labels", name)
    plant(client, "labels", name)
    old = old_state(client, name)
    migrated(server.url, name)
    remove_leftovers(server.url, name)
    new = new_state(client, name)
    points = [(number, sent) for number in range(1, last + 1) for sent in (False, True)]
    certain = [(1, False), (flip, False), (flip, True), (last, True)]
    others = random.Random(1).sample([p for p in points if p not in certain], 26)
    for number, sent in [*certain, *others]:
        wipe(client, name)
        plant(client, "labels", name)
        status = in_a_child(number, sent=sent, url=server.url, name=name)
        assert status == -signal.SIGKILL
        if (number, sent) < (flip, True):
            assert old_state(client, name) == old, (number, sent)
            forget_claims(client, name)
            migrated(server.url, name)
        remove_leftovers(server.url, name)
        assert new_state(client, name) == new, (number, sent)
    with Curriculum.open(server.url, name) as curriculum:
        assert curriculum.check() == []


def remove_leftovers(url: str, name: str) -> None:
    """As ``redis-curriculum gc`` does."""
    link = DirectLink(parse(url), HASTY.timeout_s)
    try:
        drive(gc(Server(Keys(name), 0)), link)
    finally:
        link.close()


def raising(error: CurriculumError) -> Callable[[], object]:
    def then() -> None:
        raise error

    return then


FAILURES: dict[str, tuple[Callable[[], CurriculumError], bool]] = {
    "refused": (lambda: ServerRefusedError("OOM", code="OOM"), False),
    "not sent": (lambda: ServerUnavailableError("away"), False),
    "its answer lost": (lambda: ServerUnavailableError("away", applied="unknown"), True),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_any_request_may_fail(server: RunningServer, client: Any, name: str, failure: str) -> None:
    """Without retries. With them, one failure is none."""
    make, sent = FAILURES[failure]
    _, flip, last = requests_of(client, server.url, "labels", name)
    plant(client, "labels", name)
    old = old_state(client, name)
    migrated(server.url, name)
    remove_leftovers(server.url, name)
    new = new_state(client, name)
    for number in range(1, last + 1):
        wipe(client, name)
        plant(client, "labels", name)
        with on_request(number, raising(make()), sent=sent):
            if number <= flip:
                with pytest.raises(ServerError) as found:
                    migrated(server.url, name)
                assert isinstance(found.value, type(make()))
            else:  # what is left of the older generation is for gc
                assert migrated(server.url, name).tasks == 40
        if number < flip + (not sent):
            assert old_state(client, name) == old, number
            assert not client.exists(Keys(name).restore, Keys(name).snapshot), "no claim is left"
            migrated(server.url, name)
        remove_leftovers(server.url, name)
        assert new_state(client, name) == new, number
    patient = WorkerSettings(retry_deadline_s=20)
    if failure == "refused":
        return
    for number in (3, flip - 1, flip, last):
        wipe(client, name)
        plant(client, "labels", name)
        with on_request(number, raising(make()), sent=sent):
            assert migrated(server.url, name, patient).tasks == 40
        remove_leftovers(server.url, name)
        assert new_state(client, name) == new, number


def test_a_server_without_room(name: str, tmp_path: Path) -> None:
    """Two generations stand side by side for a moment: if there is no room, nothing happens."""
    with redis_server(tmp_path / "redis") as server, connect(server) as client:
        plant(client, "labels", name)
        old = old_state(client, name)
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 20_000)
        with pytest.raises(ServerRefusedError, match="maxmemory") as found:
            migrated(server.url, name)
        assert found.value.code == "OOM"
        client.config_set("maxmemory", 0)
        assert old_state(client, name) == old
        assert nothing_is_left_of_it(client, name)
        assert migrated(server.url, name).tasks == 40


def test_what_a_killed_migration_has_staged_goes(
    server: RunningServer, client: Any, name: str
) -> None:
    """By itself; or by gc, if it was killed in the last moment before the flip."""
    _, flip, _ = requests_of(client, server.url, "labels", name)
    for number, expires in ((flip // 2, True), (flip, False)):
        plant(client, "labels", name)
        before = dump(client, name)
        in_a_child(number, sent=False, url=server.url, name=name)
        staged = {k: v for k, v in dump(client, name).items() if k.startswith("g3:")}
        assert staged
        assert {stays for _, _, stays in staged.values()} == {not expires}
        forget_claims(client, name)
        remove_leftovers(server.url, name)
        assert old_state(client, name).keys() == before.keys() - {"workers", "worker:killed"}
        assert nothing_is_left_of_it(client, name, but_the_marker=True)
        wipe(client, name)


@pytest.mark.parametrize("at", ["a call that stages", "the flip"])
def test_what_a_failover_has_lost_is_not_made_current(
    server: RunningServer, client: Any, name: str, at: str
) -> None:
    """A call was acknowledged, but had not been copied: the new primary lacks it."""
    _, flip, _ = requests_of(client, server.url, "labels", name)
    plant(client, "labels", name)
    old = old_state(client, name)

    def lose() -> None:
        client.hincrby(Keys(name).restore, "step", -1)

    with (
        on_request(flip if at == "the flip" else flip // 2, lose),
        pytest.raises(MigrationError, match="failover lost some"),
    ):
        migrated(server.url, name)
    assert old_state(client, name) == old
    assert migrated(server.url, name).tasks == 40


def test_a_call_that_arrives_late_changes_nothing(
    server: RunningServer, client: Any, name: str
) -> None:
    """The first copy of a call that was sent again: after the last one it would undo PERSIST."""
    _, flip, _ = requests_of(client, server.url, "labels", name)
    plant(client, "labels", name)
    staging: list[Words] = []
    send = DirectLink.send

    def keeping(link: DirectLink, words: Words, key: str) -> Steps[Any]:
        if STAGE.sha in words:
            staging.append(words)
        return (yield from send(link, words, key))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DirectLink, "at_once", False)
        patch.setattr(DirectLink, "send", keeping)
        with on_request(flip, lambda: client.execute_command(*staging[0])):
            migrated(server.url, name)
    assert len(staging) > 3
    assert all(stays for _, _, stays in dump(client, name).values())


# --- several at once -----------------------------------------------------------------------------


def test_all_workers_of_the_new_version_start_at_once(
    server: RunningServer, client: Any, name: str
) -> None:
    for _ in range(3):
        plant(client, "labels", name)
        barrier, results = threading.Barrier(6), list[object]()

        def start(barrier: threading.Barrier = barrier, results: list[object] = results) -> None:
            barrier.wait()
            try:
                with Curriculum.open(server.url, name) as curriculum:
                    results.append(curriculum.get_task().task_id)
            except CurriculumError as error:
                results.append(error)

        threads = [threading.Thread(target=start) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(isinstance(result, int) for result in results), results
        events = [fields["event"] for _, fields in client.xrange(Keys(name).events)]
        assert events.count("migrated") == 1
        assert fixture_generation(client, name) == 3
        with Curriculum.open(server.url, name) as curriculum:
            assert curriculum.check() == []
        wipe(client, name)


def test_a_live_worker_of_the_new_version_is_no_reason_to_refuse(
    server: RunningServer, client: Any, name: str
) -> None:
    """Another process migrates, and its worker comes, between two looks of this one."""
    plant(client, "labels", name)
    with ExitStack() as stack:

        def overtake() -> None:
            other = stack.enter_context(Curriculum.open(server.url, name))
            other.get_task()

        with on_request(3, overtake) as seen:  # INFO, HMGET; then it looks for workers
            assert migrated(server.url, name) == Migration(name, SCHEMA, SCHEMA, 0)
        assert seen[:3] == ["INFO", "HMGET", "ZSCAN"]


def test_an_exporter_of_the_older_version_is_waited_for(
    server: RunningServer, client: Any, name: str
) -> None:
    plant(client, "labels", name)
    worker = OldWorker(client, name)
    worker.call("moment_begin", "exporter", 60_000)
    before = dump(client, name)
    with pytest.raises(MigrationError, match="another snapshot or check is at work"):
        migrated(server.url, name)
    assert dump(client, name).keys() == before.keys()
    worker.call("moment_begin", "exporter", 300)
    assert migrated(server.url, name, WorkerSettings(retry_deadline_s=20)).tasks == 40


def test_a_long_migration_keeps_its_claims(
    server: RunningServer, client: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, flip, _ = requests_of(client, server.url, "labels", name)
    monkeypatch.setattr(migrate_module, "_RENEW_S", 0.0)
    plant(client, "labels", name)
    claims, left = (Keys(name).restore, Keys(name).snapshot), list[int]()

    def age(done: int, total: int) -> None:
        if done == total:
            for key in claims:
                client.pexpire(key, 5_000)

    def look() -> None:
        left.extend(client.pttl(key) for key in claims)

    with on_request(flip, look):  # it flips a little later, as it renews
        migrated(server.url, name, progress=age)
    assert min(left) > 20_000


# --- large pools ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [300, 1200])
def test_each_request_is_bounded_whatever_the_pool(
    server: RunningServer, client: Any, name: str, size: int
) -> None:
    plant(client, "labels", name)
    multiply(client, name, size)
    most, send = [0, 0], DirectLink.send

    def measuring(link: DirectLink, words: Words, key: str) -> Steps[Any]:
        reply = yield from send(link, words, key)
        most[:] = max(most[0], len(words)), max(most[1], length(reply))
        return reply

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DirectLink, "at_once", False)
        patch.setattr(DirectLink, "send", measuring)
        assert migrated(server.url, name).tasks == size
    assert most[0] <= 100 * 30
    assert most[1] <= 100 * 50
    with Curriculum.open(server.url, name) as curriculum:
        assert curriculum.check() == []
        assert len(curriculum.task_ids()) == size


def length(reply: Any) -> int:
    return sum(map(length, reply)) if isinstance(reply, list) else 1


def multiply(client: Any, name: str, size: int) -> None:
    """Copies of the pool's tasks under other ids, until there are so many."""
    keys = Keys(name, fixture_generation(client, name))
    config = json.loads(client.hget(keys.meta, "config")) | {"num_active_tasks": size}
    client.hset(keys.meta, "config", canonical_json(config))
    pipe = client.pipeline(transaction=False)
    tasks = [
        (part, task, score, client.hgetall(keys.task(task)))
        for part in PARTS
        for task, score in client.zrange(keys.pool + part, 0, -1, withscores=True)
    ]
    for copy in range(size - len(tasks)):
        part, _, score, fields = tasks[copy % len(tasks)]
        label, task_id = fields["label"], str(copy)
        pipe.hset(keys.task(task_id), mapping=fields | {"task_id": task_id})
        pipe.zadd(keys.pool + part, {task_id: score})
        pipe.sadd(keys.label(label), task_id)
        pipe.hincrby(keys.labels, label, 1)
        pipe.hincrby(keys.count("created"), label, 1)
    pipe.execute()
