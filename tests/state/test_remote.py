"""Snapshots at URLs, by fsspec: in memory, and on a store that breaks."""

from __future__ import annotations

import asyncio
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum
from redis_curriculum.errors import InvalidInputError, MissingLibraryError, SnapshotError
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture
from tests.state.test_snapshot import config_of, play

fsspec = pytest.importorskip("fsspec")

from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402

_Memory: Any = MemoryFileSystem


class Breaking(_Memory):  # type: ignore[misc]
    """The connection breaks before the last byte of an object has arrived."""

    protocol = "breaking"

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        file: Any = super()._open(path, mode, **options)
        if mode == "wb":
            write = file.write

            def breaks(data: bytes) -> int:
                write(data[:-1])
                raise OSError("connection reset")

            file.write = breaks
        return file


@pytest.fixture
def memory() -> Iterator[Any]:
    store = fsspec.filesystem("memory")
    yield store
    store.store.clear()


@pytest.fixture
def curriculum(url: str, name: str) -> Iterator[Curriculum]:
    with Curriculum.open(url, name, config_of(8)) as opened:
        play(opened, 5)
        yield opened


def test_there_and_back(curriculum: Curriculum, memory: Any, url: str) -> None:
    seen: list[tuple[int, int]] = []
    info = curriculum.snapshot("memory://runs/a.rcs", progress=lambda *done: seen.append(done))
    assert info.path == "memory://runs/a.rcs"
    assert (info.tasks, info.size) == (8, memory.size("/runs/a.rcs"))
    assert seen[-1] == (8, 8)
    with Curriculum.restore("memory://runs/a.rcs", url, f"{curriculum.name}.2") as restored:
        assert restored.task_ids() == curriculum.task_ids()
        assert restored.stats() == pytest.approx(curriculum.stats(), nan_ok=True)


def test_asyncio_too(curriculum: Curriculum, memory: Any, url: str) -> None:
    async def session() -> list[int]:
        async with AsyncCurriculum.open(url, curriculum.name) as opened:
            await opened.snapshot("memory://b.rcs")
        again = f"{curriculum.name}.3"
        async with AsyncCurriculum.restore("memory://b.rcs", url, again) as restored:
            return await restored.task_ids()

    assert asyncio.run(session()) == curriculum.task_ids()


def test_what_is_there_stays_unless_asked_for(curriculum: Curriculum, memory: Any) -> None:
    where = "memory://runs/a.rcs"
    memory.pipe_file("/runs/a.rcs", b"first")
    with pytest.raises(SnapshotError, match="exists; overwrite=True"):
        curriculum.snapshot(where)
    with pytest.raises(SnapshotError, match="is a directory"):
        curriculum.snapshot("memory://runs", overwrite=True)
    assert memory.cat_file("/runs/a.rcs") == b"first"
    curriculum.snapshot(where, keep=2)
    second = memory.cat_file("/runs/a.rcs")
    curriculum.snapshot(where, keep=2)
    curriculum.snapshot(where, overwrite=True)
    assert memory.cat_file("/runs/a.rcs.1") == second
    assert memory.cat_file("/runs/a.rcs.2") == b"first"
    assert {f["name"] for f in memory.ls("/runs")} == {f"/runs/a.rcs{n}" for n in ("", ".1", ".2")}


def test_a_broken_connection_leaves_the_older_one(curriculum: Curriculum, memory: Any) -> None:
    fsspec.register_implementation("breaking", Breaking, clobber=True)
    memory.pipe_file("/a.rcs", b"older")
    with pytest.raises(SnapshotError, match=r"breaking://a.rcs cannot be written: connection"):
        curriculum.snapshot("breaking://a.rcs", overwrite=True)
    assert memory.cat_file("/a.rcs") == b"older"
    assert [f["name"] for f in memory.ls("/")] == ["/a.rcs"]
    curriculum.snapshot("memory://b.rcs")  # nothing is held


def test_a_file_url_is_a_file(curriculum: Curriculum, tmp_path: Path, url: str) -> None:
    """With all rules for files: owner only, refused where it is, replaced at once."""
    where = f"file://{tmp_path}/a.rcs"
    info = curriculum.snapshot(where)
    assert info.path == tmp_path / "a.rcs"
    assert stat.S_IMODE((tmp_path / "a.rcs").stat().st_mode) == 0o600
    with pytest.raises(SnapshotError, match="exists"):
        curriculum.snapshot(where)
    Curriculum.restore(where, url, f"{curriculum.name}.2").close()


def test_what_cannot_be_read_or_reached(curriculum: Curriculum, memory: Any, url: str) -> None:
    with pytest.raises(SnapshotError, match=r"memory://none\.rcs cannot be read: no such file"):
        Curriculum.restore("memory://none.rcs", url)
    memory.pipe_file("/cut.rcs", curriculum.state_dict()["snapshot"][:-20])
    with pytest.raises(SnapshotError, match="line"):
        Curriculum.restore("memory://cut.rcs", url, f"{curriculum.name}.2")
    with pytest.raises(InvalidInputError, match=r"Protocol not known: nonsense"):
        curriculum.snapshot("nonsense://a.rcs")
    with pytest.raises(InvalidInputError, match="keep must be"):
        curriculum.snapshot("memory://a.rcs", keep=-1)
    with pytest.raises(
        SnapshotError, match=r"ftp://me:\*\*\*@127.0.0.1:1/a cannot be written"
    ) as e:
        curriculum.snapshot("ftp://me:secret@127.0.0.1:1/a")
    assert "secret" not in str(e.value)
    assert not memory.exists("/a.rcs")


def test_the_extra_is_named(
    curriculum: Curriculum, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("fsspec", "fsspec.core"):
        monkeypatch.setitem(sys.modules, module, None)
    for call in (
        lambda: curriculum.snapshot("memory://a.rcs"),
        lambda: Curriculum.restore("memory://a.rcs", url),
    ):
        with pytest.raises(MissingLibraryError, match=r"redis-curriculum\[fsspec\]") as raised:
            call()
        assert (raised.value.library, raised.value.extra) == ("fsspec", "fsspec")


def test_the_command_line_takes_urls(curriculum: Curriculum, memory: Any, cli: Cli) -> None:  # noqa: F811
    name = curriculum.name
    assert cli("snapshot", name, "memory://c.rcs", "--json").json["path"] == "memory://c.rcs"
    assert cli("snapshot", name, "memory://c.rcs").code == 1
    assert cli("snapshot", name, "memory://c.rcs", "--keep", 1).code == 0
    assert memory.exists("/c.rcs.1")
    assert cli("restore", "memory://c.rcs", "--name", f"{name}.4", "--json").json["tasks"] == 8
