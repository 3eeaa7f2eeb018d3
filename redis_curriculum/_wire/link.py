"""The way to the server of a curriculum: plans that both links share, over the steps of ``steps``.

Nothing here retries but where the server itself says what to do next (MOVED, ASK, NOSCRIPT).
redis-py's retries are off. A failed write is repeated with its own number, and only by
``_store/once.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions

from redis_curriculum._protocol.plan import (
    Command,
    Commands,
    InThread,
    Plan,
    Request,
    Run,
    T,
    Words,
)
from redis_curriculum._protocol.scripts import Script, in_use
from redis_curriculum._wire.options import Place, client_options, places, sentinel_options
from redis_curriculum._wire.primary import named_by_sentinel, owner_of_slot
from redis_curriculum._wire.refusals import is_elsewhere, text_of, translate
from redis_curriculum._wire.steps import (
    FAILURES,
    Connect,
    Drop,
    Exchange,
    ExchangeAll,
    Steps,
    Text,
    converse,
)
from redis_curriculum._wire.tls import connect_first
from redis_curriculum._wire.urls import Address
from redis_curriculum.errors import (
    AuthenticationError,
    CurriculumError,
    MissingScriptError,
    PermissionDeniedError,
    ServerRefusedError,
    ServerUnavailableError,
    UnknownCommandError,
)

if TYPE_CHECKING:
    from redis_curriculum._wire.embedded import Attachment

MOST_REDIRECTS: Final = 5
_NO_SCRIPTS: Final = (
    "NOSCRIPT: the server does not have this library's scripts (it was started anew, or SCRIPT"
    " FLUSH was sent), and this user may not load them. Run `redis-curriculum acl --load` as a user"
    " who may"
)


class Link:
    """One connection, held open, to the server of a curriculum or to whoever is its primary now.

    It carries one call at a time. A connection on which a reply may still be under way is closed,
    for that reply would answer the next call; the next call opens another.

    Args:
        address: Where the server is.
        timeout_s: How long a connection may take to open, and how long each exchange may take.

    Raises:
        InvalidURLError: The address names a certificate that cannot be read.
    """

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._options = client_options(address)
        self._hosts = places(address)
        self._connection: Any = None
        self._place: Place | None = None
        self._attachment: Attachment | None = None
        self._attaching = threading.Lock()
        self._answered = False

    def carry(self, plan: Plan[T]) -> Steps[T]:
        """Turn a plan's requests into steps, and return the plan's result."""
        try:
            request = next(plan)
            while True:
                try:
                    reply = yield from self.serve(request)
                except CurriculumError as error:
                    request = plan.throw(error)
                else:
                    request = plan.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            plan.close()  # at once, also when interrupted: it notes what may have been applied

    def serve(self, request: Request) -> Steps[Any]:
        """Do what a plan asks for; return the reply."""
        if isinstance(request, Run):
            return (yield from self._run(request))
        if isinstance(request, Command):
            if request.place and request.place != self._here():
                host, port = request.place
                yield from self._leave({"host": host, "port": port})
            return (yield from self.send(request.words, request.key))
        if isinstance(request, Commands):
            return (yield from self.send_all(request.each, request.key))
        return (yield request)

    def hang_up(self) -> Steps[None]:
        """Close the connection, and give up the use of an embedded server."""
        yield from self._leave()
        if self._address.kind == "embedded":
            yield InThread(self._detach)

    def send(self, words: Words, key: str) -> Steps[Any]:
        """Send one command about ``key`` to the node that has it; return the reply.

        Raises:
            CurriculumError: As ``translate`` says.
        """
        text = as_text(words)
        try:
            return (yield from self._send(lambda to: Exchange(to, text), key))
        except exceptions.AskError as error:
            return (yield from self._ask(self._named_by(error), text))

    def send_all(self, each: Sequence[Words], key: str) -> Steps[list[Any]]:
        """Send several commands about ``key`` at once; return the replies, texts as bytes.

        Raises:
            CurriculumError: As ``translate`` says; while the slot moves to another node, a
                ``ServerRefusedError``: some of the keys are here, some there.
        """
        texts = tuple([as_text(words) for words in each])
        try:
            replies: list[Any] = yield from self._send(lambda to: ExchangeAll(to, texts), key)
        except exceptions.AskError as error:
            raise translate(error, self._address) from error
        return replies

    def _send(self, exchange: Callable[[Any], Exchange | ExchangeAll], key: str) -> Steps[Any]:
        for _ in range(MOST_REDIRECTS):
            connection = self._connection or (yield from self._open(key))
            try:
                return (yield from self._exchange(exchange(connection)))
            except exceptions.MovedError as error:  # to redis-py it is an AskError
                yield from self._leave(self._named_by(error))
        raise ServerUnavailableError(f"{self._address.public}: redirected without end")

    def _run(self, request: Run) -> Steps[Any]:
        key, tail = request.key, self._tail(request)
        evaluate = ("EVALSHA", request.script.sha, *tail)
        with suppress(MissingScriptError, UnknownCommandError):
            return (yield from self.send(evaluate, key))
        if (yield from self._load(request.script, key)):
            with suppress(MissingScriptError, UnknownCommandError):
                return (yield from self.send(evaluate, key))
        # Flushed in between, or the slot is moving to a node that was not asked to load it, or
        # this user may load nothing, or a proxy has no SCRIPT.
        try:
            return (yield from self.send(("EVAL", request.script.source, *tail), key))
        except PermissionDeniedError as error:
            if error.command != "eval":
                raise
            raise ServerRefusedError(_NO_SCRIPTS, code="NOSCRIPT") from error

    def _tail(self, request: Run) -> tuple[Any, ...]:
        """What follows the script's name."""
        # On a cluster a second key, which never exists: while the slot moves to another node, Redis
        # then refuses the call (TRYAGAIN) instead of running it on the half that is still here.
        key = request.key
        if self._address.kind == "cluster":
            return (2, key, f"{key}:absent", *request.args)
        return (1, key, *request.args)

    def _load(self, script: Script, key: str) -> Steps[bool]:
        """Load a script, and all that others may call beside it: they may not be allowed to."""
        try:
            yield from self.send(("SCRIPT", "LOAD", script.source), key)
        except (PermissionDeniedError, UnknownCommandError):
            return False
        others = in_use()
        if not others:
            return True
        with suppress(PermissionDeniedError, UnknownCommandError):
            known = yield from self.send(("SCRIPT", "EXISTS", *(s.sha for s in others)), key)
            missing = [s for s, is_there in zip(others, known, strict=True) if not is_there]
            if missing:
                yield from self.send_all([("SCRIPT", "LOAD", s.source) for s in missing], key)
        return True

    def _exchange(self, step: Exchange | ExchangeAll) -> Steps[Any]:
        connection, self._connection = step.connection, None  # until its reply has been read
        try:
            reply = yield step
        except exceptions.ResponseError as error:
            self._connection = connection
            if isinstance(error, exceptions.AskError):
                raise
            refusal = translate(error, self._address)
            if is_elsewhere(refusal) or isinstance(refusal, AuthenticationError):
                yield from self._leave()
            raise refusal from error
        except GeneratorExit:
            raise
        except BaseException as error:
            self._connection = connection
            yield from self._leave()
            if isinstance(error, FAILURES):
                raise translate(error, self._address, applied="unknown") from error
            raise
        self._connection, self._answered = connection, True
        return reply

    def _ask(self, place: Place, text: Text) -> Steps[Any]:
        """Ask another node, to which the slot is on its way, this once."""
        options = yield from self._login()
        try:
            other = yield Connect({**options, **place}, self._timeout_s)
        except FAILURES as error:
            raise translate(error, self._address) from error
        try:
            return (yield from converse(other, ("ASKING",), text))[-1]
        except FAILURES as error:  # ASK or MOVED again, too: it went back, or on
            raise translate(error, self._address, applied="unknown") from error

    def _here(self) -> tuple[Any, Any] | None:
        """Host and port of the node to which the connection goes."""
        place = self._place
        return (place.get("host"), place.get("port")) if self._connection and place else None

    def _leave(self, place: Place | None = None) -> Steps[None]:
        """Close the connection; the next one goes to ``place``, else to the primary."""
        connection, self._connection, self._place = self._connection, None, place
        if connection is not None:
            yield Drop(connection)

    def _named_by(self, error: exceptions.AskError) -> Place:
        """Return where to go; a node that does not know its own name leaves it out."""
        here = (self._place or {}).get("host", "localhost")
        return {"host": error.host or here, "port": error.port}

    def _open(self, key: str) -> Steps[Any]:
        options = yield from self._login()
        place, self._place = self._place, None
        try:
            if self._address.kind == "embedded":
                place = yield InThread(self._attach)
            elif place is None:
                place = yield from self._find(key, options)
            connection = yield from self._connect({**options, **place})
        except FAILURES as error:
            raise translate(error, self._address) from error
        self._connection, self._place = connection, place
        return connection

    def _login(self) -> Steps[dict[str, Any]]:
        """Return how to talk to a server, with the user and the password of now."""
        if self._address.credentials:  # whoever keeps secrets may be asked over a network
            username, password = yield InThread(self._address.login)
        else:
            username, password = self._address.login()
        return {**self._options, "username": username, "password": password}

    def _find(self, key: str, options: dict[str, Any]) -> Steps[Place]:
        """Ask the hosts of the URL, one after the other, for the primary that holds ``key``.

        A host that hangs costs its own time-out and no other's. Whoever knows is asked first next
        time. If all refuse, waiting would not help, and the first refusal is raised.
        """
        kind, hosts = self._address.kind, self._hosts
        if kind not in ("sentinel", "cluster"):
            return hosts[0]
        options = sentinel_options(options) if kind == "sentinel" else options
        failures: dict[str, Exception] = {}
        for host in hosts:
            try:
                connection = yield from self._connect({**options, **host})
                if kind == "sentinel":
                    place = yield from named_by_sentinel(connection, self._address.service)
                else:
                    place = yield from owner_of_slot(connection, key, host)
            except FAILURES as error:
                failures[f"{host['host']}:{host['port']}"] = error
            else:
                self._hosts = [host, *(other for other in hosts if other is not host)]
                return place
        refusals = (exceptions.ResponseError, exceptions.AuthenticationError)
        if all(isinstance(error, refusals) for error in failures.values()):
            raise next(iter(failures.values()))
        said = "; ".join(f"{host}: {text_of(error)}" for host, error in failures.items())
        raise ServerUnavailableError(f"{self._address.public}: nobody knows the primary: {said}")

    def _connect(self, options: Mapping[str, Any]) -> Steps[Any]:
        if self._answered:
            return (yield Connect(options, self._timeout_s))
        return (yield from connect_first(options, self._timeout_s, self._address.public))

    def _attach(self) -> Place:
        """Start the server of this machine or wait for it; ``hang_up`` also ends what it began."""
        from redis_curriculum._wire.embedded import attach

        path = self._address.path
        with self._attaching:
            if self._attachment:
                self._attachment.ensure_running()
            else:
                self._attachment = attach(Path(path) if path else None, self._address.run)
                if not path:
                    self._attachment.keep()
            return {"path": str(self._attachment.socket_path)}

    def _detach(self) -> None:
        with self._attaching:
            if self._attachment:
                self._attachment.close()
                self._attachment = None


def as_text(words: Words) -> Text:
    """Return a command with its numbers as texts; floats keep 17 digits."""
    return tuple([w if type(w) is str or isinstance(w, (str, bytes)) else repr(w) for w in words])
