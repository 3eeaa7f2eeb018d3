"""What ``Table.row`` returns, and what it says of a data set that cannot be read."""

from __future__ import annotations

import pytest

from redis_curriculum.errors import InvalidInputError
from redis_curriculum.tasks import Table


def test_a_row_of_numbers_has_its_number() -> None:
    assert Table(5).row(3) == {"row": 3}
    assert Table(range(10, 30, 5)).row(20) == {"row": 20}
    assert Table([{"a": 1}, {"a": 2}]).row(1) == {"a": 2}


class Broken:
    """A data set of three rows, of which one cannot be read."""

    def __init__(self, error: Exception, size: int = 3) -> None:
        self.error, self.size = error, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, int]:
        if index == 1:
            raise self.error
        return {"level": index}


@pytest.mark.parametrize("more", [{}, {"label": "level-{level}"}, {"key": "level"}])
@pytest.mark.parametrize("error", [KeyError("file"), OSError("disk"), IndexError("short")])
def test_the_row_and_the_cause_are_named_where_a_data_set_raises(
    error: Exception, more: dict[str, str]
) -> None:
    with pytest.raises(InvalidInputError, match=type(error).__name__) as caught:
        Table(Broken(error), **more)
    assert caught.value.field == "rows[1]"
    assert caught.value.__cause__ is error


def test_a_length_that_cannot_be() -> None:
    with pytest.raises(InvalidInputError, match="len"):
        Table(Broken(OSError("disk"), size=-1))
