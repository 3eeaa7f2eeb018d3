"""What the plans of one curriculum share: keys, config, the worker, what is unfinished.

Each operation is a function of a store. One that reads returns a plan (module ``read``). One that
writes returns a call (modules ``play``, ``write``), whose plan goes on where it stopped when the
same call is made again. Both check their input before anything is sent. Both handles (room
``_client``) run them.
"""

from __future__ import annotations

import struct
from typing import Final

from redis_curriculum._protocol.asking import Server
from redis_curriculum._store.calls import Unfinished
from redis_curriculum._store.contracts import HYPERS
from redis_curriculum._store.generate import can_generate
from redis_curriculum._store.once import Worker
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.worker import WorkerSettings
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
        self.epoch = epoch
        """The epoch that this handle believes current; only its trainer's handle needs to."""
        self.configure(config)

    def begin_anew(self) -> None:
        """Become another worker, with nothing begun: after a fork."""
        self.worker.begin_anew()
        self.unfinished.clear()

    def configure(self, config: CurriculumConfig) -> None:
        """Take over a config: the hypers travel with every call, packed once."""
        self.config = config
        self.can_generate = self._playing and can_generate(config)
        hypers = _hypers(config, can_generate=self.can_generate)
        self.pooled = [int(hypers["pooled"]), hypers["performance_bonus_weight"]]
        self.hypers = struct.pack(f"<{len(HYPERS)}d", *(hypers[name] for name in HYPERS))


def _hypers(config: CurriculumConfig, *, can_generate: bool) -> dict[str, float]:
    """The config's numbers by the names in ``HYPERS``; no replacement by who cannot generate."""
    hypers = config.algorithm.hypers
    bonus_rule = hypers.exploration == "bonus"
    return {
        **{name: getattr(hypers, name) for name in HYPERS if hasattr(hypers, name)},
        "pooled": hypers.pooling == "label",
        "bonus_rule": bonus_rule,
        "explore": hypers.exploration_bonus if bonus_rule else hypers.exploration_share,
        "replacement_rate": hypers.replacement_rate if can_generate else 0,
        "num_active_tasks": config.num_active_tasks,
    }
