"""redis-py's arguments for a connection: where the server is and how to talk to it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from redis_curriculum._wire.urls import SENTINEL_PASSWORD_VARIABLE, Address
from redis_curriculum.errors import InvalidURLError

Place = Mapping[str, Any]
"""The arguments for where a server is: ``host`` and ``port``, or the ``path`` of its socket."""
_TEXT: Final = {
    "decode_responses": True,
    "encoding_errors": "surrogateescape",  # what is no UTF-8 is refused where its field is known
    "protocol": 2,
}


def places(address: Address) -> list[Place]:
    """Return where the servers of an address are; none where one has to be started."""
    if address.kind == "unix":
        return [{"path": address.path}]
    return [{"host": host, "port": port} for host, port in address.hosts]


def client_options(address: Address) -> dict[str, Any]:
    """Return the arguments for how to talk to a server: text in and out, RESP2."""
    options: dict[str, Any] = _TEXT | {"db": address.db}
    if address.tls:
        _check_files(address)
        options |= {"ssl_check_hostname": True, **address.tls_options}
        if (
            options.get("ssl_cert_reqs") == "none"
        ):  # no certificate, no name in it, whatever is said
            options["ssl_check_hostname"] = False
    return options


def _check_files(address: Address) -> None:
    """Refuse certificates that are not there: redis-py would take that for a server's absence."""
    for option in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        path = address.tls_options.get(option)
        if path is not None and not os.access(str(path), os.R_OK):
            raise InvalidURLError("url", f"with {option}= a file that can be read", path)


def sentinel_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for how to talk to the Sentinels of a server with such ``options``."""
    kept = {name: value for name, value in options.items() if name not in ("username", "db")}
    return kept | {"password": os.environ.get(SENTINEL_PASSWORD_VARIABLE)}


def stranger_options(options: Mapping[str, Any], *, tls: bool) -> dict[str, Any]:
    """Return the arguments to see whether a port speaks TLS: no secret, and nobody is verified."""
    unverified = {"ssl_cert_reqs": "none", "ssl_check_hostname": False} if tls else {}
    return _TEXT | {name: options[name] for name in ("host", "port")} | unverified


def is_tls(options: Mapping[str, Any]) -> bool:
    """Whether a connection with such arguments speaks TLS."""
    return "ssl_check_hostname" in options


def class_name(options: Mapping[str, Any]) -> str:
    """Return the name of redis-py's class for a connection; for asyncio it is the same."""
    if "path" in options:
        return "UnixDomainSocketConnection"
    return "SSLConnection" if is_tls(options) else "Connection"
