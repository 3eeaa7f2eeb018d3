"""What a URL says: where the server is and how to talk to it. Nothing is opened here.

``redis://``, ``rediss://`` (TLS), ``unix://``, ``redis+sentinel://`` and ``redis+cluster://``
(``rediss+...`` with TLS), ``embedded://``. Unknown options are refused. The password may stand in
the URL or in ``REDIS_CURRICULUM_PASSWORD``; it is in no repr, message or pickle.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from redis_curriculum.errors import InvalidURLError

PASSWORD_VARIABLE: Final = "REDIS_CURRICULUM_PASSWORD"  # noqa: S105 - a name, not a secret
"""Environment variable with the password, where the URL has none."""
SENTINEL_PASSWORD_VARIABLE: Final = "REDIS_CURRICULUM_SENTINEL_PASSWORD"  # noqa: S105
"""Environment variable with the password of the Sentinels themselves."""

SCHEMES: Final = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
    "embedded",
)
_TLS_OPTIONS: Final = (
    "ssl_ca_certs",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_cert_reqs",
    "ssl_check_hostname",
    "insecure",
)
_SHAPE: Final = re.compile(r"(?P<scheme>[a-z+]+)://(?P<rest>[^?#]*)(?:\?(?P<query>[^#]*))?")
_HOST: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d+))?")
_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no")


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URL. ``public`` is the same URL without its password."""

    public: str
    kind: str
    """``single``, ``unix``, ``sentinel``, ``cluster`` or ``embedded``."""
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    """Socket (``unix``) or directory (``embedded``; empty: the user's default one)."""
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    tls_options: dict[str, str | bool] = field(default_factory=dict)

    @property
    def secret(self) -> str | None:
        """The password: the URL's, else the environment's; an embedded server has none."""
        if self.kind == "embedded":
            return None
        return self.password or os.environ.get(PASSWORD_VARIABLE) or None


def parse(url: object) -> Address:
    """Read a URL.

    Raises:
        InvalidURLError: It names no scheme or an unknown one, has an unknown option, a database
            that is not a number, no host, no service; the message holds no password.
    """
    if not isinstance(url, str):
        raise InvalidURLError("url", "a text such as redis://localhost:6379/0", url)
    match = _SHAPE.fullmatch(url)
    if not match:
        raise _bad("of the form scheme://..., with scheme one of " + ", ".join(SCHEMES), url)
    scheme = match["scheme"]
    if scheme not in SCHEMES:
        raise _bad("of a known scheme: " + ", ".join(f"{s}://" for s in SCHEMES), url)
    parts = _Parts(url, scheme, match["rest"], dict(_options(url, match["query"] or "")))
    base, _, topology = scheme.partition("+")
    if base == "embedded":
        return parts.embedded()
    if base == "unix":
        return parts.unix()
    return parts.network(topology or "single", tls=base == "rediss")


@dataclass
class _Parts:
    """A URL in pieces, on its way to an Address."""

    url: str
    scheme: str
    rest: str
    options: dict[str, str]

    def embedded(self) -> Address:
        self._only()
        if self.rest and not self.rest.startswith("/"):
            raise _bad("embedded:// or embedded:///absolute/directory", self.url)
        return Address(public=self.url, kind="embedded", path=unquote(self.rest))

    def unix(self) -> Address:
        self._only("db")
        username, password, path = self._credentials()
        if not path.startswith("/"):
            raise _bad("unix:///absolute/path/to/socket", self.url)
        return Address(
            public=self._public(username, path),
            kind="unix",
            path=unquote(path),
            db=self._number(self.options.get("db", "0")),
            username=username,
            password=password,
        )

    def network(self, kind: str, *, tls: bool) -> Address:
        self._only("db", *(_TLS_OPTIONS if tls else ()))
        username, password, rest = self._credentials()
        hosts, _, path = rest.partition("/")
        service, db = "", path
        if kind == "sentinel":
            service, _, db = path.partition("/")
            if not service:
                raise _bad("redis+sentinel://host:port,host:port/service", self.url)
        if "db" in self.options and db:
            raise _bad("with one database, in the path or as db=", self.url)
        number = self._number(db or self.options.get("db", "0"))
        if kind == "cluster" and number:
            raise _bad("without a database: a cluster has only 0", self.url)
        return Address(
            public=self._public(username, rest),
            kind=kind,
            hosts=self._hosts(hosts, 26379 if kind == "sentinel" else 6379, many=kind != "single"),
            service=unquote(service),
            db=number,
            username=username,
            password=password,
            tls=tls,
            tls_options=self._tls_options() if tls else {},
        )

    def _only(self, *names: str) -> None:
        for name in self.options:
            if name not in names:
                known = f" (known: {', '.join(names)})" if names else ""
                raise _bad(f"without the unknown option {name!r}{known}", self.url)

    def _credentials(self) -> tuple[str | None, str | None, str]:
        user, found, rest = self.rest.rpartition("@")
        if not found:
            return None, None, self.rest
        name, _, password = user.partition(":")
        return unquote(name) or None, unquote(password) or None, rest

    def _public(self, username: str | None, rest: str) -> str:
        user = f"{quote(username, safe='')}@" if username else ""
        options = "&".join(f"{name}={quote(text)}" for name, text in self.options.items())
        return f"{self.scheme}://{user}{rest}{'?' if options else ''}{options}"

    def _number(self, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,5}", text):
            raise _bad(f"with a number as database, not {text!r}", self.url)
        return int(text)

    def _hosts(self, text: str, port: int, *, many: bool) -> tuple[tuple[str, int], ...]:
        hosts = []
        for part in text.split(","):
            match = _HOST.fullmatch(part)
            if not match or not 0 < int(match["port"] or port) < 2**16:
                raise _bad("with a host and a port of 1 to 65535", self.url)
            hosts.append((match["v6"] or unquote(match["host"]), int(match["port"] or port)))
        if len(hosts) > 1 and not many:
            raise _bad("with one host (several need +sentinel or +cluster)", self.url)
        return tuple(hosts)

    def _tls_options(self) -> dict[str, str | bool]:
        found: dict[str, str | bool] = {}
        for name, text in self.options.items():
            if name in ("ssl_check_hostname", "insecure"):
                if text.lower() not in _TRUE + _FALSE:
                    raise _bad(f"with {name}=true or {name}=false", self.url)
                found[name] = text.lower() in _TRUE
            elif name != "db":
                found[name] = text
        insecure = found.pop("insecure", False)
        verify = found.get("ssl_cert_reqs", "required")
        if verify not in ("required", "none"):
            raise _bad("with ssl_cert_reqs=required or none", self.url)
        if (verify == "none" or found.get("ssl_check_hostname") is False) and not insecure:
            raise _bad("verifying its server; to go without, add insecure=true as well", self.url)
        return found


def _options(url: str, query: str) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise _bad("with options as name=value&name=value", url) from None
    if len(dict(pairs)) < len(pairs):
        raise _bad("with each option once", url)
    return pairs


def _bad(rule: str, url: str) -> InvalidURLError:
    return InvalidURLError("url", rule, without_password(url))


def without_password(text: str) -> str:
    """Return a text in which whatever may be a password of a URL is ``***``."""
    text = re.sub(r"(://[^/@:]*):.*@", r"\1:***@", text)
    return re.sub(r"(?i)([?&][^=&\s]*passw[^=&\s]*=)[^&\s'\"]*", r"\1***", text)
