"""Figures that say how a curriculum does: read in bulk, computed over whole columns.

``read_census`` collects columns in bounded chunks while workers go on (so the figures are not of
one moment), ``figures`` computes from them; nothing is reset by it. All counts are over the
curriculum's life; those of one epoch are in its ``EpochReport``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from redis_curriculum._protocol.keys import COUNTS
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.stored import number
from redis_curriculum._sampling.draw import chances, distribution, pool_weights
from redis_curriculum._sampling.pool import Pool
from redis_curriculum._store.read import (
    numbers,
    own_values,
    pool_statistics,
    set_weights,
    task_ids,
)
from redis_curriculum._store.store import Store
from redis_curriculum.errors import ManyLabelsWarning
from redis_curriculum.reporting.inequality import gini
from redis_curriculum.reporting.labels import (
    MOST_LABELS,
    Labels,
    checked_labels,
    chosen_labels,
)
from redis_curriculum.scorers.base import Scorer
from redis_curriculum.scorers.statistics import Holder

Floats = NDArray[np.float64]

_TASK: Final = ("sample_count", "created_ms")
"""What is read of a task beside its statistics."""
_SHOWN: Final[dict[Holder, tuple[str, ...]]] = {
    "task": ("learning_progress", "success_rate_ema"),
    "label": ("learning_progress", "p_true", "success_rate_ema", "reward_ema"),
}


@dataclass(frozen=True)
class Census:
    """What the figures are made of; arrays of tasks have shape (n,), of labels (m,)."""

    scorer: Scorer
    pool: Pool
    sample_count: Floats
    age_ms: Floats
    counts: Mapping[str, Mapping[str, int]]
    """Lifetime counts of each of ``COUNTS`` by label, of labels without tasks too."""
    epoch: int
    late_count: int
    quarantined: int

    def of_tasks(self, name: str) -> Floats:
        """A statistic of each task, NaN before its first result and where the family has none.

        Where the family keeps it of labels only, it is that of the task's label.
        """
        if name in self.pool.statistics:
            return self.pool.statistics[name]
        return self.of_labels(name)[self.pool.label_index]

    def of_labels(self, name: str) -> Floats:
        """The same of each label."""
        return self.pool.label_statistics.get(name, np.full(len(self.labels), np.nan))

    @property
    def labels(self) -> Sequence[str]:
        """Those with tasks, as ``pool.label_index`` counts them."""
        return self.pool.labels

    @cached_property
    def eligible(self) -> NDArray[np.bool_]:
        """Which tasks are no longer fresh."""
        return self.pool.eligible(self.scorer)

    @cached_property
    def drives(self) -> Floats:
        """The weight that each eligible task is drawn by."""
        return pool_weights(self.pool, self.scorer)[self.eligible]

    @cached_property
    def chances(self) -> Floats:
        """What the weights of the eligible tasks become, before it is divided by its sum."""
        return chances(self.pool, self.scorer)

    @cached_property
    def probabilities(self) -> Floats:
        """Each task's probability to be drawn next."""
        return distribution(self.pool, self.scorer)

    @cached_property
    def known_labels(self) -> set[str]:
        """Those with tasks, and those that are remembered for their draws and evictions."""
        return {*self.labels, *self.counts["samples"], *self.counts["evictions"]} - {""}

    def by_label(self, values: Floats | None = None) -> Floats:
        """Sum (None: count) over each label's tasks."""
        return np.bincount(self.pool.label_index, values, len(self.labels)).astype(np.float64)


def stats(store: Store, labels: object = None) -> Plan[dict[str, float]]:
    """Read a census and compute its figures; see ``Curriculum.stats``."""
    choice = checked_labels(labels)
    census = yield from read_census(store)
    if choice is None and len(census.known_labels) > MOST_LABELS and not store.has_many_labels:
        store.has_many_labels = True
        warnings.warn(
            f"curriculum {store.server.keys.name!r} has more than {MOST_LABELS} labels: only those"
            " drawn most have figures of their own (labels= says how many, or which)",
            ManyLabelsWarning,
            stacklevel=2,
        )
    return figures(census, choice)


def read_census(store: Store) -> Plan[Census]:
    """Read the columns, 500 tasks or labels in a round trip."""
    server, keys = store.server, store.server.keys
    ids = yield from task_ids(store)
    scorer = store.config.algorithm
    of_task, of_label = _columns(scorer, "task"), _columns(scorer, "label")
    tasks, found = yield from numbers(store, "task", (*_TASK, "weight", *of_task), ids)
    there = ~np.isnan(tasks[:, -1])  # others were evicted between the two
    samples, created, weights, *columns, label_index = tasks[there].T
    labels = sorted(found)
    place = {label: i for i, label in enumerate(labels)}
    position = np.array([place[label] for label in found], dtype=np.intp)
    of_labels, _ = yield from numbers(store, "label", of_label, labels)
    counts = yield from _read_counts(store)
    now_ms = yield from server.now_ms()
    epoch, late_count = yield from server.command("HMGET", keys.meta, "epoch", "late_count")
    quarantined = yield from server.command("HLEN", keys.quarantine)
    of_pool = yield from pool_statistics(store)
    pool = Pool(
        task_ids=np.array(ids, dtype=np.int64)[there],
        statistics=dict(zip(of_task, columns, strict=True)),
        label_index=position[label_index.astype(np.intp)],
        label_statistics=dict(zip(of_label, of_labels.T[:-1], strict=True)),
        labels=labels,
        numbers=of_pool,
        task_weights=set_weights(weights),
        own=(yield from own_values(store, np.array(ids, dtype=np.int64)[there], labels)),
    )
    return Census(
        scorer=scorer,
        pool=pool,
        sample_count=samples,
        age_ms=np.maximum(now_ms - created, 0),
        counts=counts,
        epoch=number(keys, "epoch", epoch),
        late_count=number(keys, "late_count", late_count, 0),
        quarantined=quarantined,
    )


def _columns(scorer: Scorer, holder: Holder) -> tuple[str, ...]:
    """The statistics that draws depend on, and those that figures show, if the family has them."""
    shown = [name for name in _SHOWN[holder] if name in scorer.names(holder)]
    return tuple(dict.fromkeys((*scorer.drawn_by(holder), *shown)))


def _read_counts(store: Store) -> Plan[dict[str, dict[str, int]]]:
    counts = {}
    for what in COUNTS:
        counts[what] = yield from store.server.scan_counts(store.server.keys.count(what))
    return counts


def figures(census: Census, labels: Labels = None) -> dict[str, float]:
    """Return every figure by name; NaN where there is nothing to take a mean of."""
    own = chosen_labels(labels, census.known_labels, census.counts["samples"])
    found = {
        **_means(census),
        **_totals(census),
        **_draws(census),
        **_by_label(census, own),
        **_raw_progress(census),
        **_inequality(census),
        **{f"pool/{name}": value for name, value in census.pool.numbers.items()},
        **{
            f"pool/{key}/{name}": value
            for key, numbers in census.pool.own.pool.items()
            for name, value in numbers.items()
        },
        **{
            f"label/{key}/{label}": value
            for key, column in census.pool.own.labels.items()
            for label, value in zip(census.labels, column.tolist(), strict=True)
            if label in own
        },
    }
    return {name: float(value) for name, value in found.items()}


def _means(census: Census) -> dict[str, float]:
    return {
        "mean_task_success_rate": _mean(census.of_tasks("success_rate_ema")),
        "mean_learning_progress": _mean(census.of_tasks("learning_progress")),
        "mean_lp_score": _mean(census.drives),
        "mean_sample_prob": _mean(census.probabilities),
    }


def _totals(census: Census) -> dict[str, float]:
    total = {what: sum(census.counts[what].values()) for what in COUNTS}
    return {
        "num_created": total["created"],
        "num_evicted": total["evictions"],
        "num_completed": total["completions"],
        "num_scheduled": total["samples"],
        "num_failures": total["failures"],
        "num_late_updates": census.late_count,
        "num_quarantined": census.quarantined,
        "num_active_tasks": len(census.pool),
        "num_eligible_tasks": int(census.eligible.sum()),
        "num_labels": len(census.labels),
        "epoch": census.epoch,
    }


def _draws(census: Census) -> dict[str, float]:
    p = census.probabilities[census.probabilities > 0]
    entropy = float(-(p * np.log(p)).sum()) + 0.0
    return {
        "num_zeros_lp_dist": int((census.drives == 0).sum()),
        "sampling_entropy": entropy,
        "effective_num_tasks": math.exp(entropy) if len(p) else 0.0,
    }


def _by_label(census: Census, own: AbstractSet[str]) -> dict[str, float]:
    columns = {
        "success_rate": census.of_labels("success_rate_ema"),
        "mean_score": census.of_labels("reward_ema"),
        "performance": census.of_labels("p_true"),
        "learning_progress": census.of_labels("learning_progress"),
        "sample_prob": census.by_label(census.probabilities),
        "eligible_tasks": census.by_label(census.eligible.astype(np.float64)),
        "completions": _count(census, "completions"),
        "failures": _count(census, "failures"),
    }
    kept = [i for i, label in enumerate(census.labels) if label in own]
    labels = [census.labels[i] for i in kept]
    found = dict(_named("pool_composition/{}", labels, census.by_label()[kept]))
    for name, column in columns.items():
        found.update(_named(f"per_label_stats/{{}}/{name}", labels, column[kept]))
    for template, what in (("sampling_counts/{}", "samples"), ("eviction_counts/{}", "evictions")):
        known = {**dict.fromkeys(census.labels, 0), **census.counts[what]}
        known = {label: n for label, n in known.items() if label in own}
        found.update(_named(template, known, known.values()))
    return found


def _count(census: Census, what: str) -> Floats:
    counts = census.counts[what]
    return np.array([counts.get(label, 0) for label in census.labels], dtype=np.float64)


def _named(
    template: str, labels: Iterable[str], values: Iterable[float]
) -> Iterable[tuple[str, float]]:
    before, after = template.split("{}")
    return ((f"{before}{label}{after}", v) for label, v in zip(labels, values, strict=True))


def _raw_progress(census: Census) -> dict[str, float]:
    raw = census.of_tasks("learning_progress")
    raw = raw[~np.isnan(raw)]
    raw = raw if len(raw) else np.array([math.nan])
    return {
        "debug/raw_lp_mean": float(raw.mean()),
        "debug/raw_lp_std": float(raw.std()),
        "debug/raw_lp_min": float(raw.min()),
        "debug/raw_lp_max": float(raw.max()),
    }


def _inequality(census: Census) -> dict[str, float]:
    """Gini coefficients from the raw progress to what is drawn: where does selectivity go?"""
    pool, eligible = census.pool, census.eligible
    progress = np.nan_to_num(census.of_tasks("learning_progress"), nan=0.0)
    raw, drawn = gini(progress[eligible]), gini(census.probabilities[eligible])
    counted = {
        what: np.array([n for label, n in census.counts[what].items() if label], dtype=np.float64)
        for what in ("samples", "evictions")
    }
    return {
        "gini/raw_lp": raw,
        "gini/raw_lp_by_label": gini(np.nan_to_num(census.of_labels("learning_progress"))),
        "gini/drives": gini(census.drives),
        "gini/weights": gini(census.chances),
        "gini/sampling_probs": gini(census.probabilities),
        "gini/sampling_probs_by_label": gini(census.by_label(census.probabilities)),
        "gini/sampling_counts": gini(census.sample_count),
        "gini/sampling_counts_by_label": gini(counted["samples"]),
        "gini/pool_occupancy": gini(pool.completion_count),
        "gini/pool_composition": gini(census.by_label()),
        "gini/task_age": gini(census.age_ms),
        "gini/evictions_by_label": gini(counted["evictions"]),
        "gini/selectivity_loss_lp_to_prob": raw - drawn,
    }


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
