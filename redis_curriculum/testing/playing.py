"""What the contract plays: scores, settings, and a curriculum beside its twin in Python."""

from __future__ import annotations

import math
import random
import secrets
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar, get_args

from pydantic.fields import FieldInfo

from redis_curriculum._client.blocking import Curriculum
from redis_curriculum._protocol.keys import PARTS
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._sampling.draw import draw
from redis_curriculum._sampling.pool import Pool
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum._store import read
from redis_curriculum._store.store import Store
from redis_curriculum._values.rules import In
from redis_curriculum.config import CurriculumConfig, WorkerSettings
from redis_curriculum.errors import ConfigWarning, InvalidInputError
from redis_curriculum.scorers.base import Scorer, hyperparameters
from redis_curriculum.scorers.statistics import Holder, Reported, Statistics
from redis_curriculum.tasks import Buckets

T = TypeVar("T")

HOLDERS: Final[tuple[Holder, ...]] = ("task", "label")
TASKS: Final = Buckets(label="label {n}", buckets={"n": [1, 2, 3, 4, 5]})
WORKER: Final = WorkerSettings(chunk=1000)
_LARGE_COUNT: Final = 30
"""Settings that count results are tried up to this, so that the plays here reach them."""


# --- scores --------------------------------------------------------------------------------------


def scores(scorer: Scorer, rng: random.Random) -> Iterator[float]:
    """Yield scores without end: random, equal, alternating and rising ones, and extreme ones."""
    threshold = scorer.success_threshold
    extreme = [0.0, 1.0, 5e-324, 1e-17, 0.1 + 0.2, 1 - 2**-53, threshold]
    extreme += [math.nextafter(threshold, 0.0), min(math.nextafter(threshold, 2.0), 1.0)]
    while True:
        count, one = rng.randint(1, 25), rng.choice(extreme)
        runs = [
            [rng.random() for _ in range(count)],
            [one] * count,
            [float(i % 2) for i in range(count)],
            [i / count for i in range(count)],
            [rng.choice(extreme) for _ in range(count)],
        ]
        yield from rng.choice(runs)


def results(scorer: Scorer, rng: random.Random) -> Iterator[tuple[float, ...]]:
    """Yield scores with the numbers that the family asks for beside each, without end."""
    for score in scores(scorer, rng):
        yield with_numbers(scorer, score, rng)


def with_numbers(scorer: Scorer, score: float, rng: random.Random) -> tuple[float, ...]:
    """Return a score with numbers that the family takes beside it.

    Where it does not take the two together, the score is a share of one of the numbers.
    """
    numbers = [_number(one, rng) for one in scorer.reported]
    for candidate in [score, *(round(score * n) / n for n in numbers), 0.0, 1.0]:
        try:
            scorer.check_result(candidate, *numbers)
        except InvalidInputError:
            continue
        return (candidate, *numbers)
    raise AssertionError(f"{scorer.kind} takes no score with {numbers}")


def _number(one: Reported, rng: random.Random) -> float:
    """Return an end of the interval, or a number between, small ones as often as large ones."""
    interval = one.interval
    low, high = interval.low, interval.high
    found = [low] * (not interval.open_low) + [high] * (not interval.open_high)
    found += [low + (high - low) * rng.random() ** power for power in (1, 4, 16)]
    number = rng.choice(found)
    return math.ceil(number) if one.is_whole else float(number)


def fold_of(scorer: Scorer, holder: Holder) -> Callable[..., dict[str, float]]:
    """Return what folds a result into a task's or a label's statistics."""
    return scorer.fold if holder == "task" else scorer.fold_label


def folded(scorer: Scorer, holder: Holder, rng: random.Random, count: int) -> list[Statistics]:
    """Return the statistics of a task or label after each of ``count`` results."""
    fold, found = fold_of(scorer, holder), list[Statistics]()
    for _, result in zip(range(count), results(scorer, rng), strict=False):
        found.append(fold(found[-1] if found else {}, *result))
    return found


# --- settings ------------------------------------------------------------------------------------


def config_of(scorer: Scorer, num_tasks: int = 24, seed: int = 0) -> CurriculumConfig:
    """Return a curriculum of five labels."""
    return CurriculumConfig(
        task_generator=TASKS, num_active_tasks=num_tasks, seed=seed, algorithm=scorer
    )


def settings_like(scorer: Scorer, rng: random.Random) -> Scorer:
    """Return the same family with other settings, as far as its rules allow."""
    for name in hyperparameters(type(scorer)):
        scorer = changed(scorer, name, rng) or scorer
    return scorer


def changed(scorer: Scorer, name: str, rng: random.Random) -> Scorer | None:
    """Return a scorer with one other setting; None where the rules allow none that is tried."""
    known = values(type(scorer).model_fields[name], rng)
    for value in rng.sample(known, len(known)):
        if value != getattr(scorer, name):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConfigWarning)
                    return scorer.model_copy(update={name: value})
            except InvalidInputError:  # a rule over several fields
                continue
    return None


def values(info: FieldInfo, rng: random.Random) -> list[Any]:
    """Return some values that a field allows: the ends of its interval and two between."""
    if info.annotation is bool:
        return [False, True]
    intervals = [note for note in info.metadata if isinstance(note, In)]
    kinds = get_args(info.annotation) or (info.annotation,)
    if not intervals:
        return list(kinds) if all(isinstance(kind, str) for kind in kinds) else []
    low, high = intervals[0].low, intervals[0].high
    if float not in kinds:
        high = min(high, low + _LARGE_COUNT)
        return [low, rng.randint(int(low) + 1, int(high))]
    found: list[Any] = [low + (high - low) * rng.random() ** power for power in (1, 8)]
    found += [low] if not intervals[0].open_low else []
    found += [high] if not intervals[0].open_high else []
    return [*found, None] if type(None) in kinds else found


# --- a curriculum on a server --------------------------------------------------------------------


@contextmanager
def playing(url: str, scorer: Scorer, rng: random.Random, num_tasks: int = 24) -> Iterator[Played]:
    """Open a curriculum of its own name, and delete it at the end."""
    name = f"contract-{secrets.token_hex(6)}"
    config = config_of(scorer, num_tasks, rng.getrandbits(32))
    with Curriculum.open(url, name, config, worker=WORKER) as curriculum:
        try:
            yield Played(curriculum, rng)
        finally:
            Curriculum.delete(url, name, worker=WORKER)


class Played:
    """A curriculum, and beside it what its statistics must be: its twin, folded in Python."""

    def __init__(self, curriculum: Curriculum, rng: random.Random) -> None:
        self.curriculum, self.rng = curriculum, rng
        self.scorer = curriculum.config.algorithm
        self.tasks: dict[int, Statistics] = {}
        self.labels: dict[str, Statistics] = {}
        self.numbers: Statistics = {}
        self._scores = scores(self.scorer, rng)

    @property
    def store(self) -> Store:
        """What the plans of the curriculum take."""
        return self.curriculum._store  # noqa: SLF001 - the handle's own tests

    def ask(self, plan: Plan[T]) -> T:
        """Run a plan."""
        return self.curriculum._run(plan)  # noqa: SLF001

    def play(self, count: int) -> None:
        """Report results of random tasks in batches, one task several times among them."""
        label_of = self.label_of()
        while count > 0:
            size = min(count, self.rng.choice([1, 1, 2, 9, 40]))
            batch = [(self.rng.choice(list(label_of)), next(self._scores)) for _ in range(size)]
            self.report(batch, label_of)
            count -= size

    def report(self, batch: list[tuple[int, float]], label_of: Mapping[int, str]) -> None:
        """Report results to the server, and to the twin."""
        known = self.results(batch)
        self.curriculum.update_many(known)
        scorer, has_pool = self.scorer, bool(self.scorer.names("pool"))
        for task_id, score, numbers in known:
            label, result = label_of[task_id], (score, *numbers.values())
            task = self.tasks.get(task_id, {})
            if has_pool:
                fold: Callable[..., dict[str, float]] = scorer.fold_pool
                self.numbers = fold(self.numbers, task, *result)
            self.tasks[task_id] = fold_of(scorer, "task")(task, *result)
            self.labels[label] = fold_of(scorer, "label")(self.labels.get(label, {}), *result)

    def weigh(self) -> None:
        """Set weights of some tasks, as a trainer does."""
        if not self.scorer.TAKES_WEIGHTS:
            return
        ids, rng = self.curriculum.task_ids(), self.rng
        some = rng.sample(ids, rng.randint(1, len(ids)))
        weights = (rng.choice([0.0, 0.3, 1.0, rng.random(), 5 * rng.random()]) for _ in some)
        self.curriculum.set_weights(dict(zip(some, weights, strict=True)))

    def results(
        self, batch: Iterable[tuple[int, float]]
    ) -> list[tuple[int, float, dict[str, float]]]:
        """Return results with the numbers that the family asks for."""
        names, found = [one.name for one in self.scorer.reported], []
        for task_id, given in batch:
            score, *numbers = with_numbers(self.scorer, given, self.rng)
            found.append((task_id, score, dict(zip(names, numbers, strict=True))))
        return found

    def label_of(self) -> dict[int, str]:
        """Return the label of each task in the pool."""
        records = self.ask(read.read(self.store, self.curriculum.task_ids()))
        return {record.task_id: record.label for record in records if record}

    def statistics(self, holder: Holder) -> dict[Any, dict[str, str]]:
        """Return what the server keeps of each task or label, every bit of it as text."""
        names = self.scorer.names(holder)
        known: list[Any] = list(self.tasks if holder == "task" else self.labels)
        table, _ = self.ask(read.numbers(self.store, holder, names, known))
        rows = (dict(zip(names, row[:-1], strict=True)) for row in table.tolist())
        return {key: exact(row) for key, row in zip(known, rows, strict=True)}

    def pool(self) -> Pool:
        """Read the numbers that draws depend on."""
        return self.ask(read.pool(self.store))

    def own(self, of: Curriculum | None = None) -> list[Mapping[str, Any]]:
        """Read the keys of the family's own, every bit as text."""
        curriculum = of or self.curriculum
        pool = curriculum._run(read.pool(curriculum._store))  # noqa: SLF001 - the handle's own tests
        own, columns = pool.own, dict[str, Any]()
        for holders, found in ((pool.task_ids.tolist(), own.tasks), (pool.labels, own.labels)):
            for name, column in found.items():
                columns[name] = dict(zip(holders, map(hexed, column.tolist()), strict=True))
        return [columns, {name: exact(numbers) for name, numbers in own.pool.items()}, own.texts]

    def stream(self) -> RandomStream:
        """Read the random stream."""
        server = self.store.server
        text = self.ask(server.command("HGET", server.keys.meta, "random"))
        return RandomStream.from_text(text)

    def ranks(self) -> list[list[tuple[int, str]]]:
        """Return the three sorted sets in order: task ids and ranks, every bit as text."""
        keys, server = self.store.server.keys, self.store.server
        found = []
        for part in PARTS:
            words = ("ZRANGE", f"{keys.pool}{part}", 0, -1, "WITHSCORES")
            flat = self.ask(server.command(*words))
            pairs = zip(flat[::2], flat[1::2], strict=True)
            found.append([(int(task_id), hexed(float(rank))) for task_id, rank in pairs])
        return found

    def draw(self, count: int) -> None:
        """Draw on the server: the very tasks that the reference draws."""
        pool, stream = self.pool(), self.stream()
        expected = draw(pool, self.scorer, stream, count)
        before, drawn = self.curriculum.task_ids(), self.curriculum.get_tasks(count)
        ids = [task.task_id for task in drawn]
        assert ids[: len(expected.task_ids)] == expected.task_ids
        after = set(self.curriculum.task_ids())
        if not expected.wanted_replacements and not expected.short:
            assert after == set(before)
            assert len(ids) == len(expected.task_ids) == count
            assert self.stream().state == stream.state
        completions = dict(zip(pool.task_ids.tolist(), pool.completion_count, strict=True))
        for task_id in set(before) - after:
            assert completions[task_id] >= self.scorer.ripe_from, "only these may be replaced"
            self.tasks.pop(task_id, None)

    def commands(self) -> int:
        """Return how many commands the server has run, those inside scripts too."""
        found = self.ask(self.store.server.info("commandstats"))
        return sum(int(text.partition("calls=")[2].partition(",")[0]) for text in found.values())


def exact(statistics: Mapping[str, float]) -> dict[str, str]:
    """Return the statistics that are there, every bit as text."""
    return {name: hexed(x) for name, x in statistics.items() if not math.isnan(x)}


def hexed(x: float) -> str:
    """Return every bit of a number; the two zeros are one."""
    return float(x + 0.0).hex()


def deviation(found: Counter[int], expected: Mapping[int, float]) -> float:
    """Return how far counts lie from probabilities: chi-square as a standard normal deviate.

    Cells in which fewer than five are expected are taken together.

    Source: E. B. Wilson and M. M. Hilferty 1931, "The Distribution of Chi-Square", PNAS 17(12).
    """
    total = found.total()
    cells: list[tuple[float, float]] = [(0.0, 0.0)]
    for key, probability in expected.items():
        cell = (float(found[key]), probability * total)
        if cell[1] < 5:  # noqa: PLR2004 - the usual rule of thumb
            cells[0] = (cells[0][0] + cell[0], cells[0][1] + cell[1])
        else:
            cells.append(cell)
    if any(found[key] and not expected.get(key) for key in found):
        return math.inf
    if cells[0][1] < 5 and len(cells) > 1:  # noqa: PLR2004
        (seen, wanted), (more, of) = cells[0], cells.pop()
        cells[0] = (seen + more, wanted + of)
    k = len(cells) - 1
    if k == 0:
        return 0.0
    square = sum((seen - wanted) ** 2 / wanted for seen, wanted in cells)
    return float(((square / k) ** (1 / 3) - (1 - 2 / (9 * k))) / math.sqrt(2 / (9 * k)))
