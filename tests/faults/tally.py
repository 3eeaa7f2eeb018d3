"""What the fault suite measured, a row a fault, and the table of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

BEGIN, END = "<!-- fault table -->", "<!-- end of fault table -->"
_HEAD: Final = ("fault", "trials", "acknowledged", "present", "doubled", "longest block")


@dataclass
class Row:
    """One fault; tests of the same fault add to the same row."""

    fault: str
    trials: int = 0
    acknowledged: int = 0
    """Results and draws that a worker was told are applied."""
    present: int = 0
    """Those of them that the server holds."""
    doubled: int = 0
    """Results and draws that count more than once."""
    longest_s: float = 0.0
    """The longest time any call took."""

    def add(self, *, acknowledged: int, present: int, doubled: int, longest_s: float) -> None:
        self.trials += 1
        self.acknowledged += acknowledged
        self.present += present
        self.doubled += doubled
        self.longest_s = max(self.longest_s, longest_s)

    def cells(self) -> tuple[str, ...]:
        counts = (self.trials, self.acknowledged, self.present, self.doubled)
        return (self.fault, *(f"{n:,}" for n in counts), f"{self.longest_s:.2f} s")


@dataclass
class Tally:
    """All rows, in the order in which their faults were first met."""

    rows: dict[str, Row] = field(default_factory=dict)

    def row(self, fault: str) -> Row:
        return self.rows.setdefault(fault, Row(fault))

    def markdown(self) -> str:
        lines = [row.cells() for row in sorted(self.rows.values(), key=lambda row: row.fault)]
        rule = ("---", *("---:" for _ in _HEAD[1:]))
        return "".join(f"| {' | '.join(cells)} |\n" for cells in (_HEAD, rule, *lines))


def write(table: str, path: Path) -> None:
    """Write the table to a file, or between the two marks where a file has them."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if BEGIN in old:
        block = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
        table = block.sub(lambda _: f"{BEGIN}\n{table}{END}", old)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(table, encoding="utf-8")
