"""What both handles save and load: snapshots, and states for the trainer's checkpoint."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

from redis_curriculum._client.handle import Handle
from redis_curriculum._client.open import reopening, same_data, server_of
from redis_curriculum._protocol.plan import InThread, Plan
from redis_curriculum._state.export import export, to_bytes
from redis_curriculum._state.file import Progress, SnapshotInfo
from redis_curriculum._state.intake import Intake, taken_in
from redis_curriculum._state.restore import restoring
from redis_curriculum._store.store import Store
from redis_curriculum._wire.urls import Address
from redis_curriculum.errors import InvalidInputError

T = TypeVar("T")


class Saving(Handle):
    """The blocking half."""

    def snapshot(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        keep: int = 0,
        progress: Progress | None = None,
    ) -> SnapshotInfo:
        """Write the whole state of one moment to a file, while workers go on.

        Gzipped JSON Lines, written beside the target and renamed: a crash leaves the old file.
        About one round trip per 100 tasks. At a URL (extra ``fsspec``) the object is replaced when
        all of it has arrived; older ones are copied; who may read it is the store's affair.

        Args:
            path: The target: a file, or a URL that fsspec knows (``s3://bucket/run.rcs``).
            overwrite: Replace a file that is there.
            keep: Keep so many (0 to 1,000) older files as ``path.1`` (the latest), ``path.2``, ...
            progress: Called with (tasks done, tasks in all).

        Raises:
            InvalidInputError: ``keep`` is out of its range.
            MissingLibraryError: The path is a URL, and fsspec is not installed.
            SnapshotError: The target cannot be written; nothing was left behind.
            SnapshotRunningError: Another snapshot was at work for all of ``retry_deadline_s``.
        """
        plan = export(self._store, path, overwrite=overwrite, keep=keep, progress=progress)
        return self._run(plan)

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state of one moment, for the trainer's checkpoint, while workers go on.

        A plain dict: ``name``, the curriculum's, and ``snapshot``, the bytes of a snapshot file. So
        ``torch.save``, ``pickle`` and the checkpoints of other libraries take it. About one round
        trip per 100 tasks; the bytes are held in memory.

        Raises:
            SnapshotRunningError: Another snapshot was at work for all of ``retry_deadline_s``.
        """
        return self._run(state_of(self._store))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put a state in the place of the present one: entirely, or not at all.

        Tasks, statistics, counters, epochs, settings and random numbers are those of
        ``state_dict()``, so that a trainer that goes back takes its curriculum along. The state may
        be that of a curriculum of another name. This handle goes on as a new worker, as do the
        wrappers of environments; other handles get ``StaleGenerationError`` and call ``reopen()``.
        What was not reported, and unfinished calls, are given up. Some four round trips per 100
        tasks.

        Raises:
            InvalidInputError: It is not what ``state_dict()`` returned; nothing was changed.
            SnapshotError: Its snapshot is damaged; nothing was changed.
            ConfigMismatchError: The task generator that is here makes its tasks of other data.
        """
        self._store = self._run(loading(self._address, self._store, state))

    @abstractmethod
    def _run(self, plan: Plan[T]) -> T:
        """Run a plan over this handle's link."""


class AsyncSaving(Handle):
    """The asyncio half."""

    async def snapshot(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        keep: int = 0,
        progress: Progress | None = None,
    ) -> SnapshotInfo:
        """Write the whole state of one moment to a file, while workers go on.

        About one round trip per 100 tasks; their lines are written on the loop's own time.
        Arguments and errors are those of ``Curriculum.snapshot``. Cancelled, it leaves the older
        file as it was.
        """
        plan = export(self._store, path, overwrite=overwrite, keep=keep, progress=progress)
        return await self._run(plan)

    async def state_dict(self) -> dict[str, Any]:
        """Return the whole state of one moment, for the trainer's checkpoint, while workers go on.

        A plain dict: ``name`` and ``snapshot``, the bytes of a snapshot file. Cost and errors are
        those of ``Curriculum.state_dict``.
        """
        return await self._run(state_of(self._store))

    async def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put a state in the place of the present one: entirely, or not at all.

        This handle goes on as a new worker. Rules, cost and errors are those of
        ``Curriculum.load_state_dict``.
        """
        self._store = await self._run(loading(self._address, self._store, state))

    @abstractmethod
    def _run(self, plan: Plan[T]) -> Coroutine[Any, Any, T]:
        """Run a plan over this handle's link."""


def state_of(store: Store) -> Plan[dict[str, Any]]:
    """Make the state; see ``Curriculum.state_dict``."""
    data, _ = yield from to_bytes(store)
    return {"name": store.server.keys.name, "snapshot": data}


def loading(address: Address, former: Store, state: object) -> Plan[Store]:
    """Restore a state over the curriculum of a store, and attach to it as a new worker."""
    data = state.get("snapshot") if isinstance(state, Mapping) else None
    if not isinstance(data, bytes):
        shown = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise InvalidInputError("state", "what state_dict() returned", shown)
    intake: Intake = yield InThread(partial(taken_in, data))
    yield from same_data(intake.config.bind_as(former.config))
    server = server_of(address, former.server.keys.name, former.settings)
    yield from restoring(server, address.public, intake, replace=True, progress=None)
    return (yield from reopening(address, former))
