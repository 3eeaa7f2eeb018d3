"""A worker as a process of its own: ``python -m tests.faults.player URL JOURNAL STOP NUMBER``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from redis_curriculum import Curriculum
from tests.faults.ledger import Journal, settings_of


def main(url: str, journal: str, stop: str, number: str) -> None:
    """Play until the file STOP is there; write the longest block and the losses to JOURNAL.end."""
    ledger = Journal(Path(journal), int(number) << 20)
    settings = settings_of(retry_deadline_s=60.0, replay_buffer=1_000_000)
    with Curriculum.open(url, "x", worker=settings) as curriculum:
        while not Path(stop).exists():
            ledger.play(curriculum, 5, int(number))
            time.sleep(0.01)
        ledger.draw(curriculum)
        assert curriculum.lost_writes == 0
    Path(f"{journal}.end").write_text(str(ledger.longest_s))


if __name__ == "__main__":
    main(*sys.argv[1:])
