"""Every script that a plan calls, bound by the names of its arguments.

Those made by ``contract`` are spliced for a scorer family: ``Store.script`` returns them.
"""

from __future__ import annotations

from typing import Final

from redis_curriculum._protocol.scripts import bind, contract

WRITE_HEAD: Final = ("generation", "worker", "sequence", "lease_ms")
DRAW: Final = ("count", "may_replace", "replay", "distinct", "chosen")
REGISTER: Final = bind(
    "register",
    "generation",
    "worker",
    "token",
    "previous",
    "sequence",
    "lease_ms",
    "takes",
    "host",
    "pid",
    "machine",
    "born",
)
LEAVE: Final = bind("leave", "generation", "worker", "token", "sequence")
RENEW: Final = bind("renew", "generation", "worker", "sequence", "lease_ms")
RESUME: Final = bind("resume", "generation", "worker", "last", "next")
RECORD: Final = contract("record", *WRITE_HEAD, rest="results")
SAMPLE: Final = contract("sample", *WRITE_HEAD, *DRAW)
STEP: Final = contract("step", *WRITE_HEAD, *DRAW, rest="results")
BATCH: Final = contract(
    "batch",
    *WRITE_HEAD,
    *("key", "count", "known", "draws", "skip_right", "skip_wrong", "retained", "chosen"),
)
RESERVE: Final = contract("reserve", *WRITE_HEAD, "count", "purpose", "again", "most")
MADE: Final = ("config_version", "first", "through")
CREATE: Final = contract("create", *WRITE_HEAD, *MADE, "trouble", rest="specs")
REPLACE: Final = contract("replace", *WRITE_HEAD, *MADE, rest="specs")
ADD: Final = contract("add", *WRITE_HEAD, "most", rest="specs")
EVICT: Final = contract("evict", *WRITE_HEAD, rest="task_ids")
SET_LABEL: Final = contract("set_label", *WRITE_HEAD, "task_id", "label")
SET_WEIGHTS: Final = contract("set_weights", *WRITE_HEAD, rest="specs")
FAIL: Final = contract("fail", *WRITE_HEAD, "permanent", "quarantine_retained", "task_id", "error")

MOMENT_BEGIN: Final = contract("moment_begin", "generation", "token", "lease_ms", "gives_way")
MOMENT_TASKS: Final = contract("moment_tasks", "generation", "token", "lease_ms", rest="task_ids")
MOMENT_LABELS: Final = contract("moment_labels", "generation", "token", "lease_ms", rest="labels")
MOMENT_END: Final = bind("moment_end", "generation", "token")

VERIFY: Final = contract("verify", "generation", "current", "packed_hypers", rest="tasks")
VERIFY_SUMS: Final = contract("verify_sums", "generation", "current")
REPAIR_TASKS: Final = contract("repair_tasks", "generation", "config_version", rest="tasks")
REPAIR_LABELS: Final = contract("repair_labels", "generation", rest="labels")
REPAIR_INDEX: Final = contract("repair_index", "generation", "config_version", rest="labels")
REPAIR_SUMS: Final = contract("repair_sums", "generation", "config_version", rest="amounts")

STAGE_BEGIN: Final = bind("stage_begin", "generation", "current", "token", "lease_ms")
STAGE: Final = bind(
    "stage", "generation", "current", "token", "lease_ms", "expire_ms", "step", rest="commands"
)
FLIP: Final = bind(
    "flip",
    "generation",
    "current",
    "token",
    "steps",
    "live_epoch",
    "events_retained",
    "note",
    "staged",
    "gone",
    rest="words",
)

MIGRATE: Final = bind(
    "migrate", "generation", "current", "token", "steps", "older", "events_retained", rest="meta"
)

CONFIGURE: Final = bind(
    "configure",
    "generation",
    "config_version",
    "token",
    "config",
    "config_sha256",
    "packed_hypers",
    "unindexed",
    "events_retained",
    "changes",
    "host",
    "pid",
)
REINDEX: Final = contract("reindex", "generation")

END_EPOCH: Final = contract("end_epoch", *WRITE_HEAD, "epoch", "own_step")
NOTE_EPOCH: Final = bind("note_epoch", *WRITE_HEAD, "epoch", "spread", rest="labels")
NOTE_HISTORY: Final = bind("note_history", "generation", "interval_ms", "pause_ms", "most", "point")

OPEN: Final = bind(
    "open", "generation", "schema", "config", "config_sha256", "packed_hypers", "random", "creator"
)

DELETE: Final = bind("delete", "generation")
COLLECT: Final = bind("collect", "generation", rest="names")
FORGET: Final = bind("forget", "generation", "remember_ms")
REAP: Final = bind("reap", "generation")
