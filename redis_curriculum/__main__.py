"""``python -m redis_curriculum``: the same as the command ``redis-curriculum``."""

from __future__ import annotations

from redis_curriculum.cli import main

if __name__ == "__main__":
    main()
