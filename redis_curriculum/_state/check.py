"""Does every index agree with the records? Asked in bounded chunks, while workers run.

Two looks. Each task's place in the indices is compared with its record inside one script call, so
no write can come between. Totals (sums, counts by label, sizes) belong to one moment
(``consistent_read.py``). ``repair`` rebuilds the indices from the records, which are the truth;
counters are history, which no record holds: where they disagree, the problem is named and stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from redis_curriculum._protocol.asking import ask, scan, scan_keys
from redis_curriculum._protocol.keys import COUNTS, PARTS
from redis_curriculum._protocol.plan import Plan, Run
from redis_curriculum._sampling.weights import Sums
from redis_curriculum._state.consistent_read import CHUNK, LabelState, Moment
from redis_curriculum._state.expected import Place, Totals, places_of
from redis_curriculum._store.contracts import REPAIR_LABELS, REPAIR_SUMS, REPAIR_TASKS
from redis_curriculum._store.store import Store
from redis_curriculum.errors import CurriculumError
from redis_curriculum.tasks.ids import label_hash

_SINGLE: Final = ("fresh", "learning", "ripe", "labels", "inactive", "sums", "quarantine")
_FAMILIES: Final = ("task", "label", "progress", "count", "epoch")


def check(store: Store, *, repair: bool = False) -> Plan[list[str]]:
    """Name every violation; with ``repair``, rebuild the indices first and name what is left.

    Left are counters that disagree, once somebody has meddled with their keys.
    """
    if repair:
        yield from _repair(store)
    places, problems = yield from _places(store)
    for place in places:
        problems += place.problems(store.config.algorithm.hypers)
    totals, moment, labels = yield from _totals(store)
    problems += _total_problems(totals, moment, labels)
    return problems


def _places(store: Store) -> Plan[tuple[list[Place], list[str]]]:
    """Every task that a record, a sorted set or a label's set knows."""
    keys, deadline_s = store.keys, store.settings.retry_deadline_s
    ids: set[int] = set((yield from store.task_ids()))
    found = yield from scan_keys(keys.pool, keys.meta, deadline_s)
    problems, labels = [], set[str]()
    for key in found:
        family, colon, rest = key.removeprefix(keys.pool).partition(":")
        if colon and family == "task" and rest.isdecimal():
            ids.add(int(rest))
        elif colon and family == "label":
            labels.add(rest)
        elif family not in (_FAMILIES if colon else _SINGLE):
            problems.append(f"key {key}: nothing knows it")
    seen: set[tuple[int, str]] = set()
    for label in sorted(labels):
        members = yield from scan("SSCAN", keys.label(label), deadline_s)
        seen.update((int(member), label) for member in members)
    seen.update((task_id, "") for task_id in ids - {task_id for task_id, _ in seen})
    current = str(keys.generation)
    places = yield from places_of(keys, current, sorted(seen), deadline_s)
    return places, problems


def _totals(store: Store) -> Plan[tuple[Totals, Moment, list[LabelState]]]:
    moment = Moment(store.keys, store.settings.retry_deadline_s)
    yield from moment.begin()
    try:
        totals, labels = Totals(store.config.algorithm.hypers), []
        ids = yield from moment.task_ids()
        for start in range(0, len(ids), CHUNK):
            for record in (yield from moment.tasks(ids[start : start + CHUNK])):
                totals.add(record)
        names = yield from moment.label_names()
        for start in range(0, len(names), CHUNK):
            labels += yield from moment.labels(names[start : start + CHUNK])
    except CurriculumError:
        yield from moment.abandon()
        raise
    yield from moment.end()
    for label in labels:
        totals.add_label(label.label, label.progress)
    return totals, moment, labels


def _total_problems(totals: Totals, moment: Moment, labels: list[LabelState]) -> Iterator[str]:
    sizes = dict(zip(PARTS, moment.sizes, strict=True))
    for part in PARTS:
        if totals.parts[part] != sizes[part]:
            yield f"{part} has {sizes[part]} tasks, by the records it is {totals.parts[part]}"
    if totals.sums != moment.sums:
        yield f"sums are {moment.sums}, by the records they are {totals.sums}"
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
    eligible = int(label.progress.get("eligible_count", 0))
    if eligible != totals.eligible[name]:
        yield f"label {name!r}: eligible_count {eligible}, has {totals.eligible[name]}"
    completions = int(label.progress.get("completion_count", 0))
    if name and completions != label.count.get("completions", 0):
        yield f"label {name!r}: {completions} completions in its statistics, not {label.count}"
    for what in COUNTS:
        if label.epoch.get(what, 0) > label.count.get(what, 0):
            yield f"label {name!r}: more {what} in this epoch than ever"


def _repair(store: Store) -> Plan[None]:
    """Tasks to their places, then labels' counts, then what the totals lack; workers go on."""
    keys, deadline_s = store.keys, store.settings.retry_deadline_s
    hypers = store.config.algorithm.hypers
    places, _ = yield from _places(store)
    wrong = [place for place in places if any(place.problems(hypers))]
    head = [keys.generation, hypers.min_samples_for_lp, hypers.min_presentations_for_eviction]
    for start in range(0, len(wrong), CHUNK):
        groups = [_group(place) for place in wrong[start : start + CHUNK]]
        args = [*head, *(word for group in groups for word in group)]
        yield from ask(Run(REPAIR_TASKS, keys.meta, args), deadline_s)
    totals, _, labels = yield from _totals(store)
    names = sorted({*totals.active, *(label.label for label in labels)} - {""})
    for start in range(0, len(names), CHUNK):
        args = [keys.generation, *names[start : start + CHUNK]]
        yield from ask(Run(REPAIR_LABELS, keys.meta, args), deadline_s)
    totals, _, labels = yield from _totals(store)
    lacking = [
        (label.label, totals.eligible[label.label] - int(label.progress.get("eligible_count", 0)))
        for label in labels
    ]
    yield from _mend(store, Sums(), [pair for pair in lacking if pair[1]])
    totals, moment, _ = yield from _totals(store)
    ours, theirs = totals.sums, moment.sums
    lack = Sums(ours.s - theirs.s, ours.q0 - theirs.q0, ours.q1 - theirs.q1, ours.q2 - theirs.q2)
    yield from _mend(store, lack, [])


def _group(place: Place) -> tuple[int | str, ...]:
    label = place.label or ""
    return (place.task_id, place.seen_in, label, label_hash(label) if label else 0)


def _mend(store: Store, lack: Sums, labels: Iterable[tuple[str, int]]) -> Plan[None]:
    """One call, never sent twice: adding is not the same whenever it comes."""
    hypers = store.config.algorithm.hypers
    pooled = int(hypers.pooling == "label")
    flat = [word for pair in labels for word in pair]
    if lack == Sums() and not flat:
        return
    sums = (lack.s, lack.q0, lack.q1, lack.q2)
    args = [store.keys.generation, pooled, hypers.performance_bonus_weight, *sums, *flat]
    yield Run(REPAIR_SUMS, store.keys.meta, args)
