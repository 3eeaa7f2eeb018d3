"""A handle whose link is not quite right, at a call that the test chooses.

It can lose a reply, the worst fault ("done, but nobody was told"), or let others work in between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from redis_curriculum import Curriculum
from redis_curriculum._client.open import opening
from redis_curriculum._protocol.plan import Words
from redis_curriculum._protocol.scripts import loaded
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.steps import Steps
from redis_curriculum._wire.urls import parse
from redis_curriculum.config import WorkerSettings
from redis_curriculum.errors import ServerUnavailableError

MANY = "many"
"""For ``lose``: several commands that read, in one round trip."""


class LossyLink(DirectLink):
    """Does what it is told; the reply to a call of the script ``lose`` is lost, once."""

    at_once = False
    lose = ""
    skip = 0
    """So many calls of that script go well first."""
    meddle: Callable[[], object] | None = None
    """Called before each call that comes after one of the script ``begin``."""
    begin = ""
    _begun = False

    def send(self, words: Words, key: str) -> Steps[Any]:
        if self._begun and self.meddle:
            self.meddle()
        reply = yield from super().send(words, key)
        self._begun = self._begun or self._is(self.begin, words)
        self._lose(self._is(self.lose, words))
        return reply

    def send_all(self, each: Sequence[Words], key: str) -> Steps[list[Any]]:
        if self._begun and self.meddle:
            self.meddle()
        replies = yield from super().send_all(each, key)
        self._lose(self.lose == MANY)
        return replies

    def _lose(self, is_the_one: bool) -> None:
        if is_the_one:
            self.skip -= 1
            if self.skip < 0:
                self.lose, self.skip = "", 0
                raise ServerUnavailableError("the reply was lost", applied="unknown")

    @staticmethod
    def _is(script: str, words: Words) -> bool:
        if words[0] not in ("EVALSHA", "EVAL"):
            return False
        text = str(words[1])
        sha = text if words[0] == "EVALSHA" else hashlib.sha1(text.encode()).hexdigest()  # noqa: S324
        found = loaded(sha)
        return found is not None and found.name == script


def lossy(
    url: str, name: str, *, deadline_s: float = 0.0, **settings_: Any
) -> tuple[Curriculum, LossyLink]:
    """Attach to a curriculum; with a deadline of 0 the caller meets every error."""
    address, settings = parse(url), WorkerSettings(retry_deadline_s=deadline_s, **settings_)
    link = LossyLink(address, settings.timeout_s)
    store = drive(opening(address, name, None, settings, None), link)
    return Curriculum(address, store, link), link
