"""docker-compose.yml without Docker: what its services run, run here as plain processes."""

from __future__ import annotations

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
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

import pytest
import redis
import yaml  # type: ignore[import-untyped]
from redis.backoff import NoBackoff
from redis.retry import Retry

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.tasks import Single
from tests.servers import executables, redis_server

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
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


def command(service: str) -> list[str]:
    """A service's command, as written."""
    words: list[str] = SERVICES[service]["command"]
    return words


def environment(service: str, url: str, name: str) -> dict[str, str]:
    """The variables that the file gives a service, and no other of ours, for a server here."""
    here = {
        "REDIS_CURRICULUM_URL": url,
        "REDIS_CURRICULUM_NAME": name,
        "REDIS_CURRICULUM_PASSWORD": PASSWORD,
    }
    others = {key: x for key, x in os.environ.items() if not key.startswith("REDIS_CURRICULUM")}
    own = {key: here[key] for key in SERVICES[service]["environment"]}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**others, **own, "PATH": path, "PYTHONPATH": str(ROOT)}


@contextmanager
def service(words: list[str], variables: dict[str, str]) -> Iterator[str]:
    """A service of ours that tells its address in its first line."""
    running = subprocess.Popen(words, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    with running:
        try:
            yield running.stdout.readline().strip()
        finally:
            running.terminate()


def here(words: list[str]) -> list[str]:
    """The same command on an address of this machine alone, at a free port."""
    words = ["127.0.0.1" if word == "0.0.0.0" else word for word in words]  # noqa: S104
    return [*words, "--port", "0"]


def answered(address: str, path: str) -> str:
    """What a page answers; an ``OSError`` where it answers an error, or nothing."""
    with urlopen(f"{address.rstrip('/')}{path}", timeout=60) as answer:  # noqa: S310 - it is ours
        text: str = answer.read().decode()
        return text


@pytest.fixture(scope="module", params=list(executables()))
def compose_redis(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """What the redis service runs, with docker/ where the container mounts it."""
    words = [word.replace("/etc/redis-curriculum", "docker") for word in command("redis")]
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
    variables = environment("worker", compose_redis.url, name)
    words = command("worker")
    workers = [subprocess.Popen(words, cwd=ROOT, env=variables) for _ in range(2)]
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
    variables = environment("trainer", compose_redis.url, name)
    words = ["0.1" if word == "30" else word for word in command("trainer")]
    trainer = subprocess.Popen(words, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True)
    assert trainer.stdout is not None
    with trainer, compose_redis.client() as client:
        said = iter(trainer.stdout)
        assert any("epoch" in line for line in said)
        assert int(client.hget(f"rc:{{{name}}}:meta", "epoch")) >= 1
        trainer.terminate()
    variables = environment("dashboard", compose_redis.url, name)
    with service(here(command("dashboard")), variables) as address:
        assert answered(address, f"/?name={name}")


@pytest.mark.parametrize("compose_redis", list(executables())[:1], indirect=True)
def test_metrics_answer_and_the_files_of_monitoring_lead_to_them(
    compose_redis: Running, name: str, tmp_path: Path
) -> None:
    """With Prometheus itself where it is installed, which takes every query of the board."""
    config = CurriculumConfig(task_generator=Single(label="x", params={}), num_active_tasks=4)
    url = f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{compose_redis.port}/0"
    scraped = yaml.safe_load((ROOT / "docker" / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = scraped["scrape_configs"]
    words = command("metrics")
    assert job["static_configs"] == [{"targets": [f"metrics:{words[words.index('--port') + 1]}"]}]
    with (
        Curriculum.open(url, name, config) as curriculum,
        service(here(words), environment("metrics", compose_redis.url, name)) as address,
    ):
        curriculum.update_many([(task.task_id, 0.5) for task in curriculum.get_tasks(40)])
        curriculum.report_failure(curriculum.get_task().task_id, "no")
        tasks = f'redis_curriculum_tasks{{curriculum="{name}"}} 4.0'
        assert tasks in answered(address, "").splitlines()
        if shutil.which("prometheus"):
            job["static_configs"][0]["targets"] = [urlsplit(address).netloc]
            job["scrape_interval"] = "1s"
            (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(scraped))
            with prometheus(tmp_path) as place:
                queries_of_the_board_are_answered(place, name)


@contextmanager
def prometheus(directory: Path) -> Iterator[str]:
    """Prometheus by the service's command, with files and a port of this test."""
    where = {"/etc/prometheus": str(directory), "/prometheus": str(directory / "data")}
    words = ["prometheus"]
    for word in command("prometheus"):
        option, _, path = word.partition("=")
        parent = next(p for p in where if path.startswith(p))
        words.append(f"{option}={path.replace(parent, where[parent], 1)}")
    place = f"127.0.0.1:{free_port()}"
    words.append(f"--web.listen-address={place}")
    with subprocess.Popen(words, cwd=directory, stderr=subprocess.DEVNULL) as running:
        try:
            yield f"http://{place}"
        finally:
            running.terminate()


def queries_of_the_board_are_answered(place: str, name: str) -> None:
    """Each without an error; those of the present with values once a scrape has come."""
    board = json.loads((ROOT / "docker/grafana/redis-curriculum.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    until = time.monotonic() + 3 * LIMIT_S
    for expression in expressions:
        query = expression.replace("$curriculum", name).replace("$__rate_interval", "1m")
        while True:
            try:
                text = answered(place, f"/api/v1/query?query={quote(query)}")
            except OSError:  # it is not ready, or takes no such query
                text = "{}"
            found = json.loads(text).get("data", {}).get("result", [])
            if found or ("rate(" in query and text != "{}"):
                break
            assert time.monotonic() < until, (query, text)
            time.sleep(0.1)


def test_grafana_finds_its_board_and_prometheus() -> None:
    """Its files are where its provisioning looks; it cannot be run here."""
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    provisioning = ROOT / "docker" / "grafana" / "provisioning"
    assert mounted["./docker/grafana/provisioning"] == "/etc/grafana/provisioning"
    board = json.loads((ROOT / "docker/grafana/redis-curriculum.json").read_text(encoding="utf-8"))
    assert f"/d/{board['uid']}" in COMPOSE
    texts = [path.read_text(encoding="utf-8") for path in sorted(provisioning.rglob("*.yml"))]
    boards, sources = (yaml.safe_load(text) for text in texts)
    folder = boards["providers"][0]["options"]["path"]
    assert mounted["./docker/grafana/redis-curriculum.json"].startswith(f"{folder}/")
    source = sources["datasources"][0]
    (variable,) = (v for v in board["templating"]["list"] if v["type"] == "datasource")
    assert source["type"] == variable["query"] == "prometheus"
    assert urlsplit(source["url"]).hostname in SERVICES


def test_every_port_stays_on_this_machine() -> None:
    for name, one in SERVICES.items():
        for port in one.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


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
    profiles = ["--profile", "dashboard", "--profile", "monitoring"]
    words = ["docker-compose", "-f", str(ROOT / "docker-compose.yml"), *profiles, "config"]
    environment = {k: v for k, v in os.environ.items() if k != "REDIS_CURRICULUM_PASSWORD"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode != 0
    assert "choose a password" in done.stderr
    environment["REDIS_CURRICULUM_PASSWORD"] = "chosen"  # noqa: S105
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    assert yaml.safe_load(done.stdout)["services"].keys() == SERVICES.keys()


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
