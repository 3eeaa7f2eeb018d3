"""Errors in our own words: redis-py's, the server's and our scripts' codes."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

from redis import exceptions

from redis_curriculum._protocol.keys import SCHEMA
from redis_curriculum._protocol.scripts import commands_at
from redis_curriculum._protocol.stored import malformed
from redis_curriculum._wire.urls import (
    PASSWORD_VARIABLE,
    SENTINEL_PASSWORD_VARIABLE,
    Address,
)
from redis_curriculum.errors import (
    Applied,
    AuthenticationError,
    ConfigChangedError,
    CurriculumDeletedError,
    CurriculumError,
    CurriculumNotFoundError,
    EpochError,
    IndexTakenError,
    InvalidInputError,
    InvalidURLError,
    KeyTypeError,
    MalformedStateError,
    MigrationError,
    MissingScriptError,
    PermissionDeniedError,
    ScriptError,
    SequenceGapError,
    ServerRefusedError,
    ServerUnavailableError,
    SnapshotError,
    SnapshotRunningError,
    StaleGenerationError,
    UnindexedError,
    UnknownCommandError,
    UnsupportedServerError,
    WorkerFencedError,
    WorkerInUseError,
    without_password,
)


def error_of(code: str, detail: str) -> CurriculumError:
    """Return the exception for a script's error reply ``<code> <detail>``; nothing was written."""
    make = _ERRORS.get(code)
    if make:
        with suppress(ValueError):  # somebody wrote something else where a number was
            return make(detail)
    return ScriptError(f"unknown answer of a script: {code} {detail}")


def _stale(detail: str) -> CurriculumError:
    if detail == "gone":
        return CurriculumNotFoundError()
    if detail.startswith("schema:"):
        return UnsupportedServerError(
            f"the curriculum's keys are now of schema {detail.removeprefix('schema:')}, this"
            f" library knows {SCHEMA}; use the library version that wrote it"
        )
    return StaleGenerationError(
        f"a restore replaced this curriculum's state (it is at generation {detail});"
        " reopen() takes this handle there"
    )


def _malformed(detail: str) -> MalformedStateError:
    """What ``lua/include/malformed.lua`` says: key, field and the first bytes of the value."""
    parts = (unquote_to_bytes(part).decode(errors="replace") for part in detail.split(";"))
    key, field, *value = parts
    return malformed(key, field, value[0] if value else None)


def _other_type(key: str) -> KeyTypeError:
    what = f"something else stands at our key {key}; remove it or choose another name"
    return KeyTypeError(what, key=key)


_ERRORS: Final[dict[str, Callable[[str], CurriculumError]]] = {
    "RCSTALE": _stale,
    "RCFENCED": lambda detail: WorkerFencedError(
        f"the lease of worker {detail} has ended, or another process has taken its name;"
        " register() makes this handle a new worker"
    ),
    "RCINUSE": lambda detail: WorkerInUseError(
        f"worker id {detail!r} belongs to another process, whose lease runs; choose another"
    ),
    "RCGAP": lambda detail: SequenceGapError(
        f"the server has seen this worker's writes only up to number {detail}", last=int(detail)
    ),
    "RCTYPE": lambda detail: _other_type(unquote(detail)),
    "RCCONFIG": lambda detail: ConfigChangedError(int(detail)),
    "RCUNINDEXED": lambda detail: UnindexedError(
        f"the indices of config version {detail} are not complete; call reindex first"
    ),
    "RCINDEX": lambda detail: IndexTakenError(int(detail)),
    "RCMALFORMED": _malformed,
    "RCFULL": lambda detail: InvalidInputError(
        "tasks", f"fewer: a pool holds 2**20, and {detail} are there", "more"
    ),
    "RCEPOCH": lambda detail: EpochError(
        f"another trainer has ended that epoch; the current one is {detail}", epoch=int(detail)
    ),
    "RCSNAPSHOT": lambda detail: SnapshotRunningError(
        f"another snapshot or check is at work since {detail} ms of the server's clock; if it was"
        " killed, try again in half a minute"
    ),
    "RCRESTORE": lambda detail: SnapshotRunningError(
        f"another restore or migration (claim {detail}) is at work on this curriculum; if it was"
        " killed, try again in a minute"
    ),
    "RCCHANGED": lambda detail: MigrationError(
        f"a worker of an older version {detail} meanwhile, so nothing was migrated and everything"
        " is as it was; stop those workers, then try again"
    ),
    "RCDELETED": lambda detail: CurriculumDeletedError(
        f"what begins with {detail} is being deleted; `redis-curriculum gc NAME` ends that"
    ),
    "RCLOST": lambda detail: SnapshotError(
        "the server no longer holds what this export, check, restore or migration claims; it took"
        " too long between two calls, a failover lost some of it, or a check gave way to a"
        f" snapshot: {detail}"
    ),
}
_ELSEWHERE_CODES: Final = frozenset({"READONLY", "MASTERDOWN", "CLUSTERDOWN"})
_HINTS: Final = {
    "OOM": "raise maxmemory or evict tasks; reads and evictions still work",
    "MISCONF": "the server cannot save to disk; free space or see its log",
    "NOREPLICAS": "too few replicas are connected (min-replicas-to-write)",
    "READONLY": "this server is a replica; connect to the primary",
    "BUSY": "a script runs too long; see SCRIPT KILL",
}
_WRONG_URL: Final = {
    "DB index is out of range": "with a database that the server has",
    "cluster support disabled": "redis:// or rediss:// for a server that is not part of a cluster",
    "No such master": "with a service that the Sentinels know",
}
_ARGUMENTS: Final = re.compile(r",? with args beginning with:.*", re.DOTALL)
_SOURCE: Final = re.compile(r"[`'\"\s]*-- [a-z_]+: .*", re.DOTALL)
"""A script, from its first line on: whoever quotes a command quotes that."""
_UNKNOWN: Final = re.compile(
    r"\b(?:unknown|unsupported|invalid|disabled) (?:sub)?command"
    r"|\bcommand\b.*\b(?:unknown|unsupported|disabled)"
    r"|\bcommand\b.*\bnot (?:supported|implemented|allowed(?! (?:from|in)))",
    re.IGNORECASE,
)
"""How servers and proxies say that they do not know a command."""
_SERVER_CODE: Final = re.compile(
    r"\b(WRONGTYPE|OOM|MISCONF|READONLY|NOREPLICAS|NOPERM|BUSY|LOADING|TRYAGAIN|CLUSTERDOWN"
    r"|MASTERDOWN|MOVED|ASK)\b"
)
_DENIED: Final = re.compile(r"'([\w|]+)' command")
_CUT_SHORT: Final = re.compile(
    r"(?=.*(?:user executing the script can't|ACL failure in script))"
    r"(?:.*?([0-9a-f]{40}))?.*?@user_script: ?(\d+)"  # Valkey 9 leaves the script out
)


def is_elsewhere(refusal: CurriculumError) -> bool:
    """Whether the node that refused is not, or no longer, the primary: it must be looked for.

    Redis 6.2 wraps what a script was refused, so redis-py's own classes do not tell.
    """
    return isinstance(refusal, ServerRefusedError) and refusal.code in _ELSEWHERE_CODES


def translate(error: Exception, address: Address, *, applied: Applied = "no") -> CurriculumError:
    """Return our error for one of redis-py's; ``applied`` if the request may have arrived."""
    if isinstance(error.__cause__, exceptions.AuthenticationError):
        error = error.__cause__  # redis-py's asyncio connection to a unix socket hides it
    text = text_of(error)
    if isinstance(error, exceptions.RedisError):
        error.args = (text,)  # a traceback shows it too
    if isinstance(error, exceptions.AuthenticationError) or "NOAUTH" in text:
        given = address.password or address.credentials
        where = "" if given else f" (set {PASSWORD_VARIABLE}, or put it in the URL)"
        if address.kind == "sentinel":
            where += f" (that of the Sentinels is in {SENTINEL_PASSWORD_VARIABLE})"
        return AuthenticationError(f"{address.public}: wrong user or password{where}: {text}")
    if isinstance(error, exceptions.BusyLoadingError):
        return ServerUnavailableError(f"{address.public} is loading its data: {text}")
    for phrase, rule in _WRONG_URL.items():
        if phrase in text:
            return InvalidURLError("url", rule, address.public)
    if isinstance(error, exceptions.ResponseError):
        return _refused(error, text)
    if isinstance(error, ValueError):
        return ScriptError(
            f"{address.public}: a message that cannot be read or written: {text}", applied=applied
        )
    return ServerUnavailableError(f"{address.public} does not answer: {text}", applied=applied)


def text_of(error: Exception) -> str:
    """Return what an error says, without a password or a script."""
    text = _SOURCE.sub("", _ARGUMENTS.sub("", without_password(str(error))))
    return text or type(error).__name__


def _refused(error: exceptions.ResponseError, text: str) -> CurriculumError:
    if isinstance(error, exceptions.NoScriptError):
        return MissingScriptError(text)
    for pattern, make in _BY_PHRASE.items():
        found = pattern.search(text)
        if found:
            return make(text, *found.groups())
    if isinstance(error, exceptions.NoPermissionError) or "NOPERM" in text:
        denied = _DENIED.search(text)
        command = denied[1] if denied else None
        other = "" if command else " (or ?prefix= in the URL, for keys that begin otherwise)"
        return PermissionDeniedError(
            f"this user may not use {command or 'one of our keys or commands'}; "
            f"`redis-curriculum acl NAME` prints what is needed{other}: {text}",
            command=command,
        )
    known = _SERVER_CODE.search(text) or _SERVER_CODE.search(_code_of(error))
    if known is None:
        kind = UnknownCommandError if _UNKNOWN.search(text) else ScriptError
        return kind(f"the server refused a call: {text}")
    if known[1] == "WRONGTYPE":
        return KeyTypeError(f"something else stands at one of our keys: {text}", applied="unknown")
    hint = f" ({_HINTS[known[1]]})" if known[1] in _HINTS else ""
    return ServerRefusedError(f"{known[1]}: {text}{hint}", code=known[1])


def _denied_inside(text: str, sha: str | None, line: str) -> PermissionDeniedError:
    """The ACL stopped a script half-way; Redis 6.2 says only in which line."""
    denied, about_keys = _DENIED.search(text), re.search(r"\bkeys?\b", text)
    commands = [denied[1]] if denied else [] if about_keys else commands_at(sha or "", int(line))
    error = PermissionDeniedError(
        f"this user may not use {' or '.join(commands) or 'one of our keys'}, a script was cut"
        f" short; `redis-curriculum acl NAME` prints what is needed, check() what is left: {text}",
        command=commands[0] if len(commands) == 1 else None,
    )
    error.applied = "unknown"
    return error


_BY_PHRASE: Final[dict[re.Pattern[str], Callable[..., CurriculumError]]] = {
    re.compile(r"\b(RC[A-Z]+) (\S*)"): lambda _, code, detail: error_of(code, detail),
    _CUT_SHORT: _denied_inside,
}


def _code_of(error: exceptions.ResponseError) -> str:
    """redis-py strips the code from the errors it knows by class."""
    known = {
        exceptions.ReadOnlyError: "READONLY",
        exceptions.OutOfMemoryError: "OOM",
        exceptions.TryAgainError: "TRYAGAIN",
        exceptions.MasterDownError: "MASTERDOWN",  # before its base class
        exceptions.ClusterDownError: "CLUSTERDOWN",
        exceptions.MovedError: "MOVED",
        exceptions.AskError: "ASK",
    }
    return next((code for kind, code in known.items() if isinstance(error, kind)), "")
