"""Epochs: what happened between two ``end_epoch`` calls of the trainer, by label.

Counting into an epoch is part of every script that counts; closing one only names the next. So
ending an epoch costs the same whatever happened in it, and the counters of a closed epoch never
change again: any process reads the same report, as long as the epoch is retained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Final

from redis_curriculum._protocol import stored
from redis_curriculum._protocol.keys import COUNTS
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store.calls import Argument, Call, Write
from redis_curriculum._store.contracts import END_EPOCH, NOTE_EPOCH
from redis_curriculum._store.read import labels, numbers
from redis_curriculum._store.store import Store
from redis_curriculum._values.rules import In
from redis_curriculum.errors import EpochError, ServerUnavailableError
from redis_curriculum.reporting.alerts import EPOCHS_BACK, Alert, alerts

_WHOLE: Final = In("[0, 2**53)")
_WORDS_PER_NOTE: Final = 3 * 200

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
    step: int | None
    """The trainer's own step at its end (frames, updates, ...); None: ``end_epoch`` got none."""
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


def end_epoch(store: Store, step: object = None) -> Ending:
    """Close the epoch this handle believes current; see ``Curriculum.end_epoch``."""
    return Ending(store.epoch, "" if step is None else checked_step(step))


def checked_step(step: object) -> int:
    """Return a trainer's step, if it is an integer in [0, 2**53); NumPy integers are accepted."""
    return int(_WHOLE.require(step, "step"))


@dataclass(slots=True)
class Ending(Call[EpochReport]):
    """The end of an epoch; one that is unfinished goes on with the epoch that it was closing."""

    epoch: int = field(compare=False)
    step: Argument = field(compare=False)
    """The trainer's step, or an empty text. Made again, the call keeps the first one."""
    rows: list[Argument] | None = field(default=None, init=False, compare=False)
    """How far the labels have come: name, success rate and learning progress of each."""
    spread: float = field(default=0.0, init=False, compare=False)
    noted: int = field(default=0, init=False, compare=False)
    """How many of these words are kept for later reports."""

    def plan(self, store: Store) -> Plan[EpochReport]:
        """Carry the call out, or carry it on; an error says how far it has come."""
        try:
            return (yield from Call.plan(self, store))
        except ServerUnavailableError as error:
            state = "is closed, but its report was not read"
            if not self.is_begun:
                state = "may be closed" if error.applied == "unknown" else "is not closed"
            again = "the same call, made again, goes on with it"
            error.message = f"epoch {self.epoch} {state} ({again}): {error.message}"
            raise

    def steps(self, store: Store) -> Plan[EpochReport]:
        """Close the epoch, note how far its labels have come, and read its report.

        What the report is made of is read before, too: if it cannot be read, nothing is closed.
        """
        if not self.is_begun:
            if self.write is None:
                yield from epoch_report(store, self.epoch)
            yield from self._close(store)
        if self.rows is None:
            success, progress, self.spread = yield from _standing(store)
            self.rows = [
                w for label in success for w in (label, success[label], progress.get(label, ""))
            ]
        while self.noted < len(self.rows):
            if self.write is None:
                part = self.rows[self.noted : self.noted + _WORDS_PER_NOTE]
                self.write = Write(NOTE_EPOCH, [self.epoch, self.spread, *part])
            yield from store.worker.send(self)
            self.noted, self.write = self.noted + _WORDS_PER_NOTE, None
        report = yield from epoch_report(store, self.epoch)
        assert report is not None  # noqa: S101 - the one closed last is retained
        return report

    def _close(self, store: Store) -> Plan[None]:
        if self.write is None:
            self.write = Write(store.script(END_EPOCH), [self.epoch, self.step])
        try:
            yield from store.worker.send(self)
        except EpochError as error:
            store.epoch = self.epoch = error.epoch
            raise
        store.epoch, self.is_begun, self.write = self.epoch + 1, True, None


def epoch_report(store: Store, epoch: object = None) -> Plan[EpochReport | None]:
    """Read one epoch's counters; None where it is not retained, or not yet begun."""
    number = _checked(epoch)
    words = ("HMGET", store.server.keys.meta, "epoch", "epoch_started_ms", "created_ms")
    current, started, created = yield from store.server.command(*words)
    now = stored.number(store.server.keys, "epoch", current)
    if number is None:
        number = now
    counts = yield from _counts(store, number)
    before: list[Rates] = []
    for earlier in range(max(0, number - EPOCHS_BACK), number):
        before += [(yield from _rates(store, earlier, "success"))]
    field = "created_ms" if started is None else "epoch_started_ms"
    times = {"started_ms": started or created}
    stored.number(store.server.keys, field, times["started_ms"])
    if number == now:
        success, progress, spread = yield from _standing(store)
    else:
        success = yield from _rates(store, number, "success")
        progress = yield from _rates(store, number, "progress")
        times = yield from _hash(store, number, "times")
        spread = _read(store, number, "times", {"spread": "1", **times}, "spread")
    if not times:  # read last: what was removed meanwhile has none
        return None
    found_alerts = alerts(
        **{what: counts[what] for what in ("samples", "completions", "failures")},
        success_rate=success,
        learning_progress=progress,
        spread=spread,
        before=before,
    )
    started_ms, ended, step = (
        None if name not in times else int(_read(store, number, "times", times, name))
        for name in ("started_ms", "ended_ms", "step")
    )
    return EpochReport(
        epoch=number,
        started_ms=started_ms or 0,
        ended_ms=ended,
        step=step,
        success_rate=success,
        learning_progress=progress,
        alerts=found_alerts,
        **counts,
    )


def epoch_reports(store: Store) -> Plan[list[EpochReport]]:
    """Read the reports of the closed epochs that are retained, the oldest first."""
    keys = store.server.keys
    oldest, epoch = yield from store.server.command("HMGET", keys.meta, "oldest_epoch", "epoch")
    current = stored.number(keys, "epoch", epoch)
    first = current - store.config.epochs_retained
    reports = []
    for epoch in range(max(first, stored.number(keys, "oldest_epoch", oldest, 0)), current):
        report = yield from epoch_report(store, epoch)
        if report is not None:  # one of them may have been removed meanwhile
            reports.append(report)
    return reports


def _standing(store: Store) -> Plan[tuple[Rates, Rates, float]]:
    """Success rate and learning progress of the labels that have tasks and results.

    And how far their mean scores lie apart, those of now and those of all their results: what part
    of ``score_range`` the scores have used, more or less.
    """
    names = list((yield from labels(store)))
    rates, totals = ("success_rate_ema", "learning_progress"), ("total_score", "completion_count")
    fields = (*rates, "reward_ema", *totals)
    table, _ = yield from numbers(store, "label", fields, names)
    rows = {n: row for n, row in zip(names, table.tolist(), strict=True) if not isnan(row[0])}
    progress = {n: row[1] for n, row in rows.items() if not isnan(row[1])}
    means = [m for row in rows.values() for m in (row[2], row[3] / row[4]) if not isnan(m)]
    spread = max(means) - min(means) if means else 0.0
    return {n: row[0] for n, row in rows.items()}, progress, min(spread, 1.0)


def _counts(store: Store, epoch: int) -> Plan[dict[str, dict[str, int]]]:
    counts = {}
    for what in COUNTS:
        found = yield from store.server.scan_counts(store.server.keys.epoch(epoch, what))
        counts[what] = dict(sorted(found.items()))
    return counts


def _rates(store: Store, epoch: int, what: str) -> Plan[Rates]:
    found = yield from _hash(store, epoch, what)
    return {label: _read(store, epoch, what, found, label) for label in sorted(found)}


def _read(store: Store, epoch: int, what: str, found: Mapping[str, str], name: str) -> float:
    return stored.field_of(store.server.keys.epoch(epoch, what), found, name, stored.finite)


def _hash(store: Store, epoch: int, what: str) -> Plan[dict[str, str]]:
    return (yield from store.server.scan_hash(store.server.keys.epoch(epoch, what)))


def _checked(epoch: object) -> int | None:
    return None if epoch is None else int(_WHOLE.require(epoch, "epoch"))
