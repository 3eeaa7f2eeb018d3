"""How a task gets into an environment with Gymnasium's or PettingZoo's ``reset``."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from redis_curriculum.envs.episode import MisuseError, complaint
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.tasks.task import Task

Apply = Callable[[Any, Task], Any]
"""Puts a task into an environment (returns None), or returns another one built for it."""


def check_functions(apply_task: object, score: object) -> None:
    """Refuse functions that could not be called with what they will be called with.

    Raises:
        InvalidInputError: One is no function, or takes other arguments.
    """
    check_function("apply_task", apply_task, "env", "task")
    check_function("score", score, "info")


def check_function(field: str, function: object, *arguments: str) -> None:
    """Refuse what could not be called with these arguments; None is nothing to call."""
    if function is None:
        return
    rule = f"a function of ({', '.join(arguments)})"
    if not callable(function):
        raise InvalidInputError(field, rule, function)
    try:
        signature = inspect.signature(function)
    except ValueError:  # some of C tell nothing
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        raise InvalidInputError(field, rule, function) from None


def put_in(
    env: Any, task: Task, apply_task: Apply | None, options: dict[str, Any] | None
) -> tuple[Any, dict[str, Any] | None]:
    """Let an environment have a task; return the environment and the options to reset it with.

    Raises:
        MisuseError: There is no way to give it one.
    """
    if apply_task is not None:
        built = apply_task(env, task)
        return (env if built is None else built), options
    set_task = getattr(env.unwrapped, "set_task", None)
    if set_task is not None:
        set_task(copy.deepcopy(task.params))
        return env, options
    if not _takes_options(env.unwrapped.reset):
        raise MisuseError(cannot_take(env, task))
    return env, WatchedOptions(options or {}, copy.deepcopy(task.params))


def cannot_take(env: Any, task: Task) -> str:
    """The text for an environment that would play on as if there were no tasks."""
    what = (
        "the environment takes no tasks: it has no set_task(params), and its reset does not read"
        ' options["task"]; pass apply_task=, a function (env, task) that changes env or returns'
        " another one built for the task"
    )
    return complaint(str(env), task, what)


def _takes_options(reset: Callable[..., Any]) -> bool:
    kinds = inspect.signature(reset).parameters
    return "options" in kinds or any(p.kind is p.VAR_KEYWORD for p in kinds.values())


class WatchedOptions(dict[str, Any]):
    """Reset options with a task, and whether anybody looked at it.

    Gymnasium lets an environment ignore options it does not know. A curriculum whose tasks all
    go unread would train on nothing, silently.
    """

    was_read = False

    def __init__(self, options: dict[str, Any], task: dict[str, Any]) -> None:
        super().__init__(options, task=task)

    def __getitem__(self, key: str) -> Any:
        self.was_read |= key == "task"
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As of a dict."""
        self.was_read |= key == "task"
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        """As of a dict."""
        self.was_read |= key == "task"
        return super().pop(key, *default)

    def __iter__(self) -> Iterator[str]:
        # Only for being here: dict(options) and {**options} then come by __getitem__.
        return super().__iter__()

    def copy(self) -> dict[str, Any]:
        """As of a dict; whoever copies it may look at the copy."""
        return dict(self)

    def items(self) -> Any:
        """As of a dict."""
        self.was_read = True
        return super().items()
