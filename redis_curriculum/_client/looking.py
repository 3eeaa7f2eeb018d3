"""A connection that reads the curricula of a server, without becoming a worker of any."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

from redis_curriculum._admin.overview import CurriculumRow, attach, curricula
from redis_curriculum._client.handle import located
from redis_curriculum._client.open import server_of
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.records import TaskRecord
from redis_curriculum._store.configure import configure
from redis_curriculum._store.read import read_one
from redis_curriculum._store.store import Store
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.urls import Credentials
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.resume import tunable_fields
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.errors import CurriculumError
from redis_curriculum.reporting.view import Reader, T

Changes = list[tuple[str, Any, Any]]

# Nobody is served by a reading that is late: one try, and the next reading comes soon.
_LOOKING = WorkerSettings(retry_deadline_s=0)


class Looker:
    """Reads curricula of one server; each reader has a connection of its own.

    Args:
        url: The server, as for ``Curriculum.open``.
        credentials: As for ``Curriculum.open``.

    Raises:
        InvalidURLError: The URL cannot be used. Nothing is sent.
    """

    def __init__(self, url: object, credentials: Credentials | None = None) -> None:
        self._address, self._settings = located(url, _LOOKING, credentials)
        self._links = [self._linked()]
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The URL, without password."""
        return self._address.public

    def curricula(self) -> list[CurriculumRow]:
        """Return the server's curricula; some nine round trips each."""
        with self._lock:
            return _run(curricula(self._address, self._settings.retry_deadline_s), self._links[0])

    def reader(self, name: str) -> Reader:
        """Return a reader of one curriculum, which need not exist yet.

        Raises:
            InvalidInputError: It is no name.
        """
        server = server_of(self._address, name, self._settings)
        link = self._linked()
        self._links.append(link)
        drive_it = partial(_run, link=link)
        return Reader(lambda: drive_it(attach(server, self._settings)), drive_it)

    def close(self) -> None:
        """Close every connection."""
        for link in self._links:
            link.close()

    def _linked(self) -> DirectLink:
        return DirectLink(self._address, self._settings.timeout_s)


def configured(reader: Reader, setting: str, value: str, *, shrink: bool = False) -> Changes:
    """Change one tunable setting; the value is JSON, or a text. See ``Curriculum.configure``.

    Raises:
        CurriculumError: Nothing was changed.
    """
    return reader.read(lambda store: configure(store, {setting: value}, shrink=shrink))


def tunables(reader: Reader) -> dict[str, Any]:
    """Return the tunable settings that are numbers, texts or flags, by dotted name."""
    config = reader.read(_config)
    stored = config.model_dump(mode="json")
    found = {}
    for field in tunable_fields(config):
        top, _, name = field.partition(".")
        value = stored[top][name] if name else stored[top]
        if value is None or isinstance(value, (bool, int, float, str)):
            found[field] = value
    return found


def _config(store: Store) -> Plan[CurriculumConfig]:
    yield from store.reload()
    return store.config


def record_of(reader: Reader, task_id: int) -> TaskRecord | None:
    """Return a task's record, or None if it is not in the pool. One round trip."""
    return reader.read(lambda store: read_one(store, task_id))


def _run(plan: Plan[T], link: DirectLink) -> T:
    """Run a plan.

    Raises:
        CurriculumError: Also where something is stored that cannot be read.
    """
    try:
        return drive(plan, link)
    except CurriculumError:
        raise
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise CurriculumError(f"what is stored cannot be read: {error!r}") from error


__all__ = ["CurriculumRow", "Looker", "TaskRecord", "configured", "record_of", "tunables"]
