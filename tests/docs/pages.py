"""The pages of the documentation, README.md and docs/**/*.md: their sections, blocks and tables."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from from_code import expanded

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = ["README.md", *sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))]

_INCLUDE = re.compile(
    r"^```\{include\} (\S+)\n:start-after: (.+)\n:end-before: (.+)\n```$", re.MULTILINE
)


@cache
def page(name: str) -> str:
    """A page as the site shows it: ``README.md``, or the path of one below docs/."""
    path = README if name == "README.md" else DOCS / name

    def included(found: re.Match[str]) -> str:
        text = (path.parent / found[1]).read_text(encoding="utf-8")
        (between,) = re.findall(rf"{found[2]}\n(.*?){found[3]}", text, re.DOTALL)
        return str(between)

    return expanded(_INCLUDE.sub(included, path.read_text(encoding="utf-8")))


def section(text: str, title: str) -> str:
    """The text under a heading, with its subsections."""
    match = re.search(rf"^(#+) {re.escape(title)}\n", text, re.MULTILINE)
    assert match, f"no section {title!r}"
    rest = text[match.end() :]
    following = re.search(rf"^#{{1,{len(match[1])}}} ", without_blocks(rest), re.MULTILINE)
    return rest[: following.start()] if following else rest


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows, without the headings."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    rules = [i for i, cells in enumerate(found) if set("".join(cells)) <= set("-|: ")]
    return [row for i, row in enumerate(found) if i not in rules and i + 1 not in rules]


def without_blocks(text: str) -> str:
    """The same length, but a comment in a block is no heading, nor a link."""
    return re.sub(r"^```.*?^```$", lambda m: " " * len(m[0]), text, flags=re.MULTILINE | re.DOTALL)
