"""Snapshots in an object store that speaks S3, on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from redis_curriculum import Curriculum
from redis_curriculum.errors import SnapshotError
from tests.state.test_snapshot import config_of, play

pytestmark = pytest.mark.slow


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    s3fs = pytest.importorskip("s3fs")
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    made = s3fs.S3FileSystem()
    made.mkdir("runs")
    yield made
    server.stop()


def test_there_and_back(store: Any, url: str, name: str) -> None:
    where = "s3://runs/a.rcs"
    with Curriculum.open(url, name, config_of(8)) as curriculum:
        play(curriculum, 5)
        curriculum.snapshot(where)
        with pytest.raises(SnapshotError, match="exists; overwrite=True"):
            curriculum.snapshot(where)
        curriculum.snapshot(where, keep=1)
        with pytest.raises(SnapshotError, match="cannot be written"):
            curriculum.snapshot("s3://nowhere/a.rcs")
        with Curriculum.restore(where, url, f"{name}.2") as restored:
            assert restored.stats() == pytest.approx(curriculum.stats(), nan_ok=True)
    for other in ("s3://runs/none.rcs", "s3://nowhere/a.rcs"):
        with pytest.raises(SnapshotError, match="cannot be read"):
            Curriculum.restore(other, url, f"{name}.3")
    assert sorted(store.ls("runs")) == ["runs/a.rcs", "runs/a.rcs.1"]
