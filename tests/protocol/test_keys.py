"""Every key's text is pinned: data on servers carries these names."""

from __future__ import annotations

import re
from inspect import signature
from typing import Any

import pytest
from redis.crc import key_slot

from redis_curriculum._protocol.keys import COUNTS, EPOCH, PARTS, SCHEMA, Keys
from redis_curriculum._protocol.scripts import folder
from redis_curriculum.scorers import OwnKey
from redis_curriculum.scorers.own import OwnHolder

PINNED = {
    "prefix": "rc:{run-42}:",
    "meta": "rc:{run-42}:meta",
    "workers": "rc:{run-42}:workers",
    "worker": "rc:{run-42}:worker:w-1",
    "events": "rc:{run-42}:events",
    "epoch": "rc:{run-42}:epoch:7:samples",
    "history": "rc:{run-42}:history",
    "history_times": "rc:{run-42}:history:times",
    "snapshot": "rc:{run-42}:snapshot",
    "snapshot_tasks": "rc:{run-42}:snapshot:tasks",
    "snapshot_labels": "rc:{run-42}:snapshot:labels",
    "restore": "rc:{run-42}:restore",
    "deleted": "rc:{run-42}:deleted",
    "pool": "rc:{run-42}:g3:",
    "task": "rc:{run-42}:g3:task:0",
    "fresh": "rc:{run-42}:g3:fresh",
    "learning": "rc:{run-42}:g3:learning",
    "ripe": "rc:{run-42}:g3:ripe",
    "reindexed": "rc:{run-42}:g3:reindexed:ripe",
    "label": "rc:{run-42}:g3:label:maze 9:9",
    "labels": "rc:{run-42}:g3:labels",
    "inactive": "rc:{run-42}:g3:inactive",
    "sums": "rc:{run-42}:g3:weight_sums",
    "members": "rc:{run-42}:g3:members:maze 9:9",
    "groups": "rc:{run-42}:g3:groups",
    "weights": "rc:{run-42}:g3:weights",
    "masses": "rc:{run-42}:g3:masses",
    "young": "rc:{run-42}:g3:young",
    "progress": "rc:{run-42}:g3:progress:maze 9:9",
    "cell": "rc:{run-42}:g3:cell:5:maze 9:9",
    "cell_sums": "rc:{run-42}:g3:cell_sums",
    "statistics": "rc:{run-42}:g3:statistics",
    "batches": "rc:{run-42}:g3:batches",
    "batch_order": "rc:{run-42}:g3:batch_order",
    "count": "rc:{run-42}:g3:count:failures",
    "own_tasks": "rc:{run-42}:g3:own_tasks:ranked",
    "own_labels": "rc:{run-42}:g3:own_labels:ranked",
    "own_pool": "rc:{run-42}:g3:own_pool:ranked",
    "own_texts": "rc:{run-42}:g3:own_texts:ranked",
    "task_weights": "rc:{run-42}:g3:task_weights",
    "quarantine": "rc:{run-42}:g3:quarantine",
    "staged_meta": "rc:{run-42}:g3:meta",
}
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "worker": ("w-1",),
    "epoch": (7, "samples"),
    "task": (0,),
    "reindexed": ("ripe",),
    "label": ("maze 9:9",),
    "members": ("maze 9:9",),
    "progress": ("maze 9:9",),
    "cell": ("5:maze 9:9",),
    "own_tasks": ("ranked",),
    "own_labels": ("ranked",),
    "own_pool": ("ranked",),
    "own_texts": ("ranked",),
    "count": ("failures",),
}
KEYS = Keys("run-42", 3)


def spelled(name: str, keys: Keys = KEYS) -> str:
    found = getattr(keys, name)
    return str(found(*ARGUMENTS[name]) if callable(found) else found)


@pytest.mark.parametrize("name", PINNED)
def test_the_text_of_a_key_is_pinned(name: str) -> None:
    assert spelled(name) == PINNED[name]


def test_no_key_is_without_a_pin() -> None:
    public = {name for name in dir(Keys) if not name.startswith("_")}
    assert public - {"name", "generation", "key_prefix"} == set(PINNED)


def test_schema_parts_and_counts_are_pinned() -> None:
    assert SCHEMA == 2
    assert PARTS == ("fresh", "learning", "ripe")
    assert COUNTS == ("completions", "samples", "evictions", "failures", "created")
    assert set(EPOCH) == {*COUNTS, "times", "success", "progress"}
    assert signature(Keys).parameters["generation"].default == 1


def test_all_keys_of_a_curriculum_share_one_cluster_slot() -> None:
    tags = {re.search(r"\{(.*?)\}", text)[1] for text in PINNED.values()}  # type: ignore[index]
    assert tags == {"run-42"}


def test_a_prefix_stands_before_every_key_and_changes_no_slot() -> None:
    team = Keys("run-42", 3, "team-a:")
    for name, text in PINNED.items():
        assert spelled(name, team) == f"team-a:{text}"
    assert key_slot(team.meta.encode()) == key_slot(KEYS.meta.encode())
    assert Keys("run-42").key_prefix == ""


def test_no_two_keys_are_the_same_whatever_the_label() -> None:
    hostile = Keys("x")
    texts = [spelled(name, hostile) for name in PINNED]
    assert len(set(texts)) == len(texts)
    assert hostile.label("s") != hostile.labels
    assert hostile.task("tasks") != hostile.snapshot_tasks


# --- the same names in Lua -----------------------------------------------------------------------

BASES = {"prefix": KEYS.prefix, "pool": KEYS.pool, "epoch_prefix": "rc:{run-42}:epoch:7:"}
"""What the scripts' variables of that name hold."""
_LITERAL = re.compile(r"\b(prefix|pool|epoch_prefix) \.\. '([^']*)'")
_VARIABLE = re.compile(r"\b(prefix|pool|epoch_prefix) \.\. (\w+)\b(?!')")


def lua() -> dict[str, str]:
    """Every Lua file; of the includes the name is enough."""
    paths = sorted(folder().rglob("*.lua"))
    return {
        path.stem if path.parent.name == "include" else str(path): path.read_text()
        for path in paths
    }


def lua_names() -> set[str]:
    """Every key, or beginning of one, that a script spells."""
    found = {
        BASES[base] + text for source in lua().values() for base, text in _LITERAL.findall(source)
    }
    return found | {BASES["prefix"] + "g", BASES["prefix"] + "epoch:"}


def known(text: str) -> bool:
    """Whether keys.py spells it: as a whole, or as the stem of a family."""
    whole = {spelled(name) for name in PINNED if name not in ARGUMENTS}
    counts = {KEYS.count(what) for what in COUNTS} | {KEYS.epoch(7, what) for what in EPOCH}
    stems = {KEYS.worker(""), KEYS.task(""), KEYS.label(""), KEYS.progress(""), KEYS.count("")}
    stems |= {KEYS.members(""), KEYS.cell(""), KEYS.reindexed(""), KEYS.reindexed("labels")}
    stems |= {KEYS.own_tasks("handed_out"), KEYS.own_pool("pass")}
    stems |= {KEYS.prefix + "g", KEYS.prefix + "epoch:", KEYS.pool + "epoch:"}  # the last: staged
    return text in whole | counts | stems


def test_the_scripts_spell_the_keys_of_keys_py() -> None:
    assert [text for text in lua_names() if not known(text)] == []


def test_the_scripts_spell_all_that_they_keep() -> None:
    names = lua_names()
    of_families = {name for name in PINNED if name.startswith("own_")}  # see the next test
    for name in set(PINNED) - {"prefix", "meta", "pool", "epoch", "count", *of_families}:
        stem = spelled(name)
        argument = ARGUMENTS.get(name, ("",))[0]
        assert stem.removesuffix(str(argument)) in names, name
    for what in COUNTS:
        assert KEYS.count(what) in names or f"'{what}'" in lua()["counts"], what
    for constant, whats in (("COUNTS", COUNTS), ("EPOCH", EPOCH)):
        listed = ", ".join(f"'{what}'" for what in whats)
        assert f"local {constant} = {{ {listed} }}" in lua()["counts"]


@pytest.mark.parametrize(
    ("spelled_as", "holder", "is_text"),
    [
        ("own_tasks", "task", False),
        ("own_labels", "label", False),
        ("own_pool", "pool", False),
        *[("own_texts", holder, True) for holder in ("task", "label", "pool")],
    ],
)
def test_a_familys_own_keys_are_spelled_as_in_keys_py(
    spelled_as: str, holder: OwnHolder, *, is_text: bool
) -> None:
    """The loader writes their names into ``own``."""
    key = OwnKey("ranked", "-", holder, is_text=is_text)
    assert KEYS.pool + key.stem == getattr(KEYS, spelled_as)("ranked")


def test_a_variable_beside_a_base_is_a_part_or_a_count() -> None:
    """``pool .. part`` and its like: only names that hold one of PARTS, COUNTS or a family.

    ``set`` and ``DRAWN`` hold one of LABEL_SETS.

    ``own`` and ``one`` are keys of the family's own.

    ``stage`` is given names in ``commands``, ``collect`` in ``names``, ``numbers`` in ``family``.
    """
    used = {name for source in lua().values() for _, name in _VARIABLE.findall(source)}
    assert used <= {
        *("part", "part_before", "right", "stratum", "what"),
        *("commands", "names", "family"),
        *("set", "DRAWN", "own", "one"),
    }


def test_keys_lua_cuts_the_bases_out_of_the_meta_key() -> None:
    source = lua()["keys"]
    assert "string.sub(meta_key, 1, -5)" in source
    assert KEYS.meta[: -len("meta")] == KEYS.prefix
    assert "prefix .. 'g' .. generation .. ':'" in source
    assert KEYS.pool == f"{KEYS.prefix}g3:"
    assert "prefix .. 'epoch:' .. meta[2] .. ':'" in lua()["under_way"]
