"""Where the figures of a curriculum go: W&B, TensorBoard, Prometheus, JSON Lines, the terminal.

One owner logs: ``StatsReporter.end_epoch`` ends the epoch, and of several trainers only one ends
it. Any sink is an object with ``log(entry)`` and ``close()``. W&B and TensorBoard come with the
extra ``loggers`` and are imported when their sink is made.
"""

from __future__ import annotations

from redis_curriculum.errors import ManyLabelsWarning, SinkWarning
from redis_curriculum.reporting.alerts import Alert, AlertKind
from redis_curriculum.reporting.epochs import EpochReport
from redis_curriculum.reporting.history import History
from redis_curriculum.reporting.inequality import gini
from redis_curriculum.reporting.reporter import Entry, Sink, StatsReporter
from redis_curriculum.reporting.sinks import (
    JsonLines,
    Prometheus,
    Stdout,
    TensorBoard,
    prometheus_text,
)
from redis_curriculum.reporting.wandb_sink import WeightsAndBiases

__all__ = [
    "Alert",
    "AlertKind",
    "Entry",
    "EpochReport",
    "History",
    "JsonLines",
    "ManyLabelsWarning",
    "Prometheus",
    "Sink",
    "SinkWarning",
    "StatsReporter",
    "Stdout",
    "TensorBoard",
    "WeightsAndBiases",
    "gini",
    "prometheus_text",
]
