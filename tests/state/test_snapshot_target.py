"""Where a snapshot is written: what stands there and is not a snapshot stays."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._state.file import Target
from redis_curriculum._state.reader import read
from redis_curriculum.errors import InvalidInputError, SnapshotError
from tests.state.test_snapshot import config_of, lines_of, play


@pytest.fixture
def curriculum(url: str, name: str) -> Iterator[Curriculum]:
    with Curriculum.open(url, name, config_of(8)) as opened:
        play(opened, 5)
        yield opened


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(path))  # such a name has 107 bytes at most


STRANGE: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "directory": Path.mkdir,
    "socket": _socket,
    "link to a device": lambda path: path.symlink_to("/dev/null"),
    "link to a directory": lambda path: path.symlink_to(path.parent),
}


def identities(directory: Path) -> dict[str, tuple[float, ...]]:
    """Which file stands under each name; reading one, or following a link, changes its atime."""
    found = {path.name: path.lstat() for path in directory.iterdir()}
    return {
        name: (s.st_dev, s.st_ino, s.st_mode, s.st_size, s.st_mtime_ns) for name, s in found.items()
    }


@pytest.mark.parametrize("what", STRANGE)
@pytest.mark.parametrize("at", ["a.rcs", "a.rcs.1", "a.rcs.2"])
def test_what_is_not_a_file_is_never_replaced(
    curriculum: Curriculum, tmp_path: Path, what: str, at: str
) -> None:
    STRANGE[what](tmp_path / at)
    for name in {"a.rcs", "a.rcs.1"} - {at}:
        (tmp_path / name).write_bytes(b"older")
    before = identities(tmp_path)
    for keep in (2, 0) if at == "a.rcs" else (2,):
        with pytest.raises(SnapshotError, match="is a directory"):
            curriculum.snapshot(tmp_path / "a.rcs", overwrite=True, keep=keep)
    assert identities(tmp_path) == before
    curriculum.snapshot(tmp_path / "b.rcs")  # nothing is held


def test_a_pipe_that_comes_meanwhile_stays(curriculum: Curriculum, tmp_path: Path) -> None:
    path = tmp_path / "a.rcs"

    def come(done: int, total: int) -> None:
        if done == total:
            os.mkfifo(path)

    with pytest.raises(SnapshotError, match="pipe"):
        curriculum.snapshot(path, progress=come)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.rcs"]
    assert stat.S_ISFIFO(path.lstat().st_mode)


def test_a_link_to_a_file_is_replaced_and_the_file_stays(
    curriculum: Curriculum, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"somebody's")
    for target in ("file", "nowhere"):
        link = tmp_path / f"to-{target}"
        link.symlink_to(tmp_path / target)
        with pytest.raises(SnapshotError, match="exists"):
            curriculum.snapshot(link)
        curriculum.snapshot(link, overwrite=True)
        assert not link.is_symlink()
        assert lines_of(link)[0]["type"] == "manifest"
    assert (tmp_path / "file").read_bytes() == b"somebody's"
    assert not (tmp_path / "nowhere").exists()


def test_what_looks_like_an_unfinished_snapshot_and_is_none_stays(
    curriculum: Curriculum, tmp_path: Path
) -> None:
    """It is neither followed nor waited for; one that a killed exporter left goes."""
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    (tmp_path / ".a.rcs.0000000a.tmp").symlink_to(mine)
    os.mkfifo(tmp_path / ".a.rcs.0000000b.tmp")
    (tmp_path / ".a.rcs.0000000c.tmp").mkdir()
    (tmp_path / ".a.rcs.notes.tmp").write_bytes(b"my notes")
    (tmp_path / ".a.rcs.0123abcd.tmp").write_bytes(b"left by a dead exporter")
    curriculum.snapshot(tmp_path / "a.rcs")
    assert {path.name for path in tmp_path.iterdir()} == {
        "a.rcs", "mine", ".a.rcs.0000000a.tmp", ".a.rcs.0000000b.tmp", ".a.rcs.0000000c.tmp",
        ".a.rcs.notes.tmp",
    }  # fmt: skip
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize("at", ["pipe", "link"])
def test_the_name_beside_is_taken(
    curriculum: Curriculum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setattr("redis_curriculum._state.file.secrets.token_hex", lambda _: "x")
    beside = tmp_path / ".a.rcs.x.tmp"
    if at == "pipe":
        os.mkfifo(beside)
    else:
        beside.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SnapshotError, match="cannot be written"):
        Target(tmp_path / "a.rcs", overwrite=False, keep=0).writing()
    assert [path.name for path in tmp_path.iterdir()] == [beside.name]


def test_only_the_owner_may_read_it_and_it_holds_no_token(
    curriculum: Curriculum, tmp_path: Path
) -> None:
    path = tmp_path / "a.rcs"
    path.write_bytes(b"older")
    path.chmod(0o666)
    before = os.umask(0)
    try:
        curriculum.snapshot(path, keep=1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    workers = lines_of(path)[0]["workers"]
    assert set(workers) == {curriculum.worker_id}
    assert set(workers[curriculum.worker_id]) == {
        "lease_end_ms", "sequence", "host", "pid", "started"
    }  # fmt: skip


@pytest.mark.parametrize("what", STRANGE)
def test_what_is_not_a_file_is_not_read(tmp_path: Path, what: str) -> None:
    STRANGE[what](tmp_path / "a.rcs")
    with pytest.raises(SnapshotError, match="cannot be read"):
        list(read(tmp_path / "a.rcs"))


def test_a_path_that_cannot_be(curriculum: Curriculum, tmp_path: Path) -> None:
    for path in (tmp_path / "a\0b", tmp_path / ("x" * 300), tmp_path / "a" / "b"):
        with pytest.raises((SnapshotError, InvalidInputError)):
            curriculum.snapshot(path)
        with pytest.raises(SnapshotError):
            list(read(path))
    assert list(tmp_path.iterdir()) == []
