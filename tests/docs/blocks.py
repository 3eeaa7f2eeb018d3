"""The README's sections and the code blocks in them."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def section(title: str) -> str:
    """The text under a heading, with its subsections."""
    text = README.read_text(encoding="utf-8")
    match = re.search(rf"^(#+) {re.escape(title)}\n", text, re.MULTILINE)
    assert match, f"README has no section {title!r}"
    rest = text[match.end() :]
    following = re.search(rf"^#{{1,{len(match[1])}}} ", _without_blocks(rest), re.MULTILINE)
    return rest[: following.start()] if following else rest


def blocks(title: str, language: str) -> list[str]:
    """The code blocks of a language in a section."""
    return re.findall(rf"^```{language}\n(.*?)^```$", section(title), re.MULTILINE | re.DOTALL)


def rows(title: str) -> list[list[str]]:
    """The cells of all table rows of a section, without the headings."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    rules = [i for i, cells in enumerate(found) if set("".join(cells)) <= set("-|: ")]
    return [row for i, row in enumerate(found) if i not in rules and i + 1 not in rules]


def _without_blocks(text: str) -> str:
    """The same length, but a comment in a block is no heading."""
    return re.sub(r"^```.*?^```$", lambda m: " " * len(m[0]), text, flags=re.MULTILINE | re.DOTALL)
