"""The error tree.

Every error says whether the call that raised it changed the curriculum: ``error.applied`` is
``"no"`` (nothing was written) or ``"unknown"`` (the reply was lost; the same call may be retried).

::

    CurriculumError
    ├── InvalidInputError (ValueError)      field, value: refused before anything was sent
    │   └── InvalidURLError
    ├── MissingLibraryError (ImportError)   library, extra: what to install
    ├── UnsupportedLibraryError             library, version, hook: it lacks what is needed
    ├── ConfigMismatchError                 differences: [(field, stored, given)]
    ├── GeneratorError                      task_id: the task generator raised or broke a rule
    │   └── Exhausted                       raised by a generator: it has no more tasks
    ├── CurriculumNotFoundError (KeyError)  name
    ├── CurriculumExistsError               name: there is one, and resume is "never"
    ├── CurriculumDeletedError              it is marked for deletion, its keys are not all gone
    ├── EmptyPoolError                      there is no task to draw
    ├── TaskNotFoundError (KeyError)        task_id
    ├── EpochError                          epoch: another trainer ended the one before
    ├── WorkerError
    │   ├── WorkerFencedError               the lease ended and the worker was reaped
    │   ├── WorkerInUseError                another live process works under that id
    │   └── SequenceGapError                last: the server has not seen earlier writes
    ├── StaleGenerationError                a restore replaced the generation the handle knew
    ├── SnapshotError                       line, field
    │   └── SnapshotRunningError            another exporter is at work
    ├── TaskApplyError                      an environment cannot take, run or score a task
    │   └── FailingTasksError               causes: every task that was tried failed
    └── ServerError                         what the server or the network did
        ├── ServerUnavailableError          no connection, time-out, LOADING
        ├── AuthenticationError             wrong password or user
        ├── PermissionDeniedError           command: the ACL lacks it
        ├── ServerRefusedError              code: OOM, MISCONF, NOREPLICAS, READONLY, BUSY ...
        ├── UnsupportedServerError          version or settings that would lose data
        │   └── MigrationError              workers: keys of an older schema, not migrated yet
        ├── KeyTypeError                    key: another type stands where ours belongs
        ├── MalformedStateError             name, field, value: somebody has overwritten it
        ├── ScriptError                     a script failed in a way that has no name: a bug
        └── EmbeddedServerError             the private redis-server could not be started
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from typing import Any, Literal

Applied = Literal["no", "unknown"]
_SHOWN_CAUSES = 10


class CurriculumError(Exception):
    """Base of all errors of this library.

    Attributes:
        applied: ``"no"`` when nothing was written, ``"unknown"`` when the reply was lost.
    """

    applied: Applied = "no"

    def __init__(self, message: str, *, applied: Applied = "no") -> None:
        super().__init__(message)
        self.message = message
        self.applied = applied

    def __str__(self) -> str:
        """The message; ``KeyError`` in the bases must not quote it."""
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """As it is: ``Exception`` would call ``__init__`` with the message alone."""
        return _as_it_was, (type(self), self.args), vars(self)


class InvalidInputError(CurriculumError, ValueError):
    """A value broke a rule; the message quotes field, rule and value."""

    def __init__(self, field: str, rule: str, value: object) -> None:
        super().__init__(f"{field} must be {rule}, got {shortened(value)}")
        self.field = field
        self.rule = rule
        self.value: object = value
        if isinstance(value, str) and (shown := without_password(value)) != value:
            self.value = shown


class InvalidURLError(InvalidInputError):
    """The URL cannot be used; passwords are not repeated in the message."""


class MissingLibraryError(CurriculumError, ImportError):
    """A library that comes with an extra is not installed."""

    def __init__(self, library: str, extra: str, said: str) -> None:
        remedy = f"pip install 'redis-curriculum[{extra}]'"
        super().__init__(f"the package {library} is missing: {remedy} ({said})")
        self.library, self.extra = library, extra


class UnsupportedLibraryError(CurriculumError):
    """The installed version of a library lacks something that an integration stands on.

    Attributes:
        library: The library's name.
        version: The installed version.
        hook: What it lacks: a class, a method, an argument.
    """

    def __init__(self, library: str, version: str, hook: str) -> None:
        super().__init__(f"{library} {version} has no {hook}; install a version that has it")
        self.library, self.version, self.hook = library, version, hook


class ConfigMismatchError(CurriculumError):
    """The given config differs from the stored one; every differing field is listed."""

    def __init__(self, what: str, differences: Sequence[tuple[str, Any, Any]]) -> None:
        lines = [
            f"  {field}: stored {shortened(stored)}, given {shortened(given)}"
            for field, stored, given in differences
        ]
        super().__init__("\n".join([what, *lines]))
        self.differences = list(differences)


class GeneratorError(CurriculumError):
    """The task generator raised, or returned something that is not a valid task."""

    def __init__(self, message: str, *, task_id: int | None = None) -> None:
        super().__init__(message)
        self.task_id = task_id


class Exhausted(GeneratorError):  # noqa: N818 - as StopIteration: a generator says so, it is no error
    """A task generator raises this when it has no more tasks: the pool plays on with those it has.

    ::

        def generate(self, task_id):
            if not self.prompts_left:
                raise Exhausted
    """

    def __init__(self, message: str = "the task generator has no more tasks") -> None:
        super().__init__(message)


class CurriculumNotFoundError(CurriculumError, KeyError):
    """No curriculum of that name exists on the server."""

    def __init__(self, name: str | None = None) -> None:
        which = "this curriculum is no longer" if name is None else f"no curriculum named {name!r}"
        super().__init__(f"{which} on this server; open it with a config")
        self.name = name


class CurriculumExistsError(CurriculumError):
    """A curriculum of that name exists, and ``resume`` is ``"never"``; nothing was changed."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f'curriculum {name!r} exists, and resume is "never"; choose another name, or delete it'
        )
        self.name = name


class CurriculumDeletedError(CurriculumError):
    """The name belongs to a curriculum that is being deleted; free once ``gc`` has ended that."""


class EmptyPoolError(CurriculumError):
    """There is no task to draw."""


class TaskNotFoundError(CurriculumError, KeyError):
    """The task is not in the pool (evicted, or never created)."""

    def __init__(self, task_id: int) -> None:
        super().__init__(f"task {task_id} is not in the pool")
        self.task_id = task_id


class EpochError(CurriculumError):
    """Another trainer ended the epoch first; ``epoch`` is the one that is current now."""

    def __init__(self, message: str, *, epoch: int) -> None:
        super().__init__(message)
        self.epoch = epoch


class WorkerError(CurriculumError):
    """Something is wrong with this handle's identity as a worker."""


class WorkerFencedError(WorkerError):
    """The worker's lease ended and its entry was reaped; ``register()`` makes it a new worker."""


class WorkerInUseError(WorkerError):
    """The worker id belongs to another live process."""


class SequenceGapError(WorkerError):
    """The server has only seen writes up to ``last``; later acknowledged ones were lost."""

    def __init__(self, message: str, *, last: int) -> None:
        super().__init__(message)
        self.last = last


class StaleGenerationError(CurriculumError):
    """A restore replaced the state this handle was opened on; ``reopen()`` takes it there."""


class SnapshotError(CurriculumError):
    """A snapshot cannot be written or read; nothing was written to Redis."""

    def __init__(self, message: str, *, line: int | None = None, field: str | None = None) -> None:
        where = [] if line is None else [f"line {line}"]
        where += [] if field is None else [f"field {field!r}"]
        super().__init__(f"{', '.join(where)}: {message}" if where else message)
        self.line = line
        self.field = field


class SnapshotRunningError(SnapshotError):
    """Another exporter is at work on this curriculum."""


class TaskApplyError(CurriculumError):
    """An environment cannot take, build, run or score a task."""

    def __init__(self, message: str, *, task_id: int | None = None) -> None:
        super().__init__(message)
        self.task_id = task_id


class FailingTasksError(TaskApplyError):
    """Every task that was tried failed; ``causes`` holds ``(task_id, message)`` of each."""

    def __init__(self, message: str, causes: Sequence[tuple[int, str]]) -> None:
        lines = [f"  task {task_id}: {cause}" for task_id, cause in causes[:_SHOWN_CAUSES]]
        if len(causes) > _SHOWN_CAUSES:
            lines.append(f"  and {len(causes) - _SHOWN_CAUSES} more (causes)")
        super().__init__("\n".join([message, *lines]), task_id=causes[-1][0] if causes else None)
        self.causes = list(causes)


class ServerError(CurriculumError):
    """What the server or the network did."""


class ServerUnavailableError(ServerError):
    """No connection, a time-out, or a server that is still loading its data."""


class AuthenticationError(ServerError):
    """Wrong password or user. Never retried."""


class PermissionDeniedError(ServerError):
    """The ACL of this user lacks something; ``command`` names it where the server does."""

    def __init__(self, message: str, *, command: str | None = None) -> None:
        super().__init__(message)
        self.command = command


class ServerRefusedError(ServerError):
    """The server refused the call; ``code`` is its reason (OOM, MISCONF, NOREPLICAS, ...)."""

    def __init__(self, message: str, *, code: str, applied: Applied = "no") -> None:
        super().__init__(message, applied=applied)
        self.code = code


class UnsupportedServerError(ServerError):
    """The server's version or settings would lose data or cannot run the scripts."""


class MigrationError(UnsupportedServerError):
    """The keys are of an older schema and could not be migrated; nothing was changed.

    Attributes:
        workers: Ids of the live workers of the older version, where they are the reason.
    """

    def __init__(self, message: str, *, workers: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.workers = list(workers)


class KeyTypeError(ServerError):
    """Something of another type stands at one of our keys.

    At open it is found before anything is written. A key that somebody replaces later is met by a
    script halfway, whose earlier writes stay (``applied`` is ``"unknown"``): remove it, make the
    call again, and ``check(repair=True)`` rebuilds the indices.
    """

    def __init__(self, message: str, *, key: str | None = None, applied: Applied = "no") -> None:
        super().__init__(message, applied=applied)
        self.key = key


class MalformedStateError(ServerError):
    """Somebody has written what cannot be read into a curriculum's keys; nothing was changed.

    Attributes:
        name: The curriculum.
        field: What is malformed, such as ``meta.epoch``.
        value: What stands there; None: nothing.
    """

    def __init__(self, name: str, field: str, value: object) -> None:
        super().__init__(
            f"curriculum {name!r}: {field} is {shortened(value, 60)}, which cannot be read; write"
            " the right value, or delete the curriculum and restore a snapshot"
        )
        self.name, self.field, self.value = name, field, value


class ScriptError(ServerError):
    """A script failed in a way no other error names; please report it."""


class EmbeddedServerError(ServerError):
    """The private redis-server could not be found or started."""


def _as_it_was(kind: type[CurriculumError], args: tuple[Any, ...]) -> CurriculumError:
    return kind.__new__(kind, *args)


def without_password(text: str) -> str:
    """Return a text in which whatever may be a password of a URL is ``***``. Internal."""
    text = re.sub(r"(://[^/@:]*):.*@", r"\1:***@", text)
    return re.sub(r"(?i)([?&][^=&\s]*passw[^=&\s]*=)[^&\s'\"]*", r"\1***", text)


def not_listening(error: OSError, host: str, port: int) -> CurriculumError:
    """Return what is raised where a port cannot be listened on. Internal."""
    if error.errno == errno.EADDRINUSE:
        return CurriculumError(f"port {port} of {host} is in use: choose another (0: any free one)")
    return CurriculumError(f"cannot listen on {host}, port {port}: {error.strerror or error}")


def shortened(value: object, limit: int = 200) -> str:
    """Return a value's repr, cut so that a message stays one line; without passwords. Internal."""
    try:
        text = without_password(repr(value))
    except Exception:  # noqa: BLE001 - the repr of somebody's class
        text = f"a {type(value).__name__} without a repr"
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


class ConfigWarning(UserWarning):
    """A config that is valid but will hardly do what is wanted; the message has the arithmetic."""


class ServerWarning(UserWarning):
    """The server works, but may lose what a user would expect it to keep."""


class CompatWarning(UserWarning):
    """Code of the older system sets or does what has no effect, or another one, here."""


class GeneratorWarning(UserWarning):
    """The task generator makes no more tasks: the pool is smaller than it may be, and plays on."""


class IndexTakenError(CurriculumError):
    """The indices that a worker had reserved are no longer its own. Internal."""

    def __init__(self, next_index: int) -> None:
        super().__init__(f"the reservation has ended; the next task index is {next_index}")
        self.next_index = next_index


class ConfigChangedError(CurriculumError):
    """The config was changed meanwhile; carries its version. Internal."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the config is now of version {version}")
        self.version = version


class UnindexedError(CurriculumError):
    """The indices are not yet those of the changed settings. Internal."""


class MissingScriptError(ServerError):
    """The server has forgotten a script; it must be sent whole. Internal."""


class UnknownCommandError(ScriptError):
    """The server, or a proxy before it, does not know a command. Internal."""


class LostWritesWarning(UserWarning):
    """The server lost acknowledged writes that the worker cannot replay, or never had results."""


class ManyLabelsWarning(UserWarning):
    """There are so many labels that some have no figures of their own."""


class SinkWarning(UserWarning):
    """A sink failed; training and the other sinks go on."""
