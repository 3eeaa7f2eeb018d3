"""The scripts, called one by one with nothing between: for tests below the store.

``Harness`` is one worker of one curriculum. It numbers its writes, passes the hypers as the headers
ask for them and turns error replies into the library's errors; it never retries. Whatever it is
given goes to the server as it is, so that a test can also pass nonsense.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import redis
from redis import exceptions

from redis_curriculum._protocol.keys import PARTS, SCHEMA, Keys
from redis_curriculum._protocol.scripts import Script, load
from redis_curriculum._sampling.pool import Pool
from redis_curriculum._sampling.random_stream import RandomStream, State
from redis_curriculum._sampling.sigmoid import Sums, pool_weights
from redis_curriculum._store.variant import packed_hypers, readable, variant_of
from redis_curriculum._wire.refusals import error_of
from redis_curriculum.config import CurriculumConfig
from redis_curriculum.scorers import Scorer, Statistics
from redis_curriculum.scorers.statistics import Holder
from redis_curriculum.tasks import Single
from tests.model import Spec
from tests.statistics import PoolTask, make_pool

Argument = str | bytes | int | float


def text_config(hypers: Scorer, **fields: Any) -> CurriculumConfig:
    """A config whose generator is never asked."""
    return CurriculumConfig(task_generator=Single(label="unused"), algorithm=hypers, **fields)


@dataclass(frozen=True)
class Reply:
    """What sample, step and replace answer."""

    repeated: int
    wanted: int
    missing: int
    outcomes: list[int]
    tasks: list[tuple[int, str, Any]]
    """(task_id, label, params) of each drawn task."""

    @classmethod
    def parse(cls, flat: list[Any]) -> Reply:
        repeated, _, wanted, missing, n = flat[:5]
        rest = flat[5 + n :]
        tasks = [
            (int(task_id), label, json.loads(params))
            for task_id, label, params in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
        ]
        return cls(repeated, wanted, missing, flat[5 : 5 + n], tasks)

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
        self.generation = 1
        self.quarantine_retained = 1000
        self.version = 1
        self.open()
        self.register()

    # --- calling ---------------------------------------------------------------------------------

    def call(self, script: str | Script, *args: Argument) -> Any:
        """EVALSHA, or EVAL the first time; an error reply becomes the library's error."""
        found = load(script, variant_of(self.hypers)) if isinstance(script, str) else script
        tail = (1, self.keys.meta, *args)
        try:
            try:
                return self.client.execute_command("EVALSHA", found.sha, *tail)
            except exceptions.NoScriptError:
                return self.client.execute_command("EVAL", found.source, *tail)
        except exceptions.ResponseError as error:
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
    def hypers(self) -> Any:
        return self.config.algorithm

    def specs(self, specs: Sequence[Spec], first: int) -> list[Argument]:
        flat: list[Argument] = []
        for i, (task_id, label, params) in enumerate(specs):
            flat += [first + i, task_id, label, json.dumps(params)]
        return flat

    # --- scripts ---------------------------------------------------------------------------------

    def configure(self, config: CurriculumConfig) -> None:
        """Change the numbers under the worker, and nothing else."""
        self.config = config
        self.client.hset(self.keys.meta, "hypers", packed_hypers(config))

    def retune(self, config: CurriculumConfig, change: str, begin: str | None = None) -> int:
        """Change the config as ``configure`` does; indices that depend on it are not built yet."""
        otherwise = self.hypers.is_indexed_otherwise(config.algorithm)
        start = ("start 0 0" if otherwise else "") if begin is None else begin
        args = (change, config.to_json(), config.sha256(), packed_hypers(config), start)
        tail = (config.events_retained, "{}", "host", 1)
        version = self.call("configure", self.generation, self.version, *args, *tail)
        self.version, self.config = version, config
        return int(version)

    def reindex(self) -> int:
        """One step; 1 where more is to be done."""
        return int(self.call("reindex", self.generation))

    def open(self) -> list[Any]:
        state = RandomStream.from_seed(self.config.seed).text
        text, digest = self.config.to_json(), self.config.sha256()
        reply: list[Any] = self.call(
            "open", 1, SCHEMA, text, digest, packed_hypers(self.config), state, secrets.token_hex(4)
        )
        self.generation = reply[2]
        self.keys = Keys(self.keys.name, self.generation)
        return reply

    def register(self, handle: str = "handle", takes: str = "") -> int:
        self.sequence, _ = self.call(
            *("register", self.generation, self.worker, handle, "", 0, self.lease_ms, takes),
            *("host", 1, "", ""),
        )
        return self.sequence

    def renew(self) -> int:
        return int(self.call("renew", self.generation, self.worker, self.sequence, self.lease_ms))

    def leave(self, handle: str = "handle") -> int:
        return int(self.call("leave", self.generation, self.worker, handle, self.sequence))

    def resume(self, last: int, following: int) -> int:
        return int(self.call("resume", self.generation, self.worker, last, following))

    def reserve(
        self,
        count: int,
        purpose: str = "replace",
        *,
        again: str = "",
        most: int = 0,
        sequence: int | None = None,
    ) -> list[int]:
        """Returns [repeated, first, count, missing]; with ``most`` also whether it is complete."""
        reply: list[int] = self.write("reserve", count, purpose, again, most, sequence=sequence)
        return reply if most else reply[:4]

    def made(self, specs: Sequence[Spec], first: int | None) -> list[Argument]:
        """Arguments of tasks for the indices from ``first`` on; None: reserved before."""
        at = self.reserve(max(1, len(specs)))[1] if first is None else first
        return [self.version, at, at + len(specs)]

    def create(
        self,
        specs: Sequence[Spec],
        *,
        first: int | None = None,
        sequence: int | None = None,
        trouble: str = "",
    ) -> list[int]:
        """Returns [repeated, created, missing]."""
        head = self.made(specs, first if sequence is None else first or 0)
        flat = self.specs(specs, int(head[1]))
        reply: list[int] = self.write("create", *head, trouble, *flat, sequence=sequence)
        return reply

    def record(
        self, results: Iterable[tuple[int, float]], *, sequence: int | None = None
    ) -> list[int]:
        """Returns [repeated, outcomes...]."""
        flat = [item for result in results for item in result]
        reply: list[int] = self.write("record", *flat, sequence=sequence)
        return [reply[0], *reply[2:]]

    def sample(
        self,
        count: int,
        *,
        replay: str = "",
        distinct: int = 0,
        chosen: str = "",
        sequence: int | None = None,
    ) -> Reply:
        flat = self.write("sample", count, 1, replay, distinct, chosen, sequence=sequence)
        return Reply.parse(flat)

    def step(
        self,
        results: Iterable[tuple[int, float]],
        count: int,
        *,
        replay: str = "",
        distinct: int = 0,
        sequence: int | None = None,
    ) -> Reply:
        flat = [item for result in results for item in result]
        args = [count, 1, replay, distinct, "", *flat]
        return Reply.parse(self.write("step", *args, sequence=sequence))

    def replace(
        self, specs: Sequence[Spec], *, first: int | None = None, sequence: int | None = None
    ) -> Reply:
        head = self.made(specs, first if sequence is None else first or 0)
        flat = self.specs(specs, int(head[1]))
        return Reply.parse(self.write("replace", *head, *flat, sequence=sequence))

    def evict(self, task_ids: Iterable[int], *, sequence: int | None = None) -> list[int]:
        """Returns [repeated, flags...]."""
        reply: list[int] = self.write("evict", *task_ids, sequence=sequence)
        return reply

    def set_label(self, task_id: int, label: str, *, sequence: int | None = None) -> list[int]:
        """Returns [repeated, moved]."""
        reply: list[int] = self.write("set_label", task_id, label, sequence=sequence)
        return reply

    def set_weights(
        self, weights: Mapping[int, float], *, sequence: int | None = None
    ) -> list[int]:
        """Returns [repeated, flags...]."""
        flat = [item for pair in weights.items() for item in pair]
        reply: list[int] = self.write("set_weights", *flat, sequence=sequence)
        return reply

    def fail(
        self, task_id: int, error: str, *, permanent: bool = False, sequence: int | None = None
    ) -> list[int]:
        """Returns [repeated, outcome, missing]."""
        args = (int(permanent), self.quarantine_retained, task_id, error)
        reply: list[int] = self.write("fail", *args, sequence=sequence)
        return reply

    def end_epoch(
        self, epoch: int, step: int | str = "", *, sequence: int | None = None
    ) -> list[int]:
        """Returns [repeated]."""
        reply: list[int] = self.write("end_epoch", epoch, step, sequence=sequence)
        return reply

    def note_epoch(
        self, epoch: int, rows: Iterable[tuple[str, float, float]], *, sequence: int | None = None
    ) -> list[int]:
        """Returns [repeated]; rows of label, success rate, learning progress."""
        flat = [item for row in rows for item in row]
        reply: list[int] = self.write("note_epoch", epoch, 0.5, *flat, sequence=sequence)
        return reply

    def read(self, task_ids: Iterable[int]) -> list[dict[str, str]]:
        return [self.whole("task", self.keys.task(task_id)) for task_id in task_ids]

    def whole(self, holder: Holder, key: str) -> dict[str, str]:
        """A task's or label's hash, with its statistics printed by name."""
        fields = dict(self.client.hgetall(key))
        if "stats" not in fields:
            return fields
        statistics = self.hypers.unpacked(holder, raw(fields.pop("stats")))
        return {**fields, **{name: f"{value:.17g}" for name, value in statistics.items()}}

    # --- state -----------------------------------------------------------------------------------

    @property
    def stream_state(self) -> State:
        """The random stream's state, as stored."""
        text = str(self.client.hget(self.keys.meta, "random"))
        return RandomStream.from_text(text).state

    def set_stream(self, state: Sequence[int]) -> None:
        self.client.hset(self.keys.meta, "random", RandomStream(state).text)

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
    pool = make_pool(tasks, labels or {})
    pipe = harness.client.pipeline(transaction=False)
    parts, ranks = pool.parts(hypers), pool.ranks(hypers)
    for part, positions in zip(PARTS, parts, strict=True):
        for i in positions.tolist():
            pipe.zadd(keys.pool + part, {str(tasks[i].task_id): float(ranks[i])})
    for task in tasks:
        fields = {"label": task.label, "params": "{}", **_stored(hypers, "task", task.statistics)}
        pipe.hset(keys.task(task.task_id), mapping=fields)
    for label, (learning_progress, p_true) in (labels or {}).items():
        statistics = {"completion_count": 1, "learning_progress": learning_progress}
        statistics["p_true"] = p_true
        pipe.hset(keys.progress(label), mapping=_stored(hypers, "label", statistics))
    weights = pool_weights(pool, hypers)[pool.eligible(hypers)]
    pipe.hset(keys.sums, mapping=asdict(Sums.of(weights)))
    pipe.execute()
    return pool


def _stored(scorer: Scorer, holder: Holder, statistics: Statistics) -> dict[str, Any]:
    """Fields of a hash; statistics that say nothing are 0, but p_fast is stored for p_true."""
    if not statistics:
        return {"completion_count": 0}
    zeros = dict.fromkeys(scorer.stored(holder), 0.0)
    aliased = {of: statistics[name] for name, of in scorer.aliases.items() if name in statistics}
    return readable(scorer, holder, {**zeros, **aliased, **statistics}, 0.0)


def raw(text: str) -> bytes:
    """The bytes that ``connect`` decoded."""
    return text.encode(errors="surrogateescape")


class Server(Protocol):
    """Whatever has a unix socket."""

    @property
    def socket(self) -> object:
        """Its path."""


def connect(server: Server) -> Any:
    """A client whose replies are text; RESP2."""
    return redis.Redis(
        unix_socket_path=str(server.socket),
        decode_responses=True,
        encoding_errors="surrogateescape",  # some fields hold bytes: ``raw``
        protocol=2,
    )


def commands_run(server: Server, name: str = "") -> int:
    """How many commands (or of one name) the server has run, those inside scripts too."""
    with connect(server) as client:
        stats = client.info("commandstats")
    counted = {command: stat["calls"] for command, stat in stats.items()}
    counted.pop("cmdstat_info", None)
    counted.pop("cmdstat_client|setinfo", None)  # what a test's own client says first
    return counted.get(f"cmdstat_{name}", 0) if name else sum(counted.values())
