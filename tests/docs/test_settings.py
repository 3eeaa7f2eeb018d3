"""The README's tables of settings say what the models say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_curriculum._values.models import FrozenModel
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig, WorkerSettings
from redis_curriculum.config.resume import resume_rule

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def rows(model: type[FrozenModel], prefix: str | None) -> Iterator[str]:
    """The table's rows, as the model's fields say; ``prefix`` None: not part of a config."""
    for name, field in model.model_fields.items():
        if name == "kind":
            continue
        if field.is_required():
            default = "required"
        elif name == "algorithm":
            default = "`LearningProgressConfig()`"
        else:
            default = f"`{field.get_default(call_default_factory=True)!r}`"
        cells = [f"`{name}`", default]
        cells += [] if prefix is None else [resume_rule(prefix + name).value]
        yield f"| {' | '.join([*cells, str(field.description)])} |"


@pytest.mark.parametrize(
    ("model", "prefix"),
    [(CurriculumConfig, ""), (LearningProgressConfig, "algorithm."), (WorkerSettings, None)],
)
def test_every_setting_is_in_its_table(model: type[FrozenModel], prefix: str | None) -> None:
    table = "\n".join(rows(model, prefix))
    assert table in README, f"README.md should have:\n{table}"
