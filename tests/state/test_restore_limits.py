"""What a snapshot may ask of a server, and what a restore that fails leaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import EPOCH, Keys
from redis_curriculum._state import restore
from redis_curriculum._state.format import MOST_NAMES
from redis_curriculum.errors import KeyTypeError, PermissionDeniedError, SnapshotError
from tests.servers import RunningServer
from tests.state.test_restore import saved
from tests.state.test_restore_mutants import IMPATIENT, state_of
from tests.state.test_snapshot import config_of, lines_of, play
from tests.state.test_snapshot_file import Lines, good_lines, pack

Change = Callable[[Lines], Any]


def _manifest(field: str, value: Any) -> Change:
    return lambda lines: lines[0].__setitem__(field, value)


def _counters(**counters: Any) -> Change:
    return lambda lines: lines[0].__setitem__("counters", counters)


def _epoch(epoch: int, what: str, counts: dict[str, Any]) -> Change:
    def change(lines: Lines) -> None:
        lines[0]["epoch"] = 3
        line = {"type": "epoch", "epoch": epoch, "what": what, "counts": counts}
        lines.insert(-1, line)
        lines[-1]["epochs"] = 1

    return change


SENSELESS: dict[str, tuple[Change, str]] = {
    "5,000 counters": (_counters(**{f"c{i}": 1 for i in range(5000)}), "counters"),
    **{f"counter {name}": (_counters(**{name: 7}), "counters") for name in (
        "generation", "schema", "random", "config", "epoch", "next_index", "hypers", "restored",
    )},
    "negative counter": (_counters(late_count=-1), "counters.late_count"),
    "huge counter": (_counters(late_count=2**63 - 1), "counters.late_count"),
    "epoch 10**12": (_manifest("epoch", 10**12), "epoch"),
    "random of zeros": (_manifest("random", [0] * 6), "random"),
    "half of random stands still": (_manifest("random", [1, 2, 3, 0, 0, 0]), "random"),
    "random beyond its modulus": (_manifest("random", [4294967087, 1, 1, 1, 1, 1]), "random"),
    "next_index beyond the ids": (_manifest("next_index", 2**53 - 1), "next_index"),
    "a year of six digits": (_manifest("created_ms", 2**53 - 1), "created_ms"),
    "an epoch to come": (_epoch(3, "samples", {"a": 1}), "epoch"),
    "60,000 labels in a line": (
        _epoch(1, "samples", {f"label-{i}": 1 for i in range(60_000)}), "counts",
    ),
    "half a sample": (_epoch(1, "samples", {"a": 0.5}), "counts.a"),
    "an epoch without an end": (_epoch(1, "times", {"started_ms": 1}), "counts"),
}  # fmt: skip


@pytest.mark.parametrize("what", SENSELESS)
def test_what_makes_no_sense_is_refused_by_line_and_field(
    server: RunningServer, name: str, tmp_path: Path, what: str
) -> None:
    change, field = SENSELESS[what]
    lines = good_lines()
    change(lines)
    path = tmp_path / "a.rcs"
    path.write_bytes(pack(lines))
    with Curriculum.open(server.url, name, config_of()) as curriculum:
        play(curriculum, 5)
        before = state_of(server, name)
        with pytest.raises(SnapshotError) as caught:
            Curriculum.restore(path, server.url, name, replace=True, worker=IMPATIENT)
        assert str(caught.value.field).startswith(field), caught.value
        assert caught.value.line is not None
        assert len(str(caught.value)) < 600
        assert state_of(server, name) == before


def test_as_many_labels_in_a_line_as_are_written(url: str, name: str, tmp_path: Path) -> None:
    lines = good_lines()
    _epoch(1, "samples", {f"label-{i}": 1 for i in range(MOST_NAMES)})(lines)
    path = tmp_path / "a.rcs"
    path.write_bytes(pack(lines))
    with Curriculum.restore(path, url, name) as restored:
        assert restored.end_epoch().epoch == 3


# --- the last step --------------------------------------------------------------------------------


def test_an_epoch_of_any_number_is_replaced(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    """As an older version could restore it: the last script walked over all of its epochs."""
    path = saved(server.url, name, tmp_path / "a.rcs", episodes=50)
    for epoch in ("1000000000000", "-5", "nonsense", "1e999"):
        with server.client() as client:
            client.hset(Keys(name).meta, "epoch", epoch)
            client.hset(Keys(name).epoch(7, "samples"), "a", 1)
        with Curriculum.restore(path, server.url, replace=True, worker=IMPATIENT) as restored:
            assert restored.epoch == 0
            assert restored.check() == []
        with server.client() as client:
            assert client.exists(Keys(name).epoch(7, "samples")) == 0


def test_an_epoch_that_ends_meanwhile_goes_too(
    server: RunningServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(server.url, name, tmp_path / "a.rcs", episodes=50)
    trainer = Curriculum.open(server.url, name)
    look, looks = restore._older_epochs, []  # noqa: SLF001

    def ends(*args: Any) -> Any:
        found = yield from look(*args)
        looks.append(found)
        if len(looks) < 3:
            trainer.end_epoch()
        return found

    monkeypatch.setattr(restore, "_older_epochs", ends)
    with Curriculum.restore(path, server.url, replace=True, worker=IMPATIENT) as restored:
        assert len(looks) == 3
        assert restored.epoch == 0
        with server.client() as client:
            names = [Keys(name).epoch(n, what) for n in (1, 2) for what in EPOCH]
            assert client.exists(*names) == 0
    trainer.close()


def test_a_trainer_that_ends_epochs_without_pause_is_named(
    server: RunningServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(server.url, name, tmp_path / "a.rcs", episodes=50)
    with Curriculum.open(server.url, name) as trainer:
        look = restore._older_epochs  # noqa: SLF001

        def ends(*args: Any) -> Any:
            found = yield from look(*args)
            trainer.end_epoch()
            return found

        monkeypatch.setattr(restore, "_older_epochs", ends)
        with pytest.raises(SnapshotError, match="epochs end too fast"):
            Curriculum.restore(path, server.url, replace=True, worker=IMPATIENT)
        assert trainer.check() == []


def live_keys(server: RunningServer, name: str) -> dict[str, Any]:
    """All but the events, and the claim."""
    state, keys = state_of(server, name), Keys(name)
    return {key: value for key, value in state.items() if key not in (keys.events, keys.restore)}


@pytest.mark.parametrize("denied", ["hset", "xadd", "rename", "type"])
def test_a_refusal_in_the_last_script_leaves_the_old_curriculum(
    server: RunningServer, name: str, tmp_path: Path, denied: str
) -> None:
    path = saved(server.url, name, tmp_path / "a.rcs", episodes=50)
    with server.client() as client:
        client.hset(Keys(name).epoch(0, "samples"), "a", 1)
        user = {"enabled": True, "nopass": True, "keys": ["*"], "channels": ["*"]}
        client.acl_setuser("half", commands=["+@all", f"-{denied}"], reset=True, **user)
        before = live_keys(server, name)
        url = server.url.replace("://", "://half:any@")
        try:
            with pytest.raises(PermissionDeniedError):
                Curriculum.restore(path, url, replace=True, worker=IMPATIENT)
            time.sleep(0.01)  # what was staged has an end
            assert live_keys(server, name) == before
        finally:
            client.acl_deluser("half")
    with Curriculum.open(server.url, name) as curriculum:
        assert curriculum.check() == [] or denied == "rename"
        play(curriculum, 5)


def test_another_key_at_the_events_leaves_the_old_curriculum(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    path = saved(server.url, name, tmp_path / "a.rcs", episodes=50)
    with server.client() as client:
        client.unlink(Keys(name).events)
        client.set(Keys(name).events, "mine")
        before = live_keys(server, name)
        with pytest.raises(KeyTypeError, match="events"):
            Curriculum.restore(path, server.url, replace=True, worker=IMPATIENT)
        time.sleep(0.01)  # what was staged has an end
        assert live_keys(server, name) == before
        client.unlink(Keys(name).events)


# --- labels without tasks -------------------------------------------------------------------------


def with_labels(lines: Lines, n: int) -> Lines:
    """So many labels that have lost their tasks, one each ms."""
    for i in range(n):
        statistics = next(ln["statistics"] for ln in lines if ln["type"] == "label")
        lines.insert(
            1,
            {
                "type": "label",
                "label": f"old-{i}",
                "active": 0,
                "inactive_ms": 1000 + i,
                "statistics": statistics,
                "last_score": 0.5,
                "count": {"samples": 2, "completions": int(statistics["completion_count"])},
                "epoch": {"samples": 1},
            },
        )
    lines[-1]["labels"] += n
    return lines


def test_labels_beyond_those_retained_are_forgotten_as_the_server_forgets_them(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.rcs"
    path.write_bytes(pack(with_labels(good_lines(), 30)))
    overrides = {"labels_retained": 10}
    with (
        Curriculum.restore(path, server.url, name, overrides=overrides) as restored,
        server.client() as client,
    ):
        keys = Keys(name, 2)
        left = client.zrange(keys.inactive, 0, -1)
        assert left == [f"old-{i}" for i in range(20, 30)]
        assert client.hget(keys.count("samples"), "") == "40"
        assert client.hget(keys.epoch(0, "samples"), "") == "20"
        assert client.exists(keys.progress("old-0")) == 0
        assert client.exists(keys.progress("old-20")) == 1
        again = restored.snapshot(tmp_path / "b.rcs").path
    labels = [line["label"] for line in lines_of(again) if line["type"] == "label"]
    assert sum(label.startswith("old-") for label in labels) == 10


def test_more_labels_than_are_ever_retained_are_refused_at_once(
    server: RunningServer, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.rcs"
    path.write_bytes(pack(with_labels(good_lines(), 10_050)))
    with pytest.raises(SnapshotError, match="labels_retained=N"):
        Curriculum.restore(path, server.url, name)
    assert state_of(server, name) == {}
    overrides = {"labels_retained": 10_050}
    with Curriculum.restore(path, server.url, name, overrides=overrides), server.client() as client:
        assert client.zcard(Keys(name, 2).inactive) == 10_050
