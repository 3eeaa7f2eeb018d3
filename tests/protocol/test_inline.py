"""A function's body stands where it was called, only where that says the same."""

from __future__ import annotations

import pytest

from redis_curriculum._protocol.inline import inlined
from redis_curriculum._protocol.scripts import STRAIGHT
from tests.families import VARIANTS, whole

SAME = {
    "a function that returns before its end": """\
local function half(n)
  if n > 1 then
    return n / 2
  end
  return 0
end
local a = half(b)
""",
    "a function whose end has a comment": """\
local function half(n)
  return n / 2
end -- half
local function put(n)
  call(n)
end
local a = half(b)
call(put)
""",
    "a function that is not indented": """\
local function half(n)
return n / 2
end
local a = half(b)
""",
    "texts in double quotes": """\
local function said(n)
  return n .. " -- so it is"
end
local a = said(b)
""",
    "texts of several lines": """\
local function said(n)
  return n .. [[
end
]]
end
local a = said(b)
""",
    "a call within an expression": """\
local function half(n)
  return n / 2
end
local a = 1 + half(b)
""",
    "two calls in one line": """\
local function half(n)
  return n / 2
end
local a = half(half(b))
""",
    "a function that is passed on": """\
local function half(n)
  return n / 2
end
call(half)
""",
    "a function that calls itself": """\
local function down(n)
  if n > 0 then
    down(n - 1)
  end
end
down(3)
""",
    "an outer name that means something else at the call": """\
local step = 1
local function up(n)
  return n + step
end
for step = 1, 2 do
  local a = up(step)
end
""",
    "a target that the body hides": """\
local function put(p)
  local at = p.at
  return at
end
at = put(q)
""",
    "a declared name among the arguments": """\
local n = 1
local function up(m)
  return m + 1
end
do
  local n = up(n)
end
""",
}


@pytest.mark.parametrize("source", SAME.values(), ids=SAME)
def test_what_would_say_something_else_stays(source: str) -> None:
    assert inlined(source) == source


def test_a_body_stands_in_place_of_its_calls() -> None:
    source = """\
local function noted(key, n)
  local m = n + 1 -- more
  call('SET', key, m)
  return m
end
for i = 1, 3 do
  p.m = noted('f(x', i) or false
end
noted(key, g(1, 2))
"""
    assert (
        inlined(source)
        == """\
for i = 1, 3 do
  do -- noted
    local key, n = 'f(x', i
    local m = n + 1 -- more
    call('SET', key, m)
    p.m = (m) or false
  end
end
do -- noted
  local n = g(1, 2)
  local m = n + 1 -- more
  call('SET', key, m)
end
"""
    )


def test_a_parameter_that_the_body_sets_is_a_variable_of_its_own() -> None:
    source = """\
local function cut(p)
  p = p < 0 and 0 or p
  return p
end
local q = cut(p)
"""
    assert (
        inlined(source)
        == """\
local q
do -- cut
  local p = p
  p = p < 0 and 0 or p
  q = p
end
"""
    )


def test_arguments_that_are_lacking_are_nil_and_a_call_in_a_return_stays_a_call() -> None:
    source = """\
local function outer(a, b)
  return inner(a, b)
end
outer(1)
"""
    assert (
        inlined(source)
        == """\
do -- outer
  local a, b = 1, nil
  inner(a, b)
end
"""
    )


def test_functions_that_nothing_uses_and_second_names_go() -> None:
    source = """\
local function unused() end
local function half(n)
  return n / 2
end
local part = half
local a = part(b)
"""
    assert inlined(source) == "local a\ndo -- half\n  local n = b\n  a = n / 2\nend\n"


def test_a_long_body_is_not_written_again_and_again() -> None:
    body = "".join(f"  call('SET', key, {i})\n" for i in range(40))
    once = f"local function many(key)\n{body}end\nmany(a)\n"
    assert "function" not in inlined(once)
    assert inlined(f"{once}many(b)\nmany(c)\n") == f"{once}many(b)\nmany(c)\n"


@pytest.mark.parametrize("kind", ["debiased_progress", "learning_progress"])
@pytest.mark.parametrize("name", STRAIGHT)
def test_the_scripts_of_an_episode_make_few_functions(name: str, kind: str) -> None:
    assert kind in VARIANTS
    lines = whole(name, kind).source.splitlines()
    made = [line for line in lines if line.startswith("local function ")]
    assert len(made) <= {"record": 5, "sample": 14, "step": 14}[name], made
