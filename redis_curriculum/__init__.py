"""A learning-progress curriculum for reinforcement learning whose state lives in Redis."""

from __future__ import annotations

__version__ = "0.1.0"
