"""Every way to install: wheel, wheel from the sdist, editable, bare checkout; with the scripts.

No network: the build runs without isolation, and what the package depends on is borrowed from the
environment of the tests by a .pth file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PLAY = """
import sys
import redis_curriculum
from redis_curriculum import Curriculum, CurriculumConfig, Outcome
from redis_curriculum._protocol import scripts
from redis_curriculum.tasks import Single
config = CurriculumConfig(task_generator=Single(label="x", params={"n": 1}), num_active_tasks=8)
with Curriculum.open(sys.argv[1], sys.argv[2], config) as curriculum:
    task = curriculum.get_task()
    assert curriculum.update_task_performance(task.task_id, 0.5) is Outcome.APPLIED
    assert curriculum.get_task_stats(task.task_id).completion_count == 1
print(redis_curriculum.__file__)
print(scripts.folder())
"""


def pip(*words: str | Path) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
    subprocess.run([sys.executable, "-m", "pip", *quiet, *words], check=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, the wheel built from it, and in ``direct/`` that of the checkout."""
    place = tmp_path_factory.mktemp("dist")
    build: list[str | Path] = [sys.executable, "-m", "build", "--no-isolation"]
    for kind, folder in (([], place), (["--wheel"], place / "direct")):
        words = [*build, *kind, "--outdir", folder, ROOT]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return place


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A new environment's Python: it has the dependencies, but neither the package nor pip."""
    place = tmp_path / "venv"
    venv.create(place, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return place / "bin" / "python"


def played(python: Path, url: str, name: str, **environment: str) -> tuple[Path, Path]:
    """Run a curriculum; where package and scripts were found."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment
    done = subprocess.run(
        [python, "-c", PLAY, url, name],
        cwd=python.parent,
        env=kept,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    package, scripts = done.stdout.splitlines()
    return Path(package).parent, Path(scripts)


def only(place: Path, pattern: str) -> Path:
    (found,) = place.glob(pattern)
    return found


@pytest.mark.parametrize("source", ["direct/*.whl", "*.whl"], ids=["checkout", "sdist"])
def test_a_wheel_runs_a_curriculum(
    source: str, built: Path, empty: Path, url: str, name: str
) -> None:
    pip("--python", empty, "install", "--no-deps", "--no-index", only(built, source))
    package, scripts = played(empty, url, name)
    assert package.is_relative_to(empty.parent.parent)
    assert scripts == package / "lua"
    if find_spec("redis_curriculum.cli"):
        command = empty.with_name("redis-curriculum")
        subprocess.run([command, "--help"], check=True, stdout=subprocess.DEVNULL)


def test_an_editable_install_runs_a_curriculum(empty: Path, url: str, name: str) -> None:
    pytest.importorskip("editables")
    words = ["--no-deps", "--no-index", "--no-build-isolation", "-e", str(ROOT)]
    pip("--python", empty, "install", *words)
    package, scripts = played(empty, url, name)
    assert (package, scripts) == (ROOT / "redis_curriculum", ROOT / "lua")


def test_a_bare_checkout_runs_a_curriculum(empty: Path, url: str, name: str) -> None:
    package, scripts = played(empty, url, name, PYTHONPATH=str(ROOT))
    assert (package, scripts) == (ROOT / "redis_curriculum", ROOT / "lua")


def test_without_its_scripts_it_says_so(empty: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "redis_curriculum", tmp_path / "redis_curriculum")
    done = subprocess.run(
        [empty, "-c", "from redis_curriculum import Curriculum"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "reinstall redis-curriculum" in done.stderr


def test_both_wheels_hold_the_package_and_nothing_else(built: Path) -> None:
    contents = []
    for pattern in ("direct/*.whl", "*.whl"):
        with zipfile.ZipFile(only(built, pattern)) as archive:
            contents.append(set(archive.namelist()))
    assert contents[0] == contents[1]
    here = {f"redis_curriculum/{path.relative_to(ROOT)}" for path in ROOT.glob("lua/**/*.lua")}
    inside = {name for name in contents[0] if name.endswith(".lua")}
    assert inside == here
    assert "redis_curriculum/py.typed" in contents[0]
    tops = {name.split("/")[0] for name in contents[0]}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"redis_curriculum"}
    assert any(name.endswith("/licenses/LICENSE") for name in contents[0])


def test_the_sdist_holds_what_the_tests_need(built: Path) -> None:
    with tarfile.open(only(built, "*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "Makefile",
        "constraints.txt",
        "docker-compose.yml",
        "docker/redis.conf",
        "examples/trainer.py",
        "examples/worker.py",
        "lua/include/guard.lua",
        "lua/scripts/record.lua",
        "tests/conftest.py",
    } <= names
    assert not [name for name in names if ".venv" in name or "__pycache__" in name]
