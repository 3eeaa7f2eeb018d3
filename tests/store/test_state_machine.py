"""Random operations against the plain-Python model, with every index compared after each."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from redis_curriculum.config import (
    DebiasedProgressConfig,
    LearningProgressConfig,
    Resume,
    resume_rule,
)
from redis_curriculum.errors import (
    CurriculumNotFoundError,
    EpochError,
    IndexTakenError,
    SequenceGapError,
    StaleGenerationError,
    UnindexedError,
    WorkerFencedError,
)
from tests.harness import Harness, Server, connect, text_config
from tests.invariants import assert_same, stored_state
from tests.model import ModelCurriculum, Spec
from tests.servers import RunningServer, executables

pytestmark = pytest.mark.filterwarnings("ignore::redis_curriculum.errors.ConfigWarning")

CAPACITY = 10
LABELS = ["a", "b", "with space", "ä:{}*?[x]", "c"]

labels = st.sampled_from(LABELS)
picks = st.integers(0, 2**16)
scores = st.sampled_from([0.0, 0.5, 1.0, 5e-324]) | st.floats(0, 1)
results = st.lists(st.tuples(picks, scores), min_size=1, max_size=6)
weights = st.sampled_from([0.0, 0.25, 1.0, 3.0, 1e6, 5e-324])
counts = st.sampled_from([1, 2, 5, 40])
hypers = st.builds(
    LearningProgressConfig,
    min_samples_for_lp=st.just(2),
    min_presentations_for_eviction=st.integers(2, 4),
    pooling=st.sampled_from(["label", "task"]),
    exploration=st.sampled_from(["share", "bonus"]),
    performance_bonus_weight=st.sampled_from([0.0, 0.4]),
    temperature=st.sampled_from([0.0, 0.0, 0.1]),
    use_bidirectional=st.booleans(),
    use_baseline_normalization=st.booleans(),
    rand_task_rate=st.sampled_from([0.0, 0.1]),
    replacement_rate=st.sampled_from([0.0, 0.3]),
    eviction_threshold_percentile=st.sampled_from([0.2, 1.0]),
    max_consecutive_failures=st.sampled_from([1, 2, 3]),
    failure_score=st.sampled_from([None, None, 0.0, 0.25]),
)

debiased_hypers = st.builds(
    DebiasedProgressConfig,
    rates=st.just((1 / 4, 1 / 8)),
    warm_up=st.just((4.0, 2.0)),
    noise_factor=st.sampled_from([0.0, 0.0, 1.0]),
    power=st.sampled_from([1, 2]),
    floor=st.sampled_from([0.0, 0.15, 1.0]),
    least_count=st.sampled_from([1, 2, 4]),
    cap=st.sampled_from([0.01, 0.2, 1.0]),
    label_mass=st.sampled_from(["equal", "tasks"]),
    min_presentations_for_eviction=st.integers(1, 3),
    replacement_rate=st.sampled_from([0.0, 0.3]),
    max_consecutive_failures=st.sampled_from([1, 2, 3]),
    failure_score=st.sampled_from([None, None, 0.0, 0.25]),
)
FAMILIES = {"learning_progress": hypers, "debiased_progress": debiased_hypers}

serial = itertools.count()


class Machine(RuleBasedStateMachine):
    """One worker of one curriculum on a real server."""

    client: Any
    stem: str
    family: str

    @initialize(data=st.data(), seed=st.integers(0, 2**63 - 1))
    def begin(self, data: st.DataObject, seed: int) -> None:
        given = data.draw(FAMILIES[self.family])
        config = text_config(given, num_active_tasks=CAPACITY, seed=seed, epochs_retained=2)
        self.harness = Harness(self.client, f"{self.stem}.{next(serial)}", config)
        self.model = ModelCurriculum(given, CAPACITY, seed)
        self.ids = itertools.count()
        self.again: Callable[[], Any] | None = None
        """The last write once more, with its own number; what it must answer."""
        self.answer: Any = None

    def teardown(self) -> None:
        if hasattr(self, "harness"):
            self.harness.wipe()

    # --- what operations are made of -------------------------------------------------------------

    def some_id(self, pick: int) -> int:
        """A task's id, or one time in a few an id that is gone or never was."""
        known = [*self.model.tasks, 10**15]
        return known[pick % len(known)] if pick % 7 else pick % (self.last_id + 1)

    @property
    def last_id(self) -> int:
        return int(self.client.hget(self.harness.keys.meta, "next_index"))

    def some_results(self, chosen: list[tuple[int, float]]) -> list[tuple[int, float]]:
        return [(self.some_id(pick), score) for pick, score in chosen]

    def specs(self, names: list[str]) -> list[Spec]:
        return [(next(self.ids), label, {"made": label}) for label in names]

    def room(self) -> int:
        return CAPACITY - len(self.model.tasks)

    # --- writes ----------------------------------------------------------------------------------

    @rule(names=st.lists(labels, max_size=12))
    def create(self, names: list[str]) -> None:
        specs = self.specs(names)
        fitting = specs[: self.room()]
        reply = self.harness.create(specs)
        self.model.create(fitting)
        assert reply == [0, len(fitting), self.room()]
        number = self.harness.sequence
        self.again = lambda: self.harness.create(specs, sequence=number)
        self.answer = [1, 0, self.room()]

    @rule(chosen=results)
    def record(self, chosen: list[tuple[int, float]]) -> None:
        batch = self.some_results(chosen)
        assert self.harness.record(batch) == [0, *map(int, self.model.record(batch))]
        number = self.harness.sequence
        self.again, self.answer = lambda: self.harness.record(batch, sequence=number), [1]

    @precondition(lambda self: self.model.tasks)
    @rule(count=counts)
    def sample(self, count: int) -> None:
        expected = self.model.sample(count)
        reply = self.harness.sample(count)
        assert (reply.repeated, reply.ids) == (0, expected.task_ids)
        assert (reply.wanted, reply.missing) == (expected.wanted_replacements, self.room())
        number = self.harness.sequence
        self.again = lambda: self.harness.sample(count, sequence=number).ids
        self.answer = reply.ids

    @precondition(lambda self: self.model.tasks)
    @rule(chosen=results, count=counts)
    def step(self, chosen: list[tuple[int, float]], count: int) -> None:
        batch = self.some_results(chosen)
        outcomes = [int(applied) for applied in self.model.record(batch)]
        expected = self.model.sample(count)
        reply = self.harness.step(batch, count)
        assert (reply.repeated, reply.outcomes) == (0, outcomes)
        assert (reply.ids, reply.wanted) == (expected.task_ids, expected.wanted_replacements)
        assert reply.missing == self.room()
        number = self.harness.sequence
        self.again = lambda: self.harness.step(batch, count, sequence=number).tasks
        self.answer = reply.tasks

    @precondition(lambda self: self.room() == 0)
    @rule(names=st.lists(labels, max_size=4))
    def replace(self, names: list[str]) -> None:
        specs = self.specs(names)
        replaced = len(self.model.replace(specs))
        reply = self.harness.replace(specs)
        assert reply.tasks == specs[:replaced]
        assert reply.missing == 0
        number = self.harness.sequence
        self.again = lambda: self.harness.replace(specs, sequence=number).tasks
        self.answer = reply.tasks

    @rule(chosen=st.lists(picks, min_size=1, max_size=3))
    def evict(self, chosen: list[int]) -> None:
        ids = [self.some_id(pick) for pick in chosen]
        flags = [int(self.model.evict(task_id)) for task_id in ids]
        assert self.harness.evict(ids) == [0, *flags]
        number = self.harness.sequence
        self.again, self.answer = lambda: self.harness.evict(ids, sequence=number), [1]

    @rule(pick=picks, label=labels)
    def set_label(self, pick: int, label: str) -> None:
        task_id = self.some_id(pick)
        moved = int(self.model.set_label(task_id, label))
        assert self.harness.set_label(task_id, label) == [0, moved]
        number = self.harness.sequence
        self.again = lambda: self.harness.set_label(task_id, label, sequence=number)
        self.answer = [1, 0]

    @rule(chosen=st.lists(st.tuples(picks, weights), min_size=1, max_size=4))
    def set_weights(self, chosen: list[tuple[int, float]]) -> None:
        given = {self.some_id(pick): weight for pick, weight in chosen}
        flags = [int(self.model.set_weight(*pair)) for pair in given.items()]
        assert self.harness.set_weights(given) == [0, *flags]
        number = self.harness.sequence
        self.again = lambda: self.harness.set_weights(given, sequence=number)
        self.answer = [1]

    @rule(pick=picks, permanent=st.booleans(), error=st.sampled_from(["x", "ä: {}"]))
    def fail(self, pick: int, *, permanent: bool, error: str) -> None:
        task_id = self.some_id(pick)
        outcome = self.model.fail(task_id, error, permanent=permanent)
        after = self.room()
        assert self.harness.fail(task_id, error, permanent=permanent) == [0, outcome, after]
        number = self.harness.sequence
        self.again = lambda: self.harness.fail(task_id, error, permanent=permanent, sequence=number)
        self.answer = [1, 1, after]

    @rule()
    def end_epoch(self) -> None:
        closing = self.model.epoch
        self.model.end_epoch()
        assert self.harness.end_epoch(closing) == [0]
        number = self.harness.sequence
        self.again = lambda: self.harness.end_epoch(closing, sequence=number)
        self.answer = [1]

    @rule(data=st.data(), chosen=results)
    def configure(self, data: st.DataObject, chosen: list[tuple[int, float]]) -> None:
        """Other tunable numbers; until the indices are complete nobody else writes."""
        drawn, own = data.draw(FAMILIES[self.family]), self.model.hypers
        names = type(own).model_fields
        fixed = [name for name in names if resume_rule(f"algorithm.{name}") is Resume.STRUCTURAL]
        given = drawn.model_copy(update={name: getattr(own, name) for name in fixed})
        self.harness.retune(
            text_config(given, num_active_tasks=CAPACITY, epochs_retained=2), f"{next(serial)}"
        )
        if own.is_indexed_otherwise(given):
            before = stored_state(self.harness)
            for write in self.writes(chosen, self.harness.sequence + 1):
                with pytest.raises(UnindexedError):
                    write()
            assert stored_state(self.harness) == before
        while self.harness.reindex():
            pass
        self.model.hypers = given

    @rule(away=st.sampled_from([-1, 1]))
    def end_another_epoch(self, away: int) -> None:
        with pytest.raises(EpochError) as caught:
            self.harness.end_epoch(self.model.epoch + away)
        assert caught.value.epoch == self.model.epoch

    # --- what must change nothing ----------------------------------------------------------------

    @precondition(lambda self: self.again is not None)
    @rule()
    def repeat(self) -> None:
        """The same write with the same number is not applied again, and answers the same tasks."""
        assert self.again is not None
        before = stored_state(self.harness)
        assert self.again() == self.answer
        assert stored_state(self.harness) == before

    @rule(ahead=st.integers(2, 9), chosen=results)
    def gap(self, ahead: int, chosen: list[tuple[int, float]]) -> None:
        number = self.harness.sequence
        for write in self.writes(chosen, number + ahead):
            with pytest.raises(SequenceGapError) as caught:
                write()
            assert caught.value.last == number

    @rule(generation=st.sampled_from([0, 2, 17]), chosen=results)
    def stale_generation(self, generation: int, chosen: list[tuple[int, float]]) -> None:
        self.harness.generation = generation
        for write in self.writes(chosen, self.harness.sequence + 1):
            with pytest.raises(StaleGenerationError):
                write()
        self.harness.generation = 1

    @rule(chosen=results)
    def stranger(self, chosen: list[tuple[int, float]]) -> None:
        self.harness.worker = "who"
        for write in self.writes(chosen, 1):
            with pytest.raises(WorkerFencedError):
                write()
        self.harness.worker = "w0"

    @rule(away=st.sampled_from([-1, 1, 50]), names=st.lists(labels, max_size=2))
    def not_reserved(self, away: int, names: list[str]) -> None:
        """Tasks for indices that the worker has not reserved are refused."""
        right = self.last_id
        specs: list[Spec] = [(10**9 + i, label, {}) for i, label in enumerate(names)]
        for write in (self.harness.create, self.harness.replace):
            with pytest.raises(IndexTakenError) as caught:
                write(specs, first=right + away)
            assert caught.value.next_index == right

    def writes(self, chosen: list[tuple[int, float]], number: int) -> list[Callable[[], Any]]:
        """One call of each script that writes, with that number."""
        harness, batch = self.harness, self.some_results(chosen)
        spec: Spec = (10**9, "a", {})
        return [
            lambda: harness.create([spec], sequence=number),
            lambda: harness.record(batch, sequence=number),
            lambda: harness.sample(3, sequence=number),
            lambda: harness.step(batch, 3, sequence=number),
            lambda: harness.replace([spec], sequence=number),
            lambda: harness.evict([batch[0][0]], sequence=number),
            lambda: harness.set_label(batch[0][0], "b", sequence=number),
            lambda: harness.set_weights({batch[0][0]: 0.5}, sequence=number),
            lambda: harness.fail(batch[0][0], "x", permanent=True, sequence=number),
            lambda: harness.end_epoch(self.model.epoch, sequence=number),
            lambda: harness.note_epoch(0, [("a", 0.5, 0.5)], sequence=number),
        ]

    @invariant()
    def the_server_holds_what_the_model_says(self) -> None:
        if hasattr(self, "harness"):
            assert_same(self.harness, self.model)


@pytest.mark.parametrize("family", FAMILIES)
def test_random_operations_equal_the_model(
    every_server: RunningServer, name: str, family: str
) -> None:
    given = {"client": connect(every_server), "stem": name, "family": family}
    machine = type("OnServer", (Machine,), given)
    first = every_server.executable == next(iter(executables().values()))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40 if first else 10,  # TEST_SERVERS makes another one the first
            stateful_step_count=30,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def test_a_missing_curriculum_is_not_created_by_a_write(server: Server, name: str) -> None:
    config = text_config(LearningProgressConfig())
    harness = Harness(connect(server), name, config)
    harness.wipe()
    with pytest.raises(CurriculumNotFoundError):
        harness.sample(1)
    assert list(harness.client.scan_iter(f"{harness.keys.prefix}*")) == []
