"""Least and greatest shares of labels: exact in the draw of every family, changed at any time."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum._sampling.draw import distribution, draw
from redis_curriculum._sampling.pool import Parts, Pool
from redis_curriculum._sampling.quotas import MOST_LISTED, QuotaPick, Shares
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum._store import read
from redis_curriculum.errors import InvalidInputError, MalformedStateError
from redis_curriculum.scorers import (
    DebiasedProgressConfig,
    GroupProgressConfig,
    LearningProgressConfig,
    Scorer,
    UniformConfig,
)
from redis_curriculum.tasks import Buckets, Single, Span, Table, Task
from redis_curriculum.testing import ScorerContract
from tests.servers import RunningServer

SOME: Any = {"label 1": (0.3, 0.4), "label 2": (0.0, 0.02), "not there": (0.5, 0.9)}
ALL: Any = {f"label {i}": (0.1, 0.3) for i in range(1, 6)}
LOW: Any = {"label 1": (0.0, 0.01), "label 3": (0.95, 1.0)}
SETTINGS: dict[str, Scorer] = {
    "label first": DebiasedProgressConfig.fast(least_count=5, label_share=SOME),
    "label first, by tasks": DebiasedProgressConfig(label_mass="tasks", label_share=ALL),
    "sigmoid by label": LearningProgressConfig(label_share=LOW),
    "sigmoid by task": LearningProgressConfig(pooling="task", label_share=SOME),
    "by state": GroupProgressConfig(label_share=SOME),
    "uniform": UniformConfig(label_share=SOME),
    "uniform, all labels": UniformConfig(label_share=ALL),
}


@pytest.mark.parametrize("scorer", SETTINGS.values(), ids=SETTINGS)
def test_the_server_draws_as_the_reference_does(scorer: Scorer, url: str) -> None:
    ScorerContract().test_the_server_draws_as_the_reference_does(scorer, url)


@pytest.mark.parametrize("scorer", SETTINGS.values(), ids=SETTINGS)
def test_draws_follow_the_distribution(scorer: Scorer, url: str) -> None:
    ScorerContract().test_draws_follow_the_distribution(scorer, url)


# --- the shares ----------------------------------------------------------------------------------


class Given(Shares):
    """Shares of parts that are given; those of the others are what is left."""

    def __init__(self, parts: list[float], bounds: list[tuple[float, float]]) -> None:
        n = len(parts)
        pool = Pool(
            np.arange(n + 1), {}, np.arange(n + 1), {}, [*map("{:03d}".format, range(n)), "rest"]
        )
        quotas = {f"{i:03d}": pair for i, pair in enumerate(bounds)}
        super().__init__(pool, UniformConfig(label_share=quotas), np.array([*parts, 0.0]))


def bisected(parts: list[float], bounds: list[tuple[float, float]], rest: float) -> list[float]:
    """The same by another way: the factor is looked for."""
    low, high = 0.0, 1e15
    for _ in range(300):
        factor = (low + high) / 2
        cut = [min(max(factor * p, a), b) for p, (a, b) in zip(parts, bounds, strict=True)]
        low, high = (factor, high) if sum(cut) + factor * rest < 1 else (low, factor)
    return [min(max(high * p, a), b) for p, (a, b) in zip(parts, bounds, strict=True)]


@given(st.lists(st.tuples(*[st.floats(0.001, 1)] * 3), min_size=1, max_size=7), st.floats(0.01, 1))
def test_parts_times_one_factor_cut_to_the_bounds(
    rows: list[tuple[float, float, float]], rest: float
) -> None:
    whole = sum(part for part, _, _ in rows) + rest
    parts = [part / whole for part, _, _ in rows]
    least = [min(a, b) / len(rows) for _, a, b in rows]
    bounds = [(a, min(1.0, a + max(x, y))) for a, (_, x, y) in zip(least, rows, strict=True)]
    shares = Given(parts, bounds)
    found = [quota.share for quota in shares.quotas]
    assert found == pytest.approx(bisected(parts, bounds, rest / whole), rel=1e-6, abs=1e-9)
    for share, (low, high) in zip(found, bounds, strict=True):
        assert share is not None
        assert low <= share <= high


def shares_of(curriculum: Curriculum) -> dict[str, float]:
    found = defaultdict[str, float](float)
    for task_id, probability in curriculum.distribution().items():
        record = curriculum.get_task_stats(task_id)
        assert record is not None
        found[record.label] += probability
    return dict(found)


def test_a_quota_is_set_and_taken_away_while_workers_play(url: str, name: str) -> None:
    mazes = Buckets(label="m{size}", buckets={"size": [1, 2, 3, 4]})
    config = CurriculumConfig(task_generator=mazes, num_active_tasks=40)
    with (
        Curriculum.open(url, name, config) as trainer,
        Curriculum.open(url, name) as worker,
    ):
        assert shares_of(trainer) == pytest.approx(dict.fromkeys(("m1", "m2", "m3", "m4"), 0.25))
        trainer.configure(label_share={"m1": (0.6, 1.0), "m2": (0.0, 0.01)})
        expected = {"m1": 0.6, "m2": 0.01, "m3": 0.195, "m4": 0.195}
        assert shares_of(trainer) == pytest.approx(expected)
        drawn = Counter(task.label for task in worker.get_tasks(4000))
        for label, share in expected.items():
            assert abs(drawn[label] / 4000 - share) < 5 * (share * (1 - share) / 4000) ** 0.5
        assert worker.config.algorithm.label_share == {"m1": (0.6, 1.0), "m2": (0.0, 0.01)}
        trainer.configure(label_share={})
        assert shares_of(trainer) == pytest.approx(dict.fromkeys(("m1", "m2", "m3", "m4"), 0.25))
        assert trainer.check() == []


def test_a_large_label_is_drawn_from_too(url: str, name: str) -> None:
    """It is not listed; and one task of another label is found in any case."""
    count = MOST_LISTED + 5
    rows = [{"l": "large"} for _ in range(count)] + [{"l": "small"}, {"l": "other"}]
    algorithm = UniformConfig(label_share={"large": (0.0, 0.5), "small": (0.3, 1.0)})
    config = CurriculumConfig(task_generator=Table(rows, label="{l}"), algorithm=algorithm)
    with Curriculum.open(url, name, config) as curriculum:
        state = curriculum._store.server  # noqa: SLF001 - to draw the same here
        random = curriculum._run(state.command("HGET", state.keys.meta, "random"))  # noqa: SLF001
        stream = RandomStream.from_text(random)
        pool = curriculum._run(read.pool(curriculum._store))  # noqa: SLF001
        theirs = [task.task_id for task in curriculum.get_tasks(60)]
        assert theirs == draw(pool, algorithm, stream, 60).task_ids
        found = distribution(pool, algorithm)
        assert found[pool.task_ids == count][0] == pytest.approx(0.3, abs=0.201)
        assert found[pool.label_index == pool.label_index[0]].sum() == pytest.approx(0.5)
        assert len({task.task_id for task in curriculum.get_tasks(200, distinct=True)}) == 200


def test_a_greatest_share_holds_where_the_others_are_rare(url: str, name: str) -> None:
    """Trials do not find them often: no draw is given up, which would favour the large label."""
    count = 4_000
    rows = [{"l": "large"} for _ in range(count)] + [{"l": "other"}]
    algorithm = UniformConfig(label_share={"large": (0.0, 0.3)})
    config = CurriculumConfig(task_generator=Table(rows, label="{l}"), algorithm=algorithm)
    with Curriculum.open(url, name, config) as curriculum:
        state = curriculum._store.server  # noqa: SLF001 - to draw the same here
        random = curriculum._run(state.command("HGET", state.keys.meta, "random"))  # noqa: SLF001
        stream = RandomStream.from_text(random)
        pool = curriculum._run(read.pool(curriculum._store))  # noqa: SLF001
        found = draw(pool, algorithm, stream, 60)
        assert not found.short
        assert [task.task_id for task in curriculum.get_tasks(60)] == found.task_ids


def test_a_label_that_is_large_in_a_larger_pool_is_always_found() -> None:
    n, large = 2**20, MOST_LISTED + 1
    part_of_pool = Pool(np.arange(n), {}, (np.arange(n) < large).astype(np.intp), {}, ["a", "b"])
    shares = Shares(
        part_of_pool, UniformConfig(label_share={"b": (0.5, 1.0)}), np.array([0.9, 0.1])
    )
    parts = Parts(np.arange(n), np.arange(0), np.arange(0))
    stream = RandomStream([1, 2, 3, 4, 5, 6])
    pick = QuotaPick(part_of_pool, parts, shares, Never(), stream, member_of=None)
    found = [pick.one() for _ in range(60)]
    assert all(position is not None for position in found)
    assert 15 < sum(position < large for position in found if position is not None) < 45


def test_others_that_are_never_drawn_without_quotas_share_what_is_left() -> None:
    pool = Pool(np.arange(3), {}, np.array([0, 1, 1]), {}, ["a", "b"])
    shares = Shares(pool, UniformConfig(label_share={"a": (0.0, 0.4)}), np.array([1.0, 0.0]))
    found = shares.distribution(pool, np.array([1.0, 0.0, 0.0]))
    assert found == pytest.approx([0.4, 0.3, 0.3])


class Never:
    """Draws of a family that never come to the label."""

    is_spent = False

    def one(self) -> int:
        """Return one of the others."""
        return MOST_LISTED + 1


def test_labels_that_come_and_go_keep_the_sum(url: str, name: str) -> None:
    """Once only labels with quotas have tasks, their greatest shares may sum to less than 1."""
    algorithm = UniformConfig(label_share={"a": (0.0, 0.2), "b": (0.0, 0.3)})
    config = CurriculumConfig(task_generator=Table(3, label="c"), algorithm=algorithm)
    with Curriculum.open(url, name, config) as curriculum:
        curriculum.add_tasks([Task(10 + i, "ab"[i % 2], {}) for i in range(6)])
        assert shares_of(curriculum) == pytest.approx({"a": 0.2, "b": 0.3, "c": 0.5})
        curriculum.remove_tasks([0, 1, 2])
        assert shares_of(curriculum) == pytest.approx({"a": 0.4, "b": 0.6})
        assert {task.label for task in curriculum.get_tasks(60)} == {"a", "b"}


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quotas", "message"),
    [
        (3, "label_share must be a mapping of labels to (least, greatest), got 3"),
        ({"a": 0.3}, "label_share['a'] must be a pair (least, greatest), got 0.3"),
        ({"a": (0.3, 1.2)}, "label_share['a'][1] must be in [0, 1], got 1.2"),
        ({"a": (0.3, 0.2)}, "label_share['a'] must be least <= greatest"),
        ({"a": (0, 0)}, "label_share['a'] must be least <= greatest, and greatest > 0"),
        ({"": (0, 1)}, "label_share.every label must be 1 to 200 bytes"),
        ({"a": (0.6, 1), "b": (0.5, 1)}, "label_share must be of least shares that sum to at most"),
        ({str(i): (0, 1) for i in range(101)}, "label_share must be at most 100 labels, got 101"),
    ],
)
def test_quotas_that_cannot_be_kept_are_refused(quotas: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        DebiasedProgressConfig(label_share=quotas)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "generator",
    [
        Single(label="a"),
        Buckets(label="{n}", buckets={"n": ["a", "b"], "x": Span(0.0, 1.0)}),
        Table([{"l": "a"}, {"l": "b"}, {"l": "a"}], label="{l}"),
    ],
)
def test_greatest_shares_of_all_labels_that_sum_below_1(generator: Any) -> None:
    quotas: Any = {"a": (0.0, 0.5), "b": (0.0, 0.3), "c": (0.0, 1.0)}
    rule = "of greatest shares that sum to at least 1, as they cover every label"
    with pytest.raises(InvalidInputError, match=f"algorithm.label_share must be {rule}"):
        CurriculumConfig(
            task_generator=generator,
            num_active_tasks=2,
            algorithm=UniformConfig(label_share=quotas),
        )


def test_greatest_shares_of_all_labels_but_those_held_out() -> None:
    labels = Buckets(label="{n}", buckets={"n": ["a", "b", "c"]})
    quotas: Any = {"a": (0.0, 0.5), "b": (0.0, 0.3)}
    algorithm = UniformConfig(label_share=quotas)
    CurriculumConfig(task_generator=labels, algorithm=algorithm)  # c takes the rest
    with pytest.raises(InvalidInputError, match="must be of greatest shares"):
        CurriculumConfig(task_generator=labels, algorithm=algorithm, held_out="c")


def test_quotas_that_somebody_has_cut_are_told(server: RunningServer, name: str) -> None:
    algorithm = UniformConfig(label_share={"a": (0.5, 1.0)})
    config = CurriculumConfig(task_generator=Table(3, label="a"), algorithm=algorithm)
    key = f"rc:{{{name}}}:meta"
    with (
        Curriculum.open(server.url, name, config) as curriculum,
        redis.Redis.from_url(server.url) as client,
    ):
        whole = client.hget(key, "hypers")
        assert isinstance(whole, bytes)
        for cut in (whole[:-1], whole + b"x", whole[:-20], whole[:9]):
            client.hset(key, "hypers", cut)
            with pytest.raises(MalformedStateError, match=r"meta\.hypers"):
                curriculum.get_task()
        client.hset(key, "hypers", whole)
        curriculum.get_task()
