"""Examples run as a user runs them, on a server of the test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_example(script: str, url: str, name: str, *arguments: str, warnings: str = "error") -> str:
    """What it prints."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "REDIS_CURRICULUM_URL": url,
        "REDIS_CURRICULUM_NAME": name,
    }
    words = [sys.executable, "-W", warnings, str(ROOT / "examples" / script), *arguments]
    run = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return run.stdout
