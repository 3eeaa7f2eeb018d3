"""What the plans of one curriculum share: keys, config, the worker, what is unfinished.

Each operation is a function of a store. One that reads returns a plan (module ``read``). One that
writes returns a call (modules ``play``, ``write``), whose plan goes on where it stopped when the
same call is made again. Both check their input before anything is sent. Both handles (room
``_client``) run them.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from functools import partial
from reprlib import repr as short
from typing import Final

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._protocol.plan import InThread, Plan
from redis_curriculum._protocol.scripts import Contract, Script, use
from redis_curriculum._protocol.stored import number
from redis_curriculum._store.ahead import Ahead
from redis_curriculum._store.calls import Unfinished
from redis_curriculum._store.contracts import REINDEX
from redis_curriculum._store.generate import can_generate
from redis_curriculum._store.making import Maker
from redis_curriculum._store.once import Worker
from redis_curriculum._store.outage import Backlog
from redis_curriculum._store.variant import variant_of
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.errors import (
    CurriculumError,
    CurriculumNotFoundError,
    InvalidInputError,
    MalformedStateError,
    StaleGenerationError,
)
from redis_curriculum.tasks.outcome import Outcome

log = logging.getLogger("redis_curriculum")

HISTORY_INTERVAL_S: Final = 2.0
"""How far two points of the history lie apart at least."""

OUTCOMES: Final = (Outcome.EVICTED, Outcome.APPLIED, Outcome.QUARANTINED)
"""By the numbers that the scripts answer with."""


def stored_config(keys: Keys, text: str | None) -> CurriculumConfig:
    """Return the config that is stored in ``meta``.

    Raises:
        InvalidInputError: It goes by an algorithm of a package that is not installed here.
        MalformedStateError: It cannot be read.
    """
    try:
        return CurriculumConfig.from_json(text or "")
    except InvalidInputError as error:
        if error.field == "algorithm.kind":
            raise
        raise MalformedStateError(keys.name, f"meta.config ({error.field})", text) from error


class Store:
    """The plans of one curriculum as one worker carries them out."""

    def __init__(
        self,
        server: Server,
        config: CurriculumConfig,
        settings: WorkerSettings,
        epoch: int = 0,
        *,
        playing: bool = True,
        worker: Worker | None = None,
    ) -> None:
        self.playing = playing
        """Who only looks builds no generator of a user: its class may run anything."""
        self.server = server
        self.settings = settings
        self.worker = worker or Worker(server, settings)
        self.worker.serve(server, self.reindex)
        self.unfinished = Unfinished()
        self.backlog = Backlog()
        self.ahead = Ahead()
        self.epoch = epoch
        """The epoch that this handle believes current; only its trainer's handle needs to."""
        self.unindexed: str | None = None
        """How far the indices were built anew when that was last read; None: they are complete."""
        self.history_due = time.monotonic() + HISTORY_INTERVAL_S
        """When this handle asks for the turn to add a point, by this process's clock."""
        self.has_many_labels = False
        """Whether it was said that some labels have no figures of their own."""
        self.configure(config)

    def begin_anew(self) -> None:
        """Become another worker, with nothing begun: after a fork."""
        self.worker.begin_anew()
        self.unfinished.clear()
        self.maker, self.backlog, self.ahead = Maker(), Backlog(), Ahead()

    def leave(self) -> Plan[None]:
        """Deliver what waits and say goodbye, if that can be done at once; never fails."""
        deadline_s, self.server.deadline_s = self.server.deadline_s, 0.0
        try:
            yield from self.ahead.leave(self)
            with suppress(CurriculumError):
                yield from self.backlog.deliver(self)
            yield from self.worker.leave()
        finally:
            self.server.deadline_s = deadline_s
        self.backlog.end()

    def configure(self, config: CurriculumConfig, version: int = 1) -> None:
        """Go by a config from now on: as it was read or written, with its version."""
        self.config, self.config_version = config, version
        self.can_generate = self.playing and can_generate(config)
        self.maker = Maker()
        self.variant = variant_of(config.algorithm)
        use(self.variant)
        self._scripts: dict[str, Script] = {}

    def reload(self) -> Plan[None]:
        """Take over the config that is stored now, if it is another. One round trip.

        A generator that was passed at open goes on where the new config names an equal one.

        Raises:
            StaleGenerationError: A restore replaced the state.
        """
        words = ("HMGET", self.server.keys.meta, "generation", "config", "config_version")
        generation, text, version = yield from self.server.command(*words)
        self.check_generation(generation)
        found = number(self.server.keys, "config_version", version)
        if found == self.config_version:
            return
        before, maker = self.config, self.maker
        config = stored_config(self.server.keys, text).bind_as(before)
        if self.playing:
            yield InThread(partial(can_generate, config))  # the store finds what this has built
        self.configure(config, found)
        if config.makes_as(before):
            self.maker = maker
            maker.go_on(self.config_version)
        changed = before.differences(config)
        texts = (f"{field} {short(old)} -> {short(new)}" for field, old, new in changed)
        log.info("curriculum %r goes by new settings: %s", self.server.keys.name, ", ".join(texts))
        if self.playing and not self.can_generate:
            log.warning(
                "curriculum %r: this worker cannot build the new task generator, so it makes no"
                " tasks; workers that can will",
                self.server.keys.name,
            )

    def check_generation(self, found: str | None) -> None:
        """Refuse another generation than the one that this store believes in.

        Raises:
            CurriculumNotFoundError: There is none any more.
            StaleGenerationError: A restore replaced the state.
        """
        if found is None:
            raise CurriculumNotFoundError
        if found != str(self.server.keys.generation):
            raise StaleGenerationError(
                "a restore replaced this curriculum's state; reopen() takes this handle there"
            )

    def reindex(self) -> Plan[None]:
        """Finish what a change of settings has left to do to the indices.

        One round trip for 100 tasks; one where nothing is left to do. Any number of workers may do
        so at once, and whoever is killed leaves the rest to the others.
        """
        while (yield from self.server.run(self.script(REINDEX))):
            pass

    def script(self, contract: Contract) -> Script:
        """Return a script as it is for this curriculum's scorer."""
        if contract.name not in self._scripts:
            self._scripts[contract.name] = contract.script(self.variant)
        return self._scripts[contract.name]
