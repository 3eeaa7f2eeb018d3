"""The first connection to a server: the mistakes that people make with TLS are named there."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Any, Final

from redis import exceptions

from redis_curriculum._wire.options import is_tls, stranger_options
from redis_curriculum._wire.steps import FAILURES, Connect, Drop, Steps, converse
from redis_curriculum.errors import ServerRefusedError

PROBE_S: Final = 1.0
"""How long a server may take to show which protocol it speaks, seconds."""
_HUNG_UP: Final = re.compile(r"closed by server|reset by peer")
_PLAIN: Final = "this port does not speak TLS; use redis:// instead of rediss://"
_WANTED: Final = "this port wants TLS (rediss://)"


def connect_first(options: Mapping[str, Any], timeout_s: float, public: str) -> Steps[Any]:
    """Open a connection to a server that has not answered yet; ``public`` is its URL in errors.

    Raises:
        ServerRefusedError: TLS keeps the two apart, and waiting would not help (code ``TLS``).
        RedisError, OSError, ValueError: The connection failed otherwise.
    """
    patience_s = min(PROBE_S, timeout_s)
    try:
        mistake = (yield from _plain_port(options, patience_s)) if is_tls(options) else None
        if mistake is None:
            return (yield Connect(options, timeout_s))
    except FAILURES as error:
        mistake = yield from _mistake(error, options, patience_s)
        if mistake is None:
            raise
        raise ServerRefusedError(f"{public}: {mistake}", code="TLS") from error
    raise ServerRefusedError(f"{public}: {mistake}", code="TLS")


def _plain_port(options: Mapping[str, Any], patience_s: float) -> Steps[str | None]:
    """Try TLS with little patience: a server without it waits for more, and does not say so."""
    try:
        yield Drop((yield Connect(options, patience_s)))
    except (TimeoutError, exceptions.TimeoutError):
        return _PLAIN if (yield from _speaks(options, patience_s, tls=False)) else None
    return None


def _mistake(
    error: BaseException, options: Mapping[str, Any], patience_s: float
) -> Steps[str | None]:
    """Say what is wrong with TLS; None where something else is."""
    if is_tls(options):
        said = _said_by_tls(error)
        if said is None or _is_plain(said):
            return said and _PLAIN
        return f"TLS: {said}; check ssl_ca_certs and the server's certificate"
    hung_up = "host" in options and _HUNG_UP.search(str(error))
    return _WANTED if hung_up and (yield from _speaks(options, patience_s, tls=True)) else None


def _speaks(options: Mapping[str, Any], patience_s: float, *, tls: bool) -> Steps[bool]:
    """Whether a server answers there, with TLS or without."""
    try:
        connection = yield Connect(stranger_options(options, tls=tls), patience_s)
        yield from converse(connection, ("PING",))
    except (exceptions.ResponseError, exceptions.AuthenticationError, exceptions.BusyLoadingError):
        return True  # refused, but answered
    except FAILURES as error:  # a server that asks for a client's certificate speaks TLS
        said = _said_by_tls(error)
        return tls and said is not None and not _is_plain(said)
    return True


def _is_plain(said: str) -> bool:
    """Whether TLS failed at bytes that are something else."""
    return "WRONG_VERSION" in said or "record layer" in said


def _said_by_tls(error: BaseException) -> str | None:
    """Return what TLS complains of; a line that was cut, as may happen to any, is no complaint."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return (
                None if isinstance(seen, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) else str(seen)
            )
        seen = seen.__cause__ or seen.__context__
    return None
