"""Counts of instructions: what callgrind's files say, and what a slower script looks like."""

from __future__ import annotations

import json

import instructions
import pytest
from instructions import compared, total

STORED = {"redis": "7.0.15", "instructions": {"one draw": 200_000, "one step": 400_000}}
DUMP = """\
# callgrind format
version: 1
creator: callgrind-3.19.0
part: 1
desc: Trigger: Client Request
events: Ir
summary: 39679000

fn=(12) luaV_execute
+3 29
calls=1 -14
totals: 39679123
"""


def test_a_file_of_callgrinds_gives_its_last_total() -> None:
    assert total(DUMP) == 39_679_123
    assert total("events: Ir\nsummary: 0\n") == 0


@pytest.mark.parametrize("dump", ["", "events: Ir\ncalls=1 5\n", "# totals: 5 and more\n"])
def test_a_file_that_was_cut_short_is_no_count_of_zero(dump: str) -> None:
    with pytest.raises(ValueError, match="no total"):
        total(dump)


def test_a_slower_call_misses_the_goal_and_the_same_one_meets_it() -> None:
    found = {"one draw": [206_000.0, 190_000.0, 201_000.0], "one step": [424_000.0] * 3}
    rows, words = compared(found, STORED, "7.0.15")
    assert words == []
    assert [round(row.median, 6) for row in rows] == [0.5, 6.0]
    assert [row.verdict for row in rows] == ["met", "missed"]


def test_a_call_of_one_run_alone_is_named() -> None:
    rows, words = compared({"one draw": [200_000.0], "new": [1.0]}, STORED, "7.0.15")
    assert [row.median for row in rows] == [0.0]
    assert words == ["new is not in the stored run", "one step is only in the stored run"]


def test_runs_of_two_servers_are_not_compared() -> None:
    rows, words = compared({"one draw": [900_000.0]}, STORED, "8.2.3")
    assert not rows
    assert words == ["the stored run is of Redis 7.0.15, this one of 8.2.3"]


def test_the_stored_run_has_every_kind_of_call() -> None:
    stored = json.loads(instructions.STORED.read_text())
    kinds = [scorer.kind for scorer in instructions.families()]
    operations = [what for what, *_ in instructions.OPERATIONS]
    assert list(stored["instructions"]) == [f"{k}, {what}" for k in kinds for what in operations]
    assert kinds == ["debiased_progress", "learning_progress"]
    assert (
        compared({k: [n] for k, n in stored["instructions"].items()}, stored, stored["redis"])[1]
        == []
    )


def test_without_valgrind_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert instructions.main() == []
    assert capsys.readouterr().out == (
        "instructions: valgrind is not installed here, so none are counted\n"
    )
