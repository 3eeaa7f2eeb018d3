"""The lines that a scorer family puts into the scripts, written from what its class declares.

So a hyperparameter or a statistic is declared once: as a field or a ``Statistic`` of the class. In
Lua it is then a local, or a field of a task's or label's table, of the same name.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

from redis_curriculum._protocol.records import FIELDS, STATS
from redis_curriculum._protocol.scripts import Script, all_of, folder
from redis_curriculum._protocol.splice import Variant
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.scorers.base import Scorer, as_numbers, hyperparameters, lengths
from redis_curriculum.scorers.own import MOST_FIELDS, OwnDraws, OwnKey
from redis_curriculum.scorers.registry import family, kinds
from redis_curriculum.scorers.statistics import ROUNDING, Holder, Statistics

READABLE: Final = ("completion_count", "learning_progress", "success_rate_ema")
"""Statistics that stand beside ``stats`` as text, where the family has them; so does last_score."""
_OF_CURRICULUM: Final = (
    "num_active_tasks",
    "epochs_retained",
    "labels_retained",
    "events_retained",
)


def packed_hypers(config: CurriculumConfig) -> bytes:
    """Return the numbers of a config as the scripts unpack them: little-endian doubles.

    Behind them stand the quotas of labels, if there are any: the number of bytes, and of each two
    doubles, the length of the name and the name.
    """
    own = [float(getattr(config, name)) for name in _OF_CURRICULUM]
    numbers = [*own, *as_numbers(config.algorithm)]
    packed, quotas = struct.pack(f"<{len(numbers)}d", *numbers), b""
    for label, (least, greatest) in config.algorithm.label_share.items():
        name = label.encode()
        quotas += struct.pack("<ddH", least, greatest, len(name)) + name
    return packed + (struct.pack("<d", len(quotas)) + quotas if quotas else b"")


def readable(
    scorer: Scorer, holder: Holder, of: Statistics, last_score: float | None
) -> dict[str, float | bytes]:
    """Return the fields in which statistics are stored: packed, and some as text beside."""
    if not of:
        return {}
    texts = {name: of[name] for name in READABLE if name in of}
    texts["completion_count"] = int(of["completion_count"])
    return {"stats": scorer.packed(holder, of), **texts, "last_score": last_score or 0.0}


def variant_of(scorer: Scorer) -> Variant:
    """Return what the scripts of this family are spliced with, as its structural settings say."""
    holders: tuple[Holder, ...] = (*_HOLDERS, _POOL)
    stored: tuple[tuple[Holder, tuple[str, ...]], ...]
    stored = tuple((holder, scorer.stored(holder)) for holder in holders)
    packing = _Packing(type(scorer), stored, tuple(sorted(scorer.aliases.items())))
    return _variant(packing, len(scorer.reported), tuple(lengths(scorer).items()))


def every_script() -> list[Script]:
    """Return every script of every installed family, whatever its settings; each once."""
    layouts = [scorer for kind in kinds() for scorer in family(kind).layouts()]
    return all_of({variant_of(scorer) for scorer in layouts})


_HUGE: Final = 1e300
_HOLDERS: Final[tuple[Holder, Holder]] = ("task", "label")
_POOL: Final[Holder] = "pool"


@cache
def _variant(packing: _Packing, reported: int, tuples: tuple[tuple[str, int], ...]) -> Variant:
    family = packing.family
    kind = family.model_fields["kind"].default
    own = folder() / "scorers" / f"{kind}.lua"
    return Variant(
        scorer=family.LUA or own,
        draw=folder_of(family),
        uniform=folder() / "draws" / "uniform",
        evictable=folder() / "evictions" / f"{family.EVICTS}.lua",
        generated={
            "hypers": "".join(_hypers(family, dict(tuples))),
            "unpacking": "".join(packing.unpacking()),
            "reading": "".join(packing.reading()),
            "packing": "".join(packing.packing()),
            "statistic_names": "".join(packing.names()),
            "pool_statistics": "".join(packing.of_pool()),
            "result": f"local RESULT_WIDTH = {2 + reported}\n",
            "folds": "".join(_folds(reported)),
            "own": "".join(_own_keys(family)),
            **_taken(folder_of(family)),
        },
    )


def folder_of(family: type[Scorer]) -> Path:
    """Return where the Lua files of a family's draws are."""
    return (
        family.DRAW.LUA if isinstance(family.DRAW, OwnDraws) else folder() / "draws" / family.DRAW
    )


def _own_keys(family: type[Scorer]) -> Iterator[str]:
    """The keys of the family's own, with what tasks and labels begin with."""
    lists = {"task": "OWN_TASKS", "label": "OWN_LABELS", "pool": "OWN_POOL"}
    for holder, name in lists.items():
        keys = (_own_key(key) for key in family.OWN if key.holder == holder)
        yield f"local {name} = {{ {', '.join(keys)} }}\n"
    yield f"local MOST_OWN = {MOST_FIELDS}\n"


def _own_key(key: OwnKey) -> str:
    fields = [f"name = '{key.name}', key = '{key.stem}'"]
    fields += ["is_text = true"] if key.is_text else []
    fields += (
        [f"first = {json.dumps(key.first, ensure_ascii=False)}"] if key.first is not None else []
    )
    return f"{{ {', '.join(fields)} }}"


def _taken(draws: Path) -> dict[str, str]:
    """What a draw tells the family's own file, if there is one: which tasks are handed out."""
    if draws.name == "uniform" or not (draws / "taken.lua").is_file():
        return dict.fromkeys(("noted", "note_again", "note_or_next"), "")
    return {
        "noted": "--@include hand_out\n",
        "note_again": "hand_out_again(id)\n",
        "note_or_next": "while id and not hand_out(id) do\n  id = next_pick()\nend\n",
    }


def _hypers(family: type[Scorer], tuples: Mapping[str, int]) -> Iterator[str]:
    """One local a hyperparameter; flags become booleans, choices one boolean each."""
    found = {**dict.fromkeys(_OF_CURRICULUM, ()), **hyperparameters(family)}
    parts = {name: [f"{name}_{i + 1}" for i in range(count)] for name, count in tuples.items()}
    names = [each for name in found for each in parts.get(name, [name])]
    size = 8 * len(names)
    yield f"if not packed_hypers or #packed_hypers ~= {size} and (#packed_hypers < {size + 8} or\n"
    yield f"  #packed_hypers ~= {size + 8} + struct.unpack('<d', packed_hypers, {size + 1})) then\n"
    yield "  malformed(meta_key, 'hypers', packed_hypers)\n"
    yield "end\n"
    yield f"local {', '.join(names)} =\n"
    yield f"  struct.unpack('<{'d' * len(names)}', packed_hypers)\n"
    yield f"local packed_quotas = string.sub(packed_hypers, {size + 9})\n"
    for name, choices in found.items():
        field = family.model_fields.get(name)
        if field is not None and field.annotation is bool:
            yield f"{name} = {name} == 1\n"
        if choices:
            flags = ", ".join(f"{name}_is_{choice}" for choice in choices)
            yield f"local {flags} = {', '.join(f'{name} == {i}' for i in range(len(choices)))}\n"
        if name in parts:
            yield f"local {name} = {{ {', '.join(parts[name])} }}\n"


def _folds(reported: int) -> Iterator[str]:
    """A result into what the family keeps; the arguments after its score are numbers."""
    numbers = [f"number_{n + 1}" for n in range(reported)]
    if numbers:
        values = ", ".join(f"tonumber(results[i + {2 + n}])" for n in range(reported))
        yield f"local {', '.join(numbers)} = {values}\n"
    given = ", ".join(["score", *numbers])
    yield f"fold_pool(of_pool, task, {given})\n"
    yield f"fold_task(task, {given})\n"
    yield f"fold_label(label, {given})\n"


@dataclass(frozen=True)
class _Packing:
    """The functions that read and write the field ``stats``."""

    family: type[Scorer]
    stored: tuple[tuple[Holder, tuple[str, ...]], ...]
    """Names of the statistics that the field holds, for a task, a label and the pool."""
    aliases: tuple[tuple[str, str], ...]

    @cached_property
    def _stored(self) -> dict[Holder, tuple[str, ...]]:
        return dict(self.stored)

    @cached_property
    def _aliases(self) -> dict[str, str]:
        return dict(self.aliases)

    def unpacking(self) -> Iterator[str]:
        """Lua's new_task, unpack_task, new_label, unpack_label: from bytes to a table's fields."""
        yield from self._new("task", ("label", "failing", "last_score", "rank_before"))
        yield from self._new("label", ("index", "last_score"))
        yield from self._of_both("unpack", self._unpacking)

    def _new(self, holder: Holder, fields: Sequence[str]) -> Iterator[str]:
        """A table that has room for all its fields: it would be made anew as it grows."""
        absent = [*fields, *(name for name in self._stored[holder] if name != "completion_count")]
        filled = ["key = key", "completion_count = 0", "count = 0", *(f"{n} = nil" for n in absent)]
        yield f"local function new_{holder}(key)\n"
        yield f"  return {{ {', '.join(filled)} }}\n"
        yield "end\n"

    def reading(self) -> Iterator[str]:
        """Lua's read_task and read_label, which do what unpack_task and unpack_label do."""
        yield from self._of_both("read", lambda holder: self._unpacking(holder, "read"))

    def packing(self) -> Iterator[str]:
        """Lua's store_task and store_label: from the fields of a table to its hash."""
        yield from self._of_both("store", self._packing)

    def _of_both(self, verb: str, write: Callable[[Holder], Iterator[str]]) -> Iterator[str]:
        yield from write("task")
        if self._stored["task"] == self._stored["label"]:
            yield f"local {verb}_label = {verb}_task\n"
        else:
            yield from write("label")

    def names(self) -> Iterator[str]:
        """Lua's lists: what stands in a hash as text; all statistics, also those not stored."""
        for holder, texts_of in zip(_HOLDERS, (FIELDS, ("last_score",)), strict=True):
            fields = dict.fromkeys((*texts_of, *READABLE))
            fields.pop(STATS, None)
            names = ", ".join(f"'{name}'" for name in fields)
            yield f"local {holder.upper()}_FIELDS = {{ {names} }}\n"
            held = [s.name for s in self.family.STATISTICS if holder in s.holders]
            known = [n for n in held if n in self._stored[holder] or n in self._aliases]
            texts = ", ".join(f"'{name}'" for name in known)
            yield f"local {holder.upper()}_STATISTICS = {{ {texts} }}\n"

    def of_pool(self) -> Iterator[str]:
        """Lua's POOL_STATISTICS, unpack_pool and pack_pool; fold_pool where the family has none."""
        names = self._stored["pool"]
        doubles, fields = "d" * len(names), ", ".join(f"p.{name}" for name in names)
        texts = ", ".join(f"'{name}'" for name in names)
        yield f"local POOL_STATISTICS = {{ {texts} }}\n"
        yield f"local function unpack_pool({'p, data' if names else ''})\n"
        if names:
            yield f"  {fields} = struct.unpack('<{doubles}', data)\n"
            yield from self._check(names, "pool .. 'statistics'")
        yield "end\n"
        yield f"local function pack_pool({'p' if names else ''})\n"
        yield f"  return struct.pack('<{doubles}', {fields})\n" if names else ""
        yield "end\n"
        yield "" if names else "local function fold_pool() end\n"

    @property
    def _optional(self) -> set[str]:
        return {s.name for s in self.family.STATISTICS if s.is_optional}

    def _unpacking(self, holder: Holder, verb: str = "unpack") -> Iterator[str]:
        names = self._stored[holder]
        yield f"local function {verb}_{holder}(p, data, key)\n"
        yield f"  if #data ~= {8 * len(names)} then\n"
        yield "    malformed(key, 'stats', data)\n"
        yield "  end\n"
        yield f"  {', '.join(f'p.{name}' for name in names)} =\n"
        yield f"    struct.unpack('<{'d' * len(names)}', data)\n"
        for name in names:
            if name in self._optional:
                yield f"  p.{name} = p.{name} == p.{name} and p.{name} or nil\n"
        yield from self._check(names, "key")
        for name, of in self._aliases.items():
            if of in names:
                yield f"  p.{name} = p.{of}\n"
        yield "end\n"

    def _check(self, names: Sequence[str], key: str) -> Iterator[str]:
        """Refuse statistics that are no numbers, or far out of their ranges.

        This runs for each task and label of a call, so averages are looked at together: NaN and
        what is far outside [0, 1] make the sum of their squares no small number.
        """
        by_name = {s.name: s for s in self.family.STATISTICS}
        squares, found = list[str](), list[str]()
        for name in names:
            low, high = by_name[name].low, by_name[name].high
            value = f"(p.{name} or {low!r})" if name in self._optional else f"p.{name}"
            if (low, high) == (0.0, 1.0):
                squares.append(f"{value} * {value}")
            else:
                low, high = max(low - ROUNDING, -_HUGE), min(high + ROUNDING, _HUGE)
                found.append(f"{value} >= {low!r} and {value} <= {high!r}")
        if squares:
            found.append(f"{' + '.join(squares)} <= {len(squares) + 1}")
        joined = "\n    and ".join(found)
        yield f"  if not ({joined}) then\n"
        yield f"    malformed({key}, 'stats', data)\n"
        yield "  end\n"

    def _packing(self, holder: Holder) -> Iterator[str]:
        names = self._stored[holder]
        optional = self._optional
        values = [f"p.{name} or 0 / 0" if name in optional else f"p.{name}" for name in names]
        texts = [f"'{name}', p.{name}" for name in READABLE if name in names]
        yield f"local function store_{holder}(p)\n"
        yield f"  local stats = struct.pack('<{'d' * len(names)}', {', '.join(values)})\n"
        yield f"  call('HSET', p.key, 'stats', stats, {', '.join(texts)},\n"
        yield "    'last_score', p.last_score)\n"
        yield "end\n"
