"""Public calls at random, by several workers in turn: ``python -m tests.fuzz --calls 9000``.

Half of the arguments make sense, the others are odd. A call may do what it says or raise an error
of this library, and nothing else. At the end every invariant of the state has to hold.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import math
import random
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from redis_curriculum import AsyncCurriculum, Curriculum, CurriculumConfig, Task, WorkerSettings
from redis_curriculum.config import DebiasedProgressConfig, LearningProgressConfig
from redis_curriculum.errors import CurriculumError
from redis_curriculum.tasks import Buckets
from tests.servers import redis_server

NAME: Final = "fuzzed"
WORKERS: Final = 3
LEAVING: Final = {"close", "open", "restore", "names", "delete", "keeping_lease", "fork"}
"""Public methods that are no calls of a live handle."""
METHODS: Final = tuple(
    name
    for name in sorted(set(dir(Curriculum)) & set(dir(AsyncCurriculum)))
    if not name.startswith("_") and name not in LEAVING and callable(getattr(Curriculum, name))
)
HEAVY: Final = {"check", "snapshot", "state_dict", "load_state_dict", "records", "reopen"}
"""Called less often, so that the others get their turn."""
ODD: Final[tuple[Any, ...]] = (
    *(None, True, -1, 0, 1, 2, 1.5, 2**53, 2**70, math.nan, math.inf, "", "a", "b", "x" * 300),
    *("\ud800", "\0", b"x", [], [1], {}, {"a": 1}, (1, 0.5), [(1, 0.5)], [(1, 2, 3)], object()),
    *([(2**60, 0.5)], [("1", "2")], {1}, lambda: 1, ValueError("x"), -0.0, 1e-320, 10**400),
)


def config_of(seed: int) -> CurriculumConfig:
    algorithms = (
        LearningProgressConfig(
            replacement_rate=0.2, min_samples_for_lp=1, min_presentations_for_eviction=2
        ),
        DebiasedProgressConfig(),
    )
    return CurriculumConfig(
        task_generator=Buckets(label="{k}", buckets={"k": ["a", "b", "c"], "n": list(range(999))}),
        num_active_tasks=12,
        seed=seed,
        labels_retained=2,
        epochs_retained=3,
        algorithm=algorithms[seed % len(algorithms)],
    )


@dataclass
class Fuzz:
    """Where the arguments come from, and what came of the calls."""

    choose: random.Random
    folder: Path
    ids: list[int] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    wrong: list[str] = field(default_factory=list)

    def method(self) -> str:
        name = self.choose.choice(METHODS)
        return name if name not in HEAVY or self.choose.random() < 0.1 else self.method()

    def arguments(self, method: str) -> tuple[list[Any], dict[str, Any]]:
        """Values for the parameters of a method; by name where they can only be given so."""
        given: tuple[list[Any], dict[str, Any]] = ([], {})
        parameters = inspect.signature(getattr(Curriculum, method)).parameters
        for name, parameter in list(parameters.items())[1:]:
            is_optional = parameter.default is not parameter.empty
            if parameter.kind is parameter.VAR_KEYWORD:
                fields = ("temperature", "max_consecutive_failures", "num_active_tasks", "nothing")
                given[1][self.choose.choice(fields)] = self.value("setting")
            elif is_optional and self.choose.random() < 0.5:
                continue
            elif parameter.kind is parameter.KEYWORD_ONLY or (is_optional and given[1]):
                given[1][name] = self.value(name)
            else:
                given[0].append(self.value(name))
        return given

    def value(self, name: str) -> Any:
        if self.choose.random() < 0.4 and name != "progress":  # what that raises is its own
            return self.choose.choice(ODD)
        return self.sensible().get(name, lambda: self.choose.choice(ODD))()

    def sensible(self) -> dict[str, Callable[[], Any]]:
        choose = self.choose

        def task_id() -> int:
            return choose.choice(self.ids or [1])

        def results() -> list[tuple[int, float]]:
            return [(task_id(), choose.random()) for _ in range(choose.randrange(1, 6))]

        return {
            "task_id": task_id,
            "task_ids": lambda: [task_id()],
            "score": choose.random,
            "finished": lambda: choose.choice([results(), (task_id(), choose.random())]),
            "results": results,
            "count": lambda: choose.randrange(1, 9),
            "distinct": lambda: choose.random() < 0.5,
            "permanent": lambda: choose.random() < 0.5,
            "label": lambda: choose.choice(["a", "b", "new", "ä {}*"]),
            "error": lambda: choose.choice(["broken", ValueError("broken")]),
            "step": lambda: choose.randrange(2**53),
            "path": lambda: self.folder / f"{choose.randrange(3)}.rcs",
            "overwrite": lambda: True,
            "keep": lambda: choose.randrange(3),
            "repair": lambda: choose.random() < 0.5,
            "epoch": lambda: choose.randrange(5),
            "labels": lambda: choose.choice([0, 2, "a*"]),
            "tasks": lambda: [Task(choose.randrange(2**40), "a", {"k": "a"})],
            "setting": lambda: choose.choice([0.1, 3, 12]),
            "shrink": lambda: choose.random() < 0.5,
            "generator": lambda: None,
            "progress": lambda: None,
        }

    def note(self, method: str, error: BaseException | None) -> None:
        self.calls[method] += 1
        if error is None:
            self.answered += 1
        elif isinstance(error, CurriculumError) and str(error):
            self.refused[type(error).__name__] += 1
        else:
            self.wrong.append(f"{method}: {error!r:.300}")


async def fuzz(url: str, calls: int, seed: int, folder: Path) -> Fuzz:
    """Make so many calls, by blocking and asyncio handles in turn."""
    state = Fuzz(random.Random(seed), folder)
    settings = WorkerSettings(retry_deadline_s=2, chunk=3)
    handles: list[Any] = [Curriculum.open(url, NAME, config_of(seed), worker=settings)]
    handles += [Curriculum.open(url, NAME, worker=settings) for _ in range(WORKERS - 1)]
    handles += [await AsyncCurriculum.open(url, NAME, worker=settings) for _ in range(WORKERS - 1)]
    for i in range(calls):
        if i % 20 == 0:
            state.ids = [*handles[0].task_ids(), *list(handles[0].quarantine())[:3]]
        handle, method = state.choose.choice(handles), state.method()
        args, named = state.arguments(method)
        try:
            answer = getattr(handle, method)(*args, **named)
            if inspect.isawaitable(answer):
                await answer
        except Exception as error:  # noqa: BLE001 - that is the question
            state.note(method, error)
        else:
            state.note(method, None)
    state.wrong += handles[0].check()
    handles[0].snapshot(folder / "last.rcs", overwrite=True)
    Curriculum.restore(folder / "last.rcs", url, f"{NAME}.2").close()
    for handle in handles:
        closing = handle.close()
        if inspect.isawaitable(closing):
            await closing
    return state


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=9000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name, redis_server(Path(name) / "server") as server:
        found = asyncio.run(fuzz(server.url, options.calls, options.seed, Path(name)))
    counts = {"calls": found.calls, "answered": found.answered, "refused": found.refused}
    sys.stdout.write(f"{json.dumps(counts | {'wrong': found.wrong}, indent=1)}\n")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
