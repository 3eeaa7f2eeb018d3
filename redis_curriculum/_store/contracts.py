"""Every script that a plan calls, bound by the names of its arguments."""

from __future__ import annotations

from typing import Final

from redis_curriculum._protocol.scripts import bind

WRITE_HEAD: Final = ("generation", "worker", "sequence", "lease_ms")
POOLED: Final = ("pooled", "performance_bonus_weight")
DRAW: Final = ("count", "replay")
HYPERS: Final = (
    "pooled",
    "performance_bonus_weight",
    "task_tracker_ema_alpha",
    "ema_timescale",
    "slow_timescale_factor",
    "success_threshold",
    "use_baseline_normalization",
    "use_bidirectional",
    "early_progress_amplification",
    "min_samples_for_lp",
    "min_presentations_for_eviction",
    "rand_task_rate",
    "bonus_rule",
    "explore",
    "temperature",
    "z_score_amplification",
    "progress_smoothing",
    "eviction_threshold_percentile",
    "replacement_rate",
    "num_active_tasks",
)
"""What a script's ``hypers`` are, as doubles, in this order (lua/include/hypers.lua)."""
REGISTER: Final = bind(
    "register",
    "generation",
    "worker",
    "token",
    "previous",
    "sequence",
    "lease_ms",
    "host",
    "pid",
)
LEAVE: Final = bind("leave", "generation", "worker", "token", "sequence")
RENEW: Final = bind("renew", "generation", "worker", "sequence", "lease_ms")
RESUME: Final = bind("resume", "generation", "worker", "last", "next")
RECORD: Final = bind("record", *WRITE_HEAD, "hypers", rest="results")
SAMPLE: Final = bind("sample", *WRITE_HEAD, "hypers", *DRAW)
STEP: Final = bind("step", *WRITE_HEAD, "hypers", *DRAW, rest="results")
CREATE: Final = bind(
    "create",
    *WRITE_HEAD,
    "success_threshold",
    "events_retained",
    "num_active_tasks",
    "next_index",
    rest="specs",
)
REPLACE: Final = bind(
    "replace",
    *WRITE_HEAD,
    *POOLED,
    "eviction_threshold_percentile",
    "success_threshold",
    "labels_retained",
    "events_retained",
    "num_active_tasks",
    "next_index",
    rest="specs",
)
EVICT: Final = bind(
    "evict", *WRITE_HEAD, *POOLED, "labels_retained", "events_retained", rest="task_ids"
)
SET_LABEL: Final = bind(
    "set_label", *WRITE_HEAD, *POOLED, "labels_retained", "task_id", "label", "label_hash"
)
FAIL: Final = bind(
    "fail",
    *WRITE_HEAD,
    "hypers",
    "max_failures",
    "labels_retained",
    "events_retained",
    "quarantine_retained",
    "task_id",
    "failure_score",
    "error",
)
READ: Final = bind("read", "generation", rest="task_ids")
NUMBERS: Final = bind("numbers", "generation", "family", "count", rest="names")

MOMENT_BEGIN: Final = bind("moment_begin", "generation", "token", "lease_ms")
MOMENT_TASKS: Final = bind("moment_tasks", "generation", "token", "lease_ms", rest="task_ids")
MOMENT_LABELS: Final = bind("moment_labels", "generation", "token", "lease_ms", rest="labels")
MOMENT_END: Final = bind("moment_end", "generation", "token")

VERIFY: Final = bind("verify", "generation", "current", rest="tasks")
REPAIR_TASKS: Final = bind(
    "repair_tasks",
    "generation",
    "min_samples_for_lp",
    "min_presentations_for_eviction",
    rest="tasks",
)
REPAIR_LABELS: Final = bind("repair_labels", "generation", rest="labels")
REPAIR_SUMS: Final = bind(
    "repair_sums",
    "generation",
    "pooled",
    "performance_bonus_weight",
    "s",
    "q0",
    "q1",
    "q2",
    rest="labels",
)

STAGE_BEGIN: Final = bind("stage_begin", "generation", "current", "token", "lease_ms")
STAGE: Final = bind(
    "stage", "generation", "current", "token", "lease_ms", "expire_ms", rest="commands"
)
FLIP: Final = bind(
    "flip",
    "generation",
    "current",
    "token",
    "oldest_epoch",
    "events_retained",
    "note",
    "epochs",
    rest="meta",
)

END_EPOCH: Final = bind("end_epoch", *WRITE_HEAD, "epoch", "epochs_retained", "events_retained")
NOTE_EPOCH: Final = bind("note_epoch", *WRITE_HEAD, "epoch", rest="labels")

OPEN: Final = bind("open", "generation", "schema", "config", "config_sha256", "random")

DELETE: Final = bind("delete", "generation")
COLLECT: Final = bind("collect", "generation", rest="names")
FORGET: Final = bind("forget", "generation", "remember_ms")
REAP: Final = bind("reap", "generation")
