"""Functions that numba compiles where it is installed, and that give the same without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., object])

try:
    import numba
except ImportError:
    numba = None


def compiled(function: F) -> F:
    """Compile a function, once for all processes, or leave it as it is without numba."""
    if numba is None:
        return function
    fast: Any = numba.njit(cache=True)(function)
    return cast("F", fast)
