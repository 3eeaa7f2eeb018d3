"""A redis-server of the benchmark's own, on a unix socket: nobody else's work is in its numbers."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from redis_curriculum._wire.embedded import find_server
from redis_curriculum.errors import ServerWarning

warnings.simplefilter("ignore", ServerWarning)  # nothing here is to outlive its run


class Server:
    """One redis-server without persistence, from ``with`` to its end."""

    def __init__(self, prefix: Sequence[str] = ()) -> None:
        self._prefix = prefix
        """The program under which it runs, with its arguments."""

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="rcb-"))
        socket = self.directory / "s"
        self.url = f"unix://{socket}"
        words = [*self._prefix, str(find_server()), "--port", "0", "--unixsocket", str(socket)]
        words += ["--save", "", "--dir", str(self.directory), "--logfile", "log"]
        with (self.directory / "said").open("wb") as said:
            self._process = subprocess.Popen(words, cwd=self.directory, stderr=said)
        self.pid = self._process.pid
        with self.client() as client:
            until = time.monotonic() + 20
            while True:
                try:
                    client.ping()
                    return self
                except redis.ConnectionError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.01)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def client(self) -> Any:
        """A client whose replies are text, and that waits for as long as they take."""
        return redis.Redis.from_url(
            self.url, decode_responses=True, protocol=2, socket_timeout=None
        )

    def cpu_us(self, client: Any) -> float:
        """Microseconds of CPU that the server has used so far, parsing and replying included."""
        info = client.info("cpu")
        return 1e6 * float(info["used_cpu_user"] + info["used_cpu_sys"])
