"""The tables of settings say what the models say, though the site writes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from redis_curriculum._values.models import FrozenModel
from redis_curriculum._values.rules import In
from redis_curriculum.config import (
    CurriculumConfig,
    DebiasedProgressConfig,
    GroupProgressConfig,
    LearningProgressConfig,
    UniformConfig,
    WorkerSettings,
)
from redis_curriculum.config.resume import resume_rule
from tests.docs.pages import page, rows, section

PAGE = page("reference/config.md")


def expected(model: type[FrozenModel], prefix: str | None) -> Iterator[list[str]]:
    """The table's rows, as the model's fields say; ``prefix`` None: not part of a config."""
    for name, field in model.model_fields.items():
        if name == "kind":
            continue
        if field.is_required():
            default = "required"
        elif name == "algorithm":
            default = f"`{type(field.default).__name__}()`"
        else:
            default = f"`{field.get_default(call_default_factory=True)!r}`"
        cells = [f"`{name}`", default]
        cells += [] if prefix is None else [resume_rule(prefix + name).value]
        yield [*cells, str(field.description)]


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        (CurriculumConfig, ""),
        (DebiasedProgressConfig, "algorithm."),
        (LearningProgressConfig, "algorithm."),
        (GroupProgressConfig, "algorithm."),
        (UniformConfig, "algorithm."),
        (WorkerSettings, None),
    ],
)
def test_every_setting_is_in_its_table(model: type[FrozenModel], prefix: str | None) -> None:
    table = rows(section(PAGE, model.__name__).partition("\nIt keeps")[0])
    assert [[*row[:-2], row[-1]] for row in table] == list(expected(model, prefix))
    for name, *_, values, _ in table:
        notes = model.model_fields[name.strip("`")].metadata
        assert all(x.interval in _plain(values) for x in notes if isinstance(x, In))
        assert values


def _plain(cell: str) -> str:
    return cell.replace("\\", "").replace("\N{NO-BREAK SPACE}", " ")


def test_a_preset_stands_beside_the_defaults() -> None:
    table = {name: cells for name, *cells in rows(page("guides/algorithm.md"))}
    assert table["`ema_timescale`"] == ["`0.1`", "`0.05`", "`0.2`", "`0.001`"]
    assert "`success_threshold`" not in table, "the presets have the same"
