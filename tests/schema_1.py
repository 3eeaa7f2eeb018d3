"""Curricula as version 0.1.0 left them, put onto a server key by key (``fixtures/schema_1.py``)."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from redis_curriculum._protocol.keys import Keys
from redis_curriculum.tasks.ids import label_hash

FILE = Path(__file__).parent / "fixtures" / "schema-1.json.gz"
NAMES = ("labels", "tasks", "bonus", "usual", "uniform", "empty")


@cache
def fixture(which: str) -> dict[str, Any]:
    """One curriculum: keys, snapshot, the tasks drawn next, the snapshot after these."""
    found: dict[str, Any] = json.loads(gzip.decompress(FILE.read_bytes()))[which]
    return found


def snapshot_of(which: str, folder: Path, when: str = "snapshot") -> Path:
    """The old library's snapshot of that state, or of the one ``after`` the draws."""
    path = folder / f"{which}-{when}.rcs"
    path.write_bytes(base64.b64decode(fixture(which)[when]))
    return path


def plant(client: Any, which: str, name: str) -> None:
    """Write every key of a curriculum under another name; the leases of its workers have ended."""
    pipe = client.pipeline(transaction=False)
    write: dict[str, Callable[[str, Any], object]] = {
        "hash": lambda key, value: pipe.hset(key, mapping=value),
        "set": lambda key, value: pipe.sadd(key, *value),
        "zset": lambda key, value: pipe.zadd(key, dict(value)),
        "stream": lambda key, value: [pipe.xadd(key, fields, id=at) for at, fields in value],
        "string": lambda key, value: pipe.set(key, bytes.fromhex(value)),
    }
    prefix = Keys(name).prefix
    for short, (kind, value) in fixture(which)["keys"].items():
        write[kind](prefix + short, [(w, 1) for w, _ in value] if short == "workers" else value)
    pipe.execute()


def dump(client: Any, name: str) -> dict[str, Any]:
    """Every key of a curriculum, to the last bit, and whether it stays."""
    prefix = Keys(name).prefix
    keys = sorted(client.scan_iter(f"{prefix}*", count=1000))
    pipe = client.pipeline(transaction=False)
    read: dict[str, Callable[[str], object]] = {
        "hash": pipe.hgetall,
        "set": pipe.smembers,
        "zset": lambda key: pipe.zrange(key, 0, -1, withscores=True),
        "stream": pipe.xrange,
        "string": pipe.get,
        "none": pipe.type,  # it has expired meanwhile
    }
    for key in keys:
        pipe.type(key)
    kinds = pipe.execute()
    for key, kind in zip(keys, kinds, strict=True):
        read[kind](key)
        pipe.ttl(key)
    found = pipe.execute()
    rows = zip(keys, kinds, found[::2], found[1::2], strict=True)
    return {
        key.removeprefix(prefix): (kind, value, ttl < 0)
        for key, kind, value, ttl in rows
        if kind != "none"
    }


class OldWorker:
    """One worker of version 0.1.0: its own scripts, called as it calls them."""

    def __init__(self, client: Any, name: str) -> None:
        meta = client.hgetall(Keys(name).meta)
        self.keys = Keys(name, int(meta["generation"]))
        self.algorithm = json.loads(meta["config"])["algorithm"]
        self._client = client
        self.sequence = 0

    def call(self, script: str, *args: object) -> Any:
        """Call a script with what follows the generation."""
        source = fixture("scripts")[script]
        return self._client.eval(source, 1, self.keys.meta, self.keys.generation, *args)

    def register(self, lease_ms: int = 60_000) -> None:
        """Enter, or come back."""
        args = ("old", "token", "", self.sequence, lease_ms, "elsewhere", 4321)
        self.call("register", *args)

    def leave(self) -> None:
        """Say goodbye."""
        assert self.call("leave", "old", "token", self.sequence) == 1

    def write(self, script: str) -> Any:
        """One write, not a repetition."""
        self.sequence += 1
        args = (WRITES | EPOCHS)[script](self)
        return self.call(script, "old", self.sequence, 0, *args)

    @property
    def hypers(self) -> bytes:
        """As version 0.1.0 packed them, for a share of exploration."""
        h = self.algorithm
        numbers = [
            *(h["pooling"] == "label", h["performance_bonus_weight"]),
            *(h["task_tracker_ema_alpha"], h["ema_timescale"], h["slow_timescale_factor"]),
            *(h["success_threshold"], h["use_baseline_normalization"], h["use_bidirectional"]),
            *(h["early_progress_amplification"], h["min_samples_for_lp"]),
            *(h["min_presentations_for_eviction"], h["rand_task_rate"], False),
            *(h["exploration_share"], h["temperature"], h["z_score_amplification"]),
            *(h["progress_smoothing"], h["eviction_threshold_percentile"]),
            *(h["replacement_rate"], 40),
        ]
        return struct.pack("<20d", *numbers)

    @property
    def task(self) -> str:
        """The task that would be replaced first."""
        return str(self._client.zrange(self.keys.ripe, 0, 0)[0])

    @property
    def spec(self) -> tuple[Any, ...]:
        """The next index, and one task for it."""
        at = self._client.hget(self.keys.meta, "next_index")
        return at, at, 77 + int(at), "new", label_hash("new"), "{}"

    @property
    def epoch(self) -> int:
        """The current one."""
        return int(self._client.hget(self.keys.meta, "epoch"))


WRITES: dict[str, Callable[[OldWorker], Sequence[Any]]] = {
    "record": lambda w: (w.hypers, w.task, 0.5),
    "sample": lambda w: (w.hypers, 1, ""),
    "step": lambda w: (w.hypers, 1, "", w.task, 0.5),
    "create": lambda w: (0.5, 50, 41, *w.spec),
    "replace": lambda w: (1, 0, 1, 0.5, 2, 50, 40, *w.spec),
    "evict": lambda w: (1, 0, 2, 50, w.task),
    "set_label": lambda w: (1, 0, 2, w.task, "other", label_hash("other")),
    "fail": lambda w: (w.hypers, 3, 2, 50, 1000, w.task, "", "broken"),
}
"""What changes a generation, with version 0.1.0's arguments for the curriculum ``labels``."""
EPOCHS: dict[str, Callable[[OldWorker], Sequence[Any]]] = {
    "end_epoch": lambda w: (w.epoch, 2, 50),
    "note_epoch": lambda w: (w.epoch - 1, "kept", 0.5, 0.25),
}
"""What changes nothing of a generation."""
