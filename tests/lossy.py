"""A handle whose link loses the reply of one call: the worst fault, "done, but nobody was told"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis_curriculum.config import WorkerSettings
from redis_curriculum.connection import DirectLink, drive
from redis_curriculum.curriculum import Curriculum
from redis_curriculum.errors import ServerUnavailableError
from redis_curriculum.opening import opening
from redis_curriculum.scripts import load
from redis_curriculum.urls import parse


class LossyLink(DirectLink):
    """Does what it is told; the reply to the next call of the script ``lose`` is lost."""

    lose = ""

    def call(self, words: Sequence[str | int | float], key: str) -> Any:
        reply = super().call(words, key)
        if self.lose and {load(self.lose).sha, load(self.lose).source} & set(words[:2]):
            self.lose = ""
            raise ServerUnavailableError("the reply was lost", applied="unknown")
        return reply


def lossy(url: str, name: str, *, deadline_s: float = 0.0) -> tuple[Curriculum, LossyLink]:
    """Attach to a curriculum; with a deadline of 0 the caller meets every error."""
    address, settings = parse(url), WorkerSettings(retry_deadline_s=deadline_s)
    link = LossyLink(address, settings.timeout_s)
    store = drive(opening(address, name, None, settings, None), link)
    return Curriculum(address, store, link), link
