"""``embedded://`` is private to one program's run: who shares it, and who does not."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum._wire.embedded import RUN_VARIABLE, attach, default_directory, run_id
from redis_curriculum.errors import EmbeddedServerError, ServerWarning
from redis_curriculum.tasks import Single
from tests.wire.test_embedded import is_free, is_over, wait_for

CONFIG = CurriculumConfig(task_generator=Single(label="x", params={}), num_active_tasks=4)
PROGRAM = """
import subprocess, sys
from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.tasks import Single

config = CurriculumConfig(task_generator=Single(label="x", params={}), num_active_tasks=4)
with Curriculum.open("embedded://", "same", config) as curriculum:
    curriculum.get_task()
    print(int(curriculum.stats()["num_scheduled"]), flush=True)
    if sys.argv[1:]:
        subprocess.run([sys.executable, "-c", *sys.argv[1:]], check=True)
    sys.stdin.read()
"""
SPAWNING = """
import multiprocessing, sys
from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.tasks import Single

def play(turn):
    config = CurriculumConfig(task_generator=Single(label="x", params={}), num_active_tasks=4)
    with turn, Curriculum.open("embedded://", "same", config) as curriculum:
        curriculum.get_task()
        print(int(curriculum.stats()["num_scheduled"]), flush=True)
        turn.wait()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    turn = context.Condition()
    processes = [context.Process(target=play, args=(turn,), daemon=True) for _ in range(2)]
    for process in processes:
        process.start()
    sys.stdin.read()
"""
REOPENING = """
import sys, time
from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.tasks import Single

config = CurriculumConfig(task_generator=Single(label="x", params={}), num_active_tasks=4)
with Curriculum.open("embedded://", "same", config) as curriculum:
    curriculum.get_task()
time.sleep(0.3)  # a server without users ends at once
with Curriculum.open("embedded://", "same", resume="must") as curriculum:
    print(int(curriculum.stats()["num_scheduled"]), flush=True)
"""
LOADED = """
import pickle, sys
with pickle.load(open(sys.argv[1], "rb")) as curriculum:
    print(curriculum.get_task().label, int(curriculum.stats()["num_scheduled"]))
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start programs that do not know each other; they end when their input does."""
    monkeypatch.delenv(RUN_VARIABLE, raising=False)
    running: list[subprocess.Popen[str]] = []

    def begin(source: str, *words: object) -> subprocess.Popen[str]:
        path = tmp_path / f"program{len(running)}.py"
        path.write_text(source)
        running.append(
            subprocess.Popen(
                [sys.executable, path, *map(str, words)],
                env=os.environ | {"TMPDIR": str(tmp_path)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return running[-1]

    yield begin
    for process in running:
        process.communicate(timeout=60)
    for place in tmp_path.glob("redis-curriculum-*-*"):
        wait_for(partial(is_over, place))


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_a_program_that_closes_its_handle_finds_its_state_again(
    start: Start, tmp_path: Path
) -> None:
    """As it trains first and evaluates then. At its end the server ends, too."""
    program = start(REOPENING)
    assert line(program) == "1"
    program.communicate(timeout=60)
    for place in tmp_path.glob("redis-curriculum-*-*"):
        wait_for(partial(is_over, place))


def test_a_second_program_gets_its_own(start: Start, tmp_path: Path) -> None:
    programs = [start(PROGRAM) for _ in range(2)]
    assert [line(program) for program in programs] == ["1", "1"]
    assert len(list(tmp_path.glob("redis-curriculum-*-*"))) == 2


def test_what_a_program_starts_shares_it(start: Start) -> None:
    program = start(PROGRAM, PROGRAM)
    assert [line(program), line(program)] == ["1", "2"]


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_processes_share_it_though_their_parent_does_not_use_it(start: Start, method: str) -> None:
    program = start(SPAWNING, method)
    assert {line(program), line(program)} == {"1", "2"}


def test_a_pickled_handle_leads_to_it_from_any_process(
    start: Start,
    tmp_path: Path,
    freed: None,
) -> None:
    """Such as a worker of Ray, which this program has not started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        with Curriculum.open("embedded://", "same", CONFIG) as curriculum:
            assert curriculum.url == "embedded://"
            curriculum.get_task()
            (tmp_path / "handle").write_bytes(pickle.dumps(curriculum))
            patch.delenv(RUN_VARIABLE)
            assert line(start(LOADED, tmp_path / "handle")) == "x 2"


def test_the_variable_names_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN_VARIABLE, "mine-1")
    assert run_id() == "mine-1"
    assert default_directory().name == f"redis-curriculum-{os.getuid()}-mine-1"
    monkeypatch.setenv(RUN_VARIABLE, "../else")
    with pytest.raises(EmbeddedServerError, match=RUN_VARIABLE):
        attach(None)


def test_directories_of_runs_that_are_over_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    foreign = tmp_path / f"redis-curriculum-{os.getuid()}-else"
    foreign.mkdir()
    with attach(None, "lives"):
        attach(None, "ended").close()
        wait_for(lambda: is_free(default_directory("ended") / "keeper"))
        with attach(None, "new"):
            found = {place.name.rpartition("-")[2] for place in tmp_path.iterdir()}
            links = {str(os.getuid())}  # short links to sockets, where the path is long
            assert found - links == {"else", "lives", "new"}
    for run in ("lives", "new"):
        wait_for(partial(is_over, default_directory(run)))


# --- several machines ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "job",
    [
        {"SLURM_JOB_NUM_NODES": "2"},
        {"SLURM_NNODES": "16"},
        {"PBS_NUM_NODES": "3"},
        {"WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "8"},
        {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"},
    ],
    ids=lambda job: next(iter(job)),
)
def test_a_job_on_several_machines_is_warned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: dict[str, str]
) -> None:
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    with pytest.warns(ServerWarning, match=f"{next(iter(job))} is .* of its own"):
        attach(tmp_path / "server").close()
    for name in job:  # one machine, or no number
        monkeypatch.setenv(name, "1")
    attach(tmp_path / "server").close()
    monkeypatch.setenv(next(iter(job)), "many")
    attach(tmp_path / "server").close()
    wait_for(lambda: is_over(tmp_path / "server"))


@pytest.mark.parametrize(
    ("is_up", "alive", "warns"), [(True, 2, True), (True, 1, False), (False, 2, False)]
)
def test_ray_on_several_nodes_is_warned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_up: bool, alive: int, warns: bool
) -> None:
    ray = types.ModuleType("ray")
    nodes = [{"Alive": i < alive} for i in range(3)]
    vars(ray).update(is_initialized=lambda: is_up, nodes=lambda: nodes)
    monkeypatch.setitem(sys.modules, "ray", ray)
    if warns:
        with pytest.warns(ServerWarning, match="Ray runs on 2 nodes"):
            attach(tmp_path / "server").close()
    else:
        attach(tmp_path / "server").close()
    wait_for(lambda: is_over(tmp_path / "server"))
