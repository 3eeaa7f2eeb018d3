"""A TCP proxy before a server: it loses requests and replies, holds them back, cuts the line."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Literal

from tests.servers import RunningServer

Fate = Literal["pass", "lose request", "lose reply", "hold"]
Rule = Callable[[bytes], Fate]
"""What becomes of an exchange, by the first bytes of its request."""

CALLS: Final = (b"EVALSHA", b"EVAL")
_WAIT_S: Final = 30.0


def every(request: bytes) -> Fate:
    return "pass"


def the_nth_call(n: int, fate: Fate) -> Rule:
    """Let the n-th script call (from 0) have a fate; all else passes."""
    seen = -1
    lock = threading.Lock()

    def rule(request: bytes) -> Fate:
        nonlocal seen
        if not any(word in request for word in CALLS):
            return "pass"
        with lock:
            seen += 1
            return fate if seen == n else "pass"

    return rule


@dataclass
class Proxy:
    """Passes bytes on both ways; ``rule`` decides about each request before it goes on."""

    server: RunningServer
    rule: Rule = every
    fates: list[Fate] = field(default_factory=list)
    """What became of the exchanges that did not pass."""
    release: threading.Event = field(default_factory=threading.Event)
    """Held requests go on once it is set, whether or not their sender still waits."""

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = {self._listener}
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Close every connection that stands now."""
        for one in list(self._open - {self._listener}):
            _hang_up(one)

    def close(self) -> None:
        self.release.set()
        for one in list(self._open):
            _hang_up(one)
        self._listener.close()
        for thread in self._threads:
            thread.join(_WAIT_S)
            assert not thread.is_alive()

    def _start(self, work: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=work, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        self._open |= {client, server}
        with client, server, suppress(OSError):
            server.connect(str(self.server.socket))
            self._exchange(client, server)
        self._open -= {client, server}

    def _exchange(self, client: socket.socket, server: socket.socket) -> None:
        """Pass requests on until one is lost; what comes before the reply is one request."""
        replies = threading.Event()  # set while the last byte that passed was a reply's
        replies.set()
        lost = threading.Event()
        back = threading.Thread(target=self._pass_back, args=(server, client, replies, lost))
        back.start()
        try:
            while request := client.recv(1 << 16):
                if replies.is_set():
                    replies.clear()
                    fate = self.rule(request)
                    if fate != "pass":
                        self.fates.append(fate)
                    if fate == "lose request":
                        return
                    if fate == "lose reply":
                        lost.set()
                    if fate == "hold":
                        lost.set()
                        self.release.wait(_WAIT_S)
                server.sendall(request)
            if lost.is_set():
                back.join(_WAIT_S)  # the sender has gone; the server answers all the same
        finally:
            _hang_up(client)
            _hang_up(server)
            back.join(_WAIT_S)

    def _pass_back(
        self,
        server: socket.socket,
        client: socket.socket,
        replies: threading.Event,
        lost: threading.Event,
    ) -> None:
        with suppress(OSError):
            while reply := server.recv(1 << 16):
                if lost.is_set():
                    break
                replies.set()
                client.sendall(reply)
        _hang_up(client)


def _hang_up(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(server: RunningServer, rule: Rule = every) -> Iterator[Proxy]:
    """A proxy before a server on a unix socket; closed at the end, with all its threads."""
    running = Proxy(server, rule)
    try:
        yield running
    finally:
        running.close()
