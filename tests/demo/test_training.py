"""The training loop: its record adds up, its processes end with it, a killed worker is borne."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context

import numpy as np
import pytest

from redis_curriculum.demo.agent import Network, n_weights
from redis_curriculum.demo.curves import Curve, curve_of, race
from redis_curriculum.demo.lakes import LABELS, N_FEATURES
from redis_curriculum.demo.training import Moment, Training, train
from redis_curriculum.demo.worker import SharedWeights, work
from redis_curriculum.demo.worlds import WORLDS, HeldOut, World
from redis_curriculum.errors import CurriculumError
from tests.demo.standin import StandIn

LAKES = WORLDS["lakes"]


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
    return train("a", LAKES, pool, network, seconds=100.0, workers=workers, seed=3, observe=watch)


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
    network, watch = Network.fresh(0, N_FEATURES), Watch(kill_one)
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


def moment_at(seconds: float) -> Moment:
    return Moment(seconds, {}, {}, {})


def test_weights_are_found_by_the_steps_they_took() -> None:
    training = Training("x", LAKES, 1.0)
    training.checkpoints = [(n, np.full(2, n, np.float32)) for n in (0, 2000, 6000)]
    found = [training.weights_at(steps)[0] for steps in (0, 1999, 2000, 5999, 6000, 10**9)]
    assert found == [0, 0, 2000, 2000, 6000, 6000]
    training.moments = [moment_at(1.0), moment_at(2.0)]
    assert [training.seconds_at(steps) for steps in (0, 1000, 2000, 4000)] == [0.0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize("end", [interrupt, kill_all], ids=["Ctrl-C", "all killed"])
def test_nothing_is_left_however_it_ends(end: object) -> None:
    expected = KeyboardInterrupt if end is interrupt else CurriculumError
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(expected):
        short(StandIn(), Network.fresh(0, N_FEATURES), Watch(end))
    assert active_children() == []
    assert signal.getsignal(signal.SIGINT) is handler


def test_workers_that_lose_the_curriculum_say_why() -> None:
    with pytest.raises(CurriculumError, match=r"(?s)every rollout worker.*the server is gone"):
        short(StandIn(fails_after=0), Network.fresh(0, N_FEATURES), Watch())
    assert active_children() == []


def test_a_worker_reports_each_episode_once_and_ends_with_its_pipe() -> None:
    weights = SharedWeights(get_context("spawn"), n_weights(N_FEATURES))
    weights.write(Network.fresh(0, N_FEATURES).flat)
    ours, theirs = get_context("spawn").Pipe()
    tasks = StandIn(n_tasks=5)
    handler = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=drain, args=(ours,))
    thread.start()
    try:
        work(tasks, weights, theirs, "lakes", (1, 2))
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
    weights, into = (
        SharedWeights(get_context("spawn"), n_weights(N_FEATURES)),
        np.empty(n_weights(N_FEATURES), dtype=np.float32),
    )
    network = Network.fresh(4, N_FEATURES)
    weights.write(network.flat)
    weights.read(into)
    assert np.array_equal(into, network.flat)


@pytest.mark.parametrize("world", WORLDS.values(), ids=list(WORLDS))
def test_held_out_tasks_are_played_the_same_way_every_time(world: World) -> None:
    held_out = HeldOut.of(world, 4, seed=0)
    network = Network.fresh(0, world.n_features)
    rates = held_out.measure(network)
    assert rates == held_out.measure(network)
    assert set(rates) <= set(world.labels)
    assert all(4 * rate in range(5) for rate in rates.values())
    made = {world.generator().generate(i).label for i in range(400)}
    assert made == set(world.labels)


def test_a_curve_is_measured_at_steps_that_lie_evenly() -> None:
    training = Training("x", LAKES, 1.0)
    network = Network.fresh(0, N_FEATURES)
    training.checkpoints = [(n, network.flat) for n in (0, 10, 20, 700, 1000)]
    curve = curve_of(training, HeldOut.of(LAKES, 2, seed=0), points=4)
    assert curve.steps == [0, 20, 700, 1000]
    assert len(set(curve.success)) == 1


def test_a_level_is_reached_between_two_points() -> None:
    curve = Curve([0, 100, 200, 300], [0.0, 0.2, 0.6, 0.5])
    assert curve.reaches(0.4) == 150.0
    assert curve.reaches(0.0) == 0.0
    assert curve.reaches(0.61) is None


def run_of(success: list[float], seconds: float) -> tuple[Training, Curve]:
    training = Training("x", LAKES, seconds)
    steps = [1000 * i for i in range(len(success))]
    training.checkpoints = [(n, np.zeros(1, np.float32)) for n in steps]
    training.moments = [moment_at(seconds * (i + 1)) for i in range(len(success) - 1)]
    return training, Curve(steps, success)


def test_a_race_is_to_where_the_worse_of_both_got() -> None:
    (one, fast), (two, slow) = run_of([0.1, 0.5, 0.9], 2.0), run_of([0.1, 0.3, 0.5], 1.0)
    found = race((one, two), (fast, slow))
    assert found is not None
    assert (found.level, found.steps, found.seconds) == (0.5, (1000.0, 2000.0), (2.0, 2.0))
    back = race((two, one), (slow, fast))
    assert back is not None
    assert back.steps == (2000.0, 1000.0)


def test_a_race_ends_before_the_curves_are_flat() -> None:
    (one, fast), (two, slow) = run_of([0.0, 0.8, 0.99], 1.0), run_of([0.0, 0.4, 0.8, 1.0], 1.0)
    found = race((one, two), (fast, slow))
    assert found is not None
    assert (found.level, found.steps) == (0.8, (1000.0, 2000.0))


def test_who_has_not_learned_is_not_compared() -> None:
    (one, fast), (two, slow) = run_of([0.1, 0.5, 0.9], 2.0), run_of([0.1, 0.1, 0.12], 1.0)
    assert race((one, two), (fast, slow)) is None
