"""What the plans of one curriculum share: keys, config, the worker, what is unfinished.

Each operation is a plan, a function of a store (modules ``play``, ``fill``, ``read``, ``write``).
Plans check their input before anything is sent, split batches, and go on where they stopped when
the same call is made again after an error. Both handles (room ``_client``) run them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from redis_curriculum._protocol.keys import Keys
from redis_curriculum._protocol.scripts import Contract, Script
from redis_curriculum._store.generate import can_generate
from redis_curriculum._store.once import Worker, Write
from redis_curriculum._store.variant import variant_of
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.tasks.outcome import Outcome

if TYPE_CHECKING:
    from redis_curriculum._store.play import Play

OUTCOMES: Final = (Outcome.EVICTED, Outcome.APPLIED, Outcome.QUARANTINED)
"""By the numbers that the scripts answer with."""


class Store:
    """The plans of one curriculum as one worker carries them out."""

    def __init__(
        self,
        name: str,
        generation: int,
        config: CurriculumConfig,
        settings: WorkerSettings,
        epoch: int = 0,
        *,
        playing: bool = True,
    ) -> None:
        self._playing = playing  # who only looks builds no generator: its class may run anything
        self.keys = Keys(name, generation)
        self.settings = settings
        self.worker = Worker(self.keys, settings)
        self.caller: Callable[[], object] = threading.current_thread
        """Who calls: threads (or asyncio tasks) that share a handle repeat their own calls only."""
        self.unfinished: WeakKeyDictionary[object, Play] = WeakKeyDictionary()
        self.unanswered: WeakKeyDictionary[object, Write] = WeakKeyDictionary()
        self.epoch = epoch
        """The epoch that this handle believes current; only its trainer's handle needs to."""
        self.ending: Write | None = None
        """The end of an epoch whose report has not been handed over."""
        self.configure(config)

    def begin_anew(self) -> None:
        """Become another worker, with nothing begun: after a fork."""
        self.worker.begin_anew()
        self.unfinished.clear()
        self.unanswered.clear()
        self.ending = None

    def configure(self, config: CurriculumConfig, version: int = 1) -> None:
        """Take over a config, as it was read or written with its version."""
        self.config, self.config_version = config, version
        self.can_generate = self._playing and can_generate(config)
        self.variant = variant_of(config.algorithm)
        self._scripts: dict[str, Script] = {}

    def script(self, contract: Contract) -> Script:
        """Return a script as it is for this curriculum's scorer."""
        if contract.name not in self._scripts:
            self._scripts[contract.name] = contract.script(self.variant)
        return self._scripts[contract.name]
