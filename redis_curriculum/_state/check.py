"""Does every index agree with the records? Asked in bounded chunks, while workers run.

Two looks. Each task's place in the indices is compared with its record inside one script call, so
no write can come between. Totals (sums, counts by label, sizes) belong to one moment
(``consistent_read.py``). ``repair`` rebuilds the indices from the records, which are the truth;
counters are history, which no record holds: where they disagree, the problem is named and stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from redis_curriculum._protocol.keys import COUNTS, LABEL_SETS, PARTS
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.stored import field, malformed, text
from redis_curriculum._protocol.stored import ids as stored_ids
from redis_curriculum._sampling.pool import PoolTask
from redis_curriculum._state.consistent_read import CHUNK, LabelState, Moment, Turn
from redis_curriculum._state.expected import Place, Totals, places_of, statistics_of
from redis_curriculum._state.file import Progress
from redis_curriculum._state.format import check_statistics
from redis_curriculum._store.contracts import REPAIR_INDEX, REPAIR_LABELS, REPAIR_SUMS, REPAIR_TASKS
from redis_curriculum._store.read import task_ids
from redis_curriculum._store.store import Store
from redis_curriculum._values.rules import validate_flag
from redis_curriculum.errors import (
    ConfigChangedError,
    CurriculumError,
    InvalidInputError,
    SnapshotError,
    UnindexedError,
)

_SINGLE: Final = (
    *(*PARTS, "labels", "inactive", "weight_sums", "cell_sums", "groups", *LABEL_SETS),
    *("quarantine", "statistics", "task_weights", "batches", "batch_order"),
)
_FAMILIES: Final = ("task", "label", "progress", "count", "epoch", "cell")


def check(
    store: Store, *, repair: bool = False, progress: Progress | None = None
) -> Plan[list[str]]:
    """Name every violation; with ``repair``, rebuild the indices first and name what is left.

    Left are counters that disagree, once somebody has meddled with their keys. If settings change
    meanwhile that the indices depend on, it begins again.
    """
    is_to_repair = validate_flag(repair, "repair")
    while True:
        yield from store.reload()
        yield from store.reindex()
        before = store.config
        try:
            if is_to_repair:
                yield from _repair(store)
            problems = yield from _problems(store, progress)
        except (ConfigChangedError, UnindexedError):
            continue
        yield from store.reload()
        if not before.algorithm.is_indexed_otherwise(store.config.algorithm):
            return problems


def _problems(store: Store, progress: Progress | None) -> Plan[list[str]]:
    places, problems = yield from _places(store)
    for place in places:
        problems += place.problems(store.config.algorithm)
    totals, moment, labels = yield from _totals(store, progress)
    problems += _total_problems(totals, moment, labels)
    try:
        check_statistics(store.config.algorithm, "pool", moment.statistics)
    except InvalidInputError as error:
        problems.append(f"the pool's {error}")
    return problems


def _places(store: Store) -> Plan[tuple[list[Place], list[str]]]:
    """Every task that a record, a sorted set or a label's set knows."""
    server, keys = store.server, store.server.keys
    ids: set[int] = set((yield from task_ids(store)))
    own = {f"{keys.pool}{key.stem}": key for key in store.config.algorithm.OWN}
    of_tasks = {at: key.is_sorted for at, key in own.items() if key.holder == "task"}
    for at, is_sorted in {keys.task_weights: True, **of_tasks}.items():
        flat = yield from server.scan("ZSCAN" if is_sorted else "HSCAN", at)
        ids.update(stored_ids(at, flat[::2]))
    found = yield from server.scan_keys(keys.pool)
    problems, labels = [], set[str]()
    for key in found:
        family, colon, rest = key.removeprefix(keys.pool).partition(":")
        if colon and family == "task" and rest.isdecimal():
            ids.add(int(rest))
        elif colon and family in ("label", "members"):
            labels.add(rest)
        elif key not in own and family not in (_FAMILIES if colon else _SINGLE):
            problems.append(f"key {key}: nothing knows it")
    seen: set[tuple[int, str]] = set()
    for label in sorted(labels):
        for command, key in (("SSCAN", keys.label(label)), ("ZSCAN", keys.members(label))):
            members = yield from server.scan(command, key)
            listed = members[::2] if command == "ZSCAN" else members
            seen.update((member, label) for member in stored_ids(key, listed))
    seen.update((task_id, "") for task_id in ids - {task_id for task_id, _ in seen})
    current = str(keys.generation)
    places = yield from places_of(server, current, sorted(seen), store.config)
    return places, problems


def _totals(
    store: Store, progress: Progress | None = None
) -> Plan[tuple[Totals, Moment, list[LabelState]]]:
    """Read one moment; give way to a snapshot, wait for its end and begin anew."""
    turn = Turn(store.server.deadline_s)
    while True:
        try:
            return (yield from _totals_at_once(store, turn, progress))
        except SnapshotError as error:  # the moment was lost, or another one's lasts too long
            yield from turn.wait(error)


def _totals_at_once(
    store: Store, turn: Turn, progress: Progress | None
) -> Plan[tuple[Totals, Moment, list[LabelState]]]:
    scorer = store.config.algorithm
    moment = Moment(store.server, store.config.algorithm)
    yield from moment.begin(turn, gives_way=True)
    try:
        totals, labels = Totals(scorer), []
        ids = yield from moment.task_ids()
        for start in range(0, len(ids), CHUNK):
            for record in (yield from moment.tasks(ids[start : start + CHUNK])):
                _add(totals, moment, record)
            if progress:
                progress(min(start + CHUNK, len(ids)), len(ids))
        names = yield from _label_names(moment)
        for start in range(0, len(names), CHUNK):
            labels += yield from moment.labels(names[start : start + CHUNK])
    except CurriculumError:
        yield from moment.abandon()
        raise
    yield from moment.end()
    for label in labels:
        statistics = statistics_of(scorer, "label", label.progress)
        totals.look_at(f"label {label.label!r}", "label", statistics)
        totals.add_label(label.label, statistics)
        totals.own.add_label(label.label, statistics, label.own, is_known=label.is_known)
    totals.own.add_pool(moment.statistics, moment.own)
    return totals, moment, labels


def _add(totals: Totals, moment: Moment, record: dict[str, str]) -> None:
    task_id = int(record["task_id"])
    try:
        statistics = statistics_of(moment.scorer, "task", record)
        totals.look_at(f"task {task_id}", "task", statistics)
        label = field(record, "label", text)
        totals.add(label, statistics)
    except InvalidInputError as error:
        key = moment.server.keys.task(task_id)
        raise malformed(key, error.field, error.value) from error
    totals.own.add_task(PoolTask(task_id, label, statistics), moment.own_of(task_id, record))


def _label_names(moment: Moment) -> Plan[list[str]]:
    """Labels that have tasks or are remembered, and those that only the draws know."""
    names = set((yield from moment.label_names()))
    for name in LABEL_SETS:
        key = f"{moment.server.keys.pool}{name}"
        names.update((yield from moment.server.scan("ZSCAN", key))[::2])
    for own in moment.scorer.OWN:
        if own.holder == "label":
            words = ("ZSCAN" if own.is_sorted else "HSCAN", f"{moment.server.keys.pool}{own.stem}")
            names.update((yield from moment.server.scan(*words))[::2])
    return sorted(names)


def _total_problems(totals: Totals, moment: Moment, labels: list[LabelState]) -> Iterator[str]:
    yield from totals.unlikely
    yield from totals.own.problems
    yield from totals.own.wrong_indices()
    sizes = dict(zip(PARTS, moment.sizes, strict=True))
    for part in PARTS:
        if totals.parts[part] != sizes[part]:
            yield f"{part} has {sizes[part]} tasks, by the records it is {totals.parts[part]}"
    for at, names in moment.disagreeing.items():
        what = f"task {at}" if isinstance(at, int) else f"label {at!r}"
        yield f"{what}: {', '.join(names)} for people differ from the packed statistics"
    if (sums := totals.index.sums()) != moment.sums:
        yield f"sums are {moment.sums}, by the records they are {sums}"
    known = {label.label for label in labels}
    for name in sorted(totals.active.keys() - known):
        yield f"label {name!r}: has tasks, but is not listed"
    for label in labels:
        yield from _label_problems(totals, label)
    born, gone = (sum(label.count.get(w, 0) for label in labels) for w in ("created", "evictions"))
    if born - gone != totals.parts.total():
        yield f"created {born} less evictions {gone} is not the pool's {totals.parts.total()} tasks"


def _label_problems(totals: Totals, label: LabelState) -> Iterator[str]:
    name = label.label
    if label.active != totals.active[name]:
        yield f"label {name!r}: listed with {label.active} tasks, has {totals.active[name]}"
    if label.active and label.inactive_ms is not None:
        yield f"label {name!r}: has tasks and is among the inactive"
    if (kept := totals.index.of_label(name)) != label.index:
        yield f"label {name!r}: draws go by {label.index}, by the records it is {kept}"
    completions = int(label.progress.get("completion_count", 0))
    if name and completions != label.count.get("completions", 0):
        yield f"label {name!r}: {completions} completions in its statistics, not {label.count}"
    for what in COUNTS:
        if label.epoch.get(what, 0) > label.count.get(what, 0):
            yield f"label {name!r}: more {what} in this epoch than ever"


def _repair(store: Store) -> Plan[None]:
    """Tasks to their places, then labels' counts, then what the totals lack; workers go on."""
    server, scorer = store.server, store.config.algorithm
    places, _ = yield from _places(store)
    _, moment, _ = yield from _totals(store)
    unreadable = moment.disagreeing
    wrong = [p for p in places if p.task_id in unreadable or any(p.problems(scorer))]
    for start in range(0, len(wrong), CHUNK):
        chunk = wrong[start : start + CHUNK]
        words = (word for place in chunk for word in (place.task_id, place.seen_in))
        yield from server.run(store.script(REPAIR_TASKS), store.config_version, *words)
    totals, _, labels = yield from _totals(store)
    known = {label.label for label in labels if label.is_known or label.own}
    names = sorted({*totals.active, *known} - {""})
    for start in range(0, len(names), CHUNK):
        yield from server.run(store.script(REPAIR_LABELS), *names[start : start + CHUNK])
    yield from _repair_index(store)


def _repair_index(store: Store) -> Plan[None]:
    """Labels to where the draws look for them, then what the sums lack.

    Each call is sent once: adding is not the same whenever it comes.
    """
    server, version = store.server, store.config_version
    totals, _, labels = yield from _totals(store)
    wrong = [one for one in labels if totals.index.of_label(one.label) != one.index]
    for start in range(0, len(wrong), CHUNK):
        chunk = wrong[start : start + CHUNK]
        lacking = ((one.label, totals.index.lacking(one.label, one.index)) for one in chunk)
        words = (word for pair in lacking for word in pair)
        yield server.request(store.script(REPAIR_INDEX), version, *words)
    totals, moment, _ = yield from _totals(store)
    ours, theirs = totals.index.sums(), moment.sums
    lack = {name: ours.get(name, 0) - theirs.get(name, 0) for name in sorted({*ours, *theirs})}
    flat = [word for name, amount in lack.items() if amount for word in (name, amount)]
    if any(totals.own.wrong_indices()):
        flat += ["own", 1]
    if flat:
        yield server.request(store.script(REPAIR_SUMS), version, *flat)
    yield from store.reindex()  # some draws have their sums made anew
