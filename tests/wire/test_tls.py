"""TLS as it is by default: the server is verified; going without must be said in two words."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import socket
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum._protocol.plan import Command, one
from redis_curriculum._wire.asyncio import AsyncLink, drive
from redis_curriculum._wire.urls import parse
from redis_curriculum.errors import InvalidURLError, ServerRefusedError, ServerUnavailableError
from redis_curriculum.tasks import Single
from tests.servers import redis_server

CONFIG = CurriculumConfig(task_generator=Single(label="x"), num_active_tasks=4)
OPENSSL = shutil.which("openssl")


class Tls(NamedTuple):
    port: int
    """Speaks TLS."""
    mutual: int
    """Speaks TLS and asks for a client's certificate."""
    files: Path

    def url(self, *options: str, host: str = "localhost", port: int = 0) -> str:
        return f"rediss://{host}:{port or self.port}/0?{'&'.join(options)}"

    @property
    def ca(self) -> str:
        return f"ssl_ca_certs={self.files}/ca.crt"


def make_certificates(place: Path) -> None:
    """An authority of our own, and a certificate of it for localhost."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=place, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    may_sign = ("-addext", "keyUsage=critical,keyCertSign")  # asked for by Python 3.13
    openssl(
        "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=tests", *may_sign
    )
    openssl("req", *key, "-keyout", "own.key", "-out", "own.csr", "-subj", "/CN=localhost")
    (place / "names").write_text("subjectAltName=DNS:localhost\n")
    by = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
    openssl("x509", "-req", "-in", "own.csr", "-out", "own.crt", *by)


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    if OPENSSL is None:
        pytest.skip("no openssl to make certificates with")
    files = tmp_path_factory.mktemp("certificates")
    make_certificates(files)
    port, mutual = free_ports(2)
    config = ["--tls-cert-file", f"{files}/own.crt", "--tls-key-file", f"{files}/own.key"]
    config += ["--tls-ca-cert-file", f"{files}/ca.crt", "--bind", "127.0.0.1"]
    open_to_all = [*config, "--tls-port", str(port), "--tls-auth-clients", "no"]
    asking = [*config, "--tls-port", str(mutual), "--tls-auth-clients", "yes"]
    place = tmp_path_factory.mktemp("tls")
    try:
        with (
            redis_server(place / "1", config=open_to_all),
            redis_server(place / "2", config=asking),
        ):
            yield Tls(port, mutual, files)
    except RuntimeError as error:
        if "tls" in str(error).lower():
            pytest.skip("this redis-server was built without TLS")
        raise


def test_a_server_that_our_authority_vouches_for(tls: Tls, name: str) -> None:
    with Curriculum.open(tls.url(tls.ca), name, CONFIG) as curriculum:
        assert curriculum.get_task().label == "x"


@pytest.mark.parametrize(
    ("options", "host"),
    [([], "localhost"), (["ca"], "127.0.0.1")],
    ids=["unknown authority", "another name"],
)
def test_a_server_that_cannot_be_verified_is_refused_at_once(
    tls: Tls, name: str, options: list[str], host: str
) -> None:
    url = tls.url(*(tls.ca for _ in options), host=host)
    with pytest.raises(ServerRefusedError, match="certificate") as refused:
        Curriculum.open(url, name, CONFIG)
    assert (refused.value.code, refused.value.applied) == ("TLS", "no")


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "ssl_check_hostname=false"])
def test_going_without_takes_two_words(tls: Tls, name: str, option: str) -> None:
    with pytest.raises(InvalidURLError, match="insecure=true"):
        Curriculum.open(tls.url(option), name, CONFIG)
    words = [option, "insecure=true", *([tls.ca] if "hostname" in option else [])]
    with Curriculum.open(tls.url(*words, host="127.0.0.1"), name, CONFIG) as curriculum:
        assert len(curriculum.task_ids()) == 4


def test_a_client_certificate(tls: Tls, name: str) -> None:
    with pytest.raises(ServerRefusedError) as refused:
        Curriculum.open(tls.url(tls.ca, port=tls.mutual), name, CONFIG)
    assert refused.value.code == "TLS"
    own = (f"ssl_certfile={tls.files}/own.crt", f"ssl_keyfile={tls.files}/own.key")
    with Curriculum.open(tls.url(tls.ca, *own, port=tls.mutual), name, CONFIG) as curriculum:
        assert len(curriculum.task_ids()) == 4


@pytest.mark.parametrize("calls", [0, 1], ids=["closed", "timed out"])
def test_a_connection_that_is_left_is_closed_at_once(tls: Tls, calls: int) -> None:
    """TLS ends with a word from both sides, which a server that hangs does not say."""
    stopped: list[int] = []

    async def hang_up() -> None:
        link = AsyncLink(parse(tls.url(tls.ca)), 1.0)
        info = str(await drive(one(Command(("INFO", "server"), "")), link))
        stopped.append(int(info.partition("process_id:")[2].split()[0]))
        os.kill(stopped[0], signal.SIGSTOP)
        for _ in range(calls):
            with pytest.raises(ServerUnavailableError):
                await drive(one(Command(("PING",), "")), link)
        await link.close()

    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            asyncio.run(hang_up())
            gc.collect()
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert [str(warning.message) for warning in caught] == [], "what is open still"


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_a_missing_file_is_named_at_once(tls: Tls, name: str, option: str) -> None:
    with pytest.raises(InvalidURLError, match=f"{option}.*/no/such/file.pem"):
        Curriculum.open(tls.url(f"{option}=/no/such/file.pem"), name, CONFIG)
