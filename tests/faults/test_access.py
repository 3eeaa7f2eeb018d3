"""Wrong passwords, TLS where there is none and the reverse; secrets that nothing repeats."""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import pickle
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum
from redis_curriculum._wire.urls import PASSWORD_VARIABLE
from redis_curriculum.config import WorkerSettings
from redis_curriculum.errors import AuthenticationError, CurriculumError, ServerRefusedError
from tests.faults.ledger import config_of, settings_of
from tests.faults.proxy import Fate, every, proxy
from tests.faults.topologies import free_ports
from tests.servers import RunningServer, redis_server

SECRET = "s3cr3t-Passw0rd"  # noqa: S105 - of a server of this test
PATIENT = WorkerSettings(timeout_s=20.0, retry_deadline_s=60.0)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[RunningServer]:
    """A server with a password."""
    config = ["--port", str(free_ports(1)[0]), "--bind", "127.0.0.1"]
    directory = tmp_path / "locked"
    with redis_server(directory, config=config) as server:
        with server.client() as client:
            client.config_set("requirepass", SECRET)
        yield server


def test_a_wrong_password_is_one_try(locked: RunningServer) -> None:
    for password in ("wr0ng", ""):
        tries = 0

        def count(request: bytes) -> Fate:
            nonlocal tries
            tries += b"\nAUTH" in request or b"\nINFO" in request
            return "pass"

        with proxy(locked, count) as between:
            url = between.url.replace("://", f"://:{password}@") if password else between.url
            with pytest.raises(AuthenticationError) as caught:
                Curriculum.open(url, "x", config_of(), worker=PATIENT)
        assert caught.value.applied == "no"
        assert "wr0ng" not in str(caught.value)
        assert tries == 1


def test_a_password_changed_at_run_time(locked: RunningServer) -> None:
    with proxy(locked) as between:
        url = between.url.replace("://", f"://:{SECRET}@")
        with Curriculum.open(url, "x", config_of(), worker=PATIENT) as curriculum:
            curriculum.get_task()
            with locked.client(password=SECRET) as client:
                client.config_set("requirepass", "another")
            between.cut()
            with pytest.raises(AuthenticationError):
                curriculum.get_task()
            with locked.client(password="another") as client:  # noqa: S106
                client.config_set("requirepass", SECRET)
            curriculum.get_task()


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[RunningServer, int, Path]]:
    """A server that speaks TLS only, its port, and the certificate that vouches for it."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl command to make a certificate with")
    directory = tmp_path / "tls"
    directory.mkdir()
    certificate, key = directory / "cert.pem", directory / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    words += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    (port,) = free_ports(1)
    config = ["--tls-port", str(port), "--bind", "127.0.0.1", "--tls-auth-clients", "no"]
    config += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    server = RunningServer(directory, None, config)
    try:
        try:
            server.start()
        except RuntimeError:
            pytest.skip("this redis-server has no TLS")
        yield server, port, certificate
    finally:
        server.close()


def play(url: str) -> None:
    with Curriculum.open(url, "x", config_of(), worker=PATIENT) as curriculum:
        assert curriculum.get_task()


def play_in_a_loop(url: str) -> None:
    async def playing() -> None:
        async with AsyncCurriculum.open(url, "x", config_of(), worker=PATIENT) as curriculum:
            assert await curriculum.get_task()

    asyncio.run(playing())


both_handles = pytest.mark.parametrize("open_it", [play, play_in_a_loop])
OpenIt = Callable[[str], None]


@both_handles
def test_tls_where_both_speak_it(open_it: OpenIt, tls: tuple[RunningServer, int, Path]) -> None:
    _, port, certificate = tls
    open_it(f"rediss://localhost:{port}?ssl_ca_certs={certificate}")


@both_handles
def test_a_plain_client_at_a_tls_port(
    open_it: OpenIt, tls: tuple[RunningServer, int, Path]
) -> None:
    with pytest.raises(ServerRefusedError, match=r"wants TLS.*rediss://") as caught:
        open_it(f"redis://127.0.0.1:{tls[1]}")
    assert (caught.value.code, caught.value.applied) == ("TLS", "no")


@both_handles
def test_a_certificate_that_nobody_vouches_for(
    open_it: OpenIt, tls: tuple[RunningServer, int, Path]
) -> None:
    with pytest.raises(ServerRefusedError, match="ssl_ca_certs") as caught:
        open_it(f"rediss://127.0.0.1:{tls[1]}")
    assert (caught.value.code, caught.value.applied) == ("TLS", "no")


@both_handles
def test_a_tls_client_at_a_plain_port(open_it: OpenIt, own_server: RunningServer) -> None:
    with (
        proxy(own_server) as between,
        pytest.raises(ServerRefusedError, match=r"does not speak TLS.*redis://") as caught,
    ):
        open_it(between.url.replace("redis://", "rediss://"))
    assert (caught.value.code, caught.value.applied) == ("TLS", "no")


# --- secrets -------------------------------------------------------------------------------------


def told_by(error: BaseException) -> str:
    """Everything an error shows: its message, its causes, its data."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


def test_secrets_are_nowhere(
    locked: RunningServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not in a repr, a pickle, a log line, an error of any kind, or what Redis keeps."""
    caplog.set_level(logging.DEBUG)
    with proxy(locked) as between:
        url = between.url.replace("://", f"://default:{SECRET}@")
        quick = settings_of(retry_deadline_s=0.0)
        with Curriculum.open(url, "x", config_of(), worker=quick) as curriculum:
            told = [repr(curriculum), str(curriculum), curriculum.url, repr(curriculum.config)]
            told.append(repr(curriculum._address))  # noqa: SLF001 - what a debugger shows
            told.append(repr(pickle.dumps(curriculum)))
            between.rule = lambda request: "lose request"
            calls: list[Callable[[], object]] = [
                curriculum.get_task,
                lambda: Curriculum.open(url, "x", worker=quick),
                lambda: Curriculum.open(url.replace(SECRET, SECRET + "no"), "x", worker=quick),
                lambda: Curriculum.open(url + "/x", "x"),
                lambda: Curriculum.open(url.replace("redis:", "redsi:"), "x"),
            ]
            for call in calls:
                with pytest.raises(CurriculumError) as caught:
                    call()
                told.append(told_by(caught.value))
            between.rule = every
            with locked.client(password=SECRET) as client:
                client.config_set("maxmemory", "1")
                with pytest.raises(ServerRefusedError) as refused:
                    curriculum.get_task()
                told.append(told_by(refused.value))
                client.config_set("maxmemory", "0")
                for key in client.scan_iter("rc:*"):
                    told.append(repr(client.dump(key)) if client.type(key) != "hash" else "")
                    if client.type(key) == "hash":
                        told.append(repr(client.hgetall(key)))
            curriculum.snapshot(tmp_path / "x.rcs")
    told.append(gzip.decompress((tmp_path / "x.rcs").read_bytes()).decode())
    told.append(caplog.text)
    assert SECRET not in "".join(told)


def test_an_embedded_servers_arguments_hold_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, SECRET)
    with Curriculum.open(f"embedded://{tmp_path}/e", "x", config_of()) as curriculum:
        assert curriculum.get_task()
        shown = [path.read_bytes() for path in processes()]
    assert any(b"redis" in words for words in shown)
    assert not any(SECRET.encode() in words for words in shown)


def processes() -> Iterator[Path]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            path.read_bytes()
            yield path


def test_the_environments_password(locked: RunningServer, tmp_path: Path) -> None:
    """A child gets it by its environment: nothing of it is in the arguments or the pickle."""
    with locked.client(password=SECRET) as client:
        port = client.config_get("port")["port"]
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\nfrom redis_curriculum import Curriculum\n"
        "with Curriculum.open(sys.argv[1], 'x') as c: print(c.get_task().task_id)\n"
    )
    url = f"redis://127.0.0.1:{port}"
    Curriculum.open(url.replace("://", f"://:{SECRET}@"), "x", config_of()).close()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, str(program), url]
    for code, extra in ((0, {PASSWORD_VARIABLE: SECRET}), (1, {})):
        done = subprocess.run(
            words, env=environment | extra, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert (PASSWORD_VARIABLE in done.stderr) == bool(code), "a hint, where it is missing"
