"""verl's sampler on a curriculum: on stand-ins for its modules, and on its own base class."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from redis_curriculum import Curriculum, CurriculumConfig, Outcome
from redis_curriculum.config import GroupProgressConfig, UniformConfig
from redis_curriculum.errors import InvalidInputError, UnsupportedLibraryError
from redis_curriculum.tasks import Table

OWN = "redis_curriculum.integrations.verl"
TORCH = "redis_curriculum.integrations.torch"
MODULES = ("torch", "torch.utils", "torch.utils.data")
ROWS = [
    {"data_source": f"set-{i % 2}", "prompt": f"{i} + {i}", "extra_info": {"index": 100 - i}}
    for i in range(20)
]


class Sampler:
    """As torch.utils.data.Sampler."""


class AbstractCurriculumSampler(Sampler):
    """As of verl 0.7."""


class Scores:
    """As a tensor of scores by token."""

    def __init__(self, values: list[list[float]]) -> None:
        self.values = values

    def sum(self, _: int) -> Scores:
        return Scores([[sum(of_token) for of_token in self.values]])

    def float(self) -> Scores:
        return self

    def cpu(self) -> np.ndarray[Any, Any]:
        return np.array(self.values[0])


@pytest.fixture
def verl(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for module in (*MODULES, "verl", "verl.experimental", "verl.experimental.dataset"):
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
    sys.modules["torch.utils.data"].Sampler = Sampler  # type: ignore[attr-defined]
    hooks = ModuleType("verl.experimental.dataset.sampler")
    hooks.AbstractCurriculumSampler = AbstractCurriculumSampler  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, hooks.__name__, hooks)
    for own in (OWN, TORCH):
        monkeypatch.delitem(sys.modules, own, raising=False)
    yield importlib.import_module(OWN)
    for own in (OWN, TORCH):
        sys.modules.pop(own, None)


def config_of(url: str, name: str, **more: Any) -> dict[str, Any]:
    own = {"url": url, "name": name, "label": "{data_source}", **more}
    return {"train_batch_size": 4, "sampler": {"class_path": "...", "curriculum": own}}


def batch_of(rows: list[int], rollouts: int, rng: np.random.Generator) -> tuple[Any, list[Any]]:
    """A training batch in an order of verl's own, and (row, score) of each rollout."""
    order = rng.permutation(np.repeat(rows, rollouts))
    scores = [(int(row), float(rng.integers(2))) for row in order]
    infos = np.array([ROWS[row]["extra_info"] for row, _ in scores], object)
    tokens = Scores([[0.0, 0.0, score] for _, score in scores])
    batch = SimpleNamespace(
        non_tensor_batch={"extra_info": infos}, batch={"token_level_scores": tokens}
    )
    return batch, scores


def test_groups_are_told_apart_in_any_order(verl: Any, url: str, name: str) -> None:
    sampler = verl.CurriculumSampler(data_source=ROWS, data_config=config_of(url, name))
    assert issubclass(verl.CurriculumSampler, AbstractCurriculumSampler)
    assert (len(sampler), sampler.curriculum.config.algorithm) == (20, GroupProgressConfig())
    rows, rng = list(sampler)[:4], np.random.default_rng(0)
    batch, scores = batch_of(rows, 5, rng)
    assert sampler.update(batch) == [Outcome.APPLIED] * 4
    for row in rows:
        record = sampler.curriculum.get_task_stats(row)
        assert record.label == ROWS[row]["data_source"]
        assert record.group_mean == pytest.approx(sum(s for r, s in scores if r == row) / 5)
    assert sampler.curriculum.check() == []
    sampler.curriculum.close()


def test_a_curriculum_that_is_there_is_taken(verl: Any, url: str, name: str) -> None:
    table = Table(ROWS, label="{data_source}", params=[])
    own = CurriculumConfig(task_generator=table, algorithm=UniformConfig())
    Curriculum.open(url, name, own).close()
    data = SimpleNamespace(dataframe=ROWS)
    sampler = verl.CurriculumSampler(data, config_of(url, name, key="run", skip_right=3))
    assert sampler.curriculum.config.algorithm == UniformConfig()
    assert (sampler.key, sampler.skip_right) == ("run", 3)
    sampler.curriculum.close()


def test_bad_input_is_named_and_reports_nothing(verl: Any, url: str, name: str) -> None:
    for config in ({}, {"sampler": None}, {"sampler": {"curriculum": {"url": url, "color": 1}}}):
        with pytest.raises(InvalidInputError, match="url and name") as raised:
            verl.CurriculumSampler(ROWS, {"train_batch_size": 4, **config})
        assert raised.value.field == "data.sampler.curriculum"
    for rows in ([*ROWS, ROWS[3]], [{"prompt": "1 + 1"}]):
        with pytest.raises(InvalidInputError, match="another one than in all rows") as raised:
            verl.CurriculumSampler(rows, config_of(url, name))
        assert raised.value.field == f"rows[{len(rows) - 1}].extra_info.index"
    with pytest.raises(InvalidInputError, match="at most 20"):
        verl.CurriculumSampler(ROWS, config_of(url, name) | {"train_batch_size": 21})
    sampler = verl.CurriculumSampler(ROWS, config_of(url, name))
    rows = sampler.next_batch()
    batch, _ = batch_of(rows, 4, np.random.default_rng(0))
    with pytest.raises(InvalidInputError, match="token_level_scores") as raised:
        sampler.update(SimpleNamespace(non_tensor_batch=batch.non_tensor_batch, batch={}))
    assert raised.value.field == "batch"
    batch.non_tensor_batch["extra_info"][7] = {"index": 5}
    with pytest.raises(InvalidInputError) as raised:
        sampler.update(batch)
    assert (raised.value.field, raised.value.value) == ("extra_info[7].index", 5)
    assert sampler.curriculum.stats()["num_completed"] == 0
    sampler.curriculum.close()


def test_a_verl_without_the_interface_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of 0.9, which has no such module."""
    for module in (*MODULES, "verl", "verl.experimental"):
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
    sys.modules["torch.utils.data"].Sampler = Sampler  # type: ignore[attr-defined]
    sys.modules["verl.experimental"].__path__ = []
    for known in [m for m in sys.modules if m.startswith("verl.experimental.")]:
        monkeypatch.delitem(sys.modules, known)
    for own in (OWN, TORCH):
        monkeypatch.delitem(sys.modules, own, raising=False)
    with pytest.raises(UnsupportedLibraryError, match=r"verl .* has no .*dataset") as raised:
        importlib.import_module(OWN)
    assert raised.value.library == "verl"
    sys.modules.pop(TORCH, None)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_it_is_what_verl_calls(url: str, name: str) -> None:
    """verl's own base class, batch and configuration."""
    for own in (OWN, TORCH):
        sys.modules.pop(own, None)
    try:
        from verl import DataProto
        from verl.experimental.dataset import sampler as hooks
    except ImportError:
        pytest.skip("a verl with curriculum samplers (such as 0.7) is not installed")
    import torch
    from omegaconf import OmegaConf
    from torchdata.stateful_dataloader import StatefulDataLoader

    adapter = importlib.import_module(OWN)
    sampler = adapter.CurriculumSampler(
        data_source=ROWS, data_config=OmegaConf.create(config_of(url, name))
    )
    assert isinstance(sampler, hooks.AbstractCurriculumSampler)
    loader = StatefulDataLoader(
        ROWS, batch_size=4, sampler=sampler, num_workers=0, drop_last=True, collate_fn=list
    )
    for rows in loader:
        infos = [row["extra_info"] for row in rows for _ in range(3)]
        tokens = torch.zeros(12, 5)
        tokens[:, 4] = torch.tensor([1.0, 0, 0] * 4)
        batch = DataProto.from_dict(
            {"token_level_scores": tokens}, {"extra_info": np.array(infos, object)}
        )
        assert sampler.update(batch) == [Outcome.APPLIED] * 4
    records = sampler.curriculum.records()
    assert records["completion_count"].sum() == 20
    assert np.nansum(records["total_score"]) == pytest.approx(20 / 3)
    sampler.curriculum.close()
