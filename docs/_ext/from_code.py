"""Parts of pages that the code writes: a line ``<!-- from code: settings WorkerSettings -->``.

Such a line, alone, is replaced with Markdown when the site is built (``source-read``), so no copy
of what the code says is kept. The functions need no Sphinx: the tests call ``expanded`` too.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import typer
from pydantic import BaseModel
from typer.testing import CliRunner

import redis_curriculum
from redis_curriculum import (
    CurriculumConfig,
    TaskRecord,
    WorkerSettings,
    __version__,
    config,
    errors,
    tasks,
)
from redis_curriculum._protocol.keys import SCHEMA
from redis_curriculum._protocol.requirements import OLDEST_VERSION
from redis_curriculum._state.format import FORMAT, MODELS
from redis_curriculum._values.rules import In
from redis_curriculum.cli.app import app as command_line
from redis_curriculum.scorers import Scorer, Statistic

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from sphinx.application import Sphinx

LUA: Final = Path(__file__).parents[2] / "lua"
_MARK: Final = re.compile(r"^<!-- from code: (\w+)((?: [\w.]+)*) -->$", re.MULTILINE)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}


def _read(app: Sphinx, docname: str, content: list[str]) -> None:  # noqa: ARG001 - Sphinx's call
    content[0] = expanded(content[0])


def expanded(text: str) -> str:
    """Return a page's text with its marked lines replaced."""
    return _MARK.sub(lambda found: _WRITERS[found[1]](*found[2].split()), text)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


# --- settings ------------------------------------------------------------------------------------


def settings(name: str) -> str:
    """Return a table of the fields of a config model or a task generator."""
    model: type[BaseModel] = getattr(config, name, None) or getattr(tasks, name)
    is_stored = hasattr(config, name) and model is not WorkerSettings
    prefix = "" if model is CurriculumConfig else "algorithm."
    rows = []
    for field, info in model.model_fields.items():
        if field != "kind":
            resume = [config.resume_rule(prefix + field).value] if is_stored else []
            described = str(info.description)
            rows.append([f"`{field}`", _default(info), *resume, _values(info), described])
    resume = ["at resume"] if is_stored else []
    return _table(["field", "default", *resume, "values", "what it is"], rows)


def presets(name: str, *methods: str) -> str:
    """Return a table of the fields in which presets of a scorer differ."""
    model: Any = getattr(config, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", config.ConfigWarning)
        values = [getattr(model, method)().model_dump() for method in methods]
    rows = [
        [f"`{field}`", *(f"`{preset[field]!r}`" for preset in values)]
        for field in model.model_fields
        if any(preset[field] != values[0][field] for preset in values)
    ]
    return _table(["field", *(f"`.{method}()`" for method in methods)], rows)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    default = info.get_default(call_default_factory=True)
    return f"`{type(default).__name__}()`" if isinstance(default, BaseModel) else f"`{default!r}`"


def _values(info: FieldInfo) -> str:
    """Return type and interval, or the words to choose from."""
    return _type(info.annotation) + _interval(info.metadata)


def _type(kind: Any) -> str:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type(args[0]) + _interval(args[1:])
    if origin is Literal:
        return " or ".join(f"`{word!r}`" for word in args)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_type, args)))
    if origin is dict:
        return f"dict of {_type(args[0])} to {_type(args[1])}"
    if origin in (list, tuple):
        parts = dict.fromkeys(_type(part) for part in args if part is not Ellipsis)
        return f"{origin.__name__} of {' and '.join(parts)}"
    is_private = kind.__module__.startswith("redis_curriculum._")
    return "None" if kind is NoneType else "object" if is_private else str(kind.__name__)


def _interval(notes: Sequence[Any]) -> str:
    found = [note.interval.replace(", ", ",\u00a0") for note in notes if isinstance(note, In)]
    return "".join(f" in {_plain(interval)}" for interval in found)


# --- the package ---------------------------------------------------------------------------------


def rooms() -> str:
    """Return the map at the top of the package, as a table."""
    steps = re.findall(r"^    (\S.*?)  +(\S.*)$", str(redis_curriculum.__doc__), re.MULTILINE)
    rows = [[", ".join(f"`{room}`" for room in names.split(", ")), what] for names, what in steps]
    return _table(["rooms", "what is in them"], rows)


# --- what is stored ------------------------------------------------------------------------------


def record() -> str:
    """Return a table of the fields of a task's record."""
    known, hints = _meanings(TaskRecord), get_type_hints(TaskRecord)
    rows = [
        [f"`{field.name}`", _type(hints[field.name]), known[field.name]]
        for field in fields(TaskRecord)
        if field.name in known
    ]
    return _table(["field", "type", "meaning"], rows)


def snapshot_lines() -> str:
    """Return a section for each kind of line in a snapshot."""
    sections = []
    for kind, model in MODELS.items():
        known = _meanings(TaskRecord) | _meanings(model)
        rows = [
            [f"`{name}`", _values(info), known[name]]
            for name, info in model.model_fields.items()
            if name != "type"
        ]
        table = _table(["field", "values", "meaning"], rows)
        sections.append(f"## {kind}\n\n{model.__doc__}\n\n{table}")
    return "\n\n".join(sections)


def versions() -> str:
    """Return a table of all that has a version of its own."""
    rows = [
        ["library", __version__],
        ["schema of the keys", str(SCHEMA)],
        ["snapshot format, written", str(FORMAT)],
        ["snapshot formats, read", f"0 to {FORMAT}"],
        ["Redis", f"{'.'.join(map(str, OLDEST_VERSION))} or newer"],
    ]
    return _table(["what", "this version"], rows)


def statistics(name: str) -> str:
    """Return a table of what a scorer keeps of each task and label."""
    model: type[Scorer] = getattr(config, name)
    rows = [
        [f"`{one.name}`", " and ".join(one.holders), _range(one), _plain(one.description)]
        for one in model.STATISTICS
    ]
    return _table(["statistic", "of", "range", "meaning"], rows)


def _range(one: Statistic) -> str:
    """Whole numbers as such; an end that only keeps infinity out is none."""
    high = "" if one.high >= 2**53 else f"{one.high:g}"
    return f"[{one.low:g},\u00a0{high}]" if high else f"{one.low:g} or more"


def _meanings(model: type) -> dict[str, str]:
    """Return the texts below the fields of a class."""
    found = {}
    tree: Any = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    for field, text in itertools.pairwise(tree.body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            words = " ".join(ast.literal_eval(text.value).split())
            found[ast.unparse(field.target)] = _plain(words)
    return found


# --- the command line ----------------------------------------------------------------------------


def commands() -> str:
    """Return what ``--help`` prints, a section for each command."""
    names: list[str] = list(typer.main.get_command(command_line).commands)  # type: ignore[attr-defined]
    shell = CliRunner(env={"COLUMNS": "88", "TERMINAL_WIDTH": "88"})
    sections = []
    for name in names:
        answer = shell.invoke(command_line, [name, "--help"], prog_name="redis-curriculum")
        sections.append(f"## {name}\n\n```text\n{answer.output.strip()}\n```")
    return "\n\n".join(sections)


# --- the errors ----------------------------------------------------------------------------------


def error_tree() -> str:
    """Return the tree at the top of ``redis_curriculum.errors``, then each error and warning."""
    tree = textwrap.dedent(str(errors.__doc__).partition("::\n\n")[2]).rstrip()
    names = ["CurriculumError", *re.findall(r"── (\w+)", tree)]
    names += [name for name in vars(errors) if name.endswith("Warning")]
    listed = "\n".join(f".. autoexception:: redis_curriculum.errors.{name}" for name in names)
    return f"```text\n{tree}\n```\n\n```{{eval-rst}}\n{listed}\n```"


# --- the scripts ---------------------------------------------------------------------------------

_ARGUMENT: Final = re.compile(r"((?:KEYS|ARGV)\[[\d.]+\]) (\w+) (\S+) ?(.*)")


def scripts() -> str:
    """Return a section for each script, as its header says."""
    files = (LUA / "scripts").rglob("*.lua")
    return "\n\n".join(_script(path) for path in sorted(files))


def _script(file: Path) -> str:
    (title, *lines) = _header(file)
    name, _, purpose = title.partition(": ")
    arguments, facts = [], []
    for line in lines:
        argument = _ARGUMENT.fullmatch(line)
        if argument:
            at, word, kind, meaning = argument.groups()
            arguments.append([f"`{at}`", f"`{word}`", kind, _plain(meaning)])
        else:
            facts.append(re.sub(r"^(Returns|Errors|Needs|Gives):? ", r"**\1** ", _plain(line)))
    table = _table(["argument", "name", "type", "meaning"], arguments)
    return "\n\n".join([f"## {name}", f"{purpose[:1].upper()}{purpose[1:]}", table, *facts])


def includes() -> str:
    """Return a table of the parts that scripts share."""
    rows = []
    for file in sorted((LUA / "include").glob("*.lua")):
        lines = [line for line in _header(file) if not line.startswith(("Needs", "Gives"))]
        name, _, purpose = " ".join(lines).partition(": ")
        rows.append([f"`{name}`", _plain(purpose)])
    return _table(["part", "what it does"], rows)


def _header(file: Path) -> list[str]:
    """Return the lines of the comment that a file begins with; indented ones continue a line."""
    found: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("-- "):
            break
        if line.startswith("--  "):
            found[-1] += f" {line[2:].strip()}"
        else:
            found.append(line[3:])
    return found


def _plain(text: str) -> str:
    """Escape what Markdown would take for a tag, a cell or emphasis."""
    return re.sub(r"[<>|*]", r"\\\g<0>", text)


_WRITERS: Final[dict[str, Callable[..., str]]] = {
    writer.__name__: writer
    for writer in (
        commands,
        error_tree,
        includes,
        presets,
        record,
        rooms,
        scripts,
        settings,
        snapshot_lines,
        statistics,
        versions,
    )
}
