"""A module that looking at a curriculum must not import, though its config names it."""

from __future__ import annotations
