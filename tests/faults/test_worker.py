"""Leases, numbers and identities: what a worker may lose, and how it comes back."""

from __future__ import annotations

import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import SCHEMA, Keys
from redis_curriculum.errors import (
    CurriculumError,
    LostWritesWarning,
    PermissionDeniedError,
    ServerUnavailableError,
    ServerWarning,
    UnsupportedServerError,
    WorkerFencedError,
    WorkerInUseError,
)
from redis_curriculum.tasks import Outcome
from tests.faults.ledger import Ledger, config_of, held_by, judge, load_scripts, settings_of
from tests.faults.proxy import every, proxy, the_nth_call
from tests.faults.tally import Row
from tests.lossy import lossy
from tests.processes import in_background
from tests.servers import RunningServer, redis_server

Rows = Callable[[str], Row]


def roll_back(server: RunningServer) -> None:
    """The server dies; what comes back is what it saved last."""
    server.kill()
    server.start()


def save(server: RunningServer) -> None:
    with server.client() as client:
        client.save()


# --- a server that has lost writes ---------------------------------------------------------------


def report(curriculum: Curriculum, ledger: Ledger) -> None:
    ledger.report(curriculum, curriculum.task_ids()[3])


@pytest.mark.parametrize("then", ["report", "renew", "close", "draw"])
@pytest.mark.parametrize("saved", ["after", "before"])
def test_what_a_server_lost_is_replayed(
    own_server: RunningServer, row: Rows, saved: str, then: str
) -> None:
    """Saved after the worker's registration, or before: then the server does not know it."""
    ledger = Ledger()
    with Curriculum.open(own_server.url, "x", config_of(), worker=settings_of()) as curriculum:
        if saved == "before":
            curriculum.close()
            save(own_server)
    with Curriculum.open(own_server.url, "x", worker=settings_of()) as curriculum:
        if saved == "after":
            ledger.play(curriculum, 5)
            save(own_server)
        ledger.play(curriculum, 20)
        roll_back(own_server)
        made: dict[str, Callable[[], object]] = {
            "report": lambda: report(curriculum, ledger),
            "draw": lambda: ledger.draw(curriculum, 2),
            "renew": curriculum.renew_lease,
            "close": curriculum.close,
        }
        made[then]()
        assert curriculum.lost_writes == 0
    if (saved, then) == ("before", "close"):
        return  # nothing on the server tells that there was such a worker; a goodbye asks no more
    with Curriculum.open(own_server.url, "x") as curriculum:
        judge(row("server back to its last save (kill -9, RDB only)"), curriculum, [ledger])


def test_rolled_back_again_and_again(own_server: RunningServer, row: Rows) -> None:
    ledgers = [Ledger() for _ in range(3)]
    handles = [
        Curriculum.open(own_server.url, "x", config_of(), worker=settings_of()) for _ in ledgers
    ]
    save(own_server)
    for trial in range(4):
        for i, (handle, ledger) in enumerate(zip(handles, ledgers, strict=True)):
            ledger.play(handle, 8, i)
            if (trial, i) == (2, 1):
                save(own_server)
        roll_back(own_server)
    for handle, ledger in zip(handles, ledgers, strict=True):
        ledger.draw(handle)
    with Curriculum.open(own_server.url, "x") as curriculum:
        row_ = row("server back to its last save (kill -9, RDB only)")
        judge(row_, curriculum, ledgers, trials=4)
    for handle in handles:
        handle.close()


@pytest.mark.parametrize("saved", ["after", "before"])
@pytest.mark.parametrize("held", [0, 4])
def test_what_the_buffer_no_longer_holds_is_reported(
    own_server: RunningServer, saved: str, held: int
) -> None:
    small = settings_of(replay_buffer=held)
    with Curriculum.open(own_server.url, "x", config_of()):
        save(own_server)
    with Curriculum.open(own_server.url, "x", worker=small) as curriculum:
        ids = curriculum.task_ids()
        if saved == "after":
            curriculum.update_task_performance(ids[0], 0.5)
            save(own_server)
        for task_id in ids[:10]:
            curriculum.update_task_performance(task_id, 0.5)
        roll_back(own_server)
        with pytest.warns(LostWritesWarning, match=f"lost {10 - held} "):
            curriculum.update_task_performance(ids[0], 0.5)
        assert curriculum.lost_writes == 10 - held
        first = int(saved == "after")
        assert held_by(curriculum).reported.total() == first + held + 1
        assert curriculum.check() == []


def test_a_worker_removed_on_the_same_server_is_not_replayed(own_server: RunningServer) -> None:
    """The server's clock jumped and somebody reaped the worker: its results stand."""
    ledger = Ledger()
    with Curriculum.open(own_server.url, "x", config_of(), worker=settings_of()) as curriculum:
        ledger.play(curriculum, 10)
        with own_server.client() as client:
            client.unlink(Keys("x").worker(curriculum.worker_id))
            client.zrem(Keys("x").workers, curriculum.worker_id)
        with pytest.raises(WorkerFencedError):
            curriculum.get_task()
        assert held_by(curriculum).reported == ledger.reported
        curriculum.register()
        ledger.play(curriculum, 3)
        assert held_by(curriculum).reported == ledger.reported


# --- outcomes that stay unknown ------------------------------------------------------------------


@pytest.mark.parametrize("then", ["again", "another"])
def test_an_unknown_outcome_stays_unknown(own_server: RunningServer, then: str) -> None:
    """Applied, its reply lost, then the server away: the next try cannot say "not applied"."""
    ledger = Ledger()
    with proxy(own_server) as between:
        once = settings_of(retry_deadline_s=0.0)
        with Curriculum.open(between.url, "x", config_of(), worker=once) as curriculum:
            ledger.play(curriculum, 3)
            load_scripts(own_server)
            first, second = curriculum.task_ids()[:2]
            between.rule = the_nth_call(0, "lose reply")
            assert unknown(lambda: curriculum.update_task_performance(first, 0.5))
            between.rule = lambda request: "lose request"
            assert unknown(lambda: curriculum.update_task_performance(first, 0.5))
            between.rule = every
            before = held_by(curriculum)
            assert before.reported[first] == ledger.reported[first] + 1
            if then == "again":
                assert curriculum.update_task_performance(first, 0.5) is Outcome.DUPLICATE
            assert curriculum.update_task_performance(second, 0.5) is Outcome.APPLIED
            assert held_by(curriculum).reported - before.reported == {second: 1}
            assert curriculum.check() == []


def test_a_refusal_does_not_settle_what_was_unknown(own_server: RunningServer) -> None:
    """Applied, its reply lost, the retry denied: its number must not go to another thread's."""
    with Curriculum.open(own_server.url, "x", config_of()) as other:
        first, second = other.task_ids()[:2]
        handle, link = lossy(own_server.url, "x")
        with handle, own_server.client() as client:
            link.lose = "record"
            assert unknown(lambda: handle.update_task_performance(first, 0.5))
            client.acl_setuser("default", enabled=True, commands=["-evalsha"])
            with pytest.raises(PermissionDeniedError) as caught:
                handle.update_task_performance(first, 0.5)
            assert caught.value.applied == "unknown"
            client.acl_setuser("default", enabled=True, commands=["+evalsha"])
            with ThreadPoolExecutor(1) as pool:
                call = pool.submit(handle.update_task_performance, second, 0.5)
                assert call.result() is Outcome.APPLIED
            assert handle.update_task_performance(first, 0.5) is Outcome.DUPLICATE
        assert held_by(other).reported == Counter([first, second])


def test_an_answer_taken_late_does_not_replace_a_new_workers_write(
    own_server: RunningServer,
) -> None:
    """A draw of the worker that was, settled by another thread, has the number of a report now."""
    with Curriculum.open(own_server.url, "x", config_of()) as other:
        task_id = other.task_ids()[0]
    handle, link = lossy(own_server.url, "x", deadline_s=0)
    with handle, ThreadPoolExecutor(1) as pool:
        link.lose = "sample"
        assert unknown(handle.get_task)
        pool.submit(handle.get_task).result()
        pool.submit(handle.register).result()
        save(own_server)
        pool.submit(handle.update_task_performance, task_id, 0.5).result()
        handle.get_task()
        roll_back(own_server)
        assert unknown(handle.get_task)
        handle.get_task()
        assert held_by(handle).reported == Counter([task_id])
        assert handle.lost_writes == 0


def unknown(call: Callable[[], object]) -> bool:
    with pytest.raises(ServerUnavailableError) as caught:
        call()
    return caught.value.applied == "unknown"


def test_a_deadline_of_zero_is_one_try(own_server: RunningServer) -> None:
    with proxy(own_server) as between:
        once = settings_of(retry_deadline_s=0.0)
        with Curriculum.open(between.url, "x", config_of(), worker=once) as curriculum:
            task = curriculum.get_task()
            between.rule = the_nth_call(0, "lose request")
            assert unknown(lambda: curriculum.update_task_performance(task.task_id, 1))
            assert len(between.fates) == 1
            assert curriculum.update_task_performance(task.task_id, 1) is Outcome.APPLIED


# --- leases --------------------------------------------------------------------------------------


def test_past_its_lease_a_worker_is_fenced_and_comes_back(
    own_server: RunningServer, row: Rows
) -> None:
    ledger = Ledger()
    short = settings_of(lease_ms=1000)
    with (
        Curriculum.open(own_server.url, "x", config_of()) as curriculum,
        Curriculum.open(own_server.url, "x", worker=short) as sleeper,
    ):
        ledger.play(sleeper, 3)
        before = sleeper.worker_id
        time.sleep(1.1)
        curriculum.renew_lease()  # anybody's renewal reaps
        with own_server.client() as client:
            assert not client.exists(Keys("x").worker(before))
        for call in (lambda: sleeper.update_task_performance(1, 1), sleeper.renew_lease):
            with pytest.raises(WorkerFencedError) as caught:
                call()
            assert caught.value.applied == "no"
        assert sleeper.register() != before
        ledger.play(sleeper, 3)
        curriculum.close()
        judge(row("worker stopped past its lease"), sleeper, [ledger])


def test_a_registration_that_is_retried_past_its_lease(own_server: RunningServer) -> None:
    short = settings_of(lease_ms=1000, timeout_s=2.0)
    with proxy(own_server) as between:
        with Curriculum.open(between.url, "x", config_of(), worker=short) as curriculum:
            pass
        with Curriculum.open(between.url, "x", worker=short) as curriculum:
            load_scripts(own_server)
            own_server.send(signal.SIGSTOP)
            between.rule = the_nth_call(0, "lose reply")
            wake = in_background(continue_after, own_server.pid, 1.5)
            curriculum.get_task()
            wake.join()
            assert held_by(curriculum).handed.total() == 1


def continue_after(pid: int, seconds: float) -> None:
    import os

    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


def test_a_lease_shorter_than_a_round_trip(own_server: RunningServer) -> None:
    """The server answers later than the lease is long: a typed error, and no endless loop."""
    short = settings_of(lease_ms=1000, timeout_s=5.0)
    with Curriculum.open(own_server.url, "x", config_of(), worker=short) as curriculum:
        task = curriculum.get_task()
        time.sleep(0.5)  # the lease is due
        own_server.send(signal.SIGSTOP)
        wake = in_background(continue_after, own_server.pid, 1.2)
        with pytest.raises(WorkerFencedError) as caught:
            curriculum.update_task_performance(task.task_id, 0.5)
        wake.join()
        assert caught.value.applied == "no"
        curriculum.register()
        assert curriculum.update_task_performance(task.task_id, 0.5) is Outcome.APPLIED
        assert held_by(curriculum).reported.total() == 1


def test_a_long_episode_keeps_its_lease(own_server: RunningServer) -> None:
    short = settings_of(lease_ms=1000, retry_deadline_s=0.1)
    with Curriculum.open(own_server.url, "x", config_of(), worker=short) as curriculum:
        task, worker_id = curriculum.get_task(), curriculum.worker_id
        with curriculum.keeping_lease():
            time.sleep(1.5)
        assert curriculum.update_task_performance(task.task_id, 0.5) is Outcome.APPLIED
        assert curriculum.worker_id == worker_id
        own_server.kill()
        with pytest.raises(ServerUnavailableError), curriculum.keeping_lease():
            time.sleep(0.5)
        with pytest.raises(ZeroDivisionError), curriculum.keeping_lease():
            raise ZeroDivisionError  # the episode's own error goes first


# --- numbers and names ---------------------------------------------------------------------------


def test_a_number_reused_or_skipped_by_hand(own_server: RunningServer) -> None:
    """Somebody writes under this worker's name: results are refused or dropped, never doubled."""
    with Curriculum.open(own_server.url, "x", config_of(), worker=settings_of()) as curriculum:
        task_id = curriculum.task_ids()[0]
        for _ in range(3):
            curriculum.update_task_performance(task_id, 0.5)
        key = Keys("x").worker(curriculum.worker_id)
        with own_server.client() as client:
            client.hincrby(key, "sequence", 1)  # as if number 4 had been used
            assert curriculum.update_task_performance(task_id, 0.5) is Outcome.DUPLICATE
            assert held_by(curriculum).reported[task_id] == 3
            client.hset(key, "sequence", 9)  # skipped
            assert curriculum.update_task_performance(task_id, 0.5) is Outcome.DUPLICATE
            assert held_by(curriculum).reported[task_id] == 3


def test_the_id_of_another_live_worker(own_server: RunningServer) -> None:
    named = settings_of(worker_id="same", retry_deadline_s=0.5)
    with Curriculum.open(own_server.url, "x", config_of(), worker=named) as first:
        first.get_task()
        with Curriculum.open(own_server.url, "x", worker=named) as second:
            with pytest.raises(
                WorkerInUseError, match=r"same.*pid.*runs for another \d+ s"
            ) as caught:
                second.get_task()
            assert caught.value.applied == "no"
        first.get_task()
        assert held_by(first).handed.total() == 2


def test_a_late_write_of_an_earlier_life_is_not_the_next_ones(own_server: RunningServer) -> None:
    """The same name, other numbers: what the dead one had on its way changes nothing."""
    named = settings_of(worker_id="named", retry_deadline_s=0.0)
    with proxy(own_server) as between:
        Curriculum.open(own_server.url, "x", config_of()).close()
        earlier = Curriculum.open(between.url, "x", worker=named)
        first, second = earlier.task_ids()[:2]
        load_scripts(own_server)
        between.rule = the_nth_call(1, "hold")  # its first write, after its registration
        with pytest.raises(ServerUnavailableError):
            earlier.update_task_performance(first, 0.5)
        with own_server.client() as client:  # as when its lease has ended
            client.zadd(Keys("x").workers, {"named": 1})
        with Curriculum.open(own_server.url, "x", worker=named) as curriculum:
            curriculum.renew_lease()
            between.release.set()
            time.sleep(0.1)
            assert between.fates == ["hold"]
            assert held_by(curriculum).reported.total() == 0
            assert curriculum.update_task_performance(second, 0.5) is Outcome.APPLIED
        earlier.close()


# --- the server's settings, looked at with each renewal -------------------------------------------


@pytest.fixture
def short_lease(own_server: RunningServer) -> Any:
    with Curriculum.open(
        own_server.url, "x", config_of(), worker=settings_of(lease_ms=1000, retry_deadline_s=0.5)
    ) as curriculum:
        yield curriculum


def test_a_policy_that_evicts_set_at_run_time(
    own_server: RunningServer, short_lease: Curriculum, row: Rows
) -> None:
    ledger = Ledger()
    ledger.play(short_lease, 3)
    with own_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "1gb")
        for call in (lambda: short_lease.update_task_performance(1, 1), short_lease.renew_lease):
            time.sleep(0.4)
            with pytest.raises(UnsupportedServerError, match=r"allkeys-lru.*noeviction") as caught:
                call()
            assert caught.value.applied == "no"
        client.config_set("maxmemory", "0")
        with pytest.warns(ServerWarning, match="allkeys-lru"):
            short_lease.renew_lease()
        client.config_set("maxmemory-policy", "noeviction")
    ledger.play(short_lease, 3)
    judge(row("a policy that evicts, set at run time"), short_lease, [ledger])


def test_a_newer_library_took_over(
    own_server: RunningServer, short_lease: Curriculum, row: Rows
) -> None:
    ledger = Ledger()
    ledger.play(short_lease, 3)
    with own_server.client() as client:
        for schema in (SCHEMA + 1, SCHEMA - 1):
            client.hset(Keys("x").meta, "schema", schema)
            calls: list[Callable[[], object]] = [
                lambda: short_lease.update_task_performance(1, 1),
                short_lease.get_task,
                short_lease.renew_lease,
                lambda: Curriculum.open(own_server.url, "x"),
                lambda: Curriculum.open(own_server.url, "x", config_of()),
            ]
            for call in calls:
                with pytest.raises(UnsupportedServerError, match=f"schema {schema}") as caught:
                    call()
                assert caught.value.applied == "no"
        client.hset(Keys("x").meta, "schema", SCHEMA)
    ledger.play(short_lease, 3)
    judge(row("a worker of an older and of a newer schema"), short_lease, [ledger], trials=2)


# --- the worker's clock --------------------------------------------------------------------------


@pytest.mark.parametrize("by_s", [-1e9, -3600.0, 3600.0, 1e9])
def test_the_clock_of_the_workers_machine_jumps(
    own_server: RunningServer, row: Rows, monkeypatch: pytest.MonkeyPatch, by_s: float
) -> None:
    """Wall clock either way; the monotonic one forward, as after a suspended machine wakes."""
    ledger = Ledger()
    wall, monotonic = time.time, time.monotonic
    with (
        Curriculum.open(own_server.url, "x", config_of(), worker=settings_of()) as curriculum,
        proxy(own_server) as between,
        Curriculum.open(between.url, "x", worker=settings_of()) as other,
    ):
        ledger.play(curriculum, 5)
        ledger.play(other, 5, 1)
        monkeypatch.setattr(time, "time", lambda: wall() + by_s)
        if by_s > 0:
            monkeypatch.setattr(time, "monotonic", lambda: monotonic() + by_s)
        ledger.play(curriculum, 5)
        between.rule = the_nth_call(1, "lose reply")
        ledger.play(other, 5, 2)
        monkeypatch.undo()
        ledger.longest_s = 0.0
        judge(row("clock jump of the worker's machine"), curriculum, [ledger])


# --- wrong type ----------------------------------------------------------------------------------


def test_a_lease_list_of_another_type(own_server: RunningServer) -> None:
    with Curriculum.open(own_server.url, "x", config_of(), worker=settings_of()) as curriculum:
        curriculum.get_task()
        with own_server.client() as client:
            client.unlink(Keys("x").workers)
            client.set(Keys("x").workers, "someone else's")
            with pytest.raises(CurriculumError, match="something else"):
                curriculum.renew_lease()
            client.unlink(Keys("x").workers)


def test_durability_that_changes_at_run_time(tmp_path: Path) -> None:
    """Who creates a curriculum is told once; a worker, when it becomes less."""
    config = ["--appendonly", "yes", "--appendfsync", "everysec"]
    settings = settings_of(lease_ms=1000)
    with redis_server(tmp_path, config=config) as server, server.client() as client:
        with Curriculum.open(server.url, "x", config_of(), worker=settings) as curriculum:
            curriculum.renew_lease()
            client.config_set("appendonly", "no")
            with pytest.warns(ServerWarning, match="append-only file.*CONFIG SET appendonly yes"):
                curriculum.renew_lease()
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                curriculum.renew_lease()
                Curriculum.open(server.url, "x").close()
        with pytest.warns(ServerWarning, match="append-only file"):
            Curriculum.open(server.url, "y", config_of()).close()


def test_a_failover_to_a_server_whose_clock_is_ahead(own_server: RunningServer, row: Rows) -> None:
    """There others have reaped the worker, which is alive: its writes are there and stay once."""
    ledger = Ledger()
    with (
        Curriculum.open(own_server.url, "x", config_of(), worker=settings_of()) as curriculum,
        Curriculum.open(own_server.url, "x", worker=settings_of()) as other,
    ):
        ledger.play(curriculum, 10)
        save(own_server)
        roll_back(own_server)  # another run, with everything
        with own_server.client() as client:  # as if its clock were ahead of this lease
            client.zadd(Keys("x").workers, {curriculum.worker_id: 1})
        other.renew_lease()
        assert len(curriculum.task_ids()) == 16  # over a new connection
        with pytest.raises(WorkerFencedError) as caught:
            curriculum.get_task()
        assert caught.value.applied == "no"
        curriculum.register()
        ledger.play(curriculum, 3)
        judge(row("worker reaped in error, at a failover"), curriculum, [ledger])


def test_a_lease_that_ended_while_the_server_was_started_again(
    own_server: RunningServer, row: Rows
) -> None:
    """The entry is there, with all its writes; nobody has reaped it yet."""
    ledger = Ledger()
    short = settings_of(lease_ms=1000)
    with Curriculum.open(own_server.url, "x", config_of(), worker=short) as curriculum:
        ledger.play(curriculum, 10)
        save(own_server)
        roll_back(own_server)
        time.sleep(1.1)
        assert len(curriculum.task_ids()) == 16  # over a new connection
        with pytest.raises(WorkerFencedError):
            curriculum.get_task()
        curriculum.register()
        ledger.play(curriculum, 3)
        judge(row("worker stopped past its lease"), curriculum, [ledger])


def test_tasks_that_others_created_first_after_a_failover(own_server: RunningServer) -> None:
    """The lost creation cannot be made again: it is counted as lost, and all else is replayed."""
    with (
        Curriculum.open(own_server.url, "x", config_of(), worker=settings_of()) as curriculum,
        Curriculum.open(own_server.url, "x", worker=settings_of()) as other,
    ):
        other.get_task()
        first, second, third = curriculum.task_ids()[:3]
        save(own_server)
        curriculum.evict(first)
        curriculum.get_task()  # and a new task instead
        assert curriculum.update_task_performance(third, 0.5) is Outcome.APPLIED
        roll_back(own_server)
        other.evict(second)
        other.get_task()
        with pytest.warns(LostWritesWarning, match="lost 1 "):
            curriculum.get_task()
        assert curriculum.lost_writes == 1
        assert not {first, second} & set(curriculum.task_ids())
        assert held_by(curriculum).reported == Counter([third])
        assert len(curriculum.task_ids()) == 16
        assert curriculum.check() == []


def test_a_lost_audit_leaves_nothing_in_doubt(own_server: RunningServer) -> None:
    once = settings_of(lease_ms=1000, retry_deadline_s=0.0)
    with (
        proxy(own_server) as between,
        Curriculum.open(between.url, "x", config_of(), worker=once) as curriculum,
    ):
        task = curriculum.get_task()
        time.sleep(0.4)  # the renewal is due
        between.rule = lambda request: "lose reply" if b"INFO" in request else "pass"
        with pytest.raises(ServerUnavailableError) as caught:
            curriculum.update_task_performance(task.task_id, 0.5)
        assert caught.value.applied == "no"
        between.rule = every
        assert curriculum.update_task_performance(task.task_id, 0.5) is Outcome.APPLIED
