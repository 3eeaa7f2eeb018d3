"""What is wrong with TLS, where waiting would not help."""

from __future__ import annotations

import re
import socket
import ssl
from contextlib import suppress
from typing import Final

from redis_curriculum._wire.urls import Address
from redis_curriculum.errors import ServerRefusedError


def refuse_plain(address: Address) -> None:
    """Ask without TLS, after a handshake that came to nothing.

    Raises:
        ServerRefusedError: There is a plain server.
    """
    with suppress(OSError), socket.create_connection(address.hosts[0], PROBE_S) as probe:
        probe.settimeout(PROBE_S)
        probe.sendall(b"PING\r\n")
        if probe.recv(1) in (b"+", b"-"):
            raise ServerRefusedError(f"{address.public}: {_PLAIN}", code="TLS")


def tls_hint(error: BaseException, address: Address) -> str | None:
    """Say what is wrong with TLS where waiting would not help; None where it is something else."""
    if address.tls:
        found = _ssl_error(error)
        if found is None or isinstance(found, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return None  # cut, which may happen to any line
        if "WRONG_VERSION" in str(found) or "record layer" in str(found):
            return _PLAIN
        return f"TLS: {found}; check ssl_ca_certs and the server's certificate"
    hung_up = bool(_HUNG_UP.search(str(error))) and bool(address.hosts)
    return "this port wants TLS (rediss://)" if hung_up and _speaks_tls(address) else None


_HUNG_UP: Final = re.compile(r"closed by server|reset by peer")
PROBE_S: Final = 1.0
_PLAIN: Final = "this port does not speak TLS; use redis:// instead of rediss://"


def _speaks_tls(address: Address) -> bool:
    """Whether a TLS handshake succeeds there; nothing else is sent, so nobody is verified."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(address.hosts[0], PROBE_S) as plain:
            plain.settimeout(PROBE_S)
            with context.wrap_socket(plain):
                return True
    except (OSError, ValueError):
        return False


def _ssl_error(error: BaseException) -> ssl.SSLError | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None
