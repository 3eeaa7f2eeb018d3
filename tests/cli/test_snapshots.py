"""``snapshot``, ``restore``, ``backup``."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._admin import backup
from redis_curriculum._protocol.asking import Node
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._wire.blocking import DirectLink, drive
from redis_curriculum._wire.urls import parse
from redis_curriculum.errors import ServerRefusedError
from tests.cli.conftest import Cli
from tests.cli.test_inspect import in_terminal
from tests.servers import RunningServer, executables, redis_server


def test_there_and_back(cli: Cli, curriculum: Curriculum, name: str, tmp_path: Path) -> None:
    file = tmp_path / "a.rcs"
    assert cli("snapshot", name, file).out.startswith(f"{file}: 11 tasks, ")
    made = cli("snapshot", name, tmp_path / "b.rcs", "--json").json
    assert made["tasks"] == 11
    assert made["bytes"] == (tmp_path / "b.rcs").stat().st_size
    lines = gzip.decompress((tmp_path / "b.rcs").read_bytes()).splitlines()
    end = json.loads(lines[-1])
    assert made["sha256"] == end["sha256"]

    other = f"{name}.2"
    words = ("restore", file, "--name", other, "--set", "replacement_rate=0.5")
    answer = cli(*words, "--set", "algorithm.pooling=task", "--json")
    assert answer.json["name"] == other
    assert (answer.json["tasks"], answer.json["dropped"], answer.json["forced"]) == (11, 0, [])
    before, after = cli("tasks", name, "--json").json, cli("tasks", other, "--json").json
    for rows in (before, after):
        rows.sort(key=lambda row: row["task_id"])
        for row in rows:
            del row["probability"]
    assert before == after
    config = cli("status", other, "--json").json["config"]["algorithm"]
    assert (config["replacement_rate"], config["pooling"]) == (0.5, "task")
    own = "learning_progress, pooling task, replacement_rate 0.5\n"
    assert cli("status", other).out.endswith(f"algorithm  {own}")
    assert cli("check", other).code == 0


def test_restoring_makes_nobody_a_worker(
    cli: Cli, curriculum: Curriculum, name: str, tmp_path: Path
) -> None:
    cli("snapshot", name, tmp_path / "a.rcs")
    cli("restore", tmp_path / "a.rcs", "--name", f"{name}.2")
    assert cli("workers", f"{name}.2", "--json").json == []
    status = cli("status", f"{name}.2", "--json").json
    assert (status["tasks"], status["capacity"]) == (11, 12), "nor fills the pool"


def test_a_file_that_is_there(cli: Cli, curriculum: Curriculum, name: str, tmp_path: Path) -> None:
    file = tmp_path / "a.rcs"
    file.write_text("precious")
    answer = cli("snapshot", name, file)
    assert answer.code == 1
    assert "--overwrite" in answer.err
    assert file.read_text() == "precious"
    assert cli("snapshot", name, file, "--keep", 2).code == 0
    assert (tmp_path / "a.rcs.1").read_text() == "precious"
    assert cli("snapshot", name, file, "--overwrite").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.rcs", "a.rcs.1"]


def test_where_it_cannot_be_written(cli: Cli, curriculum: Curriculum, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "no" / "folder.rcs", Path("/proc/a.rcs")):
        answer = cli("snapshot", curriculum.name, place)
        assert (answer.code, answer.out) == (1, "")
        assert str(place.parent) in answer.err
    assert cli("snapshot", curriculum.name, tmp_path / "a", "--keep", "-1").code == 2


@pytest.fixture
def file(cli: Cli, curriculum: Curriculum, tmp_path: Path) -> Path:
    cli("snapshot", curriculum.name, tmp_path / "a.rcs")
    return tmp_path / "a.rcs"


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("replacement_rate", "FIELD=VALUE"),
        ("=1", "FIELD=VALUE"),
        ("replacement_rat=1", "did you mean replacement_rate"),
        ("replacement_rate=2", "in [0, 1], got 2"),
        ("replacement_rate=much", "got 'much'"),
        ("num_active_tasks=0", "num_active_tasks must be"),
    ],
)
def test_bad_settings(cli: Cli, file: Path, name: str, setting: str, text: str) -> None:
    answer = cli("restore", file, "--name", f"{name}.2", "--set", setting)
    assert (answer.code, answer.out) == (2, "")
    assert text in answer.err
    assert cli("status", f"{name}.2").code == 1, "nothing was restored"


def test_a_setting_given_twice(cli: Cli, file: Path, name: str) -> None:
    twice = ("--set", "seed=1", "--set", "seed=2")
    assert cli("restore", file, "--name", f"{name}.2", *twice).code == 2


def test_structural_settings_need_force(cli: Cli, file: Path, name: str) -> None:
    words = ("restore", file, "--name", f"{name}.2", "--set", "ema_timescale=0.2")
    answer = cli(*words)
    assert (answer.code, answer.out) == (1, "")
    assert "changes them: algorithm.ema_timescale: stored 0.1, given 0.2" in answer.err
    assert "--force" in answer.err
    forced = cli(*words, "--force", "--json").json["forced"]
    assert forced == [{"field": "algorithm.ema_timescale", "saved": 0.1, "given": 0.2}]


def test_the_kind_of_algorithm_is_structural(cli: Cli, file: Path, name: str) -> None:
    words = ("restore", file, "--name", f"{name}.2", "--set", "kind=uniform")
    answer = cli(*words)
    assert (answer.code, answer.out) == (1, "")
    assert "algorithm.kind: stored 'learning_progress', given 'uniform'" in answer.err
    assert cli(*words, "--force").code == 0
    assert cli("check", f"{name}.2").code == 0


def test_a_smaller_pool_needs_shrink(cli: Cli, file: Path, name: str) -> None:
    words = ("restore", file, "--name", f"{name}.2", "--set", "num_active_tasks=4")
    answer = cli(*words)
    assert answer.code == 1
    assert "--shrink" in answer.err
    assert "4 tasks, without the 7 of lowest progress" in cli(*words, "--shrink").out
    assert len(cli("tasks", f"{name}.2", "--json").json) == 4


def test_a_name_in_use_needs_replace(cli: Cli, file: Path, name: str) -> None:
    answer = cli("restore", file, "--name", name)
    assert answer.code == 1
    assert "--replace" in answer.err
    assert cli("status", name, "--json").json["generation"] == 1
    assert cli("restore", file, "--name", name, "--replace").code == 0
    assert cli("status", name, "--json").json["generation"] == 2


def test_a_file_that_is_no_snapshot(cli: Cli, name: str, tmp_path: Path, file: Path) -> None:
    (tmp_path / "text").write_text("hello")
    torn = tmp_path / "torn"
    torn.write_bytes(file.read_bytes()[:-20])
    for bad in (tmp_path / "text", torn, tmp_path, tmp_path / "missing"):
        answer = cli("restore", bad, "--name", f"{name}.2")
        assert (answer.code, answer.out) == (1, "")


def test_progress_is_shown_in_a_terminal_only(
    cli: Cli, curriculum: Curriculum, url: str, tmp_path: Path
) -> None:
    shown = in_terminal("snapshot", curriculum.name, str(tmp_path / "a"), url=url)
    assert any("11/11" in line for line in shown)
    assert cli("snapshot", curriculum.name, tmp_path / "b").err == ""


# --- backup --------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[(e, a) for e in executables() for a in ("yes", "no")])
def saving(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """Each server, with the append-only file and without."""
    name, aof = request.param
    place = tmp_path_factory.mktemp("saving")
    with redis_server(
        place, executable=executables()[name], config=["--appendonly", aof]
    ) as server:
        yield server


def test_a_backup_can_be_started_from(
    cli: Cli, saving: RunningServer, name: str, tmp_path: Path
) -> None:
    """What it names is copied to another place, and a server started on the copy has it all."""
    from tests.cli.test_server import CONFIG

    with Curriculum.open(saving.url, name, CONFIG) as curriculum:
        task_id = curriculum.get_task().task_id
    done = cli("backup", name, "--json", url=saving.url).json
    aof = "yes" in saving.config
    assert done["kind"] == ("aof" if aof else "rdb")
    path = Path(done["path"])
    assert path.parent == saving.directory
    (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    with (
        redis_server(
            tmp_path, executable=saving.executable, config=["--appendonly", "yes" if aof else "no"]
        ) as other,
        Curriculum.open(other.url, name) as curriculum,
    ):
        record = curriculum.get_task_stats(task_id)
        assert record
        assert record.sample_count == 1
    assert cli("backup", name, url=saving.url).out == f"{path}\n"


def test_a_backup_that_fails(cli: Cli, name: str, tmp_path: Path) -> None:
    from tests.cli.test_server import CONFIG

    for aof in ("yes", "no"):
        place = tmp_path / aof
        with redis_server(place, config=["--appendonly", aof]) as server:
            with Curriculum.open(server.url, name, CONFIG):
                pass
            shutil.rmtree(place)
            answer = cli("backup", name, url=server.url)
            assert (answer.code, answer.out) == (1, "")
            assert "failed" in answer.err
            place.mkdir()


def test_a_backup_waits_no_longer_than_its_deadline(tmp_path: Path) -> None:
    """For a save that is running already, and for its own."""
    with redis_server(tmp_path, config=["--rdb-key-save-delay", "10000000"]) as server:
        link = DirectLink(parse(server.url), 5.0)
        with server.client() as client:
            client.mset({f"k{i}": "" for i in range(20)})
            with pytest.raises(ServerRefusedError, match="BGSAVE was still running") as caught:
                drive(backup.backup(Node("k", 5.0), 0.0), link)
            assert caught.value.code == "BUSY"
            with pytest.raises(ServerRefusedError, match="another save was still running"):
                drive(backup.backup(Node("k", 5.0), 0.0), link)
        link.close()


def test_a_backup_of_what_is_not_there(cli: Cli, server: RunningServer) -> None:
    with server.client() as client:
        before = client.lastsave()
    assert cli("backup", "nobody-knows").code == 1
    with server.client() as client:
        assert client.lastsave() == before
        assert not client.exists(Keys("nobody-knows").meta)
