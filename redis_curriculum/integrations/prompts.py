"""Batches of prompts for any trainer: rows of a data set by a curriculum, and groups of rollouts.

Needs no library. ``redis_curriculum.integrations.torch`` has samplers for PyTorch that are made of
it.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np

from redis_curriculum._client.blocking import Curriculum
from redis_curriculum._values.rules import In, validate_label
from redis_curriculum.config import CurriculumConfig, GroupProgressConfig
from redis_curriculum.errors import (
    CurriculumNotFoundError,
    InvalidInputError,
    StaleGenerationError,
    WorkerFencedError,
)
from redis_curriculum.tasks import Table
from redis_curriculum.tasks.outcome import Outcome

T = TypeVar("T")

MOST_ROWS: Final = 16_384
"""In a batch, all ranks together."""
_COUNT: Final = In(f"[1, {MOST_ROWS}]")
_NUMBER: Final = In("[0, 2**53)")
_LENGTH: Final = In("[1, 2**53)")
_LOOKS_BACK: Final = In("[0, 255]")
_LEAST_TRIALS: Final = 2


class Group(NamedTuple):
    """The rollouts of one prompt."""

    row: int
    successes: int
    trials: int


class Prompts:
    """Batches of distinct rows of a data set, and what came of them.

    The curriculum's tasks are the rows: its config has a ``Table`` of the data set. A step's batch
    is drawn once, under a key of the server (``Curriculum.get_batch``): ranks that give the same
    ``key`` get the same batch for the same step, whoever asks first, and so does a trainer that
    goes back to a step.

    If the curriculum was restored meanwhile, the handle is reopened; if its lease ended, it becomes
    a new worker.

    Args:
        curriculum: An open curriculum; closing it is the caller's.
        batch_size: Rows of a batch, of this rank.
        key: Tells this run's batches from others, the same on every rank. Default: a random one,
            so that this object draws for itself. A run that begins anew takes another key.
        num_batches: Batches in one pass (one ``iter``). Default: as many as the table fills.
        num_replicas: How many ranks share each batch; together they get ``batch_size`` times as
            many distinct rows.
        rank: Which share is this rank's: rows ``rank``, ``rank + num_replicas``, ... of the batch.
        skip_right: Pass over a prompt for so many batches (0 to 255) after the one it was in, if
            its last group was all right. Then it is drawn like others, so it is tried again.
        skip_wrong: The same, if its last group was all wrong. If too few prompts are left for a
            batch, those that would be passed over are drawn all the same.
        success: A rollout is a success from this score on.

    Raises:
        InvalidInputError: A value is out of its range, the batch is larger than the table, or the
            config has no ``Table``.
        GeneratorError: The rows of the table are not in this process: pass the table as
            ``generator=`` when opening.
    """

    def __init__(
        self,
        curriculum: Curriculum,
        batch_size: int,
        *,
        key: str | None = None,
        num_batches: int | None = None,
        num_replicas: int = 1,
        rank: int = 0,
        skip_right: int = 0,
        skip_wrong: int = 0,
        success: float = 1.0,
    ) -> None:
        if not isinstance(curriculum, Curriculum):
            raise InvalidInputError("curriculum", "an open Curriculum", curriculum)
        table = curriculum.config.task_generator
        if not isinstance(table, Table):
            rule = "one whose task_generator is a Table of the prompts"
            raise InvalidInputError("curriculum", rule, table)
        self.curriculum = curriculum
        self.table = table
        table.id_at(0)  # the rows are here
        self.batch_size = int(_COUNT.require(batch_size, "batch_size"))
        self.num_replicas = int(_COUNT.require(num_replicas, "num_replicas"))
        self.rank = int(_NUMBER.require(rank, "rank"))
        if self.rank >= self.num_replicas:
            raise InvalidInputError("rank", f"below num_replicas, {self.num_replicas}", rank)
        most = min(MOST_ROWS, table.count) // self.num_replicas
        if self.batch_size > most:
            rule = f"at most {most}: the table has {table.count} rows, and those of a batch differ"
            raise InvalidInputError("batch_size", rule, batch_size)
        self.key = _key(secrets.token_hex(8) if key is None else key, "key")
        filled = max(1, table.count // (self.batch_size * self.num_replicas))
        wished = filled if num_batches is None else num_batches
        self.num_batches = int(_LENGTH.require(wished, "num_batches"))
        self.skip_right = int(_LOOKS_BACK.require(skip_right, "skip_right"))
        self.skip_wrong = int(_LOOKS_BACK.require(skip_wrong, "skip_wrong"))
        self.success = _finite(success, "success")
        self._step, self._taken, self._end = 0, 0, 0
        self._resumes = False
        self._drawn = np.zeros(table.count, np.bool_)

    # --- batches ---------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """The number of the next batch, from 0 on."""
        return self._step

    def batch(self, step: int) -> list[int]:
        """Return this rank's rows of a step's batch: the same whenever it is asked for.

        One round trip. The server keeps the latest 256 batches (fewer if they are larger than 1,024
        rows); an older one is drawn anew.

        Raises:
            InvalidInputError: Another rank asked for another number of rows by this key, or the
                pool has fewer rows than the batch; nothing was drawn.
        """
        name = f"{self.key} {_NUMBER.require(step, 'step')}"
        count = self.batch_size * self.num_replicas
        skips = {"skip_right": self.skip_right, "skip_wrong": self.skip_wrong}
        ids = self._ask(lambda: self.curriculum.get_batch(name, count, **skips))
        rows = [self.table.index_of(task_id) for task_id in ids[self.rank :: self.num_replicas]]
        self._drawn[rows] = True
        return rows

    def next_batch(self) -> list[int]:
        """Return the next batch, and go on to the one after it."""
        rows = self.batch(self._step)[self._taken :]
        self._step, self._taken = self._step + 1, 0
        return rows

    def rows(self, end: float = math.inf) -> Iterator[int]:
        """Yield rows one by one, up to a step; one round trip for each batch."""
        while self._step < end:
            for row in self.batch(self._step)[self._taken :]:
                self._taken += 1
                if self._taken >= self.batch_size:
                    self._step, self._taken = self._step + 1, 0
                yield row

    def begin_pass(self) -> int:
        """Begin a pass, or go on with the one that a loaded state was in; return where it ends."""
        if self._resumes:
            self._resumes = False
        else:
            if self._taken:  # the pass before was left within a batch
                self._step, self._taken = self._step + 1, 0
            self._end = self._step + self.num_batches
        return self._end

    # --- results ---------------------------------------------------------------------------------

    def update(self, rows: Any, scores: Any) -> list[Outcome]:
        """Report the rollouts of some prompts, a group for each; one outcome a group.

        Report each rollout once: ranks report their own groups, or one rank those of all. An
        algorithm that asks for ``trials`` (``GroupProgressConfig``) gets successes and trials, any
        other the share of successes. One round trip a chunk, and one for each row that this object
        has not handed out.

        Args:
            rows: n row indices, a list or an array of any library.
            scores: n groups, each of at least two rollouts' scores, shape (n, group size); or one
                score for each of n rollouts, where ``rows`` repeats the row of a group.

        Raises:
            InvalidInputError: A row was never drawn, a score is no finite number, a group has one
                rollout; nothing was reported.
        """
        groups = groups_of(rows, scores, self.success)
        for i, group in enumerate(groups):
            self._check_drawn(group.row, f"rows[{i}]")
        low, high = self.curriculum.config.score_range
        asked = {number.name for number in self.curriculum.config.algorithm.reported}
        results: list[Any] = []
        for row, successes, trials in groups:
            task_id, score = self.table.id_at(row), low + (high - low) * (successes / trials)
            more = ({"trials": trials},) if "trials" in asked else ()
            results.append((task_id, score, *more))
        return self._ask(lambda: self.curriculum.update_many(results))

    def _check_drawn(self, row: int, field: str) -> None:
        if not 0 <= row < self.table.count:
            raise InvalidInputError(field, f"a row in [0, {self.table.count})", row)
        if not self._drawn[row]:  # then by another process, or before a restart
            record = self.curriculum.get_task_stats(self.table.id_at(row))
            if record is not None and not record.sample_count:
                raise InvalidInputError(field, "a row that was drawn", row)
            self._drawn[row] = True

    def _ask(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except StaleGenerationError:
            self.curriculum.reopen()
        except WorkerFencedError as error:
            if error.applied != "no":
                raise
            self.curriculum.register()
        return call()

    # --- checkpoint ------------------------------------------------------------------------------

    def state_dict(self, step: int | None = None) -> dict[str, Any]:
        """Return where this object stands, a few plain values; no round trip.

        It goes into the trainer's checkpoint beside ``curriculum.state_dict()``, which holds the
        rest: statistics, random numbers, and the batches that were drawn ahead.

        Args:
            step: How many batches the trainer has done. Default: those that were handed out, which
                is more where a ``DataLoader`` with workers has asked for batches ahead.
        """
        at = self._step if step is None else int(_NUMBER.require(step, "step"))
        return {
            "key": self.key,
            "step": at,
            "taken": self._taken if step is None else 0,
            "end": self._end,
            "batch_size": self.batch_size * self.num_replicas,
            "rows": self.table.count,
            "fingerprint": self.table.fingerprint,
        }

    def load_state_dict(self, state: object) -> None:
        """Go on from a state: the next pass begins at its step, and ends where that one's ended.

        Raises:
            InvalidInputError: It is not what ``state_dict()`` returned, or the table has other rows
                now, or the batches another size; nothing was changed.
        """
        found: dict[str, Any] = dict(state) if isinstance(state, Mapping) else {}
        own = self.state_dict()
        if found.keys() != own.keys():
            rule = f"what state_dict() returned, with {', '.join(own)}"
            raise InvalidInputError("state", rule, sorted(map(str, found)) or state)
        for name in ("rows", "fingerprint", "batch_size"):
            if type(found[name]) is not type(own[name]) or found[name] != own[name]:
                rule = f"{own[name]!r}, as it is now"
                raise InvalidInputError(f"state.{name}", rule, found[name])
        _key(found["key"], "state.key")
        for name in ("step", "taken", "end"):
            _NUMBER.require(found[name], f"state.{name}")
        if found["taken"] >= self.batch_size:
            raise InvalidInputError("state.taken", f"below {self.batch_size}", found["taken"])
        self.key, self._step, self._taken = found["key"], found["step"], found["taken"]
        self._end = found["end"]
        self._resumes = self._step < self._end


@contextmanager
def opened(url: str, name: str, table: Table) -> Iterator[Curriculum]:
    """Open the curriculum of a table's rows; where there is none, create it.

    A new one gets ``GroupProgressConfig``, an existing one keeps what it has. It stays open, unless
    the block raises.

    Raises:
        ConfigMismatchError: The curriculum has other rows.
    """
    try:
        curriculum = Curriculum.open(url, name, generator=table, resume="must")
    except CurriculumNotFoundError:
        config = CurriculumConfig(task_generator=table, algorithm=GroupProgressConfig())
        curriculum = Curriculum.open(url, name, config)
    try:
        yield curriculum
    except BaseException:
        curriculum.close()
        raise


def groups_of(rows: Any, scores: Any, success: float = 1.0) -> list[Group]:
    """Return the groups of rollouts, in the order in which their rows come first.

    Args:
        rows: n row indices.
        scores: n groups of scores; or n scores, where each row is repeated for its rollouts.
        success: A rollout is a success from this score on.

    Raises:
        InvalidInputError: With the field: lengths differ, a score is no finite number, a row is no
            integer, or a group has less than two rollouts.
    """
    given, found = _listed(rows, "rows"), _listed(scores, "scores")
    success = _finite(success, "success")
    if len(found) != len(given):
        rule = f"{len(given)} of them, one score or one group for each row"
        raise InvalidInputError("scores", rule, len(found))
    by_row: dict[Any, list[float]] = {}
    for i, (row, of_row) in enumerate(zip(given, found, strict=True)):
        _NUMBER.require(row, f"rows[{i}]")
        if isinstance(of_row, (list, tuple)):
            group = [_finite(s, f"scores[{i}][{k}]") for k, s in enumerate(of_row)]
            at: Any = (row, i)
        else:
            group, at = [_finite(of_row, f"scores[{i}]")], (row, None)
        by_row.setdefault(at, []).extend(group)
    groups = list[Group]()
    for (row, _), group in by_row.items():
        if len(group) < _LEAST_TRIALS:
            rule = f"a group of at least {_LEAST_TRIALS} rollouts for row {row}"
            raise InvalidInputError("scores", rule, group)
        groups.append(Group(int(row), sum(score >= success for score in group), len(group)))
    return groups


def _key(key: Any, field: str) -> str:
    """Return a key that leaves room for a step's number."""
    validate_label(f"{validate_label(key, field=field)} {2**53}", field=field)
    return str(key)


def _listed(given: Any, field: str) -> list[Any]:
    """Return lists of what may be arrays or tensors."""
    found = given.tolist() if hasattr(given, "tolist") else given
    if not isinstance(found, (list, tuple)) or not found:
        raise InvalidInputError(field, "a list or an array, not empty", given)
    return [one.tolist() if hasattr(one, "tolist") else one for one in found]


def _finite(value: Any, field: str) -> float:
    try:
        found = float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:  # an integer beyond floats
        found = math.nan
    if not math.isfinite(found):
        raise InvalidInputError(field, "a finite number", value)
    return found
