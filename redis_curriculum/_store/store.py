"""What the plans of one curriculum share: keys, config, the worker, what is unfinished.

Each operation is a function of a store. One that reads returns a plan (module ``read``). One that
writes returns a call (modules ``play``, ``write``), whose plan goes on where it stopped when the
same call is made again. Both check their input before anything is sent. Both handles (room
``_client``) run them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.scripts import Contract, Script, use
from redis_curriculum._store.calls import Unfinished
from redis_curriculum._store.generate import can_generate
from redis_curriculum._store.making import Maker
from redis_curriculum._store.once import Worker
from redis_curriculum._store.outage import Backlog
from redis_curriculum._store.variant import variant_of
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.errors import CurriculumError
from redis_curriculum.tasks.outcome import Outcome

OUTCOMES: Final = (Outcome.EVICTED, Outcome.APPLIED, Outcome.QUARANTINED)
"""By the numbers that the scripts answer with."""


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
    ) -> None:
        self._playing = playing  # who only looks builds no generator: its class may run anything
        self.server = server
        self.settings = settings
        self.worker = Worker(server, settings)
        self.unfinished = Unfinished()
        self.backlog = Backlog()
        self.epoch = epoch
        """The epoch that this handle believes current; only its trainer's handle needs to."""
        self.has_many_labels = False
        """Whether it was said that some labels have no figures of their own."""
        self.configure(config)

    def begin_anew(self) -> None:
        """Become another worker, with nothing begun: after a fork."""
        self.worker.begin_anew()
        self.unfinished.clear()
        self.maker, self.backlog = Maker(), Backlog()

    def leave(self) -> Plan[None]:
        """Deliver what waits and say goodbye, if that can be done at once; never fails."""
        deadline_s, self.server.deadline_s = self.server.deadline_s, 0.0
        try:
            with suppress(CurriculumError):
                yield from self.backlog.deliver(self)
            yield from self.worker.leave()
        finally:
            self.server.deadline_s = deadline_s
        self.backlog.end()

    def configure(self, config: CurriculumConfig, version: int = 1) -> None:
        """Take over a config, as it was read or written with its version."""
        self.config, self.config_version = config, version
        self.can_generate = self._playing and can_generate(config)
        self.maker = Maker()
        self.variant = variant_of(config.algorithm)
        use(self.variant)
        self._scripts: dict[str, Script] = {}

    def script(self, contract: Contract) -> Script:
        """Return a script as it is for this curriculum's scorer."""
        if contract.name not in self._scripts:
            self._scripts[contract.name] = contract.script(self.variant)
        return self._scripts[contract.name]
