"""Create a curriculum or attach to it; the same plan for the blocking and asyncio handles."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal, TypeAlias, get_args

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._protocol.plan import InThread, Plan
from redis_curriculum._protocol.requirements import (
    audit,
    durability,
    enforce,
    is_older,
    require_schema,
)
from redis_curriculum._protocol.stored import number
from redis_curriculum._state.migrate import migrate
from redis_curriculum._store import create
from redis_curriculum._store.fill import Filling
from redis_curriculum._store.generate import can_generate
from redis_curriculum._store.making import tried_out
from redis_curriculum._store.once import Worker
from redis_curriculum._store.store import Store, stored_config
from redis_curriculum._values.rules import validate_name
from redis_curriculum._wire.urls import Address
from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.config.worker import WorkerSettings
from redis_curriculum.errors import (
    ConfigMismatchError,
    CurriculumExistsError,
    CurriculumNotFoundError,
    InvalidInputError,
    MalformedStateError,
)
from redis_curriculum.tasks.build import changed_data, other_data
from redis_curriculum.tasks.task import TaskGenerator

log: Final = logging.getLogger("redis_curriculum")

_ANSWERED: Final = (
    *("created", "schema", "generation", "config", "next_index"),
    *("tasks", "epoch", "config_version"),
)
"""What ``open`` answers, in its order."""

ResumeMode: TypeAlias = Literal["allow", "never", "must"]
"""Whether ``open`` may attach to a curriculum that is there, or must."""


def server_of(address: Address, name: object, settings: WorkerSettings) -> Server:
    """Return the server as the plans of one curriculum take it, which need not exist.

    Raises:
        InvalidInputError: The name cannot be used.
    """
    keys = Keys(validate_name(name), key_prefix=address.prefix)
    return Server(keys, settings.retry_deadline_s)


def opening(
    address: Address,
    name: object,
    config: CurriculumConfig | None,
    settings: WorkerSettings,
    generator: TaskGenerator | None,
    *,
    resume: ResumeMode = "allow",
    fill: bool = False,
    worker: Worker | None = None,
) -> Plan[Store]:
    """Audit the server, attach or create; three round trips, more while creating.

    It is filled where it is new (whoever comes first) or empty, or if ``fill``. A later gap is for
    the next draw: who attaches changes nothing, and a resumed run draws what it would have drawn.
    A curriculum of an older schema is migrated first, if no worker of the older version is live.
    ``worker``: who the handle has been so far; it goes on under the name and the counts of that.

    Raises:
        InvalidInputError: The name, the config or the generator cannot be used.
        GeneratorError: The generator fails for 16 task ids in a row.
        KeyTypeError: Something else stands at one of our keys.
        CurriculumNotFoundError: There is none of that name, and ``resume`` is "must" or no config
            was given.
        CurriculumExistsError: There is one, and ``resume`` is "never".
        ConfigMismatchError: ``config`` differs from the stored one.
        MigrationError: Its keys are of an older schema, and its workers are live.
        UnsupportedServerError: The server would lose data, or its keys are of another version.
    """
    server = server_of(address, name, settings)
    name = server.keys.name
    config = _checked(config, generator, resume, settings)
    if config is not None and (yield InThread(partial(can_generate, config))):
        marked: CurriculumConfig = yield InThread(config.with_fingerprint)
        yield from tried_out(marked, settings.retry_deadline_s)
        config = marked
    info = yield from server.info()
    kept = durability(info) if address.kind != "embedded" else []
    failing = [finding for finding in kept if finding.level == "fail"]
    fixed = address.kind not in ("sentinel", "cluster")
    enforce(audit(info, fixed=fixed, persistent=False) + failing, address.public)
    reply = yield from _found(server, resume)
    if not reply:
        if config is None or resume == "must":
            raise CurriculumNotFoundError(name)
        reply = yield from create.created(server, config)
    created, schema, generation, stored, next_index, size, epoch, version = reply
    require_schema(name, schema)
    _check_answer(server, reply)
    if not created:
        if resume == "never":  # another process was quicker
            raise CurriculumExistsError(name)
        config = _agreed(name, stored_config(server.keys, stored), config, generator)
    assert config is not None  # noqa: S101 - given, or read from the server
    check_ahead(config, settings)
    yield from same_data(config)
    store = Store(server.at(generation), config, settings, epoch, worker=worker)
    store.configure(config, version)
    store.worker.meet(info)
    if created:  # who creates it is told how long it will live; its workers need not be
        enforce(kept, address.public)
        log.info("created %r, epoch 0", name)
    elif log.isEnabledFor(logging.INFO):
        log.info((yield from _told(store)))
    filled = size > 0 and next_index >= config.num_active_tasks
    if (fill or not filled) and size < config.num_active_tasks and store.can_generate:
        yield from Filling(config.num_active_tasks - size, is_patient=True).plan(store)
    return store


def reopening(address: Address, former: Store) -> Plan[Store]:
    """Attach to what now stands under the name of a store, as a new worker; see ``reopen``."""
    yield from former.worker.leave()
    name, settings = former.server.keys.name, former.settings
    try:
        store = yield from opening(address, name, None, settings, None, worker=former.worker)
    except BaseException:
        former.worker.serve(former.server, former.reindex)
        raise
    store.unfinished.caller = former.unfinished.caller
    store.backlog.succeed(former.backlog)
    store.ahead.succeed(former.ahead)
    config = store.config.bind_as(former.config)
    yield InThread(partial(can_generate, config))  # the store finds what this has built
    store.configure(config, store.config_version)
    return store


def _check_answer(server: Server, reply: Sequence[Any]) -> None:
    for field, value in zip(_ANSWERED, reply, strict=True):
        if value is None:
            raise MalformedStateError(server.keys.name, f"meta.{field}", value)


def same_data(config: CurriculumConfig, generator: TaskGenerator | None = None) -> Plan[None]:
    """Compare the data of the generators that are here with the fingerprints of a stored config.

    Raises:
        ConfigMismatchError: They are made of other data.
    """
    if generator is not None:
        config = config.bind(generator)
    if not (yield InThread(partial(can_generate, config))):
        return
    changed = yield InThread(partial(changed_data, config.task_generator))
    if changed:
        raise ConfigMismatchError(
            "the data of the task generator has changed since this curriculum was created (bring"
            " the old data back, begin another curriculum, or restore a snapshot with an override"
            " of task_generator):",
            changed,
        )


def check_ahead(config: CurriculumConfig | None, settings: WorkerSettings) -> None:
    """Refuse to draw tasks ahead where each task that is drawn must be played.

    Raises:
        InvalidInputError: ``prefetch``.
    """
    scorer = config.algorithm if config else None
    if settings.prefetch and scorer and not scorer.DRAWS_AHEAD:
        rule = f'0 with the algorithm "{scorer.kind}", which refuses tasks that are drawn ahead'
        raise InvalidInputError("prefetch", rule, settings.prefetch)


def _found(server: Server, resume: ResumeMode) -> Plan[list[Any]]:
    """Attach to what is there, migrated if it is of an older schema; [] where nothing is."""
    found = yield from create.found(server)
    if found and resume == "never":
        raise CurriculumExistsError(server.keys.name)
    if found and is_older(found[1]):
        yield from migrate(server)
        found = yield from create.found(server)
    return found


def _told(store: Store) -> Plan[str]:
    """Say to what a handle has attached; three round trips, more with hundreds of labels."""
    server, keys = store.server, store.server.keys
    (created_ms,) = yield from server.command("HMGET", keys.meta, "created_ms")
    results = sum((yield from server.scan_counts(keys.count("completions"))).values())
    since = _ago(number(keys, "created_ms", created_ms, 0), (yield from server.now_ms()))
    return f"attached to {keys.name!r}: {results:,} results, created {since}, epoch {store.epoch}"


def _ago(then_ms: int, now_ms: int) -> str:
    """Say how long ago a moment was; days are those of the local calendar."""
    then, now = (datetime.fromtimestamp(ms / 1000, UTC).astimezone() for ms in (then_ms, now_ms))
    days, minutes = (now.date() - then.date()).days, (now_ms - then_ms) // 60_000
    if days > 1:
        return f"{days} days ago"
    if days == 1 and minutes >= 12 * 60:
        return "yesterday"
    for count, unit in ((minutes // 60, "hour"), (minutes, "minute")):
        if count > 0:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _checked(
    config: CurriculumConfig | None,
    generator: TaskGenerator | None,
    resume: object,
    settings: WorkerSettings,
) -> CurriculumConfig | None:
    if not isinstance(resume, str) or resume not in get_args(ResumeMode):
        raise InvalidInputError("resume", '"allow", "never" or "must"', resume)
    if config is None and resume == "never":
        raise InvalidInputError("config", 'given where resume is "never"', config)
    if config is not None and not isinstance(config, CurriculumConfig):
        raise InvalidInputError("config", "a CurriculumConfig", config)
    check_ahead(config, settings)
    if config is not None and generator is not None:
        config = config.bind(generator)
    return config


def _agreed(
    name: str,
    stored: CurriculumConfig,
    given: CurriculumConfig | None,
    generator: TaskGenerator | None,
) -> CurriculumConfig:
    """The stored config; a given one must equal it, and brings the user's own generators."""
    if given is None:
        return stored if generator is None else stored.bind(generator)
    differences = stored.differences(given)
    if differences:
        data = other_data(stored.task_generator, given.task_generator)
        differences = [*(found for found in data if found not in differences), *differences]
        raise ConfigMismatchError(
            f"curriculum {name!r} exists with another config (open it without one to use that):",
            differences,
        )
    return given
