"""What the pages say of the quickstart, the commands, the settings and the files is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

import redis_curriculum
from redis_curriculum import Curriculum
from redis_curriculum._values.fields import Resume
from redis_curriculum.config import CurriculumConfig
from redis_curriculum.config.resume import resume_rule
from redis_curriculum.scorers.registry import family, kinds
from tests.cli.conftest import commands
from tests.cli.test_server import CONFIG
from tests.docs.pages import PAGES, README, ROOT, blocks, page, rows, section
from tests.servers import RunningServer, executables, redis_server


def test_the_quickstart_runs_as_it_stands(tmp_path: Path) -> None:
    (program,) = blocks(section(page("README.md"), "Quickstart"), "python")
    assert len([line for line in program.splitlines() if line]) <= 20
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    counts = eval(done.stdout)  # noqa: S307 - what our own program printed
    assert counts.keys() == {"maze-5", "maze-9", "maze-13", "empty"}
    assert sum(counts.values()) == 256
    with Curriculum.restore(tmp_path / "quickstart.rcs", f"embedded://{tmp_path}/data") as resumed:
        assert resumed.labels() == counts


def test_make_and_pip_run_the_same() -> None:
    makefile = (ROOT / "Makefile").read_text()
    text = section(page("start/install.md"), "Two commands")
    for target, command in (("demo", "redis-curriculum demo"), ("test", "-m pytest")):
        assert f"make {target}" in text
        recipe = re.search(rf"^{target}:.*\n\t(.*)$", makefile, re.MULTILINE)
        assert recipe
        assert command in recipe[1]
        assert f"-c constraints.txt -e '.[{target}]' && .venv/bin/" in text
        assert command in text


def test_the_table_has_every_command_and_option() -> None:
    table = {}
    for usage, _ in rows(page("operate/command-line.md")):
        words = usage.strip("`").split()
        table[words[0]] = set(re.findall(r"--[a-z-]+", usage))
    shared = {"--url", "--json", "--help"}
    assert table == {name: options - shared for name, options in commands().items()}


def test_json_is_everywhere_but_in_what_goes_on() -> None:
    assert {name for name, options in commands().items() if "--json" not in options} == {
        "demo",
        "top",
        "dashboard",
    }


def test_the_structural_settings_are_all_named() -> None:
    (sentence,) = re.findall(r"what the stored numbers mean:(.*?)\. Another", _flat())
    named = set(re.findall(r"`([a-z]\w*)`", sentence))
    fields = [name for name in CurriculumConfig.model_fields if name != "algorithm"]
    for kind in kinds():
        fields += [f"algorithm.{name}" for name in family(kind).model_fields]
    structural = {f for f in fields if resume_rule(f) is Resume.STRUCTURAL}
    assert named == {field.rpartition(".")[2] for field in structural}


def _flat() -> str:
    return page("guides/checkpoints.md").replace("\n", " ")


@pytest.mark.parametrize("executable", executables().values(), ids=list(executables()))
def test_the_two_traps_and_the_ways_around(executable: Path, tmp_path: Path, name: str) -> None:
    def run(place: Path, *, aof: bool) -> AbstractContextManager[RunningServer]:
        config = ["--appendonly", "yes" if aof else "no"]
        return redis_server(place, executable=executable, config=config)

    rdb, aof = tmp_path / "rdb", tmp_path / "aof"
    with run(rdb, aof=False) as server, server.client() as client:
        Curriculum.open(server.url, name, CONFIG).close()
        client.save()
    with run(rdb, aof=True) as server, server.client() as client:
        assert client.dbsize() == 0, "an RDB-only server restarted with AOF is empty"
    assert (rdb / "dump.rdb").exists()

    with run(aof, aof=True) as server, server.client() as client:
        client.set("x", 1)
    (aof / "dump.rdb").write_bytes((rdb / "dump.rdb").read_bytes())
    with run(aof, aof=True) as server, server.client() as client:
        assert client.keys() == ["x"], "a dump.rdb under AOF is ignored"

    with run(aof, aof=False) as server, server.client() as client:
        assert client.dbsize() > 1
        client.config_set("appendonly", "yes")
        while set(_rewriting(client)) != {0}:
            time.sleep(0.01)
    with run(aof, aof=True) as server, Curriculum.open(server.url, name) as curriculum:
        assert curriculum.check() == []
        assert len(curriculum.task_ids()) == CONFIG.num_active_tasks


def _rewriting(client: Any) -> tuple[int, int]:
    info = client.info("persistence")
    return info["aof_rewrite_in_progress"], info["aof_rewrite_scheduled"]


def test_what_it_says_of_the_files_is_there() -> None:
    text = "\n".join(map(page, PAGES))
    found = set(re.findall(r"`((?:docker|examples|benchmarks|lua|tests)[/\w.-]+)`", text))
    assert len(found) > 10
    for path in found:
        assert (ROOT / path).exists(), path


def test_the_readme_stays_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


def test_the_citation_names_this_version() -> None:
    (entry,) = blocks(page("README.md"), "bibtex")
    assert f"version = {{{redis_curriculum.__version__}}}" in entry
