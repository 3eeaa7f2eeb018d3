"""Instructions of the server for one call, counted by valgrind's callgrind, beside a stored run.

A count hardly depends on what else the machine does, unlike a time. ``--renew`` writes the stored
run, benchmarks/instructions.json, which is committed: its difference shows a reviewer what a change
of the scripts costs. Where valgrind is not installed, a line says so and nothing is counted.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from measure import Row, arguments, console, machine, report
from pool import Hand, Planted
from server import Server

from redis_curriculum import Curriculum, CurriculumConfig, WorkerSettings
from redis_curriculum._protocol.plan import Run
from redis_curriculum._store.contracts import RECORD, SAMPLE, STEP
from redis_curriculum.config import LearningProgressConfig
from redis_curriculum.scorers import Scorer
from redis_curriculum.tasks import Buckets

STORED: Final = Path(__file__).with_name("instructions.json")
MOST_SLOWER: Final = 5.0
"""Percent above the stored run that still passes for the same; runs differ by 2 to 4."""
LEVELS: Final = 20
"""Labels of the pool."""
OPERATIONS: Final = (
    ("one update", 1, 0, 1),
    ("one draw", 0, 1, 1),
    ("one step", 1, 1, 1),
    ("a step of 64", 64, 64, 8),
)
"""Name, results and draws of a call; by what the number of calls is divided."""
_TOTAL: Final = re.compile(r"^(?:summary|totals): (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Scale:
    """How much is counted: enough to be steady, or just enough to see that it runs."""

    tasks: int = 1_000
    results: int = 12
    """Of each task, before anything is counted."""
    calls: int = 100
    rounds: int = 3


FULL = Scale()
SMOKE = Scale(tasks=40, results=1, calls=2, rounds=1)


class Counter:
    """Callgrind within one server: counts what the server does while some work is carried out."""

    PREFIX: Final = ("valgrind", "--tool=callgrind", "--instr-atstart=no")

    def __init__(self, server: Server) -> None:
        self._server = server

    def count(self, work: Callable[[], object]) -> int:
        """Return the instructions that the server needs for some work."""
        self._control("--instr=on")
        work()
        self._control("--dump")
        self._control("--instr=off")
        found = 0
        for dump in self._server.directory.glob("callgrind.out.*.*"):
            found += total(dump.read_text(encoding="utf-8"))
            dump.unlink()
        return found

    def _control(self, word: str) -> None:
        subprocess.run(
            ["callgrind_control", word, str(self._server.pid)], check=True, capture_output=True
        )


def total(dump: str) -> int:
    """Return the instructions that a file of callgrind's counts; 0 where it counts none.

    Raises:
        ValueError: It is no such file, or not a whole one.
    """
    found = _TOTAL.findall(dump)
    if not found:
        raise ValueError(f"no total in this file of callgrind's: {dump[:80]!r}")
    return int(found[-1])


def compared(
    found: Mapping[str, Sequence[float]], stored: Mapping[str, Any], redis: str
) -> tuple[list[Row], list[str]]:
    """Return each count's change against the stored run in percent, and what cannot be compared.

    Another version of Redis needs other numbers of instructions: then nothing is compared.
    """
    if stored["redis"] != redis:
        return [], [f"the stored run is of Redis {stored['redis']}, this one of {redis}"]
    before: Mapping[str, float] = stored["instructions"]
    rows = [
        Row(
            f"{what}: instructions against the stored run",
            [100 * (value / before[what] - 1) for value in values],
            "%",
            f"<= {MOST_SLOWER:g}",
        )
        for what, values in found.items()
        if what in before
    ]
    words = [f"{what} is not in the stored run" for what in found if what not in before]
    words += [f"{what} is only in the stored run" for what in before if what not in found]
    return rows, words


def families() -> list[Scorer]:
    """Return the default algorithm, and learning progress without replacement."""
    default = CurriculumConfig(task_generator=_levels()).algorithm
    return [default, LearningProgressConfig(replacement_rate=0.0)]


def _levels() -> Buckets:
    return Buckets(label="level-{level}", buckets={"level": list(range(LEVELS))})


def played(server: Server, algorithm: Scorer, scale: Scale) -> Planted:
    """Return a pool whose tasks have some results, the same in each run."""
    config = CurriculumConfig(
        task_generator=_levels(), num_active_tasks=scale.tasks, algorithm=algorithm
    )
    chance, results = random.Random(1), list[tuple[int, float]]()
    patient = WorkerSettings(timeout_s=120.0, lease_ms=3_600_000)
    with Curriculum.open(server.url, algorithm.kind, config, worker=patient) as curriculum:
        for label in sorted(curriculum.labels()):
            easy = int(label.removeprefix("level-")) / LEVELS
            for task_id in sorted(curriculum.task_ids(label)):
                skills = [easy * (1 + i / scale.results) / 2 for i in range(scale.results)]
                results += [(task_id, float(chance.random() < skill)) for skill in skills]
        curriculum.update_many(results)
    return Planted(server, algorithm.kind, config, sorted({task_id for task_id, _ in results}))


def counts(server: Server, client: Any, scale: Scale) -> dict[str, list[float]]:
    """Instructions of each kind of call, in each round."""
    counter, found = Counter(server), dict[str, list[float]]()
    client.config_set("hz", 1)  # what the server does by the clock is not to be in the counts

    def note(what: str, calls: Sequence[Run]) -> None:
        def work() -> None:
            for call in calls:
                client.execute_command("EVALSHA", call.script.sha, 1, call.key, *call.args)

        found.setdefault(what, []).append(counter.count(work) / len(calls))

    hands = [Hand(played(server, algorithm, scale)) for algorithm in families()]
    for hand in hands:
        for contract in (RECORD, SAMPLE, STEP):
            client.script_load(hand.store.script(contract).source)
    chance = random.Random(2)
    for _ in range(1 + scale.rounds):
        for hand in hands:
            kind, ids = hand.store.server.keys.name, hand.planted.ids
            for what, results, draws, count in OPERATIONS:
                calls = []
                for _ in range(max(2, scale.calls // count)):
                    drawn = chance.choices(ids, k=results)
                    scored = [(task_id, float(chance.random() < 0.5)) for task_id in drawn]
                    calls.append(hand.play(scored, draws))
                note(f"{kind}, {what}", calls)
    return {what: values[1:] for what, values in found.items()}  # the first warms up


def main(*, smoke: bool = False, renew: bool = False) -> list[Row]:
    """Count, print, store, compare with the stored run or renew that; return the rows."""
    if not shutil.which("callgrind_control"):
        console.print("instructions: valgrind is not installed here, so none are counted")
        return []
    with Server(Counter.PREFIX) as server, server.client() as client:
        where = machine(client) | {"valgrind": _version()}
        found = counts(server, client, SMOKE if smoke else FULL)
    rows = [Row(what, values, "") for what, values in found.items()]
    if renew:
        content = {
            "redis": where["redis"],
            "valgrind": where["valgrind"],
            "instructions": {what: round(statistics.median(n)) for what, n in found.items()},
        }
        STORED.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    elif not smoke:
        stored = json.loads(STORED.read_text(encoding="utf-8"))
        changes, words = compared(found, stored, where["redis"])
        rows += changes
        for line in words:
            console.print(f"instructions: {line}")
    report("instructions", rows, where)
    return rows


def _version() -> str:
    words = ["valgrind", "--version"]
    said = subprocess.run(words, check=True, capture_output=True, text=True)
    return said.stdout.strip().removeprefix("valgrind-")


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--renew", action="store_true", help=f"write {STORED.name}, to commit it")
    given = parser.parse_args()
    main(smoke=given.smoke, renew=given.renew)
