"""Change the settings of a live curriculum.

One script replaces the config, its numbers and its version, and notes the change as an event. If
the indices depend on what changed, they are then built anew in bounded steps (``Store.reindex``).
Until that is done every write is refused with a code; the worker that gets it helps to finish, then
sends its write again. So a draw never sees an index that is half old, and a process that is killed
in between leaves the rest to the next caller.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from functools import partial
from typing import Any

from redis_curriculum._protocol.plan import InThread, Plan
from redis_curriculum._store.contracts import CONFIGURE
from redis_curriculum._store.generate import can_generate
from redis_curriculum._store.making import is_custom, tried_out
from redis_curriculum._store.store import Store
from redis_curriculum._store.variant import packed_hypers
from redis_curriculum._values.rules import canonical_json
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.resume import retuned
from redis_curriculum.errors import (
    ConfigChangedError,
    CurriculumError,
    InvalidInputError,
    UnindexedError,
)

Changes = list[tuple[str, Any, Any]]
"""Dotted field, old value, new value."""


def configure(store: Store, settings: Mapping[str, Any], *, shrink: bool) -> Plan[Changes]:
    """Change tunable settings; see ``Curriculum.configure``.

    Whoever changed others meanwhile has won: the change is made again, from the config that is
    stored then.
    """
    token, changes = secrets.token_hex(8), Changes()
    while True:
        yield from store.reload()
        config = yield from _tried(store, _changed(store, settings, shrink=shrink))
        found = store.config.differences(config)
        if not found:
            # The object of a generator may be another.
            store.configure(config, store.config_version)
            return changes
        changes = found
        try:
            version = yield from _send(store, config, changes, token)
        except ConfigChangedError:
            continue
        except UnindexedError:
            yield from store.reindex()
            continue
        store.configure(config, version)
        try:
            yield from store.reindex()
        except CurriculumError as error:  # the settings are changed; workers do the rest
            error.applied = "unknown"
            raise
        return changes


def _changed(store: Store, settings: Mapping[str, Any], *, shrink: bool) -> CurriculumConfig:
    """The config with the new settings, checked before anything is sent."""
    old = store.config
    config = retuned(old, settings).bind_as(old)
    if config.most_tasks and not old.most_tasks:
        rule = "of the kind that it is: the rows of a table are put in from the first one on"
        raise InvalidInputError("task_generator", rule, config.task_generator)
    if config.num_active_tasks < old.num_active_tasks and not shrink:
        rule = (
            f"at least {old.num_active_tasks}, or shrink=True (--shrink) must allow that the tasks"
            " of lowest rank go"
        )
        raise InvalidInputError("num_active_tasks", rule, config.num_active_tasks)
    return config


def _tried(store: Store, config: CurriculumConfig) -> Plan[CurriculumConfig]:
    """Make a task by a new generator: one that always fails would stop every worker."""
    if config.makes_as(store.config) or (is_custom(config) and not store.playing):
        return config
    if (yield InThread(partial(can_generate, config))):
        config = yield InThread(config.with_fingerprint)
        yield from tried_out(config, store.settings.retry_deadline_s)
    return config


def _send(store: Store, config: CurriculumConfig, changes: Changes, token: str) -> Plan[int]:
    begin, surplus = "", max(0, store.config.num_active_tasks - config.num_active_tasks)
    if store.config.algorithm.is_indexed_otherwise(config.algorithm):
        begin = f"start 0 {surplus}"
    elif surplus:
        begin = f"surplus 0 {surplus}"
    noted = canonical_json({field: [old, new] for field, old, new in changes})
    args = (store.config_version, token, config.to_json(), config.sha256(), packed_hypers(config))
    event = (begin, config.events_retained, noted, socket.gethostname()[:64], os.getpid())
    version: int = yield from store.server.run(CONFIGURE, *args, *event)
    return version
