"""Includes come once, after what gives what they need; every mistake names its file and name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from redis_curriculum._protocol.scripts import folder, names
from redis_curriculum._protocol.splice import Splice, Variant, without_unused
from redis_curriculum._store.variant import every_script
from tests.bytecode import REDIS, functions
from tests.families import VARIANTS, whole

INCLUDES = {path.stem: path.read_text() for path in sorted((folder() / "include").glob("*.lua"))}
OF_FAMILY = ["hypers", "packing", "unpacking", "statistic_names", "pool_statistics", "result"]
OF_FAMILY += ["own", "reading", "folds", "noted", "note_again", "note_or_next"]


def parts_of(kind: str) -> dict[str, str]:
    """Every include as it is for a family, generated lines in their places."""
    variant = VARIANTS[kind]
    assert variant.scorer
    assert variant.draw
    assert variant.evictable
    files = {"scorer": variant.scorer, "evictable": variant.evictable}
    assert variant.uniform
    for draws in (variant.uniform, variant.draw):
        files |= {path.stem: path for path in sorted(draws.glob("*.lua"))}
    texts = {**INCLUDES, **{name: path.read_text() for name, path in files.items()}}
    for name, lines in variant.generated.items():
        if name not in texts:  # lines within another include
            line = re.compile(rf"^( *)--@generated {name}\n", re.MULTILINE)
            written = {part: line.sub(lines, text) for part, text in texts.items()}
            texts = written
            continue
        given = ", ".join(sorted(declared(lines)))
        header, _, body = texts[name].partition(f"--@generated {name}\n")
        texts[name] = f"{header}-- Gives: {given}\n{lines}{body}"
    return texts


def declared(lines: str) -> set[str]:
    """The locals that generated lines declare."""
    lists = re.findall(r"^local (?:function )?([\w, ]+?)(?: =|\(|$)", lines, re.MULTILINE)
    return {name for text in lists for name in re.findall(r"\w+", text)}


SCRIPTS = {name: (folder() / "scripts" / f"{name}.lua").read_text() for name in names()}

BASE = "-- base: x.\n-- Gives: one\nlocal one = 1\n"
MIDDLE = "-- middle: x.\n-- Needs: one\n-- Gives: two\nlocal two = one + 1\n"
TOP = "-- top: x.\n-- Needs: two, one\n-- Gives: three\nlocal function three() end\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "include").mkdir()
    (tmp_path / "scorers").mkdir()
    return tmp_path


def spliced(place: Path, body: str, variant: Variant | None = None, **includes: str) -> str:
    for name, text in includes.items():
        (place / "include" / f"{name}.lua").write_text(text)
    fresh = Path(mkdtemp(dir=place))  # a folder is read once
    shutil.copytree(place / "include", fresh / "include")
    return Splice(fresh, variant or Variant()).text(body, "lua/scripts/x.lua")


def refused(place: Path, message: str, body: str, **includes: str) -> None:
    with pytest.raises(TypeError) as caught:
        spliced(place, body, None, **includes)
    assert str(caught.value) == message


def regions(source: str) -> list[str]:
    return re.findall(r"^ *--#region (\w+)$", source, re.MULTILINE)


# --- the order, and once -------------------------------------------------------------------------


def test_an_include_stands_in_its_place(place: Path) -> None:
    body = "local zero = 0\n--@include base\nreturn one\n"
    done = spliced(place, body, base=BASE)
    assert done == f"local zero = 0\n--#region base\n{BASE}--#endregion\nreturn one\n"


def test_what_gives_the_needs_comes_before(place: Path) -> None:
    done = spliced(place, "--@include top\nreturn three()\n", base=BASE, middle=MIDDLE, top=TOP)
    assert regions(done) == ["base", "middle", "top"]


def test_each_include_comes_once(place: Path) -> None:
    body = "--@include base\n--@include top\n--@include middle\n--@include base\nreturn three()\n"
    done = spliced(place, body, base=BASE, middle=MIDDLE, top=TOP)
    assert regions(done) == ["base", "middle", "top"]


@pytest.mark.parametrize(
    "before",
    [
        "local one = 7\n",
        "local zero, one\n",
        "local a,\n  one = 1, 2\n",
        "local function one() end\n",
    ],
)
def test_a_name_that_is_there_is_not_given_again(place: Path, before: str) -> None:
    done = spliced(place, f"{before}--@include middle\n", base=BASE, middle=MIDDLE)
    assert regions(done) == ["middle"]


def test_a_name_of_another_block_is_not_there(place: Path) -> None:
    body = "if x then\n  local one = 7\nend\n--@include middle\n"
    assert regions(spliced(place, body, base=BASE, middle=MIDDLE)) == ["base", "middle"]


def test_an_include_in_a_block_counts_to_its_end(place: Path) -> None:
    body = "if x then\n  --@include middle\n\n  if y then\n    --@include base\n  end\n"
    body += "else\n  --@include base\nend\n--@include base\n"
    done = spliced(place, body, base=BASE, middle=MIDDLE)
    assert regions(done) == ["base", "middle", "base", "base"]
    assert "\n  --#region middle\n  -- middle: x.\n" in done
    assert "\n  local two = one + 1\n  --#endregion\n" in done


def test_an_include_at_the_top_is_seen_in_every_block(place: Path) -> None:
    body = "--@include base\nif x then\n  --@include base\n  --@include middle\nend\n"
    assert regions(spliced(place, body, base=BASE, middle=MIDDLE)) == ["base", "middle"]


def test_the_block_of_an_include_is_its_own(place: Path) -> None:
    lazy = "-- lazy: x.\n-- Gives: go\nlocal go\nif x then\n  --@include middle\n  go = two\nend\n"
    done = spliced(place, "--@include lazy\n--@include base\n", base=BASE, middle=MIDDLE, lazy=lazy)
    assert regions(done) == ["lazy", "base", "middle", "base"]


def test_needs_and_gives_may_go_on_in_the_next_line(place: Path) -> None:
    base = "-- base: x.\n-- Gives: one,\n--   more\nlocal one, more = 1, 2\n"
    user = "-- user: x.\n-- Needs: one,\n--   more\nprint(one, more)\n"
    assert regions(spliced(place, "--@include user\n", base=base, user=user)) == ["base", "user"]


# --- mistakes ------------------------------------------------------------------------------------


def test_an_unknown_include_is_refused(place: Path) -> None:
    message = "lua/scripts/x.lua includes bsae, but there is not lua/include/bsae.lua"
    refused(place, message, "--@include bsae\n", base=BASE)


def test_a_need_that_nothing_gives_is_refused(place: Path) -> None:
    message = "lua/include/middle.lua needs one, but nothing gives it"
    refused(place, message, "--@include middle\n", middle=MIDDLE)


def test_a_need_that_two_give_is_refused_until_one_is_chosen(place: Path) -> None:
    other = BASE.replace("base", "other")
    message = "lua/include/middle.lua needs one, but base and other give it: include one before"
    refused(place, message, "--@include middle\n", base=BASE, middle=MIDDLE, other=other)
    assert regions(spliced(place, "--@include other\n--@include middle\n")) == ["other", "middle"]


def test_a_circle_of_needs_is_refused(place: Path) -> None:
    base = "-- base: x.\n-- Needs: two\n-- Gives: one\nlocal one = two\n"
    message = "lua/include/base.lua: circle of includes: middle -> base -> middle"
    refused(place, message, "--@include middle\n", base=base, middle=MIDDLE)


def test_a_circle_of_directives_is_refused(place: Path) -> None:
    message = "lua/include/a.lua: circle of includes: a -> a"
    refused(place, message, "--@include a\n", a="-- a: x.\n--@include a\n")


def test_a_name_given_twice_in_one_scope_is_refused(place: Path) -> None:
    other = BASE.replace("base", "other")
    message = "lua/include/other.lua declares one, which lua/include/base.lua has declared"
    refused(place, message, "--@include base\n--@include other\n", base=BASE, other=other)
    message = "lua/include/base.lua declares one, which lua/scripts/x.lua has declared"
    refused(place, message, "local one = 7\n--@include base\n")
    message = "lua/scripts/x.lua declares one, which lua/include/base.lua has declared"
    refused(place, message, "--@include base\nlocal function one() end\n")
    message = "lua/scripts/x.lua declares a, which lua/scripts/x.lua has declared"
    refused(place, message, "if x then\n  local a = 1\n  local a = 2\nend\n")


def test_giving_what_is_not_a_local_is_refused(place: Path) -> None:
    message = "lua/include/base.lua gives tow, but has no local of that name"
    refused(place, message, "--@include base\n", base=BASE.replace("Gives: one", "Gives: tow"))


# --- what a family puts in -----------------------------------------------------------------------


def test_a_scorer_is_an_include_of_its_family(place: Path) -> None:
    scorer = place / "scorers" / "plain.lua"
    scorer.write_text("-- plain: x.\n-- Needs: one\n-- Gives: weight\nlocal weight = one\n")
    body = "--@include scorer\nreturn weight\n"
    done = spliced(place, body, Variant(scorer=scorer), base=BASE)
    assert regions(done) == ["base", "scorer"]
    user = "-- user: x.\n-- Needs: weight\nprint(weight)\n"
    done = spliced(place, "--@include user\n", Variant(scorer=scorer), user=user)
    assert regions(done) == ["base", "scorer", "user"]
    message = "lua/scripts/x.lua includes scorer, but there is not a scorer family"
    refused(place, message, body)


def test_generated_lines_stand_in_their_place_and_declare_their_names(place: Path) -> None:
    variant = Variant(generated={"hypers": "local one, low = 1, 0\n"})
    body = "--@generated hypers\n--@include middle\n"
    done = spliced(place, body, variant, base=BASE, middle=MIDDLE)
    assert done.startswith("--#region hypers\nlocal one, low = 1, 0\n--#endregion\n")
    assert regions(done) == ["hypers", "middle"]


def test_lines_generated_in_an_include_are_among_what_it_gives(place: Path) -> None:
    variant = Variant(generated={"hypers": "local one, low = 1, 0\n"})
    hypers = "-- hypers: x.\n--@generated hypers\n"
    done = spliced(place, "--@include middle\n", variant, hypers=hypers, middle=MIDDLE)
    assert regions(done) == ["hypers", "hypers", "middle"]


def test_lines_that_no_family_generates_are_refused(place: Path) -> None:
    message = "lua/scripts/x.lua: no scorer family generates hypers"
    refused(place, message, "--@generated hypers\n")


def test_functions_that_nothing_uses_are_left_out() -> None:
    used = "local function used(n)\n  if n > 0 then\n    return used(n - 1)\n  end\nend\n"
    once = "local function once()\n  return used(2)\nend\n"
    other = "local other = once\n"  # named by nothing, so `once` is named by nothing
    alone = "local function alone()\n  return alone()\nend\n"
    inner = "if used then\n  local function inner()\n    return 1\n  end\nend\n"
    comment = "-- once, alone, inner and other are functions\n"
    short = "local function short() end\n"  # stays: in one line it costs next to nothing
    source = comment + used + once + other + alone + inner + short + "return used(1)\n"
    left = comment + used + "if used then\nend\n" + short + "return used(1)\n"
    assert without_unused(source) == left


def test_no_script_has_a_function_that_it_does_not_use() -> None:
    for script in every_script():
        code = re.sub(r"--.*", "", script.source)
        for name in re.findall(r"^local function (\w+)\([^)]*\)\n", code, re.MULTILINE):
            assert len(re.findall(rf"\b{name}\b", code)) > 1, (script.name, name)


def test_variants_of_equal_content_are_equal() -> None:
    one, two = (Variant(generated={"hypers": "local a\n"}) for _ in range(2))
    assert one == two
    assert hash(one) == hash(two)
    assert one != Variant(generated={"hypers": "local b\n"})


# --- the headers of lua/include ------------------------------------------------------------------


def listed(word: str, text: str) -> set[str]:
    match = re.search(rf"^-- {word}: (.+(?:\n--   .+)*)", text, re.MULTILINE)
    return set(re.findall(r"\w+", match[1])) if match else set()


def unknown(text: str) -> set[str]:
    """The names that a file uses and neither declares nor has from Redis."""
    found = functions(text)
    return {name for one in found for name, _ in (*one.reads, *one.writes)} - REDIS


def included(text: str) -> Iterator[str]:
    return iter(re.findall(r"^ *--@include (\w+)$", text, re.MULTILINE))


@pytest.mark.parametrize("kind", VARIANTS)
@pytest.mark.parametrize("name", [*INCLUDES, "scorer", "index", "pick"])
def test_an_include_needs_exactly_what_it_uses(name: str, kind: str) -> None:
    parts = parts_of(kind)
    text = parts[name]
    assert re.match(r"-- \w+: \S", text)
    assert listed("Needs", text) == unknown(text) - given_by(parts, text)


def given_by(parts: dict[str, str], text: str) -> set[str]:
    """What the includes of a text give it, and what their own includes give."""
    found = set[str]()
    for part in included(text):
        found |= listed("Gives", parts[part]) | given_by(parts, parts[part])
    return found


def test_all_that_is_given_is_used_by_another_file() -> None:
    """By one family at least; a hyperparameter of the curriculum may be Python's alone."""
    unused: dict[str, set[str]] = {}
    for kind in ("learning_progress", "debiased_progress", "uniform"):
        parts = parts_of(kind)
        texts = {**parts, **{f"scripts/{name}": text for name, text in SCRIPTS.items()}}
        words = {name: unknown(text) for name, text in texts.items()}
        for name, text in parts.items():
            others = {word for other in texts if other != name for word in words[other]}
            idle = listed("Gives", text) - others
            if name not in OF_FAMILY and (kind != "uniform" or text in unused):
                unused[text] = unused.get(text, idle) & idle
    assert {text.partition(":")[0]: names for text, names in unused.items() if names} == {}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_includes_exactly_what_its_body_uses(name: str) -> None:
    """What only its includes need comes by itself; what refuses a call has its place."""
    parts = parts_of("learning_progress")
    givers: dict[str, set[str]] = {}
    for part, text in parts.items():
        for word in listed("Gives", text):
            givers.setdefault(word, set()).add(part)
    script = whole(name)
    own, found = {*script.arguments, script.rest}, set(included(SCRIPTS[name]))
    wanted = [givers[word] for word in unknown(SCRIPTS[name]) - own if word in givers]
    for possible in wanted:
        assert possible & found or possible & implied(parts, found), possible
    for part in found:  # what one include needs of another, beside the body
        wanted += [givers[word] for word in listed("Needs", parts[part]) if word in givers]
    acting = {part for part in found if not listed("Gives", parts[part])}
    needed = set().union(*wanted, acting)
    refusing = ("error_reply", "malformed(")  # random: before the results are written
    idle = {part for part in found - needed if not any(word in parts[part] for word in refusing)}
    assert idle <= {"digest", "own", "results", "stored_hypers"}


def implied(parts: dict[str, str], found: set[str]) -> set[str]:
    """What comes with these includes by itself."""
    givers = {word: part for part, text in parts.items() for word in listed("Gives", text)}
    ahead, done = set(found), set[str]()
    while ahead:
        part = ahead.pop()
        done.add(part)
        ahead |= set(included(parts[part])) - done
        needs = listed("Needs", parts[part])
        ahead |= {givers[word] for word in needs if word in givers} - done
    return done


@pytest.mark.parametrize("kind", VARIANTS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_has_an_include_twice_in_one_scope(name: str, kind: str) -> None:
    found = re.findall(r"^(?=--#region (\w+)$)", whole(name, kind).source, re.MULTILINE)
    assert {region for region in found if found.count(region) > 1} <= {*OF_FAMILY}
