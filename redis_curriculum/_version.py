"""The version, in a module of its own: nothing has to import the face for it."""

from __future__ import annotations

__version__ = "0.1.0"
