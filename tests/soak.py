"""Workers that play while faults come every few seconds: ``python -m tests.soak --seconds 1200``.

Some workers raise in an outage, and repeat the call; others play on and deliver later. At the end
every result that a worker was told of has to be there, once, and nothing else; of the workers that
raise every draw, too; and ``check`` has to be content.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

from redis_curriculum import Curriculum, Outcome, Task, WorkerSettings
from redis_curriculum.errors import CurriculumError, ServerError, ServerWarning, SnapshotError
from tests.faults.ledger import Ledger, config_of, held_by
from tests.faults.proxy import Fate, Proxy, proxy
from tests.servers import RunningServer, redis_server

T = TypeVar("T")
UNIT: Final = 2.0**-30
SAFE: Final = ("--appendonly", "yes", "--appendfsync", "always")
_scores = count(1)


@dataclass
class Player:
    """One worker in a thread of its own, and what it was told."""

    name: str
    settings: WorkerSettings
    through: Proxy
    seed: int
    told: Ledger = field(default_factory=Ledger)
    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    failure: BaseException | None = None
    until: float = 0.0

    def run(self) -> None:
        try:
            with self.opened() as curriculum:
                self.play(curriculum)
                self.settle(curriculum)
        except BaseException as error:  # noqa: BLE001 - told at the end
            self.failure = error

    def opened(self) -> Curriculum:
        url = self.through.url
        return self.again(lambda: Curriculum.open(url, self.name, worker=self.settings))

    def again(self, call: Callable[[], T]) -> T:
        """Make the same call until it is answered."""
        while True:
            try:
                return call()
            except ServerError as error:
                self.errors[type(error).__name__] += 1
                time.sleep(0.05)

    def play(self, curriculum: Curriculum) -> None:
        choose = random.Random(self.seed)
        tasks = self.draw(curriculum, 2)
        while time.monotonic() < self.until:
            if self.outcomes.total() % 500 == 499:  # now and then an epoch ends
                with suppress(CurriculumError):
                    curriculum.end_epoch()
            results = [(task.task_id, next(_scores)) for task in tasks]
            scored = [(task_id, units * UNIT) for task_id, units in results]
            draws = choose.randrange(1, 6)
            step = self.again(partial(curriculum.next_tasks, scored, draws))
            self.outcomes.update(str(outcome) for outcome in step.outcomes)
            for result in results:
                self.told.end(result, [])
            self.told.end(None, [task.task_id for task in step.tasks])
            tasks = step.tasks
            time.sleep(0.01)

    def draw(self, curriculum: Curriculum, number: int) -> list[Task]:
        tasks = self.again(lambda: curriculum.get_tasks(number))
        self.told.end(None, [task.task_id for task in tasks])
        return tasks

    def settle(self, curriculum: Curriculum) -> None:
        """The faults are over: deliver what waits."""
        until = time.monotonic() + 60
        while curriculum.waiting_results and time.monotonic() < until:
            curriculum.get_task()
            time.sleep(0.2)
        assert (curriculum.waiting_results, curriculum.dropped_results) == (0, 0)
        assert curriculum.lost_writes == 0


class Faults:
    """What happens to the server and to the lines, each once now and then."""

    def __init__(self, server: RunningServer, lines: list[Proxy], folder: Path, seed: int) -> None:
        self.server, self.lines, self.folder = server, lines, folder
        self.choose = random.Random(seed)
        self.met: Counter[str] = Counter()
        self.spared: Counter[str] = Counter()

    def one(self) -> None:
        faults = (self.kill, self.pause, self.cut, self.lose, self.flush, self.hang_up)
        fault = self.choose.choice((*faults, self.memory, self.snapshot))
        self.met[fault.__name__] += 1
        fault()

    def kill(self) -> None:
        self.server.kill()
        time.sleep(self.choose.uniform(0, 2))
        self.server.start(wait=False)
        for _ in range(9):  # on a busy machine it loads its data for long
            with suppress(RuntimeError):
                self.server.wait()
                return
        self.server.wait()

    def pause(self) -> None:
        self.server.send(signal.SIGSTOP)
        time.sleep(self.choose.uniform(0.2, 2))
        self.server.send(signal.SIGCONT)

    def cut(self) -> None:
        for line in self.lines:
            line.cut()

    def lose(self) -> None:
        """For a second, every few requests or replies are lost."""
        chance = random.Random(self.choose.random())

        def rule(_: bytes) -> Fate:
            return chance.choice(("pass", "pass", "pass", "lose request", "lose reply"))

        for line in self.lines:
            line.rule = rule
        time.sleep(1)
        for line in self.lines:
            line.rule = lambda _: "pass"

    def flush(self) -> None:
        with self.server.client() as client:
            client.script_flush()

    def hang_up(self) -> None:
        with self.server.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)

    def memory(self) -> None:
        with self.server.client() as client:
            client.config_set("maxmemory", "100kb")
            time.sleep(0.5)
            client.config_set("maxmemory", "0")

    def snapshot(self) -> None:
        """A snapshot and a check while they play."""
        for name in ("raise", "continue"):
            try:
                with Curriculum.open(self.server.url, name) as curriculum:
                    curriculum.snapshot(self.folder / f"{name}.rcs", overwrite=True)
            except (ServerError, SnapshotError) as error:
                self.spared[type(error).__name__] += 1


def judged(server: RunningServer, name: str, players: list[Player]) -> dict[str, Any]:
    """What the server holds beside what the workers of one curriculum were told."""
    told = Ledger()
    for player in players:
        told.take_over(player.told)
    with Curriculum.open(server.url, name) as curriculum:
        held, problems = held_by(curriculum), curriculum.check()
    found: dict[str, Any] = {
        "results": told.reported.total(),
        "lost": (told.reported - held.reported).total(),
        "doubled": (held.reported - told.reported).total(),
        "right scores": held.totals == told.totals,
        "deferred": sum(player.outcomes[Outcome.DEFERRED] for player in players),
        "errors": dict(sum((player.errors for player in players), Counter[str]())),
        "problems": problems,
        "failures": [repr(player.failure) for player in players if player.failure],
    }
    if name == "raise":
        found["draws"] = told.handed.total()
        found["lost draws"] = (told.handed - held.handed).total()
        found["doubled draws"] = (held.handed - told.handed).total()
    return found


def soak(seconds: float, seed: int, folder: Path) -> tuple[dict[str, Any], bool]:
    """Play for so long; return the counts, and whether all is right."""
    names = ("raise", "raise", "continue", "continue")
    with ExitStack() as stack:
        server = stack.enter_context(redis_server(folder / "server", config=SAFE))
        for name in set(names):
            Curriculum.open(server.url, name, config_of()).close()
        players = []
        for i, name in enumerate(names):
            short: dict[str, Any] = (
                {"on_outage": name, "retry_deadline_s": 0.3} if name == "continue" else {}
            )
            settings = WorkerSettings(timeout_s=0.5, chunk=2 + i, **short)
            through = stack.enter_context(proxy(server))
            players.append(Player(name, settings, through, seed + i))
        faults = Faults(server, [player.through for player in players], folder, seed)
        threads = [threading.Thread(target=player.run, daemon=True) for player in players]
        until = time.monotonic() + seconds
        for player, thread in zip(players, threads, strict=True):
            player.until = until
            thread.start()
        while time.monotonic() < until:
            time.sleep(faults.choose.uniform(1, 4))
            faults.one()
        for thread in threads:
            thread.join()
        of = {n: judged(server, n, [p for p in players if p.name == n]) for n in sorted({*names})}
    wrong = ("lost", "doubled", "lost draws", "doubled draws", "problems", "failures")
    is_right = all(not row.get(what) for row in of.values() for what in wrong)
    is_right = is_right and all(row["right scores"] for row in of.values())
    return {"faults": dict(faults.met), "refused": dict(faults.spared), **of}, is_right


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ServerWarning)
    with tempfile.TemporaryDirectory() as folder:
        counts, is_right = soak(options.seconds, options.seed, Path(folder))
    sys.stdout.write(f"{json.dumps(counts, indent=2)}\n")
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
