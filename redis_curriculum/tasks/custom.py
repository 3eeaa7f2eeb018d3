"""A user's own generator, stored by its import path."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from functools import lru_cache
from types import ModuleType
from typing import Any, Final, Literal

from pydantic import BaseModel, Field, PrivateAttr, model_validator

from redis_curriculum._values.rules import canonical_json, parse_json_object
from redis_curriculum.errors import CurriculumError, GeneratorError, InvalidInputError
from redis_curriculum.tasks.base import BaseGenerator
from redis_curriculum.tasks.task import Params, TaskGenerator, TaskSpec, check_params


class Custom(BaseGenerator):
    """A user's own generator.

    ``Custom(path="package.module:Name", arguments={...})`` imports the class ``Name`` and calls it
    with ``arguments`` where it is first needed; the class must have a ``generate`` method, and may
    have a method ``fingerprint`` that returns a text of up to 200 characters (nothing else is ever
    called, since the path may come from a stored config).

    The fingerprint says what data the tasks are made of: a file's hash, a number of rows. It is
    stored, and who attaches or restores later with other data gets a ``ConfigMismatchError``.

    ``arguments=None`` marks an object that cannot be rebuilt from its path (it lives in
    ``__main__`` or a function, or its state is not known): the handle that opens such a
    curriculum must pass it as ``generator=``. Its state is not part of the stored config.
    """

    kind: Literal["custom"] = "custom"
    path: str = Field(description="Import path 'package.module:Name' of a class.")
    arguments: Params | None = Field(
        default_factory=dict,
        description="Keyword arguments; None: the object must be passed at open.",
    )
    fingerprint: str | None = Field(
        default=None,
        description="What the object's fingerprint() said at creation, such as a file's hash.",
    )
    _instance: TaskGenerator | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _path_is_one(self) -> Custom:
        module, _, name = self.path.partition(":")
        parts = [*module.split("."), *name.split(".")]
        if not all(part.isidentifier() or part == "<locals>" for part in parts):
            raise InvalidInputError("path", "like 'package.module:Name'", self.path)
        return self

    def __eq__(self, other: object) -> bool:
        """By path and arguments: a bound object is not part of the stored config."""
        if not isinstance(other, Custom):
            return NotImplemented
        return (self.path, self.arguments) == (other.path, other.arguments)

    __hash__ = None  # type: ignore[assignment]

    @property
    def is_bound(self) -> bool:
        """Whether ``generate`` can work: an object was passed, or the path says how to build it."""
        return self._instance is not None or self.arguments is not None

    @property
    def live(self) -> TaskGenerator | None:
        """The object that was passed, if one was."""
        return self._instance

    @classmethod
    def of(cls, generator: TaskGenerator) -> Custom:
        """Return the Custom that stands for an object; it keeps the object for this process."""
        arguments, fingerprint = _arguments_of(generator), fingerprint_of(generator)
        found = cls(path=path_of(generator), arguments=arguments, fingerprint=fingerprint)
        return found.bind(generator)

    def bind(self, generator: TaskGenerator) -> Custom:
        """Return a copy that uses ``generator``, whose class must be the one of ``path``.

        Raises:
            InvalidInputError: It is of another class.
        """
        if path_of(generator) != self.path:
            raise InvalidInputError("generator", f"a generator of class {self.path}", generator)
        bound = self.model_copy()
        bound._instance = generator  # noqa: SLF001 - its own class
        return bound

    def with_fingerprint(self, fingerprint: str | None) -> Custom:
        """Return a copy that says what its object's data is; itself, where that is not known."""
        if fingerprint is None:
            return self
        copy = self.model_copy(update={"fingerprint": fingerprint})
        return copy if self._instance is None else copy.bind(self._instance)

    def make(self, task_id: int, place: str) -> TaskSpec:  # noqa: ARG002 - theirs to choose
        """Ask the user's object."""
        return self.built().generate(task_id)

    def built(self) -> TaskGenerator:
        """Return the user's object; the first time it is built, if it was not passed.

        Raises:
            GeneratorError: It was not passed, and its class is not here or cannot be rebuilt.
        """
        if self._instance is not None:
            return self._instance
        if self.arguments is None:
            raise GeneratorError(
                f"the task generator {self.path} cannot be rebuilt from its path;"
                " pass it as generator= when opening"
            )
        return _build_custom(self.path, canonical_json(self.arguments))

    def found_fingerprint(self) -> str | None:
        """Return what the object that is here says of its data.

        Raises:
            GeneratorError: It cannot be built or cannot say.
        """
        return fingerprint_of(self.built())


def fingerprint_of(generator: object) -> str | None:
    """Return what an object says of its data; None: it does not say.

    Raises:
        GeneratorError: It cannot say.
        InvalidInputError: What it says is no text of 1 to 200 printable characters.
    """
    say = getattr(generator, "fingerprint", None)
    if not callable(say):
        return None
    try:
        said: object = say()
    except Exception as error:
        message = f"the fingerprint of {path_of(generator)} failed: {type(error).__name__}: {error}"
        raise GeneratorError(message) from error
    if not isinstance(said, str) or not said.isprintable() or not 0 < len(said) <= _LONGEST:
        rule = f"a text of 1 to {_LONGEST} printable characters"
        raise InvalidInputError("fingerprint()", rule, said)
    return said


_LONGEST: Final = 200


def path_of(generator: object) -> str:
    """Return the import path of an object's class: the same in every process of a program.

    The main module is ``__main__`` in one process and ``__mp_main__`` in those that
    multiprocessing has spawned. If it was run with ``python -m``, both have a name to import.
    """
    kind = type(generator)
    module = kind.__module__
    if module in _MAIN:
        module = _name_of_main(kind) or "__main__"
    return f"{module}:{kind.__qualname__}"


_MAIN: Final = ("__main__", "__mp_main__")


def _name_of_main(kind: type) -> str | None:
    """By what name others can import a class of the main module."""
    main = sys.modules.get(kind.__module__)
    spec = getattr(main, "__spec__", None)  # of the program; of a profiler that runs it, too
    return spec.name if spec and _found(main, kind.__qualname__) is kind else None


def _found(module: object, name: str) -> object:
    for part in name.split("."):
        module = getattr(module, part, None)
    return module


def _loaded(module: str) -> ModuleType:
    """Import a module, unless it is the main one under its other name: it would run twice."""
    main = sys.modules.get("__main__")
    is_main = getattr(getattr(main, "__spec__", None), "name", None) == module
    return main if main and is_main else importlib.import_module(module)


@lru_cache(maxsize=64)
def _build_custom(path: str, arguments: str) -> TaskGenerator:
    target = _import(path)
    if not isinstance(target, type) or not callable(getattr(target, "generate", None)):
        raise GeneratorError(f"{path} is not a class with a generate method")
    generator: TaskGenerator = target(**parse_json_object(arguments, field="arguments"))
    return generator


def _import(path: str) -> object:
    module, _, name = path.partition(":")
    try:
        target: object = _loaded(module)
        for part in name.split("."):
            target = getattr(target, part)
    except Exception as error:
        raise GeneratorError(f"cannot import the task generator {path}: {error}") from error
    return target


def _arguments_of(generator: object) -> dict[str, Any] | None:
    """The keyword arguments that rebuild an object, or None where that cannot be known."""
    kind = type(generator)
    if kind.__module__ in _MAIN and not _name_of_main(kind):
        return None
    try:
        if _import(path_of(generator)) is not kind:
            return None
        if isinstance(generator, BaseModel):
            return check_params(generator.model_dump(mode="json"))
        if dataclasses.is_dataclass(generator):
            fields = dataclasses.fields(generator)
            return check_params({f.name: getattr(generator, f.name) for f in fields if f.init})
    except (CurriculumError, ValueError, TypeError):
        return None
    stateless = kind.__init__ is object.__init__ and not getattr(generator, "__dict__", True)
    return {} if stateless else None
