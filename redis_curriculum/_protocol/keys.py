"""Every key of a curriculum, its type and its meaning. Nothing else spells a key.

The scripts spell the same names from the one key they are given (``lua/include/keys.lua``); a test
holds both to this list. The braces put a whole curriculum into one Redis Cluster slot, whatever
the operator's prefix is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

SCHEMA: Final = 2
"""Version of the keys and of what they hold; a server with another one is refused."""

MIGRATED: Final = (1,)
"""Older schemas whose keys ``migrate`` turns into this one's."""

ROOT: Final = "rc:"
"""What every key of this library begins with, after the operator's own prefix."""

COUNTS: Final = ("completions", "samples", "evictions", "failures", "created")
"""What is counted by label, over the curriculum's life and within each epoch."""

EPOCH: Final = (*COUNTS, "times", "success", "progress")
"""What is kept of each epoch: its counts; of a closed one, its times and where its labels stood."""

PARTS: Final = ("fresh", "learning", "ripe")
"""The three sorted sets, in the order in which a task moves through them."""

LABEL_SETS: Final = ("weights", "masses", "young")
"""The sorted sets of labels that a label is drawn from."""


def as_pattern(text: str) -> str:
    """Return the pattern (of MATCH, of an ACL) that means this very text."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)


def index_of(key_prefix: str = "") -> str:
    """Sorted set: name of a curriculum -> when somebody was about to create it, or saw it, ms.

    One for each operator's prefix; in a cluster, in a slot of its own.
    """
    return f"{key_prefix}{ROOT}names"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one generation of one curriculum; plain text, no server involved."""

    name: str
    generation: int = 1
    key_prefix: str = ""
    """The operator's own beginning of every key; empty where the server is not shared."""

    @property
    def prefix(self) -> str:
        """What every key of the curriculum begins with; also its ACL pattern's stem."""
        return f"{self.key_prefix}{ROOT}{{{self.name}}}:"

    @property
    def meta(self) -> str:
        """Hash: schema, generation, config, epoch and its start, random stream, counters."""
        return f"{self.prefix}meta"

    @property
    def workers(self) -> str:
        """Sorted set: worker id -> end of its lease, ms of the server's clock."""
        return f"{self.prefix}workers"

    def worker(self, worker_id: str) -> str:
        """Hash: last applied sequence number, tasks of the last draw, host, pid, started.

        And the SHA-1 of its token: the token itself stands nowhere on the server.
        """
        return f"{self.prefix}worker:{worker_id}"

    @property
    def events(self) -> str:
        """Stream, capped: creations, evictions, failures, settings, restores and so on."""
        return f"{self.prefix}events"

    def epoch(self, epoch: int, what: str) -> str:
        """Hash: label -> count of ``what`` within one epoch (one of ``EPOCH``).

        Of a closed epoch also ``times`` (started_ms, ended_ms, the trainer's step, the spread of
        the labels' mean scores) and, by label at its end, ``success`` (success_rate_ema) and
        ``progress`` (learning_progress).
        """
        return f"{self.prefix}epoch:{epoch}:{what}"

    @property
    def history(self) -> str:
        """Hash: ms of the server's clock -> a point of the history by label, packed.

        And ``interval_ms`` (how far points lie apart) and ``due_ms`` (when the next one is made).
        """
        return f"{self.prefix}history"

    @property
    def history_times(self) -> str:
        """Sorted set: the same ms, by themselves."""
        return f"{self.prefix}history:times"

    @property
    def snapshot(self) -> str:
        """Hash, expires with the exporter: moment of a snapshot, check or migration.

        And the SHA-1 of its token.
        """
        return f"{self.prefix}snapshot"

    @property
    def snapshot_tasks(self) -> str:
        """Hash, expires: task id -> its record at the moment, for tasks changed since."""
        return f"{self.prefix}snapshot:tasks"

    @property
    def snapshot_labels(self) -> str:
        """Hash, expires: label -> its statistics and counts at the moment, if changed since."""
        return f"{self.prefix}snapshot:labels"

    @property
    def restore(self) -> str:
        """Hash, expires with the importer: which generation a restore or migration stages."""
        return f"{self.prefix}restore"

    @property
    def deleted(self) -> str:
        """String: last generation of a deleted curriculum; expires once its keys have gone."""
        return f"{self.prefix}deleted"

    @property
    def pool(self) -> str:
        """What the keys of this generation begin with."""
        return f"{self.prefix}g{self.generation}:"

    @property
    def staged_meta(self) -> str:
        """Hash: what becomes ``meta``; a restore makes and renames it within one script."""
        return f"{self.pool}meta"

    def task(self, task_id: int | str) -> str:
        """Hash: the task's record (``records.FIELDS``)."""
        return f"{self.pool}task:{task_id}"

    @property
    def fresh(self) -> str:
        """Sorted set by LP: tasks with too few results to be judged."""
        return f"{self.pool}fresh"

    @property
    def learning(self) -> str:
        """Sorted set by LP: from there to ``min_presentations_for_eviction`` completions."""
        return f"{self.pool}learning"

    @property
    def ripe(self) -> str:
        """Sorted set by LP: from there on; only these may be evicted for low LP."""
        return f"{self.pool}ripe"

    def reindexed(self, what: str) -> str:
        """Sorted set: a new one of ``PARTS``, until it takes the place of the old one.

        For ``labels`` a set: those that are indexed anew already.
        """
        return f"{self.pool}reindexed:{what}"

    @property
    def task_weights(self) -> str:
        """Sorted set: id of a task whose weight (``set_weights``) is not 1 -> the weight."""
        return f"{self.pool}task_weights"

    def label(self, label: str) -> str:
        """Set: ids of the label's active tasks."""
        return f"{self.pool}label:{label}"

    @property
    def labels(self) -> str:
        """Hash: label -> number of its active tasks, never 0."""
        return f"{self.pool}labels"

    @property
    def inactive(self) -> str:
        """Sorted set: label without active tasks -> when its last one left, ms."""
        return f"{self.pool}inactive"

    def members(self, label: str) -> str:
        """Sorted set: ids of the label's active tasks, for draws of one by its place."""
        return f"{self.pool}members:{label}"

    @property
    def weights(self) -> str:
        """Sorted set: label that has tasks and enough results -> its weight."""
        return f"{self.pool}weights"

    @property
    def masses(self) -> str:
        """Sorted set: the same label -> weight times tasks, where draws go by that."""
        return f"{self.pool}masses"

    @property
    def young(self) -> str:
        """Sorted set: label that has tasks, but few results -> 1, or its number of tasks."""
        return f"{self.pool}young"

    @property
    def sums(self) -> str:
        """Hash: exact sums over the eligible tasks: s, q0, q1, q2 (``Sums``).

        Not ``sums``: that was a string in schema 1, whose libraries look at its type first and
        would tell their user to remove the key.
        """
        return f"{self.pool}weight_sums"

    @property
    def groups(self) -> str:
        """String: sums over the labels, and their numbers by score (``label_first.FORMAT``)."""
        return f"{self.pool}groups"

    def cell(self, cell: str) -> str:
        """Sorted set: id of a task -> its weight; a cell is <state>:<label of its tasks>.

        The label is empty unless labels count.
        """
        return f"{self.pool}cell:{cell}"

    @property
    def cell_sums(self) -> str:
        """Hash: <state>:<label> -> sum of the weights in that cell, whole numbers of 2**-32."""
        return f"{self.pool}cell_sums"

    def own_tasks(self, name: str) -> str:
        """Sorted set: id of a task -> its number in a key of the family's own (``OwnKey``)."""
        return f"{self.pool}own_tasks:{name}"

    def own_labels(self, name: str) -> str:
        """Sorted set: label -> its number in a key of the family's own."""
        return f"{self.pool}own_labels:{name}"

    def own_texts(self, name: str) -> str:
        """Hash: id of a task, label or name -> its text in a key of the family's own."""
        return f"{self.pool}own_texts:{name}"

    def own_pool(self, name: str) -> str:
        """Hash: numbers by name, in a key of the family's own, of the whole pool."""
        return f"{self.pool}own_pool:{name}"

    @property
    def statistics(self) -> str:
        """Hash: what the family keeps of the whole pool, packed in the field ``stats``."""
        return f"{self.pool}statistics"

    @property
    def batches(self) -> str:
        """Hash, bounded: key of a batch -> number of tasks that was asked for, then their ids."""
        return f"{self.pool}batches"

    @property
    def batch_order(self) -> str:
        """Sorted set, bounded: the same key -> its number; the latest draw has the highest."""
        return f"{self.pool}batch_order"

    def progress(self, label: str) -> str:
        """Hash: the label's own statistics, and what the draws keep of it."""
        return f"{self.pool}progress:{label}"

    def count(self, what: str) -> str:
        """Hash: label -> lifetime count of ``what``; '' holds those of forgotten labels."""
        return f"{self.pool}count:{what}"

    @property
    def quarantine(self) -> str:
        """Hash, bounded: id of a task evicted for failing -> the last error message."""
        return f"{self.pool}quarantine"
