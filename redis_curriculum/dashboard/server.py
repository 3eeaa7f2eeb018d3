"""Answers the browsers: who may, which page, and the list of curricula."""

from __future__ import annotations

import secrets
import signal
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hmac import compare_digest
from html import escape
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import quote, urlencode

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.auth_provider import AuthProvider
from bokeh.server.server import Server
from bokeh.server.util import create_hosts_allowlist
from tornado.web import HTTPError, RequestHandler

from redis_curriculum._client.looking import CurriculumRow, Looker
from redis_curriculum.dashboard.feed import Feeds
from redis_curriculum.dashboard.page import TEMPLATE, Page, text
from redis_curriculum.dashboard.settings import Settings
from redis_curriculum.errors import (
    CurriculumError,
    InvalidInputError,
    not_listening,
    without_password,
)

COOKIE: Final = "redis-curriculum-dashboard"
_LIST_MS: Final = 3000


class _Token(AuthProvider):
    """Lets in who has the token: in the URL first, then in a cookie that the answer sets."""

    def __init__(self, token: str) -> None:
        self._token = token
        super().__init__()

    @property
    def get_user(self) -> Any:
        """Return how a request is asked."""
        return self._user

    def _user(self, handler: RequestHandler) -> str:
        given = handler.get_query_argument("token", None)
        if given is not None and compare_digest(given.encode(), self._token.encode()):
            # The cookie is of this port: another server of the machine must not get it.
            name = f"{COOKIE}-{handler.request.host.rpartition(':')[2]}"
            handler.set_cookie(name, self._token, httponly=True, samesite="Strict")
            return "holder"
        name = f"{COOKIE}-{handler.request.host.rpartition(':')[2]}"
        kept = handler.get_cookie(name, "") or ""
        if not compare_digest(kept.encode(), self._token.encode()):
            raise HTTPError(403, reason="the token is missing: use the URL that was printed")
        return "holder"

    @property
    def login_url(self) -> str:
        """Nowhere: the answer is an error."""
        return "/nowhere"


class Dashboard:
    """A server of pages; ``start`` makes it answer.

    Args:
        url: The Redis server, as for ``Curriculum.open``.
        name: The curriculum whose page comes first; None: the list.
        address: Where to listen.
        port: 0: any that is free.
        origins: ``HOST:PORT`` of pages that may connect, beside its own.
        allow_changes: Whether settings can be set.
        interval_s: From one reading to the next.

    Raises:
        InvalidInputError: An origin is none.
        CurriculumError: The port is in use, there is no such address, or nothing can be read.
    """

    def __init__(
        self,
        url: str,
        name: str | None = None,
        *,
        address: str = "127.0.0.1",
        port: int = 5006,
        origins: Sequence[str] = (),
        allow_changes: bool = False,
        interval_s: float = 1.0,
    ) -> None:
        self._looker = Looker(url)
        self._feeds = Feeds(self._looker, interval_s)
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="dashboard")
        self._name, self._allows = name, allow_changes
        self._token = None if _is_loopback(address) else secrets.token_urlsafe(24)
        self._server = self._listening(address, port, origins)
        self.port: int = self._server.port
        self._host = socket.gethostname() if address in ("", "0.0.0.0", "::") else address  # noqa: S104

    @property
    def url(self) -> str:
        """The URL of the first page, with the token that it needs."""
        query = {"name": self._name} if self._name else {}
        query |= {"token": self._token} if self._token else {}
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}/" + (f"?{urlencode(query)}" if query else "")

    def run(self) -> None:
        """Answer until Ctrl-C or SIGTERM."""
        loop = self._server.io_loop
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.asyncio_loop.add_signal_handler(number, loop.stop)
        self._server.start()
        loop.start()
        self._server.stop()
        self._looker.close()

    def _listening(self, address: str, port: int, origins: Sequence[str]) -> Any:
        application = Application(FunctionHandler(self._make))
        try:
            create_hosts_allowlist(origins, port)
        except ValueError:
            raise InvalidInputError("--origin", "HOST:PORT", ", ".join(origins)) from None
        names = {address, "127.0.0.1", "localhost"} if self._token is None else {address}
        names |= {socket.gethostname()} if self._token else set()
        options: dict[str, Any] = {"auth_provider": _Token(self._token)} if self._token else {}
        try:
            port = _free(address, port)
            return Server(
                {"/": application},
                address=address,
                port=port,
                allow_websocket_origin=[*origins, *(f"{name}:{port}" for name in names)],
                generate_session_ids=True,
                sign_sessions=True,  # nobody makes a session but the page
                secret_key=secrets.token_hex(32),
                include_headers=[],
                include_cookies=[],
                **options,
            )
        except OSError as error:
            raise not_listening(error, address, port) from error

    def _make(self, doc: Document) -> None:
        """Fill the document of one browser."""
        context: Any = doc.session_context
        arguments = context.request.arguments
        given = arguments.get("name", [b""])[0].decode(errors="replace")
        name = given or ("" if "list" in arguments else self._name or "")
        if not name:
            _List(doc, self._looker, self._pool).open()
            return
        try:
            feed = self._feeds.of(name)
        except CurriculumError as error:
            doc.add_root(text("head", text=escape(str(error))))
            return
        page = Page(doc, feed, name, self._looker.url, self._pool)
        extra = {"settings": Settings(feed).part} if self._allows else {}
        page.open(extra, {"settings": "settings"})


def _free(address: str, port: int) -> int:
    """Return the port if it is free; of 0 one that is."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family) as found:
        return int(found.getsockname()[1])


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


class _List:
    """The curricula of the server, read again every few seconds while somebody looks."""

    def __init__(self, doc: Document, looker: Looker, pool: ThreadPoolExecutor) -> None:
        self._doc, self._looker, self._pool = doc, looker, pool
        self._shown = text("list", text="...")

    def open(self) -> None:
        """Put the list into the document."""
        self._doc.title = "curricula"
        self._doc.template = TEMPLATE  # type: ignore[assignment]  # Bokeh takes a text too
        self._doc.template_variables.update(headings={}, whole=["list"])
        self._doc.add_root(self._shown)
        self._doc.add_periodic_callback(self._ask, _LIST_MS)
        self._ask()

    def _ask(self) -> None:
        self._pool.submit(self._read)

    def _read(self) -> None:
        try:
            shown = _listed(self._looker.curricula(), self._looker.url)
        except CurriculumError as error:
            shown = f"<span class='bad'>{escape(without_password(str(error)))}</span>"
        self._doc.add_next_tick_callback(lambda: setattr(self._shown, "text", shown))


def _listed(rows: Sequence[CurriculumRow], where: str) -> str:
    heads = ("curriculum", "tasks", "capacity", "labels", "workers", "epoch", "")
    lines = [f"<tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>"]
    for row in rows:
        link = f"<a href='?name={quote(row.name, safe='')}'>{escape(row.name)}</a>"
        numbers = (row.tasks, row.capacity, row.labels, row.live_workers, row.epoch)
        cells = [
            link,
            *("-" if n is None else f"{n:,}" for n in numbers),
            escape(row.problem or ""),
        ]
        lines.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    none = "" if rows else "<p>There is no curriculum that this user may read.</p>"
    return f"<b>{escape(where)}</b><table>{''.join(lines)}</table>{none}"


__all__ = ["Dashboard"]
