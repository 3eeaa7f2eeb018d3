"""How a script gets to a server that does not know it."""

from __future__ import annotations

from typing import Any

import pytest

from redis_curriculum._protocol.plan import Plan, Run, Words
from redis_curriculum._protocol.scripts import load
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.urls import parse
from redis_curriculum.errors import MissingScriptError

SCRIPT = load("read")


class Forgetful:
    """A link to a server that forgets scripts, so many times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.sent: list[tuple[str | bytes | int | float, ...]] = []

    def call(self, words: Words, key: str) -> Any:
        assert key == "k"
        self.sent.append(tuple(words))
        if words[0] == "EVALSHA" and self.times:
            self.times -= 1
            raise MissingScriptError("NOSCRIPT")
        return "answer"

    def keys_of(self, key: str) -> tuple[str, ...]:
        return (key,)

    def close(self) -> None: ...


def one() -> Plan[Any]:
    return (yield Run(SCRIPT, "k", [1, 2]))


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_script_is_loaded_and_only_then_sent_whole(times: int) -> None:
    """EVAL is refused to least-privilege users: it is for what loading cannot reach."""
    link = Forgetful(times)
    assert drive(one(), link) == "answer"
    known = ("EVALSHA", SCRIPT.sha, 1, "k", 1, 2)
    loads = [("SCRIPT", "LOAD", SCRIPT.source), known] if times else []
    whole = [("EVAL", SCRIPT.source, 1, "k", 1, 2)] if times == 2 else []
    assert link.sent == [known, *loads, *whole]


class Wire:
    """A connection that notes what it is to send."""

    def __init__(self) -> None:
        self.sent: list[object] = []

    def send_command(self, *words: object, check_health: bool) -> None:
        assert not check_health
        self.sent += words

    def read_response(self) -> str:
        return "answer"


def test_numbers_are_sent_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """hiredis crashes the process if a signal's handler raises while it packs a number."""
    link, wire = DirectLink(parse("redis://localhost"), 1.0), Wire()
    monkeypatch.setattr(link, "_connection", wire)
    assert link.call(("EVALSHA", "sha", 1, "k", 2**53 - 1, 1 / 3), "k") == "answer"
    assert wire.sent == ["EVALSHA", "sha", "1", "k", "9007199254740991", "0.3333333333333333"]
