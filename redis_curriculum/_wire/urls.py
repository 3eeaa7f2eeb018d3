"""What a URL says: where the server is and how to talk to it. Nothing is opened here.

``redis://``, ``rediss://`` (TLS), ``unix://``, ``redis+sentinel://`` and ``redis+cluster://``
(``rediss+...`` with TLS), ``embedded://``; ``valkey`` may stand for ``redis``. Unknown options are
refused. The password may stand in the URL or in ``REDIS_CURRICULUM_PASSWORD``; it is in no repr,
message or pickle.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self
from urllib.parse import parse_qsl, quote, unquote

from redis_curriculum._values.rules import validate_key_prefix
from redis_curriculum.errors import InvalidInputError, InvalidURLError, ServerUnavailableError

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
_WITHOUT_EFFECT: Final = {"protocol": r"[23]", "health_check_interval": r"[0-9.]{1,9}"}
"""Options of redis-py's own client that change nothing here, and their values: accepted, so that a
URL may serve both. The library always speaks RESP2, and a dead connection is replaced."""
_SAID_ELSEWHERE: Final = {
    **dict.fromkeys(("username", "password"), f"user:password@ or in {PASSWORD_VARIABLE}"),
    **dict.fromkeys(("socket_timeout", "socket_connect_timeout"), "WorkerSettings(timeout_s=...)"),
    **dict.fromkeys(("retry_on_timeout", "retry"), "WorkerSettings(retry_deadline_s=...)"),
}
_SHAPE: Final = re.compile(r"(?P<scheme>[A-Za-z+]+)://(?P<rest>[^?#]*)(?:\?(?P<query>[^#]*))?")
_HOST: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d+))?")
_NO_PORT: Final = re.compile(r"(\[[0-9A-Fa-f:.]*\])|:(?!\d{1,5}(?:[,/#]|$))[^,/]*")
_ONE_WORD: Final = re.compile(r"[\w.:/,+@~%-]*")
_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no")
_PLAIN: Final = "/:"  # what needs no escape in an option


Login = tuple[str | None, str | None]
"""User and password."""
Credentials = Callable[[], tuple[str | None, str] | tuple[str] | str]
"""Returns user and password, or a password, whenever a connection is made."""


_RUN: Final = "[A-Za-z0-9_-]{1,64}"


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URL. ``public`` is the same URL without its password."""

    public: str
    kind: str
    """``single``, ``unix``, ``sentinel``, ``cluster`` or ``embedded``."""
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    """Socket (``unix``) or directory (``embedded``; empty: the user's default one)."""
    run: str = ""
    """Whose private server (``embedded`` without a directory); empty: this program's."""
    prefix: str = ""
    """What every key begins with."""
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    tls_options: dict[str, str | bool] = field(default_factory=dict)
    credentials: Credentials | None = field(default=None, repr=False)

    @property
    def secret(self) -> str | None:
        """The password: the URL's, else the environment's; an embedded server has none."""
        if self.kind == "embedded":
            return None
        return self.password or os.environ.get(PASSWORD_VARIABLE) or None

    def login(self) -> Login:
        """Return user and password for a connection that is made now; it may take its time.

        They are those of ``credentials``, else the URL's. The password may be the environment's.

        Raises:
            InvalidInputError: ``credentials`` returned something else.
            ServerUnavailableError: It raised an error; a later call may succeed.
        """
        if self.credentials is None:
            return self.username, self.secret
        try:
            given: Any = self.credentials()
        except Exception as error:
            what = f"{self.public}: credentials() raised {type(error).__name__}"
            raise ServerUnavailableError(what) from error
        match given:
            case (str(password),) | str(password):
                return self.username, password
            case (str() | None as username, str(password)):
                return username or self.username, password
        rule = "a callable that returns (username, password)"
        raise InvalidInputError("credentials", rule, type(given))

    def with_credentials(self, credentials: Credentials | None) -> Self:
        """Return the address with what asks for user and password; None: nothing does.

        Raises:
            InvalidInputError: It cannot be called, or the URL has a password or needs none.
        """
        if credentials is None:
            return self
        if not callable(credentials):
            rule = "a callable that returns (username, password)"
            raise InvalidInputError("credentials", rule, type(credentials))
        if self.password or self.kind == "embedded":
            rule = "None where the URL has a password, or needs none"
            raise InvalidInputError("credentials", rule, credentials)
        return replace(self, credentials=credentials)

    def with_prefix(self, prefix: str | None) -> Self:
        """Return the address with a prefix that was given beside the URL; None: none was.

        Raises:
            InvalidInputError: The URL names another one.
        """
        if prefix is None or prefix == self.prefix:
            return self
        if self.prefix:
            raise InvalidInputError("prefix", f"{self.prefix!r} as in the URL, or None", prefix)
        return replace(self, prefix=prefix, public=self._public_with("prefix", prefix))

    def with_run(self, run: str) -> Self:
        """Return the address of the same private server, as processes of other runs need it."""
        return replace(self, run=run, public=self._public_with("run", run))

    def _public_with(self, option: str, text: str) -> str:
        mark = "&" if "?" in self.public else "?"
        return f"{self.public}{mark}{option}={quote(text, safe=_PLAIN)}"


def parse(url: object) -> Address:
    """Read a URL.

    Raises:
        InvalidURLError: It names no scheme or an unknown one, has an unknown option, a database
            that is not a number, no host, no service; the message holds no password.
    """
    if not isinstance(url, str):  # its repr may hold a password
        raise InvalidURLError("url", "a text such as redis://localhost:6379/0", type(url))
    url = url.strip()
    match = _SHAPE.fullmatch(url)
    if not match:
        raise _bad("of the form scheme://..., with scheme one of " + ", ".join(SCHEMES), url)
    scheme = match["scheme"].lower().replace("valkey", "redis")
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
        self._only(*(() if self.rest else ("run",)))
        run = self.options.get("run", "")
        if "run" in self.options and not re.fullmatch(_RUN, run):
            raise _bad(f"with a run= of the form {_RUN}", self.url)
        if self.rest and not self.rest.startswith("/"):
            raise _bad("embedded:// or embedded:///absolute/directory", self.url)
        return Address(
            public=self._public(None, self.rest),
            kind="embedded",
            path=unquote(self.rest),
            run=run,
            prefix=self._prefix(),
        )

    def unix(self) -> Address:
        self._only("db")
        if not hasattr(socket, "AF_UNIX"):
            raise _bad("redis:// or rediss://; this system has no unix sockets (POSIX)", self.url)
        username, password, path = self._credentials()
        if not path.startswith("/"):
            raise _bad("unix:///absolute/path/to/socket", self.url)
        return Address(
            public=self._public(username, path),
            kind="unix",
            path=unquote(path),
            prefix=self._prefix(),
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
            prefix=self._prefix(),
            db=number,
            username=username,
            password=password,
            tls=tls,
            tls_options=self._tls_options() if tls else {},
        )

    def _only(self, *names: str) -> None:
        """Refuse options that this kind of server has not, and drop those without effect."""
        for name, text in list(self.options.items()):
            if name in _WITHOUT_EFFECT:
                if not re.fullmatch(_WITHOUT_EFFECT[name], text):
                    raise _bad(f"with {name}= one of {_WITHOUT_EFFECT[name]}", self.url)
                del self.options[name]
            elif name in _SAID_ELSEWHERE:
                where = _SAID_ELSEWHERE[name]
                raise _bad(f"without the option {name}, which is given as {where}", self.url)
            elif name not in (*names, "prefix"):
                known = ", ".join((*names, "prefix"))
                raise _bad(f"without the unknown option {name!r} (known: {known})", self.url)

    def _prefix(self) -> str:
        try:
            return validate_key_prefix(self.options.get("prefix", ""), field="")
        except InvalidInputError as error:
            raise _bad(f"with a prefix of {error.rule}", self.url) from None

    def _credentials(self) -> tuple[str | None, str | None, str]:
        user, found, rest = self.rest.rpartition("@")
        if not found:
            return None, None, self.rest
        name, _, password = user.partition(":")
        return unquote(name) or None, unquote(password) or None, rest

    def _public(self, username: str | None, rest: str) -> str:
        user = f"{quote(username, safe='')}@" if username else ""
        given = self.options.items()
        options = "&".join(f"{name}={quote(text, safe=_PLAIN)}" for name, text in given)
        return f"{self.scheme}://{user}{rest}{'?' if options else ''}{options}"

    def _number(self, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,5}", text):
            raise _bad("with a number as database", self.url)
        return int(text)

    def _hosts(self, text: str, port: int, *, many: bool) -> tuple[tuple[str, int], ...]:
        hosts = []
        for part in text.split(","):
            match = _HOST.fullmatch(part)
            if not match or not 0 < int(match["port"] or port) < 2**16:
                raise _bad("with a host and a port of 1 to 65535", self.url)
            host = match["v6"] or unquote(match["host"])
            if not _is_name(host):
                raise _bad("with a host that can be looked up", self.url)
            hosts.append((host, int(match["port"] or port)))
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
            elif name.startswith("ssl_"):
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


def _is_name(host: str) -> bool:
    """Whether DNS could know it: no blanks, no empty part, none of over 63 characters."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return not re.search(r"[\s\x00-\x1f\x7f=/?#@]", host)


def _bad(rule: str, url: str) -> InvalidURLError:
    return InvalidURLError("url", rule, _masked(url))


def _masked(url: str) -> str:
    """Return a URL, whatever is wrong with it, without anything that may be a password.

    All before the last ``@`` may be one, and so may what follows a colon and is no port, all that
    an equals sign assigns outside of the options, and the value of an option that is not known or
    holds more than one word.
    """
    start = re.match(r"(?:[A-Za-z+]+:)?/{0,3}", url)
    head, rest = (url[: start.end()], url[start.end() :]) if start else ("", url)
    user, found, rest = rest.rpartition("@")
    if found:
        name = re.match(r"[^:/?#]*(?=:)", user)
        head += f"{name[0] if name else ''}:***@"
    place, query, options = re.sub(r"#.*", "#***", rest, flags=re.DOTALL).partition("?")
    place = _NO_PORT.sub(lambda match: match[1] or ":***", place)
    place = re.sub(r"=.*", "=***", place, flags=re.DOTALL)
    return head + place + query + "&".join(map(_masked_option, options.split("&")))


def _masked_option(option: str) -> str:
    name, found, text = option.partition("=")
    known = name in ("db", "prefix", *_TLS_OPTIONS, *_WITHOUT_EFFECT) and _ONE_WORD.fullmatch(text)
    return option if known or not option else f"{name if found else ''}{found}***"
