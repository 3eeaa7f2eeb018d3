"""The history by label: one worker at a time adds a point, whoever ends epochs or not.

A call that has been answered looks at this process's clock, nothing else. Every ``INTERVAL_S`` it
asks the server for the turn, which one worker gets. That worker reads how the labels stand, in
bounded chunks, and sends one packed point. Points lie equally far apart over the curriculum's life:
once there are too many, every second one goes, and the distance doubles.

A history is no part of the promise that counts are exact. What fails here is left out, and the
call that came by has its answer already.
"""

from __future__ import annotations

import copy
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.stored import malformed
from redis_curriculum._sampling.draw import distribution
from redis_curriculum._store import read
from redis_curriculum._store.contracts import NOTE_HISTORY
from redis_curriculum._store.store import HISTORY_INTERVAL_S as INTERVAL_S
from redis_curriculum._store.store import Store
from redis_curriculum.errors import CurriculumError

MOST_POINTS: Final = 512
_LEAST_POINTS: Final = 64
_MOST_BYTES: Final = 4 * 2**20
"""Of all points: where one is large, fewer are kept."""
MOST_LABELS: Final = 1000
"""In one point: those drawn most."""
MOST_KNOWN: Final = 10_000
"""With more labels there are no points."""
MOST_TASKS: Final = 10_000
"""With more tasks a point has no probabilities, for which every task must be read."""
_PAUSES: Final = 200
"""After a point there is none for so many times the CPU time that it took this thread."""
_AFTER_ERROR_S: Final = 60.0

RATES: Final = ("tasks", "probability", "learning_progress", "success_rate", "mean_score")
"""Kept in single precision; NaN means never, or not known."""
TOTALS: Final = ("samples", "completions", "failures", "evictions")
"""Counts over the curriculum's life, kept in double precision."""
_STATISTICS: Final = {
    "learning_progress": "learning_progress",
    "success_rate": "success_rate_ema",
    "mean_score": "reward_ema",
}
"""What stands in a label's record, by what a point calls it."""
_READ_CHUNK: Final = 16
_FORMAT: Final = 1

Columns = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Point:
    """How the labels stood at one time."""

    time_ms: int
    epoch: int
    samples: int
    """Draws of all labels over the curriculum's life, of those without tasks too."""
    labels: Sequence[str]
    columns: Columns
    """``RATES`` and ``TOTALS``, each of shape (labels,)."""


def note(store: Store) -> Plan[None]:
    """Add a point if the turn is this worker's; never fails, and retries nothing."""
    store.history_due = time.monotonic() + _AFTER_ERROR_S
    looking = copy.copy(store)
    looking.server = Server(store.server.keys, deadline_s=0.0)
    # Whatever has been written by hand into the keys must not cost a call its answer.
    with suppress(CurriculumError, ValueError, TypeError, LookupError, OverflowError):
        pause_s = yield from _note(looking)
        store.history_due = time.monotonic() + pause_s


def _note(store: Store) -> Plan[float]:
    """Ask for the turn, and take it; return for how long there is nothing to do, in seconds."""
    interval_ms, started = round(1000 * INTERVAL_S), time.thread_time()
    ask = (NOTE_HISTORY, interval_ms, 0, MOST_POINTS, "")
    is_mine, pause_ms = yield from store.server.run(*ask)
    if is_mine:
        packed = yield from _point(store)
        if packed is None:
            return _AFTER_ERROR_S
        spent_ms = round(1000 * (time.thread_time() - started))
        most = max(_LEAST_POINTS, min(MOST_POINTS, _MOST_BYTES // len(packed)))
        keep = (NOTE_HISTORY, interval_ms, _PAUSES * spent_ms, most, packed)
        _, pause_ms = yield from store.server.run(*keep)
    return float(pause_ms) / 1000


def _point(store: Store) -> Plan[bytes | None]:
    """Read how the labels stand now; None where there are too many of them, or none.

    Some 12 round trips, and two per 500 tasks (up to ``MOST_TASKS``) and labels.
    """
    keys, command = store.server.keys, store.server.command
    epoch = yield from command("HGET", keys.meta, "epoch")
    known = yield from store.server.commands(
        [("HLEN", keys.labels), ("HLEN", keys.count("samples"))]
    )
    if not 0 < known[0] <= max(known) <= MOST_KNOWN:
        return None
    active = yield from read.labels(store)
    draws = yield from store.server.scan_counts(keys.count("samples"))
    by_draws = sorted(active, key=lambda label: (-draws.get(label, 0), label))
    labels = sorted(by_draws[:MOST_LABELS])
    columns = {
        "tasks": np.array([active[label] for label in labels], dtype=np.float64),
        "samples": np.array([draws.get(label, 0) for label in labels], dtype=np.float64),
    }
    for what in TOTALS[1:]:
        columns[what] = yield from _totals(store, what, labels)
    names = list(_STATISTICS.values())
    table, _ = yield from read.numbers(store, "label", names, labels)
    columns |= dict(zip(_STATISTICS, table.T[:-1], strict=True))
    columns["probability"] = np.full(len(labels), np.nan)
    if sum(active.values()) <= MOST_TASKS:
        columns["probability"] = yield from _probabilities(store, labels)
    return packed(int(epoch), sum(draws.values()), labels, columns)


def _totals(store: Store, what: str, labels: Sequence[str]) -> Plan[NDArray[np.float64]]:
    key, found = store.server.keys.count(what), list[bytes | None]()
    for start in range(0, len(labels), 500):
        part = labels[start : start + 500]
        found += (yield from store.server.commands([("HMGET", key, *part)]))[0]
    return np.array([int(text or 0) for text in found], dtype=np.float64)


def _probabilities(store: Store, labels: Sequence[str]) -> Plan[NDArray[np.float64]]:
    """The probability that the next draw takes a task of each label."""
    pool = yield from read.pool(store)
    chances = distribution(pool, store.config.algorithm)
    sums = np.bincount(pool.label_index, chances, len(pool.labels)).tolist()
    chance = dict(zip(pool.labels, sums, strict=True))
    return np.array([chance.get(label, 0.0) for label in labels])


def packed(epoch: int, samples: int, labels: Sequence[str], columns: Mapping[str, object]) -> bytes:
    """Return a point as it is kept: a line of JSON, then its columns, compressed."""
    head = {"format": _FORMAT, "epoch": epoch, "samples": samples, "labels": list(labels)}
    rates = (np.asarray(columns[name]).astype("<f4") for name in RATES)
    totals = (np.asarray(columns[name]).astype("<f8") for name in TOTALS)
    body = b"".join(column.tobytes() for column in (*rates, *totals))
    return zlib.compress(json.dumps(head, separators=(",", ":")).encode() + b"\n" + body)


def points(store: Store) -> Plan[list[Point]]:
    """Read the points that are kept, the oldest first; one round trip for 16.

    Those that a later version of the library has written are left out.

    Raises:
        MalformedStateError: Somebody has overwritten one.
    """
    server, keys = store.server, store.server.keys
    times = sorted(int(at) for at in (yield from server.scan("ZSCAN", keys.history_times))[::2])
    found: list[Point] = []
    for start in range(0, len(times), _READ_CHUNK):
        part = times[start : start + _READ_CHUNK]
        (texts,) = yield from server.commands([("HMGET", keys.history, *part)])
        for at, text in zip(part, texts, strict=True):
            point = None if text is None else _unpacked(keys.history, at, text)
            if point is not None:  # one of them may have been removed meanwhile
                found.append(point)
    return found


def _unpacked(key: str, time_ms: int, text: bytes) -> Point | None:
    try:
        line, _, body = zlib.decompress(text).partition(b"\n")
        head = json.loads(line)
        if head["format"] != _FORMAT:
            return None
        epoch, samples = int(head["epoch"]), int(head["samples"])
        labels = [str(label) for label in head["labels"]]
        n = len(labels)
        rates = np.frombuffer(body, "<f4", len(RATES) * n).reshape(-1, n)
        totals = np.frombuffer(body, "<f8", len(TOTALS) * n, rates.nbytes).reshape(-1, n)
    except (zlib.error, ValueError, TypeError, LookupError):
        raise malformed(key, str(time_ms), text) from None
    columns: Columns = dict(zip(RATES, rates.astype(np.float64), strict=True))
    columns |= dict(zip(TOTALS, totals, strict=True))
    return Point(time_ms, epoch, samples, labels, columns)
