"""From a URL to a server that answers: one request at a time, errors in our own words.

The store describes what it does as plans: generators that yield requests and receive replies. A
plan knows nothing of sockets, so the blocking and the asynchronous handle run the same ones.
redis-py's retries are off everywhere: only ``worker.py`` retries, with the write's own number.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from redis_curriculum.errors import (
    Applied,
    AuthenticationError,
    CurriculumError,
    InvalidURLError,
    KeyTypeError,
    PermissionDeniedError,
    ScriptError,
    ServerError,
    ServerRefusedError,
    ServerUnavailableError,
)
from redis_curriculum.scripts import Script, commands_at, error_of
from redis_curriculum.urls import (
    PASSWORD_VARIABLE,
    SENTINEL_PASSWORD_VARIABLE,
    Address,
    without_password,
)

if TYPE_CHECKING:
    from redis_curriculum.embedded import Attachment

T = TypeVar("T")
Words = Sequence[str | bytes | int | float]
"""A command and its arguments."""

# --- requests and plans --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """Call a script on one curriculum; the reply is the script's."""

    script: Script
    key: str
    args: Sequence[Any]
    """Text, bytes, int or float; floats keep 17 digits."""


@dataclass(frozen=True, slots=True)
class Command:
    """Send one command that reads, or does the same whenever it comes.

    ``key`` says to which node of a cluster.
    """

    words: Words
    key: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait; the reply is None."""

    seconds: float


Request = Run | Command | Sleep
Plan = Generator[Request, Any, T]


class Link(Protocol):
    """A blocking way to the server of one curriculum (or to whoever is its primary now)."""

    def call(self, words: Words, key: str) -> Any:
        """Send one command about ``key`` and return its reply.

        Raises:
            CurriculumError: As ``translate`` says.
        """

    def keys_of(self, key: str) -> tuple[str, ...]:
        """Return the keys to declare for a script on ``key``."""

    def close(self) -> None:
        """Close the connection; the next call opens another."""


def drive(plan: Plan[T], link: Link) -> T:
    """Run a plan to its end over a blocking link and return its result."""
    try:
        request = next(plan)
        while True:
            try:
                reply = _perform(request, link)
            except CurriculumError as error:
                request = plan.throw(error)
            else:
                request = plan.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        plan.close()  # at once, also when interrupted: it notes what may have been applied


def _perform(request: Request, link: Link) -> Any:
    if isinstance(request, Run):
        keys = link.keys_of(request.key)
        tail = (len(keys), *keys, *request.args)
        evaluate = ("EVALSHA", request.script.sha, *tail)
        with suppress(MissingScriptError):
            return link.call(evaluate, request.key)
        link.call(("SCRIPT", "LOAD", request.script.source), request.key)
        with suppress(MissingScriptError):
            return link.call(evaluate, request.key)
        # Flushed in between, or the slot is moving to a node that was not asked to load it.
        return link.call(("EVAL", request.script.source, *tail), request.key)
    if isinstance(request, Command):
        return link.call(request.words, request.key)
    return time.sleep(request.seconds)


# --- links ---------------------------------------------------------------------------------------

MOST_REDIRECTS: Final = 5


def declared_keys(address: Address, key: str) -> tuple[str, ...]:
    """Return the keys that a script call names.

    On a cluster a second one, which never exists: while the slot moves to another node, Redis
    then refuses the call (TRYAGAIN) instead of running the script on the half that is still here.
    """
    return (key, f"{key}:absent") if address.kind == "cluster" else (key,)


class PrimaryFinder(Sentinel):
    """Asks a Sentinel for the address as Redis says that clients should.

    redis-py takes it from SENTINEL MASTERS, where the Sentinel that leads a failover names the old
    primary for about a second more: one that is back by then, perhaps empty, would be written to.
    """

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return where the primary is; one round trip more than redis-py's own."""
        # The Sentinel that answered stands first afterwards.
        known: tuple[str, int] = super().discover_master(service_name)  # type: ignore[no-untyped-call]
        first: Any = self.sentinels[0]
        found: tuple[str, int] | None = first.sentinel_get_master_addr_by_name(service_name)
        return found or known


class DirectLink:
    """One connection, held open (a pool would check it on every call), to the right node."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._options = client_options(address, timeout_s)
        self._connection: Any = None
        self._node: tuple[str, int] | None = None
        self._attachment: Attachment | None = None
        self._answered = False

    def keys_of(self, key: str) -> tuple[str, ...]:
        """See ``declared_keys``."""
        return declared_keys(self._address, key)

    def call(self, words: Words, key: str) -> Any:
        """See ``Link``."""
        for _ in range(MOST_REDIRECTS):
            try:
                return self._exchange(self._connection or self._open(key), words)
            except exceptions.MovedError as error:  # first: to redis-py it is an AskError
                self._drop()
                self._node = (error.host, error.port)
            except exceptions.AskError as error:
                return self._ask(error, words)
        raise ServerUnavailableError(f"{self._address.public}: redirected without end")

    def _exchange(self, connection: Any, words: Words) -> Any:
        try:
            # All as text: hiredis crashes the process if Ctrl-C comes while it writes a number.
            text = [word if isinstance(word, (str, bytes)) else repr(word) for word in words]
            connection.send_command(*text, check_health=False)
            reply = connection.read_response()
            self._answered = True
            return reply
        except exceptions.AskError:
            raise
        except exceptions.ResponseError as error:
            refusal = translate(error, self._address)
            if is_elsewhere(refusal):
                self._drop()
                self._node = None
            raise refusal from error
        except (exceptions.RedisError, OSError) as error:
            self._drop()
            self._node = None
            raise translate(error, self._address, applied="unknown") from error
        except BaseException:  # interrupted: the late reply would answer the next call
            self._drop()
            raise

    def _ask(self, error: exceptions.AskError, words: Words) -> Any:
        """The slot is on its way to another node: ask there, this once."""
        try:
            other = self._pool((error.host, error.port)).get_connection()
        except (exceptions.RedisError, OSError) as failure:
            raise translate(failure, self._address) from failure
        try:
            self._exchange(other, ("ASKING",))
            return self._exchange(other, words)
        except exceptions.AskError as again:  # it went back, or on
            raise translate(again, self._address) from again
        finally:
            other.disconnect()

    def close(self) -> None:
        """See ``Link``."""
        self._drop()
        self._node = None
        if self._attachment:
            self._attachment.close()
            self._attachment = None

    def _open(self, key: str) -> Any:
        address = self._address
        try:
            if address.kind == "cluster" and self._node is None:
                self._node = self._primary_of(key)
            if address.tls and not self._answered:
                self._shake_hands()
            self._connection = self._pool(self._node).get_connection()
        except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as error:
            self.close()
            if not self._answered and (hint := tls_hint(error, address)):
                message = f"{address.public}: {hint}"
                raise ServerRefusedError(message, code="TLS") from error
            raise translate(error, address) from error
        return self._connection

    def _shake_hands(self) -> None:
        """Try TLS once with little patience: a plain port keeps silent, and then says so."""
        pool = self._pool(self._node)
        pool.connection_kwargs["socket_timeout"] = PROBE_S
        try:
            pool.get_connection().disconnect()
        except exceptions.TimeoutError:
            refuse_plain(self._address)

    def _primary_of(self, key: str) -> tuple[str, int]:
        nodes = [ClusterNode(*host) for host in self._address.hosts]  # type: ignore[no-untyped-call]
        client = RedisCluster(startup_nodes=nodes, **self._options)
        try:
            node = client.get_node_from_key(key)  # type: ignore[no-untyped-call]
            return node.host, node.port
        finally:
            client.close()

    def _pool(self, node: tuple[str, int] | None) -> Any:
        address = self._address
        if address.kind == "sentinel":
            sentinel = PrimaryFinder(  # type: ignore[no-untyped-call]
                address.hosts, sentinel_kwargs=sentinel_options(self._options), **self._options
            )
            primary = sentinel.master_for(address.service)  # type: ignore[no-untyped-call]
            return primary.connection_pool
        if self._attachment:
            self._attachment.ensure_running()
        elif address.kind == "embedded":
            from redis_curriculum.embedded import attach

            self._attachment = attach(Path(address.path) if address.path else None)
        path = self._attachment.socket_path if self._attachment else None
        return redis.Redis(**endpoint(address, path, node), **self._options).connection_pool

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(exceptions.RedisError, OSError):
                connection.disconnect()


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


# --- errors --------------------------------------------------------------------------------------


class MissingScriptError(ServerError):
    """The server has forgotten a script; it must be sent whole. Internal."""


RETRIABLE_CODES: Final = frozenset(
    {"BUSY", "READONLY", "NOREPLICAS", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "MOVED", "ASK"}
)
_ELSEWHERE_CODES: Final = frozenset({"READONLY", "MASTERDOWN", "CLUSTERDOWN"})
_HINTS: Final = {
    "OOM": "raise maxmemory or evict tasks; reads and evictions still work",
    "MISCONF": "the server cannot save to disk; free space or see its log",
    "NOREPLICAS": "too few replicas are connected (min-replicas-to-write)",
    "READONLY": "this server is a replica; connect to the primary",
    "BUSY": "a script runs too long; see SCRIPT KILL",
}
_OUR_CODE: Final = re.compile(r"\b(RC[A-Z]+) ([\w.:{}\-]+)")
_SERVER_CODE: Final = re.compile(
    r"\b(WRONGTYPE|OOM|MISCONF|READONLY|NOREPLICAS|NOPERM|BUSY|LOADING|TRYAGAIN|CLUSTERDOWN"
    r"|MASTERDOWN|MOVED|ASK)\b"
)
_DENIED: Final = re.compile(r"'([\w|]+)' command")
_CUT_SHORT: Final = re.compile(
    r"(?=.*(?:user executing the script can't|ACL failure in script))"
    r".*?([0-9a-f]{40}).*?@user_script: ?(\d+)"
)


def is_retriable(error: CurriculumError) -> bool:
    """Whether the same write, with the same number, may succeed a little later."""
    if isinstance(error, ServerRefusedError):
        return error.code in RETRIABLE_CODES
    return isinstance(error, ServerUnavailableError)


def is_elsewhere(refusal: CurriculumError) -> bool:
    """Whether the node that refused is not, or no longer, the primary: it must be looked for.

    Redis 6.2 wraps what a script was refused, so redis-py's own classes do not tell.
    """
    return isinstance(refusal, ServerRefusedError) and refusal.code in _ELSEWHERE_CODES


def translate(error: Exception, address: Address, *, applied: Applied = "no") -> CurriculumError:
    """Return our error for one of redis-py's; ``applied`` if the request may have arrived."""
    text = without_password(str(error))
    if isinstance(error, exceptions.NoScriptError):
        return MissingScriptError(text)
    if isinstance(error, exceptions.AuthenticationError) or "NOAUTH" in text:
        where = "" if address.password else f" (set {PASSWORD_VARIABLE}, or put it in the URL)"
        return AuthenticationError(f"{address.public}: wrong user or password{where}: {text}")
    if isinstance(error, exceptions.BusyLoadingError):
        return ServerUnavailableError(f"{address.public} is loading its data: {text}")
    if "DB index is out of range" in text:
        return InvalidURLError("url", "with a database that the server has", address.public)
    if isinstance(error, exceptions.ResponseError):
        return _refused(error, text)
    says = ":" if isinstance(error, exceptions.RedisClusterException) else " does not answer:"
    return ServerUnavailableError(
        f"{address.public}{says} {text or type(error).__name__}", applied=applied
    )


def _refused(error: exceptions.ResponseError, text: str) -> CurriculumError:
    ours = _OUR_CODE.search(text)
    if ours:
        return error_of(ours[1], ours[2])
    cut_short = _CUT_SHORT.search(text)
    if cut_short:
        return _denied_inside(text, *cut_short.groups())
    if isinstance(error, exceptions.NoPermissionError) or "NOPERM" in text:
        denied = _DENIED.search(text)
        command = denied[1] if denied else None
        return PermissionDeniedError(
            f"this user may not use {command or 'one of our keys or commands'}; "
            f"`redis-curriculum acl NAME` prints what is needed: {text}",
            command=command,
        )
    known = _SERVER_CODE.search(text) or _SERVER_CODE.search(_code_of(error))
    if known is None:
        return ScriptError(f"the server refused a call: {text}")
    if known[1] == "WRONGTYPE":
        return KeyTypeError(f"something else stands at one of our keys: {text}", applied="unknown")
    hint = f" ({_HINTS[known[1]]})" if known[1] in _HINTS else ""
    return ServerRefusedError(f"{known[1]}: {text}{hint}", code=known[1])


def _denied_inside(text: str, sha: str, line: str) -> PermissionDeniedError:
    """The ACL stopped a script half-way; older servers say only in which line."""
    denied = _DENIED.search(text)
    commands = [denied[1]] if denied else [] if "keys" in text else commands_at(sha, int(line))
    error = PermissionDeniedError(
        f"this user may not use {' or '.join(commands) or 'one of our keys'}, a script was cut"
        f" short; `redis-curriculum acl NAME` prints what is needed, check() what is left: {text}",
        command=commands[0] if len(commands) == 1 else None,
    )
    error.applied = "unknown"
    return error


def _code_of(error: exceptions.ResponseError) -> str:
    """redis-py strips the code from the errors it knows by class."""
    known = {
        exceptions.ReadOnlyError: "READONLY",
        exceptions.OutOfMemoryError: "OOM",
        exceptions.TryAgainError: "TRYAGAIN",
        exceptions.ClusterDownError: "CLUSTERDOWN",
        exceptions.MasterDownError: "MASTERDOWN",
        exceptions.MovedError: "MOVED",
        exceptions.AskError: "ASK",
    }
    return next((code for kind, code in known.items() if isinstance(error, kind)), "")


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
