"""Public names in the reference: none is missing, and each is found by its public path.

An annotation names the module that defines a class, ``redis_curriculum.curriculum.Curriculum``;
the reference documents it where users import it from, ``redis_curriculum.Curriculum``.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from sphinx.util import logging

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

MODULES: Final = (
    "redis_curriculum",
    "redis_curriculum.config",
    "redis_curriculum.envs",
    "redis_curriculum.errors",
    "redis_curriculum.reporting",
    "redis_curriculum.tasks",
)
"""The import paths that stay."""

_log: Final = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("missing-reference", _resolve)
    app.connect("env-check-consistency", _complete)
    return {"parallel_read_safe": True}


def names() -> Iterator[tuple[str, Any]]:
    """Yield (path, object) of every public name."""
    for path in MODULES:
        module = import_module(path)
        own = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == path
        ]
        for name in getattr(module, "__all__", own):
            yield f"{path}.{name}", getattr(module, name)


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: Element
) -> Element | None:
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


def _defined(value: Any) -> str:
    return f"{getattr(value, '__module__', None)}.{getattr(value, '__qualname__', None)}"
