"""Links lead somewhere, tables of errors and words are whole, the picture can be drawn."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from redis.exceptions import ResponseError

from redis_curriculum import DebiasedProgressConfig, errors
from redis_curriculum._protocol.asking import RETRIABLE_CODES
from redis_curriculum._wire.refusals import translate
from redis_curriculum._wire.urls import parse
from tests.docs.pages import DOCS, PAGES, ROOT, page, rows, without_blocks

FILES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


def anchors(path: Path) -> set[str]:
    """The places of a page, as GitHub and MyST name them."""
    text = without_blocks(path.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_place_in_it(path: Path) -> None:
    text = without_blocks(path.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    for link in (a or b for a, b in links):
        if not link.startswith(("http://", "https://")):
            file, _, place = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), link
            assert not place or place in anchors(target), link


def test_what_to_do_when_has_every_error_and_warning() -> None:
    listed = {name for cells in rows(page("operate/errors.md")) for name in _names(cells[0])}
    public = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value)
        and issubclass(value, (errors.CurriculumError, Warning))
        and "Internal." not in str(value.__doc__)
    }
    assert listed == public


def _names(cell: str) -> list[str]:
    return re.findall(r"`(\w+(?:Error|Warning)|Exhausted)`", cell)


def test_what_to_do_when_names_the_codes() -> None:
    text = page("operate/errors.md")
    (retried,) = re.findall(r"and the refusals (.*?)\.\n", text)
    assert set(re.findall(r"`(\w+)`", retried)) == RETRIABLE_CODES
    explained = set(re.findall(r"code `(\w+)`", text)) - {"TLS", "NOSCRIPT"}  # of the link
    assert len(explained) == 5
    for code in explained:
        error = translate(ResponseError(f"{code} x"), parse("redis://localhost"))
        assert isinstance(error, errors.ServerRefusedError)
        assert error.code == code
        assert str(error).endswith(")"), "the message has a hint, too"


def test_the_reference_of_the_errors_has_each() -> None:
    listed = set(re.findall(r"autoexception:: redis_curriculum\.errors\.(\w+)", _reference()))
    table = {name for cells in rows(page("operate/errors.md")) for name in _names(cells[0])}
    assert listed == table


def _reference() -> str:
    return page("reference/errors.md")


def test_the_words_of_the_glossary_are_in_order_and_once() -> None:
    terms = re.findall(r"^(\w.*)\n  \w", page("understand/glossary.md"), re.MULTILINE)
    assert len(terms) > 30
    assert terms == sorted(set(terms), key=str.lower)


def test_every_field_that_is_stored_has_a_meaning() -> None:
    for name in ("reference/curriculum.md", "reference/snapshot.md"):
        table = rows(page(name))
        assert len(table) >= 11
        assert all(cells[-1].strip(" |") for cells in table), name


def test_every_script_is_in_the_reference() -> None:
    scripts = {path.stem for path in (ROOT / "lua" / "scripts").rglob("*.lua")}
    text = page("reference/scripts.md")
    assert scripts == set(re.findall(r"^## ([a-z_]+)$", text, re.MULTILINE))
    assert text.count("| `KEYS[1]` | `meta` |") == len(scripts)
    assert text.count("\n**Returns** ") == text.count("\n**Errors** ") == len(scripts)


def test_every_page_is_in_an_index() -> None:
    for name in PAGES:
        if name not in ("README.md", "index.md"):
            folder, _, stem = name.removesuffix(".md").rpartition("/")
            of = "index.md" if stem == "index" else f"{folder}/index.md"
            listed = re.search(r"```\{toctree\}.*?```", page(of), re.DOTALL)
            assert listed
            assert (f"{folder}/index" if stem == "index" else stem) in listed[0].splitlines()


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    words = [sys.executable, "-W", "error", str(DOCS / "pictures" / "overview.py")]
    words += ["--out", str(tmp_path), "--episodes", "600"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for theme in ("light", "dark"):
        drawn = ET.parse(tmp_path / f"overview-{theme}.svg").getroot()  # noqa: S314
        kept = ET.parse(DOCS / "pictures" / f"overview-{theme}.svg").getroot()  # noqa: S314
        assert drawn.get("viewBox") == kept.get("viewBox") is not None


def test_the_tuning_guide_has_each_of_its_pictures(tmp_path: Path) -> None:
    words = [sys.executable, "-W", "error", str(DOCS / "pictures" / "tuning.py")]
    words += ["--out", str(tmp_path), "--episodes", "400", "--runs", "1"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    drawn = {path.name for path in tmp_path.glob("*.svg")}
    shown = re.findall(r"\.\./pictures/(tuning-\w+\.svg)", page("guides/tuning.md"))
    assert sorted(shown) == sorted(drawn)
    for name in drawn:
        assert ET.parse(DOCS / "pictures" / name).getroot().get("viewBox")  # noqa: S314


def test_the_tuning_guide_names_each_setting_of_the_default_algorithm() -> None:
    text = page("guides/tuning.md")
    settings = set(DebiasedProgressConfig.model_fields) - {"kind"}
    assert {name for name in settings if not re.search(rf"\b{name}\b", text)} == set()
