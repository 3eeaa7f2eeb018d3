"""Where figures go: files, the terminal, Prometheus, TensorBoard."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

from redis_curriculum._values.files import write_whole
from redis_curriculum._values.libraries import imported
from redis_curriculum._values.rules import validate_path
from redis_curriculum._values.texts import shown_on
from redis_curriculum.reporting.reporter import Entry

_MOST_ALERTS: Final = 10
"""That a person reads; with thousands of labels there can be thousands."""


class JsonLines:
    """Appends one JSON object a line; figures that are not numbers are left out.

    ``step`` is null where the trainer gave none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = validate_path(path, "path").open("a", encoding="utf-8")

    def log(self, entry: Entry) -> None:
        """Write one line and flush it."""
        line = {
            "curriculum": entry.curriculum,
            "epoch": entry.report.epoch,
            "step": entry.report.step,
            "ended_ms": entry.report.ended_ms,
            "alerts": [str(alert) for alert in entry.report.alerts],
            "figures": entry.known(),
        }
        self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Stdout:
    """Prints a line an epoch, and one for each of its first 10 alerts.

    Characters that the stream's encoding lacks are escaped.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def log(self, entry: Entry) -> None:
        """Print the entry."""
        figures, totals, step = entry.figures, entry.report.totals, entry.report.step
        at = "" if step is None else f" at step {step}"
        line = (
            f"{entry.curriculum} epoch {entry.report.epoch}{at}: {totals['samples']} samples,"
            f" {totals['completions']} completions, {totals['failures']} failures,"
            f" {totals['evictions']} evictions;"
            f" success {figures['mean_task_success_rate']:.3f},"
            f" progress {figures['mean_learning_progress']:.4f},"
            f" effective tasks {figures['effective_num_tasks']:.1f}"
            f" of {figures['num_active_tasks']:.0f}"
        )
        alerts = [f"  ! {alert}" for alert in entry.report.alerts[:_MOST_ALERTS]]
        more = len(entry.report.alerts) - len(alerts)
        alerts += [f"  ! and {more} more alerts"] if more else []
        stream = self._stream or sys.stdout
        print(shown_on(stream, "\n".join([line, *alerts])), file=stream, flush=True)

    def close(self) -> None:
        """Nothing is held back."""


class Prometheus:
    """Keeps a file in Prometheus's text format, replaced whole at every entry.

    Point node_exporter's textfile collector at its directory, or serve it. Each curriculum needs
    a file of its own.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = validate_path(path, "path")

    def log(self, entry: Entry) -> None:
        """Replace the file."""
        write_whole(self._path, prometheus_text(entry.figures, entry.curriculum).encode())

    def close(self) -> None:
        """The last figures stay."""


_OF_LABEL: Final = re.compile(
    r"(?P<family>pool_composition|sampling_counts|eviction_counts|epoch/\w+)/(?P<label>.+)"
    r"|per_label_stats/(?P<its>.+)/(?P<name>\w+)",
    re.DOTALL,
)


def prometheus_text(figures: Mapping[str, float], curriculum: str) -> str:
    """Return figures in Prometheus's text exposition format (version 0.0.4), all as gauges.

    ``gini/raw_lp`` becomes ``redis_curriculum_gini_raw_lp{curriculum="..."}``; of labels' figures
    the label is a Prometheus label, too: ``redis_curriculum_pool_composition{..., label="..."}``.
    """
    families: dict[str, list[str]] = {}
    for figure, value in figures.items():
        labels, name = f'curriculum="{_escaped(curriculum)}"', figure
        found = _OF_LABEL.fullmatch(figure)
        if found:
            name = found["family"] or f"per_label_stats/{found['name']}"
            labels += f',label="{_escaped(found["label"] or found["its"])}"'
        family = "redis_curriculum_" + name.replace("/", "_") + ("_by_label" if found else "")
        text = "NaN" if math.isnan(value) else repr(value)
        families.setdefault(family, []).append(f"{family}{{{labels}}} {text}\n")
    return "".join(
        f"# TYPE {family} gauge\n{''.join(samples)}" for family, samples in families.items()
    )


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class TensorBoard:
    """Writes scalars ``curriculum/<figure>``; needs no TensorFlow and no PyTorch.

    Over the trainer's own step, or over the epoch's number where it gave none.

    Raises:
        MissingLibraryError: The package ``tensorboard`` is missing.
    """

    def __init__(self, directory: str | os.PathLike[str], *, prefix: str = "curriculum/") -> None:
        writers = imported("tensorboard.summary.writer.event_file_writer", "loggers")
        self._events = imported("tensorboard.compat.proto.event_pb2", "loggers")
        self._summaries = imported("tensorboard.compat.proto.summary_pb2", "loggers")
        self._writer: Any = writers.EventFileWriter(str(validate_path(directory, "directory")))
        self._prefix = prefix

    def log(self, entry: Entry) -> None:
        """Add one event with all figures and flush it."""
        value = self._summaries.Summary.Value
        values = [value(tag=name, simple_value=x) for name, x in entry.known(self._prefix).items()]
        event = self._events.Event(
            wall_time=(entry.report.ended_ms or 0) / 1000,
            step=entry.report.epoch if entry.report.step is None else entry.report.step,
            summary=self._summaries.Summary(value=values),
        )
        self._writer.add_event(event)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()
