"""Every defect of the table has a test of that name."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT, page


def test_every_named_test_is_there() -> None:
    named = set(re.findall(r"`(test_\d_\d\w+)`", page("understand/defects.md")))
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    written = set(re.findall(r"^def (test_\d_\d\w+)\(", sources, re.MULTILINE))
    assert named == written
    assert len(re.findall(r"\d_\d", " ".join(named))) == 12, "twelve defects"
