"""A module that must not be imported by looking at a curriculum that names it."""

from __future__ import annotations

raise RuntimeError("imported")
