"""Parts of pages that the code writes: a line ``<!-- from code: settings WorkerSettings -->``.

Such a line, alone, is replaced with Markdown when the site is built (``source-read``), so no copy
of what the code says is kept. The functions need no Sphinx: the tests call ``expanded`` too.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, Union, get_args, get_origin

import typer
from typer.testing import CliRunner

from redis_curriculum import CurriculumConfig, WorkerSettings, config, errors
from redis_curriculum.cli import app as command_line

if TYPE_CHECKING:
    from pydantic import BaseModel
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
    """Return a table of a config model's fields."""
    model: type[BaseModel] = getattr(config, name)
    prefix = {CurriculumConfig: "", WorkerSettings: None}.get(model, "algorithm.")
    rows = []
    for field, info in model.model_fields.items():
        if field != "kind":
            resume = [] if prefix is None else [config.resume_rule(prefix + field).value]
            described = str(info.description)
            rows.append([f"`{field}`", _default(info), *resume, _values(info), described])
    resume = [] if prefix is None else ["at resume"]
    return _table(["field", "default", *resume, "values", "what it is"], rows)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    default = info.get_default(call_default_factory=True)
    return f"`{type(default).__name__}()`" if hasattr(default, "model_fields") else f"`{default!r}`"


def _values(info: FieldInfo) -> str:
    """Return type and interval, or the words to choose from."""
    interval = [f" in {known.interval}" for known in info.metadata if hasattr(known, "interval")]
    return _type(info.annotation) + "".join(interval)


def _type(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f"`{word!r}`" for word in get_args(kind))
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    names = ["None" if part is NoneType else (get_origin(part) or part).__name__ for part in parts]
    return " or ".join(names)


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
    """Return the tree at the top of ``redis_curriculum.errors``, then each error."""
    tree = textwrap.dedent(str(errors.__doc__).partition("::\n\n")[2]).rstrip()
    names = [name for name in re.findall(r"(\w+Error)\b", tree) if hasattr(errors, name)]
    listed = "\n".join(f".. autoexception:: redis_curriculum.errors.{name}" for name in names)
    return f"```text\n{tree}\n```\n\n```{{eval-rst}}\n{listed}\n```"


# --- the scripts ---------------------------------------------------------------------------------

_ARGUMENT: Final = re.compile(r"((?:KEYS|ARGV)\[[\d.]+\]) (\w+) (\S+) ?(.*)")


def scripts() -> str:
    """Return a section for each script, as its header says."""
    files = sorted(path for path in LUA.rglob("*.lua") if "include" not in path.parts)
    return "\n\n".join(_script(path) for path in files)


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
        name, _, purpose = " ".join(_header(file)).partition(": ")
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
    writer.__name__: writer for writer in (settings, commands, error_tree, scripts, includes)
}
