"""One reading of a curriculum, what it costs, and the thread that repeats it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, TypeVar

import pytest

from redis_curriculum import Curriculum, CurriculumConfig, LearningProgressConfig
from redis_curriculum._admin.overview import attach
from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store.store import Store
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.urls import parse
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.errors import CurriculumError, CurriculumNotFoundError
from redis_curriculum.reporting.view import Reader, Watch, label_rates, rates, view
from redis_curriculum.tasks import Buckets
from tests.servers import RunningServer

T = TypeVar("T")


class Counting:
    """A link that counts the round trips of the plans it runs."""

    def __init__(self, url: str) -> None:
        self.link = DirectLink(parse(url), 5.0)
        self.trips = 0

    def drive(self, plan: Plan[T]) -> T:
        return drive(self._counted(plan), self.link)

    def _counted(self, plan: Plan[T]) -> Plan[T]:
        try:
            request = next(plan)
            while True:
                self.trips += 1
                request = plan.send((yield request))
        except StopIteration as stop:
            found: T = stop.value
            return found

    def reader(self, name: str) -> Reader:
        return Reader(lambda: self.attach(name), self.drive)

    def attach(self, name: str) -> Store:
        return drive(attach(Server(Keys(name), 0), WorkerSettings(retry_deadline_s=0)), self.link)


@pytest.fixture
def counting(url: str) -> Iterator[Counting]:
    counting = Counting(url)
    yield counting
    counting.link.close()


def opened(url: str, name: str, tasks: int, labels: int) -> Curriculum:
    buckets: Any = {"n": list(range(labels)), "seed": list(range(20))}
    generator = Buckets(label="l{n}", buckets=buckets)
    config = CurriculumConfig(
        task_generator=generator, num_active_tasks=tasks, algorithm=LearningProgressConfig()
    )
    return Curriculum.open(url, name, config)


def played(curriculum: Curriculum, count: int) -> None:
    curriculum.update_many([(task.task_id, 0.5) for task in curriculum.get_tasks(count)])


def test_a_view_says_what_the_handle_says(url: str, name: str, counting: Counting) -> None:
    with opened(url, name, 30, 4) as curriculum:
        played(curriculum, 50)
        curriculum.report_failure(curriculum.task_ids()[0], "broken")
        found = counting.reader(name).read(view)
        chances = dict(zip(found.census.pool.task_ids, found.census.probabilities, strict=True))
        assert chances == curriculum.distribution()
        assert found.report.totals == found.totals
        assert found.totals["samples"] == 50
        assert found.totals["failures"] == 1
        assert [row.worker_id for row in found.workers] == [curriculum.worker_id]
        assert found.events == curriculum.events(200)
        assert (found.capacity, found.trouble) == (30, None)


def test_rates_are_of_the_time_between_by_the_servers_clock(
    url: str, name: str, counting: Counting
) -> None:
    reader = counting.reader(name)
    with opened(url, name, 30, 4) as curriculum:
        before = reader.read(view)
        played(curriculum, 40)
        time.sleep(0.01)
        now = reader.read(view)
        seconds = (now.now_ms - before.now_ms) / 1000
        assert rates(before, now)["samples"] == pytest.approx(40 / seconds)
        by_label = label_rates(before, now, "samples")
        assert sum(by_label.values()) == pytest.approx(40 / seconds)
        assert rates(None, now) == {} == rates(now, before) == label_rates(now, before, "samples")


def test_a_reading_takes_bounded_round_trips(url: str, name: str, counting: Counting) -> None:
    """As the docstring says: 4 per 1,000 tasks, 8 per 500 labels, 30."""
    with opened(url, name, 3000, 1000) as curriculum:
        played(curriculum, 1000)
        reader = counting.reader(name)
        reader.read(view)
        counting.trips = 0
        reader.read(view)
        assert counting.trips <= 4 * 3 + 8 * 2 + 30


def test_many_workers_are_read_at_once(url: str, name: str, counting: Counting) -> None:
    handles = [opened(url, name, 6, 2) for _ in range(6)]
    try:
        for handle in handles:
            handle.get_task()  # who has done nothing is no worker yet
        reader = counting.reader(name)
        assert len(reader.read(view).workers) == 6
        counting.trips = 0
        reader.read(view)
        of_six = counting.trips
        for handle in handles[1:]:
            handle.close()
        counting.trips = 0
        reader.read(view)
        assert counting.trips == of_six
    finally:
        for handle in handles:
            handle.close()


def test_a_reader_attaches_again(
    server: RunningServer, url: str, name: str, counting: Counting
) -> None:
    """After a deletion it finds what has been made again under the name."""
    reader = counting.reader(name)
    with opened(url, name, 6, 2) as curriculum:
        assert len(reader.read(view).census.pool) == 6
        Curriculum.delete(url, name)
        with pytest.raises(CurriculumError):
            reader.read(view)
        with pytest.raises(CurriculumNotFoundError):
            reader.read(view)
        assert curriculum.name == name
    with opened(url, name, 9, 2):
        assert len(reader.read(view).census.pool) == 9


def test_a_watch_hands_errors_over_and_rests() -> None:
    """A reading that takes long is followed by a rest of three times that."""
    began, told, enough = list[float](), list[int | CurriculumError](), threading.Event()

    def read() -> int:
        began.append(time.monotonic())
        if len(began) == 2:
            raise CurriculumError("gone")
        time.sleep(0.02)
        return len(began)

    def tell(found: int | CurriculumError) -> None:
        told.append(found)
        if len(told) == 4:
            watch.stop()
            enough.set()

    watch = Watch(read, tell, 0.0)
    watch.start()
    assert enough.wait(20)
    watch.join(20)
    assert [str(one) for one in told] == ["1", "gone", "3", "4"]
    assert began[1] - began[0] >= 0.08
    assert not watch.is_alive()
