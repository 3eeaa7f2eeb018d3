"""Label templates: texts such as ``"maze-{size}"`` over named values."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from functools import lru_cache

from redis_curriculum._values.rules import MAX_LABEL_BYTES


@lru_cache(maxsize=256)
def template(text: str) -> tuple[tuple[str, str | None, str], ...]:
    """Parse a label template to (literal, name or None, format).

    Only names are looked up, never attributes or items: templates come from stored configs.

    Raises:
        ValueError: It is no template.
    """
    parts = []
    for literal, name, spec, conversion in string.Formatter().parse(text):
        if conversion or "{" in (spec or "") or (spec or "").endswith("n"):
            raise ValueError("no conversion, no nested field, no locale format")
        if any(int(digits) > MAX_LABEL_BYTES for digits in re.findall(r"\d+", spec or "")):
            raise ValueError(f"no width or precision above {MAX_LABEL_BYTES}")
        parts.append((literal, name, spec or ""))
    return tuple(parts)


def filled_in(text: str, values: Mapping[str, object]) -> str:
    """Return a template with its values.

    Raises:
        KeyError: A value is missing.
        ValueError: A value does not take its format; or ``TypeError``.
    """
    return "".join(
        literal + ("" if name is None else formatted(values[name], spec))
        for literal, name, spec in template(text)
    )


def formatted(value: object, spec: str) -> str:
    """Return a value as text."""
    text = format(value, spec)
    if isinstance(value, float) and text == format(-0.0, spec):
        return format(0.0, spec)  # -0.04 and 0.04 share the label "0.0"
    return text
