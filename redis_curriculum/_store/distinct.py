"""Draws that differ: what a call must know of them, and the pass over the pool that ends it.

The first chunk is drawn by the script, which draws a repeated pick again, within bounds. What it
leaves is chosen here, in one pass over the pool, and handed out by the script. Both are draws
without replacement by the same probabilities, so where one ends and the other begins does not
matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from redis_curriculum._protocol.plan import Plan
from redis_curriculum._sampling.draw import choose_distinct
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum._store.read import pool
from redis_curriculum._store.store import Store
from redis_curriculum.errors import EmptyPoolError
from redis_curriculum.tasks.task import Task


def choosing(store: Store, count: int, drawn: Sequence[Task]) -> Plan[list[int]]:
    """Choose ``count`` tasks other than those drawn; some six round trips per 1,000 tasks.

    The curriculum's own random stream decides: it stands where the last draws have left it. The
    tasks drawn tell two workers apart that read it at the same time.

    Fewer, if the pool has fewer: others may evict tasks meanwhile.

    Raises:
        EmptyPoolError: The pool has no other task.
    """
    found = yield from pool(store)
    state = yield from store.server.command("HGET", store.server.keys.meta, "random")
    known = [task.task_id for task in drawn]
    rng = np.random.default_rng([*RandomStream.from_text(state).state, *known])
    chosen = choose_distinct(found, store.config.algorithm, rng, count, without=known)
    if not chosen:
        raise too_few(count + len(drawn), len(drawn))
    return chosen


def too_few(count: int, there: int) -> EmptyPoolError:
    """Return the error of a call for more distinct tasks than there are."""
    return EmptyPoolError(f"{count} distinct tasks were asked for, the pool has {there}")
