"""Sphinx's settings: `make docs` builds the site into out/docs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from redis_curriculum import __version__

project = "redis-curriculum"
author = "redis-curriculum maintainers"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "from_code", "public"]
smartquotes = False  # tables quote settings such as pooling="task"
exclude_patterns = ["_ext", "_static"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

# The reference: what a user imports, in the order of the source, types beside the arguments.
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "exclude-members": "model_config",
}
autodoc_typehints_format = "short"
maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# Every cross-reference must lead somewhere. Other projects' names cannot: that takes a network.
nitpicky = True
nitpick_ignore = [
    ("py:class", "redis_curriculum._client.asyncio.Opening"),  # to be awaited or entered at once
    # Class variables' types, written without their module.
    ("py:class", "Draw"),
    ("py:class", "Eviction"),
    ("py:class", "Path"),
    ("py:class", "Statistic"),
    # Protocols: what a handle or an environment must have.
    ("py:class", "redis_curriculum.envs.assignments.Settings"),
    ("py:class", "redis_curriculum.envs.assignments.Answer"),
    ("py:class", "redis_curriculum.envs.evaluation.Readable"),
    ("py:class", "redis_curriculum.envs.puffer.TaskedPufferEnv"),
    ("py:class", "redis_curriculum.reporting.reporter.Reporting"),
]
_OTHERS = (
    "_pytest|collections|contextlib|gymnasium|numpy|os|pathlib|pettingzoo|pydantic|types|typing"
)
nitpick_ignore_regex = [("py:.*", rf"({_OTHERS})\..*")]

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = f"redis-curriculum {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
