"""From a snapshot back to a curriculum: all or nothing.

The file is checked to its end before anything is sent. Then a new generation is written beside the
current one, read back and compared with what its records imply, and made current by one script that
compares and sets. Killed at any point, the curriculum is entirely old or entirely new; what a
killed restore has staged expires; if it was killed in the last moment before that script, the next
restore or ``gc`` removes it. One that fails removes it itself.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from redis_curriculum._protocol.asking import Server
from redis_curriculum._protocol.keys import EPOCH
from redis_curriculum._protocol.plan import Plan
from redis_curriculum._protocol.requirements import audit, enforce, schema_finding
from redis_curriculum._protocol.stored import number
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum._state.file import Progress, checked_progress
from redis_curriculum._state.format import COUNTERS
from redis_curriculum._state.intake import Intake
from redis_curriculum._state.stage import Stage, drop_generations
from redis_curriculum._store.contracts import FLIP, REINDEX
from redis_curriculum._store.names import announce
from redis_curriculum._store.variant import variant_of
from redis_curriculum._values.rules import canonical_json, validate_flag
from redis_curriculum.errors import (
    CurriculumError,
    CurriculumNotFoundError,
    EpochError,
    ServerUnavailableError,
    SnapshotError,
    StaleGenerationError,
)

_LOOKS: Final = 8
"""How often a restore looks for epochs before it gives up."""


def restoring(
    server: Server, url: str, intake: Intake, *, replace: bool, progress: Progress | None
) -> Plan[None]:
    """Stage, verify, flip. See ``Curriculum.restore``.

    ``url`` is the server's, without password: messages name it.
    """
    validate_flag(replace, "replace")
    checked_progress(progress)
    name = server.keys.name
    info = yield from server.info()
    enforce(audit(info, persistent=False), url)
    current, schema = yield from server.command("HMGET", server.keys.meta, "generation", "schema")
    other = schema_finding(name, schema or "") if current is not None else None
    if other:
        raise SnapshotError(f"{other.what}; {other.remedy}")
    if current is not None and not replace:
        raise SnapshotError(
            f"curriculum {name!r} exists on {url}; replace=True (--replace) replaces it"
        )
    if (current, schema) != (None, None):
        number(server.keys, "generation", current)
    # Whoever creates it now begins after the generation of a deleted curriculum.
    deleted = yield from server.command("GET", server.keys.deleted)
    server = server.at(int(current or int(deleted or 0) + 1) + 1)
    if current is None:
        yield from announce(server)
    stage = Stage(server, current or "", intake)
    try:
        yield from stage.write(progress)
        yield from _flip(stage)
    except GeneratorExit:  # interrupted while a reply was awaited: the claim will end by itself
        raise
    except BaseException as error:
        if isinstance(error, CurriculumError) and not isinstance(error, ServerUnavailableError):
            yield from stage.discard()
        yield from stage.abandon()
        if isinstance(error, (StaleGenerationError, CurriculumNotFoundError)):
            raise SnapshotError(
                f"curriculum {name!r} was created or replaced meanwhile; nothing was restored"
            ) from None
        raise
    with suppress(CurriculumError):  # what is left is for the workers
        reindex = REINDEX.script(variant_of(intake.config.algorithm))
        while stage.is_unindexed and (yield from server.run(reindex)):
            pass
    with suppress(CurriculumError):  # what is left is for the next restore, or for gc
        yield from drop_generations(server)


def _flip(stage: Stage) -> Plan[None]:
    """Make it the current generation. One round trip, after a look for older epochs.

    A trainer that ends an epoch meanwhile makes the script refuse: then it is looked for again.
    """
    config = stage.intake.config
    note = canonical_json(stage.intake.forced) if stage.intake.forced else ""
    meta = [word for pair in _meta(stage).items() for word in pair]
    for _ in range(_LOOKS):
        current, gone = yield from _older_epochs(stage.server)
        args: list[str | int | bytes] = [*stage.head, stage.steps, current]
        args += [config.events_retained, note, len(stage.epochs), len(gone)]
        args += [*sorted(stage.epochs), *gone, *meta]
        with suppress(EpochError):
            yield from stage.server.run(FLIP, *args)
            return
    raise SnapshotError("epochs end too fast for a restore; end the trainer, then try again")


def _meta(stage: Stage) -> dict[str, str | int | bytes]:
    """Return all of ``meta``: the counters of the file, then what the file cannot choose."""
    manifest, forced = stage.intake.manifest, stage.intake.forced
    epochs = (int(name.partition(":")[0]) for name in stage.epochs)
    oldest = min(epochs, default=manifest.epoch)
    return {
        **{name: manifest.counters[name] for name in COUNTERS if name in manifest.counters},
        **stage.meta,
        "epoch": manifest.epoch,
        **({"oldest_epoch": oldest} if oldest else {}),
        "created_ms": manifest.curriculum_created_ms,
        "random": RandomStream(manifest.random).text,
        "next_index": manifest.next_index,
        "forced": canonical_json(manifest.forced + forced),
    }


def _older_epochs(server: Server) -> Plan[tuple[str, list[str]]]:
    """Return the epoch that is current (empty: none) and all counters, ``<epoch>:<what>``."""
    current = (yield from server.command("HGET", server.keys.meta, "epoch")) or ""
    stem = f"{server.keys.prefix}epoch:"
    found = yield from server.scan_keys(stem)
    names = {key.removeprefix(stem) for key in found}
    numbers = {name.partition(":")[0] for name in names} | ({current} - {""})
    return current, sorted(names | {f"{n}:{what}" for n in numbers for what in EPOCH})
