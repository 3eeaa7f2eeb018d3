"""Public names in the reference: none is missing, and each is found by its public path.

An annotation names the module that defines a class, ``redis_curriculum.curriculum.Curriculum``;
the reference documents it where users import it from, ``redis_curriculum.Curriculum``.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

MODULES: Final = (
    "redis_curriculum",
    "redis_curriculum.config",
    "redis_curriculum.envs",
    "redis_curriculum.errors",
    "redis_curriculum.reporting",
    "redis_curriculum.scorers",
    "redis_curriculum.tasks",
    "redis_curriculum.testing",
)
"""The import paths that stay."""

_log: Final = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _docstring, priority=400)  # napoleon has 500
    app.connect("missing-reference", _resolve)
    app.connect("env-check-consistency", _complete)
    return {"parallel_read_safe": True}


def names() -> Iterator[tuple[str, Any]]:
    """Yield (path, object) of every public name."""
    for path in MODULES:
        module = import_module(path)
        own = [name for name, value in vars(module).items() if _module(value) == path]
        for name in getattr(module, "__all__", own):
            value = getattr(module, name)
            internal = name.startswith("_") or "Internal." in (value.__doc__ or "")
            if isinstance(value, (type, FunctionType)) and not internal:
                yield f"{path}.{name}", value


def _resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: Any) -> Any:
    """Look a name up by its public path."""
    wanted = node["reftarget"]
    for path, value in names():
        if wanted in (_defined(value), path.rpartition(".")[2]):
            found = env.domains.python_domain.resolve_xref(
                env, node["refdoc"], app.builder, node["reftype"], path, node, contnode
            )
            if found is not None:
                return found
    return None


def _complete(app: Sphinx, env: BuildEnvironment) -> None:  # noqa: ARG001 - Sphinx's call
    """Warn of public names that no page documents."""
    documented = env.domains.python_domain.objects
    shown = {_defined(value) for path, value in names() if path in documented}
    for path, value in names():
        if path not in documented and _defined(value) not in shown:
            _log.warning("%s is on no page of the reference", path)


def _module(value: Any) -> str | None:
    return getattr(value, "__module__", None)


def _defined(value: Any) -> str:
    return f"{_module(value)}.{value.__qualname__}"


def _signature(
    app: Sphinx,  # noqa: ARG001 - Sphinx's call
    what: str,
    name: str,
    obj: Any,
    *rest: Any,
) -> tuple[str, None] | None:
    """Leave out the arguments of classes that users do not call, or whose fields are in a table."""
    _, signature, _ = rest
    is_made_by_open = name.endswith("Curriculum")
    is_listed = hasattr(obj, "model_fields") or getattr(obj, "_is_protocol", False)
    is_enum = what == "class" and issubclass(obj, Enum)
    dropped = what == "exception" or (what == "class" and (is_made_by_open or is_listed or is_enum))
    return ("", None) if dropped and signature else None


def _docstring(app: Sphinx, what: str, *rest: Any) -> None:  # noqa: ARG001 - Sphinx's call
    """Keep napoleon from reading the first words of "Answer: what it is" as a type."""
    lines: list[str] = rest[-1]
    if what in ("attribute", "property") and lines:
        first, colon, others = lines[0].partition(": ")
        if colon:
            lines[:1] = [f"{first}:", others]
