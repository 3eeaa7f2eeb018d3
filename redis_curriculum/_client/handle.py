"""What the blocking and the asyncio handle have in common: who and where they are."""

from __future__ import annotations

import os
import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

from redis_curriculum._protocol.plan import Plan, T
from redis_curriculum._store.ahead import Played
from redis_curriculum._store.calls import Call
from redis_curriculum._store.once import RENEWALS_PER_LEASE
from redis_curriculum._store.play import MOST_DRAWS, Play, play
from redis_curriculum._store.store import Store
from redis_curriculum._values.rules import In
from redis_curriculum._wire.urls import Address, Credentials, parse
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.errors import CurriculumError, InvalidInputError
from redis_curriculum.tasks.build import custom_generators
from redis_curriculum.tasks.custom import Custom
from redis_curriculum.tasks.outcome import Result
from redis_curriculum.tasks.task import TaskGenerator

_COUNT: Final = In(f"[1, {MOST_DRAWS}]")


class Handle(ABC):
    """One curriculum as one worker of one process sees it."""

    def __new__(cls, *arguments: Any, **named: Any) -> Self:
        """Refuse to make one in any other way than ``open`` and ``restore`` do.

        Raises:
            InvalidInputError: It names ``open`` and its arguments.
        """
        if not (arguments and isinstance(arguments[0], Address)):
            rule = f"made with {cls.__name__}.open(url, name, config)"
            raise InvalidInputError(cls.__name__, rule, (*arguments, *named.values()))
        return super().__new__(cls)

    def __init__(self, address: Address, store: Store) -> None:
        self._address = address
        self._store = store
        self._pid = os.getpid()
        self._closed = False

    @property
    def config(self) -> CurriculumConfig:
        """The stored config, as of this handle's last call."""
        return self._store.config

    @property
    def generation(self) -> int:
        """Which state of the curriculum this handle works on: each restore makes the next one."""
        return self._store.server.keys.generation

    @property
    def epoch(self) -> int:
        """The epoch this handle believes current: as of open, or of its own last ``end_epoch``."""
        return self._store.epoch

    @property
    def name(self) -> str:
        """The curriculum's name."""
        return self._store.server.keys.name

    @property
    def url(self) -> str:
        """The URL, without password."""
        return self._address.public

    @property
    def worker_id(self) -> str:
        """This handle's id as a worker; another one after a fork."""
        self._here()
        return self._store.worker.worker_id

    @property
    def lost_writes(self) -> int:
        """Acknowledged writes of this handle that the server lost and that it could not replay.

        A failover loses what was not yet copied; the last ``worker.replay_buffer`` writes are sent
        again with the next call. Each loss is also warned of (``LostWritesWarning``).
        """
        return self._store.worker.lost_writes

    @property
    def waiting_results(self) -> int:
        """Results, failures and changes that wait: for the server, or for the next draw.

        See ``on_outage`` and ``prefetch`` of ``WorkerSettings``.
        """
        return self._store.backlog.waiting + self._store.ahead.waiting

    @property
    def dropped_results(self) -> int:
        """Results, failures and changes that an outage has cost.

        More than 10,000 waited; or a restore replaced the state; or the outage outlasted the lease,
        and the reply to a call was lost: then nobody knows whether that call had arrived.
        """
        return self._store.backlog.dropped + self._store.ahead.dropped

    @property
    def _renewal_s(self) -> float:
        """Seconds between two renewals of a lease."""
        return self._store.settings.lease_ms / 1000 / RENEWALS_PER_LEASE

    def __repr__(self) -> str:
        """Name, URL without password, worker."""
        return f"<{type(self).__name__} {self.name!r} at {self.url}, worker {self.worker_id}>"

    def _here(self) -> None:
        """After a fork the parent keeps connection and identity; this process gets its own."""
        if self._pid == os.getpid():
            return
        self._begin_anew()
        self._store.begin_anew()
        self._pid = os.getpid()

    def _plan(self, call: Call[T]) -> Plan[T]:
        """Carry a call out; what waits to be reported goes before it, or with it."""
        plan = call.plan(self._store)
        if not self._store.settings.prefetch or isinstance(call, Played):
            return plan
        return self._store.ahead.before(plan, self._store, is_sent=call.is_sent)

    def _play(self, finished: Iterable[Result], count: object, distinct: object) -> Play:
        """A call for draws."""
        number = int(_COUNT.require(count, "count"))
        if not isinstance(distinct, bool):
            raise InvalidInputError("distinct", "True or False", distinct)
        return play(self._store, finished, number, distinct=distinct)

    @property
    def _url_elsewhere(self) -> str:
        """The URL for a process that may not be of this program's run."""
        address = self._address
        if address.kind == "embedded" and not address.path and not address.run:
            from redis_curriculum._wire.embedded import run_id

            address = address.with_run(run_id())
        return address.public

    def _settings(self) -> dict[str, Any]:
        """Return the arguments of ``open`` with which another process gets a handle like this."""
        return {
            "worker": self._store.settings.model_copy(update={"worker_id": None}),
            "generator": live_generator(self.config),
            "credentials": self._address.credentials,
        }

    @abstractmethod
    def _begin_anew(self) -> None:
        """Replace lock and connection, which another process holds."""

    def _check_open(self) -> None:
        if self._closed:
            raise CurriculumError(f"this handle of curriculum {self.name!r} is closed")


def one_result(task_id: int, score: float, numbers: Mapping[str, float]) -> Result:
    """Return a result, with the numbers beside its score if there are any."""
    return (task_id, score, numbers) if numbers else (task_id, score)


def checked_results(results: object) -> list[Result]:
    """Return the results to report, if there are any; the store checks each."""
    try:
        found = list(results) if isinstance(results, Iterable) else []
    except TypeError:  # an array of no dimension
        found = []
    if not found:
        raise InvalidInputError("results", "at least one (task_id, score)", results)
    return found


def located(
    url: object, worker: WorkerSettings | None, credentials: Credentials | None
) -> tuple[Address, WorkerSettings]:
    """Return where the server is and how to talk to it; None is the default settings.

    Raises:
        InvalidInputError: The URL, the settings or the credentials cannot be used, or name two
            prefixes or passwords.
    """
    if worker is not None and not isinstance(worker, WorkerSettings):
        raise InvalidInputError("worker", "a WorkerSettings", worker)
    settings = worker or WorkerSettings()
    address = parse(url).with_prefix(settings.prefix).with_credentials(credentials)
    return address, settings


def live_generator(config: CurriculumConfig) -> TaskGenerator | None:
    """The user's own object, where its path cannot rebuild it and it pickles."""
    for custom in custom_generators(config.task_generator):
        if isinstance(custom, Custom) and custom.arguments is None and custom.is_bound:
            try:
                pickle.dumps(custom.live)
            except Exception:  # noqa: BLE001 - whatever its class raises: it stays here
                return None
            return custom.live
    return None
