"""Lua lives in lua/: no Python builds a script out of text, so no value can become code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import redis_curriculum

PACKAGE = Path(redis_curriculum.__file__).parent
LUA = ("redis.call", "redis.pcall", "KEYS[", "ARGV[")
SENDERS = {"eval", "evalsha", "eval_ro", "register_script", "script_load"}
COMMANDS = {"EVAL": "source", "EVALSHA": "sha", "EVAL_RO": "source", "LOAD": "source"}


def python_files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def offences(source: str) -> Iterator[str]:
    """What a module does that only scripts.py and a call with a loaded script may do."""
    nodes = list(ast.walk(ast.parse(source)))
    docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        match node:
            case ast.Constant(value=str(text)) if node not in docstrings and is_lua(text):
                yield f"line {node.lineno}: Lua in a string"
            case ast.Call(func=ast.Attribute(attr=name)) if name in SENDERS:
                yield f"line {node.lineno}: .{name}() takes any text"
            case ast.Tuple(elts=words) | ast.List(elts=words) | ast.Call(args=words):
                yield from (f"line {node.lineno}: {what}" for what in _unloaded(words))


def is_lua(text: str) -> bool:
    return any(word in text for word in LUA)


def _unloaded(words: list[ast.expr]) -> Iterator[str]:
    for word, following in zip(words, [*words, None][1:], strict=True):
        if isinstance(word, ast.Constant) and word.value in COMMANDS:
            wanted = COMMANDS[str(word.value)]
            if not (isinstance(following, ast.Attribute) and following.attr == wanted):
                yield f"{word.value} of something else than a loaded script's .{wanted}"


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_script_is_made_of_text(path: Path) -> None:
    assert list(offences(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "call = f\"return redis.call('GET', '{key}')\"",
        "client.eval(text, 1, key)",
        "client.register_script(text)",
        "link.call(('EVAL', text + more, 1, key))",
        "link.call(['EVAL', f'{script.source}', 1])",
        "client.execute_command('SCRIPT', 'LOAD', text)",
        "link.call(('SCRIPT', 'LOAD', f'{script.source}'), key)",
    ],
)
def test_the_scan_sees_what_it_should(source: str) -> None:
    assert list(offences(source))


def test_the_scan_lets_loaded_scripts_pass() -> None:
    assert not list(offences("link.call(('EVALSHA', script.sha, 1, key)); ('EVAL', s.source, 1)"))
