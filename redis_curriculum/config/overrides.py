"""How a value is read when settings are changed by name."""

from __future__ import annotations

import json


def from_text(value: object) -> object:
    """Return what a text says as JSON; the text itself where it is not JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
