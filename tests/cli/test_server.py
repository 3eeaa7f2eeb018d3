"""``serve`` and ``demo``, as processes."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
import redis

from redis_curriculum import Curriculum, CurriculumConfig, demo
from redis_curriculum.tasks import Single
from tests.cli.conftest import Cli, process

CONFIG = CurriculumConfig(task_generator=Single(label="x"), num_active_tasks=4)
LIMIT_S = 30.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_until_it_is_told_to_end(tmp_path: Path, number: int) -> None:
    serving = process("serve", tmp_path / "data", TMPDIR=str(tmp_path))
    try:
        assert serving.stdout
        url = serving.stdout.readline().strip()
        assert url == f"embedded://{tmp_path}/data"
        with Curriculum.open(url, "served", CONFIG) as curriculum:
            task_id = curriculum.get_task().task_id
        pid = int((tmp_path / "data" / "server").read_text())
        serving.send_signal(number)
        out, err = serving.communicate(timeout=LIMIT_S)
        assert (serving.returncode, out, err) == (0, "", "")
    finally:
        serving.kill()
        serving.wait()
    wait_for_end(pid)
    with Curriculum.open(url, "served") as curriculum:
        record = curriculum.get_task_stats(task_id)
        assert record
        assert record.sample_count == 1, "a named directory keeps its data"


def test_serve_without_a_directory_names_its_run(tmp_path: Path) -> None:
    """So that other programs of this machine reach what is private to it."""
    serving = process("serve", TMPDIR=str(tmp_path), REDIS_CURRICULUM_RUN="")
    try:
        assert serving.stdout
        url = serving.stdout.readline().strip()
        assert re.fullmatch(r"embedded://\?run=[0-9a-f]{16}", url)
        other = process("list", "--url", url, TMPDIR=str(tmp_path), REDIS_CURRICULUM_RUN="")
        other.communicate(timeout=LIMIT_S)
        assert other.returncode == 0
        run = url.partition("=")[2]
        assert [place.name for place in tmp_path.glob("redis-curriculum-*-*")] == [
            f"redis-curriculum-{os.getuid()}-{run}"
        ]
    finally:
        serving.terminate()
        serving.communicate(timeout=LIMIT_S)


def test_serve_starts_a_killed_server_again(tmp_path: Path) -> None:
    serving = process("serve", tmp_path / "data", "--json")
    try:
        assert serving.stdout
        found = json.loads(serving.stdout.readline())
        assert set(found) == {"url", "socket"}
        pid = int((tmp_path / "data" / "server").read_text())
        os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)
        until = time.monotonic() + LIMIT_S
        while True:
            try:
                with redis.Redis(unix_socket_path=found["socket"]) as client:
                    assert client.ping()
                break
            except redis.RedisError:
                assert time.monotonic() < until
                time.sleep(0.05)
    finally:
        serving.terminate()
        serving.communicate(timeout=LIMIT_S)
    assert serving.returncode == 0


def wait_for_end(pid: int) -> None:
    until = time.monotonic() + LIMIT_S
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_serve_where_it_cannot(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    answer = cli("serve", tmp_path / "file")
    assert (answer.code, answer.out) == (2, "")
    monkeypatch.setenv("REDIS_CURRICULUM_SERVER", "no-such-server")
    answer = cli("serve", tmp_path / "data")
    assert (answer.code, answer.out) == (1, "")
    assert "no-such-server" in answer.err


def test_the_demo_gets_what_is_asked_for(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(demo, "run_demo", lambda **options: asked.append(options))
    assert cli("demo").code == 0
    words = ("--family", "lakes", "--seconds", 6.5, "--workers", 2, "--seed", 1)
    assert cli("demo", *words, "--redis", "redis://h", "--out", "x").code == 0
    usual = {"seconds": 120.0, "workers": 4, "seed": 0, "url": None, "out": Path("out")}
    chosen = {"seconds": 6.5, "workers": 2, "seed": 1, "url": "redis://h", "out": Path("x")}
    assert asked == [{"family": "rooms", **usual}, {"family": "lakes", **chosen}]


@pytest.mark.slow
def test_the_demo(tmp_path: Path, url: str) -> None:
    words = ("--seconds", 6, "--workers", 2, "--seed", 1, "--redis", url, "--out", tmp_path)
    demo = process("demo", *words)
    out, err = demo.communicate(timeout=100)
    assert (demo.returncode, err) == (0, "")
    assert "progress by label" in out
    assert "uniform" in out
    (picture,) = tmp_path.glob("demo-*.png")
    assert picture.stat().st_size > 10_000
