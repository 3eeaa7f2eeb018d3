"""Libraries that come with an extra: imported where they are used."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from redis_curriculum.errors import MissingLibraryError, UnsupportedLibraryError


def imported(module: str, extra: str) -> Any:
    """Import a module of a library that an extra installs.

    Raises:
        MissingLibraryError: The library is missing, or something that it needs itself.
        UnsupportedLibraryError: The library is there, but this version has no such module.
    """
    library = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        if sys.modules.get(library) and f"{module}.".startswith(f"{error.name}."):
            raise UnsupportedLibraryError(library, _version(library), module) from error
        raise MissingLibraryError(library, extra, str(error)) from error


def require(library: str, owner: Any, *hooks: str) -> None:
    """Refuse a version of a library that lacks what an integration stands on.

    Raises:
        UnsupportedLibraryError: ``owner`` lacks one of the hooks.
    """
    for hook in hooks:
        if not hasattr(owner, hook):
            named = f"{getattr(owner, '__name__', owner)}.{hook}"
            raise UnsupportedLibraryError(library, _version(library), named)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "(of unknown version)"
