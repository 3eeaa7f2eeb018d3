"""The scripts' headers are their contracts: complete, true to the body, and held by ``bind``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from redis_curriculum._protocol import scripts
from redis_curriculum._protocol.scripts import bind, commands_at, contract, folder, load, names
from redis_curriculum._protocol.splice import Variant
from redis_curriculum._wire.refusals import error_of
from redis_curriculum.errors import (
    ConfigChangedError,
    CurriculumDeletedError,
    CurriculumError,
    CurriculumNotFoundError,
    EpochError,
    IndexTakenError,
    InvalidInputError,
    KeyTypeError,
    MigrationError,
    ScriptError,
    SequenceGapError,
    SnapshotError,
    SnapshotRunningError,
    StaleGenerationError,
    UnindexedError,
    WorkerFencedError,
    WorkerInUseError,
)
from tests.families import VARIANTS, whole

META = "-- KEYS[1] meta hash rc:{name}:meta"
TYPES = {"doubles", "int", "float", "str", "flag", "JSON", "groups"}
INCLUDES = sorted(path.stem for path in (folder() / "include").glob("*.lua"))
EVERY = sorted(str(path.relative_to(folder()).with_suffix("")) for path in folder().rglob("*.lua"))


def text_of(name: str) -> str:
    return (folder() / f"{name}.lua").read_text()


def header_of(name: str) -> list[str]:
    return text_of(f"scripts/{name}").split("\n\n", 1)[0].split("\n")


def code_of(source: str) -> str:
    """The source without its comments."""
    return re.sub(r"--[^\n]*", "", source)


@pytest.fixture
def lua(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a folder of these scripts the one that is loaded from."""
    (tmp_path / "lua" / "scripts").mkdir(parents=True)
    monkeypatch.setattr(scripts, "folder", lambda: tmp_path / "lua")

    def write(**texts: str) -> None:
        for name, text in texts.items():
            (tmp_path / "lua" / "scripts" / f"{name}.lua").write_text(text)

    return write


# --- headers -------------------------------------------------------------------------------------


def test_there_are_scripts() -> None:
    assert {"create", "record", "sample", "step", "replace", "evict", "set_label"} <= set(names())


@pytest.mark.parametrize("name", names())
def test_a_header_is_complete(name: str) -> None:
    header = header_of(name)
    assert re.fullmatch(rf"-- {name}: \S.*\.", header[0]), "purpose"
    assert header[1] == META
    keywords = [line.split()[1] for line in header[2:] if not line.startswith("--  ")]
    kinds = [re.sub(r"\[.*", "", word) for word in keywords]
    arguments = kinds.count("ARGV")
    assert kinds[:arguments] == ["ARGV"] * arguments
    assert kinds[arguments : arguments + 2] == ["Returns", "Errors"]
    assert kinds[arguments + 2] in ("Atomic.", "Reads"), "what a reader may rely on"
    assert all(line.startswith("-- ") for line in header)


@pytest.mark.parametrize("name", names())
def test_each_argument_has_a_name_and_a_type(name: str) -> None:
    lines = [line for line in header_of(name) if line.startswith("-- ARGV")]
    assert lines[0].startswith("-- ARGV[1] generation int ")
    for line in lines:
        assert re.match(r"-- ARGV\[\d+(\.\.)?\] [a-z_0-9]+ (\w+)( .*)?$", line), line
        kind = line.split()[3]
        assert kind in TYPES, line


@pytest.mark.parametrize("name", names())
def test_the_header_names_the_errors_of_the_body_and_no_others(name: str) -> None:
    raised = set(re.findall(r"error_reply\('(RC[A-Z]+) ", code_of(whole(name).source)))
    assert raised == whole(name).errors
    rest = re.sub(r"error_reply\('RC[A-Z]+ ", "", code_of(whole(name).source))
    rest = re.sub(r"assert\(false, '(RCMALFORMED|RCTYPE) ", "", rest)  # those any script may raise
    assert "RC" not in rest


@pytest.mark.parametrize("name", names())
def test_the_body_uses_the_arguments_of_the_header(name: str) -> None:
    """By their names alone, which the loader has written; and each is used."""
    script = whole(name)
    generated, _, code = code_of(script.source).strip().partition("\n\n")
    assert generated.startswith("local meta_key = KEYS[1]\nlocal generation")
    assert not re.search(r"\b(ARGV|KEYS)\b", code)
    named = {*script.arguments, *([script.rest, f"{script.rest}_first"] if script.rest else [])}
    assert {word for word in named if not re.search(rf"\b{word}\b", code)} == set()


@pytest.mark.parametrize("name", EVERY)
def test_no_file_says_argv_or_keys(name: str) -> None:
    assert not re.search(r"\b(ARGV|KEYS)\b", code_of(text_of(name)))


def test_what_several_scripts_take_has_one_meaning() -> None:
    """An argument of one name has one type and one text, but for what its place adds."""
    meanings: dict[str, set[str]] = {}
    for name in names():
        for line in header_of(name):
            match = re.match(r"-- ARGV\[\d+\] (\w+) (.*)", line)
            if match:
                meanings.setdefault(match[1], set()).add(match[2].split(" ")[0])
    assert {name: kinds for name, kinds in meanings.items() if len(kinds) > 1} == {}


# --- loading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
def test_a_script_is_loaded_whole(name: str) -> None:
    script = whole(name)
    assert script.sha == hashlib.sha1(script.source.encode()).hexdigest()  # noqa: S324
    assert "@include" not in script.source
    regions = re.findall(r"^ *--#region (\w+)$", script.source, re.MULTILINE)
    assert {*re.findall(r"--@include (\w+)", text_of(f"scripts/{name}"))} <= {*regions}
    assert script.source.count("--#region") == script.source.count("--#endregion")
    assert script.source.startswith(f"-- {name}: ")


def test_every_include_is_used() -> None:
    used = {
        word
        for name in names()
        for kind in VARIANTS
        for word in re.findall(r"^ *--#region (\w+)$", whole(name, kind).source, re.MULTILINE)
    }
    ways = {path.stem for path in (folder() / "draws").rglob("*.lua")}
    written = {"own", "folds", "noted", "note_again", "note_or_next"}
    assert used == {*INCLUDES, "scorer", "evictable", *ways, *written}


def test_bind_returns_the_script() -> None:
    script = bind("collect", "generation", rest="names")
    assert script is load("collect")
    assert (script.arguments, script.rest) == (("generation",), "names")


@pytest.mark.parametrize(
    ("arguments", "rest"),
    [
        (("generation", "worker", "last", "next"), "more"),
        (("worker", "generation", "last", "next"), None),
        (("generation", "worker", "last"), None),
        (("generation", "worker", "last", "next", "more"), None),
        (("generation", "worker", "last", "nxet"), None),
    ],
)
def test_bind_refuses_other_names_and_another_order(
    arguments: tuple[str, ...], rest: str | None
) -> None:
    with pytest.raises(TypeError) as caught:
        bind("resume", *arguments, rest=rest)
    assert "lua/scripts/resume.lua takes ['generation', 'worker', 'last', 'next']" in str(
        caught.value
    )
    assert str([*arguments, *([f"{rest}.."] if rest else [])]) in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("-- ARGV[1] a int\n-- ARGV[3] b int", "must count 1, 2"),
        ("-- ARGV[2] a int\n-- ARGV[1] b int", "must count 1, 2"),
        ("-- ARGV[1..] a int\n-- ARGV[2] b int", "only the last ARGV may repeat"),
        ("-- ARGV[1] a groups of b int, c int", "only an ARGV that repeats may be groups"),
        ("-- ARGV[1] a number", "cannot read '-- ARGV[1] a number'"),
        ("-- ARGV[1] a", "cannot read"),
        ("-- ARGV[1..] a groups of five: b int", "cannot read"),
        ("-- ARGV[1..] a groups of b int for c, d int", "cannot read"),
        ("-- ARGV[1..] a groups of b int, c", "cannot read"),
        ("-- KEYS[2] a hash x", "KEYS of the header must count 1, 2"),
        ("-- KEYS[1] a", "cannot read"),
    ],
)
def test_a_header_that_breaks_the_grammar_is_refused(
    lua: Callable[..., None], lines: str, message: str
) -> None:
    lua(bad=f"-- bad: x.\n{lines}\n\nreturn 1\n")
    with pytest.raises(TypeError, match=f"^lua/scripts/bad.lua: .*{re.escape(message)}"):
        load.__wrapped__("bad")


@pytest.mark.parametrize(
    ("lines", "generated"),
    [
        ("-- KEYS[1] meta hash x", "local meta_key = KEYS[1]"),
        (
            "-- ARGV[1] a int\n-- ARGV[2] b float [0, 1]\n-- ARGV[3] c str d int, e",
            "local a, b, c = ARGV[1], ARGV[2], ARGV[3]",
        ),
        ("-- ARGV[1] a int\n-- ARGV[2] b flag x", "local a, b = ARGV[1], ARGV[2] == '1'"),
        ("-- ARGV[1..] ids int at most 5", "local ids, ids_first, ids_last = ARGV, 1, #ARGV"),
        (
            "-- ARGV[1] a JSON\n-- ARGV[2..] of groups of b int, c float (0, 1], d str; or e int",
            "local a = ARGV[1]\nlocal of, of_first, of_last, of_width = ARGV, 2, #ARGV, 3",
        ),
        ("-- Returns 1", ""),
    ],
)
def test_the_arguments_become_local_variables(
    lua: Callable[..., None], lines: str, generated: str
) -> None:
    lua(good=f"-- good: x.\n{lines}\n\nreturn 1\n")
    parts = [f"-- good: x.\n{lines}", *([generated] if generated else []), "\nreturn 1\n"]
    assert load.__wrapped__("good").source == "\n".join(parts)


def test_a_script_of_a_family_is_bound_without_and_loaded_with_it(
    lua: Callable[..., None], tmp_path: Path
) -> None:
    lua(play="-- play: x.\n-- ARGV[1] a int\n\n--@include scorer\nreturn call('GET', weight(a))\n")
    scorer = tmp_path / "lua" / "scorers" / "plain.lua"
    scorer.parent.mkdir()
    scorer.write_text("-- plain: x.\n-- Gives: weight\nlocal function weight(p)\n  return p\nend\n")
    found = contract("play", "a")
    assert (found.name, found.arguments, found.rest) == ("play", ("a",), None)
    with pytest.raises(TypeError, match=re.escape("takes ['a'], the caller passes ['b']")):
        contract("play", "b")
    with pytest.raises(TypeError, match=r"^lua/scripts/play\.lua includes scorer"):
        bind("play", "a")
    script = found.script(Variant(scorer=scorer))
    assert script is found.script(Variant(scorer=scorer))
    assert "--#region scorer\n-- plain: x." in script.source
    assert script.commands == {"get"}
    assert commands_at(script.sha, len(script.source.splitlines())) == ["get"]


def test_without_the_scripts_the_installation_is_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        scripts, "__file__", str(tmp_path / "redis_curriculum" / "_protocol" / "scripts.py")
    )
    with pytest.raises(ScriptError, match="reinstall"):
        folder.__wrapped__()


@pytest.mark.parametrize("inside", [True, False])
def test_the_scripts_are_found_in_the_package_or_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, inside: bool
) -> None:
    package = tmp_path / "redis_curriculum"
    place = (package if inside else tmp_path) / "lua"
    (place / "scripts").mkdir(parents=True)
    (place / "scripts" / "record.lua").write_text("-- record: x.\n\n")
    monkeypatch.setattr(scripts, "__file__", str(package / "_protocol" / "scripts.py"))
    assert folder.__wrapped__() == place


# --- error codes ---------------------------------------------------------------------------------

ERRORS: dict[tuple[str, str], type[CurriculumError]] = {
    ("RCCONFIG", "3"): ConfigChangedError,
    ("RCUNINDEXED", "3"): UnindexedError,
    ("RCSTALE", "3"): StaleGenerationError,
    ("RCSTALE", "gone"): CurriculumNotFoundError,
    ("RCFENCED", "w0"): WorkerFencedError,
    ("RCINUSE", "w0"): WorkerInUseError,
    ("RCGAP", "17"): SequenceGapError,
    ("RCINDEX", "17"): IndexTakenError,
    ("RCEPOCH", "3"): EpochError,
    ("RCFULL", "17"): InvalidInputError,
    ("RCSNAPSHOT", "x"): SnapshotRunningError,
    ("RCRESTORE", "x"): SnapshotRunningError,
    ("RCLOST", "x"): SnapshotError,
    ("RCCHANGED", "wrote"): MigrationError,
    ("RCTYPE", "rc:{x}:meta"): KeyTypeError,
    ("RCDELETED", "x"): CurriculumDeletedError,
    ("RCNEW", "x"): ScriptError,
}


@pytest.mark.parametrize(("code", "detail"), ERRORS)
def test_a_code_becomes_an_error_that_repeats_the_detail(code: str, detail: str) -> None:
    error = error_of(code, detail)
    assert type(error) is ERRORS[code, detail]
    assert detail in str(error) or detail == "gone"
    assert error.applied == "no"


def test_errors_carry_their_numbers() -> None:
    gap, index = error_of("RCGAP", "17"), error_of("RCINDEX", "18")
    assert isinstance(gap, SequenceGapError)
    assert gap.last == 17
    assert isinstance(index, IndexTakenError)
    assert index.next_index == 18


def test_every_code_of_the_scripts_has_an_error() -> None:
    codes = {code for name in names() for code in whole(name).errors}
    assert codes <= {code for code, _ in ERRORS}
    assert all(type(error_of(code, "1")) is not ScriptError for code in codes)


# --- what the scripts do without -----------------------------------------------------------------

FORBIDDEN = [
    r"\bcmsgpack\b",
    r"\bstruct\.(?!unpack\b|pack\b)",
    r"\bbit\.(?!tohex\b)",
    r"replicate_commands",
    r"set_repl",
    r"math\.random",  # 31 bits, and differs between servers
    r"\btostring\(",  # keeps 14 digits
    r"loadstring",
    r"redis\.pcall",
    r"'(KEYS|SCAN|HSCAN|SSCAN|ZSCAN|SMEMBERS|HKEYS|HVALS|SORT|ZRANDMEMBER|SRANDMEMBER|DEL|FLUSH\w+)'",
    r"redis\.(log|setresp|acl_check_cmd|register_function)",
]

BOUNDED = dict.fromkeys(("include/label", "include/quota_others"), "call('SMEMBERS'")
"""Of a set of which the file has just seen that it has 1,000 members at most, or that 1,024 trials
have missed."""


@pytest.mark.parametrize("name", EVERY)
def test_a_script_uses_nothing_that_some_server_lacks_or_that_is_unbounded(name: str) -> None:
    code = code_of(text_of(name))
    if name in BOUNDED:
        code = code.replace(BOUNDED[name], "")
    assert [pattern for pattern in FORBIDDEN if re.search(pattern, code)] == []


LONG = ("draws/sigmoid/index",)


@pytest.mark.parametrize("name", EVERY)
def test_a_file_can_be_read_at_a_glance(name: str) -> None:
    lines = text_of(name).splitlines()
    body = [line for line in lines if line.strip() and not line.lstrip().startswith("--")]
    assert len(body) <= (115 if name in LONG else 80)
    assert max((len(line) for line in body), default=0) <= 125
    assert text_of(name).endswith("\n")
    assert not re.search(r"[ \t]+$", text_of(name), re.MULTILINE)


def test_no_lua_is_written_outside_the_folder() -> None:
    package = Path(scripts.__file__).parent.parent
    sources = {path.name: path.read_text() for path in package.rglob("*.py")}
    assert [name for name, text in sources.items() if re.search(r"redis\.(p?call)\b", text)] == []
    runs = r"\.(eval|evalsha|register_script|script_load)\("
    assert [name for name, text in sources.items() if re.search(runs, text)] == []
