"""The scripts, called one by one with nothing between: for tests below the store.

``Harness`` is one worker of one curriculum. It numbers its writes, passes the hypers as the headers
ask for them and turns error replies into the library's errors; it never retries. Whatever it is
given goes to the server as it is, so that a test can also pass nonsense.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import redis

from redis_curriculum._protocol.keys import PARTS, SCHEMA, Keys
from redis_curriculum._protocol.scripts import Script, load
from redis_curriculum._sampling.pool import Pool, PoolTask
from redis_curriculum._sampling.random_stream import RandomStream, State
from redis_curriculum._wire.refusals import error_of
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig
from redis_curriculum.tasks import Single
from redis_curriculum.tasks.ids import label_hash
from tests.model import Spec

Argument = str | bytes | int | float


def text_config(hypers: LearningProgressConfig, **fields: Any) -> CurriculumConfig:
    """A config whose generator is never asked."""
    return CurriculumConfig(task_generator=Single(label="unused"), algorithm=hypers, **fields)


def packed(config: CurriculumConfig) -> bytes:
    """The hypers as lua/include/hypers.lua unpacks them, spelled here a second time."""
    h = config.algorithm.hypers
    bonus = h.exploration == "bonus"
    numbers = [
        *(h.pooling == "label", h.performance_bonus_weight),
        *(h.task_tracker_ema_alpha, h.ema_timescale, h.slow_timescale_factor),
        *(h.success_threshold, h.use_baseline_normalization, h.use_bidirectional),
        *(h.early_progress_amplification, h.min_samples_for_lp),
        *(h.min_presentations_for_eviction, h.rand_task_rate, bonus),
        *(h.exploration_bonus if bonus else h.exploration_share, h.temperature),
        *(h.z_score_amplification, h.progress_smoothing, h.eviction_threshold_percentile),
        *(h.replacement_rate, config.num_active_tasks),
    ]
    return struct.pack("<20d", *numbers)


@dataclass(frozen=True)
class Reply:
    """What sample, step and replace answer."""

    repeated: int
    wanted: int
    next_index: int
    missing: int
    outcomes: list[int]
    tasks: list[tuple[int, str, Any]]
    """(task_id, label, params) of each drawn task."""

    @classmethod
    def parse(cls, flat: list[Any]) -> Reply:
        repeated, wanted, next_index, missing, n = flat[:5]
        rest = flat[5 + n :]
        tasks = [
            (int(task_id), label, json.loads(params))
            for task_id, label, params in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
        ]
        return cls(repeated, wanted, next_index, missing, flat[5 : 5 + n], tasks)

    @property
    def ids(self) -> list[int]:
        return [task_id for task_id, _, _ in self.tasks]


class Harness:
    """One worker of one curriculum; each method is one call of one script.

    The client must decode its replies.
    """

    def __init__(
        self,
        client: redis.Redis,
        name: str,
        config: CurriculumConfig,
        *,
        worker: str = "w0",
        lease_ms: int = 600_000,
    ) -> None:
        self.client: Any = client
        self.keys = Keys(name)
        self.config = config
        self.worker = worker
        self.lease_ms = lease_ms
        self.sequence = 0
        self.next_index = 0
        self.generation = 1
        self.quarantine_retained = 1000
        self.open()
        self.register()

    # --- calling ---------------------------------------------------------------------------------

    def call(self, script: str | Script, *args: Argument) -> Any:
        """EVALSHA, or EVAL the first time; an error reply becomes the library's error."""
        found = load(script) if isinstance(script, str) else script
        tail = (1, self.keys.meta, *args)
        try:
            try:
                return self.client.execute_command("EVALSHA", found.sha, *tail)
            except redis.exceptions.NoScriptError:
                return self.client.execute_command("EVAL", found.source, *tail)
        except redis.exceptions.ResponseError as error:
            code, _, detail = str(error).partition(" ")
            if not code.startswith("RC"):
                raise
            raise error_of(code, detail.split(" ")[0]) from error

    def write(self, script: str, *args: Argument, sequence: int | None = None) -> Any:
        """Call with the next number (or ``sequence``); it counts once the script has answered."""
        number = self.sequence + 1 if sequence is None else sequence
        reply = self.call(script, self.generation, self.worker, number, 0, *args)
        self.sequence = max(self.sequence, number)
        return reply

    # --- arguments -------------------------------------------------------------------------------

    @property
    def hypers(self) -> LearningProgressConfig:
        return self.config.algorithm.hypers

    @property
    def pooled(self) -> list[Argument]:
        return [int(self.hypers.pooling == "label"), self.hypers.performance_bonus_weight]

    @property
    def packed(self) -> bytes:
        return packed(self.config)

    def specs(self, specs: Sequence[Spec], first: int) -> list[Argument]:
        flat: list[Argument] = []
        for i, (task_id, label, params) in enumerate(specs):
            flat += [first + i, task_id, label, label_hash(label), json.dumps(params)]
        return flat

    # --- scripts ---------------------------------------------------------------------------------

    def open(self) -> list[Any]:
        state = " ".join(map(str, RandomStream.from_seed(self.config.seed).state))
        text, digest = self.config.to_json(), self.config.sha256()
        reply: list[Any] = self.call("open", 1, SCHEMA, text, digest, state)
        self.generation, self.next_index = reply[2], reply[4]
        self.keys = Keys(self.keys.name, self.generation)
        return reply

    def register(self, handle: str = "handle") -> int:
        self.sequence, _ = self.call(
            "register", self.generation, self.worker, handle, "", 0, self.lease_ms, "host", 1
        )
        return self.sequence

    def renew(self) -> int:
        return int(self.call("renew", self.generation, self.worker, self.sequence, self.lease_ms))

    def leave(self, handle: str = "handle") -> int:
        return int(self.call("leave", self.generation, self.worker, handle, self.sequence))

    def resume(self, last: int, following: int) -> int:
        return int(self.call("resume", self.generation, self.worker, last, following))

    def create(
        self, specs: Sequence[Spec], *, next_index: int | None = None, sequence: int | None = None
    ) -> list[int]:
        """Returns [repeated, created, next_index, missing]."""
        first = self.next_index if next_index is None else next_index
        head = (
            self.hypers.success_threshold,
            self.config.events_retained,
            self.config.num_active_tasks,
            first,
        )
        reply: list[int] = self.write("create", *head, *self.specs(specs, first), sequence=sequence)
        self.next_index = reply[2]
        return reply

    def record(
        self, results: Iterable[tuple[int, float]], *, sequence: int | None = None
    ) -> list[int]:
        """Returns [repeated, outcomes...]."""
        flat = [item for result in results for item in result]
        reply: list[int] = self.write("record", self.packed, *flat, sequence=sequence)
        return reply

    def sample(self, count: int, *, replay: str = "", sequence: int | None = None) -> Reply:
        flat = self.write("sample", self.packed, count, replay, sequence=sequence)
        return Reply.parse(flat)

    def step(
        self,
        results: Iterable[tuple[int, float]],
        count: int,
        *,
        replay: str = "",
        sequence: int | None = None,
    ) -> Reply:
        flat = [item for result in results for item in result]
        args = [self.packed, count, replay, *flat]
        return Reply.parse(self.write("step", *args, sequence=sequence))

    def replace(
        self, specs: Sequence[Spec], *, next_index: int | None = None, sequence: int | None = None
    ) -> Reply:
        first = self.next_index if next_index is None else next_index
        head = (
            *self.pooled,
            self.hypers.eviction_threshold_percentile,
            self.hypers.success_threshold,
            self.config.labels_retained,
            self.config.events_retained,
            self.config.num_active_tasks,
            first,
        )
        reply = Reply.parse(
            self.write("replace", *head, *self.specs(specs, first), sequence=sequence)
        )
        self.next_index = reply.next_index
        return reply

    def evict(self, task_ids: Iterable[int], *, sequence: int | None = None) -> list[int]:
        """Returns [repeated, flags...]."""
        head = (*self.pooled, self.config.labels_retained, self.config.events_retained)
        reply: list[int] = self.write("evict", *head, *task_ids, sequence=sequence)
        return reply

    def set_label(self, task_id: int, label: str, *, sequence: int | None = None) -> list[int]:
        """Returns [repeated, moved]."""
        head = (*self.pooled, self.config.labels_retained)
        reply: list[int] = self.write(
            "set_label", *head, task_id, label, label_hash(label), sequence=sequence
        )
        return reply

    def fail(
        self, task_id: int, error: str, *, permanent: bool = False, sequence: int | None = None
    ) -> list[int]:
        """Returns [repeated, outcome, next_index, missing]."""
        score, config = self.hypers.failure_score, self.config
        args = (
            1 if permanent else self.hypers.max_consecutive_failures,
            config.labels_retained,
            config.events_retained,
            self.quarantine_retained,
            task_id,
            "" if score is None else score,
            error,
        )
        reply: list[int] = self.write("fail", self.packed, *args, sequence=sequence)
        return reply

    def end_epoch(self, epoch: int, *, sequence: int | None = None) -> list[int]:
        """Returns [repeated]."""
        args = (epoch, self.config.epochs_retained, self.config.events_retained)
        reply: list[int] = self.write("end_epoch", *args, sequence=sequence)
        return reply

    def note_epoch(
        self, epoch: int, rows: Iterable[tuple[str, float, float]], *, sequence: int | None = None
    ) -> list[int]:
        """Returns [repeated]; rows of label, success rate, learning progress."""
        flat = [item for row in rows for item in row]
        reply: list[int] = self.write("note_epoch", epoch, *flat, sequence=sequence)
        return reply

    def read(self, task_ids: Iterable[int]) -> list[dict[str, str]]:
        flats = self.call("read", self.generation, *task_ids)
        return [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in flats]

    # --- state -----------------------------------------------------------------------------------

    @property
    def stream_state(self) -> State:
        """The random stream's state, as stored."""
        text = str(self.client.hget(self.keys.meta, "random"))
        s10, s11, s12, s20, s21, s22 = map(int, text.split(" "))
        return s10, s11, s12, s20, s21, s22

    def set_stream(self, state: Sequence[int]) -> None:
        self.client.hset(self.keys.meta, "random", " ".join(map(str, state)))

    def wipe(self) -> None:
        """Take this curriculum off the server."""
        for key in self.client.scan_iter(f"{self.keys.prefix}*", count=1000):
            self.client.unlink(key)


def plant(
    harness: Harness,
    tasks: Sequence[PoolTask],
    labels: Mapping[str, tuple[float, float]] | None = None,
) -> Pool:
    """Write a pool of any shape as if it had come about; return the reference's view of it.

    ``labels`` holds each label's (learning_progress, p_true); it is not checked for sense.
    """
    keys, hypers = harness.keys, harness.hypers
    pool = Pool.of(tasks, labels or {})
    pipe = harness.client.pipeline(transaction=False)
    parts = pool.parts(hypers)
    for part, positions in zip(PARTS, parts, strict=True):
        for i in positions.tolist():
            pipe.zadd(keys.pool + part, {str(tasks[i].task_id): float(pool.own_scores[i])})
    for task in tasks:
        numbers = {
            "task_id": task.task_id,
            "label": task.label,
            "params": "{}",
            "completion_count": task.completion_count,
            "learning_progress": task.learning_progress,
            "p_true": task.p_true,
        }
        known = {name: value for name, value in numbers.items() if value is not None}
        pipe.hset(keys.task(task.task_id), mapping=known)
    for label, (learning_progress, p_true) in (labels or {}).items():
        fields = {"learning_progress": learning_progress, "p_true": p_true}
        pipe.hset(keys.progress(label), mapping=fields)
    sums = pool.sums(hypers)
    bitfield = pipe.bitfield(keys.sums)
    for slot, amount in enumerate((sums.s, sums.q0, sums.q1, sums.q2)):
        bitfield.set("i64", f"#{slot}", amount)
    bitfield.execute()
    pipe.execute()
    return pool


class Server(Protocol):
    """Whatever has a unix socket."""

    @property
    def socket(self) -> object:
        """Its path."""


def connect(server: Server) -> Any:
    """A client whose replies are text; RESP2."""
    return redis.Redis(unix_socket_path=str(server.socket), decode_responses=True, protocol=2)


def commands_run(server: Server, name: str = "") -> int:
    """How many commands (or of one name) the server has run, those inside scripts too."""
    with connect(server) as client:
        stats = client.info("commandstats")
    counted = {command: stat["calls"] for command, stat in stats.items()}
    counted.pop("cmdstat_info", None)
    counted.pop("cmdstat_client|setinfo", None)  # what a test's own client says first
    return counted.get(f"cmdstat_{name}", 0) if name else sum(counted.values())
