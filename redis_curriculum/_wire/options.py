"""redis-py's connections for an address: their class, and their arguments.

Their own retries stay off, as they are by default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from redis_curriculum._wire.steps import Node
from redis_curriculum._wire.urls import SENTINEL_PASSWORD_VARIABLE, Address
from redis_curriculum.errors import InvalidURLError

_TEXT: Final = {"decode_responses": True, "protocol": 2}


def declared_keys(address: Address, key: str) -> tuple[str, ...]:
    """Return the keys that a script call names.

    On a cluster a second one, which never exists: while the slot moves to another node, Redis
    then refuses the call (TRYAGAIN) instead of running the script on the half that is still here.
    """
    return (key, f"{key}:absent") if address.kind == "cluster" else (key,)


def client_options(address: Address) -> dict[str, Any]:
    """Return the arguments for how to talk to a server: text in and out, RESP2."""
    options = _TEXT | {"username": address.username, "password": address.secret, "db": address.db}
    if address.tls:
        _check_files(address)
        options |= {"ssl_check_hostname": True, **address.tls_options}
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
    return _TEXT | at((options["host"], options["port"])) | unverified


def at(node: Node) -> dict[str, Any]:
    """Return the arguments for where a server is."""
    return {"host": node[0], "port": node[1]}


def is_tls(options: Mapping[str, Any]) -> bool:
    """Whether a connection with such arguments speaks TLS."""
    return "ssl_check_hostname" in options


def class_name(options: Mapping[str, Any]) -> str:
    """Return the name of redis-py's class for a connection; for asyncio it is the same."""
    if "path" in options:
        return "UnixDomainSocketConnection"
    return "SSLConnection" if is_tls(options) else "Connection"
