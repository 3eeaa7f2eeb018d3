"""Servers without sockets: steps are performed on a network that lives in the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from redis import exceptions

from redis_curriculum._protocol.plan import InThread, T
from redis_curriculum._wire.steps import (
    Connect,
    Drop,
    Exchange,
    ExchangeAll,
    Step,
    Steps,
    first_error,
)

Node = tuple[str, int]
Words = tuple[str | bytes, ...]
Server = Callable[[Words], Any]
"""Answers a command; an error that it returns is raised, as redis-py does with an error reply."""


@dataclass(eq=False)
class Wire:
    """A connection."""

    node: Node
    options: dict[str, Any]
    is_open: bool = True


@dataclass
class Network:
    """Servers by their address, and what happened to them in its order."""

    servers: dict[Node, Server]
    refuse: Callable[[Connect], BaseException | None] = lambda _: None
    """Says whether a connection fails, and how."""
    wires: list[Wire] = field(default_factory=list)
    sent: list[tuple[str, Words]] = field(default_factory=list)
    """The host and the command of every exchange."""
    threads: list[Callable[[], Any]] = field(default_factory=list)
    connects: list[Connect] = field(default_factory=list)

    @property
    def open(self) -> list[str]:
        """The hosts that connections stand to, in the order in which these were opened."""
        return [wire.node[0] for wire in self.wires if wire.is_open]

    def run(self, steps: Steps[T]) -> T:
        """Perform steps to their end, as the links do."""
        try:
            step = next(steps)
            while True:
                try:
                    result = self.perform(step)
                except BaseException as error:  # noqa: BLE001 - as the links do
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            returned: T = stop.value
            return returned

    def perform(self, step: Step) -> Any:
        match step:
            case Connect():
                return self._connect(step)
            case Exchange(connection, words):
                reply = self._answer(connection, words)
                if isinstance(reply, BaseException):
                    raise reply
                return reply
            case ExchangeAll(connection, commands):
                return first_error([self._answer(connection, words) for words in commands])
            case Drop(connection):
                assert connection.is_open, "the connection was closed before"
                connection.is_open = False
            case InThread(function):
                self.threads.append(function)
                return {"path": "/started"}
            case _:
                raise AssertionError(step)
        return None

    def _answer(self, wire: Wire, words: Words) -> Any:
        assert wire.is_open, "the connection was closed"
        self.sent.append((wire.node[0], tuple(words)))
        return self.servers[wire.node](tuple(words))

    def _connect(self, step: Connect) -> Wire:
        self.connects.append(step)
        failure = self.refuse(step)
        if failure is not None:
            raise failure
        node = step.options["host"], step.options["port"]
        if node not in self.servers:
            raise exceptions.ConnectionError(f"Error 111 connecting to {node[0]}:{node[1]}.")
        self.wires.append(Wire(node, dict(step.options)))
        return self.wires[-1]


def replies(*answers: Any) -> Server:
    """A server that gives these answers one after the other, and then the last one for ever."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]
