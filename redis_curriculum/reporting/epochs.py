"""Epochs: what happened between two ``end_epoch`` calls of the trainer, by label.

Counting into an epoch is part of every script that counts; closing one only names the next. So
ending an epoch costs the same whatever happened in it, and the counters of a closed epoch never
change again: any process reads the same report, as long as the epoch is retained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Final

from redis_curriculum._protocol.asking import scan_hash
from redis_curriculum._protocol.keys import COUNTS
from redis_curriculum._protocol.plan import Command, Plan
from redis_curriculum._store.contracts import END_EPOCH, NOTE_EPOCH
from redis_curriculum._store.once import Argument, Write
from redis_curriculum._store.store import Store
from redis_curriculum._values.rules import In
from redis_curriculum.errors import CurriculumError, EpochError
from redis_curriculum.reporting.alerts import EPOCHS_BACK, Alert, alerts

_EPOCH: Final = In("[0, 2**53)")
_LABELS_PER_NOTE: Final = 200

Rates = dict[str, float]


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What happened within one epoch, by label; ``""`` holds what forgotten labels counted."""

    epoch: int
    """Counted from 0."""
    started_ms: int
    """By the server's clock, as ``ended_ms``."""
    ended_ms: int | None
    """None: it is still going on."""
    samples: Mapping[str, int]
    """Draws."""
    completions: Mapping[str, int]
    """Applied scores."""
    failures: Mapping[str, int]
    """Reported failures."""
    evictions: Mapping[str, int]
    """Tasks that left the pool, for whatever reason."""
    created: Mapping[str, int]
    """Tasks that came into the pool."""
    success_rate: Mapping[str, float]
    """EMA of success of each label that had tasks and results, at the epoch's end (or now)."""
    learning_progress: Mapping[str, float]
    """The same labels' learning progress."""
    alerts: tuple[Alert, ...]
    """What looks wrong; thresholds in ``redis_curriculum.reporting.alerts``."""

    @property
    def totals(self) -> dict[str, int]:
        """The sums over all labels: completions, samples, evictions, failures, created."""
        return {what: sum(getattr(self, what).values()) for what in COUNTS}


def end_epoch(store: Store) -> Plan[EpochReport]:
    """Close the epoch this handle believes current; see ``Curriculum.end_epoch``.

    Made again after an error it goes on with the epoch that it was closing.
    """
    if store.ending is None:
        config = store.config
        args: list[Argument] = [store.epoch, config.epochs_retained, config.events_retained]
        store.ending = Write(END_EPOCH, args)
    epoch = int(store.ending.args[0])
    try:
        yield from store.worker.send(store.ending)
    except CurriculumError as error:
        if error.applied == "no":
            store.ending = None
        if isinstance(error, EpochError):
            store.epoch = error.epoch
        raise
    store.epoch = epoch + 1
    try:
        yield from _note(store, epoch)
        report = yield from epoch_report(store, epoch)
    except CurriculumError as error:
        error.applied = "unknown"
        raise
    assert report is not None  # noqa: S101 - the one closed last is retained
    store.ending = None
    return report


def epoch_report(store: Store, epoch: object = None) -> Plan[EpochReport | None]:
    """Read one epoch's counters; None where it is not retained, or not yet begun."""
    number = _checked(epoch)
    words = ("HMGET", store.keys.meta, "epoch", "epoch_started_ms", "created_ms")
    current, started, created = yield from store.worker.ask(Command(words, store.keys.meta))
    if number is None:
        number = int(current)
    counts = yield from _counts(store, number)
    before: list[Rates] = []
    for earlier in range(max(0, number - EPOCHS_BACK), number):
        before += [(yield from _rates(store, earlier, "success"))]
    times = {"started_ms": started or created}
    if number == int(current):
        success, progress = yield from _standing(store)
    else:
        success = yield from _rates(store, number, "success")
        progress = yield from _rates(store, number, "progress")
        times = yield from _hash(store, number, "times")
    if not times:  # read last: what was removed meanwhile has none
        return None
    found_alerts = alerts(
        **{what: counts[what] for what in ("samples", "completions", "failures")},
        success_rate=success,
        learning_progress=progress,
        before=before,
    )
    ended = times.get("ended_ms")
    return EpochReport(
        epoch=number,
        started_ms=int(times["started_ms"]),
        ended_ms=None if ended is None else int(ended),
        success_rate=success,
        learning_progress=progress,
        alerts=found_alerts,
        **counts,
    )


def _note(store: Store, epoch: int) -> Plan[None]:
    """Keep how far the labels have come, for the reports of this epoch and of later ones."""
    success, progress = yield from _standing(store)
    rows: list[Argument] = [
        w for label in success for w in (label, success[label], progress[label])
    ]
    width = 3 * _LABELS_PER_NOTE
    for start in range(0, len(rows), width):
        yield from store.worker.write(NOTE_EPOCH, [epoch, *rows[start : start + width]])


def _standing(store: Store) -> Plan[tuple[Rates, Rates]]:
    """Success rate and learning progress of the labels that have tasks and results."""
    names = list((yield from store.labels()))
    fields = ("success_rate_ema", "learning_progress")
    table, _ = yield from store.numbers("progress", fields, names)
    rows = {n: row for n, row in zip(names, table.tolist(), strict=True) if not isnan(row[0])}
    return {n: row[0] for n, row in rows.items()}, {n: row[1] for n, row in rows.items()}


def _counts(store: Store, epoch: int) -> Plan[dict[str, dict[str, int]]]:
    counts = {}
    for what in COUNTS:
        found = yield from _hash(store, epoch, what)
        counts[what] = {label: int(count) for label, count in sorted(found.items())}
    return counts


def _rates(store: Store, epoch: int, what: str) -> Plan[Rates]:
    found = yield from _hash(store, epoch, what)
    return {label: float(rate) for label, rate in sorted(found.items())}


def _hash(store: Store, epoch: int, what: str) -> Plan[dict[str, str]]:
    return (yield from scan_hash(store.keys.epoch(epoch, what), store.settings.retry_deadline_s))


def _checked(epoch: object) -> int | None:
    return None if epoch is None else int(_EPOCH.require(epoch, "epoch"))
