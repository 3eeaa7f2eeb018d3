"""Every link inside the built site leads to a file that is there, and to a place on its page.

    python docs/check_links.py out/docs

Links to other sites are not followed: that takes a network. Exit code 1 if any link is broken.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_LEADS: Final = {"a": "href", "img": "src", "link": "href", "script": "src"}


class _Page(HTMLParser):
    """Where a page's links lead, and the places that a link can lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element's links and names."""
        for name, value in attrs:
            if value and name == _LEADS.get(tag):
                self.links.append(value)
            elif value and name in ("id", "name"):
                self.places.add(value)


@cache
def _page(path: Path) -> _Page:
    return _Page(path.read_text(encoding="utf-8"))


def broken(site: Path) -> list[str]:
    """Return "page: link" for each link that leads nowhere."""
    found = []
    for page in sorted(site.rglob("*.html")):
        for link in _page(page).links:
            parts = urlsplit(link)
            target = page.parent / unquote(parts.path) if parts.path else page
            if parts.scheme or parts.netloc:
                continue
            is_html = target.suffix == ".html" and target.is_file()
            if not target.is_file() or (
                is_html and unquote(parts.fragment) not in _page(target.resolve()).places
            ):
                found.append(f"{page.relative_to(site)}: {link}")
    return found


def main() -> None:
    """Print the broken links."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path, help="folder of the built site")
    site = parser.parse_args().site.resolve()
    if not (site / "index.html").is_file():
        parser.error(f"{site} has no index.html")
    found = broken(site)
    sys.stdout.write("".join(f"{line}\n" for line in found))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
