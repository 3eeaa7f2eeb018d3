"""Libraries that come with an extra: imported where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from redis_curriculum.errors import MissingLibraryError


def imported(module: str, extra: str) -> Any:
    """Import a module of a library that an extra installs.

    Raises:
        MissingLibraryError: The library is missing, or something that it needs itself.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingLibraryError(module.partition(".")[0], extra, str(error)) from error
