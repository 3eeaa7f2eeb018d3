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
        if is_tls(options):
            yield from _try_tls(options, patience_s)
        return (yield Connect(options, timeout_s))
    except FAILURES as error:
        if is_tls(options):
            mistake = _said_by_tls(error)
        else:
            hung_up = "host" in options and _HUNG_UP.search(str(error))
            wanted = hung_up and (yield from _speaks(options, patience_s, tls=True))
            mistake = _WANTED if wanted else None
        if not mistake:
            raise
        raise ServerRefusedError(f"{public}: {mistake}", code="TLS") from error


def _try_tls(options: Mapping[str, Any], patience_s: float) -> Steps[None]:
    """Try it with little patience: a plain server waits for the end of a line, and is silent."""
    try:
        yield Drop((yield Connect(options, patience_s)))
    except (TimeoutError, exceptions.TimeoutError) as error:
        if (yield from _speaks(options, patience_s, tls=False)):
            raise ssl.SSLError(_PLAIN) from error


def _speaks(options: Mapping[str, Any], patience_s: float, *, tls: bool) -> Steps[bool]:
    """Whether a server answers there, with TLS or without."""
    try:
        connection = yield Connect(stranger_options(options, tls=tls), patience_s)
        yield from converse(connection, ("PING",))
    except (exceptions.ResponseError, exceptions.AuthenticationError, exceptions.BusyLoadingError):
        return True  # refused, but answered
    except FAILURES as error:  # a server that asks for a client's certificate speaks TLS
        return tls and _said_by_tls(error) not in (None, _PLAIN)
    return True


def _said_by_tls(error: BaseException | None) -> str | None:
    """Return what TLS complains of; that a line was cut, as may happen to any, is no complaint."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if error is None or isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return None
    if any(sign in str(error) for sign in (_PLAIN, "WRONG_VERSION", "record layer")):
        return _PLAIN
    return f"TLS: {error}; check ssl_ca_certs and the server's certificate"
