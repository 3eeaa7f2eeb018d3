"""The server that a command talks to, and the options that all commands share."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Annotated, Final, TypeVar

import typer

from redis_curriculum._admin.names import names
from redis_curriculum._admin.overview import attach
from redis_curriculum._protocol.asking import Node, Server
from redis_curriculum._protocol.keys import ROOT, Keys
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._store.store import Store
from redis_curriculum._values.rules import validate_name
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.urls import Address, parse
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.errors import (
    CurriculumError,
    CurriculumNotFoundError,
    InvalidInputError,
    InvalidURLError,
)

T = TypeVar("T")

URL_VARIABLE: Final = "REDIS_CURRICULUM_URL"
"""Environment variable with the server's URL, where ``--url`` is not given."""

# A person waits for the answer: one try where something is only read, and little patience else.
LOOKING: Final = WorkerSettings(retry_deadline_s=0)
WORKING: Final = WorkerSettings(retry_deadline_s=5)

_TOLD: Final = 8
"""So many names are listed where one is not found."""
_REPLICA: Final = re.compile(r"slave\d+")

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar=URL_VARIABLE,
        show_default=False,
        help="The server; its password is better set in REDIS_CURRICULUM_PASSWORD.",
    ),
]


def _known_names(context: typer.Context, incomplete: str) -> list[str]:
    """For the completion of a shell: the names on the server, if it answers at once."""
    with suppress(CurriculumError, OSError):
        url = context.params.get("url") or os.environ.get(URL_VARIABLE)
        with session(url, WorkerSettings(retry_deadline_s=0, timeout_s=1)) as server:
            known = drive(names(server.address, 0), server.link)
            return [name for name in known if name.startswith(incomplete)]
    return []


Name = Annotated[
    str,
    typer.Argument(help="The curriculum's name.", show_default=False, autocompletion=_known_names),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SomeLabels = Annotated[
    str,
    typer.Option(metavar="N|PATTERN", help="So many labels, those drawn most; or a pattern."),
]
"""See ``labels_of``."""


def labels_of(words: str) -> int | str:
    """Return the choice of labels that ``SomeLabels`` says: a count or a pattern."""
    return int(words) if words.isdecimal() else words


@dataclass(frozen=True, slots=True)
class Session:
    """One connection for one command."""

    address: Address
    link: DirectLink
    settings: WorkerSettings

    def run(self, plan: Plan[T]) -> T:
        """Run a plan to its end.

        Raises:
            CurriculumError: Also where something is stored that cannot be read.
        """
        try:
            return drive(plan, self.link)
        except CurriculumNotFoundError as error:
            if error.name is not None:
                with suppress(CurriculumError):
                    others = self._others(error.name)
                    error.message = f"no curriculum named {error.name!r} on this server; {others}"
            raise
        except CurriculumError:
            raise
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            raise CurriculumError(f"what is stored cannot be read: {error!r}") from error

    @property
    def node(self) -> Node:
        """The node itself, for plans that are about no curriculum."""
        return Node(ROOT, self.settings.retry_deadline_s)

    def about(self, name: str) -> Server:
        """The server as the plans of one curriculum take it, which need not exist."""
        keys = Keys(validate_name(name), key_prefix=self.address.prefix)
        return Server(keys, self.settings.retry_deadline_s)

    def store(self, name: str) -> Store:
        """Attach for reading, without becoming a worker.

        Raises:
            CurriculumNotFoundError: There is none of that name; the message has those that exist.
        """
        return self.run(attach(self.about(name), self.settings))

    def _others(self, name: str) -> str:
        known = self.run(names(self.address, self.settings.retry_deadline_s))
        if not known:
            return "there is none yet that this user may read"
        near = difflib.get_close_matches(name, known, 1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        more = f" and {len(known) - _TOLD} more" if len(known) > _TOLD else ""
        return f"{guess}there are: {', '.join(known[:_TOLD])}{more}"

    def nodes(self) -> Iterator[Session]:
        """A session for each node that holds keys: this one, or those of a cluster's primaries."""
        if self.address.kind != "cluster":
            yield self
            return
        slots = self.link.call(("CLUSTER", "SLOTS"), ROOT)
        here = self.address.hosts[0][0]  # a node that does not know its own name says ''
        for host, port in sorted({(row[2][0] or here, int(row[2][1])) for row in slots}):
            address = replace(self.address, kind="single", hosts=((host, port),))
            with _open(address, self.settings) as session:
                yield session

    def replicas(self) -> Iterator[Session]:
        """A session for each replica, where this server says that it is."""
        info = self.run(self.node.info("replication"))
        for line in (text for name, text in info.items() if _REPLICA.fullmatch(name)):
            fields = dict(part.split("=", 1) for part in line.split(","))
            place = (fields["ip"], int(fields["port"]))
            with _open(replace(self.address, kind="single", hosts=(place,)), self.settings) as one:
                yield one


def assignments(texts: Iterable[str], what: str) -> dict[str, str]:
    """Return what texts FIELD=VALUE say; ``what`` is how messages call them.

    Raises:
        InvalidInputError: One says something else, or a field comes twice.
    """
    values: dict[str, str] = {}
    for text in texts:
        field, found, value = text.partition("=")
        if not found or not field or field in values:
            raise InvalidInputError(what, "FIELD=VALUE, each field once", text)
        values[field] = value
    return values


@contextmanager
def session(url: str | None, settings: WorkerSettings = LOOKING) -> Iterator[Session]:
    """Talk to the server of a URL; nothing is sent yet.

    Raises:
        InvalidURLError: There is none, or it cannot be used.
    """
    if not url:
        rule = f"given with --url or in {URL_VARIABLE}, such as redis://localhost:6379/0"
        raise InvalidURLError("url", rule, url)
    with _open(parse(url), settings) as opened:
        yield opened


@contextmanager
def _open(address: Address, settings: WorkerSettings) -> Iterator[Session]:
    link = DirectLink(address, settings.timeout_s)
    try:
        yield Session(address, link, settings)
    finally:
        link.close()
