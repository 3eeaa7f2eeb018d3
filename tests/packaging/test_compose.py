"""docker-compose.yml without Docker: what its services run, run here as plain processes."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.tasks import Single
from tests.servers import executables, redis_server

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
PASSWORD = 'a "b" \\c $d #e'  # noqa: S105 - hard to quote, and of these servers alone
LIMIT_S = 20.0


class Running(NamedTuple):
    port: int
    pid: int
    directory: Path

    def client(self, password: str | None = PASSWORD) -> Any:
        return redis.Redis(
            port=self.port,
            password=password,
            decode_responses=True,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(words: list[str], directory: Path, **environment: str) -> Iterator[Running]:
    """A server process and its port; ended by its own id."""
    port = free_port()
    words = [*words, "--port", str(port), "--dir", str(directory), "--logfile", "log"]
    process = subprocess.Popen(words, cwd=ROOT, env=os.environ | environment)
    try:
        until = time.monotonic() + LIMIT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "it ended at once"
                assert time.monotonic() < until, "it does not listen"
                time.sleep(0.02)
        yield Running(port, process.pid, directory)
    finally:
        process.kill()
        process.wait()


def commands() -> list[list[str]]:
    """The services' commands, as written: Redis, worker, trainer, dashboard."""
    return [json.loads(found) for found in re.findall(r"\bcommand: (\[.*\])", COMPOSE)]


@pytest.fixture(scope="module", params=list(executables()))
def compose_redis(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """What the redis service runs, with docker/ where the container mounts it."""
    words = [word.replace("/etc/redis-curriculum", "docker") for word in commands()[0]]
    with started(
        words,
        tmp_path_factory.mktemp("compose"),
        REDIS_CURRICULUM_PASSWORD=PASSWORD,
        REDIS_CURRICULUM_SERVER=str(executables()[request.param]),
    ) as running:
        yield running


def test_nothing_is_answered_without_the_password(compose_redis: Running) -> None:
    with compose_redis.client() as client:
        assert client.ping()
    for wrong in (None, "wrong"):
        with compose_redis.client(wrong) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_no_process_list_shows_the_password(compose_redis: Running) -> None:
    with compose_redis.client() as client:
        (stored,) = client.acl_getuser("default")["passwords"]
    shown = Path(f"/proc/{compose_redis.pid}/cmdline").read_text()
    assert "-server" in shown, "the shell has become the server: signals reach it"
    assert PASSWORD not in shown
    assert stored.strip("<>#") not in shown
    files = [path for path in compose_redis.directory.rglob("*") if path.is_file()]
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]


def test_its_settings(compose_redis: Running) -> None:
    with compose_redis.client() as client:
        found = client.config_get("*")
    name = "listpack" if "hash-max-listpack-value" in found else "ziplist"
    wanted = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "bind": "127.0.0.1 -::1",
        "protected-mode": "yes",
        f"hash-max-{name}-value": "1024",
    }
    assert {key: found[key] for key in wanted} == wanted


def test_the_health_check_as_written(compose_redis: Running) -> None:
    if not shutil.which("redis-cli"):
        pytest.skip("no redis-cli on PATH")
    match = re.search(r'"CMD-SHELL", "(.*)"\]', COMPOSE)
    assert match
    here = match[1].replace("redis-cli", f"redis-cli -p {compose_redis.port}")
    for password, code in ((PASSWORD, 0), ("wrong", 1)):
        environment = os.environ | {"REDISCLI_AUTH": password}
        assert subprocess.call(["sh", "-c", here], env=environment) == code


@pytest.mark.parametrize("compose_redis", list(executables())[:1], indirect=True)
def test_two_workers_run_their_command_as_written(compose_redis: Running, name: str) -> None:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "REDIS_CURRICULUM_URL": compose_redis.url,
        "REDIS_CURRICULUM_NAME": name,
        "REDIS_CURRICULUM_PASSWORD": PASSWORD,
    }
    words = commands()[1]
    workers = [subprocess.Popen(words, cwd=ROOT, env=environment) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    episodes = 2 * int(words[words.index("--episodes") + 1])
    with compose_redis.client() as client:
        counts = client.hvals(f"rc:{{{name}}}:g1:count:completions")
        late = client.hget(f"rc:{{{name}}}:meta", "late_count")  # its task was replaced
        assert sum(int(count) for count in counts) + int(late) == episodes
        assert client.zcard(f"rc:{{{name}}}:workers") == 0, "both said goodbye"


@pytest.mark.parametrize("compose_redis", list(executables())[:1], indirect=True)
def test_the_trainer_ends_epochs_and_the_dashboard_answers(
    compose_redis: Running, name: str
) -> None:
    """As written, but for the length of an epoch, and an address of this machine alone."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "REDIS_CURRICULUM_URL": compose_redis.url,
        "REDIS_CURRICULUM_NAME": name,
        "REDIS_CURRICULUM_PASSWORD": PASSWORD,
    }
    _, _, training, showing = commands()
    words = ["0.1" if word == "30" else word for word in training]
    trainer = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert trainer.stdout is not None
    with trainer, compose_redis.client() as client:
        said = iter(trainer.stdout)
        assert any("epoch" in line for line in said)
        assert int(client.hget(f"rc:{{{name}}}:meta", "epoch")) >= 1
        trainer.terminate()
    words = ["127.0.0.1" if word == "0.0.0.0" else word for word in showing]  # noqa: S104
    words += ["--port", "0"]
    pages = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert pages.stdout is not None
    with pages:
        place = urlsplit(pages.stdout.readline().strip()).netloc
        link = http.client.HTTPConnection(place, timeout=60)
        link.request("GET", f"/?name={name}")
        with closing(link), link.getresponse() as answer:
            assert answer.status == 200
        pages.terminate()


def test_the_password_must_be_set(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "REDIS_CURRICULUM_PASSWORD"}
    words = ["sh", "docker/redis-server.sh", "--port", "0", "--dir", str(tmp_path)]
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "REDIS_CURRICULUM_PASSWORD: must be set" in done.stderr


@pytest.mark.skipif(not shutil.which("redis-check-aof"), reason="it comes with redis-server")
def test_half_a_script_is_cut_off_before_the_start(tmp_path: Path) -> None:
    log = ("--appendonly", "yes", "--appendfsync", "always")
    with redis_server(tmp_path, config=log) as server, server.client() as client:
        for _ in range(2):
            client.eval("redis.call('INCR', 'a') redis.call('INCR', 'b')", 0)
    (written,) = [*tmp_path.glob("appendonlydir/*.incr.aof"), *tmp_path.glob("appendonly.aof")]
    content = written.read_bytes()
    words = ["sh", str(ROOT / "docker/redis-server.sh")]
    environment = os.environ | {
        "REDIS_CURRICULUM_PASSWORD": "chosen",
        "REDIS_CURRICULUM_SERVER": "true",
    }
    for end in (len(content), content.rindex(b"b")):
        written.write_bytes(content[:end])
        subprocess.run(words, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert written.read_bytes() == content[: content.rindex(b"*1\r\n$5\r\nMULTI")]


@pytest.mark.parametrize("executable", executables().values(), ids=list(executables()))
def test_the_configuration_alone_serves_this_machine(
    executable: Path, tmp_path: Path, name: str
) -> None:
    config = CurriculumConfig(task_generator=Single(label="x", params={}), num_active_tasks=4)
    with (
        started([str(executable), "docker/redis.conf"], tmp_path) as running,
        Curriculum.open(running.url, name, config) as curriculum,
    ):
        assert curriculum.get_task().label == "x"


def test_docker_compose_accepts_the_file() -> None:
    if not shutil.which("docker-compose"):
        pytest.skip("docker-compose is not installed")
    words = ["docker-compose", "-f", str(ROOT / "docker-compose.yml"), "config"]
    environment = {k: v for k, v in os.environ.items() if k != "REDIS_CURRICULUM_PASSWORD"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode != 0
    assert "choose a password" in done.stderr
    environment["REDIS_CURRICULUM_PASSWORD"] = "chosen"  # noqa: S105
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    assert "127.0.0.1:6379:6379" in done.stdout


def test_the_image_has_all_that_its_package_needs(tmp_path: Path) -> None:
    """The Dockerfile's COPY lines, done here, and the wheel that its pip would build."""
    text = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            assert f"!/{source}" in kept
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tmp_path / target)
            else:
                shutil.copy(ROOT / source, tmp_path)
    words = ["pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([sys.executable, "-m", *words, "-w", tmp_path, tmp_path], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert "redis_curriculum/lua/scripts/record.lua" in zipfile.ZipFile(wheel).namelist()
    assert (tmp_path / "examples" / "worker.py").is_file()
