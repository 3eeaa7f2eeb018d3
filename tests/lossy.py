"""A handle whose link is not quite right, at a call that the test chooses.

It can lose a reply, the worst fault ("done, but nobody was told"), or let others work in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis_curriculum import Curriculum
from redis_curriculum._client.open import opening
from redis_curriculum._protocol.plan import Words
from redis_curriculum._protocol.scripts import load
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.urls import parse
from redis_curriculum.config import WorkerSettings
from redis_curriculum.errors import ServerUnavailableError


class LossyLink(DirectLink):
    """Does what it is told; the reply to a call of the script ``lose`` is lost, once."""

    lose = ""
    skip = 0
    """So many calls of that script go well first."""
    meddle: Callable[[], object] | None = None
    """Called before each call that comes after one of the script ``begin``."""
    begin = ""
    _begun = False

    def call(self, words: Words, key: str) -> Any:
        if self._begun and self.meddle:
            self.meddle()
        reply = super().call(words, key)
        self._begun = self._begun or self._is(self.begin, words)
        if self._is(self.lose, words):
            self.skip -= 1
            if self.skip < 0:
                self.lose, self.skip = "", 0
                raise ServerUnavailableError("the reply was lost", applied="unknown")
        return reply

    @staticmethod
    def _is(script: str, words: Words) -> bool:
        return script != "" and not {load(script).sha, load(script).source}.isdisjoint(words[:2])


def lossy(url: str, name: str, *, deadline_s: float = 0.0) -> tuple[Curriculum, LossyLink]:
    """Attach to a curriculum; with a deadline of 0 the caller meets every error."""
    address, settings = parse(url), WorkerSettings(retry_deadline_s=deadline_s)
    link = LossyLink(address, settings.timeout_s)
    store = drive(opening(address, name, None, settings, None), link)
    return Curriculum(address, store, link), link
