"""The pass over the pool that ends a call which the script would draw too long for.

Draws that differ: the first chunk is drawn by the script, which draws a repeated pick again, within
bounds. What it leaves is chosen here, and handed out by the script. Both are draws without
replacement by the same probabilities, so where one ends and the other begins does not matter.

Draws by the trainer's weights: the script gives up where the weights differ so much that hardly any
pick is accepted. Then the rest is chosen here, by the same probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from redis_curriculum._protocol.plan import Plan
from redis_curriculum._sampling.draw import choose, choose_distinct
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum._store.read import pool
from redis_curriculum._store.store import Store
from redis_curriculum.errors import EmptyPoolError


def choosing(store: Store, count: int, known: Sequence[int], *, distinct: bool) -> Plan[list[int]]:
    """Choose ``count`` tasks; some six round trips per 1,000 tasks of the pool.

    If ``distinct``, other ones than those known.

    The curriculum's own random stream decides: it stands where the last draws have left it. The
    known ids tell two workers apart that read it at the same time.

    Fewer, if the pool has fewer: others may evict tasks meanwhile.

    Raises:
        EmptyPoolError: The pool has no other task, or all have weight 0.
    """
    state = yield from store.server.command("HGET", store.server.keys.meta, "random")
    found = yield from pool(store)
    rng = np.random.default_rng([*RandomStream.from_text(state).state, *known])
    if distinct:
        chosen = choose_distinct(found, store.config.algorithm, rng, count, without=known)
    else:
        chosen = choose(found, store.config.algorithm, rng, count)
    if chosen:
        return chosen
    if found.task_weights is not None and not found.task_weights.any():
        raise EmptyPoolError("every task of the pool has weight 0")
    if distinct:
        raise too_few(count + len(known), len(known))
    return []


def too_few(count: int, there: int) -> EmptyPoolError:
    """Return the error of a call for more distinct tasks than there are, or are ever drawn."""
    return EmptyPoolError(f"{count} distinct tasks were asked for, the pool has {there}")
