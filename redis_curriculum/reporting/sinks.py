"""Where figures go: files, the terminal, Prometheus, TensorBoard."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

from redis_curriculum._values.files import open_to_append, write_whole
from redis_curriculum._values.libraries import imported
from redis_curriculum._values.rules import validate_path
from redis_curriculum._values.texts import shown_on
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.reporting.labels import of_label
from redis_curriculum.reporting.media import RGBA, Media
from redis_curriculum.reporting.reporter import Entry

_MOST_ALERTS: Final = 10
"""That a person reads; with thousands of labels there can be thousands."""


class JsonLines:
    """Appends one JSON object a line; figures that are not numbers are left out.

    ``step`` is null where the trainer gave none.

    Raises:
        InvalidInputError: ``path`` cannot be written: a directory, a pipe that nobody reads, ...
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self._file = open_to_append(validate_path(path, "path"))
        except OSError as error:
            rule = f"a file that can be written ({error.strerror})"
            raise InvalidInputError("path", rule, path) from error

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


def prometheus_text(figures: Mapping[str, float], curriculum: str) -> str:
    """Return figures in Prometheus's text exposition format (version 0.0.4), all as gauges.

    ``gini/raw_lp`` becomes ``redis_curriculum_gini_raw_lp{curriculum="..."}``; of labels' figures
    the label is a Prometheus label, too: ``redis_curriculum_pool_composition{..., label="..."}``.
    """
    families: dict[str, list[str]] = {}
    for figure, value in figures.items():
        labels, (name, label) = f'curriculum="{_escaped(curriculum)}"', of_label(figure)
        family = "redis_curriculum_" + name.replace("/", "_")
        if label is not None:
            labels += f',label="{_escaped(label)}"'
            family += "_by_label"
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

    Args:
        directory: Where event files go.
        prefix: What the names begin with.
        media_every: Log ``curriculum/plot``, the picture of ``curriculum.plot()``, at the first of
            every so many epochs; None: never. Needs the extra ``plot``.

    Raises:
        MissingLibraryError: The package ``tensorboard`` is missing, or Matplotlib for pictures.
        InvalidInputError: ``media_every`` is no count.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        prefix: str = "curriculum/",
        media_every: int | None = None,
    ) -> None:
        writers = imported("tensorboard.summary.writer.event_file_writer", "loggers")
        self._events = imported("tensorboard.compat.proto.event_pb2", "loggers")
        self._summaries = imported("tensorboard.compat.proto.summary_pb2", "loggers")
        self._media = Media(media_every)
        self._writer: Any = writers.EventFileWriter(str(validate_path(directory, "directory")))
        self._prefix = prefix

    def log(self, entry: Entry) -> None:
        """Add one event with all figures and flush it; then the picture, if it is due."""
        value = self._summaries.Summary.Value
        known = entry.known(self._prefix).items()
        self._add(entry, [value(tag=name, simple_value=x) for name, x in known])
        if self._media.is_due(entry):
            data, (width, height) = self._media.picture(entry)
            image = self._summaries.Summary.Image(
                width=width, height=height, colorspace=RGBA, encoded_image_string=data
            )
            self._add(entry, [value(tag=f"{self._prefix}plot", image=image)])

    def _add(self, entry: Entry, values: list[Any]) -> None:
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
