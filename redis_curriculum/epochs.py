"""Epochs: what happened between two ``end_epoch`` calls of the trainer, by label.

Counting into an epoch is part of every script that counts; closing one only names the next. So
ending an epoch costs the same whatever happened in it, and the counters of a closed epoch never
change again: any process reads the same report, as long as the epoch is retained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from redis_curriculum.connection import Command, Plan
from redis_curriculum.errors import EpochError, InvalidInputError
from redis_curriculum.keys import COUNTS
from redis_curriculum.records import pairs
from redis_curriculum.scripts import bind
from redis_curriculum.store import Store
from redis_curriculum.validation import In
from redis_curriculum.worker import scan

END_EPOCH: Final = bind(
    "end_epoch",
    "generation",
    "worker",
    "sequence",
    "lease_ms",
    "epoch",
    "epochs_retained",
    "events_retained",
)
_EPOCH: Final = In("[0, 2**53)")


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What happened within one epoch; the label ``""`` holds what forgotten labels counted."""

    epoch: int
    """Counted from 0."""
    started_ms: int
    """By the server's clock, as ``ended_ms``."""
    ended_ms: int | None
    """None: it is still going on."""
    samples: Mapping[str, int]
    """Draws by label."""
    completions: Mapping[str, int]
    """Applied scores by label."""
    failures: Mapping[str, int]
    """Reported failures by label."""
    evictions: Mapping[str, int]
    """Tasks that left the pool, for whatever reason, by label."""
    created: Mapping[str, int]
    """Tasks that came into the pool, by label."""

    @property
    def totals(self) -> dict[str, int]:
        """The sums over all labels: samples, completions, failures, evictions, created."""
        return {what: sum(getattr(self, what).values()) for what in COUNTS}


def end_epoch(store: Store) -> Plan[EpochReport]:
    """Close the epoch this handle believes current; see ``Curriculum.end_epoch``."""
    config, epoch = store.config, store.epoch
    try:
        yield from store.once(END_EPOCH, [epoch, config.epochs_retained, config.events_retained])
    except EpochError as error:
        store.epoch = error.epoch
        raise
    store.epoch = epoch + 1
    report = yield from epoch_report(store, epoch)
    assert report is not None  # noqa: S101 - what was closed just now is retained
    return report


def epoch_report(store: Store, epoch: object = None) -> Plan[EpochReport | None]:
    """Read one epoch's counters; None where it is not retained, or not yet begun."""
    number = _checked(epoch)
    words = ("HMGET", store.keys.meta, "epoch", "epoch_started_ms", "created_ms")
    current, started, created = yield from store.worker.ask(Command(words, store.keys.meta))
    if number is None:
        number = int(current)
    counts = {}
    for what in COUNTS:
        found = yield from _hash(store, number, what)
        counts[what] = {label: int(count) for label, count in sorted(found.items())}
    times = {"started_ms": started or created}
    if number != int(current):  # last: an epoch that was removed meanwhile has none
        times = yield from _hash(store, number, "times")
    if not times:
        return None
    ended = times.get("ended_ms")
    return EpochReport(
        epoch=number,
        started_ms=int(times["started_ms"]),
        ended_ms=None if ended is None else int(ended),
        **counts,
    )


def _hash(store: Store, epoch: int, what: str) -> Plan[dict[str, str]]:
    key = store.keys.epoch(epoch, what)
    return pairs((yield from scan("HSCAN", key, store.settings.retry_deadline_s)))


def _checked(epoch: object) -> int | None:
    if epoch is None:
        return None
    try:
        return int(_EPOCH.check(epoch, integer=True))
    except ValueError as error:
        raise InvalidInputError("epoch", str(error), epoch) from None
