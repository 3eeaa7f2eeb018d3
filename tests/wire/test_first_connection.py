"""What is wrong with TLS is said where waiting would not help, and only there."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest
from redis import exceptions

from redis_curriculum._wire.link import Link
from redis_curriculum._wire.options import client_options, is_tls
from redis_curriculum._wire.steps import Connect
from redis_curriculum._wire.tls import PROBE_S
from redis_curriculum._wire.urls import parse
from redis_curriculum.errors import ServerRefusedError, ServerUnavailableError
from tests.wire.network import Network, replies

HOME = ("home", 6379)
Failure = Callable[[], Exception]
"""Makes an error of redis-py's; a new one each time, since raising it changes it."""


def fails(words: str, *, kind: type[Exception] = exceptions.ConnectionError) -> Failure:
    return lambda: kind(words)


def tls_says(kind: type[ssl.SSLError], words: str) -> Failure:
    def make() -> Exception:
        error = exceptions.ConnectionError("Error 1 connecting to home:6379.")
        error.__context__ = kind(1, words)
        return error

    return make


SILENT = fails("Timeout connecting to server", kind=exceptions.TimeoutError)
HUNG_UP = fails("Connection closed by server.")
REFUSED = fails("Error 111 connecting to home:6379. Connection refused.")
NOT_TLS = tls_says(ssl.SSLError, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
UNKNOWN = tls_says(ssl.SSLCertVerificationError, "certificate verify failed")
WANTS_CERTIFICATE = tls_says(ssl.SSLError, "tlsv13 alert certificate required")
CUT = tls_says(ssl.SSLEOFError, "EOF occurred in violation of protocol")


def network(
    *, tls: Failure | None = None, plain: Failure | None = None, answer: Any = "PONG"
) -> Network:
    """One server, and how connections to it with and without TLS fail."""

    def refuse(step: Connect) -> Exception | None:
        failure = tls if is_tls(step.options) else plain
        return failure() if failure else None

    return Network({HOME: replies(answer)}, refuse)


def first_call(scheme: str, on: Network, timeout_s: float = 30.0) -> Any:
    return on.run(Link(parse(f"{scheme}://:secret@home"), timeout_s).send(("PING",), ""))


def test_where_both_speak_tls() -> None:
    on = network(plain=HUNG_UP)
    assert first_call("rediss", on) == "PONG"
    assert on.open == ["home"], "the probe is closed"
    assert [is_tls(step.options) for step in on.connects] == [True, True]


@pytest.mark.parametrize(
    "answer",
    [
        "PONG",
        exceptions.AuthenticationError("Authentication required."),
        exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
        exceptions.ResponseError("DENIED Redis is running in protected mode"),
    ],
)
def test_a_plain_server_keeps_silent_before_tls(answer: Any) -> None:
    on = network(tls=SILENT, answer=answer)
    with pytest.raises(ServerRefusedError, match=r"does not speak TLS.*redis://") as refused:
        first_call("rediss", on)
    assert (refused.value.code, refused.value.applied) == ("TLS", "no")
    assert [step.timeout_s for step in on.connects] == [PROBE_S, PROBE_S]
    assert on.open == []


def test_a_plain_server_that_answers_tls_with_an_error() -> None:
    with pytest.raises(ServerRefusedError, match="does not speak TLS"):
        first_call("rediss", network(tls=NOT_TLS))


def test_a_slow_server_is_waited_for() -> None:
    """It did not show TLS within the probe's second; nor is it a plain one."""
    tries = iter([SILENT, None])
    on = network()
    on.refuse = lambda step: (
        one() if (one := next(tries) if is_tls(step.options) else SILENT) else None
    )
    assert first_call("rediss", on) == "PONG"
    assert [(is_tls(step.options), step.timeout_s) for step in on.connects] == [
        (True, PROBE_S),
        (False, PROBE_S),
        (True, 30.0),
    ]


def test_a_certificate_that_nobody_vouches_for() -> None:
    on = network(tls=UNKNOWN)
    with pytest.raises(ServerRefusedError, match=r"verify failed.*ssl_ca_certs") as refused:
        first_call("rediss", on)
    assert refused.value.code == "TLS"
    assert len(on.connects) == 1


@pytest.mark.parametrize("tls", [None, WANTS_CERTIFICATE], ids=["open", "asks for a certificate"])
def test_a_plain_client_at_a_tls_port(tls: Failure | None) -> None:
    on = network(plain=HUNG_UP, tls=tls)
    with pytest.raises(ServerRefusedError, match=r"wants TLS.*rediss://") as refused:
        first_call("redis", on)
    assert (refused.value.code, refused.value.applied) == ("TLS", "no")
    assert on.open == []


@pytest.mark.parametrize(
    ("scheme", "tls", "plain"),
    [
        ("rediss", CUT, None),
        ("rediss", REFUSED, None),
        ("redis", NOT_TLS, HUNG_UP),
        ("redis", CUT, HUNG_UP),
        ("redis", None, REFUSED),
    ],
)
def test_a_line_that_was_cut_is_no_mistake(
    scheme: str, tls: Failure | None, plain: Failure | None
) -> None:
    with pytest.raises(ServerUnavailableError):
        first_call(scheme, network(tls=tls, plain=plain))


def test_a_probe_tells_no_secret() -> None:
    for scheme, on in (("rediss", network(tls=SILENT)), ("redis", network(plain=HUNG_UP))):
        with pytest.raises(ServerRefusedError):
            first_call(scheme, on)
        used, probe = on.connects
        assert used.options["password"] == "secret"  # noqa: S105 - of this test
        assert not {"username", "password"} & probe.options.keys()
        assert "secret" not in repr(probe.options)


def test_once_it_has_answered_nothing_is_probed() -> None:
    """A failover may hang up on a client at any time."""
    on = network()
    link = Link(parse("redis://home"), 1.0)
    assert on.run(link.send(("PING",), "")) == "PONG"
    on.run(link.hang_up())
    on.refuse = lambda _: HUNG_UP()
    with pytest.raises(ServerUnavailableError):
        on.run(link.send(("PING",), ""))
    assert len(on.connects) == 2


def test_a_timeout_below_the_probes_patience_is_kept() -> None:
    on = network(tls=SILENT, plain=SILENT)
    with pytest.raises(ServerUnavailableError):
        first_call("rediss", on, timeout_s=0.25)
    assert [step.timeout_s for step in on.connects] == [0.25, 0.25, 0.25]


def test_a_probe_is_no_step_of_a_unix_socket() -> None:
    on = Network({})
    steps: list[Connect] = on.connects
    on.refuse = lambda _: HUNG_UP()
    with pytest.raises(ServerUnavailableError):
        on.run(Link(parse("unix:///run/redis.sock"), 1.0).send(("PING",), ""))
    assert [step.options["path"] for step in steps] == ["/run/redis.sock"]


def test_who_verifies_nobody_checks_no_name() -> None:
    """redis-py 6 raises ``ValueError`` where only one of the two is off."""
    url = "rediss://home?ssl_cert_reqs=none&insecure=true"
    assert client_options(parse(url))["ssl_check_hostname"] is False
    assert client_options(parse(f"{url}&ssl_check_hostname=true"))["ssl_check_hostname"] is False
    assert client_options(parse("rediss://home"))["ssl_check_hostname"] is True
