"""redis-py's arguments for an address: where the server is and how to talk to it."""

from __future__ import annotations

import os
from typing import Any, Final

from redis.backoff import NoBackoff
from redis.retry import Retry

from redis_curriculum._wire.urls import SENTINEL_PASSWORD_VARIABLE, Address
from redis_curriculum.errors import InvalidURLError

MOST_REDIRECTS: Final = 5


def declared_keys(address: Address, key: str) -> tuple[str, ...]:
    """Return the keys that a script call names.

    On a cluster a second one, which never exists: while the slot moves to another node, Redis
    then refuses the call (TRYAGAIN) instead of running the script on the half that is still here.
    """
    return (key, f"{key}:absent") if address.kind == "cluster" else (key,)


def endpoint(
    address: Address, path: str | os.PathLike[str] | None, node: tuple[str, int] | None
) -> dict[str, Any]:
    """Return redis-py's arguments for where a single server is."""
    if address.kind in ("unix", "embedded"):
        return {"unix_socket_path": str(path or address.path)}
    host, port = node or address.hosts[0]
    return {"host": host, "port": port}


def client_options(address: Address, timeout_s: float) -> dict[str, Any]:
    """Return redis-py's arguments for how to talk: text in and out, RESP2, no retry of its own."""
    options: dict[str, Any] = {
        "username": address.username,
        "password": address.secret,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "decode_responses": True,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
    }
    if address.db:
        options["db"] = address.db
    if address.tls:
        _check_files(address)
        options |= {"ssl": True, "ssl_check_hostname": True, **address.tls_options}
    return options


def _check_files(address: Address) -> None:
    """Refuse certificates that are not there: redis-py would take that for a server's absence."""
    for option in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        path = address.tls_options.get(option)
        if path is not None and not os.access(str(path), os.R_OK):
            raise InvalidURLError("url", f"with {option}= a file that can be read", path)


def sentinel_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return redis-py's arguments for talking to the Sentinels themselves."""
    kept = {k: v for k, v in options.items() if k not in ("username", "password", "db")}
    secret = os.environ.get(SENTINEL_PASSWORD_VARIABLE)
    return kept | ({"password": secret} if secret else {})
