"""The command that serves metrics for Prometheus: ``metrics``."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from redis_curriculum._admin.names import names
from redis_curriculum._values.libraries import imported
from redis_curriculum.cli.output import print_json, print_line, say
from redis_curriculum.cli.session import AsJson, Session, SomeLabels, Url, labels_of, session
from redis_curriculum.errors import CurriculumError, CurriculumNotFoundError, not_listening
from redis_curriculum.reporting.labels import MOST_LABELS, Labels
from redis_curriculum.reporting.metrics import PREFIX, Reading, families, reading


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command("metrics")(metrics)


def metrics(
    name: Annotated[
        str | None, typer.Argument(show_default=False, help="One curriculum; else all.")
    ] = None,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 9750,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    labels: SomeLabels = str(MOST_LABELS),
    url: Url = None,
    json: AsJson = False,
) -> None:
    """Serve metrics for Prometheus.

    Redis is read when Prometheus asks. Ctrl-C or SIGTERM ends it. It needs the extra `metrics`.
    """
    client = imported("prometheus_client", "metrics")
    over = threading.Event()
    with session(url) as server:
        collector = Collector(server, name, labels_of(labels))
        registry = client.CollectorRegistry()
        registry.register(collector)
        try:
            httpd, thread = client.start_http_server(port, host, registry)
        except OSError as error:
            raise not_listening(error, host, port) from error
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: over.set())
        where = f"http://{host}:{httpd.server_port}/metrics"
        if json:
            print_json({"url": where})
        else:
            print_line(where)
        sys.stdout.flush()
        over.wait()
        httpd.shutdown()
        httpd.server_close()
        thread.join()


class Collector:
    """Reads the curricula for each scrape, one scrape at a time."""

    def __init__(self, server: Session, name: str | None, labels: Labels) -> None:
        self._server, self._name, self._labels = server, name, labels
        self._lock = threading.Lock()
        self._trouble = ""

    def describe(self) -> list[Any]:
        """Nothing is read when the collector is registered."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield the metrics; of a server that does not answer, that it is down."""
        core = imported("prometheus_client.core", "metrics")
        started = time.perf_counter()
        with self._lock:
            found = self._read()
        spent = time.perf_counter() - started
        up = "Whether the server answered: 1, or 0."
        yield core.GaugeMetricFamily(f"{PREFIX}up", up, 0.0 if found is None else 1.0)
        text = "How long it took to read the curricula."
        yield core.GaugeMetricFamily(f"{PREFIX}read_seconds", text, spent)
        yield from families(found or [], self._labels)

    def _read(self) -> list[Reading] | None:
        try:
            found = self._readings()
        except CurriculumError as error:
            if str(error) != self._trouble:
                say(f"warning: {error}")
            self._trouble = str(error)
            return None
        self._trouble = ""
        return found

    def _readings(self) -> list[Reading]:
        server, found = self._server, []
        if self._name is not None:
            return [server.run(reading(server.store(self._name)))]
        for name in server.run(names(server.address, server.settings.retry_deadline_s)):
            try:
                found.append(server.run(reading(server.store(name))))
            except CurriculumNotFoundError:  # deleted a moment ago
                continue
        return found
