"""Does a curriculum help? Real learners on tasks that Redis draws, against uniform draws.

Every run is one learner (family, algorithm, seed) on an embedded server of its own, with the same
number of steps whatever the algorithm. Results are added to out/learning.jsonl as they come, and
runs that are there with the same settings and code are not made again. At the end
out/learning.json, .md and .png tell of all of them.

    python benchmarks/learning.py                               # `make learning`
    python benchmarks/learning.py --families rooms,lakes --seeds 1-4
    python benchmarks/learning.py --algorithms "uniform,learning_progress:pooling=task"
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the runs are what is parallel

from families.family import Family
from families.picture import draw
from families.registry import FAMILIES, SMOKE, installed
from families.report import Summary, as_json, markdown, summarise, write_between_marks
from families.run import Record, run, settings
from measure import OUT, arguments, console, machine
from server import Server

FIRST_SEED = 5000
"""Of the reported runs; nothing was ever chosen by what happens from here on."""
SMOKE_SEEDS = (1,)


@dataclass(frozen=True)
class Job:
    """One run to be made."""

    family: str
    algorithm: str
    seed: int
    smoke: bool = False

    @property
    def of(self) -> Family:
        """The family, in its full or its tiny form."""
        return (SMOKE if self.smoke else FAMILIES)[self.family]

    def run(self) -> Record:
        """Make it; called in a process of the pool."""
        try:
            return run(self.of, self.algorithm, self.seed)
        except Exception as error:
            error.add_note(f"in the run {self}")
            raise

    def settings(self) -> Record:
        """What its result depends on."""
        return settings(self.of, self.algorithm, self.seed)


def main() -> None:
    """Make the runs that are missing, then report."""
    given = arguments_given()
    jobs = plan(given.families, given.algorithms, given.seeds, smoke=given.smoke)
    store = OUT / ("learning-smoke.jsonl" if given.smoke else "learning.jsonl")
    if given.smoke:
        store.unlink(missing_ok=True)
    started = time.monotonic()
    records = complete(jobs, store, given.jobs)
    report(jobs, records, store.with_suffix(""), given.table)
    console.print(f"{len(jobs)} runs, {time.monotonic() - started:.0f} s for those that lacked")


def plan(
    families: Sequence[str],
    algorithms: Sequence[str] | None,
    seeds: Sequence[int] | None,
    *,
    smoke: bool,
) -> list[Job]:
    """Return the runs in the order in which they are made: all of a seed, then the next."""
    known = SMOKE if smoke else FAMILIES
    default = {
        name: SMOKE_SEEDS if smoke else range(FIRST_SEED, FIRST_SEED + known[name].seeds)
        for name in families
    }
    wanted = {name: list(seeds or default[name]) for name in families}
    longest = max(len(of) for of in wanted.values())
    return [
        Job(name, algorithm, wanted[name][i], smoke)
        for i in range(longest)
        for name in families
        if i < len(wanted[name])
        for algorithm in algorithms or known[name].algorithms
    ]


def complete(jobs: Sequence[Job], store: Path, processes: int) -> list[Record]:
    """Make the runs that the store lacks, add each when it is done; return those of all jobs."""
    store.parent.mkdir(exist_ok=True)
    lines = store.read_text(encoding="utf-8").splitlines() if store.exists() else []
    done = {_key(record): record for record in map(json.loads, lines)}
    keys = [_key(job.settings()) for job in jobs]
    missing = [job for job, key in zip(jobs, keys, strict=True) if key not in done]
    with ProcessPoolExecutor(processes, get_context("spawn"), _end_cleanly) as pool:
        futures = [pool.submit(job.run) for job in missing]
        for i, record in enumerate(_results(futures, pool), 1):
            with store.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            done[_key(record)] = record
            console.print(_line(record, f"{i} of {len(missing)}"), highlight=False, soft_wrap=True)
    return [done[key] for key in keys]


def _end_cleanly() -> None:
    """Let SIGTERM end a process by way of its ``finally`` clauses: no server stays behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))


def _results(futures: Sequence[Future[Record]], pool: ProcessPoolExecutor) -> Iterator[Record]:
    """Yield results as they come; if a run fails, or the caller is ended, the others are ended."""
    try:
        for future in as_completed(futures):
            yield future.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in active_children():
            process.terminate()
        raise


def _key(record: Record) -> str:
    """The settings of a run as text."""
    names = ("family", "algorithm", "seed", "budget", "every", "thresholds", "config", "code")
    return json.dumps([record[name] for name in names])


def _line(record: Record, place: str) -> str:
    last = record["marks"][-1]
    mean = sum(last["success"].values()) / len(last["success"])
    return (
        f"{place}: {record['family']}, {record['algorithm']}, seed {record['seed']}:"
        f" {mean:.2f} after {last['steps']:,} steps and {last['episodes']:,} episodes,"
        f" {record['seconds']:.0f} s"
    )


def report(
    jobs: Iterable[Job], records: Sequence[Record], to: Path, table: Path | None
) -> list[Summary]:
    """Write JSON, table and picture, and the table into a page where one is given."""
    families = list({job.family: job.of for job in jobs}.values())
    summaries = [s for family in families for s in summarise(family, records)]
    with Server() as server, server.client() as client:
        where = machine(client)
    content = {
        "machine": where,
        "families": {f.name: {"about": f.about, "budget": f.budget} for f in families},
        "summaries": [as_json(summary) for summary in summaries],
        "seconds": sum(record["seconds"] for record in records),
    }
    to.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text = markdown(families, summaries)
    text += f"\nMeasured on {', '.join(f'{k} {v}' for k, v in where.items())}.\n"
    to.with_suffix(".md").write_text(text, encoding="utf-8")
    draw(families, records, to.with_suffix(".png"))
    if table is not None:
        write_between_marks(text, table)
    console.print(text, highlight=False, soft_wrap=True, markup=False)
    return summaries


def arguments_given() -> argparse.Namespace:
    """Read the command line."""
    parser = arguments(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    names = [name for name in FAMILIES if installed(name)]
    parser.add_argument(
        "--families", type=_words, default=names, help=f"of {', '.join(FAMILIES)}; default: all"
    )
    parser.add_argument("--algorithms", type=_algorithms, help="default: those of each family")
    parser.add_argument(
        "--seeds", type=_seeds, help=f"as 1-4 or 1,2,7; default: from {FIRST_SEED} on"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--table", type=Path, help="a page with the two marks for the table")
    given = parser.parse_args()
    for name in given.families:
        if name not in FAMILIES:
            parser.error(f"no family {name!r}; there are {', '.join(FAMILIES)}")
        if not installed(name):
            parser.error(f"{name} needs its package: pip install 'redis-curriculum[bench]'")
    if missing := set(FAMILIES) - set(names):
        console.print(f"without {', '.join(missing)}: pip install 'redis-curriculum[bench]'")
    return given


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _algorithms(text: str) -> list[str]:
    """Split at commas, but not at those between the fields of one algorithm."""
    found: list[str] = []
    for word in _words(text):
        if "=" in word and ":" not in word and found:
            found[-1] += f",{word}"
        else:
            found.append(word)
    return found


def _seeds(text: str) -> list[int]:
    found: list[int] = []
    for word in _words(text):
        first, _, last = word.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


if __name__ == "__main__":
    main()
