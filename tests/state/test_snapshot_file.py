"""The reader of snapshots: whatever is wrong with a file, one SnapshotError says where."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum._state.format import FORMAT, MOST_LINE_BYTES, EndLine, Manifest, TaskLine
from redis_curriculum._state.reader import read
from redis_curriculum.errors import SnapshotError

FIXTURES = Path(__file__).parents[1] / "fixtures"
GOOD = FIXTURES / "format-2.rcs"
Lines = list[dict[str, Any]]


def good_lines() -> Lines:
    return [json.loads(line) for line in gzip.decompress(GOOD.read_bytes()).splitlines()]


def sealed(texts: list[str], end: dict[str, Any]) -> bytes:
    """Put the right checksum below lines that may be wrong."""
    body = "".join(f"{text}\n" for text in texts).encode()
    closing = {**end, "sha256": hashlib.sha256(body).hexdigest()}
    return gzip.compress(body + json.dumps(closing).encode() + b"\n", mtime=0)


def pack(lines: Lines) -> bytes:
    return sealed([json.dumps(line) for line in lines[:-1]], lines[-1])


def reading(path: Path, content: bytes) -> SnapshotError:
    path.write_bytes(content)
    with pytest.raises(SnapshotError) as caught:
        list(read(path))
    return caught.value


def first(lines: Lines, kind: str) -> int:
    return next(i for i, line in enumerate(lines) if line["type"] == kind)


@pytest.mark.parametrize("number", range(FORMAT + 1))
def test_every_format_there_has_been_can_be_read(number: int) -> None:
    lines = list(read(FIXTURES / f"format-{number}.rcs"))
    manifest, end = lines[0], lines[-1]
    assert isinstance(manifest, Manifest)
    assert manifest.format == FORMAT
    assert isinstance(end, EndLine)
    assert sum(isinstance(line, TaskLine) for line in lines) == end.tasks > 0


def test_a_newer_format_is_refused_with_both_numbers(tmp_path: Path) -> None:
    lines = good_lines()
    lines[0]["format"] = 7
    error = reading(tmp_path / "a", pack(lines))
    assert "1" in str(error)
    assert "7" in str(error)
    assert error.line == 1
    assert error.field == "format"


def test_what_is_packed_again_is_good(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(pack(good_lines()))
    assert len(list(read(tmp_path / "a"))) == len(good_lines())


Change = Callable[[Lines], Any]


def _set(kind: str, field: str, value: Any) -> Change:
    return lambda lines: lines[first(lines, kind)].__setitem__(field, value)


def _statistic(kind: str, name: str, value: float | None) -> Change:
    """Set, or for None take out, one statistic of the first line that has any."""

    def change(lines: Lines) -> None:
        line = next(ls for ls in lines if ls["type"] == kind and "statistics" in ls)
        line["statistics"].pop(name)
        if value is not None:
            line["statistics"][name] = value

    return change


MISTAKES: dict[str, tuple[Change, str]] = {
    "unknown field": (_set("task", "colour", "red"), "colour"),
    "unknown type": (_set("task", "type", "tusk"), "type"),
    "label with a line feed": (_set("label", "label", "a\nb"), "label"),
    "label too long": (_set("label", "label", "x" * 201), "label"),
    "name": (_set("manifest", "name", "a b"), "name"),
    "negative id": (_set("task", "task_id", -1), "task_id"),
    "id of 2**53": (_set("task", "task_id", 2**53), "task_id"),
    "text for a number": (_set("task", "sample_count", "3"), "sample_count"),
    "float for a count": (_set("task", "sample_count", 3.0), "sample_count"),
    "bool for a count": (_set("task", "sample_count", value=True), "sample_count"),
    "params no object": (_set("task", "params", [1]), "params"),
    "a score outside": (_set("task", "last_score", 1.5), "last_score"),
    "seed differs": (_set("manifest", "seed", 99), "seed"),
    "random of five": (_set("manifest", "random", [1] * 5), "random"),
    "config unknown": (_set("manifest", "config", {"a": 1}), "a"),
    "unknown count": (_set("label", "count", {"wins": 1}), "count.wins[key]"),
    "task twice": (lambda ls: ls.insert(-1, dict(ls[first(ls, "task")])), "task_id"),
    "label twice": (lambda ls: ls.insert(2, dict(ls[first(ls, "label")])), "label"),
    "manifest twice": (lambda ls: ls.insert(1, dict(ls[0])), "type"),
    "no manifest": (lambda ls: ls.pop(0), "format"),
    "task missing": (lambda ls: ls.pop(first(ls, "task")), "tasks"),
    "label missing": (lambda ls: ls.pop(first(ls, "label")), "labels"),
    "tasks miscounted": (_set("end", "tasks", 3), "tasks"),
    "an average missing": (_statistic("task", "ema_squared", None), "statistics.ema_squared"),
    "an average above 1": (_statistic("task", "p_slow", 1.01), "statistics.p_slow"),
    "a label's average missing": (_statistic("label", "p_true", None), "statistics.p_true"),
    "progress without results": (
        _statistic("task", "completion_count", 0),
        "statistics.completion_count",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_by_line_and_field(tmp_path: Path, mistake: str) -> None:
    change, field = MISTAKES[mistake]
    lines = good_lines()
    change(lines)
    error = reading(tmp_path / "a", pack(lines))
    assert error.line is not None
    assert error.field == field, error
    assert f"line {error.line}" in str(error)
    assert len(str(error)) < 600


RAW: dict[str, str] = {
    "a 5,000-digit integer": '{"type":"task","task_id":' + "9" * 5000 + "}",
    "NaN": '{"type":"task","total_score":NaN}',
    "infinity": '{"type":"task","total_score":1e999}',
    "nested too deep": '{"type":"task","params":' + "[" * 5000 + "]" * 5000 + "}",
    "nested a little too deep": '{"type":"task","params":{"a":' + "[" * 70 + "]" * 70 + "}}",
    "a duplicate key": '{"type":"task","type":"task"}',
    "not JSON": "task",
    "a list": "[]",
    "nothing": "",
    "a lone surrogate": '{"type":"quarantine","task_id":1,"error":"\\ud800"}',
}


@pytest.mark.parametrize("what", RAW)
def test_what_json_lets_pass_is_refused(tmp_path: Path, what: str) -> None:
    texts = [json.dumps(line) for line in good_lines()]
    texts.insert(2, RAW[what])
    error = reading(tmp_path / "a", sealed(texts[:-1], json.loads(texts[-1])))
    assert error.line == 3
    assert len(str(error)) < 600


def test_a_line_too_long(tmp_path: Path) -> None:
    long = b'{"type":"task","params":"' + b"x" * (MOST_LINE_BYTES + 10)
    assert reading(tmp_path / "a", gzip.compress(long)).line == 1


def test_a_gzip_bomb_is_read_no_further_than_a_line(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()
    assert len(bomb) < 300_000
    assert reading(tmp_path / "a", bomb).line == 1


@pytest.mark.parametrize("content", [b"", b"text", gzip.compress(b"", mtime=0), b"\x1f\x8b\x08"])
def test_what_is_no_snapshot(tmp_path: Path, content: bytes) -> None:
    reading(tmp_path / "a", content)


def test_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(
            SnapshotError, match=r"cannot be read: (it is not a regular file|No such)"
        ):
            list(read(path))


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = GOOD.read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1, len(whole) - 8]:
        error = reading(tmp_path / "a", whole[:length])
        assert str(error).startswith(f"line {error.line}")
        assert (error.line or 0) >= 1


def test_more_after_the_end_is_noticed(tmp_path: Path) -> None:
    reading(tmp_path / "a", GOOD.read_bytes() + gzip.compress(b"{}\n"))
    reading(tmp_path / "a", GOOD.read_bytes() + b"junk")


def test_a_missing_closing_line(tmp_path: Path) -> None:
    text = gzip.decompress(GOOD.read_bytes()).splitlines(keepends=True)
    error = reading(tmp_path / "a", gzip.compress(b"".join(text[:-1])))
    assert "closing line" in str(error)


def test_a_changed_digit_breaks_the_checksum(tmp_path: Path) -> None:
    text = gzip.decompress(GOOD.read_bytes())
    changed = text.replace(b'"sample_count":1', b'"sample_count":2', 1)
    assert changed != text
    error = reading(tmp_path / "a", gzip.compress(changed))
    assert error.field == "sha256"


def test_thousands_of_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    """Flipped, cut, doubled and swapped bytes, inside the gzip and outside of it."""
    rng = random.Random(20261123)
    whole, text = GOOD.read_bytes(), gzip.decompress(GOOD.read_bytes())
    path, survived = tmp_path / "a", 0
    for i in range(3000):
        source = bytearray(whole if i % 3 == 0 else text)
        for _ in range(rng.randint(1, 4)):
            mutate(source, rng)
        content = bytes(source) if i % 3 == 0 else gzip.compress(bytes(source), 1)
        path.write_bytes(content)
        try:
            list(read(path))
        except SnapshotError:
            continue
        survived += 1
        assert gzip.decompress(content) == text  # nothing that matters was changed
    assert survived < 100


def mutate(source: bytearray, rng: random.Random) -> None:
    if not source:
        return
    at = rng.randrange(len(source))
    match rng.randrange(5):
        case 0:
            source[at] ^= 1 << rng.randrange(8)
        case 1:
            del source[at : at + rng.randint(1, 50)]
        case 2:
            source[at:at] = source[at : at + rng.randint(1, 50)]
        case 3:
            source[at:at] = rng.choice(
                [b"{", b"}", b'"', b"\n", b"1e999", b"NaN", b"\x00", b"\xff"]
            )
        case 4:
            source[at] = rng.randrange(256)
