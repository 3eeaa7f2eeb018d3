"""Errors travel between processes: a worker's reaches its parent as it was raised."""

from __future__ import annotations

import pickle

import pytest

from redis_curriculum import errors
from redis_curriculum.errors import CurriculumError

ERRORS: list[CurriculumError] = [
    errors.CurriculumError("m", applied="unknown"),
    errors.InvalidInputError("field", "a number", "x"),
    errors.ConfigMismatchError("m", [("seed", 1, 2)]),
    errors.GeneratorError("m", task_id=3),
    errors.CurriculumNotFoundError("x"),
    errors.TaskNotFoundError(3),
    errors.FailingTasksError("m", [(3, "cause")]),
    errors.EpochError("m", epoch=3),
    errors.SequenceGapError("m", last=3),
    errors.SnapshotError("m", line=3, field="seed"),
    errors.ServerRefusedError("m", code="OOM", applied="unknown"),
    errors.PermissionDeniedError("m", command="get"),
    errors.MalformedStateError("n", "meta.epoch", "abc"),
    errors.KeyTypeError("m", key="k", applied="unknown"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error: CurriculumError) -> None:
    error.applied = "unknown"
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
    assert copy.args == error.args
