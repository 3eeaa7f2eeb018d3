"""The training loop: its record adds up, its processes end with it, a killed worker is borne."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context

import numpy as np
import pytest

from redis_curriculum.demo.agent import N_WEIGHTS, Network
from redis_curriculum.demo.maps import LABELS, held_out_maps
from redis_curriculum.demo.training import HeldOut, Training, train
from redis_curriculum.demo.worker import Lakes, SharedWeights, work
from redis_curriculum.errors import CurriculumError
from tests.demo.standin import StandIn


@dataclass
class Watch:
    """Does something at the first moment; ends the training when it has seen enough."""

    at_first: object = None
    seen: list[int] = field(default_factory=list)

    def __call__(self, training: Training) -> None:
        self.seen.append(training.episodes())
        if len(self.seen) == 1 and callable(self.at_first):
            self.at_first()
        if len(self.seen) >= 3 and training.lost and training.updates > 1:
            training.planned_seconds = training.seconds


def short(pool: StandIn, network: Network, watch: Watch, workers: int = 2) -> Training:
    return train("a", pool, network, seconds=100.0, workers=workers, seed=3, observe=watch)


def kill_one() -> None:
    pid = active_children()[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def kill_all() -> None:
    for child in active_children():
        child.kill()


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_training_and_a_worker_that_is_killed_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redis_curriculum.demo.training.STEPS_PER_UPDATE", 100)
    network, watch = Network.fresh(0), Watch(kill_one)
    before = network.flat.copy()
    training = short(StandIn(), network, watch)
    assert active_children() == []
    assert len(training.moments) == len(watch.seen) >= 3
    assert watch.seen == sorted(watch.seen), "the other went on"
    assert len(training.lost) == 1
    assert training.lost[0].endswith("exit code -9")
    assert training.episodes() == sum(training.episodes(label) for label in LABELS) > 0
    assert training.steps > 0
    assert training.updates > 0
    assert not np.array_equal(network.flat, before)
    for moment in training.moments:
        assert sum(moment.probability.values()) == pytest.approx(1.0)
        assert all(moment.succeeded[label] <= moment.played[label] for label in LABELS)


def test_weights_are_found_by_the_steps_they_took() -> None:
    training = Training("x", 1.0)
    training.checkpoints = [(n, np.full(2, n, np.float32)) for n in (0, 2000, 6000)]
    found = [training.weights_at(steps)[0] for steps in (0, 1999, 2000, 5999, 6000, 10**9)]
    assert found == [0, 0, 2000, 2000, 6000, 6000]


@pytest.mark.parametrize("end", [interrupt, kill_all], ids=["Ctrl-C", "all killed"])
def test_nothing_is_left_however_it_ends(end: object) -> None:
    expected = KeyboardInterrupt if end is interrupt else CurriculumError
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(expected):
        short(StandIn(), Network.fresh(0), Watch(end))
    assert active_children() == []
    assert signal.getsignal(signal.SIGINT) is handler


def test_workers_that_lose_the_curriculum_say_why() -> None:
    with pytest.raises(CurriculumError, match=r"(?s)every rollout worker.*the server is gone"):
        short(StandIn(fails_after=0), Network.fresh(0), Watch())
    assert active_children() == []


def test_a_worker_reports_each_episode_once_and_ends_with_its_pipe() -> None:
    weights = SharedWeights(get_context("spawn"))
    weights.write(Network.fresh(0).flat)
    ours, theirs = get_context("spawn").Pipe()
    tasks = StandIn(n_tasks=5)
    handler = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=drain, args=(ours,))
    thread.start()
    try:
        work(tasks, weights, theirs, (1, 2))
    finally:
        signal.signal(signal.SIGINT, handler)
        thread.join()
    assert tasks.calls > 2 * 8


def drain(connection: object) -> None:
    """Take two messages of episodes, then hang up."""
    receive = connection.recv  # type: ignore[attr-defined]
    assert receive() == []
    connection.send(None)  # type: ignore[attr-defined]
    for _ in range(2):
        assert {episode.label for episode in receive()} <= set(LABELS)
    connection.close()  # type: ignore[attr-defined]


def test_weights_pass_through_shared_memory() -> None:
    weights, into = SharedWeights(get_context("spawn")), np.empty(N_WEIGHTS, dtype=np.float32)
    network = Network.fresh(4)
    weights.write(network.flat)
    weights.read(into)
    assert np.array_equal(into, network.flat)


def test_lakes_are_built_once_and_only_the_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redis_curriculum.demo.worker.MAPS_KEPT", 2)
    lakes, tasks = Lakes(), StandIn(n_tasks=5).tasks
    first = lakes.of(tasks[0])
    assert lakes.of(tasks[0]) is first
    lakes.of(tasks[1])
    assert lakes.of(tasks[0]) is first
    lakes.of(tasks[2])
    assert lakes.of(tasks[0]) is first, "1 was the one not used for longest"
    lakes.of(tasks[3])
    lakes.of(tasks[4])
    assert lakes.of(tasks[0]) is not first


def test_held_out_maps_are_played_the_same_way_every_time() -> None:
    held_out = HeldOut({label: maps[:4] for label, maps in held_out_maps(4, 0).items()}, seed=0)
    network = Network.fresh(0)
    rates = held_out.measure(network)
    assert rates == held_out.measure(network)
    assert list(rates) == list(LABELS)
    assert all(4 * rate in range(5) for rate in rates.values())
