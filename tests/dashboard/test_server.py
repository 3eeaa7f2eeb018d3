"""Who gets an answer from the dashboard, and what bad input gets; without a browser."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from redis_curriculum import Curriculum
from redis_curriculum.dashboard.server import _is_loopback, _listed
from tests.cli.conftest import Cli, cli, curriculum
from tests.dashboard.conftest import dashboard

__all__ = ["cli", "curriculum"]

# The command on loopback that believes it is not: no test listens to other machines.
_EXPOSED = """
import sys
from redis_curriculum.cli import main
from redis_curriculum.dashboard import server
server._is_loopback = lambda address: False
main(sys.argv[1:])
"""


def asked(where: str, path: str, **headers: str) -> http.client.HTTPResponse:
    link = http.client.HTTPConnection(urlsplit(where).netloc, timeout=60)
    with closing(link):
        link.request("GET", path, headers=headers)
        with link.getresponse() as answer:
            return answer


def upgrade(where: str, origin: str, **headers: str) -> int:
    """Ask for a websocket as a page of another origin would; the answer's code."""
    words = {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": origin}
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    return asked(where, "/ws", **words, **key, **headers).status


def test_a_page_of_another_origin_gets_no_socket(url: str, curriculum: Curriculum) -> None:
    with dashboard(url, curriculum.name, clean=False) as where:  # it tells of no session
        assert asked(where, "/").status == 200
        host = urlsplit(where).netloc
        assert upgrade(where, "http://evil.example") == 403
        assert upgrade(where, f"http://{host}") == 101
        assert upgrade(where, f"http://localhost:{urlsplit(where).port}") == 101


def test_beyond_this_machine_a_token_is_asked_for(url: str, curriculum: Curriculum) -> None:
    words = ("dashboard", curriculum.name, "--port", "0", "--url", url)
    with subprocess.Popen(
        [sys.executable, "-c", _EXPOSED, *words], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        where = running.stdout.readline().strip()
        parts = urlsplit(where)
        try:
            assert "token=" in parts.query
            assert asked(where, "/").status == 403
            assert asked(where, "/?token=guess").status == 403
            answer = asked(where, f"/?{parts.query}")
            assert answer.status == 200
            cookie = answer.getheader("Set-Cookie") or ""
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            kept = cookie.partition(";")[0]
            assert asked(where, "/", Cookie=kept).status == 200
        finally:
            running.terminate()


def test_what_is_loopback() -> None:
    assert all(map(_is_loopback, ("127.0.0.1", "127.8.0.1", "::1", "localhost")))
    assert not any(map(_is_loopback, ("0.0.0.0", "::", "", "10.0.0.1", "example.org")))  # noqa: S104
    assert "There is no curriculum" in _listed([], "redis://x")


def test_mistakes_are_one_line(
    cli: Cli, curriculum: Curriculum, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = curriculum.name
    answer = cli("dashboard", f"{name}x")
    assert (answer.code, f"did you mean '{name}'?" in answer.err) == (1, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = cli("dashboard", "--port", port)
        assert (answer.code, f"port {port} of 127.0.0.1 is in use" in answer.err) == (1, True)
    assert "--origin must be HOST:PORT" in cli("dashboard", "--origin", "a:b:c").err
    assert cli("dashboard", "--port", "70000").code == 2
    assert cli("dashboard", "--interval", "0").code == 2
    answer = cli("dashboard", url="redis://:secret@127.0.0.1:1/0")
    assert (answer.code, "secret" in answer.err) == (1, False)
    assert "does not answer" in answer.err
    monkeypatch.setitem(sys.modules, "bokeh", None)
    answer = cli("dashboard")
    assert (answer.code, "redis-curriculum[dashboard]" in answer.err) == (1, True)
