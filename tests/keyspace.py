"""What may stand in Redis: every key that ``keys.py`` spells, with the type it states."""

from __future__ import annotations

import re
from typing import Any, Final

from redis_curriculum._protocol.keys import COUNTS, EPOCH, PARTS, Keys, index_of
from redis_curriculum._values.rules import NAME

TEAM: Final = "team-a:"
"""The one prefix of tests: a key with any other is nobody's."""
_ANY: Final = Keys("NAME", 987654321)
_LABEL, _ID = "LABEL", 123456789
_SPELLED: Final = {
    index_of(): "zset",
    _ANY.meta: "hash",
    _ANY.workers: "zset",
    _ANY.worker(_LABEL): "hash",
    _ANY.events: "stream",
    _ANY.history: "hash",
    _ANY.history_times: "zset",
    _ANY.snapshot: "hash",
    _ANY.snapshot_tasks: "hash",
    _ANY.snapshot_labels: "hash",
    _ANY.deleted: "string",
    _ANY.task(_ID): "hash",
    _ANY.label(_LABEL): "set",
    _ANY.labels: "hash",
    _ANY.inactive: "zset",
    _ANY.sums: "hash",
    _ANY.members(_LABEL): "zset",
    _ANY.groups: "string",
    _ANY.weights: "zset",
    _ANY.masses: "zset",
    _ANY.young: "zset",
    _ANY.progress(_LABEL): "hash",
    _ANY.cell(f"{_ID}:{_LABEL}"): "zset",
    _ANY.cell(f"{_ID}:"): "zset",
    _ANY.cell_sums: "hash",
    _ANY.statistics: "hash",
    _ANY.own_tasks(_LABEL): "zset",
    _ANY.own_labels(_LABEL): "zset",
    _ANY.own_pool(_LABEL): "hash",
    _ANY.own_texts(_LABEL): "hash",
    _ANY.quarantine: "hash",
    _ANY.batches: "hash",
    _ANY.batch_order: "zset",
    _ANY.task_weights: "zset",
    **{_ANY.pool + part: "zset" for part in PARTS},
    **{_ANY.reindexed(part): "zset" for part in PARTS},
    _ANY.reindexed("labels"): "set",
    **{_ANY.count(what): "hash" for what in COUNTS},
    **{_ANY.epoch(_ID, what): "hash" for what in EPOCH},
}
_WILD: Final = {
    "NAME": NAME,
    "LABEL": ".+",
    str(_ANY.generation): "[1-9][0-9]*",
    str(_ID): "[0-9]+",
}


def _pattern(key: str) -> re.Pattern[str]:
    text = re.escape(key)
    for word, wild in _WILD.items():
        text = text.replace(word, wild)
    return re.compile(f"(?:{re.escape(TEAM)})?{text}", re.DOTALL)


_PATTERNS: Final = [(_pattern(key), kind) for key, kind in _SPELLED.items()]


def strangers(client: Any) -> list[str]:
    """All keys on the server that nothing spells, or that hold another type than stated."""
    found = sorted(client.scan_iter(count=10_000))
    pipe = client.pipeline(transaction=False)
    for key in found:
        pipe.type(key)
    return [
        f"{key} ({kind})"
        for key, kind in zip(found, pipe.execute(), strict=True)
        if not any(p.fullmatch(key) and kind == wanted for p, wanted in _PATTERNS)
    ]
