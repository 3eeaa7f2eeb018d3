"""Samplers for PyTorch: on a stand-in for its base class, and in its own loaders."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.config import GroupProgressConfig
from redis_curriculum.errors import MissingLibraryError, UnsupportedLibraryError
from redis_curriculum.tasks import Table

OWN = "redis_curriculum.integrations.torch"


class Sampler:
    """As torch.utils.data.Sampler: nothing but a name."""


@pytest.fixture
def samplers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    stand_in(monkeypatch, Sampler=Sampler)
    yield importlib.import_module(OWN)
    sys.modules.pop(OWN, None)


def stand_in(monkeypatch: pytest.MonkeyPatch, **members: Any) -> None:
    for module in ("torch", "torch.utils", "torch.utils.data"):
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
    vars(sys.modules["torch.utils.data"]).update(members)
    monkeypatch.delitem(sys.modules, OWN, raising=False)


@pytest.fixture
def curriculum(url: str, name: str) -> Iterator[Curriculum]:
    config = CurriculumConfig(task_generator=Table(30), algorithm=GroupProgressConfig())
    with Curriculum.open(url, name, config) as opened:
        yield opened


def test_both_samplers_yield_the_same_rows(samplers: Any, curriculum: Curriculum) -> None:
    batches = samplers.PromptBatchSampler(curriculum, 4, key="run")
    rows = samplers.PromptSampler(curriculum, 4, key="run")
    assert (len(batches), len(rows)) == (7, 28)
    assert issubclass(samplers.PromptSampler, Sampler)
    first, second = list(batches), list(batches)
    assert list(rows) == [row for batch in first for row in batch]
    assert (len(first), first == second) == (7, False)
    assert all(len(set(batch)) == 4 for batch in first + second)
    # Left within a batch: the next pass begins with a whole one.
    for i, row in enumerate(rows):
        assert row == sum(second, [])[i]  # noqa: RUF017 - short
        if i == 5:
            break
    assert list(rows)[:4] == second[2]


def test_rows_go_on_within_a_batch(samplers: Any, curriculum: Curriculum) -> None:
    rows = samplers.PromptSampler(curriculum, 4, num_batches=3)
    walk = iter(rows)
    taken = [next(walk) for _ in range(6)]
    state = rows.state_dict()
    rest = list(walk)
    again = samplers.PromptSampler(curriculum, 4, num_batches=3)
    again.load_state_dict(state)
    assert list(again) == rest
    assert len(taken + rest) == len(rows) == 12
    assert len(list(again)) == 12


def test_a_missing_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for known in [m for m in sys.modules if m.partition(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, known)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, OWN, raising=False)
    with pytest.raises(MissingLibraryError, match=r"redis-curriculum\[torch\]"):
        importlib.import_module(OWN)


def test_a_torch_without_samplers_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    with pytest.raises(UnsupportedLibraryError, match="Sampler"):
        importlib.import_module(OWN)


# --- PyTorch itself ------------------------------------------------------------------------------


class Rows:
    """A data set that a worker process fetches from."""

    def __len__(self) -> int:
        return 30

    def __getitem__(self, row: int) -> int:
        return row


def needs(module: str) -> Any:
    if find_spec(module) is None:
        pytest.skip("installed by `make integrations`")
    sys.modules.pop(OWN, None)
    return importlib.import_module(OWN)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("workers", "method"), [(0, None), (2, "fork"), (2, "spawn")])
def test_loaders_get_each_batch_once(
    curriculum: Curriculum, workers: int, method: str | None
) -> None:
    """Workers prefetch; the results come later, from the process of the loader."""
    torch = needs("torch")
    from torch.utils import data

    sampler = torch.PromptBatchSampler(curriculum, 5, key="run")
    loader = data.DataLoader(
        Rows(),
        batch_sampler=sampler,
        num_workers=workers,
        multiprocessing_context=method,
    )
    seen = []
    for batch in loader:
        seen.append(batch.tolist())
        sampler.update(batch, (batch % 2)[:, None].expand(5, 4))
    assert seen == [sampler.batch(step) for step in range(6)] == [*map(list, seen)]
    assert curriculum.stats()["num_completed"] == curriculum.stats()["num_scheduled"] == 30
    by_row = data.DataLoader(
        Rows(),
        batch_size=5,
        sampler=torch.PromptSampler(curriculum, 5, key="run"),
        num_workers=workers,
        multiprocessing_context=method,
    )
    assert [batch.tolist() for batch in by_row] == seen
    assert curriculum.check() == []


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("by_row", [False, True])
def test_a_stateful_loader_goes_back(curriculum: Curriculum, workers: int, by_row: bool) -> None:
    torch = needs("torchdata")
    from torchdata.stateful_dataloader import StatefulDataLoader

    def loader() -> Any:
        if by_row:
            rows = torch.PromptSampler(curriculum, 5)
            return StatefulDataLoader(Rows(), batch_size=5, sampler=rows, num_workers=workers)
        batches = torch.PromptBatchSampler(curriculum, 5)
        return StatefulDataLoader(Rows(), batch_sampler=batches, num_workers=workers)

    first, seen, states = loader(), [], []
    for step, batch in enumerate(first):
        seen.append(batch.tolist())
        if step == 2:
            states = [first.state_dict(), curriculum.state_dict()]
    curriculum.load_state_dict(states[1])
    second = loader()
    second.load_state_dict(states[0])
    assert [batch.tolist() for batch in second] == seen[3:]
    assert len(seen) == 6
    assert len([*second]) == 6
    assert curriculum.check() == []
