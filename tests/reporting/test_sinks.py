"""Loggers: each sink written and read back; one owner logs; a broken sink stops nobody."""

from __future__ import annotations

import importlib
import io
import json
import math
import os
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from redis_curriculum import Curriculum
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig
from redis_curriculum.errors import (
    CurriculumError,
    EpochError,
    InvalidInputError,
    ServerUnavailableError,
    SinkWarning,
)
from redis_curriculum.reporting import (
    AlertKind,
    Entry,
    JsonLines,
    Prometheus,
    Sink,
    StatsReporter,
    Stdout,
    TensorBoard,
    WeightsAndBiases,
    prometheus_text,
)
from redis_curriculum.reporting.reporter import report_figures
from redis_curriculum.tasks import Single, WeightedSet
from tests.docs.pages import page
from tests.interrupting import count_lines, interrupted, sample
from tests.lossy import MANY, lossy

TASKS = WeightedSet([(Single(label='say "hi"/0'), 1.0), (Single(label="b"), 1.0)])


class Kept:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.closed = 0

    def log(self, entry: Entry) -> None:
        self.entries.append(entry)

    def close(self) -> None:
        self.closed += 1


class Broken:
    def log(self, entry: Entry) -> None:
        raise OSError(f"no room for epoch {entry.report.epoch}")

    def close(self) -> None:
        raise OSError("still full")


@pytest.fixture
def curriculum(url: str, name: str) -> Iterator[Curriculum]:
    algorithm = LearningProgressConfig(replacement_rate=0, min_samples_for_lp=2)
    config = CurriculumConfig(task_generator=TASKS, num_active_tasks=6, seed=5, algorithm=algorithm)
    with Curriculum.open(url, name, config) as handle:
        yield handle


def play(curriculum: Curriculum, episodes: int = 30) -> None:
    tasks = curriculum.get_tasks(episodes)
    curriculum.update_many([(t.task_id, i % 3 / 2) for i, t in enumerate(tasks)])


def report_epochs(curriculum: Curriculum, *sinks: Sink, epochs: int = 3) -> list[Entry]:
    kept = Kept()
    with StatsReporter(curriculum, *sinks, kept) as reporter:
        for _ in range(epochs):
            play(curriculum)
            reporter.end_epoch()
    assert kept.closed == 1
    return kept.entries


def same(found: dict[str, float], entry: Entry, rel: float = 0.0) -> None:
    """All figures that are numbers, and no others."""
    assert found == pytest.approx(entry.known(), rel=rel, abs=0)
    assert len(found) > 40


# --- the reporter --------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [8, pytest.param(10**6, marks=pytest.mark.slow)])
def test_ctrl_c_at_any_line_logs_each_epoch_once(curriculum: Curriculum, most: int) -> None:
    play(curriculum)
    first, second = Kept(), Kept()
    with StatsReporter(curriculum, first, second) as reporter:
        for _ in range(6):
            reporter.end_epoch()
        lines = count_lines(reporter.end_epoch)
        for line in sample(lines, most):
            epoch = curriculum.epoch
            report, _ = interrupted(reporter.end_epoch, line)
            assert report.epoch == epoch
            assert curriculum.epoch == epoch + 1
            assert {entry.report.epoch for entry in first.entries} == set(range(epoch + 1))
            logged = [entry.report.epoch for entry in second.entries]
            assert logged == sorted(logged)
            assert set(logged) == set(range(epoch + 1))


def test_an_entry_has_the_report_and_the_figures_after_it(curriculum: Curriculum) -> None:
    entries = report_epochs(curriculum)
    assert [entry.report.epoch for entry in entries] == [0, 1, 2]
    assert [entry.figures["epoch/number"] for entry in entries] == [0, 1, 2]
    assert [entry.figures["num_completed"] for entry in entries] == [30, 60, 90]
    last = entries[-1]
    assert last.curriculum == curriculum.name
    assert last.figures.items() >= report_figures(last.report).items()
    assert last.figures["epoch/completions"] == 30
    assert last.figures["epoch/completions/b"] == last.report.completions["b"]
    assert last.figures["epoch/seconds"] >= 0
    assert last.report == curriculum.epoch_report(2)


def test_only_the_owner_of_an_epoch_logs_it(url: str, name: str, curriculum: Curriculum) -> None:
    with Curriculum.open(url, name) as other:
        mine, theirs = Kept(), Kept()
        StatsReporter(curriculum, mine).end_epoch()
        with pytest.raises(EpochError):
            StatsReporter(other, theirs).end_epoch()
        assert (len(mine.entries), len(theirs.entries)) == (1, 0)


def test_a_broken_sink_is_a_warning_and_the_others_get_their_entry(curriculum: Curriculum) -> None:
    kept = Kept()
    reporter = StatsReporter(curriculum, Broken(), kept)
    with pytest.warns(SinkWarning, match="Broken: OSError: no room for epoch 0"):
        report = reporter.end_epoch()
    assert kept.entries[0].report is report
    with pytest.warns(SinkWarning, match="still full"):
        reporter.close()
    assert kept.closed == 1


def test_a_call_made_again_logs_the_epoch_it_has_ended(url: str, curriculum: Curriculum) -> None:
    handle, link = lossy(url, curriculum.name)
    kept = Kept()
    with handle:
        reporter = StatsReporter(handle, kept)
        link.lose, link.skip = MANY, 1  # end_epoch() reads its labels, then stats() fails
        with pytest.raises(ServerUnavailableError):
            reporter.end_epoch()
        assert (handle.epoch, kept.entries) == (1, [])
        assert reporter.end_epoch().epoch == 0
        assert reporter.end_epoch().epoch == 1
        assert [entry.report.epoch for entry in kept.entries] == [0, 1]


def test_the_axis_is_the_trainers_step_in_every_sink(
    curriculum: Curriculum, tmp_path: Path
) -> None:
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    stream, kept = io.StringIO(), Kept()
    frames: Iterator[Any] = iter([np.int64(0), 2**52])
    sinks: list[Sink] = [
        JsonLines(tmp_path / "run.jsonl"),
        Stdout(stream),
        Prometheus(tmp_path / "run.prom"),
        TensorBoard(tmp_path / "events"),
        kept,
    ]
    with StatsReporter(curriculum, *sinks, step=lambda: next(frames)) as reporter:
        reporter.end_epoch()
        assert reporter.end_epoch(step=77).step == 77, "what is given counts"
        reporter.end_epoch()
    steps = [0, 77, 2**52]
    assert [entry.figures["epoch/step"] for entry in kept.entries] == steps
    lines = (tmp_path / "run.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == steps
    assert [line.split(": ")[0] for line in stream.getvalue().splitlines()] == [
        f"{curriculum.name} epoch {epoch} at step {step}" for epoch, step in enumerate(steps)
    ]
    last = f'redis_curriculum_epoch_step{{curriculum="{curriculum.name}"}} {float(2**52)!r}\n'
    assert last in (tmp_path / "run.prom").read_text()
    (path,) = (tmp_path / "events").iterdir()
    events = loading.LegacyEventFileLoader(str(path)).Load()
    assert [event.step for event in events if event.HasField("summary")] == steps


@pytest.mark.parametrize("step", [-1, 2**53, 1.5, "1", True, math.nan])
def test_a_step_that_is_none_ends_no_epoch(curriculum: Curriculum, step: Any) -> None:
    kept = Kept()
    with pytest.raises(InvalidInputError, match="step must be"):
        StatsReporter(curriculum, kept).end_epoch(step=step)
    with pytest.raises(InvalidInputError, match="step must be"):
        StatsReporter(curriculum, kept, step=lambda: step).end_epoch()
    with pytest.raises(InvalidInputError, match="step must be"):
        curriculum.end_epoch(step=step)
    assert (curriculum.epoch, kept.entries) == (0, [])
    StatsReporter(curriculum, kept).end_epoch(step=3)
    assert [entry.report.step for entry in kept.entries] == [3]


def test_a_call_made_again_keeps_its_step(url: str, curriculum: Curriculum) -> None:
    handle, link = lossy(url, curriculum.name)
    frames, kept = iter([10, 20, 30]), Kept()
    with handle:
        reporter = StatsReporter(handle, kept, step=lambda: next(frames))
        for lost in ("end_epoch", MANY):
            link.lose = lost
            with pytest.raises(ServerUnavailableError):
                reporter.end_epoch()
            reporter.end_epoch()
        handle.end_epoch(step=40)
        link.lose = "end_epoch"
        with pytest.raises(ServerUnavailableError):
            handle.end_epoch(step=50)
        assert handle.end_epoch(step=51).step == 50
    assert [entry.report.step for entry in kept.entries] == [10, 20]
    found = [curriculum.epoch_report(epoch) for epoch in range(5)]
    assert [report and report.step for report in found] == [10, 20, 40, 50, None]


# --- sinks ---------------------------------------------------------------------------------------


def test_json_lines_are_read_back(curriculum: Curriculum, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text('{"before": 1}\n')
    entries = report_epochs(curriculum, JsonLines(path))
    before, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert before == {"before": 1}, "appended"
    for line, entry in zip(lines, entries, strict=True):
        assert (line["curriculum"], line["epoch"]) == (curriculum.name, entry.report.epoch)
        assert line["ended_ms"] == entry.report.ended_ms
        same(line["figures"], entry)


def test_json_lines_wait_for_no_pipe_and_name_a_path_that_cannot_be_written(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "no/run.jsonl", "x" * 300):
        with pytest.raises(InvalidInputError, match="path must be a file that can be written"):
            JsonLines(tmp_path / name)
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    JsonLines(tmp_path / "pipe").close()  # somebody reads: as /dev/stdout before `| jq`
    os.close(reading)


def test_stdout_says_it_in_a_line_and_each_alert_in_its_own(
    curriculum: Curriculum, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    for _ in range(5):
        curriculum.report_failure(curriculum.task_ids("b")[0], "no", permanent=True)
    report_epochs(curriculum, Stdout(), Stdout(stream), epochs=1)
    first, *alerts = stream.getvalue().splitlines()
    assert first.startswith(f"{curriculum.name} epoch 0: 30 samples, 30 completions, 5 failures, 5")
    assert first.endswith(" of 6")
    assert len(alerts) == 1
    assert alerts[0].startswith("  ! failures: tasks of 'b' failed 5 times in ")
    assert capsys.readouterr().out == stream.getvalue()


def test_stdout_prints_the_first_alerts_and_how_many_more_there_are(url: str, name: str) -> None:
    tasks = WeightedSet([(Single(label=f"l{i:02d}"), 1.0) for i in range(14)])
    config = CurriculumConfig(task_generator=tasks, num_active_tasks=200)
    with Curriculum.open(url, name, config) as curriculum:
        labels = sorted(curriculum.labels())
        for label in labels:
            for _ in range(5):
                curriculum.report_failure(curriculum.task_ids(label)[0], "no", permanent=True)
        stream = io.StringIO()
        report = StatsReporter(curriculum, Stdout(stream)).end_epoch()
    assert len(report.alerts) == len(labels) > 11
    _, *lines = stream.getvalue().splitlines()
    assert lines[:10] == [f"  ! {alert}" for alert in report.alerts[:10]]
    assert lines[10:] == [f"  ! and {len(labels) - 10} more alerts"]


def test_stdout_escapes_what_the_stream_cannot_show(url: str, name: str) -> None:
    config = CurriculumConfig(task_generator=Single(label="\u00e9tage \u4e8c"), num_active_tasks=9)
    with Curriculum.open(url, name, config) as curriculum:
        found = {}
        for encoding in ("ascii", "cp1252", "utf-8"):
            for _ in range(5):  # an alert that names the label
                curriculum.report_failure(curriculum.task_ids()[0], "no", permanent=True)
            raw = io.BytesIO()
            with io.TextIOWrapper(raw, encoding=encoding) as stream:
                report_epochs(curriculum, Stdout(stream), epochs=1)
                found[encoding] = raw.getvalue().decode(encoding).splitlines()
    assert r"'\xe9tage \u4e8c'" in found["ascii"][1]
    assert r"'\xe9tage \u4e8c'" in found["cp1252"][1]
    assert "'\u00e9tage \u4e8c'" in found["utf-8"][1]


_SAMPLE = re.compile(
    r'(redis_curriculum_\w+)\{curriculum="([^"]*)"(?:,label="((?:\\.|[^"\\])*)")?\} (\S+)'
)


def test_prometheus_text_is_read_back(curriculum: Curriculum, tmp_path: Path) -> None:
    path = tmp_path / "run.prom"
    (entry,) = report_epochs(curriculum, Prometheus(path), epochs=1)
    assert [p.name for p in tmp_path.iterdir()] == ["run.prom"], "replaced whole"
    text = path.read_text()
    assert text.endswith("\n")
    typed, samples = set(), {}
    for line in text.splitlines():
        if line.startswith("#"):
            family = re.fullmatch(r"# TYPE (\w+) gauge", line)
            assert family is not None
            assert family[1] not in typed, "once"
            typed.add(family[1])
            continue
        found = _SAMPLE.fullmatch(line)
        assert found is not None, line
        assert found[1] in typed
        assert found[2] == curriculum.name
        assert (found[1], found[3]) not in samples
        samples[found[1], found[3]] = float(found[4])
    assert len(samples) == len(entry.figures)
    quoted = r"say \"hi\"/0"
    its = 'per_label_stats/say "hi"/0/success_rate'
    assert (
        samples["redis_curriculum_per_label_stats_success_rate_by_label", quoted]
        == (entry.figures[its])
    )
    assert samples["redis_curriculum_epoch_samples_by_label", "b"] == entry.report.samples["b"]
    assert samples["redis_curriculum_epoch_samples", None] == 30
    assert samples["redis_curriculum_gini_raw_lp", None] == entry.figures["gini/raw_lp"]


def test_prometheus_keeps_labels_whole_and_says_nan() -> None:
    figures = {"pool_composition/a/b\\c\n": 2.0, "per_label_stats/a/b/x": math.nan, "epoch": 3.0}
    assert prometheus_text(figures, "run") == (
        "# TYPE redis_curriculum_pool_composition_by_label gauge\n"
        'redis_curriculum_pool_composition_by_label{curriculum="run",label="a/b\\\\c\\n"} 2.0\n'
        "# TYPE redis_curriculum_per_label_stats_x_by_label gauge\n"
        'redis_curriculum_per_label_stats_x_by_label{curriculum="run",label="a/b"} NaN\n'
        "# TYPE redis_curriculum_epoch gauge\n"
        'redis_curriculum_epoch{curriculum="run"} 3.0\n'
    )


def test_tensorboard_files_are_read_back(curriculum: Curriculum, tmp_path: Path) -> None:
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    entries = report_epochs(curriculum, TensorBoard(tmp_path))
    (path,) = tmp_path.iterdir()
    found: dict[int, dict[str, float]] = {}
    for event in loading.LegacyEventFileLoader(str(path)).Load():
        for value in event.summary.value:
            found.setdefault(event.step, {})[value.tag] = value.simple_value
    assert list(found) == [0, 1, 2]
    for entry in entries:
        tags = found[entry.report.epoch]
        assert all(tag.startswith("curriculum/") for tag in tags)
        own = {tag.removeprefix("curriculum/"): x for tag, x in tags.items()}
        same(own, entry, rel=1e-6)  # float32


def test_tensorboard_shows_the_picture(curriculum: Curriculum, tmp_path: Path) -> None:
    module = "tensorboard.backend.event_processing.event_accumulator"
    accumulator = pytest.importorskip(module).EventAccumulator(str(tmp_path))
    entries = report_epochs(curriculum, TensorBoard(tmp_path, media_every=2))
    accumulator.Reload()
    images = accumulator.Images("curriculum/plot")
    assert [image.step for image in images] == [0, 2]
    assert len(accumulator.Scalars("curriculum/epoch/number")) == len(entries)
    for image in images:
        with PIL.Image.open(io.BytesIO(image.encoded_image_string)) as picture:
            assert (picture.size, picture.mode) == ((image.width, image.height), "RGBA")


class FakeRun:
    """A W&B run that is someone else's."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = [{}]
        """The last one is not written yet."""
        self.alerts: list[dict[str, str]] = []
        self.metrics: dict[str, str | None] = {}
        self.finished = False

    @property
    def step(self) -> int:
        return len(self.rows) - 1

    def define_metric(self, name: str, step_metric: str | None = None, **_: Any) -> None:
        self.metrics[name] = step_metric

    def log(self, row: dict[str, float], *, commit: bool = True) -> None:
        self.rows[-1].update(row)
        if commit:
            self.rows.append({})

    def alert(self, **fields: str) -> None:
        self.alerts.append(fields)

    def finish(self) -> None:
        self.finished = True


def test_a_run_of_yours_gets_rows_and_stays_open(curriculum: Curriculum) -> None:
    run = FakeRun()
    for _ in range(5):
        curriculum.report_failure(curriculum.task_ids("b")[0], "no", permanent=True)
    entries = report_epochs(curriculum, WeightsAndBiases(run, prefix="c/"))
    assert not run.finished
    assert run.metrics == {"c/epoch/number": None, "c/*": "c/epoch/number"}
    for row, entry in zip(run.rows, entries, strict=True):
        same({name.removeprefix("c/"): x for name, x in row.items()}, entry)
    (alert,) = run.alerts
    assert alert["title"] == f"{curriculum.name}: {AlertKind.FAILURES}"


def test_the_axis_in_wandb_is_your_step_as_soon_as_it_is_known(curriculum: Curriculum) -> None:
    run = FakeRun()
    with StatsReporter(curriculum, WeightsAndBiases(run, prefix="c/")) as reporter:
        reporter.end_epoch()
        reporter.end_epoch(step=4_000)
    axes = {"c/*": "c/epoch/step", "c/epoch/number": None, "c/epoch/step": None}
    assert run.metrics == axes
    assert [row.get("c/epoch/step") for row in run.rows] == [None, 4_000]


def test_two_curricula_in_one_run_have_a_prefix_each(
    url: str, name: str, curriculum: Curriculum
) -> None:
    run, config = FakeRun(), curriculum.config
    with (
        Curriculum.open(url, f"{name}-2", config) as second,
        StatsReporter(curriculum, WeightsAndBiases(run)) as one,
        StatsReporter(second, WeightsAndBiases(run)) as two,
    ):
        one.end_epoch()
        with pytest.warns(SinkWarning, match=f"logs as '{second.name}/curriculum/'; Weights"):
            two.end_epoch()
        one.end_epoch()
        two.end_epoch()  # no second warning
    names = ["curriculum/epoch/number", f"{second.name}/curriculum/epoch/number"]
    assert [[row[name] for name in names] for row in run.rows] == [[0, 0], [1, 1]]
    third = WeightsAndBiases(run)  # those before are closed
    with Curriculum.open(url, f"{name}-3", config) as later:
        StatsReporter(later, third).end_epoch()
    assert run.rows[-1]["curriculum/epoch/number"] == 0


class Offline:
    """A real run of W&B that sends nothing; ``rows`` ends it and reads what it has written."""

    def __init__(self, directory: Path) -> None:
        self.wandb = pytest.importorskip("wandb")
        self.directory = directory
        self.run: Any = self.wandb.init(project="p", mode="offline", dir=str(directory))

    def rows(self) -> list[dict[str, float]]:
        self.run.finish()
        self.wandb.teardown()  # ends its background process, which has written everything then
        return written(self.directory)


def written(directory: Path) -> list[dict[str, float]]:
    (path,) = directory.rglob("*.wandb")
    return list(_history(path))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offline:
    monkeypatch.setenv("WANDB_SILENT", "true")
    return Offline(tmp_path)


def test_wandb_offline_is_read_back(
    curriculum: Curriculum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    sink = WeightsAndBiases(project="p", mode="offline", dir=str(tmp_path))
    entries = report_epochs(curriculum, sink)
    assert wandb.run is None, "its own run is finished"
    wandb.teardown()
    for row, entry in zip(written(tmp_path), entries, strict=True):
        own = {n.removeprefix("curriculum/"): x for n, x in row.items() if n.startswith("c")}
        same(own, entry, rel=1e-12)


def test_wandb_gets_a_table_of_labels_and_the_picture(
    curriculum: Curriculum, offline: Offline
) -> None:
    run = offline.run
    entries = report_epochs(curriculum, WeightsAndBiases(run, media_every=2))
    rows = offline.rows()
    assert len(rows) == len(entries)
    for row, entry in zip(rows, entries, strict=True):
        assert row["curriculum/epoch/number"] == entry.report.epoch
        table, image = (
            {p.rpartition("/")[2]: x for p, x in row.items() if f"/{k}/" in p}
            for k in ("labels", "plot")
        )
        assert bool(table) == bool(image) == (entry.report.epoch % 2 == 0)
        if not table:
            continue
        (files,) = (path for path in offline.directory.rglob("files"))
        content = json.loads((files / str(table["path"])).read_text())
        of = dict(zip(content["columns"], zip(*content["data"], strict=True), strict=True))
        assert of["label"] == ("b", 'say "hi"/0')
        for column, figure in (
            ("probability", "per_label_stats/b/sample_prob"),
            ("success_rate", "per_label_stats/b/success_rate"),
            ("learning_progress", "per_label_stats/b/learning_progress"),
            ("samples", "sampling_counts/b"),
            ("tasks", "pool_composition/b"),
        ):
            assert of[column][0] == pytest.approx(entry.figures[figure])
        assert (None in of["failures"], None in of["evictions"]) == (False, False)
        with PIL.Image.open(files / str(image["path"])) as picture:
            assert picture.size == (image["width"], image["height"])


@pytest.mark.parametrize("every", [0, -1, 1.5, "2", True])
def test_pictures_come_at_a_count_of_epochs(tmp_path: Path, every: Any) -> None:
    for make in (
        lambda: TensorBoard(tmp_path, media_every=every),
        lambda: WeightsAndBiases(FakeRun(), media_every=every),
    ):
        with pytest.raises(InvalidInputError, match="media_every must be"):
            make()
    assert list(tmp_path.iterdir()) == []


def test_no_row_of_yours_is_dropped_at_steps_of_yours(
    url: str, name: str, curriculum: Curriculum, offline: Offline
) -> None:
    run = offline.run
    with (
        Curriculum.open(url, f"{name}-2", curriculum.config) as second,
        StatsReporter(curriculum, WeightsAndBiases(run)) as one,
        StatsReporter(second, WeightsAndBiases(run, prefix="second/")) as two,
    ):
        for step in range(0, 200, 10):
            run.log({"loss": step}, step=step)
            if step % 50 == 40:
                one.end_epoch()
                two.end_epoch(step=step)
            run.log({"lr": step}, step=step)
    rows = offline.rows()
    assert [row["_step"] for row in rows] == list(range(0, 200, 10))
    assert [(row["loss"], row["lr"]) for row in rows] == [(s, s) for s in range(0, 200, 10)]
    ours = [
        (row["_step"], row["curriculum/epoch/number"], row["second/epoch/step"])
        for row in rows
        if "curriculum/epoch/number" in row
    ]
    assert ours == [(40, 0, 40), (90, 1, 90), (140, 2, 140), (190, 3, 190)]


def test_no_row_of_yours_is_dropped_where_wandb_counts(
    curriculum: Curriculum, offline: Offline
) -> None:
    run = offline.run
    with StatsReporter(curriculum, WeightsAndBiases(run)) as reporter:
        for i in range(6):
            run.log({"loss": i})
            run.log({"part": i}, commit=False)
            if i % 2:
                reporter.end_epoch()
                reporter.end_epoch()  # nothing of yours between the two
            run.log({"lr": i})
    rows = offline.rows()
    for figure in ("loss", "part", "lr"):
        assert [row[figure] for row in rows if figure in row] == list(range(6))
    epochs = [row["curriculum/epoch/number"] for row in rows if "curriculum/epoch/number" in row]
    assert epochs == list(range(6))


def _history(path: Path) -> Iterator[dict[str, float]]:
    messages = importlib.import_module("wandb.proto.wandb_internal_pb2")
    for data in _records(path.read_bytes()):
        record = messages.Record.FromString(data)
        if record.HasField("history"):
            items = record.history.item
            yield {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items}


def _records(raw: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log: blocks of 32 KiB, a record's pieces have a header each."""
    at, whole = 7, b""  # after the file's own header
    while at + 7 <= len(raw):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", raw, at)
        whole += raw[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # full, or the last piece
            yield whole
            whole = b""


@pytest.mark.parametrize(
    ("make", "package"),
    [(TensorBoard, "tensorboard"), (lambda path: WeightsAndBiases(), "wandb")],
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make: Any, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.summary.writer.event_file_writer", None)
    with pytest.raises(CurriculumError, match=rf"{package} is missing: pip install"):
        make(tmp_path)


def test_pictures_without_matplotlib_name_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, module, None)
    for make in (
        lambda: TensorBoard(tmp_path, media_every=1),
        lambda: WeightsAndBiases(FakeRun(), media_every=1),
    ):
        with pytest.raises(CurriculumError, match=r"redis-curriculum\[plot\]"):
            make()


# --- the guide -----------------------------------------------------------------------------------


def test_the_table_of_the_guide_names_every_figure_and_no_other(curriculum: Curriculum) -> None:
    curriculum.report_failure(curriculum.task_ids("b")[0], "no", permanent=True)
    play(curriculum)
    kept = Kept()
    StatsReporter(curriculum, kept).end_epoch(step=1)
    (entry,) = kept.entries
    _, _, table = page("guides/epochs.md").partition("## Figures\n")
    rows = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    documented = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert len(set(documented)) == len(documented)
    logged = {re.sub(r'(/)(b|say "hi"/0)(/|$)', r"\1<label>\3", name) for name in entry.figures}
    assert logged == set(documented)
