"""Requests and replies that are lost, late, or in the wrong order: each write counts once."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.errors import ServerUnavailableError
from redis_curriculum.tasks import Outcome
from tests.faults.ledger import Ledger, config_of, held_by, judge, load_scripts, settings_of
from tests.faults.proxy import Fate, Proxy, every, proxy, the_nth_call
from tests.faults.tally import Row
from tests.servers import RunningServer
from tests.whole import assert_whole, total

Rows = Callable[[str], Row]


@pytest.fixture
def between(own_server: RunningServer) -> Iterator[Proxy]:
    """A proxy before this test's server."""
    with proxy(own_server) as running:
        yield running


def loses(seed: int, share: float) -> Callable[[bytes], Fate]:
    """Lose a part of all exchanges, half of them after they were applied."""
    choose, lock = random.Random(seed), threading.Lock()

    def rule(request: bytes) -> Fate:
        with lock:
            if choose.random() >= share:
                return "pass"
            return "lose reply" if choose.random() < 0.5 else "lose request"

    return rule


@pytest.mark.parametrize("fate", ["lose reply", "lose request"])
@pytest.mark.parametrize(
    "call", ["report", "step", "draw", "batch", "set_label", "evict", "renew", "first"]
)
def test_one_lost_exchange(
    own_server: RunningServer, between: Proxy, row: Rows, call: str, fate: Fate
) -> None:
    ledger = Ledger()
    with Curriculum.open(between.url, "x", config_of(), worker=settings_of()) as curriculum:
        if call != "first":
            ledger.play(curriculum, 3)
        task = ledger.draw(curriculum)[0]
        other = next(i for i in curriculum.task_ids() if not held_by(curriculum).handed[i])
        if call == "first":
            curriculum.register()  # the next write
        load_scripts(own_server)  # so that the lost reply is not "send me the script"
        between.rule = the_nth_call(0, fate)
        made: dict[str, Callable[[], object]] = {
            "report": lambda: ledger.report(curriculum, task.task_id),
            "step": lambda: ledger.step(curriculum, task),
            "draw": lambda: ledger.draw(curriculum),
            "batch": lambda: ledger.draw(curriculum, 100),
            "set_label": lambda: curriculum.set_label(other, "moved"),
            "evict": lambda: curriculum.evict(other),
            "renew": curriculum.renew_lease,
            "first": lambda: ledger.report(curriculum, task.task_id),
        }
        answer = made[call]()
        assert between.fates == [fate]
        if call in ("report", "set_label", "evict"):
            repeated = fate == "lose reply"
            assert answer == (Outcome.DUPLICATE if repeated else Outcome.APPLIED)
        if call == "set_label":
            assert curriculum.labels()["moved"] == 1
        if call == "evict":
            assert len(curriculum.task_ids()) == 15
        ledger.play(curriculum, 3)
        judge(row(fate.replace("lose ", "") + " lost"), curriculum, [ledger])


@pytest.mark.parametrize("fate", ["lose reply", "lose request"])
@pytest.mark.parametrize("nth", range(3))
def test_lost_while_opening(between: Proxy, row: Rows, fate: Fate, nth: int) -> None:
    """Creating, filling and registering: nothing is made twice."""
    between.rule = the_nth_call(nth, fate)
    ledger = Ledger()
    with Curriculum.open(between.url, "x", config_of(40), worker=settings_of()) as curriculum:
        ledger.play(curriculum, 2)
        assert between.fates == [fate]
        assert len(curriculum.task_ids()) == 40
        judge(row(fate.replace("lose ", "") + " lost"), curriculum, [ledger])


def test_every_call_loses_its_first_reply(between: Proxy, row: Rows) -> None:
    ledger, seen = Ledger(), set[bytes]()

    def first_time(request: bytes) -> Fate:
        fate: Fate = "pass" if request in seen or b"EVAL" not in request else "lose reply"
        seen.add(request)
        return fate

    with Curriculum.open(between.url, "x", config_of(), worker=settings_of()) as curriculum:
        between.rule = first_time
        ledger.play(curriculum, 40)
        between.rule = every
        assert len(between.fates) >= 40
        judge(row("reply lost"), curriculum, [ledger], trials=len(between.fates))


@pytest.mark.parametrize("rounds", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_three_workers_lose_a_fifth_of_everything(between: Proxy, row: Rows, rounds: int) -> None:
    def work(seed: int) -> Ledger:
        ledger = Ledger()
        with Curriculum.open(between.url, "x", worker=settings_of()) as curriculum:
            ledger.play(curriculum, rounds, seed)
        return ledger

    with Curriculum.open(between.url, "x", config_of()) as curriculum:
        between.rule = loses(20, 0.2)
        with ThreadPoolExecutor(3) as pool:
            ledgers = list(pool.map(work, range(3)))
        between.rule = every
        assert len(between.fates) > rounds / 2
        judge(row("20 % random loss, three workers"), curriculum, ledgers)


def test_a_held_request_arrives_after_its_retry(between: Proxy, row: Rows) -> None:
    """The late one comes on the old connection, after the retry and after later writes."""
    ledger = Ledger()
    with Curriculum.open(between.url, "x", config_of(), worker=settings_of()) as curriculum:
        for late_by in (0, 1, 5):
            task = ledger.draw(curriculum)[0]
            between.release.clear()
            between.rule = the_nth_call(0, "hold")
            assert ledger.report(curriculum, task.task_id) is Outcome.APPLIED, "the retry"
            ledger.play(curriculum, late_by)
            before = held_by(curriculum)
            between.release.set()
            time.sleep(0.1)
            assert held_by(curriculum) == before
        assert between.fates == ["hold"] * 3
        judge(row("request late, after its retry"), curriculum, [ledger], trials=3)


def test_a_held_register_or_goodbye_arrives_late(between: Proxy, own_server: RunningServer) -> None:
    """They carry a token that a later life of the same worker does not share."""
    named = settings_of(worker_id="named")
    with Curriculum.open(between.url, "x", config_of(), worker=named) as curriculum:
        curriculum.get_task()
        between.rule = the_nth_call(0, "hold")
        curriculum.register()  # its goodbye is held, and not waited for
    between.rule = every
    with Curriculum.open(between.url, "x", worker=named) as curriculum:
        task = curriculum.get_task()
        between.release.set()
        time.sleep(0.1)
        assert curriculum.update_task_performance(task.task_id, 0.5) is Outcome.APPLIED
        with own_server.client() as client:
            assert client.exists(Keys("x").worker("named"))


def test_stopped_server_applies_late(own_server: RunningServer, row: Rows) -> None:
    """Time-outs pile up requests and retries before a stopped server; then it does them all."""
    ledger = Ledger()
    with Curriculum.open(own_server.url, "x", config_of(), worker=settings_of()) as curriculum:
        for _ in range(3):
            task = ledger.draw(curriculum)[0]
            own_server.send(signal.SIGSTOP)
            wake = threading.Timer(0.7, own_server.send, (signal.SIGCONT,))
            wake.start()
            ledger.report(curriculum, task.task_id)
            wake.join()
            ledger.play(curriculum, 3)
        time.sleep(0.1)
        judge(row("server stopped (SIGSTOP), late apply"), curriculum, [ledger], trials=3)


def test_timeout_inside_a_script(own_server: RunningServer, row: Rows) -> None:
    """The server is busy with somebody's script: ours waits longer than its time-out."""
    spin = "local t = redis.call('TIME') local u = t[1] * 1000000 + t[2] + ARGV[1]"
    spin += " repeat t = redis.call('TIME') until t[1] * 1000000 + t[2] > u"
    ledger = Ledger()
    with (
        Curriculum.open(own_server.url, "x", config_of(), worker=settings_of()) as curriculum,
        own_server.client() as client,
        ThreadPoolExecutor(1) as pool,
    ):
        for _ in range(3):
            task = ledger.draw(curriculum)[0]
            busy = pool.submit(client.eval, spin, 0, 600_000)
            time.sleep(0.05)
            ledger.step(curriculum, task)
            busy.result()
        judge(row("time-out inside a script"), curriculum, [ledger], trials=3)


def test_the_line_is_cut_at_any_moment(between: Proxy, row: Rows) -> None:
    ledger, done = Ledger(), threading.Event()

    def cut() -> None:
        choose = random.Random(3)
        while not done.is_set():
            time.sleep(choose.uniform(0.001, 0.02))
            between.cut()

    with Curriculum.open(between.url, "x", config_of(), worker=settings_of()) as curriculum:
        cutting = threading.Thread(target=cut)
        cutting.start()
        try:
            ledger.play(curriculum, 200)
        finally:
            done.set()
            cutting.join()
        judge(row("line cut at random moments"), curriculum, [ledger])


def test_threads_share_a_handle_under_loss(between: Proxy, row: Rows) -> None:
    ledgers = [Ledger() for _ in range(6)]
    with Curriculum.open(between.url, "x", config_of(), worker=settings_of()) as curriculum:
        between.rule = loses(4, 0.1)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda i: ledgers[i].play(curriculum, 30, i), range(6)))
        between.rule = every
        judge(row("one handle shared by six threads, 10 % loss"), curriculum, ledgers)


def test_server_down_at_open(tmp_path: Path, row: Rows) -> None:
    server = RunningServer(tmp_path)
    ledger = Ledger()
    try:
        for deadline_s in (0.0, 0.3):
            settings = settings_of(retry_deadline_s=deadline_s)
            with pytest.raises(ServerUnavailableError) as caught:
                Curriculum.open(server.url, "x", config_of(), worker=settings)
            assert caught.value.applied == "no"
        start = threading.Timer(0.5, server.start)
        start.start()
        handle = ledger.timed(
            lambda: Curriculum.open(server.url, "x", config_of(), worker=settings_of())
        )
        start.join()
        with handle as curriculum:
            ledger.play(curriculum, 10)
            judge(row("server down at open"), curriculum, [ledger], trials=3)
    finally:
        server.close()


def test_batches_of_many_chunks_under_loss(between: Proxy, row: Rows) -> None:
    """A batch that stops in the middle goes on there."""
    ledger = Ledger()
    settings = settings_of(chunk=7)
    with Curriculum.open(between.url, "x", config_of(), worker=settings) as curriculum:
        between.rule = loses(5, 0.2)
        for _ in range(2):
            tasks = ledger.draw(curriculum, 40)
            ledger.batch(curriculum, tasks, 20)
        between.rule = every
        assert len(between.fates) > 8
        judge(row("batches of many chunks, 20 % loss"), curriculum, [ledger], trials=2)


def test_a_call_given_up_and_made_again(between: Proxy, row: Rows) -> None:
    """Each try may end in an error: the same call, repeated, goes on where it stopped."""
    ledger = Ledger()
    once = settings_of(chunk=7, retry_deadline_s=0.0)
    with Curriculum.open(between.url, "x", config_of(), worker=once) as curriculum:
        for seed in range(3):
            between.rule = loses(seed, 0.3)
            tasks = ledger.again(partial(ledger.draw, curriculum, 40))
            ledger.again(partial(ledger.batch, curriculum, tasks, 25))
        between.rule = every
        assert ledger.errors > 20
        judge(row("call given up, then made again"), curriculum, [ledger], trials=ledger.errors)


@pytest.mark.parametrize("rollbacks", [0, 1])
def test_replacements_under_loss(own_server: RunningServer, between: Proxy, rollbacks: int) -> None:
    """Tasks come and go: each draw and each result still counts once, on a task or as late."""
    algorithm = {"min_samples_for_lp": 1, "min_presentations_for_eviction": 1}
    config = config_of(algorithm=algorithm | {"replacement_rate": 0.3, "exploration_share": 0.5})
    ledger = Ledger()
    with Curriculum.open(between.url, "x", config, worker=settings_of()) as curriculum:
        between.rule = loses(9, 0.2)
        ledger.play(curriculum, 40)
        for _ in range(rollbacks):
            with own_server.client() as client:
                client.save()
            ledger.play(curriculum, 30)
            own_server.kill()
            own_server.start()
        ledger.play(curriculum, 20)
        between.rule = every
        assert curriculum.lost_writes == 0
        with own_server.client() as client:
            keys = Keys("x")
            assert total(client, keys.count("evictions")) > 5
            assert total(client, keys.count("samples")) == ledger.handed.total()
            late = int(client.hget(keys.meta, "late_count"))
            applied = total(client, keys.count("completions"))
            assert applied + late == ledger.reported.total()
        assert_whole(own_server, curriculum)
        assert curriculum.check() == []
