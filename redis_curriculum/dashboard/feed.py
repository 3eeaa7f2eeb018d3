"""One reader for each curriculum that somebody looks at, whatever the number of browsers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from redis_curriculum._client.looking import Looker
from redis_curriculum.errors import CurriculumError
from redis_curriculum.reporting.epochs import EpochReport, epoch_report
from redis_curriculum.reporting.history import History, history
from redis_curriculum.reporting.view import Reader, View, Watch, view

MOST_EPOCHS: Final = 100
"""So many closed epochs are shown, the latest."""
_HISTORY_S: Final = 10.0
"""From one reading of the history to the next."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the pages of one curriculum show."""

    before: View | None
    view: View
    history: History
    epochs: list[EpochReport]
    """Those that were closed, the oldest first."""


Shown = Callable[[Reading | CurriculumError], None]


@dataclass(slots=True)
class Feed:
    """Reads one curriculum while it has listeners, who get every reading in the feed's thread."""

    reader: Reader
    details: Reader
    """For what one page asks, on a connection of its own."""
    interval_s: float
    latest: Reading | CurriculumError | None = None
    _listeners: set[Shown] = field(default_factory=set)
    _watch: Watch[Reading] | None = None
    _history: tuple[float, History] | None = None
    _epochs: list[EpochReport] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def listen(self, show: Shown) -> None:
        """Begin to tell; the first listener has the reading begin."""
        with self._lock:
            self._listeners.add(show)
            if self._watch is None:
                self._watch = Watch(self._read, self._tell, self.interval_s)
                self._watch.start()

    def leave(self, show: Shown) -> None:
        """Tell no more; the last one has the reading end."""
        with self._lock:
            self._listeners.discard(show)
            if not self._listeners and self._watch is not None:
                self._watch.stop()
                self._watch = self.latest = None

    def _tell(self, found: Reading | CurriculumError) -> None:
        self.latest = found
        for show in tuple(self._listeners):
            show(found)

    def _read(self) -> Reading:
        before = self.latest.view if isinstance(self.latest, Reading) else None
        found = self.reader.read(view)
        return Reading(before, found, self._past(), self._closed(found.census.epoch))

    def _past(self) -> History:
        now = time.monotonic()
        if self._history is None or now - self._history[0] >= _HISTORY_S:
            self._history = (now, self.reader.read(history))
        return self._history[1]

    def _closed(self, current: int) -> list[EpochReport]:
        """The reports of closed epochs: these never change, so each is read once."""
        if self._epochs and self._epochs[-1].epoch >= current:
            self._epochs = []  # a restore went back
        first = self._epochs[-1].epoch + 1 if self._epochs else 0
        for epoch in range(max(first, current - MOST_EPOCHS), current):
            report = self.reader.read(partial(epoch_report, epoch=epoch))
            self._epochs += [report] if report is not None else []
        del self._epochs[:-MOST_EPOCHS]
        return list(self._epochs)


class Feeds:
    """The feeds of one server's curricula."""

    def __init__(self, looker: Looker, interval_s: float) -> None:
        self.looker = looker
        self._interval_s = interval_s
        self._feeds: dict[str, Feed] = {}

    def of(self, name: str) -> Feed:
        """Return the feed of a curriculum.

        Raises:
            InvalidInputError: It is no name.
        """
        if name not in self._feeds:
            reader, details = self.looker.reader(name), self.looker.reader(name)
            self._feeds[name] = Feed(reader, details, self._interval_s)
        return self._feeds[name]


__all__ = ["Feed", "Feeds", "Reading"]
