"""No script reads or writes a global but Redis's own; all stay below Lua's limits."""

from __future__ import annotations

import pytest

from redis_curriculum._protocol.scripts import names
from tests.bytecode import foreign, functions
from tests.families import VARIANTS, whole

SOUND = """
local call, total = redis.call, 0
local function add(by)
  total = total + by
end
for i = 1, #ARGV do
  add(tonumber(ARGV[i]) or 0)
end
return call('SET', KEYS[1], string.format('%.0f', total))
"""


@pytest.mark.parametrize("kind", VARIANTS)
@pytest.mark.parametrize("name", names())
def test_a_script_uses_no_global_but_those_of_redis(name: str, kind: str) -> None:
    assert foreign(whole(name, kind).source) == []


@pytest.mark.parametrize("kind", VARIANTS)
@pytest.mark.parametrize("name", names())
def test_a_script_stays_below_the_limits_of_lua(name: str, kind: str) -> None:
    """Lua 5.1 allows 200 local variables at once in a function, and 60 from outside of it."""
    found = functions(whole(name, kind).source)
    assert max(function.most_locals for function in found) < 190
    assert max(function.upvalues for function in found) < 55


def test_a_sound_source_passes() -> None:
    assert foreign(SOUND) == []
    outer, add = functions(SOUND)
    assert [name for name, _, _ in outer.variables if not name.startswith("(")] == [
        "call",
        "total",
        "add",
        "i",
    ]
    assert outer.most_locals == 7  # the loop keeps three of its own
    assert (add.upvalues, add.most_locals) == (1, 1)


@pytest.mark.parametrize(
    ("sound", "misspelt", "offence"),
    [
        ("return call", "return cal", "line 9: reads cal"),
        ("total + by", "totl + by", "line 4: reads totl"),
        ("  total = ", "  totla = ", "line 4: writes totla"),
        ("local function add", "function add", "line 3: writes add"),
        ("string.format", "strng.format", "line 9: reads strng"),
        ("local call, total", "call, total", "line 2: writes call"),
    ],
)
def test_a_misspelt_name_is_seen(sound: str, misspelt: str, offence: str) -> None:
    assert sound in SOUND
    assert offence in foreign(SOUND.replace(sound, misspelt))


def test_a_local_that_goes_out_of_its_block_is_seen() -> None:
    assert foreign("if KEYS then\n  local x = 1\nend\nreturn x\n") == ["line 4: reads x"]


def test_many_locals_are_counted() -> None:
    at_once = "".join(f"local a{i} = {i}\n" for i in range(195)) + "call(a0)\n"
    assert functions(at_once)[0].most_locals == 195
    assert functions(f"do\n{at_once}end\ndo\n{at_once}end\n")[0].most_locals == 195
