"""What a curriculum may be called, and what an operator may put before all of its keys."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import AsyncCurriculum, Curriculum, CurriculumConfig, WorkerSettings
from redis_curriculum._admin.acl import acl_lines
from redis_curriculum._protocol.keys import Keys
from redis_curriculum.errors import InvalidInputError, PermissionDeniedError
from redis_curriculum.tasks import Single
from tests.cli.conftest import Cli, cli
from tests.harness import connect
from tests.keyspace import TEAM
from tests.servers import RunningServer

__all__ = ["cli"]

CONFIG = CurriculumConfig(task_generator=Single(label="a"), num_active_tasks=4)
PASSWORD = "chosen"  # noqa: S105 - of a server of these tests


@pytest.fixture
def team(server: RunningServer) -> Iterator[str]:
    """The URL of a user who may do anything, but only to keys with the prefix."""
    with connect(server) as client:
        client.execute_command("ACL", "SETUSER", "team", "on", f">{PASSWORD}", f"~{TEAM}*", "+@all")
        yield f"unix://team:{PASSWORD}@{server.socket}?prefix={TEAM}"
        client.acl_deluser("team")


def test_all_of_it_works_under_a_prefix(
    cli: Cli, team: str, server: RunningServer, name: str, tmp_path: Path
) -> None:
    """For a user who may reach nothing else."""
    with Curriculum.open(team, name, CONFIG) as curriculum:
        assert curriculum.url == f"unix://team@{server.socket}?prefix={TEAM}"
        task = curriculum.get_task()
        curriculum.next_task((task.task_id, 1.0))
        curriculum.report_failure(task.task_id, "broken", permanent=True)
        curriculum.end_epoch()
        assert curriculum.check() == []
        assert curriculum.check(repair=True) == []
        curriculum.snapshot(tmp_path / "a.rcs")
    Curriculum.restore(tmp_path / "a.rcs", team, name, replace=True).close()
    Curriculum.restore(tmp_path / "a.rcs", team, f"{name}.2").close()
    for words in (["status"], ["tasks"], ["labels"], ["workers"], ["check"], ["gc"]):
        assert cli(*words, name, url=team).code == 0
    listed = cli("list", "--json", url=team).json
    assert [row["name"] for row in listed] == [name, f"{name}.2"]
    assert "2 curricula of schema" in cli("doctor", url=team).out
    with connect(server) as client:
        assert all(key.startswith(f"{TEAM}rc:") for key in client.scan_iter())
    assert cli("gc", url=team).code == 0
    assert cli("delete", "--yes", "--force", name, url=team).code == 0
    assert [row["name"] for row in cli("list", "--json", url=team).json] == [f"{name}.2"]


def test_without_the_prefix_that_user_is_refused(team: str, name: str) -> None:
    with pytest.raises(PermissionDeniedError):
        Curriculum.open(team.partition("?")[0], name, CONFIG)


def test_two_prefixes_are_two_curricula(cli: Cli, url: str, name: str) -> None:
    with (
        Curriculum.open(url, name, CONFIG) as plain,
        Curriculum.open(f"{url}?prefix={TEAM}", name, CONFIG) as other,
    ):
        plain.get_tasks(3)
        assert plain.end_epoch().samples == {"a": 3}
        assert other.end_epoch().samples == {}
        for each in (url, f"{url}?prefix={TEAM}"):
            assert len(cli("list", "--json", url=each).json) == 1
        assert cli("delete", "--yes", "--force", name, url=url).code == 0
        assert len(other.task_ids()) == 4
        assert cli("gc", url=url).code == 0
        assert len(other.task_ids()) == 4


def test_the_settings_may_name_the_prefix(url: str, name: str) -> None:
    settings = WorkerSettings(prefix=TEAM)
    with Curriculum.open(url, name, CONFIG, worker=settings) as curriculum:
        assert curriculum.url == f"{url}?prefix={TEAM}"
        with pickle.loads(pickle.dumps(curriculum)) as copy:
            assert copy.url == curriculum.url
            assert copy.task_ids() == curriculum.task_ids()

        async def look() -> list[int]:
            async with AsyncCurriculum.open(url, name, worker=settings) as twin:
                return await twin.task_ids()

        assert asyncio.run(look()) == curriculum.task_ids()
    with Curriculum.open(f"{url}?prefix={TEAM}", name, worker=settings) as curriculum:
        assert len(curriculum.task_ids()) == 4
    with pytest.raises(InvalidInputError, match="'other:' as in the URL"):
        Curriculum.open(f"{url}?prefix=other:", name, worker=settings)
    for bad in ("a{b}", "a b", "*", 7, "x" * 129):
        with pytest.raises(InvalidInputError, match="prefix"):
            WorkerSettings(prefix=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("own", ["lr=1e-3", "user/run", "layers=[64,64]", "+a=b,~c@d"])
def test_names_as_launchers_make_them(
    cli: Cli, every_server: RunningServer, own: str, tmp_path: Path
) -> None:
    url = every_server.url
    with Curriculum.open(url, own, CONFIG) as curriculum:
        curriculum.next_task((curriculum.get_task().task_id, 0.5))
        assert curriculum.check() == []
        curriculum.snapshot(tmp_path / "a.rcs")
        similar = Keys("layers=6").meta  # what the brackets would mean as a pattern
        with connect(every_server) as client:
            client.hset(similar, "not", "ours")
            Curriculum.restore(tmp_path / "a.rcs", url, replace=True).close()
            assert client.exists(similar)
            client.unlink(similar)
        assert own in [row["name"] for row in cli("list", "--json", url=url).json]
        assert cli("status", "--json", "--", own, url=url).json["name"] == own
    assert cli("gc", "--", own, url=url).code == 0
    assert cli("delete", "--yes", "--force", "--", own, url=url).code == 0


def test_an_acl_means_the_name_and_no_pattern(every_server: RunningServer, name: str) -> None:
    """Brackets in a name are no choice of characters."""
    own, other = f"{name}[ab]", f"{name}a"
    with connect(every_server) as client, Curriculum.open(every_server.url, other, CONFIG):
        version = client.info()["redis_version"]
        words = acl_lines(own, version, key_prefix="").worker.replace("PASSWORD", PASSWORD).split()
        client.execute_command(*words)
        user = words[2].replace("[", "%5B").replace("]", "%5D")
        url = f"unix://{user}:{PASSWORD}@{every_server.socket}"
        with Curriculum.open(url, own, CONFIG) as curriculum:
            assert len(curriculum.task_ids()) == 4
        with pytest.raises(PermissionDeniedError):
            Curriculum.open(url, other)
        client.acl_deluser(words[2])


def test_a_handle_is_made_with_open(url: str, name: str) -> None:
    kinds: tuple[Any, ...] = (Curriculum, AsyncCurriculum)
    for kind in kinds:
        for arguments in ((), (CONFIG,), (url, name, CONFIG)):
            with pytest.raises(InvalidInputError) as caught:
                kind(*arguments)
            assert f"{kind.__name__}.open(url, name, config)" in str(caught.value)
        with pytest.raises(InvalidInputError, match="open"):
            kind(config=CONFIG)
