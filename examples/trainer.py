"""The trainer's part: end an epoch every so many seconds, and log its figures.

Start one of it beside any number of workers; the first of them all creates the curriculum:

    REDIS_CURRICULUM_URL=redis://localhost:6379/0 python examples/trainer.py --seconds 30

Without a URL it shares the private server of the workers on this machine. Where your own trainer
updates its policy, call ``end_epoch`` there, with your own step.
"""

from __future__ import annotations

import argparse
import os
import time

from worker import CONFIG

from redis_curriculum import Curriculum
from redis_curriculum.reporting import StatsReporter, Stdout


def main() -> None:
    """Open the curriculum and end its epochs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--epochs", type=int, default=100, help="how many to end (100)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each epoch (30)")
    given = parser.parse_args()
    url = os.environ.get("REDIS_CURRICULUM_URL", "embedded://")
    name = os.environ.get("REDIS_CURRICULUM_NAME", "example")

    with Curriculum.open(url, name, CONFIG) as curriculum:
        reporter = StatsReporter(curriculum, Stdout())
        for _ in range(given.epochs):
            time.sleep(given.seconds)
            reporter.end_epoch()


if __name__ == "__main__":
    main()
